// A stateful conntrack table that can misbehave: it refuses lists and deletions, passes over filters, and lets packets make entries while
// somebody lists. Stands in for ConntrackClient in tests of the flow keeper.

import type { FlowTable } from '../src/backends/flow-keeper.ts';
import type { ConntrackFailure } from '../src/kernel/conntrack.ts';
import { matchesFilter, type ConntrackEntry, type ConntrackFilter } from '../src/kernel/conntrack-codec.ts';
import { KernelError, type PointsmanError } from '../src/model/errors.ts';

export class FakeConntrack implements FlowTable {
  filtersInKernel = true;
  entries: ConntrackEntry[] = [];
  /** What was asked for, in order. */
  readonly asked: ConntrackFilter[] = [];
  /** Thrown by the next lists, first in first out. */
  readonly listErrors: PointsmanError[] = [];
  /** Thrown by the next deletions as a whole. */
  readonly deleteErrors: PointsmanError[] = [];
  /** errno names by id of an entry: refused as often as they stand here. */
  readonly refusals = new Map<number, string[]>();
  /** Runs after each list, before its answer is used: packets that arrive meanwhile. */
  afterList: () => void = () => {};

  async list(
    filter: ConntrackFilter,
    isWanted: (entry: ConntrackEntry) => boolean = () => true,
  ): Promise<ConntrackEntry[]> {
    this.asked.push(filter);
    const error = this.listErrors.shift();
    if (error !== undefined) throw error;
    const found = this.entries.filter((entry) => matchesFilter(filter, entry) && isWanted(entry));
    this.afterList();
    return found;
  }

  async delete(
    entries: Iterable<ConntrackEntry> | AsyncIterable<ConntrackEntry>,
  ): Promise<{ readonly deleted: number; readonly failures: ConntrackFailure[] }> {
    const whole = this.deleteErrors.shift();
    if (whole !== undefined) throw whole;
    const failures: ConntrackFailure[] = [];
    let deleted = 0;
    for await (const entry of entries) {
      const errnoName = this.refusals.get(entry.id)?.shift();
      if (errnoName !== undefined) {
        failures.push({ entry, error: new KernelError('conntrack delete', 'a flow', 1, errnoName) });
        continue;
      }
      const before = this.entries.length;
      this.entries = this.entries.filter(({ id }) => id !== entry.id);
      deleted += before - this.entries.length;
    }
    return { deleted, failures };
  }
}
