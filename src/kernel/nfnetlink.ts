// What all netfilter subsystems on netlink share: message types, the family header, and addresses inside nests. Pure.
// Source: include/uapi/linux/netfilter/nfnetlink.h.

import { decodeIp, encodeIp, familyOf, type Family, type IpAddress } from '../model/ip.ts';
import { AF_INET, AF_INET6 } from './libc.ts';
import { NLA_F_NET_BYTEORDER, type AttributeTable, type MessageWriter } from './wire.ts';

export const NETLINK_NETFILTER = 12;
/** struct nfgenmsg: u8 family | u8 version | u16 res_id (big-endian). */
export const NFGENMSG_BYTES = 4;

/** Subsystem numbers (NFNL_SUBSYS_*). */
export const SUBSYSTEM = { CTNETLINK: 1, IPSET: 6, NFTABLES: 10 } as const;

/** NFPROTO_UNSPEC, for what belongs to no address family. */
export const AF_UNSPEC = 0;

/** The message type of a command: subsystem in the high byte, command in the low one. */
export function nfnetlinkType(subsystem: number, command: number): number {
  return (subsystem << 8) | command;
}

/** Writes the family header behind a message header. */
export function writeNfgenmsg(writer: MessageWriter, addressFamily: number): void {
  writer.u8(addressFamily);
  writer.u8(0);
  writer.u16Be(0);
}

/** AF_INET or AF_INET6. */
export function addressFamilyOf(family: Family): number {
  return family === 'IPv4' ? AF_INET : AF_INET6;
}

/** The family of an AF_* number, null for any other. */
export function familyOfNumber(addressFamily: number): Family | null {
  if (addressFamily === AF_INET) return 'IPv4';
  return addressFamily === AF_INET6 ? 'IPv6' : null;
}

/** Bytes of an address. */
export function addressBytes(family: Family): 4 | 16 {
  return family === 'IPv4' ? 4 : 16;
}

/** Writes an address as an attribute of exactly its bytes. */
export function attrAddress(writer: MessageWriter, type: number, address: IpAddress): void {
  encodeIp(address, writer.bytes, writer.attrReserve(type, addressBytes(familyOf(address))));
}

/** An address in network byte order, flagged as such. */
export function attrAddressBe(writer: MessageWriter, type: number, address: IpAddress): void {
  attrAddress(writer, type | NLA_F_NET_BYTEORDER, address);
}

/** The address in attribute `type`, which must hold at least the bytes of its family. */
export function addressAt(table: AttributeTable, bytes: Uint8Array, type: number, family: Family): IpAddress {
  return decodeIp(bytes, table.start(type, addressBytes(family)), family);
}
