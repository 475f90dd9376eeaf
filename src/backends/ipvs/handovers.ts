// Which Services hand virtual servers to each other in a change, and so must be written in one step: what both need stays then, the virtual
// server is changed in place, and what one has and the other must not (a mark, an exemption) goes in the order of a step (docs/adr/0009).

import type { ServiceKey } from '../../model/names.ts';
import type { Table } from './table.ts';

/** Services in the order in which they are written; those of one group in one step. */
export type Groups = readonly (readonly ServiceKey[])[];

/** The Services of groups that are not the first of theirs. */
export function joinedOf(groups: Groups): ReadonlySet<ServiceKey> {
  return new Set(groups.flatMap((group) => group.slice(1)));
}

export class Handovers {
  private readonly table: Pick<Table, 'desired' | 'ledger' | 'lingering'>;
  private readonly links = new Map<ServiceKey, Set<ServiceKey>>();
  private readonly grouped = new Set<ServiceKey>();

  constructor(table: Pick<Table, 'desired' | 'ledger' | 'lingering'>) {
    this.table = table;
  }

  /** Notes who takes what this Service has, and who still has what it wants. Everything must be claimed by then. */
  note(key: ServiceKey): void {
    const { desired, ledger, lingering } = this.table;
    for (const { id } of ledger.effectiveOf(key).virtualServers) this.link(key, ledger.ownerOf(id));
    if (lingering.size === 0) return;
    for (const { id } of desired.get(key)?.virtualServers ?? []) this.link(key, lingering.get(id));
  }

  private link(key: ServiceKey, other: ServiceKey | undefined): void {
    if (other === undefined || other === key) return;
    for (const [from, to] of [
      [key, other],
      [other, key],
    ] as const) {
      const linked = this.links.get(from);
      if (linked === undefined) this.links.set(from, new Set([to]));
      else linked.add(to);
    }
  }

  /** The Services in their order, each with all that it is linked to at any remove; every Service is in one group only, over all calls. */
  groups(keys: Iterable<ServiceKey>): Groups {
    const groups: ServiceKey[][] = [];
    for (const key of keys) {
      if (this.grouped.has(key)) continue;
      const group = new Set([key]);
      // Grows while it is walked.
      for (const each of group) for (const other of this.links.get(each) ?? []) group.add(other);
      for (const each of group) this.grouped.add(each);
      groups.push([...group]);
    }
    return groups;
  }
}
