// What could not be removed when it was no longer wanted. Pure bookkeeping; the backend removes it again at each retry.

import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { IpAddress } from '../../model/ip.ts';
import type { AddressService, DesiredMember } from './desired.ts';
import { emptyDelta, type Ledger, type LedgerDelta } from './ledger.ts';

export class Leftovers {
  /** By virtual server id. */
  readonly services = new Map<string, AddressService>();
  readonly members = new Map<string, DesiredMember>();
  readonly addresses = new Set<IpAddress>();
  /** Why, by object, of those that were refused themselves; others wait for one of these. */
  readonly errors = new Map<string, unknown>();

  /** Takes in the removals of a step whose outcome is unknown; removing again what is gone does no harm. */
  addStep(delta: LedgerDelta, deleted: readonly AddressService[]): void {
    for (const [id, member] of delta.removeMembers) this.members.set(id, member);
    for (const address of delta.removeAddresses) this.addresses.add(address);
    for (const service of deleted) this.services.set(formatServiceKey(service), service);
  }

  /** Empties the list and gives it as work for a step, without what has become wanted again. */
  take(ledger: Ledger): { delta: LedgerDelta; deleted: AddressService[] } {
    const delta = emptyDelta();
    for (const [id, member] of this.members) if (!ledger.hasMember(id)) delta.removeMembers.set(id, member);
    for (const address of this.addresses) if (!ledger.hasAddress(address)) delta.removeAddresses.add(address);
    const deleted = [...this.services]
      .filter(([id]) => ledger.ownerOf(id) === undefined)
      .map(([, service]) => service);
    this.reset();
    return { delta, deleted };
  }

  reset(): void {
    for (const list of [this.services, this.members, this.addresses, this.errors]) list.clear();
  }

  list(): string[] {
    return [...this.services.keys(), ...this.members.keys(), ...this.addresses].sort();
  }
}
