// What one step has to do: settles who has what of its Services, and gathers what the kernel lacks and what nobody wants any more. Writes
// nothing to the kernel; the ledger counts on the step from here on.

import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { Absent } from './absent.ts';
import type { AddressService, DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer, isEmptyDiff, type VirtualServerDiff } from './diff.ts';
import { leavingOf } from './drains.ts';
import { emptyDelta, type Effective, type LedgerDelta } from './ledger.ts';
import { drainTimeoutOf, isExcluded, withLingering } from './lingering.ts';
import { ownershipMember } from './observe.ts';
import { counterparts } from './phases.ts';
import type { Settler } from './settler.ts';
import { SERVICES_PER_PACE, type IpvsSettings } from './settings.ts';
import type { Step } from './step.ts';
import type { Table } from './table.ts';
import { spareOthers, type Written } from './taken-keys.ts';

/** What no Service wants, as work for steps; taken over by whoever is given it. */
interface Unwanted {
  readonly delta: LedgerDelta;
  readonly deleted: readonly AddressService[];
}

/** What is known to be in the kernel already, beside virtual servers. */
export interface PresentState {
  readonly members: ReadonlyMap<string, unknown>;
  readonly addresses: ReadonlySet<IpAddress> | null;
}

/** What a step is for, beside its Services. */
export interface StepOptions {
  /** On the first apply: what is in here needs no operation. */
  readonly present?: PresentState | null;
  /** True: members and addresses are sent again, whatever we believe. */
  readonly isRepair?: boolean;
  readonly unwanted?: Unwanted | undefined;
  /** What the step before wrote, of which a part turned out to be somebody else's. */
  readonly before?: Written;
}

/** The work of a step. */
interface Work extends Pick<Step, 'delta'> {
  readonly wanted: DesiredVirtualServer[];
  readonly changed: Map<string, VirtualServerDiff>;
  readonly deleted: AddressService[];
}

export class StepBuilder {
  private readonly table: Table;
  private readonly settings: () => IpvsSettings;
  private readonly absent: Absent;
  private readonly settler: Settler;

  constructor(table: Table, settings: () => IpvsSettings, absent: Absent, settler: Settler) {
    this.table = table;
    this.settings = settings;
    this.absent = absent;
    this.settler = settler;
  }

  /** The work of the step that writes these Services, in their order. */
  async build(keys: readonly ServiceKey[], options: StepOptions): Promise<Work> {
    const { present = null, isRepair = false, unwanted, before = null } = options;
    const { kept, ledger } = this.table;
    const delta = unwanted?.delta ?? emptyDelta();
    const work: Work = { delta, wanted: [], changed: new Map(), deleted: [] };
    let settled = 0;
    for (const key of keys) {
      const previous = ledger.effectiveOf(key);
      const next = this.settleOwnership(key, delta);
      if (++settled % SERVICES_PER_PACE === 0) await this.settings().pace();
      if (next !== null) this.addWanted(work, key, next, isRepair);
      this.addUnwanted(work, previous);
    }
    // Only now: what nobody wanted may linger or be wanted from this step on.
    for (const service of unwanted?.deleted ?? [])
      if (this.table.holderOf(formatServiceKey(service)) === undefined) this.addDeletion(work, service);
    if (before !== null) spareOthers(delta, before, kept, this.absent);
    for (const member of delta.addMembers.values()) kept.delete(member);
    if (present !== null) {
      this.addCounterparts(work, present);
      skipPresent(delta, present);
    }
    return work;
  }

  /** What the Service has from here on; null when it is gone with everything it had. */
  private settleOwnership(key: ServiceKey, delta: LedgerDelta): Effective | null {
    const { desired, failures, foreign, ledger } = this.table;
    const asked = desired.get(key);
    const restricted = asked === undefined ? null : ledger.restrict(asked, (id) => foreign.has(id));
    const next = withLingering(key, restricted, this.table, this.settings());
    ledger.settle(key, next, delta);
    // What failed of it while it lingered does not matter any more.
    if (next === null) failures.forget(key);
    return next;
  }

  private addWanted(work: Work, key: ServiceKey, next: Effective, isRepair: boolean): void {
    const { changed, delta, wanted } = work;
    for (const virtualServer of next.virtualServers) {
      wanted.push(virtualServer);
      const diff = this.diff(virtualServer);
      if (isEmptyDiff(diff)) this.settler.settleUnchanged(key, virtualServer, diff);
      else changed.set(virtualServer.id, diff);
      this.absent.addMembers(virtualServer.members, delta);
      if (isRepair) addAll(delta, virtualServer);
      else this.absent.addAddress(virtualServer, delta);
    }
    if (isRepair) for (const member of next.members) delta.addMembers.set(member.id, member);
    else this.absent.addMembers(next.members, delta);
  }

  private diff(virtualServer: DesiredVirtualServer): VirtualServerDiff {
    const leaving = leavingOf(virtualServer, drainTimeoutOf(virtualServer, this.settings()));
    return diffVirtualServer(this.table.applied.get(virtualServer.id), virtualServer, leaving);
  }

  private addUnwanted(work: Work, previous: Effective): void {
    const { applied } = this.table;
    for (const virtualServer of previous.virtualServers) {
      const { id, service } = virtualServer;
      this.absent.noteFormer(virtualServer);
      if (this.table.holderOf(id) === undefined && applied.has(id)) this.addDeletion(work, service);
    }
  }

  private addDeletion({ deleted, delta }: Work, service: AddressService): void {
    if (!isExcluded(service, this.settings())) {
      deleted.push(service);
      return;
    }
    // It keeps its mark, so that it is known as ours when a Service wants it again.
    const mark = ownershipMember(service);
    delta.removeMembers.delete(mark.id);
    this.table.kept.add(mark);
  }

  /** What an earlier run left under another policy goes in the same step: at no moment are remote servers reached without masquerading. */
  private addCounterparts({ delta, wanted }: Work, present: PresentState): void {
    for (const { members } of wanted) {
      for (const each of members.flatMap(counterparts)) {
        if (!present.members.has(each.id) || this.table.ledger.hasMember(each.id)) continue;
        if (!members.some(({ id }) => id === each.id)) delta.removeMembers.set(each.id, each);
      }
    }
  }
}

/** On the first apply, what an earlier run left in the kernel needs no operation. */
function skipPresent(delta: LedgerDelta, present: PresentState): void {
  for (const id of delta.addMembers.keys()) if (present.members.has(id)) delta.addMembers.delete(id);
  for (const address of delta.addAddresses)
    if (present.addresses?.has(address)) delta.addAddresses.delete(address);
}

function addAll(delta: LedgerDelta, virtualServer: DesiredVirtualServer): void {
  for (const member of virtualServer.members) delta.addMembers.set(member.id, member);
  if (virtualServer.isBound) delta.addAddresses.add(virtualServer.service.address);
}
