// Sums the kernel's counters of virtual servers up to totals of Services that never fall. Pure. Guarantees:
//  1. What is counted happened while we looked: a virtual server counts from the first reading that saw it, so a restart counts nothing twice.
//  2. A virtual server that goes takes nothing away from its Service; one whose counters begin anew (deleted and made again, zeroed) is followed
//     from there.

import type { IpvsStats } from '../kernel/ipvs-codec.ts';
import type { ServiceKey } from '../model/names.ts';

/** The counters that are summed up. */
export const TRAFFIC_COUNTERS = ['connections', 'inPackets', 'outPackets', 'inBytes', 'outBytes'] as const;
/** One of TRAFFIC_COUNTERS. */
export type TrafficCounter = (typeof TRAFFIC_COUNTERS)[number];

/** Since the first reading that saw the Service. */
export type ServiceTotals = Readonly<Record<TrafficCounter, number>>;

type Counters = Pick<IpvsStats, TrafficCounter>;

interface FollowedService {
  readonly totals: Record<TrafficCounter, number>;
  /** The last counters of each of its virtual servers; null before the first. */
  readonly last: Map<string, Counters | null>;
}

/** See above. */
export class TrafficTotals {
  private readonly services = new Map<ServiceKey, FollowedService>();
  private readonly ownerOf = new Map<string, ServiceKey>();

  /** These Services with these virtual servers are followed from now on, and no others. Ids as formatServiceKey writes them. */
  follow(services: ReadonlyMap<ServiceKey, readonly string[]>): void {
    for (const key of this.services.keys()) if (!services.has(key)) this.services.delete(key);
    this.ownerOf.clear();
    for (const [key, ids] of services) {
      const before = this.services.get(key);
      const last = new Map(ids.map((id) => [id, before?.last.get(id) ?? null]));
      this.services.set(key, { totals: before?.totals ?? NOTHING(), last });
      for (const id of ids) this.ownerOf.set(id, key);
    }
  }

  /** What the kernel counts of a virtual server by now; one that is not followed is passed over. */
  add(id: string, stats: Counters): void {
    const key = this.ownerOf.get(id);
    const service = key === undefined ? undefined : this.services.get(key);
    if (service === undefined) return;
    const before = service.last.get(id) ?? null;
    service.last.set(id, stats);
    if (before === null) return;
    // All of them begin anew together; none falls by itself.
    const isAnew = TRAFFIC_COUNTERS.some((name) => stats[name] < before[name]);
    for (const name of TRAFFIC_COUNTERS)
      service.totals[name] += Number(isAnew ? stats[name] : stats[name] - before[name]);
  }

  /** By Service, in the order in which they came. */
  totals(): ReadonlyMap<ServiceKey, ServiceTotals> {
    return new Map([...this.services].map(([key, { totals }]) => [key, { ...totals }]));
  }
}

function NOTHING(): Record<TrafficCounter, number> {
  return { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
}
