// What is wanted and not in the kernel, because it was refused or left out: whoever else needs it sends it again. Bookkeeping only.

import type { IpAddress } from '../../model/ip.ts';
import { makeMember, type DesiredMember, type DesiredVirtualServer } from './desired.ts';
import type { LedgerDelta } from './ledger.ts';
import { SETS } from './sets.ts';
import type { StepOutcome } from './step.ts';
import type { Table } from './table.ts';

export class Absent {
  private readonly table: Pick<Table, 'failures' | 'ledger'>;
  /** Addresses that are not on kube-ipvs0: refused, or everything at them was to stay shut. */
  private readonly unbound = new Set<IpAddress>();
  /** Of them, those that were refused to a Service that is gone while others need them: nobody retries these. */
  private readonly orphans = new Set<IpAddress>();
  /** Ids of members that were refused. */
  private readonly refusedMembers = new Set<string>();

  constructor(table: Pick<Table, 'failures' | 'ledger'>) {
    this.table = table;
  }

  /** Forgets everything. */
  reset(): void {
    for (const known of [this.unbound, this.orphans, this.refusedMembers]) known.clear();
  }

  /** True for a wanted address that is not on kube-ipvs0 for a reason that its Service was told. */
  isUnbound(address: IpAddress): boolean {
    return this.unbound.has(address);
  }

  /** Adds those of the members that are absent to what is sent. */
  addMembers(members: readonly DesiredMember[], delta: LedgerDelta): void {
    if (this.refusedMembers.size === 0) return;
    for (const member of members)
      if (this.refusedMembers.has(member.id)) delta.addMembers.set(member.id, member);
  }

  /** Adds the address of a virtual server to what is sent if it is absent, with what guards it. */
  addAddress({ isBound, members, service }: DesiredVirtualServer, delta: LedgerDelta): void {
    if (!isBound || !this.unbound.has(service.address)) return;
    delta.addAddresses.add(service.address);
    // It may have been left out because the guard was refused to another Service.
    for (const member of members)
      if (SETS[member.set].role === 'guard') delta.addMembers.set(member.id, member);
  }

  /** A Service has had this virtual server: where its address is absent, maybe nobody is left to retry it. */
  noteFormer({ isBound, service }: DesiredVirtualServer): void {
    if (isBound && this.unbound.has(service.address)) this.orphans.add(service.address);
  }

  /** The address is no longer wanted. */
  forgetAddress(address: IpAddress): void {
    this.unbound.delete(address);
  }

  /** Takes in what became of a step. */
  settle(delta: LedgerDelta, outcome: StepOutcome): void {
    const { ledger } = this.table;
    for (const addresses of [delta.addAddresses, delta.removeAddresses])
      for (const address of addresses) this.unbound.delete(address);
    for (const address of outcome.shutAddresses) this.unbound.add(address);
    for (const { address } of outcome.failedAddresses)
      if (ledger.hasAddress(address)) this.unbound.add(address);
    for (const id of delta.addMembers.keys()) this.refusedMembers.delete(id);
    for (const { set, family, member } of outcome.failedMembers) {
      const { id } = makeMember(set, family, member);
      if (ledger.hasMember(id)) this.refusedMembers.add(id);
    }
  }

  /** Takes in a step whose outcome is unknown; sending again what is there does no harm. */
  addStep({ addAddresses, addMembers }: LedgerDelta): void {
    for (const address of addAddresses) this.unbound.add(address);
    for (const id of addMembers.keys()) this.refusedMembers.add(id);
  }

  /** The addresses that nobody retries although they are wanted; each is told once, and no longer counts as absent. */
  takeOrphans(): IpAddress[] {
    const { ledger, failures } = this.table;
    const withheld = new Set<IpAddress>();
    for (const key of this.orphans.size > 0 ? failures.keys() : [])
      for (const { isBound, service } of ledger.effectiveOf(key).virtualServers)
        if (isBound) withheld.add(service.address);
    const orphans = [...this.orphans].filter(
      (address) => this.unbound.has(address) && ledger.hasAddress(address) && !withheld.has(address),
    );
    this.orphans.clear();
    for (const address of orphans) this.unbound.delete(address);
    return orphans;
  }
}
