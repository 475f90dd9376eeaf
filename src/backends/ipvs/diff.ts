// The difference between what the kernel holds and what is desired, as IPVS operations in the order in which they must run. Pure.

import type { IpvsOperation } from '../../kernel/ipvs.ts';
import { isSameSettings, type DestinationKey, type IpvsDestination } from '../../kernel/ipvs-codec.ts';
import type { RealServer } from '../../plan/plan.ts';
import { destinationOf, realServerId, type AddressService, type DesiredVirtualServer } from './desired.ts';
import { whileDraining, type Leaving } from './drains.ts';

/** A virtual server as the kernel holds it, as far as we know. */
export interface AppliedVirtualServer {
  readonly service: AddressService;
  /** What is not said of a server is as we make it (destinationOf). */
  readonly destinations: readonly (Pick<IpvsDestination, 'address' | 'port' | 'weight'> &
    Partial<IpvsDestination>)[];
}

/** Operations of one virtual server, by the step in which they run. */
export interface VirtualServerDiff {
  /** NEW_SERVICE or SET_SERVICE: must succeed before anything else of this virtual server is tried. */
  readonly service: IpvsOperation | null;
  /** NEW_DEST and SET_DEST. */
  readonly add: readonly IpvsOperation[];
  /** DEL_DEST, and SET_DEST to weight 0 of servers that begin to drain. */
  readonly remove: readonly IpvsOperation[];
  /** Servers that are not planned and stay for their old connections, those that drained before included. */
  readonly draining: readonly DestinationKey[];
  /** What the kernel holds when all of it has gone through. */
  readonly result: AppliedVirtualServer;
}

export function isEmptyDiff({ service, add, remove }: VirtualServerDiff): boolean {
  return service === null && add.length === 0 && remove.length === 0;
}

/** True when a server in the kernel is in every field what the planned one makes it. */
export function isSameDestination(
  found: AppliedVirtualServer['destinations'][number],
  server: Pick<RealServer, 'weight'>,
): boolean {
  return (
    found.weight === server.weight &&
    (found.forwarding ?? 'masquerade') === 'masquerade' &&
    (found.upperThreshold ?? 0) === 0 &&
    (found.lowerThreshold ?? 0) === 0
  );
}

const NOTHING: readonly never[] = Object.freeze([]);

/**
 * What turns `applied` into `desired`. Nothing is deleted and made again that can be changed in place: connections live on, and with
 * `leaving` "drain" those to servers that are no longer planned do, too.
 */
export function diffVirtualServer(
  applied: AppliedVirtualServer | undefined,
  desired: DesiredVirtualServer,
  leaving: Leaving = 'delete',
): VirtualServerDiff {
  const { service, realServers } = desired;
  if (applied === undefined) {
    return {
      service: { op: 'NEW_SERVICE', service },
      add: realServers.map((server) => ({ op: 'NEW_DEST', service, destination: destinationOf(server) })),
      remove: NOTHING,
      draining: NOTHING,
      result: { service, destinations: realServers },
    };
  }
  const { add, remove, draining } = diffDestinations(applied, desired, leaving);
  const wanted = draining.length > 0 ? whileDraining(service) : service;
  return {
    service: isSameSettings(applied.service, wanted) ? null : { op: 'SET_SERVICE', service: wanted },
    ...{ add, remove, draining },
    result: {
      service: wanted,
      destinations:
        draining.length === 0
          ? realServers
          : [...realServers, ...draining.map(({ address, port }) => ({ address, port, weight: 0 }))],
    },
  };
}

function diffDestinations(
  applied: AppliedVirtualServer,
  desired: DesiredVirtualServer,
  leaving: Leaving,
): Pick<VirtualServerDiff, 'add' | 'remove' | 'draining'> {
  const { service } = desired;
  const add: IpvsOperation[] = [];
  const remove: IpvsOperation[] = [];
  const present = new Map(applied.destinations.map((server) => [realServerId(server), server]));
  for (const server of desired.realServers) {
    const id = realServerId(server);
    const old = present.get(id);
    present.delete(id);
    if (old === undefined) add.push({ op: 'NEW_DEST', service, destination: destinationOf(server) });
    else if (!isSameDestination(old, server))
      add.push({ op: 'SET_DEST', service, destination: destinationOf(server) });
  }
  const draining: DestinationKey[] = [];
  for (const found of present.values()) {
    const { address, port } = found;
    if (leaving === 'delete') {
      remove.push({ op: 'DEL_DEST', service, destination: { address, port } });
      continue;
    }
    draining.push({ address, port });
    const stopped = {
      ...destinationOf({ address, port, weight: 0 }),
      forwarding: found.forwarding ?? 'masquerade',
    };
    if (found.weight !== 0) remove.push({ op: 'SET_DEST', service, destination: stopped });
  }
  return { add, remove, draining };
}
