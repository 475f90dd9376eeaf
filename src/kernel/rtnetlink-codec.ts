// rtnetlink: types of links, addresses and routes, and bytes to values and back. Pure.
// Sources: include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h; rtnetlink(7).

import { familyOf, type Family, type IpAddress } from '../model/ip.ts';
import { addressAt, addressBytes, addressFamilyOf, attrAddress, familyOfNumber } from './nfnetlink.ts';
import { AttributeTable, protocolError, type MessageWriter } from './wire.ts';

/** RTM_* */
export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
} as const;

const IFINFOMSG_BYTES = 16;
const IFADDRMSG_BYTES = 8;
const RTMSG_BYTES = 12;
/** IFLA_* */
const LINK = { IFNAME: 3, MTU: 4, LINKINFO: 18 } as const;
const LINKINFO_KIND = 1;
/** IFA_* */
const ADDRESS = { ADDRESS: 1, LOCAL: 2, LABEL: 3, FLAGS: 8 } as const;
/** RTA_* */
const ROUTE = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, TABLE: 15 } as const;

/** IFF_UP */
export const LINK_FLAG_UP = 1;
/** IFA_F_*: how far an IPv6 address got with duplicate address detection. */
export const ADDRESS_FLAG = { DAD_FAILED: 0x08, TENTATIVE: 0x40 } as const;
/** RT_SCOPE_*: how far an address or route reaches. */
export const SCOPE = { UNIVERSE: 0, LINK: 253, HOST: 254 } as const;
/** RTN_*: what a route does. */
export const ROUTE_TYPE = { UNICAST: 1, LOCAL: 2, BROADCAST: 3, BLACKHOLE: 6, UNREACHABLE: 7 } as const;
/** RT_TABLE_* */
export const ROUTE_TABLE = { MAIN: 254, LOCAL: 255 } as const;
/** RTPROT_*: who made a route. */
export const ROUTE_PROTOCOL = { KERNEL: 2, BOOT: 3, STATIC: 4 } as const;
/** RTM_F_CLONED: a cached copy, not a route anybody configured. */
const ROUTE_FLAG_CLONED = 0x200;

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Kind of a virtual device ("dummy", "bridge", "veth"), '' for others. */
  readonly kind: string;
  /** Administratively up (IFF_UP), whether or not a cable is in. */
  readonly isUp: boolean;
  readonly mtu: number;
  /** IFF_* */
  readonly flags: number;
}

/** An address of a network interface. */
export interface LinkAddress {
  readonly linkIndex: number;
  readonly family: Family;
  /** This machine's own address. */
  readonly address: IpAddress;
  /** The other end of a point-to-point address; null where there is none. */
  readonly peer: IpAddress | null;
  readonly prefixLength: number;
  /** SCOPE. */
  readonly scope: number;
  /** ADDRESS_FLAG and others (IFA_F_*). */
  readonly flags: number;
}

/** A route with at most one next hop. */
export interface Route {
  readonly family: Family;
  /** ROUTE_TABLE or another number. */
  readonly table: number;
  /** ROUTE_TYPE. */
  readonly type: number;
  readonly destination: IpAddress;
  readonly prefixLength: number;
  readonly gateway: IpAddress | null;
  /** null where the kernel names none: blackhole and the like, and routes over several links. */
  readonly linkIndex: number | null;
  /** ROUTE_PROTOCOL. */
  readonly protocol: number;
  /** SCOPE. */
  readonly scope: number;
  /** Metric; the smallest wins. 0 lets the kernel choose (1024 for IPv6). */
  readonly priority: number;
  readonly preferredSource: IpAddress | null;
}

/** Writes struct ifinfomsg. `change` says which bits of `flags` are meant. */
export function writeIfinfomsg(writer: MessageWriter, index: number, flags = 0, change = 0): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(change);
}

/** Writes a request for, or to delete, the link of this name. */
export function encodeLinkName(writer: MessageWriter, name: string): void {
  writeIfinfomsg(writer, 0);
  writer.attrString(LINK.IFNAME, name);
}

/** Writes a request to make a link. */
export function encodeNewLink(writer: MessageWriter, name: string, kind: string): void {
  encodeLinkName(writer, name);
  const info = writer.beginNest(LINK.LINKINFO);
  writer.attrString(LINKINFO_KIND, kind);
  writer.endNest(info);
}

/** Writes struct ifaddrmsg of a dump; family null = both, link 0 = all. */
export function writeAddressQuery(writer: MessageWriter, family: Family | null, linkIndex = 0): void {
  writer.u8(family === null ? 0 : addressFamilyOf(family));
  writer.u8(0);
  writer.u16(0);
  writer.u32(linkIndex);
}

/** Writes an address to add or delete, with its full prefix (/32, /128) and nothing else. */
export function encodeHostAddress(writer: MessageWriter, linkIndex: number, address: IpAddress): void {
  const family = familyOf(address);
  writer.u8(addressFamilyOf(family));
  writer.u8(addressBytes(family) * 8);
  writer.u8(0);
  writer.u8(SCOPE.UNIVERSE);
  writer.u32(linkIndex);
  attrAddress(writer, ADDRESS.LOCAL, address);
  attrAddress(writer, ADDRESS.ADDRESS, address);
}

/** Writes struct rtmsg of a dump. */
export function writeRouteQuery(writer: MessageWriter, family: Family): void {
  writer.u8(addressFamilyOf(family));
  writer.u8(0);
  writer.u16(0);
  writer.u32(0);
  writer.u32(0);
}

/** Writes a route to add or delete. */
export function encodeRoute(writer: MessageWriter, route: Route): void {
  writer.u8(addressFamilyOf(route.family));
  writer.u8(route.prefixLength);
  writer.u8(0);
  writer.u8(0);
  // The header has room for tables up to 255; the attribute below holds all.
  writer.u8(route.table > 255 ? 0 : route.table);
  writer.u8(route.protocol);
  writer.u8(route.scope);
  writer.u8(route.type);
  writer.u32(0);
  attrAddress(writer, ROUTE.DST, route.destination);
  writer.attrU32(ROUTE.TABLE, route.table);
  if (route.linkIndex !== null) writer.attrU32(ROUTE.OIF, route.linkIndex);
  if (route.gateway !== null) attrAddress(writer, ROUTE.GATEWAY, route.gateway);
  if (route.priority !== 0) writer.attrU32(ROUTE.PRIORITY, route.priority);
  if (route.preferredSource !== null) attrAddress(writer, ROUTE.PREFSRC, route.preferredSource);
}

const linkTable = new AttributeTable('link', LINK.LINKINFO);
const linkInfoTable = new AttributeTable('link info', LINKINFO_KIND);
const addressTable = new AttributeTable('link address', ADDRESS.FLAGS);
const routeTable = new AttributeTable('route', ROUTE.TABLE);

function headerView(bytes: Uint8Array, start: number, end: number, size: number, what: string): DataView {
  if (end - start < size) throw protocolError(`${what}: a header of ${end - start} bytes instead of ${size}`);
  return new DataView(bytes.buffer, bytes.byteOffset + start, size);
}

/** Decodes the payload of RTM_NEWLINK or RTM_DELLINK. Throws KERNEL_PROTOCOL. */
export function decodeLink(bytes: Uint8Array, start: number, end: number): Link {
  const head = headerView(bytes, start, end, IFINFOMSG_BYTES, 'link');
  const table = linkTable.parse(bytes, start + IFINFOMSG_BYTES, end);
  let kind = '';
  if (table.has(LINK.LINKINFO)) {
    const info = linkInfoTable.parse(bytes, table.start(LINK.LINKINFO), table.end(LINK.LINKINFO));
    if (info.has(LINKINFO_KIND)) kind = info.string(LINKINFO_KIND);
  }
  const flags = head.getUint32(8, true);
  return {
    index: head.getInt32(4, true),
    name: table.string(LINK.IFNAME),
    kind,
    isUp: (flags & LINK_FLAG_UP) !== 0,
    mtu: table.has(LINK.MTU) ? table.u32(LINK.MTU) : 0,
    flags,
  };
}

/** Decodes the payload of RTM_NEWADDR or RTM_DELADDR; undefined for families other than IPv4 and IPv6. Throws KERNEL_PROTOCOL. */
export function decodeAddress(bytes: Uint8Array, start: number, end: number): LinkAddress | undefined {
  const head = headerView(bytes, start, end, IFADDRMSG_BYTES, 'link address');
  const family = familyOfNumber(head.getUint8(0));
  if (family === null) return undefined;
  const table = addressTable.parse(bytes, start + IFADDRMSG_BYTES, end);
  const hasLocal = table.has(ADDRESS.LOCAL);
  // On point-to-point links ADDRESS is the other end; LOCAL is ours wherever it is there.
  const address = addressAt(table, bytes, hasLocal ? ADDRESS.LOCAL : ADDRESS.ADDRESS, family);
  const other =
    hasLocal && table.has(ADDRESS.ADDRESS) ? addressAt(table, bytes, ADDRESS.ADDRESS, family) : address;
  return {
    linkIndex: head.getUint32(4, true),
    family,
    address,
    peer: other === address ? null : other,
    prefixLength: head.getUint8(1),
    scope: head.getUint8(3),
    flags: table.has(ADDRESS.FLAGS) ? table.u32(ADDRESS.FLAGS) : head.getUint8(2),
  };
}

const UNSPECIFIED = { IPv4: '0.0.0.0' as IpAddress, IPv6: '::' as IpAddress } as const;

/** The link of RTM_NEWADDR or RTM_DELADDR, without a look at the rest. Throws KERNEL_PROTOCOL. */
export function addressLinkIndex(bytes: Uint8Array, start: number, end: number): number {
  return headerView(bytes, start, end, IFADDRMSG_BYTES, 'link address').getUint32(4, true);
}

/** Decodes the payload of RTM_NEWROUTE or RTM_DELROUTE; undefined for other families and cached copies. Throws KERNEL_PROTOCOL. */
export function decodeRoute(bytes: Uint8Array, start: number, end: number): Route | undefined {
  const head = headerView(bytes, start, end, RTMSG_BYTES, 'route');
  const family = familyOfNumber(head.getUint8(0));
  if (family === null || (head.getUint32(8, true) & ROUTE_FLAG_CLONED) !== 0) return undefined;
  const table = routeTable.parse(bytes, start + RTMSG_BYTES, end);
  return {
    family,
    table: table.has(ROUTE.TABLE) ? table.u32(ROUTE.TABLE) : head.getUint8(4),
    type: head.getUint8(7),
    destination: table.has(ROUTE.DST) ? addressAt(table, bytes, ROUTE.DST, family) : UNSPECIFIED[family],
    prefixLength: head.getUint8(1),
    gateway: table.has(ROUTE.GATEWAY) ? addressAt(table, bytes, ROUTE.GATEWAY, family) : null,
    linkIndex: table.has(ROUTE.OIF) ? table.u32(ROUTE.OIF) : null,
    protocol: head.getUint8(5),
    scope: head.getUint8(6),
    priority: table.has(ROUTE.PRIORITY) ? table.u32(ROUTE.PRIORITY) : 0,
    preferredSource: table.has(ROUTE.PREFSRC) ? addressAt(table, bytes, ROUTE.PREFSRC, family) : null,
  };
}

/** A local route: the node answers for every address of the network (`ip route add local NETWORK dev LINK`). */
export function localRoute(
  family: Family,
  destination: IpAddress,
  prefixLength: number,
  linkIndex: number,
): Route {
  return {
    family,
    table: ROUTE_TABLE.LOCAL,
    type: ROUTE_TYPE.LOCAL,
    destination,
    prefixLength,
    gateway: null,
    linkIndex,
    protocol: ROUTE_PROTOCOL.BOOT,
    scope: family === 'IPv4' ? SCOPE.HOST : SCOPE.UNIVERSE,
    priority: 0,
    preferredSource: null,
  };
}

/** A route for errors: "local 10.96.0.0/12 table 255". */
export function formatRoute(route: Route): string {
  const type =
    Object.entries(ROUTE_TYPE)
      .find(([, number]) => number === route.type)?.[0]
      .toLowerCase() ?? String(route.type);
  const via = route.gateway === null ? '' : ` via ${route.gateway}`;
  return `${type} ${route.destination}/${route.prefixLength}${via} table ${route.table}`;
}
