// The rest of the IPVS netlink protocol: connection sync daemons, timeouts (CONFIG) and INFO. Pure.
// Source: include/uapi/linux/ip_vs.h (IPVS_DAEMON_ATTR_*, IPVS_CMD_ATTR_TIMEOUT_*, IPVS_INFO_ATTR_*).

import { decodeIp, encodeIp, type IpAddress } from '../model/ip.ts';
import { GENL_HEADER_BYTES } from './genetlink.ts';
import { ipvsTopLevel } from './ipvs-codec.ts';
import { AttributeTable, protocolError, type MessageWriter } from './wire.ts';

/** Role of a sync daemon; at most one of each runs in a network namespace. */
export type DaemonRole = 'master' | 'backup';

/** What one asks for when a sync daemon is started; what is undefined takes the kernel's default. */
export interface IpvsDaemonSettings {
  readonly role: DaemonRole;
  /** Interface name, at most 15 characters. */
  readonly interfaceName: string;
  /** 0 to 255. */
  readonly syncId: number;
  readonly maxLengthBytes?: number | undefined;
  readonly multicastGroup?: IpAddress | undefined;
  readonly multicastPort?: number | undefined;
  readonly multicastTtl?: number | undefined;
}

/** A running daemon; everything is set, with the kernel's defaults filled in. */
export interface IpvsDaemonState {
  readonly role: DaemonRole;
  readonly interfaceName: string;
  readonly syncId: number;
  readonly maxLengthBytes: number;
  readonly multicastGroup: IpAddress;
  readonly multicastPort: number;
  readonly multicastTtl: number;
}

/** Timeouts of connections in seconds. */
export interface IpvsTimeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

export interface IpvsInfo {
  /** 0x010201 is 1.2.1. */
  readonly version: number;
  readonly connectionTableSize: number;
}

const ATTR_DAEMON = 3;
const ATTR_TIMEOUT_TCP = 4;
const ATTR_TIMEOUT_TCP_FIN = 5;
const ATTR_TIMEOUT_UDP = 6;
const DAEMON = { STATE: 1, IFN: 2, SYNC_ID: 3, MAXLEN: 4, GROUP: 5, GROUP6: 6, PORT: 7, TTL: 8 };
const STATE_MASTER = 1;
const STATE_BACKUP = 2;
const INFO_VERSION = 1;
const INFO_CONN_TAB_SIZE = 2;

export function encodeDaemon(writer: MessageWriter, daemon: IpvsDaemonSettings): void {
  const nest = writer.beginNest(ATTR_DAEMON);
  writer.attrU32(DAEMON.STATE, daemon.role === 'master' ? STATE_MASTER : STATE_BACKUP);
  writer.attrText(DAEMON.IFN, daemon.interfaceName);
  writer.attrU32(DAEMON.SYNC_ID, daemon.syncId);
  if (daemon.maxLengthBytes !== undefined) writer.attrU16(DAEMON.MAXLEN, daemon.maxLengthBytes);
  if (daemon.multicastGroup !== undefined) {
    const isV6 = daemon.multicastGroup.includes(':');
    const at = writer.attrReserve(isV6 ? DAEMON.GROUP6 : DAEMON.GROUP, isV6 ? 16 : 4);
    encodeIp(daemon.multicastGroup, writer.bytes, at);
  }
  if (daemon.multicastPort !== undefined) writer.attrU16(DAEMON.PORT, daemon.multicastPort);
  if (daemon.multicastTtl !== undefined) writer.attrU8(DAEMON.TTL, daemon.multicastTtl);
  writer.endNest(nest);
}

/** The DAEMON nest with the role alone, as DEL_DAEMON needs it. */
export function encodeDaemonRole(writer: MessageWriter, role: DaemonRole): void {
  const nest = writer.beginNest(ATTR_DAEMON);
  writer.attrU32(DAEMON.STATE, role === 'master' ? STATE_MASTER : STATE_BACKUP);
  writer.endNest(nest);
}

/** Writes the timeouts that are given; the kernel leaves the others alone. */
export function encodeTimeouts(writer: MessageWriter, timeouts: Partial<IpvsTimeouts>): void {
  if (timeouts.tcpSeconds !== undefined) writer.attrU32(ATTR_TIMEOUT_TCP, timeouts.tcpSeconds);
  if (timeouts.tcpFinSeconds !== undefined) writer.attrU32(ATTR_TIMEOUT_TCP_FIN, timeouts.tcpFinSeconds);
  if (timeouts.udpSeconds !== undefined) writer.attrU32(ATTR_TIMEOUT_UDP, timeouts.udpSeconds);
}

const daemonTable = new AttributeTable('IPVS daemon', DAEMON.TTL);

/** Decodes a NEW_DAEMON message of a GET_DAEMON dump. */
export function decodeDaemon(bytes: Uint8Array, start: number, end: number): IpvsDaemonState {
  ipvsTopLevel.parse(bytes, start + GENL_HEADER_BYTES, end);
  const table = daemonTable.parse(bytes, ipvsTopLevel.start(ATTR_DAEMON), ipvsTopLevel.end(ATTR_DAEMON));
  const state = table.u32(DAEMON.STATE);
  if (state !== STATE_MASTER && state !== STATE_BACKUP) throw protocolError(`IPVS daemon state ${state}`);
  const multicastGroup = table.has(DAEMON.GROUP6)
    ? decodeIp(bytes, table.start(DAEMON.GROUP6, 16), 'IPv6')
    : decodeIp(bytes, table.start(DAEMON.GROUP, 4), 'IPv4');
  return {
    role: state === STATE_MASTER ? 'master' : 'backup',
    interfaceName: table.string(DAEMON.IFN),
    syncId: table.u32(DAEMON.SYNC_ID),
    maxLengthBytes: table.u16(DAEMON.MAXLEN),
    multicastGroup,
    multicastPort: table.u16(DAEMON.PORT),
    multicastTtl: table.u8(DAEMON.TTL),
  };
}

/** Decodes the answer to GET_CONFIG. */
export function decodeTimeouts(bytes: Uint8Array, start: number, end: number): IpvsTimeouts {
  ipvsTopLevel.parse(bytes, start + GENL_HEADER_BYTES, end);
  return {
    tcpSeconds: ipvsTopLevel.u32(ATTR_TIMEOUT_TCP),
    tcpFinSeconds: ipvsTopLevel.u32(ATTR_TIMEOUT_TCP_FIN),
    udpSeconds: ipvsTopLevel.u32(ATTR_TIMEOUT_UDP),
  };
}

/** Decodes the answer to GET_INFO, which numbers its attributes anew. */
export function decodeInfo(bytes: Uint8Array, start: number, end: number): IpvsInfo {
  ipvsTopLevel.parse(bytes, start + GENL_HEADER_BYTES, end);
  return {
    version: ipvsTopLevel.u32(INFO_VERSION),
    connectionTableSize: ipvsTopLevel.u32(INFO_CONN_TAB_SIZE),
  };
}
