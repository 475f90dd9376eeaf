// Ways to make a node answer for N service addresses, as `npm run bench -- addresses` compares them: addresses on one dummy device or on
// several, a local route for each address, one local route for all. Only kernel calls that the agent itself has (rtnetlink.ts).

import { EOPNOTSUPP } from '../src/kernel/libc.ts';
import { RtnetlinkClient } from '../src/kernel/rtnetlink.ts';
import { localRoute, ROUTE_PROTOCOL, ROUTE_TABLE, type Route } from '../src/kernel/rtnetlink-codec.ts';
import { KernelError } from '../src/model/errors.ts';
import { parseIp, type Family, type IpAddress } from '../src/model/ip.ts';

/** Names of the ways, in the order of the tables. */
export const WAYS = [
  '1 device',
  '8 devices',
  '44 devices',
  '176 devices',
  'routes',
  'routes with src',
  'one route',
] as const;
export type Way = (typeof WAYS)[number];

const HOST_PREFIX = { IPv4: 32, IPv6: 128 } as const;
const DEVICE = 'kube-ipvs0';
/** What the one route covers; BENCH_ADDRESSES lie in it. */
const NETWORK = { IPv4: { first: '10.96.0.0', prefix: 12 }, IPv6: { first: 'fd96::', prefix: 108 } } as const;

/** One way, set up on this namespace's kernel without any address yet. */
export interface OpenWay {
  add(addresses: Iterable<IpAddress>): Promise<void>;
  remove(addresses: Iterable<IpAddress>): Promise<void>;
  /** Reads back everything that was added, as an agent does at its start; the number of entries. */
  list(): Promise<number>;
  /** Arguments of ip(8) that list the same. */
  readonly listArguments: readonly string[];
  /** Deletes the devices with all that is on them. */
  deleteDevices(): void;
}

/** The address of this index in the service network of the family. */
export function benchAddress(family: Family, index: number): IpAddress {
  const number = index + 1;
  const text =
    family === 'IPv4'
      ? `10.${96 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`
      : `fd96::${(number >> 16).toString(16)}:${(number & 0xffff).toString(16)}`;
  const address = parseIp(text);
  if (address === null) throw new Error(`${text} is no address`);
  return address;
}

export async function openWay(way: Way, family: Family, links: RtnetlinkClient): Promise<OpenWay> {
  switch (way) {
    case 'routes':
      return openRoutes(family, links, (route) => route);
    case 'routes with src':
      return openRoutes(family, links, asTheKernelMakesThem);
    case 'one route':
      return openOneRoute(family, links);
    default:
      return openDevices(Number.parseInt(way, 10), family, links);
  }
}

/** A device for addresses and routes; its index. */
export function makeDevice(links: RtnetlinkClient, name: string): number {
  try {
    links.addLink(name, 'dummy');
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== EOPNOTSUPP) throw error;
    // The machine itself may have no module for dummies; to addresses a bridge without ports is the same.
    links.addLink(name, 'bridge');
  }
  const link = links.link(name);
  if (link === null) throw new Error(`${name} was not made`);
  return link.index;
}

function requireNone(failures: readonly { readonly error: Error }[]): void {
  if (failures[0] !== undefined) throw failures[0].error;
}

function openDevices(count: number, family: Family, links: RtnetlinkClient): OpenWay {
  const names = Array.from({ length: count }, (_, i) => (i === 0 ? DEVICE : `kube-ipvs-${i}`));
  const indexes = names.map((name) => makeDevice(links, name));
  const all = new Set(indexes);
  // An address must find its device again without a table of them.
  const perDevice = (addresses: Iterable<IpAddress>): Map<number, IpAddress[]> =>
    Map.groupBy(addresses, (address) => indexes[lastNumber(address) % count] ?? 0);
  const addEach = async (addresses: Iterable<IpAddress>): Promise<void> => {
    for (const [index, own] of perDevice(addresses))
      requireNone((await links.addAddresses(index, own)).failures);
  };
  const removeEach = async (addresses: Iterable<IpAddress>): Promise<void> => {
    for (const [index, own] of perDevice(addresses)) requireNone(await links.deleteAddresses(index, own));
  };
  const [only = 0] = indexes;
  return {
    // The iterable itself goes to the only device: whoever made it sees when each slice is asked for.
    add:
      count === 1
        ? async (addresses) => requireNone((await links.addAddresses(only, addresses)).failures)
        : addEach,
    remove:
      count === 1
        ? async (addresses) => requireNone(await links.deleteAddresses(only, addresses))
        : removeEach,
    list: async () =>
      (await links.addresses({ family })).filter(({ linkIndex }) => all.has(linkIndex)).length,
    listArguments: ['-o', 'addr', 'show'],
    deleteDevices: () => names.forEach((name) => links.deleteLink(name)),
  };
}

function openRoutes(
  family: Family,
  links: RtnetlinkClient,
  finish: (route: Route, destination: IpAddress) => Route,
): OpenWay {
  const index = makeDevice(links, DEVICE);
  // IPv6 routes need the device up.
  links.setLinkUp(index, true);
  function* routesOf(addresses: Iterable<IpAddress>): Generator<Route> {
    for (const address of addresses)
      yield finish(localRoute(family, address, HOST_PREFIX[family], index), address);
  }
  return {
    add: async (addresses) => requireNone(await links.addRoutes(routesOf(addresses))),
    remove: async (addresses) => requireNone(await links.deleteRoutes(routesOf(addresses))),
    list: async () =>
      (await links.routes({ family, table: ROUTE_TABLE.LOCAL })).filter(
        ({ linkIndex }) => linkIndex === index,
      ).length,
    listArguments: ['route', 'show', 'table', 'local'],
    deleteDevices: () => void links.deleteLink(DEVICE),
  };
}

/** With an address the kernel adds such a route itself: by itself as its own, and with the address as preferred source. */
function asTheKernelMakesThem(route: Route, destination: IpAddress): Route {
  if (route.family === 'IPv6') return { ...route, protocol: ROUTE_PROTOCOL.KERNEL };
  return { ...route, protocol: ROUTE_PROTOCOL.KERNEL, preferredSource: destination };
}

function openOneRoute(family: Family, links: RtnetlinkClient): OpenWay {
  const index = makeDevice(links, DEVICE);
  links.setLinkUp(index, true);
  const { first, prefix } = NETWORK[family];
  const route = localRoute(family, first as IpAddress, prefix, index);
  let isThere = false;
  return {
    // Once there, it answers for every further address; which are declared is the guard's set, and that is there in any way.
    add: async () => {
      if (isThere) return;
      requireNone(await links.addRoutes([route]));
      isThere = true;
    },
    remove: async (addresses) => {
      if (!isThere || [...addresses].length < 2) return;
      requireNone(await links.deleteRoutes([route]));
      isThere = false;
    },
    list: async () =>
      (await links.routes({ family, table: ROUTE_TABLE.LOCAL })).filter(
        ({ linkIndex }) => linkIndex === index,
      ).length,
    listArguments: ['route', 'show', 'table', 'local'],
    deleteDevices: () => void links.deleteLink(DEVICE),
  };
}

/** The last 16 bits or more of an address of benchAddress(). */
function lastNumber(address: IpAddress): number {
  if (address.includes(':')) return Number.parseInt(address.slice(address.lastIndexOf(':') + 1) || '0', 16);
  const [, , third = 0, fourth = 0] = address.split('.').map(Number);
  return (third << 8) | fourth;
}
