// IPVS over generic netlink: types, constants, and bytes to types and back. Pure.
// Identity and state are separate types: a key names a thing, a service or destination is what one configures, a ...State adds
// what the kernel counts. Source: include/uapi/linux/ip_vs.h; numbers and peculiarities measured on Linux 6.1, 6.12 and 7.2.

import { decodeIp, encodeIp, type Family, type IpAddress } from '../model/ip.ts';
import { GENL_HEADER_BYTES, writeGenlHeader } from './genetlink.ts';
import { AttributeTable, protocolError, type MessageWriter } from './wire.ts';

/** IPVS_CMD_* */
export const IPVS_CMD = {
  NEW_SERVICE: 1,
  SET_SERVICE: 2,
  DEL_SERVICE: 3,
  GET_SERVICE: 4,
  NEW_DEST: 5,
  SET_DEST: 6,
  DEL_DEST: 7,
  GET_DEST: 8,
  NEW_DAEMON: 9,
  DEL_DAEMON: 10,
  GET_DAEMON: 11,
  SET_CONFIG: 12,
  GET_CONFIG: 13,
  SET_INFO: 14,
  GET_INFO: 15,
  ZERO: 16,
  FLUSH: 17,
} as const;

/** Flags of a service (IP_VS_SVC_F_*). HASHED is set by the kernel in every reply and is left out of decoded services. */
export const SERVICE_FLAG = {
  PERSISTENT: 0x1,
  HASHED: 0x2,
  ONEPACKET: 0x4,
  SCHED1: 0x8,
  SCHED2: 0x10,
  SCHED3: 0x20,
} as const;

/** The bits of the three flags for schedulers, in their order. */
export const SCHEDULER_FLAG_BITS = [SERVICE_FLAG.SCHED1, SERVICE_FLAG.SCHED2, SERVICE_FLAG.SCHED3] as const;

/** Protocol numbers as the kernel uses them; IPVS accepts others and does nothing with them. */
export const PROTOCOL_NUMBER = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** Forwarding methods in the kernel's numbering (IP_VS_CONN_F_*). */
export const FORWARDING_METHODS = ['masquerade', 'localnode', 'tunnel', 'directRoute', 'bypass'] as const;
export type ForwardingMethod = (typeof FORWARDING_METHODS)[number];

/** Tunnel types in the kernel's numbering (IP_VS_CONN_F_TUNNEL_TYPE_*). */
export const TUNNEL_TYPES = ['ipip', 'gue', 'gre'] as const;
export type TunnelType = (typeof TUNNEL_TYPES)[number];

/** Identity of a virtual service by address. */
export interface AddressKey {
  readonly family: Family;
  readonly protocol: number;
  readonly address: IpAddress;
  readonly port: number;
  readonly fwmark?: undefined;
}

/** Identity of a virtual service by firewall mark; the same mark in both families names two services. */
export interface FwmarkKey {
  readonly family: Family;
  readonly fwmark: number;
}

export type ServiceKey = AddressKey | FwmarkKey;

/** What one configures of a virtual service, besides its key. */
export interface ServiceSettings {
  /** At most 15 characters; 'none' = no scheduler. */
  readonly scheduler: string;
  /** SERVICE_FLAG bits without HASHED. */
  readonly flags: number;
  /** Persistence in seconds, 0 without the PERSISTENT flag. */
  readonly timeoutSeconds: number;
  /** IPv4: the mask as a number (0xffffffff = each client apart); IPv6: the prefix length, 1 to 128. */
  readonly netmask: number;
  /** Persistence engine ('sip'), undefined for none. */
  readonly persistenceEngine?: string | undefined;
}

export type IpvsService = ServiceKey & ServiceSettings;

/** Identity of a real server inside its service. */
export interface DestinationKey {
  readonly address: IpAddress;
  readonly port: number;
}

export interface IpvsDestination extends DestinationKey {
  readonly forwarding: ForwardingMethod;
  /** 0 to 2147483647; 0 takes no new connections. */
  readonly weight: number;
  /** Connections above which it takes no new ones, 0 = no limit; and below which it takes them again. */
  readonly upperThreshold: number;
  readonly lowerThreshold: number;
  readonly tunnel?: { readonly type: TunnelType; readonly port: number; readonly flags: number } | undefined;
}

/** Counters since creation (or ZERO) and smoothed rates per second. */
export interface IpvsStats {
  readonly connections: bigint;
  readonly inPackets: bigint;
  readonly outPackets: bigint;
  readonly inBytes: bigint;
  readonly outBytes: bigint;
  readonly connectionsPerSecond: bigint;
  readonly inPacketsPerSecond: bigint;
  readonly outPacketsPerSecond: bigint;
  readonly inBytesPerSecond: bigint;
  readonly outBytesPerSecond: bigint;
}

export type IpvsServiceState = IpvsService & { readonly stats: IpvsStats | null };

export interface IpvsDestinationState extends IpvsDestination {
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly stats: IpvsStats | null;
}

const AF: Record<Family, number> = { IPv4: 2, IPv6: 10 };
const ATTR_SERVICE = 1;
const ATTR_DEST = 2;
const SVC = {
  AF: 1,
  PROTOCOL: 2,
  ADDR: 3,
  PORT: 4,
  FWMARK: 5,
  SCHED: 6,
  FLAGS: 7,
  TIMEOUT: 8,
  NETMASK: 9,
  STATS: 10,
  PE: 11,
  STATS64: 12,
};
const DEST = {
  ADDR: 1,
  PORT: 2,
  FWD: 3,
  WEIGHT: 4,
  U_THRESH: 5,
  L_THRESH: 6,
  ACTIVE: 7,
  INACTIVE: 8,
  PERSIST: 9,
  STATS: 10,
  FAMILY: 11,
  STATS64: 12,
  TUN_TYPE: 13,
  TUN_PORT: 14,
  TUN_FLAGS: 15,
};
const IPVS_VERSION = 1;

/** "TCP 10.96.0.1:443", "UDP [fd96::a]:53", "FWM 7 IPv6": the key as text, unique per key. */
export function formatServiceKey(key: ServiceKey): string {
  if (key.fwmark !== undefined) return `FWM ${key.fwmark}${key.family === 'IPv6' ? ' IPv6' : ''}`;
  return `${formatProtocol(key.protocol)} ${formatEndpoint(key.address, key.port)}`;
}

/** "10.0.0.1:80" or "[fd00::1]:80". */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** "TCP", "UDP", "SCTP", or "proto N". */
export function formatProtocol(protocol: number): string {
  if (protocol === PROTOCOL_NUMBER.TCP) return 'TCP';
  if (protocol === PROTOCOL_NUMBER.UDP) return 'UDP';
  return protocol === PROTOCOL_NUMBER.SCTP ? 'SCTP' : `proto ${protocol}`;
}

/** The netmask that keeps each client address apart: what every service without another mask has. */
export function fullNetmask(family: Family): number {
  return family === 'IPv4' ? 0xffffffff : 128;
}

/** True when two services are configured alike, whatever their keys. */
export function isSameSettings(a: ServiceSettings, b: ServiceSettings): boolean {
  return (
    a.scheduler === b.scheduler &&
    a.flags === b.flags &&
    a.timeoutSeconds === b.timeoutSeconds &&
    a.netmask === b.netmask &&
    (a.persistenceEngine ?? '') === (b.persistenceEngine ?? '')
  );
}

/** Writes the generic header of an IPVS command. */
export function writeCommand(writer: MessageWriter, command: number): void {
  writeGenlHeader(writer, command, IPVS_VERSION);
}

function encodeAddress(writer: MessageWriter, type: number, address: IpAddress): void {
  const isV6 = address.includes(':');
  encodeIp(address, writer.bytes, writer.attrReserve(type, isV6 ? 16 : 4));
}

function encodeKey(writer: MessageWriter, key: ServiceKey): void {
  writer.attrU16(SVC.AF, AF[key.family]);
  if (key.fwmark !== undefined) {
    writer.attrU32(SVC.FWMARK, key.fwmark);
    return;
  }
  writer.attrU16(SVC.PROTOCOL, key.protocol);
  encodeAddress(writer, SVC.ADDR, key.address);
  writer.attrU16Be(SVC.PORT, key.port);
}

/** The SERVICE nest with the key alone. */
export function encodeServiceKey(writer: MessageWriter, key: ServiceKey): void {
  const nest = writer.beginNest(ATTR_SERVICE);
  encodeKey(writer, key);
  writer.endNest(nest);
}

/** The SERVICE nest with key and settings, as NEW_SERVICE and SET_SERVICE need it. */
export function encodeService(writer: MessageWriter, service: IpvsService): void {
  const nest = writer.beginNest(ATTR_SERVICE);
  encodeKey(writer, service);
  writer.attrText(SVC.SCHED, service.scheduler);
  if (service.persistenceEngine !== undefined) writer.attrText(SVC.PE, service.persistenceEngine);
  // A full mask replaces all flags: unknown bits of somebody else's must not survive in our services.
  writer.attrU32Pair(SVC.FLAGS, service.flags, 0xffffffff);
  writer.attrU32(SVC.TIMEOUT, service.timeoutSeconds);
  // The IPv4 mask is four bytes in network order, the IPv6 one a plain number.
  if (service.family === 'IPv4') writer.attrU32Be(SVC.NETMASK, service.netmask);
  else writer.attrU32(SVC.NETMASK, service.netmask);
  writer.endNest(nest);
}

/** The DEST nest with the key alone, as DEL_DEST needs it. */
export function encodeDestinationKey(writer: MessageWriter, key: DestinationKey): void {
  const nest = writer.beginNest(ATTR_DEST);
  encodeDestinationIdentity(writer, key);
  writer.endNest(nest);
}

function encodeDestinationIdentity(writer: MessageWriter, key: DestinationKey): void {
  encodeAddress(writer, DEST.ADDR, key.address);
  writer.attrU16Be(DEST.PORT, key.port);
  writer.attrU16(DEST.FAMILY, key.address.includes(':') ? AF.IPv6 : AF.IPv4);
}

/** The DEST nest with everything, as NEW_DEST and SET_DEST need it. */
export function encodeDestination(writer: MessageWriter, destination: IpvsDestination): void {
  const nest = writer.beginNest(ATTR_DEST);
  encodeDestinationIdentity(writer, destination);
  writer.attrU32(DEST.FWD, FORWARDING_METHODS.indexOf(destination.forwarding));
  writer.attrU32(DEST.WEIGHT, destination.weight);
  writer.attrU32(DEST.U_THRESH, destination.upperThreshold);
  writer.attrU32(DEST.L_THRESH, destination.lowerThreshold);
  if (destination.tunnel !== undefined) {
    writer.attrU8(DEST.TUN_TYPE, TUNNEL_TYPES.indexOf(destination.tunnel.type));
    writer.attrU16Be(DEST.TUN_PORT, destination.tunnel.port);
    writer.attrU16(DEST.TUN_FLAGS, destination.tunnel.flags);
  }
  writer.endNest(nest);
}

const topTable = new AttributeTable('IPVS message', 6);
const serviceTable = new AttributeTable('IPVS service', SVC.STATS64);
const destTable = new AttributeTable('IPVS destination', DEST.TUN_FLAGS);
const statsTable = new AttributeTable('IPVS statistics', 11);

function familyOfNumber(number: number): Family {
  if (number === AF.IPv4) return 'IPv4';
  if (number === AF.IPv6) return 'IPv6';
  throw protocolError(`address family ${number}`);
}

/** Decodes a NEW_SERVICE message. Throws KERNEL_PROTOCOL when something that every kernel sends is missing. */
export function decodeService(
  bytes: Uint8Array,
  start: number,
  end: number,
  withStats: boolean,
): IpvsServiceState {
  topTable.parse(bytes, start + GENL_HEADER_BYTES, end);
  const table = serviceTable.parse(bytes, topTable.start(ATTR_SERVICE), topTable.end(ATTR_SERVICE));
  const family = familyOfNumber(table.u16(SVC.AF));
  const key: ServiceKey = table.has(SVC.FWMARK)
    ? { family, fwmark: table.u32(SVC.FWMARK) }
    : {
        family,
        protocol: table.u16(SVC.PROTOCOL),
        address: decodeIp(bytes, table.start(SVC.ADDR, family === 'IPv4' ? 4 : 16), family),
        port: table.u16Be(SVC.PORT),
      };
  const persistenceEngine = table.has(SVC.PE) ? table.string(SVC.PE) : '';
  return {
    ...key,
    scheduler: table.string(SVC.SCHED),
    // Unsigned: the kernel stores bits that it does not know, up to the highest.
    flags: (table.u32(SVC.FLAGS) & ~SERVICE_FLAG.HASHED) >>> 0,
    timeoutSeconds: table.u32(SVC.TIMEOUT),
    netmask: family === 'IPv4' ? table.u32Be(SVC.NETMASK) : table.u32(SVC.NETMASK),
    ...(persistenceEngine === '' ? {} : { persistenceEngine }),
    stats: withStats ? decodeStats(bytes, table, SVC.STATS, SVC.STATS64) : null,
  };
}

/** Decodes a NEW_DEST message. `family` is that of the service, for kernels that leave the destination's out. */
export function decodeDestination(
  bytes: Uint8Array,
  start: number,
  end: number,
  family: Family,
  withStats: boolean,
): IpvsDestinationState {
  topTable.parse(bytes, start + GENL_HEADER_BYTES, end);
  const table = destTable.parse(bytes, topTable.start(ATTR_DEST), topTable.end(ATTR_DEST));
  const ownFamily = table.has(DEST.FAMILY) ? familyOfNumber(table.u16(DEST.FAMILY)) : family;
  const forwarding = FORWARDING_METHODS[table.u32(DEST.FWD) & 7];
  if (forwarding === undefined) throw protocolError(`forwarding method ${table.u32(DEST.FWD)}`);
  const tunnelType = table.has(DEST.TUN_TYPE) ? TUNNEL_TYPES[table.u8(DEST.TUN_TYPE)] : undefined;
  return {
    address: decodeIp(bytes, table.start(DEST.ADDR, ownFamily === 'IPv4' ? 4 : 16), ownFamily),
    port: table.u16Be(DEST.PORT),
    forwarding,
    weight: table.u32(DEST.WEIGHT),
    upperThreshold: table.u32(DEST.U_THRESH),
    lowerThreshold: table.u32(DEST.L_THRESH),
    // Every destination carries a tunnel type in replies; it means something for the tunnel method alone.
    ...(forwarding === 'tunnel' && tunnelType !== undefined
      ? {
          tunnel: {
            type: tunnelType,
            // The attributes are of different ages; a kernel without one does as if it were 0.
            port: table.has(DEST.TUN_PORT) ? table.u16Be(DEST.TUN_PORT) : 0,
            flags: table.has(DEST.TUN_FLAGS) ? table.u16(DEST.TUN_FLAGS) : 0,
          },
        }
      : {}),
    activeConnections: table.u32(DEST.ACTIVE),
    inactiveConnections: table.u32(DEST.INACTIVE),
    persistentConnections: table.u32(DEST.PERSIST),
    stats: withStats ? decodeStats(bytes, table, DEST.STATS, DEST.STATS64) : null,
  };
}

/** 64-bit counters where the kernel has them (since 4.1), else the 32-bit ones (whose byte counters are 64-bit all the same). */
function decodeStats(bytes: Uint8Array, parent: AttributeTable, narrow: number, wide: number): IpvsStats {
  const isWide = parent.has(wide);
  const type = isWide ? wide : narrow;
  const table = statsTable.parse(bytes, parent.start(type), parent.end(type));
  const count = (attribute: number, isBytes = false): bigint =>
    isWide || isBytes ? table.u64(attribute) : BigInt(table.u32(attribute));
  return {
    connections: count(1),
    inPackets: count(2),
    outPackets: count(3),
    inBytes: count(4, true),
    outBytes: count(5, true),
    connectionsPerSecond: count(6),
    inPacketsPerSecond: count(7),
    outPacketsPerSecond: count(8),
    inBytesPerSecond: count(9),
    outBytesPerSecond: count(10),
  };
}

export { topTable as ipvsTopLevel };
