// The kernel's table read entry by entry, so that a large one is never held whole unless somebody keeps it.

import { type IpvsDestinationState, type IpvsServiceState, type ServiceKey } from '../kernel/ipvs-codec.ts';
import { nextTurn } from '../kernel/netlink.ts';
import type { IpvsTable } from './io.ts';

/** A virtual service with its real servers. */
export interface TableEntry {
  readonly service: IpvsServiceState;
  readonly destinations: readonly IpvsDestinationState[];
}

export interface LoadOptions {
  readonly withStats?: boolean;
  /** The order to read them in; default the kernel's. */
  readonly arrange?: (services: readonly IpvsServiceState[]) => readonly IpvsServiceState[];
}

/** Node's loop gets a turn, and with it signals, after so many listings. */
const LISTINGS_PER_TURN = 32;

/** Called before listing number `index`, from 0, by what reads many and can be ended meanwhile. */
export async function turnAt(index: number): Promise<void> {
  if (index % LISTINGS_PER_TURN === 0) await nextTurn();
}

/** The identity of a service, without its settings. */
export function keyOfService(service: IpvsServiceState): ServiceKey {
  const { family } = service;
  if (service.fwmark !== undefined) return { family, fwmark: service.fwmark };
  const { protocol, address, port } = service;
  return { family, protocol, address, port };
}

/** Every service with its servers in the kernel's order. A service that is deleted meanwhile comes with no servers. */
export async function* loadTable(
  table: IpvsTable,
  { withStats = false, arrange = (services) => services }: LoadOptions = {},
): AsyncGenerator<TableEntry> {
  for (const service of arrange(await table.services(withStats)))
    yield { service, destinations: await table.destinations(keyOfService(service), withStats) };
}
