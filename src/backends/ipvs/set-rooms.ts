// Room in the sets: a set of the kernel holds so many members and no more, so it is replaced by a larger one, by a swap that no rule notices.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import type { IpvsKernelPort, MemberFailure } from './port.ts';
import { kernelSetName, SET_NAMES, type SetName } from './sets.ts';
import type { Table } from './table.ts';

/** IPSET_ERR_HASH_FULL */
const HASH_FULL = 4352;

export class SetRooms {
  private readonly port: IpvsKernelPort;
  private readonly table: Table;
  private readonly families: readonly Family[];
  /** Names in the kernel of sets that could not grow. */
  private readonly refused = new Set<string>();

  constructor(port: IpvsKernelPort, table: Table, families: readonly Family[]) {
    this.port = port;
    this.table = table;
    this.families = families;
  }

  reset(): void {
    this.refused.clear();
  }

  /** Before a step: sets that are about to hold more than they can grow; returns how many did. */
  async make(): Promise<number> {
    const { capacities, failures, ledger } = this.table;
    let grown = 0;
    for (const family of this.families) {
      for (const set of SET_NAMES) {
        const name = kernelSetName(set, family);
        const needed = ledger.setSize(set, family);
        if (needed > (capacities.get(name) ?? Number.POSITIVE_INFINITY)) {
          if (await this.grow(set, family, needed)) grown++;
        } else if (this.refused.delete(name)) {
          failures.settleNode(`set ${name}`);
        }
      }
    }
    return grown;
  }

  /** After a step: sets that turned out to be full, with what others or an earlier run have in them, grow; true when any did. */
  async makeAfter(failed: readonly MemberFailure[]): Promise<boolean> {
    const full = new Map<string, readonly [SetName, Family]>();
    for (const { set, family, error } of failed)
      if (error.errno === HASH_FULL) full.set(kernelSetName(set, family), [set, family]);
    let isGrown = false;
    for (const [name, [set, family]] of full) {
      // Growing it was refused a moment ago.
      if (this.refused.has(name)) continue;
      if (await this.grow(set, family, this.table.capacities.get(name) ?? 0)) isGrown = true;
    }
    return isGrown;
  }

  /** A refusal is noted; the members that do not fit are refused one by one, which fails their Services only. */
  private async grow(set: SetName, family: Family, needed: number): Promise<boolean> {
    const name = kernelSetName(set, family);
    const room = 2 ** Math.ceil(Math.log2(needed + 1));
    try {
      await this.port.growSet(set, family, room);
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      this.table.failures.noteNode(`set ${name}`, error);
      this.refused.add(name);
      return false;
    }
    this.refused.delete(name);
    this.table.capacities.set(name, room);
    this.table.failures.settleNode(`set ${name}`);
    return true;
  }
}
