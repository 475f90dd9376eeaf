// Virtual servers that nobody wants any more and whose servers still have old connections: they stay as they are, with weight 0 everywhere,
// with their address and with everything that guards them, until drainer.ts has deleted the last server. A Service that wants one again, or
// another that comes to own it, takes it over in place.

import { cidrContains, type IpAddress } from '../../model/ip.ts';
import { serviceKey, type ServiceKey } from '../../model/names.ts';
import { portalOf, type AddressService, type DesiredMember, type DesiredVirtualServer } from './desired.ts';
import { DRAIN_TIMEOUT_MS, leavingOf } from './drains.ts';
import { emptyDelta, type Effective } from './ledger.ts';
import { Provenance, type ObservedState } from './observe.ts';
import type { IpvsSettings } from './settings.ts';
import type { Table } from './table.ts';

const STALE = '(gone)';
const NO_SERVERS: DesiredVirtualServer['realServers'] = Object.freeze([]);

/** How long old connections to servers of a virtual server are kept, in milliseconds. */
export function drainTimeoutOf(virtualServer: DesiredVirtualServer, settings: IpvsSettings): number {
  return virtualServer.drainTimeoutMs ?? settings.drainTimeoutMs ?? DRAIN_TIMEOUT_MS;
}

/** ipvs.excludeCIDRs: a virtual server in there is never deleted, not even a stale one of ours (so kube-proxy). */
export function isExcluded({ address }: AddressService, { excludeCIDRs }: IpvsSettings): boolean {
  return excludeCIDRs.some((cidr) => cidrContains(cidr, address));
}

/**
 * What a Service has in the kernel from here on: what it wants, and those of its virtual servers that linger. null when that is nothing and the
 * Service is gone. Keeps `table.lingering` true for the Service.
 */
export function withLingering(
  key: ServiceKey,
  wanted: Effective | null,
  table: Table,
  settings: IpvsSettings,
): Effective | null {
  const { lingering, ledger } = table;
  const previous = ledger.effectiveOf(key);
  if (previous === wanted || previous.virtualServers.length === 0) return wanted;
  const ids = new Set(wanted?.virtualServers.map(({ id }) => id));
  const staying: DesiredVirtualServer[] = [];
  for (const virtualServer of previous.virtualServers) {
    const { id } = virtualServer;
    const stays =
      !ids.has(id) && ledger.ownerOf(id) === undefined && mayLinger(virtualServer, table, settings);
    if (stays) {
      lingering.set(id, key);
      staying.push(
        // It takes no new connections from anybody.
        virtualServer.realServers.length === 0 && !virtualServer.isClosedToNode
          ? virtualServer
          : { ...virtualServer, realServers: NO_SERVERS, isClosedToNode: false },
      );
    } else if (lingering.get(id) === key) {
      lingering.delete(id);
    }
  }
  if (staying.length === 0) return wanted;
  return {
    virtualServers: [...(wanted?.virtualServers ?? []), ...staying],
    members: wanted?.members ?? [],
  };
}

/** Services of which a virtual server lingers at an address that this machine no longer has: they are to be written. */
export function strandedHolders({ ledger, lingering, localAddresses }: Table): ServiceKey[] {
  const holders = new Set<ServiceKey>();
  for (const [id, key] of lingering)
    if (
      ledger
        .effectiveOf(key)
        .virtualServers.some((each) => each.id === id && isStranded(each, localAddresses))
    )
      holders.add(key);
  return [...holders];
}

/**
 * The address was never ours to bind, and the machine has lost it: no old connection comes here any more, and if another machine has it now, the
 * virtual server would take what this one sends there.
 */
function isStranded(
  { isBound, service }: DesiredVirtualServer,
  localAddresses: ReadonlySet<IpAddress>,
): boolean {
  return !isBound && !localAddresses.has(service.address);
}

function mayLinger(virtualServer: DesiredVirtualServer, table: Table, settings: IpvsSettings): boolean {
  return (
    !isStranded(virtualServer, table.localAddresses) &&
    (table.applied.get(virtualServer.id)?.destinations.length ?? 0) > 0 &&
    leavingOf(virtualServer, drainTimeoutOf(virtualServer, settings)) === 'drain' &&
    !isExcluded(virtualServer.service, settings)
  );
}

/** Stands for the Service of a virtual server that an earlier run left: no Service can have such a name. */
function staleKey(id: string): ServiceKey {
  return serviceKey(STALE, id);
}

/** True for a key that `lingerStale` gave. */
export function isStaleKey(key: ServiceKey): boolean {
  return key.startsWith(`${STALE}/`);
}

/**
 * Takes what an earlier run left and nobody wants into the ledger where it may still have connections; returns the keys that hold it, to be
 * written as Services that are gone. What else it left is not touched.
 */
export function lingerStale(state: ObservedState, table: Table, settings: IpvsSettings): ServiceKey[] {
  const { applied, ledger, lingering } = table;
  const stale = [...applied].filter(([id]) => table.holderOf(id) === undefined);
  if (stale.length === 0) return [];
  const provenance = new Provenance(state);
  const members = indexByPortal(state.members.values());
  const keys: ServiceKey[] = [];
  for (const [id, { service }] of stale) {
    const { address } = service;
    const isBound = state.addresses?.has(address) === true && provenance.isOurAddress(address);
    const portals = isBound ? [portalOf(service), address] : [portalOf(service), `*:${service.port}`];
    const virtualServer: DesiredVirtualServer = {
      ...{ id, service, realServers: NO_SERVERS, isBound, isClosedToNode: false },
      members: portals.flatMap((portal) => members.get(`${service.family} ${portal}`) ?? []),
    };
    if (!mayLinger(virtualServer, table, settings)) continue;
    const key = staleKey(id);
    // What it needs is in the kernel already.
    ledger.settle(key, { virtualServers: [virtualServer], members: [] }, emptyDelta());
    lingering.set(id, key);
    keys.push(key);
  }
  return keys;
}

/** The members that are about a virtual server, by family and its portal, its address (KUBE-IPVS-IPS) or its port alone. */
function indexByPortal(members: Iterable<DesiredMember>): Map<string, DesiredMember[]> {
  const byPortal = new Map<string, DesiredMember[]>();
  for (const each of members) {
    // Hairpin entries are about endpoints, and the health-check port about no virtual server.
    if (each.set === 'KUBE-LOOP-BACK' || each.set === 'KUBE-HEALTH-CHECK-NODE-PORT') continue;
    const { address, protocol, port } = each.member;
    const portal =
      address === undefined
        ? `*:${port}`
        : port === undefined
          ? address
          : portalOf({ address, protocol, port });
    const id = `${each.family} ${portal}`;
    const known = byPortal.get(id);
    if (known === undefined) byPortal.set(id, [each]);
    else known.push(each);
  }
  return byPortal;
}
