// Runs the sync: when asked, never twice at once, never too often, again after a failure, and at least once in a while. Guarantees:
//  1. A request while nothing runs starts a run at once, unless the last run ended less than `minIntervalMs` ago: then when that has passed.
//  2. Requests during a run or a pause are merged into one run; a run of any reason serves what was requested before it began.
//  3. A run that asks for a retry is repeated after a pause that doubles from `retryInitialMs` to `retryMaxMs`, but never later than
//     `maxIntervalMs` and never before `minIntervalMs` has passed; a clean run cancels the retry and resets the pause.
//  4. Once there was a run, the next one begins no later than `maxIntervalMs` after its end, asked for or not.
//  5. `stop` lets a running sync end and starts no other.
//  6. Other work on what the sync works on (`beside`) never runs at once with a sync or with more such work.
// Intervals are measured from the end of a sync. The clock is injected.

/** setTimeout and clearTimeout, or a test's own. Times in milliseconds. */
export interface Timers {
  now(): number;
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

export interface SyncLoopOptions {
  readonly minIntervalMs: number;
  /** The longest time between two runs, at least `minIntervalMs`; default: none. */
  readonly maxIntervalMs?: number;
  readonly retryInitialMs: number;
  readonly retryMaxMs: number;
  readonly timers: Timers;
}

/** Why a run starts: something was requested, the last one asked for a retry, or nothing happened for the longest interval. */
export type SyncReason = 'request' | 'retry' | 'periodic';

/** Other work; see SyncLoop.beside. */
type BesideTask = () => Promise<{ readonly needsRetry: boolean }>;

interface WaitingTask {
  readonly task: BesideTask;
  readonly resolve: () => void;
}

/** Stands for a run that has not come back to us yet: what it asks for in its first turn must wait for its end. */
const STARTING = Promise.resolve();
/** Longer than this setTimeout cannot wait; it is asked again then. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class SyncLoop {
  private readonly run: (reason: SyncReason) => Promise<{ readonly needsRetry: boolean }>;
  private readonly onError: (error: unknown) => void;
  private readonly options: SyncLoopOptions;
  private minIntervalMs: number;
  private maxIntervalMs: number;
  private isRequested = false;
  private isStopped = false;
  private running: Promise<void> | null = null;
  /** Wakes us when the next run is due. */
  private timer: unknown = null;
  /** When the waiting retry is due; null: none waits. */
  private retryAtMs: number | null = null;
  private retryDelayMs: number;
  private lastEndMs = Number.NEGATIVE_INFINITY;
  private readonly waiting: WaitingTask[] = [];
  private readonly idleWaiters: (() => void)[] = [];

  /** `run` must not reject for expected failures; if it rejects all the same, `onError` hears it and a retry follows. */
  constructor(
    run: (reason: SyncReason) => Promise<{ readonly needsRetry: boolean }>,
    onError: (error: unknown) => void,
    options: SyncLoopOptions,
  ) {
    const { minIntervalMs, maxIntervalMs = Number.POSITIVE_INFINITY, retryInitialMs, retryMaxMs } = options;
    if (retryInitialMs <= 0 || retryMaxMs < retryInitialMs) throw new Error('bad retry interval');
    if (maxIntervalMs <= 0 || maxIntervalMs < minIntervalMs) throw new Error('bad longest interval');
    this.run = run;
    this.onError = onError;
    this.options = options;
    this.minIntervalMs = minIntervalMs;
    this.maxIntervalMs = maxIntervalMs;
    this.retryDelayMs = retryInitialMs;
  }

  /** Holds at once, for a pause that goes on too. */
  setMinInterval(minIntervalMs: number): void {
    this.minIntervalMs = minIntervalMs;
    this.rearm();
  }

  /** Holds at once. While it is shorter than the least interval, the least one counts. */
  setMaxInterval(maxIntervalMs: number): void {
    if (maxIntervalMs <= 0) throw new Error('bad longest interval');
    this.maxIntervalMs = maxIntervalMs;
    this.rearm();
  }

  /** Asks for a run. Cheap; call it as often as you like. */
  request(): void {
    if (this.isStopped || this.isRequested) return;
    this.isRequested = true;
    this.rearm();
  }

  /**
   * Runs `task` when no sync and no other task runs; a sync that is asked for meanwhile waits for its end. When the task asks for a retry,
   * one follows as after a failed sync. Resolves when the task has ended, or at once after `stop`.
   */
  beside(task: BesideTask): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.waiting.push({ task, resolve });
      if (this.running === null) this.startWaiting();
    });
  }

  private startWaiting(): void {
    const next = this.waiting.shift();
    if (next === undefined) return;
    this.clearTimer();
    this.running = STARTING;
    this.running = this.runBeside(next);
  }

  private async runBeside({ task, resolve }: WaitingTask): Promise<void> {
    let needsRetry = false;
    try {
      ({ needsRetry } = await task());
    } catch (error) {
      this.onError(error);
    }
    this.running = null;
    resolve();
    if (this.isStopped) return;
    if (needsRetry) this.planRetry();
    this.goOn('beside');
  }

  /** Resolves when no run is going on and none was requested (a waiting retry does not count). */
  idle(): Promise<void> {
    if (this.running === null && !this.isRequested) return Promise.resolve();
    return new Promise((resolve) => this.idleWaiters.push(resolve));
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.isRequested = false;
    this.retryAtMs = null;
    this.clearTimer();
    for (const { resolve } of this.waiting.splice(0)) resolve();
    await this.running;
    this.wakeWaiters();
  }

  /** When the next run may begin: now or later; infinity when nothing asks for one. */
  private nextStartMs(): number {
    const pauseEndMs = this.lastEndMs + this.minIntervalMs;
    const requestMs = this.isRequested ? pauseEndMs : Number.POSITIVE_INFINITY;
    const retryMs = this.retryAtMs === null ? Number.POSITIVE_INFINITY : Math.max(this.retryAtMs, pauseEndMs);
    const hasRun = this.lastEndMs !== Number.NEGATIVE_INFINITY;
    const periodicMs = hasRun
      ? this.lastEndMs + Math.max(this.maxIntervalMs, this.minIntervalMs)
      : Number.POSITIVE_INFINITY;
    return Math.min(requestMs, retryMs, periodicMs);
  }

  /** Starts what is due, or waits for it. Nothing while something runs: its end comes back here. */
  private rearm(): void {
    if (this.running !== null || this.isStopped) return;
    this.clearTimer();
    const { timers } = this.options;
    const waitMs = this.nextStartMs() - timers.now();
    if (waitMs <= 0) this.start();
    else if (waitMs < Number.POSITIVE_INFINITY)
      this.timer = timers.set(
        () => {
          this.timer = null;
          this.rearm();
        },
        Math.min(waitMs, LONGEST_TIMER_MS),
      );
  }

  private start(): void {
    const isRetryDue = this.retryAtMs !== null && this.retryAtMs <= this.options.timers.now();
    // What waits to be tried again is tried by the periodic run, too.
    const isRetry = isRetryDue || (this.retryAtMs !== null && !this.isRequested);
    const reason = isRetry ? 'retry' : this.isRequested ? 'request' : 'periodic';
    this.isRequested = false;
    if (isRetry) this.retryAtMs = null;
    this.running = STARTING;
    this.running = this.runOnce(reason);
  }

  private async runOnce(reason: SyncReason): Promise<void> {
    let needsRetry = true;
    try {
      ({ needsRetry } = await this.run(reason));
    } catch (error) {
      this.onError(error);
    }
    this.lastEndMs = this.options.timers.now();
    this.running = null;
    if (this.isStopped) return;
    this.heed(reason, needsRetry);
    this.goOn('sync');
  }

  private heed(reason: SyncReason, needsRetry: boolean): void {
    const { retryInitialMs, retryMaxMs } = this.options;
    if (!needsRetry) {
      this.retryAtMs = null;
      this.retryDelayMs = retryInitialMs;
      return;
    }
    if (reason === 'retry') this.retryDelayMs = Math.min(this.retryDelayMs * 2, retryMaxMs);
    this.planRetry();
  }

  /** A waiting retry keeps its time whatever else is requested meanwhile: a busy node must not starve it. */
  private planRetry(): void {
    this.retryAtMs ??= this.options.timers.now() + Math.min(this.retryDelayMs, this.maxIntervalMs);
  }

  /** Syncs and other work take turns: neither starves, however fast the one is asked for. */
  private goOn(after: 'sync' | 'beside'): void {
    if (after === 'sync') this.startWaiting();
    if (this.running === null) this.rearm();
    if (this.running === null) this.startWaiting();
    if (this.running === null && !this.isRequested) this.wakeWaiters();
  }

  private clearTimer(): void {
    if (this.timer !== null) this.options.timers.clear(this.timer);
    this.timer = null;
  }

  private wakeWaiters(): void {
    for (const resolve of this.idleWaiters.splice(0)) resolve();
  }
}
