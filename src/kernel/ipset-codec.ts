// ipset over netlink: types of sets and members, their text, and bytes to values and back. Pure.
// Covers the set types that kube-proxy uses; headers of other types decode too, their members do not.
// Sources: include/uapi/linux/netfilter/ipset/ip_set.h (the numbers), ipset(8) (the texts).

import { familyOf, parseIp, type Family, type IpAddress } from '../model/ip.ts';
import { PointsmanError } from '../model/errors.ts';
import { addressAt, addressFamilyOf, attrAddressBe, familyOfNumber, NFGENMSG_BYTES } from './nfnetlink.ts';
import {
  AttributeTable,
  NLA_F_NET_BYTEORDER,
  protocolError,
  visitAttributes,
  type MessageWriter,
} from './wire.ts';

/** IPSET_CMD_* */
export const IPSET_CMD = {
  PROTOCOL: 1,
  CREATE: 2,
  DESTROY: 3,
  FLUSH: 4,
  RENAME: 5,
  SWAP: 6,
  LIST: 7,
  ADD: 9,
  DEL: 10,
  TYPE: 13,
} as const;

/** IPSET_ATTR_* of the command level. */
export const SET_ATTR = {
  PROTOCOL: 1,
  SETNAME: 2,
  TYPENAME: 3,
  SETNAME2: 3,
  REVISION: 4,
  FAMILY: 5,
  FLAGS: 6,
  DATA: 7,
  ADT: 8,
  LINENO: 9,
  PROTOCOL_MIN: 10,
  REVISION_MIN: 10,
} as const;

/** IPSET_ATTR_* inside DATA of a create message or a header. */
const CREATE = {
  PORT: 4,
  PORT_TO: 5,
  HASHSIZE: 18,
  MAXELEM: 19,
  ELEMENTS: 24,
  REFERENCES: 25,
  MEMSIZE: 26,
} as const;

/** IPSET_ATTR_* inside DATA of a member. */
const MEMBER = { IP: 1, PORT: 4, PROTO: 7, CADT_FLAGS: 8, LINENO: 9, IP2: 20, CIDR2: 21 } as const;

/** IPSET_ATTR_IPADDR_*: the attribute inside an IP nest. */
const IPADDR = { IPV4: 1, IPV6: 2 } as const;

/** IPSET_FLAG_LIST_HEADER: list without members. */
export const FLAG_LIST_HEADER = 4;
/** IPSET_FLAG_NOMATCH of a member. */
const FLAG_NOMATCH = 4;

/** The longest set name; IPSET_MAXNAMELEN counts the NUL. */
export const MAX_SET_NAME_CHARACTERS = 31;

/** Set types whose members are understood. */
export const SET_TYPES = [
  'hash:ip',
  'hash:ip,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'bitmap:port',
] as const;
export type SetType = (typeof SET_TYPES)[number];

/**
 * A set as one creates it. What is undefined takes ipset's default: hashSize 1024, maxElements 65536, ports 0 to 65535. Bitmaps have
 * no family in the kernel; it is ignored there.
 */
export interface SetDefinition {
  /** At most 31 characters of printable ASCII. */
  readonly name: string;
  readonly type: SetType;
  readonly family: Family;
  readonly hashSize?: number;
  readonly maxElements?: number;
  readonly portFrom?: number;
  readonly portTo?: number;
}

/**
 * One member. Which fields a type needs: hash:ip address; hash:ip,port also protocol and port; hash:ip,port,ip also address2;
 * hash:ip,port,net also address2 and prefixLength2; bitmap:port only port.
 */
export interface SetMember {
  readonly address?: IpAddress;
  /** Protocol number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly protocol?: number;
  readonly port?: number;
  readonly address2?: IpAddress;
  readonly prefixLength2?: number;
  /** True for an exception in a set of networks (ipset's "nomatch"). */
  readonly isException?: true;
}

/** What the kernel says of a set. */
export interface SetState {
  readonly name: string;
  /** The kernel's type name, which may be one that is not in SET_TYPES. */
  readonly type: string;
  /** null for types without one (bitmap:port). */
  readonly family: Family | null;
  readonly revision: number;
  readonly hashSize?: number;
  readonly maxElements?: number;
  readonly portFrom?: number;
  readonly portTo?: number;
  /** Rules and sets that use it; while any does, it cannot be destroyed. */
  readonly references: number;
  /** Number of members; null from kernels that do not tell (before 4.9). */
  readonly entries: number | null;
  readonly memoryBytes: number;
}

/** One message of a list: a set's first one brings its header, later ones more members of the set named. */
export interface SetListPart {
  readonly name: string;
  readonly header: SetState | null;
  readonly members: readonly SetMember[];
}

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);
const PROTOCOL_NUMBERS: ReadonlyMap<string, number> = new Map(
  [...PROTOCOL_NAMES].map(([number, name]) => [name, number]),
);

/** A member as `ipset list` prints it: "10.96.0.1,tcp:443", "10.96.0.1,tcp:443,10.0.0.0/8", "443". Unique inside a set. */
export function formatMember(member: SetMember): string {
  const parts: string[] = [];
  if (member.address !== undefined) parts.push(member.address);
  if (member.port !== undefined) {
    const protocol = member.protocol;
    parts.push(
      protocol === undefined
        ? String(member.port)
        : `${PROTOCOL_NAMES.get(protocol) ?? protocol}:${member.port}`,
    );
  }
  if (member.address2 !== undefined) parts.push(formatNetwork(member.address2, member.prefixLength2));
  return parts.join(',') + (member.isException === true ? ' nomatch' : '');
}

function formatNetwork(address: IpAddress, prefixLength: number | undefined): string {
  const full = familyOf(address) === 'IPv4' ? 32 : 128;
  return prefixLength === undefined || prefixLength === full ? address : `${address}/${prefixLength}`;
}

/** The inverse of formatMember for a set of this type and family. Throws INVALID_OBJECT, which says what is wrong. */
export function parseMember(type: SetType, family: Family, text: string): SetMember {
  const isException = text.endsWith(' nomatch');
  const parts = (isException ? text.slice(0, -' nomatch'.length) : text).split(',');
  const exception = isException ? ({ isException: true } as const) : {};
  const bad = (why: string): PointsmanError =>
    new PointsmanError('INVALID_OBJECT', `not a member of a ${type} set: ${JSON.stringify(text)}: ${why}`, {
      type,
      text,
    });
  if (parts.length !== type.split(',').length) throw bad(`it needs ${type.split(',').length} parts`);
  if (isException && type !== 'hash:ip,port,net') throw bad('only sets of networks have nomatch');
  const [first = '', second = '', third = ''] = parts;
  if (type === 'bitmap:port') return { port: parsePort(first, bad) };
  const address = parseOfFamily(first, family, bad);
  if (type === 'hash:ip') return { address };
  const [protocolText = '', portText = '', ...more] = second.split(':');
  if (more.length > 0) throw bad('more than one port');
  const protocol = PROTOCOL_NUMBERS.get(protocolText) ?? parseNumber(protocolText, 255, 'protocol', bad);
  const portal = { address, protocol, port: parsePort(portText, bad) };
  if (type === 'hash:ip,port') return portal;
  if (type === 'hash:ip,port,ip') return { ...portal, address2: parseOfFamily(third, family, bad) };
  const [address2 = '', prefix, ...behind] = third.split('/');
  if (behind.length > 0) throw bad('more than one prefix length');
  const full = family === 'IPv4' ? 32 : 128;
  const prefixLength2 = prefix === undefined ? full : parseNumber(prefix, full, 'prefix length', bad);
  return { ...portal, address2: parseOfFamily(address2, family, bad), prefixLength2, ...exception };
}

type Complain = (why: string) => PointsmanError;

function parseOfFamily(text: string, family: Family, bad: Complain): IpAddress {
  const address = parseIp(text);
  if (address === null) throw bad(`${JSON.stringify(text)} is not an address`);
  if (familyOf(address) !== family) throw bad(`${address} is not ${family}`);
  return address;
}

function parsePort(text: string, bad: Complain): number {
  return parseNumber(text, 65535, 'port', bad);
}

function parseNumber(text: string, max: number, what: string, bad: Complain): number {
  const value = Number(text);
  if (!/^(0|[1-9]\d{0,4})$/.test(text) || value > max)
    throw bad(`${what} ${JSON.stringify(text)} is not a number from 0 to ${max}`);
  return value;
}

/** Writes DATA of a create message: sizes for hashes, the range for bitmaps. */
export function encodeCreateData(writer: MessageWriter, set: SetDefinition): void {
  const data = writer.beginNest(SET_ATTR.DATA);
  if (set.type === 'bitmap:port') {
    writer.attrU16Be(CREATE.PORT | NLA_F_NET_BYTEORDER, set.portFrom ?? 0);
    writer.attrU16Be(CREATE.PORT_TO | NLA_F_NET_BYTEORDER, set.portTo ?? 65535);
  } else {
    writer.attrU32Be(CREATE.HASHSIZE | NLA_F_NET_BYTEORDER, set.hashSize ?? 1024);
    writer.attrU32Be(CREATE.MAXELEM | NLA_F_NET_BYTEORDER, set.maxElements ?? 65536);
  }
  writer.endNest(data);
}

/** Writes one member as a DATA nest. `line` comes back in the kernel's error when the member is one of a list; 0 leaves it out. */
export function encodeMember(writer: MessageWriter, member: SetMember, line: number): void {
  const data = writer.beginNest(SET_ATTR.DATA);
  if (member.address !== undefined) encodeAddress(writer, MEMBER.IP, member.address);
  if (member.port !== undefined) writer.attrU16Be(MEMBER.PORT | NLA_F_NET_BYTEORDER, member.port);
  if (member.protocol !== undefined) writer.attrU8(MEMBER.PROTO, member.protocol);
  if (member.address2 !== undefined) encodeAddress(writer, MEMBER.IP2, member.address2);
  if (member.prefixLength2 !== undefined) writer.attrU8(MEMBER.CIDR2, member.prefixLength2);
  if (member.isException === true) writer.attrU32Be(MEMBER.CADT_FLAGS | NLA_F_NET_BYTEORDER, FLAG_NOMATCH);
  if (line !== 0) writer.attrU32(MEMBER.LINENO, line);
  writer.endNest(data);
}

function encodeAddress(writer: MessageWriter, type: number, address: IpAddress): void {
  const nest = writer.beginNest(type);
  attrAddressBe(writer, familyOf(address) === 'IPv4' ? IPADDR.IPV4 : IPADDR.IPV6, address);
  writer.endNest(nest);
}

/** The family number of a create or type message: bitmaps have none. */
export function setFamilyNumber(type: SetType, family: Family): number {
  return type === 'bitmap:port' ? 0 : addressFamilyOf(family);
}

const commandTable = new AttributeTable('set', 11);
const dataTable = new AttributeTable('set header', 26);
const memberTable = new AttributeTable('set member', 30);
const addressTable = new AttributeTable('set member address', 2);

/** Decodes one message of a list; [start, end) is its payload. Throws KERNEL_PROTOCOL. */
export function decodeListPart(bytes: Uint8Array, start: number, end: number): SetListPart {
  const table = commandTable.parse(bytes, start + NFGENMSG_BYTES, end);
  const name = table.string(SET_ATTR.SETNAME);
  const header = table.has(SET_ATTR.TYPENAME) && table.has(SET_ATTR.DATA) ? decodeHeader(bytes, name) : null;
  const members: SetMember[] = [];
  if (table.has(SET_ATTR.ADT)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    visitAttributes(
      view,
      table.start(SET_ATTR.ADT),
      table.end(SET_ATTR.ADT),
      'set members',
      (type, from, to) => {
        if (type === SET_ATTR.DATA) members.push(decodeMember(bytes, from, to));
      },
    );
  }
  return { name, header, members };
}

function decodeHeader(bytes: Uint8Array, name: string): SetState {
  const data = dataTable.parse(bytes, commandTable.start(SET_ATTR.DATA), commandTable.end(SET_ATTR.DATA));
  return {
    name,
    type: commandTable.string(SET_ATTR.TYPENAME),
    family: familyOfNumber(commandTable.u8(SET_ATTR.FAMILY)),
    revision: commandTable.u8(SET_ATTR.REVISION),
    ...(data.has(CREATE.HASHSIZE) ? { hashSize: data.u32Be(CREATE.HASHSIZE) } : {}),
    ...(data.has(CREATE.MAXELEM) ? { maxElements: data.u32Be(CREATE.MAXELEM) } : {}),
    ...(data.has(CREATE.PORT) ? { portFrom: data.u16Be(CREATE.PORT) } : {}),
    ...(data.has(CREATE.PORT_TO) ? { portTo: data.u16Be(CREATE.PORT_TO) } : {}),
    references: data.has(CREATE.REFERENCES) ? data.u32Be(CREATE.REFERENCES) : 0,
    entries: data.has(CREATE.ELEMENTS) ? data.u32Be(CREATE.ELEMENTS) : null,
    memoryBytes: data.has(CREATE.MEMSIZE) ? data.u32Be(CREATE.MEMSIZE) : 0,
  };
}

/** Decodes one member; [start, end) is the payload of its DATA nest. Fields that the kernel did not send stay out. */
export function decodeMember(bytes: Uint8Array, start: number, end: number): SetMember {
  const table = memberTable.parse(bytes, start, end);
  const flags = table.has(MEMBER.CADT_FLAGS) ? table.u32Be(MEMBER.CADT_FLAGS) : 0;
  return {
    ...(table.has(MEMBER.IP) ? { address: decodeAddress(bytes, MEMBER.IP) } : {}),
    ...(table.has(MEMBER.PROTO) ? { protocol: table.u8(MEMBER.PROTO) } : {}),
    ...(table.has(MEMBER.PORT) ? { port: table.u16Be(MEMBER.PORT) } : {}),
    ...(table.has(MEMBER.IP2) ? { address2: decodeAddress(bytes, MEMBER.IP2) } : {}),
    ...(table.has(MEMBER.CIDR2) ? { prefixLength2: table.u8(MEMBER.CIDR2) } : {}),
    ...((flags & FLAG_NOMATCH) !== 0 ? ({ isException: true } as const) : {}),
  };
}

function decodeAddress(bytes: Uint8Array, type: number): IpAddress {
  const table = addressTable.parse(bytes, memberTable.start(type), memberTable.end(type));
  if (table.has(IPADDR.IPV4)) return addressAt(table, bytes, IPADDR.IPV4, 'IPv4');
  if (table.has(IPADDR.IPV6)) return addressAt(table, bytes, IPADDR.IPV6, 'IPv6');
  throw protocolError('set member address of no family');
}

/** Decodes an answer that holds two small numbers at command level: PROTOCOL and PROTOCOL_MIN, or REVISION and REVISION_MIN. */
export function decodeVersions(
  bytes: Uint8Array,
  start: number,
  end: number,
  type: number,
  minType: number,
): { max: number; min: number } {
  const table = commandTable.parse(bytes, start + NFGENMSG_BYTES, end);
  const max = table.u8(type);
  return { max, min: table.has(minType) ? table.u8(minType) : max };
}

/** The line number that ipset wrote into the request it sent back with an error; undefined when the echo has none. */
export function decodeFailedLine(echo: Uint8Array): number | undefined {
  const table = commandTable.parse(echo, NFGENMSG_BYTES, echo.length);
  return table.has(SET_ATTR.LINENO) ? table.u32(SET_ATTR.LINENO) : undefined;
}
