// Connection tracking over netlink: types of entries and filters, and bytes to values and back. Pure.
// Sources: include/uapi/linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h (IPS_* bits);
// net/netfilter/nf_conntrack_netlink.c and nf_internals.h (bits of CTA_FILTER).

import { familyOf, type Family, type IpAddress } from '../model/ip.ts';
import { addressAt, attrAddress, familyOfNumber, NFGENMSG_BYTES } from './nfnetlink.ts';
import { AttributeTable, protocolError, type MessageWriter } from './wire.ts';

/** IPCTNL_MSG_CT_* */
export const CONNTRACK_CMD = { NEW: 0, GET: 1, DELETE: 2 } as const;

/** CTA_* */
const CTA = {
  TUPLE_ORIG: 1,
  TUPLE_REPLY: 2,
  STATUS: 3,
  TIMEOUT: 7,
  MARK: 8,
  ID: 12,
  ZONE: 18,
  FILTER: 25,
} as const;
/** CTA_TUPLE_* */
const TUPLE = { IP: 1, PROTO: 2, ZONE: 3 } as const;
/** CTA_IP_* */
const IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
/** CTA_PROTO_* */
const PROTO = {
  NUM: 1,
  SRC_PORT: 2,
  DST_PORT: 3,
  ICMP_ID: 4,
  ICMP_TYPE: 5,
  ICMP_CODE: 6,
  ICMPV6_ID: 7,
  ICMPV6_TYPE: 8,
  ICMPV6_CODE: 9,
} as const;
/** CTA_FILTER_* */
const FILTER = { ORIG_FLAGS: 1, REPLY_FLAGS: 2 } as const;
/** Bits of the filter's flags: which parts of the tuple are compared (net/netfilter/nf_internals.h). */
const FILTER_BIT = {
  SOURCE: 1 << 0,
  DESTINATION: 1 << 1,
  PROTOCOL: 1 << 3,
  SOURCE_PORT: 1 << 4,
  DESTINATION_PORT: 1 << 5,
} as const;

/** IPS_* bits of a status that matter here. */
export const STATUS = {
  SEEN_REPLY: 1 << 1,
  ASSURED: 1 << 2,
  CONFIRMED: 1 << 3,
  SRC_NAT: 1 << 4,
  DST_NAT: 1 << 5,
  DYING: 1 << 9,
} as const;

/** One direction of a connection. Protocols without ports have 0 in both. */
export interface ConntrackTuple {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** Protocol number. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Only of ICMP and ICMPv6: what stands for ports there. */
  readonly icmp?: { readonly id: number; readonly type: number; readonly code: number };
}

/** A tracked connection. With NAT, `reply` is not the mirror of `original`: its source is the real server. */
export interface ConntrackEntry {
  readonly family: Family;
  readonly original: ConntrackTuple;
  readonly reply: ConntrackTuple;
  /** Zone of both directions, 0 without zones. */
  readonly zone: number;
  readonly mark: number;
  /** STATUS bits and others. */
  readonly status: number;
  /** Seconds until it is forgotten; null where the kernel does not tell. */
  readonly timeoutSeconds: number | null;
  /** Tells this connection from most later ones with the same tuples; 0 where the kernel does not tell. */
  readonly id: number;
}

/** The parts of a tuple that a filter can ask for. */
export type TupleFilter = Partial<
  Pick<ConntrackTuple, 'source' | 'destination' | 'protocol' | 'sourcePort' | 'destinationPort'>
>;

/** Which entries to list: all given parts must be equal. */
export interface ConntrackFilter {
  readonly family: Family;
  readonly original?: TupleFilter;
  readonly reply?: TupleFilter;
}

/** True when every part that the filter names is equal. */
export function matchesFilter(filter: ConntrackFilter, entry: ConntrackEntry): boolean {
  return (
    entry.family === filter.family &&
    matchesTuple(filter.original, entry.original) &&
    matchesTuple(filter.reply, entry.reply)
  );
}

function matchesTuple(filter: TupleFilter | undefined, tuple: ConntrackTuple): boolean {
  if (filter === undefined) return true;
  return (
    (filter.source === undefined || filter.source === tuple.source) &&
    (filter.destination === undefined || filter.destination === tuple.destination) &&
    (filter.protocol === undefined || filter.protocol === tuple.protocol) &&
    (filter.sourcePort === undefined || filter.sourcePort === tuple.sourcePort) &&
    (filter.destinationPort === undefined || filter.destinationPort === tuple.destinationPort)
  );
}

/**
 * Writes the parts of a filter that the kernel can compare itself; writes nothing when there are none. Kernels before 5.8 pass over
 * it and list everything, so the answers must be compared again.
 */
export function encodeFilter(writer: MessageWriter, filter: ConntrackFilter): void {
  const original = kernelPart(filter.original);
  const reply = kernelPart(filter.reply);
  if (filterBits(original) !== 0) encodeTuple(writer, CTA.TUPLE_ORIG, original);
  if (filterBits(reply) !== 0) encodeTuple(writer, CTA.TUPLE_REPLY, reply);
  if (filterBits(original) === 0 && filterBits(reply) === 0) return;
  const nest = writer.beginNest(CTA.FILTER);
  writer.attrU32(FILTER.ORIG_FLAGS, filterBits(original));
  writer.attrU32(FILTER.REPLY_FLAGS, filterBits(reply));
  writer.endNest(nest);
}

/** The part of a filter that `encodeFilter` hands to the kernel. */
export function kernelFilter({ family, original, reply }: ConntrackFilter): ConntrackFilter {
  return { family, original: kernelPart(original), reply: kernelPart(reply) };
}

/**
 * Not ports without a protocol, which the kernel refuses, and not addresses of IPv6: asked for one, Linux gives everything but its entries
 * (seen on 6.1 and 6.18: ctnetlink_filter_match_tuple takes the 0 of ipv6_addr_cmp, which means equal, for a difference).
 */
function kernelPart(filter: TupleFilter = {}): TupleFilter {
  const { source, destination, protocol, sourcePort, destinationPort } = filter;
  const part: { -readonly [K in keyof TupleFilter]: TupleFilter[K] } = {};
  if (source !== undefined && familyOf(source) === 'IPv4') part.source = source;
  if (destination !== undefined && familyOf(destination) === 'IPv4') part.destination = destination;
  if (protocol === undefined) return part;
  part.protocol = protocol;
  if (sourcePort !== undefined) part.sourcePort = sourcePort;
  if (destinationPort !== undefined) part.destinationPort = destinationPort;
  return part;
}

function filterBits(filter: TupleFilter): number {
  return (
    (filter.source === undefined ? 0 : FILTER_BIT.SOURCE) |
    (filter.destination === undefined ? 0 : FILTER_BIT.DESTINATION) |
    (filter.protocol === undefined ? 0 : FILTER_BIT.PROTOCOL) |
    (filter.sourcePort === undefined ? 0 : FILTER_BIT.SOURCE_PORT) |
    (filter.destinationPort === undefined ? 0 : FILTER_BIT.DESTINATION_PORT)
  );
}

/** Writes what names one entry in a delete message: its original tuple, its zone, and its id against a later twin. */
export function encodeEntryKey(writer: MessageWriter, entry: ConntrackEntry): void {
  encodeTuple(writer, CTA.TUPLE_ORIG, entry.original);
  if (entry.zone !== 0) writer.attrU16Be(CTA.ZONE, entry.zone);
  if (entry.id !== 0) writer.attrU32Be(CTA.ID, entry.id);
}

/** Attributes of an entry that hold a tuple. */
export const TUPLE_ATTR = { ORIGINAL: CTA.TUPLE_ORIG, REPLY: CTA.TUPLE_REPLY } as const;

/** Writes a tuple, or the parts of one that are there, as attribute `type`. */
export function encodeTuple(
  writer: MessageWriter,
  type: number,
  tuple: TupleFilter & Pick<Partial<ConntrackTuple>, 'icmp'>,
): void {
  const nest = writer.beginNest(type);
  const { source, destination, protocol, sourcePort, destinationPort, icmp } = tuple;
  const ip = writer.beginNest(TUPLE.IP);
  if (source !== undefined) attrAddress(writer, familyOf(source) === 'IPv4' ? IP.V4_SRC : IP.V6_SRC, source);
  if (destination !== undefined)
    attrAddress(writer, familyOf(destination) === 'IPv4' ? IP.V4_DST : IP.V6_DST, destination);
  writer.endNest(ip);
  const proto = writer.beginNest(TUPLE.PROTO);
  if (protocol !== undefined) writer.attrU8(PROTO.NUM, protocol);
  if (icmp !== undefined) {
    // Protocol 58 is ICMPv6, whose attributes are three further on.
    const shift = protocol === 58 ? PROTO.ICMPV6_ID - PROTO.ICMP_ID : 0;
    writer.attrU16Be(PROTO.ICMP_ID + shift, icmp.id);
    writer.attrU8(PROTO.ICMP_TYPE + shift, icmp.type);
    writer.attrU8(PROTO.ICMP_CODE + shift, icmp.code);
  } else {
    if (sourcePort !== undefined) writer.attrU16Be(PROTO.SRC_PORT, sourcePort);
    if (destinationPort !== undefined) writer.attrU16Be(PROTO.DST_PORT, destinationPort);
  }
  writer.endNest(proto);
  writer.endNest(nest);
}

const entryTable = new AttributeTable('conntrack entry', 26);
const tupleTable = new AttributeTable('conntrack tuple', 3);
const ipTable = new AttributeTable('conntrack addresses', 4);
const protoTable = new AttributeTable('conntrack protocol', 9);

/** Decodes the payload of a conntrack message; undefined for families other than IPv4 and IPv6. Throws KERNEL_PROTOCOL. */
export function decodeEntry(bytes: Uint8Array, start: number, end: number): ConntrackEntry | undefined {
  if (end - start < NFGENMSG_BYTES) throw protocolError('conntrack entry without a family header');
  const family = familyOfNumber(bytes[start] ?? 0);
  if (family === null) return undefined;
  const table = entryTable.parse(bytes, start + NFGENMSG_BYTES, end);
  return {
    family,
    original: decodeTuple(bytes, CTA.TUPLE_ORIG, family),
    reply: decodeTuple(bytes, CTA.TUPLE_REPLY, family),
    zone: table.has(CTA.ZONE) ? table.u16Be(CTA.ZONE) : 0,
    mark: table.has(CTA.MARK) ? table.u32Be(CTA.MARK) : 0,
    status: table.has(CTA.STATUS) ? table.u32Be(CTA.STATUS) : 0,
    timeoutSeconds: table.has(CTA.TIMEOUT) ? table.u32Be(CTA.TIMEOUT) : null,
    id: table.has(CTA.ID) ? table.u32Be(CTA.ID) : 0,
  };
}

function decodeTuple(bytes: Uint8Array, type: number, family: Family): ConntrackTuple {
  const tuple = tupleTable.parse(bytes, entryTable.start(type), entryTable.end(type));
  const ip = ipTable.parse(bytes, tuple.start(TUPLE.IP), tuple.end(TUPLE.IP));
  const proto = protoTable.parse(bytes, tuple.start(TUPLE.PROTO), tuple.end(TUPLE.PROTO));
  const isV4 = family === 'IPv4';
  const protocol = proto.u8(PROTO.NUM);
  const shift = protocol === 58 ? PROTO.ICMPV6_ID - PROTO.ICMP_ID : 0;
  return {
    source: addressAt(ip, bytes, isV4 ? IP.V4_SRC : IP.V6_SRC, family),
    destination: addressAt(ip, bytes, isV4 ? IP.V4_DST : IP.V6_DST, family),
    protocol,
    sourcePort: proto.has(PROTO.SRC_PORT) ? proto.u16Be(PROTO.SRC_PORT) : 0,
    destinationPort: proto.has(PROTO.DST_PORT) ? proto.u16Be(PROTO.DST_PORT) : 0,
    ...(proto.has(PROTO.ICMP_ID + shift)
      ? {
          icmp: {
            id: proto.u16Be(PROTO.ICMP_ID + shift),
            type: proto.u8(PROTO.ICMP_TYPE + shift),
            code: proto.u8(PROTO.ICMP_CODE + shift),
          },
        }
      : {}),
  };
}

/** An entry for errors: "udp 10.0.0.1:999 -> 10.96.0.10:53" with the protocol as a number. */
export function formatEntry({ original }: ConntrackEntry): string {
  const { protocol, source, sourcePort, destination, destinationPort } = original;
  return `protocol ${protocol} ${source} port ${sourcePort} -> ${destination} port ${destinationPort}`;
}
