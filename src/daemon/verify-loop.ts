// When verification does what: urgent repairs at once, cheap checks every few seconds, and the comparison of the whole table slice by slice
// at a pace that ends it within ten minutes and takes no more than a hundredth of a core, whichever is slower. The clock is injected.

import type { VerificationStatus } from '../backends/ipvs/verifier.ts';
import { errorLine } from '../model/errors.ts';
import type { Timers } from './sync-loop.ts';

/** Between two cheap checks. */
const CHECK_MS = 5000;
/** However long one took: repairs take their time, and whoever breaks things once does it again. */
const MAX_CHECK_MS = 15_000;
/** A whole comparison is spread over this time; the rest to ten minutes is left for a busy node. */
const CYCLE_MS = 480_000;
/** Work is followed by this many times as long a pause: with the cheap checks it stays under 1 % of a core. */
const PAUSE_PER_WORK = 120;
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
    void this.run('repair', () => {
      this.isUrgent = false;
      return this.options.verifier.repairSuspects();
    });
  }

  /** Starts nothing more; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.options.timers.clear(this.checkTimer);
    this.options.timers.clear(this.sliceTimer);
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
    this.armCheck(Math.min(Math.max(CHECK_MS, workMs * PAUSE_PER_WORK), MAX_CHECK_MS));
  }

  private async compareSlice(): Promise<void> {
    const { timers, verifier } = this.options;
    this.cycleStartMs ??= timers.now();
    let isLast = false;
    const { workMs, isDone } = await this.run('comparison', async () => {
      isLast = await verifier.checkSlice();
    });
    this.cycleWorkMs += workMs;
    if (isLast) this.lastCycle = { durationMs: timers.now() - this.cycleStartMs, workMs: this.cycleWorkMs };
    if (isLast || !isDone) {
      this.cycleStartMs = null;
      this.cycleWorkMs = 0;
    }
    const paceMs = CYCLE_MS / Math.max(1, verifier.status.slices);
    this.armSlice(Math.max(MIN_SLICE_MS, paceMs, workMs * PAUSE_PER_WORK));
  }

  /** Milliseconds that the work took, without waiting for its turn, and whether it went through. */
  private async run(kind: WorkKind, work: () => Promise<void>): Promise<{ workMs: number; isDone: boolean }> {
    const { beside, onError, timers } = this.options;
    let workMs = 0;
    let isDone = true;
    const working = beside(async () => {
      if (this.isStopped) return;
      const startMs = timers.now();
      try {
        await work();
        this.errors.delete(kind);
      } catch (error) {
        const message = errorLine(error);
        if (message !== this.errors.get(kind)) onError(message);
        this.errors.set(kind, message);
        isDone = false;
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
