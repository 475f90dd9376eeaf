// Members of our sets that no Service needs and that stay: others put them there, or they mark what is excluded. A small pure index, as there may be
// tens of thousands beside another proxy: what is asked of it at each change costs the number of sets.

import type { Family } from '../../model/ip.ts';
import type { DesiredMember } from './desired.ts';
import { kernelSetName, type SetName } from './sets.ts';

export class KeptMembers {
  /** By the set's name in the kernel; none is empty. */
  private readonly bySet = new Map<
    string,
    { readonly set: SetName; readonly family: Family; readonly ids: Set<string> }
  >();

  add({ id, set, family }: DesiredMember): void {
    const name = kernelSetName(set, family);
    const known = this.bySet.get(name);
    if (known === undefined) this.bySet.set(name, { set, family, ids: new Set([id]) });
    else known.ids.add(id);
  }

  /** A Service needs it from now on, or it is gone. */
  delete({ id, set, family }: Pick<DesiredMember, 'id' | 'set' | 'family'>): void {
    const name = kernelSetName(set, family);
    const known = this.bySet.get(name);
    if (known?.ids.delete(id) === true && known.ids.size === 0) this.bySet.delete(name);
  }

  has({ id, set, family }: Pick<DesiredMember, 'id' | 'set' | 'family'>): boolean {
    return this.bySet.get(kernelSetName(set, family))?.ids.has(id) === true;
  }

  /** How many a set has. */
  count(set: SetName, family: Family): number {
    return this.bySet.get(kernelSetName(set, family))?.ids.size ?? 0;
  }

  /** The set was listed: those that are not in it are gone. */
  retain(set: SetName, family: Family, isThere: (id: string) => boolean): void {
    for (const id of this.bySet.get(kernelSetName(set, family))?.ids ?? [])
      if (!isThere(id)) this.delete({ id, set, family });
  }

  /** The sets of a family that have some. */
  setsOf(family: Family): SetName[] {
    return [...this.bySet.values()].filter((each) => each.family === family).map(({ set }) => set);
  }

  clear(): void {
    this.bySet.clear();
  }
}
