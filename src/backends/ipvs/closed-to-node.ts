// The virtual servers that processes of this node are kept from by a rule of their own, because their source ranges do not contain the
// node and such packets bear the virtual server's own address as their source. A small pure index, sorted for the rules.
// Source: kube-proxy 1.36, mode ipvs, chain KUBE-IPVS-OUT-FILTER.

import { compareIp, type Family } from '../../model/ip.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { ReferenceCounts } from '../../plan/claims.ts';
import type { AddressService } from './desired.ts';

export class ClosedToNode {
  private readonly counts = new ReferenceCounts();
  private readonly byId = new Map<string, AddressService>();
  /** Dropped at each change. */
  private readonly lists = new Map<Family, readonly AddressService[]>();

  acquire(service: AddressService): void {
    const id = formatServiceKey(service);
    if (!this.counts.acquire(id)) return;
    this.byId.set(id, service);
    this.lists.delete(service.family);
  }

  release(service: AddressService): void {
    const id = formatServiceKey(service);
    if (!this.counts.release(id)) return;
    this.byId.delete(id);
    this.lists.delete(service.family);
  }

  /** Those of a family, sorted; the same object until they change. */
  list(family: Family): readonly AddressService[] {
    const known = this.lists.get(family);
    if (known !== undefined) return known;
    const list = sortServices([...this.byId.values()].filter((service) => service.family === family));
    this.lists.set(family, list);
    return list;
  }

  /** The same with those that are about to come; the same object as `list` when all of them are in it. Costs what comes, unless it is new. */
  listWith(family: Family, coming: readonly AddressService[]): readonly AddressService[] {
    const list = this.list(family);
    const more = new Map<string, AddressService>();
    for (const service of coming) {
      const id = formatServiceKey(service);
      if (service.family === family && !this.byId.has(id)) more.set(id, service);
    }
    return more.size === 0 ? list : sortServices([...list, ...more.values()]);
  }
}

/** By address, protocol and port. */
export function sortServices(services: AddressService[]): AddressService[] {
  return services.sort(
    (a, b) => compareIp(a.address, b.address) || a.protocol - b.protocol || a.port - b.port,
  );
}
