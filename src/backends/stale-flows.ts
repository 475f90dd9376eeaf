// Which tracked UDP flows must be forgotten after virtual servers changed, and what to ask conntrack to find them. Pure, and the same for
// every backend: whoever balances, the entry says where the client sent (original destination) and who answers (source of the reply).
// TCP and SCTP are never touched: their clients are told when a server goes, and begin anew. UDP clients are not, and one with a fixed
// source port keeps its entry alive by sending.
// Source: kube-proxy 1.36, pkg/proxy/conntrack (without its match by port alone); net/netfilter/ipvs/ip_vs_nfct.c.

import { familyOf, type Family, type IpAddress } from '../model/ip.ts';
import type { ConntrackEntry, ConntrackFilter } from '../kernel/conntrack-codec.ts';

const IPPROTO_UDP = 17;

/** Where clients send. A virtual server of IPVS is one, too. */
export interface Portal {
  /** Protocol number. */
  readonly protocol: number;
  readonly address: IpAddress;
  readonly port: number;
}

/** Where their packets end. */
export interface FlowTarget {
  readonly address: IpAddress;
  readonly port: number;
}

/** A portal of ours that came, went or got other real servers. */
export interface FlowChange {
  readonly portal: Portal;
  /** All that the kernel has for it now, whatever their weight; null when the portal is gone. */
  readonly realServers: readonly FlowTarget[] | null;
}

/** Changes by `portalId`. */
export type FlowChanges = ReadonlyMap<string, FlowChange>;

/** Identity of a UDP portal. */
export function portalId(address: IpAddress, port: number): string {
  return `${address} ${port}`;
}

/** True for portals whose flows can become stale. */
export function isUdpPortal({ protocol }: Portal): boolean {
  return protocol === IPPROTO_UDP;
}

/** The portal of an entry's client, as `portalId` spells it. */
export function portalIdOf({ original }: ConntrackEntry): string {
  return portalId(original.destination, original.destinationPort);
}

/**
 * True when the entry is of a changed portal (by address, port and protocol) and must go:
 *  - it is answered by a target that the portal does not have (any more);
 *  - nobody rewrote it, so it is older than the portal: its packets would go unmasqueraded for as long as the client sends.
 *
 * A portal without servers keeps no flow. kube-proxy leaves those alone until a server comes; but until then a flow that a nat rule made
 * goes on to an address that may be another pod's by now, and the server's first datagrams would be lost before the next pass. There is
 * nothing to lose: the client is refused, as everybody is.
 * Of a portal that is gone only flows that were rewritten go; the others were never balanced, and whoever has the address next may have
 * made them. Entries of other zones than the default one are not ours: IPVS knows only that.
 */
export function isStaleFlow(entry: ConntrackEntry, changes: FlowChanges): boolean {
  const { original, reply, zone } = entry;
  if (original.protocol !== IPPROTO_UDP || zone !== 0) return false;
  const change = changes.get(portalIdOf(entry));
  if (change === undefined) return false;
  const isAnsweredBy = ({ address, port }: FlowTarget): boolean =>
    port === reply.sourcePort && address === reply.source;
  if (change.realServers === null)
    return !isAnsweredBy({ address: original.destination, port: original.destinationPort });
  return !change.realServers.some(isAnsweredBy);
}

/**
 * What to ask conntrack of a family so that every entry of these portals is in the answers: for each its own, or, for more than
 * `maxFilters`, all UDP entries. Empty when there is no portal of the family.
 */
export function flowFilters(family: Family, changes: FlowChanges, maxFilters: number): ConntrackFilter[] {
  const filters: ConntrackFilter[] = [];
  for (const { portal } of changes.values()) {
    if (familyOf(portal.address) !== family) continue;
    if (filters.length === maxFilters) return [{ family, original: { protocol: IPPROTO_UDP } }];
    const { address, port } = portal;
    filters.push({
      family,
      original: { destination: address, protocol: IPPROTO_UDP, destinationPort: port },
    });
  }
  return filters;
}
