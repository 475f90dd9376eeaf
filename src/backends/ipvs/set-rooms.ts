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
  /** Sets that could not grow, by their names in the kernel, with the number of members up to which they need not. */
  private readonly refused = new Map<string, number>();
  /** Those of them that are not to be tried before the next retry. */
  private readonly waiting = new Set<string>();

  constructor(port: IpvsKernelPort, table: Table, families: readonly Family[]) {
    this.port = port;
    this.table = table;
    this.families = families;
  }

  reset(): void {
    this.refused.clear();
    this.waiting.clear();
  }

  /** A retry begins: what could not grow is tried again, once. */
  beginRetry(): void {
    this.waiting.clear();
  }

  /**
   * The retry has written everything: what it did not need is tried by now, and a set that had been full and was not found so again need not
   * grow any more. Returns how many grew.
   */
  async endRetry(): Promise<number> {
    const grown = await this.make();
    for (const name of [...this.refused.keys()]) if (!this.waiting.has(name)) this.settle(name);
    return grown;
  }

  /** Before a step: sets that are about to hold more than they can grow; returns how many did. */
  async make(): Promise<number> {
    const { capacities } = this.table;
    let grown = 0;
    for (const family of this.families) {
      for (const set of SET_NAMES) {
        const name = kernelSetName(set, family);
        const needed = this.needed(set, family);
        const capacity = capacities.get(name) ?? Number.POSITIVE_INFINITY;
        if (needed <= (this.refused.get(name) ?? -1)) this.settle(name);
        if (needed <= capacity || this.waiting.has(name)) continue;
        if (await this.grow(set, family, needed, capacity)) grown++;
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
      if (this.waiting.has(name)) continue;
      const capacity = this.table.capacities.get(name) ?? 0;
      if (await this.grow(set, family, capacity, this.needed(set, family) - 1)) isGrown = true;
    }
    return isGrown;
  }

  /** Members that a set is to have, those of others included. */
  private needed(set: SetName, family: Family): number {
    return this.table.ledger.setSize(set, family) + this.table.kept.count(set, family);
  }

  /**
   * Room for more than `needed`. A refusal is noted until the set has no more than `unneeded` members to hold; the members that do not fit are
   * refused one by one, which fails their Services only.
   */
  private async grow(set: SetName, family: Family, needed: number, unneeded: number): Promise<boolean> {
    const name = kernelSetName(set, family);
    const room = 2 ** Math.ceil(Math.log2(needed + 1));
    try {
      await this.port.growSet(set, family, room);
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      this.table.failures.noteNode(roomObject(name), error);
      this.refused.set(name, unneeded);
      this.waiting.add(name);
      return false;
    }
    this.table.capacities.set(name, room);
    this.settle(name);
    return true;
  }

  private settle(name: string): void {
    this.waiting.delete(name);
    if (this.refused.delete(name)) this.table.failures.settleNode(roomObject(name));
  }
}

/** The name of a failure to make a set larger. */
function roomObject(name: string): string {
  return `room in set ${name}`;
}
