// The difference between what the kernel holds and what is desired, as IPVS operations in the order in which they must run. Pure.

import type { IpvsOperation } from '../../kernel/ipvs.ts';
import { isSameSettings, type IpvsDestination } from '../../kernel/ipvs-codec.ts';
import type { RealServer } from '../../plan/plan.ts';
import { destinationOf, realServerId, type AddressService, type DesiredVirtualServer } from './desired.ts';

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
  /** DEL_DEST. */
  readonly remove: readonly IpvsOperation[];
}

const NOTHING: VirtualServerDiff = { service: null, add: [], remove: [] };

export function isEmptyDiff({ service, add, remove }: VirtualServerDiff): boolean {
  return service === null && add.length === 0 && remove.length === 0;
}

/** True when a server in the kernel is in every field what the planned one makes it. */
export function isSameDestination(
  found: AppliedVirtualServer['destinations'][number],
  server: RealServer,
): boolean {
  return (
    found.weight === server.weight &&
    (found.forwarding ?? 'masquerade') === 'masquerade' &&
    (found.upperThreshold ?? 0) === 0 &&
    (found.lowerThreshold ?? 0) === 0
  );
}

/** What turns `applied` into `desired`. Nothing is deleted and made again that can be changed in place: connections live on. */
export function diffVirtualServer(
  applied: AppliedVirtualServer | undefined,
  desired: DesiredVirtualServer,
): VirtualServerDiff {
  const { service } = desired;
  if (applied === undefined) {
    return {
      service: { op: 'NEW_SERVICE', service },
      add: desired.realServers.map((server) => ({
        op: 'NEW_DEST',
        service,
        destination: destinationOf(server),
      })),
      remove: [],
    };
  }
  const change: IpvsOperation | null = isSameSettings(applied.service, service)
    ? null
    : { op: 'SET_SERVICE', service };
  const { add, remove } = diffDestinations(applied, desired);
  return change === null && add.length === 0 && remove.length === 0
    ? NOTHING
    : { service: change, add, remove };
}

function diffDestinations(
  applied: AppliedVirtualServer,
  desired: DesiredVirtualServer,
): Pick<VirtualServerDiff, 'add' | 'remove'> {
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
  for (const { address, port } of present.values())
    remove.push({ op: 'DEL_DEST', service, destination: { address, port } });
  return { add, remove };
}
