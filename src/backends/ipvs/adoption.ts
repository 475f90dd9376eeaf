// The first apply: takes over what an earlier run left, makes what is missing (sets, the link), and at the end removes what nobody wants.

import type { Family } from '../../model/ip.ts';
import type { AddressService, DesiredMember } from './desired.ts';
import { emptyDelta } from './ledger.ts';
import { lingerStale } from './lingering.ts';
import { observe, Provenance, type ObservedState, type TakeOverRule } from './observe.ts';
import type { IpvsKernelPort } from './port.ts';
import { kernelSetName, maxMembersOf, SETS, type SetName } from './sets.ts';
import type { IpvsSettings } from './settings.ts';
import type { Table } from './table.ts';
import type { Writer } from './writer.ts';

export class Adoption {
  readonly state: ObservedState;
  private readonly port: IpvsKernelPort;
  private readonly table: Table;

  private constructor(port: IpvsKernelPort, table: Table, state: ObservedState) {
    this.port = port;
    this.table = table;
    this.state = state;
  }

  /** Reads the kernel into the table. Writes nothing. */
  static async begin(
    port: IpvsKernelPort,
    table: Table,
    families: readonly Family[],
    takeOver: TakeOverRule,
  ): Promise<Adoption> {
    const state = await observe(port, families, takeOver);
    for (const [id, virtualServer] of state.applied) table.applied.set(id, virtualServer);
    for (const [id, service] of state.foreign) table.foreign.set(id, service);
    for (const [name, room] of state.capacities) table.capacities.set(name, room);
    return new Adoption(port, table, state);
  }

  /** Makes the sets and the link that are missing; returns the number of operations. Safe to repeat. */
  async createContainers(): Promise<number> {
    let operations = 0;
    for (const { set, family } of this.state.missingSets) {
      await createSet(this.port, this.table, set, family);
      operations++;
    }
    if (this.state.addresses === null) {
      await this.port.createLink();
      operations++;
    }
    return operations;
  }

  /** Sets that hold members before anything is written: their rules must stay. */
  *filledSets(): Generator<DesiredMember> {
    yield* this.state.members.values();
  }

  /**
   * Removes what an earlier run of ours left and nobody wants, after everything wanted is there; what may have connections drains first.
   * Returns the number of operations.
   */
  async removeStale(writer: Writer, settings: IpvsSettings): Promise<number> {
    const lingering = lingerStale(this.state, this.table, settings);
    const { ledger, kept, applied } = this.table;
    const provenance = new Provenance(this.state);
    const delta = emptyDelta();
    for (const [id, member] of this.state.members) {
      if (ledger.hasMember(id)) continue;
      if (provenance.isOurMember(member)) delta.removeMembers.set(id, member);
      else kept.add(member);
    }
    for (const address of this.state.addresses ?? []) {
      if (!ledger.hasAddress(address) && provenance.isOurAddress(address)) delta.removeAddresses.add(address);
    }
    const stale: AddressService[] = [];
    for (const [id, { service }] of applied) if (this.table.holderOf(id) === undefined) stale.push(service);
    return writer.write(lingering, { unwanted: { delta, deleted: stale } });
  }
}

/** Makes one of our sets with kube-proxy's parameters. */
export async function createSet(
  port: IpvsKernelPort,
  table: Table,
  set: SetName,
  family: Family,
): Promise<void> {
  await port.createSet(set, family);
  if (SETS[set].type !== 'bitmap:port') table.capacities.set(kernelSetName(set, family), maxMembersOf(set));
}
