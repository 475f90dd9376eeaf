// What could not be removed when it was no longer wanted. Pure bookkeeping; the backend removes it again at each retry.

import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { IpvsOperation } from '../../kernel/ipvs.ts';
import type { IpAddress } from '../../model/ip.ts';
import type { DesiredMember } from './desired.ts';
import { emptyDelta, type Ledger, type LedgerDelta } from './ledger.ts';

export class Leftovers {
  /** DEL_SERVICE operations by virtual server id. */
  readonly services = new Map<string, IpvsOperation>();
  readonly members = new Map<string, DesiredMember>();
  readonly addresses = new Set<IpAddress>();

  /** Takes in the removals of a step whose outcome is unknown; removing again what is gone does no harm. */
  addStep(delta: LedgerDelta, deleted: readonly IpvsOperation[]): void {
    for (const [id, member] of delta.removeMembers) this.members.set(id, member);
    for (const address of delta.removeAddresses) this.addresses.add(address);
    for (const operation of deleted) {
      if (operation.op === 'DEL_SERVICE') this.services.set(formatServiceKey(operation.service), operation);
    }
  }

  /** Empties the list and gives it as work for a step, without what has become wanted again. */
  take(ledger: Ledger): { delta: LedgerDelta; deleted: IpvsOperation[] } {
    const delta = emptyDelta();
    for (const [id, member] of this.members) if (!ledger.hasMember(id)) delta.removeMembers.set(id, member);
    for (const address of this.addresses) if (!ledger.hasAddress(address)) delta.removeAddresses.add(address);
    const deleted = [...this.services]
      .filter(([id]) => ledger.ownerOf(id) === undefined)
      .map(([, operation]) => operation);
    this.services.clear();
    this.members.clear();
    this.addresses.clear();
    return { delta, deleted };
  }

  list(): string[] {
    return [...this.services.keys(), ...this.members.keys(), ...this.addresses].sort();
  }
}
