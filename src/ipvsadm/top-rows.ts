// Which virtual and real servers `top` shows and in what order: filter, sort, limit. Pure.

import type { IpvsDestinationState, IpvsServiceState } from '../kernel/ipvs-codec.ts';
import { formatEndpoint } from '../kernel/ipvs-codec.ts';
import { parseIp, type IpAddress } from '../model/ip.ts';
import { sortDestinations, sortServices } from './order.ts';
import type { Rates } from './top-rates.ts';

/** What rows are ordered by: the largest first, except for addresses, which are in the order of listings. */
export const TOP_SORTS = [
  'cps',
  'inpps',
  'outpps',
  'inbps',
  'outbps',
  'active',
  'inactive',
  'address',
] as const;
export type TopSort = (typeof TOP_SORTS)[number];

/** A real server; rates null when they are not known yet. */
export interface TopServer {
  readonly server: IpvsDestinationState;
  readonly rates: Rates | null;
}

/** A virtual server with its real servers. */
export interface TopService {
  /** formatServiceKey of it. */
  readonly id: string;
  readonly service: IpvsServiceState;
  readonly rates: Rates | null;
  /** Null when they were not read. */
  readonly servers: readonly TopServer[] | null;
  /** At all its servers, shown or not; null when they were not read. */
  readonly connections: ConnectionSums | null;
}

export interface ConnectionSums {
  readonly active: number;
  readonly inactive: number;
}

/** Tells whether a service, by its id, or a server is asked for. */
export interface TopFilter {
  readonly matchesService: (row: TopService) => boolean;
  readonly matchesServer: (server: IpvsDestinationState) => boolean;
}

export interface Arrangement {
  readonly sort: TopSort;
  readonly filter: TopFilter | null;
  readonly hasServers: boolean;
  /** Lines of services and servers together. */
  readonly limit: number;
}

const RATE_OF: Partial<Record<TopSort, keyof Rates>> = {
  cps: 'connections',
  inpps: 'inPackets',
  outpps: 'outPackets',
  inbps: 'inBytes',
  outbps: 'outBytes',
};

/** Which services' servers have to be known to show the first `room` lines, in no order. */
export function servicesToRead(
  rows: readonly TopService[],
  { sort, filter, hasServers }: Omit<Arrangement, 'limit'>,
  room: number,
): readonly TopService[] {
  if (sort === 'active' || sort === 'inactive') return rows;
  const isNamed = (row: TopService): boolean => filter === null || filter.matchesService(row);
  const undecided = rows.filter((row) => !isNamed(row));
  if (!hasServers) return undecided;
  if (room >= rows.length) return rows;
  return [...undecided, ...orderServices(rows.filter(isNamed), sort).slice(0, room)];
}

/** An ADDRESS, ADDRESS:PORT or :PORT is meant exactly; everything else is part of a name, upper or lower case. */
export function compileFilter(text: string): TopFilter {
  const exact = parseExact(text);
  if (exact !== null) {
    const matches = ({ address, port }: { readonly address: IpAddress; readonly port: number }): boolean =>
      (exact.address === null || address === exact.address) && (exact.port === null || port === exact.port);
    return {
      matchesService: ({ service }) => service.fwmark === undefined && matches(service),
      matchesServer: matches,
    };
  }
  const part = text.toLowerCase();
  return {
    matchesService: ({ id }) => id.toLowerCase().includes(part),
    matchesServer: ({ address, port }) => formatEndpoint(address, port).includes(part),
  };
}

function parseExact(
  text: string,
): { readonly address: IpAddress | null; readonly port: number | null } | null {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?$/.exec(text);
  // IPv6 without brackets has no port.
  const host = match === null ? text : (match[1] ?? match[2] ?? '');
  const port = match?.[3] === undefined ? null : Number(match[3]);
  if (host === '') return port === null ? null : { address: null, port };
  const address = parseIp(host);
  return address === null ? null : { address, port };
}

/**
 * The rows to show, in order. A service that the filter names comes with all its servers, one of whose servers are named with those.
 * The rows given stay as they are.
 */
export function arrangeRows(rows: readonly TopService[], arrangement: Arrangement): TopService[] {
  const { sort, filter, hasServers, limit } = arrangement;
  const shown: TopService[] = [];
  let lines = 0;
  for (const row of orderServices(filterRows(rows, filter), sort)) {
    if (lines >= limit) break;
    lines++;
    const servers = hasServers && row.servers !== null ? orderServers(row.servers, sort) : [];
    const room = Math.min(servers.length, limit - lines);
    lines += room;
    shown.push({ ...row, servers: servers.slice(0, room) });
  }
  return shown;
}

function filterRows(rows: readonly TopService[], filter: TopFilter | null): readonly TopService[] {
  if (filter === null) return rows;
  return rows.flatMap((row) => {
    if (filter.matchesService(row)) return [row];
    const servers = row.servers?.filter(({ server }) => filter.matchesServer(server)) ?? [];
    return servers.length > 0 ? [{ ...row, servers }] : [];
  });
}

/** Services in the order of `sort`; those without a known value last, equals by address. */
export function orderServices(rows: readonly TopService[], sort: TopSort): readonly TopService[] {
  return orderBy(rows, sort, byAddress, (row) => valueOf(sort, row.rates, row.connections));
}

function byAddress(rows: readonly TopService[]): readonly TopService[] {
  const rowOf = new Map(rows.map((row) => [row.service, row]));
  return sortServices([...rowOf.keys()]).map((service) => rowOf.get(service) as TopService);
}

function orderServers(servers: readonly TopServer[], sort: TopSort): readonly TopServer[] {
  const rowOf = new Map(servers.map((row) => [row.server, row]));
  const ordered = sortDestinations([...rowOf.keys()]).map((server) => rowOf.get(server) as TopServer);
  return orderBy(
    ordered,
    sort,
    (rows) => rows,
    ({ server, rates }) =>
      valueOf(sort, rates, { active: server.activeConnections, inactive: server.inactiveConnections }),
  );
}

/** Sorting by address is dear: it is done only for rows that something else does not put in order. */
function orderBy<T>(
  rows: readonly T[],
  sort: TopSort,
  byAddressOf: (rows: readonly T[]) => readonly T[],
  value: (row: T) => number,
): readonly T[] {
  if (sort === 'address') return byAddressOf(rows);
  const groups = new Map<number, T[]>();
  for (const row of rows) {
    const key = value(row);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return [...groups]
    .sort(([a], [b]) => b - a)
    .flatMap(([, group]) => (group.length === 1 ? group : byAddressOf(group)));
}

/** The sums over these servers. */
export function sumConnections(servers: readonly TopServer[]): ConnectionSums {
  let active = 0;
  let inactive = 0;
  for (const { server } of servers) {
    active += server.activeConnections;
    inactive += server.inactiveConnections;
  }
  return { active, inactive };
}

function valueOf(sort: TopSort, rates: Rates | null, connections: ConnectionSums | null): number {
  if (sort === 'active' || sort === 'inactive') return connections?.[sort] ?? -1;
  const name = RATE_OF[sort];
  return name === undefined || rates === null ? -1 : rates[name];
}
