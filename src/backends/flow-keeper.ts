// Keeps conntrack true to the real servers: after a change is in the kernel, flows of UDP clients that it left behind are deleted, and so
// are those that raced ahead of a new portal. Guarantees:
//  1. Nothing is read or deleted but in `pass`, which the caller runs apart from writing; the cost follows the change.
//  2. Flows to a server that the portal has are not touched, whatever is passed: a restart keeps them.
//  3. What fails is counted, told once in a row and tried again, and never thrown. Where the kernel has no conntrack, nothing is tried until
//     the next change.
//  4. A portal that exists is looked at again a second later, until a look finds nothing: packets that were under way during the change
//     (in a queue to user space, on another CPU) make their entry after the first look.

import type { ConntrackClient } from '../kernel/conntrack.ts';
import type { ConntrackEntry } from '../kernel/conntrack-codec.ts';
import { EINVAL, EOPNOTSUPP } from '../kernel/libc.ts';
import { nextTurn } from '../kernel/netlink.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import { FAMILIES, familyOf, type Family } from '../model/ip.ts';
import {
  flowFilters,
  isStaleFlow,
  isUdpPortal,
  portalId,
  portalIdOf,
  type FlowChange,
  type FlowChanges,
} from './stale-flows.ts';

/** What is needed of conntrack. */
export type FlowTable = Pick<ConntrackClient, 'filtersInKernel' | 'list' | 'delete'>;

/** One family's part of a pass. */
export interface FlowPass {
  readonly family: Family;
  readonly deleted: number;
  readonly durationMs: number;
}

/** What is counted since the start. */
export interface FlowCounts {
  /** Entries that were deleted. */
  deleted(family: Family): number;
  /** Lists and deletions that failed, in the order of their first time. `errno` is its name, or the code of our own error. */
  failures(): readonly { readonly errno: string; readonly count: number }[];
}

export interface FlowKeeperOptions {
  readonly table: FlowTable;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  /** Hears why flows could not be looked after, each message once in a row. */
  readonly onError: (message: string) => void;
}

/**
 * Portals of a family up to which each is asked for by itself. The kernel walks its whole table for every question, so a question costs the
 * table and not the answer. Measured (`npm run bench -- flows`: Linux 6.18, 262,144 buckets, busy machine): one portal 12 to 20 ms beside
 * 1,000 entries and 23 ms beside 50,000; all of UDP 18 to 27 and 225 to 320 ms. They cross at 2 portals and at 10; with this limit neither
 * end costs more than three times what it could.
 */
export const MAX_FILTERS = 4;
/** Between two looks at a portal. */
export const LOOK_AGAIN_MS = 1000;
/** Somebody who makes stale entries for ever is not followed for ever; the next change of the portal begins anew. */
const MAX_LOOKS = 5;
/** After a failure, doubled until the next pass without one. */
const RETRY_INITIAL_MS = 1000;
const RETRY_MAX_MS = 30_000;

interface PendingChange {
  readonly change: FlowChange;
  /** How often it was looked at without a failure. */
  looks: number;
  /** When it is to be looked at. */
  dueMs: number;
}

export class FlowKeeper implements FlowCounts {
  private readonly options: FlowKeeperOptions;
  private readonly pending = new Map<string, PendingChange>();
  private readonly deletedBy: Record<Family, number> = { IPv4: 0, IPv6: 0 };
  private readonly failureCounts = new Map<string, number>();
  private retryMs = RETRY_INITIAL_MS;
  private lastError = '';

  constructor(options: FlowKeeperOptions) {
    this.options = options;
  }

  /**
   * The kernel now has this for a portal: call it after the write. At the start every portal is noted. Replaces what was noted before;
   * portals of other protocols are passed over. Cheap.
   */
  note(change: FlowChange): void {
    const { portal } = change;
    if (!isUdpPortal(portal)) return;
    this.pending.set(portalId(portal.address, portal.port), { change, looks: 0, dueMs: 0 });
  }

  /** When a pass is due, by the clock of the options; null: nothing is to be done. */
  get dueMs(): number | null {
    let dueMs: number | null = null;
    for (const each of this.pending.values()) if (dueMs === null || each.dueMs < dueMs) dueMs = each.dueMs;
    return dueMs;
  }

  deleted(family: Family): number {
    return this.deletedBy[family];
  }

  failures(): { readonly errno: string; readonly count: number }[] {
    return [...this.failureCounts].map(([errno, count]) => ({ errno, count }));
  }

  /**
   * Deletes the stale flows of all portals that are due. Gives Node's loop turns. Not beside a write of what is noted: a server that is in
   * the kernel but not yet noted would lose its flows. One pass at a time.
   */
  async pass(): Promise<FlowPass[]> {
    const passes: FlowPass[] = [];
    let error = '';
    for (const family of FAMILIES) {
      const changes = this.due(family);
      if (changes.size === 0) continue;
      const startMs = this.options.now();
      const look = await this.look(family, changes);
      this.deletedBy[family] += look.deleted;
      this.settle(changes, look);
      error ||= look.error;
      passes.push({ family, deleted: look.deleted, durationMs: this.options.now() - startMs });
    }
    if (passes.length === 0) return passes;
    if (error === '') this.retryMs = RETRY_INITIAL_MS;
    else this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
    if (error !== '' && error !== this.lastError) this.options.onError(error);
    this.lastError = error;
    return passes;
  }

  private due(family: Family): Map<string, FlowChange> {
    const nowMs = this.options.now();
    const due = new Map<string, FlowChange>();
    for (const [id, { change, dueMs }] of this.pending)
      if (dueMs <= nowMs && familyOf(change.portal.address) === family) due.set(id, change);
    return due;
  }

  private async look(family: Family, changes: FlowChanges): Promise<Look> {
    const { table } = this.options;
    const stale: ConntrackEntry[] = [];
    const look: Look = { deleted: 0, stale: new Set(), failed: new Set(), error: '' };
    try {
      const filters = flowFilters(family, changes, table.filtersInKernel ? MAX_FILTERS : 0);
      for (const filter of filters) {
        for (const entry of await table.list(filter, (each) => isStaleFlow(each, changes))) stale.push(entry);
        await nextTurn();
      }
    } catch (error) {
      this.noteFailure(look, error);
      const isMissing = isWithoutConntrack(error);
      if (isMissing)
        look.error = `${look.error}; this kernel lists no tracked flows: load nf_conntrack_netlink`;
      for (const id of changes.keys()) {
        if (isMissing) this.pending.delete(id);
        // Nobody can tell which portals were seen, so all are looked at again.
        else look.failed.add(id);
      }
    }
    for (const entry of stale) look.stale.add(portalIdOf(entry));
    await this.delete(stale, look);
    return look;
  }

  private async delete(stale: readonly ConntrackEntry[], look: Look): Promise<void> {
    if (stale.length === 0) return;
    try {
      const { deleted, failures } = await this.options.table.delete(stale);
      look.deleted = deleted;
      for (const { entry, error } of failures) {
        this.noteFailure(look, error);
        look.failed.add(portalIdOf(entry));
      }
    } catch (error) {
      this.noteFailure(look, error);
      for (const id of look.stale) look.failed.add(id);
    }
  }

  private noteFailure(look: Look, error: unknown): void {
    if (!(error instanceof PointsmanError)) throw error;
    const errno = error instanceof KernelError ? error.errnoName : error.code;
    this.failureCounts.set(errno, (this.failureCounts.get(errno) ?? 0) + 1);
    if (look.error === '') look.error = error.message;
  }

  private settle(changes: FlowChanges, { stale, failed }: Look): void {
    const nowMs = this.options.now();
    for (const [id, change] of changes) {
      const pending = this.pending.get(id);
      // Noted anew in the meantime.
      if (pending === undefined || pending.change !== change) continue;
      if (failed.has(id)) {
        pending.dueMs = nowMs + this.retryMs;
        continue;
      }
      pending.looks++;
      // Nothing is bound to a portal that does not exist, and its address may be somebody else's soon.
      const isSettled = change.realServers === null || (pending.looks > 1 && !stale.has(id));
      if (isSettled || pending.looks >= MAX_LOOKS) this.pending.delete(id);
      else pending.dueMs = nowMs + LOOK_AGAIN_MS;
    }
  }
}

/** How conntrack's list fails where the kernel does not have it; one that it does not understand is asked again in plainer words. */
function isWithoutConntrack(error: unknown): boolean {
  return error instanceof KernelError && (error.errno === EINVAL || error.errno === EOPNOTSUPP);
}

/** What came of looking at some portals. */
interface Look {
  deleted: number;
  /** Ids of portals that had stale flows. */
  readonly stale: Set<string>;
  /** Ids of portals that must be tried again. */
  readonly failed: Set<string>;
  /** The first failure, '' for none. */
  error: string;
}
