// Finds the real servers that a verb is about: one server of one virtual server, or an address wherever it serves. It only reads, and
// says which servers there are when the one asked for is not among them.

import {
  formatEndpoint,
  formatServiceKey,
  type IpvsDestinationState,
  type IpvsServiceState,
  type ServiceKey,
} from '../kernel/ipvs-codec.ts';
import type { IpvsFailure, IpvsOperation } from '../kernel/ipvs.ts';
import { errorLine } from '../model/errors.ts';
import type { IpAddress } from '../model/ip.ts';
import { EndpointFormatter } from './endpoint-text.ts';
import type { IpvsTable } from './io.ts';
import { sortDestinations, sortServices } from './order.ts';
import { formatServiceOption } from './saving.ts';
import { keyOfService, turnAt } from './table.ts';

/** Which servers. */
export interface ServerChoice {
  /** Null = in every virtual server that has them. */
  readonly service: ServiceKey | null;
  readonly address: IpAddress;
  /** Null = every port. */
  readonly port: number | null;
}

/** A real server in its virtual server, as they were when they were read. */
export interface SelectedServer {
  readonly service: IpvsServiceState;
  readonly server: IpvsDestinationState;
  /** All servers of the service, this one too. */
  readonly siblings: readonly IpvsDestinationState[];
}

/** At least one server, or the reason in one line why there is none. */
export type Selection =
  | { readonly servers: readonly SelectedServer[] }
  | { readonly servers: null; readonly reason: string };

const MAX_NAMED = 10;
const MAX_COLLECTED = 10_000;

/** Reads the table, in the order of listings; null when the signal ended that. Throws what the table throws. */
export async function selectServers(
  table: IpvsTable,
  choice: ServerChoice,
  signal: AbortSignal,
): Promise<Selection | null> {
  const services = await servicesOf(table, choice.service);
  if (services.length === 0) {
    if (choice.service === null) return { servers: null, reason: 'there is no virtual server' };
    const names = sortServices(await table.services()).map(formatServiceKey);
    return {
      servers: null,
      reason: `there is no virtual server ${formatServiceKey(choice.service)}; ${listNames('virtual servers', names)}`,
    };
  }
  const found: SelectedServer[] = [];
  const others = new Set<string>();
  for (const [index, service] of services.entries()) {
    await turnAt(index);
    if (signal.aborted) return null;
    const siblings = sortDestinations(await table.destinations(keyOfService(service)));
    for (const server of siblings) {
      if (isChosen(server, choice)) found.push({ service, server, siblings });
      else if (others.size < MAX_COLLECTED) others.add(formatEndpoint(server.address, server.port));
    }
  }
  if (found.length > 0) return { servers: found };
  const { address, port } = choice;
  const wanted = port === null ? address : formatEndpoint(address, port);
  const where =
    choice.service === null ? 'no virtual server has' : `${formatServiceKey(choice.service)} has no`;
  return {
    servers: null,
    reason: `${where} real server ${wanted}; ${listNames('real servers', [...others])}`,
  };
}

async function servicesOf(table: IpvsTable, key: ServiceKey | null): Promise<readonly IpvsServiceState[]> {
  if (key === null) return sortServices(await table.services());
  const service = table.service(key);
  return service === undefined ? [] : [service];
}

function isChosen(server: IpvsDestinationState, { address, port }: ServerChoice): boolean {
  return server.address === address && (port === null || server.port === port);
}

/** "real servers: 10.0.0.1:8080, 10.0.0.2:8080 and 7 more", or that there is none. */
function listNames(what: string, names: readonly string[]): string {
  return names.length === 0 ? `there are no ${what}` : `${what}: ${joinNames(names, MAX_NAMED)}`;
}

/** "a, b and 7 more". */
export function joinNames(names: readonly string[], max: number): string {
  const rest = names.length - max;
  return `${names.slice(0, max).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

const numbers = new EndpointFormatter(null);

/** What names these servers on a command line of ours: "-t 10.96.0.10:80 -r 10.0.0.1:8080". */
export function formatChoice({ service, address, port }: ServerChoice): string {
  const server = `-r ${port === null ? address : formatEndpoint(address, port)}`;
  return service === null ? server : `${formatServiceOption(service, numbers, false)} ${server}`;
}

/** The operation that gives a server another weight and leaves everything else of it as it was found. */
export function weightOperation(
  { service, server }: Pick<SelectedServer, 'service' | 'server'>,
  weight: number,
): IpvsOperation {
  const { address, port, forwarding, upperThreshold, lowerThreshold, tunnel } = server;
  const destination = { address, port, forwarding, weight, upperThreshold, lowerThreshold, tunnel };
  return { op: 'SET_DEST', service: keyOfService(service), destination };
}

/** Applies one operation per value, and tells of each that the kernel refused. */
export async function applyEach<T>(
  values: readonly T[],
  operationOf: (value: T) => IpvsOperation,
  table: IpvsTable,
  refuse: (value: T, failure: IpvsFailure) => void,
): Promise<void> {
  const valueOf = new Map(values.map((value) => [operationOf(value), value]));
  for (const failure of await table.apply(valueOf.keys())) {
    const value = valueOf.get(failure.operation);
    if (value === undefined)
      throw new Error(`a failure of nothing that was asked for: ${errorLine(failure.error)}`);
    refuse(value, failure);
  }
}
