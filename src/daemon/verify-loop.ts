// When verification does what: urgent repairs at once, cheap checks every few seconds, and the comparison of the whole table slice by slice
// at a pace that ends it within ten minutes and, with the checks, takes no more than a hundredth of a core, whichever is slower. Checks keep
// their pace all the same: where one takes longer than 150 ms, they alone are more. The clock is injected.

import type { VerificationStatus } from '../backends/ipvs/verifier.ts';
import { errorLine } from '../model/errors.ts';
import type { Timers } from './sync-loop.ts';

/** Between two cheap checks. */
const CHECK_MS = 5000;
/** A check comes this many times as long after the last one as that one took; slices wait for both, so together they stay under 1 %. */
const PAUSE_PER_CHECK = 240;
/** However long one took: repairs take their time, and whoever breaks things once does it again. */
const MAX_CHECK_MS = 15_000;
/** A whole comparison is spread over this time; the rest to ten minutes is left for a busy node. */
const CYCLE_MS = 480_000;
/** A slice comes this many times as long after the last one as that one and the checks since have taken. */
const PAUSE_PER_WORK = 120;
/** An urgent repair that failed, or for which it was too early, is tried again after this; the time doubles with each failure. */
const REPAIR_RETRY_MS = 1000;
const MAX_REPAIR_RETRY_MS = 30_000;
/** Never faster than this, however small the table. */
const MIN_SLICE_MS = 20;

type WorkKind = 'check' | 'comparison' | 'repair';

/** The part of the verifier that is driven. */
export interface VerifierWork {
  readonly status: VerificationStatus;
  repairSuspects(): Promise<void>;
  checkContainers(): Promise<void>;
  checkSlice(): Promise<boolean>;
  close(): Promise<void>;
}

export interface VerifyLoopOptions {
  readonly verifier: VerifierWork;
  /** Runs the work apart from syncs; see SyncLoop.beside. May leave it out while there is nothing to verify. */
  readonly beside: (work: () => Promise<void>) => Promise<void>;
  /** Hears of a failed check, each message once in a row for its kind. */
  readonly onError: (message: string) => void;
  readonly timers: Timers;
}

/** How long comparisons take, for status. */
export interface VerifyLoopStatus extends VerificationStatus {
  /** Milliseconds of the last complete comparison, and how long work was done in it; null before the first. */
  readonly lastCycle: { readonly durationMs: number; readonly workMs: number } | null;
  /** Why the last check failed, '' when it went through. */
  readonly lastError: string;
}

export class VerifyLoop {
  private readonly options: VerifyLoopOptions;
  private checkTimer: unknown = null;
  private sliceTimer: unknown = null;
  private isStopped = false;
  private isUrgent = false;
  private repairTimer: unknown = null;
  private repairRetryMs = REPAIR_RETRY_MS;
  /** Work of checks since the last slice. */
  private checkWorkMs = 0;
  /** By kind of work, the error with which it failed last. */
  private readonly errors = new Map<WorkKind, string>();
  private readonly working = new Set<Promise<void>>();
  private cycleStartMs: number | null = null;
  private cycleWorkMs = 0;
  private lastCycle: VerifyLoopStatus['lastCycle'] = null;

  constructor(options: VerifyLoopOptions) {
    this.options = options;
  }

  get status(): VerifyLoopStatus {
    return {
      ...this.options.verifier.status,
      lastCycle: this.lastCycle,
      lastError: [...this.errors.values()].join('; '),
    };
  }

  start(): void {
    this.armCheck(CHECK_MS);
    this.armSlice(MIN_SLICE_MS);
  }

  /** Something was seen to be wrong: `repairSuspects` runs as soon as no sync does. Cheap; call it as often as you like. */
  repairNow(): void {
    if (this.isUrgent || this.isStopped) return;
    this.isUrgent = true;
    this.options.timers.clear(this.repairTimer);
    void this.repair();
  }

  private async repair(): Promise<void> {
    const outcome = await this.run('repair', () => {
      // What is said to be wrong from here on is for the next repair.
      this.isUrgent = false;
      return this.options.verifier.repairSuspects();
    });
    this.isUrgent = false;
    if (outcome.isDone) {
      this.repairRetryMs = REPAIR_RETRY_MS;
      return;
    }
    if (this.isStopped) return;
    this.repairTimer = this.options.timers.set(() => this.repairNow(), this.repairRetryMs);
    this.repairRetryMs = Math.min(this.repairRetryMs * 2, MAX_REPAIR_RETRY_MS);
  }

  /** Starts nothing more; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.options.timers.clear(this.checkTimer);
    this.options.timers.clear(this.sliceTimer);
    this.options.timers.clear(this.repairTimer);
    await Promise.all(this.working);
    await this.options.verifier.close();
  }

  private armCheck(delayMs: number): void {
    if (this.isStopped) return;
    this.checkTimer = this.options.timers.set(() => void this.check(), delayMs);
  }

  private armSlice(delayMs: number): void {
    if (this.isStopped) return;
    this.sliceTimer = this.options.timers.set(() => void this.compareSlice(), delayMs);
  }

  private async check(): Promise<void> {
    const { workMs } = await this.run('check', () => this.options.verifier.checkContainers());
    this.checkWorkMs += workMs;
    this.armCheck(Math.min(Math.max(CHECK_MS, workMs * PAUSE_PER_CHECK), MAX_CHECK_MS));
  }

  private async compareSlice(): Promise<void> {
    const { timers, verifier } = this.options;
    this.cycleStartMs ??= timers.now();
    let isLast = false;
    const { workMs } = await this.run('comparison', async () => {
      isLast = await verifier.checkSlice();
    });
    this.cycleWorkMs += workMs;
    if (isLast) this.lastCycle = { durationMs: timers.now() - this.cycleStartMs, workMs: this.cycleWorkMs };
    if (isLast) {
      this.cycleStartMs = null;
      this.cycleWorkMs = 0;
    }
    const paceMs = CYCLE_MS / Math.max(1, verifier.status.slices);
    this.armSlice(Math.max(MIN_SLICE_MS, paceMs, (workMs + this.checkWorkMs) * PAUSE_PER_WORK));
    this.checkWorkMs = 0;
  }

  /** Milliseconds that the work took, without waiting for its turn, and whether it was done: not left out, and without an error. */
  private async run(kind: WorkKind, work: () => Promise<void>): Promise<{ workMs: number; isDone: boolean }> {
    const { beside, onError, timers } = this.options;
    let workMs = 0;
    let isDone = false;
    const working = beside(async () => {
      if (this.isStopped) return;
      const startMs = timers.now();
      try {
        await work();
        this.errors.delete(kind);
        isDone = true;
      } catch (error) {
        const message = errorLine(error);
        if (message !== this.errors.get(kind)) onError(message);
        this.errors.set(kind, message);
      } finally {
        workMs = timers.now() - startMs;
      }
    });
    this.working.add(working);
    await working;
    this.working.delete(working);
    return { workMs, isDone };
  }
}
