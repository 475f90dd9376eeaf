// Runs the sync: when asked, never twice at once, never too often, and again after a failure. Guarantees:
//  1. A request while nothing runs starts a run at once, unless the last run ended less than `minIntervalMs` ago: then when that has passed.
//  2. Requests during a run or a pause are merged into one run.
//  3. A run that asks for a retry is repeated after a pause that doubles from `retryInitialMs` to `retryMaxMs`; a clean run resets it.
//  4. `stop` lets a running sync end and starts no other.
//  5. Other work on what the sync works on (`beside`) never runs at once with a sync or with more such work.
// The clock is injected.

/** setTimeout and clearTimeout, or a test's own. Times in milliseconds. */
export interface Timers {
  now(): number;
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

export interface SyncLoopOptions {
  readonly minIntervalMs: number;
  readonly retryInitialMs: number;
  readonly retryMaxMs: number;
  readonly timers: Timers;
}

/** Why a run starts: something was requested, or the last one asked for a retry. */
export type SyncReason = 'request' | 'retry';

/** Other work; see SyncLoop.beside. */
type BesideTask = () => Promise<{ readonly needsRetry: boolean }>;

interface WaitingTask {
  readonly task: BesideTask;
  readonly resolve: () => void;
}

/** Stands for a run that has not come back to us yet: what it asks for in its first turn must wait for its end. */
const STARTING = Promise.resolve();

export class SyncLoop {
  private readonly run: (reason: SyncReason) => Promise<{ readonly needsRetry: boolean }>;
  private readonly onError: (error: unknown) => void;
  private options: SyncLoopOptions;
  private isRequested = false;
  private isStopped = false;
  private isRetryDue = false;
  private running: Promise<void> | null = null;
  private requestTimer: unknown = null;
  private retryTimer: unknown = null;
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
    if (options.retryInitialMs <= 0 || options.retryMaxMs < options.retryInitialMs)
      throw new Error('bad retry interval');
    this.run = run;
    this.onError = onError;
    this.options = options;
    this.retryDelayMs = options.retryInitialMs;
  }

  /** Holds from the next request on; a pause that goes on keeps its length. */
  setMinInterval(minIntervalMs: number): void {
    this.options = { ...this.options, minIntervalMs };
  }

  /** Asks for a run. Cheap; call it as often as you like. */
  request(): void {
    if (this.isStopped) return;
    this.isRequested = true;
    this.schedule();
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
    if (needsRetry) this.armRetry();
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
    this.clearTimers();
    for (const { resolve } of this.waiting.splice(0)) resolve();
    await this.running;
    this.wakeWaiters();
  }

  private schedule(): void {
    if (this.running !== null || this.requestTimer !== null) return;
    const waitMs = this.lastEndMs + this.options.minIntervalMs - this.options.timers.now();
    if (waitMs <= 0) this.start('request');
    else
      this.requestTimer = this.options.timers.set(() => {
        this.requestTimer = null;
        if (this.running === null) this.start('request');
      }, waitMs);
  }

  private start(reason: SyncReason): void {
    if (this.isStopped) return;
    if (reason === 'request') this.isRequested = false;
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
    this.planRetry(reason, needsRetry);
    this.goOn('sync');
  }

  /** Syncs and other work take turns: neither starves, however fast the one is asked for. */
  private goOn(after: 'sync' | 'beside'): void {
    if (this.isRetryDue) {
      this.retryNow();
      return;
    }
    if (after === 'beside' && this.isRequested) this.schedule();
    if (this.running === null) this.startWaiting();
    if (this.running !== null) return;
    if (this.isRequested) this.schedule();
    else this.wakeWaiters();
  }

  /** A waiting retry keeps its time whatever else is requested meanwhile: a busy node must not starve it. */
  private planRetry(reason: SyncReason, needsRetry: boolean): void {
    if (!needsRetry) {
      this.clearTimers();
      this.isRetryDue = false;
      this.retryDelayMs = this.options.retryInitialMs;
      return;
    }
    if (reason === 'retry') this.retryDelayMs = Math.min(this.retryDelayMs * 2, this.options.retryMaxMs);
    this.armRetry();
  }

  private armRetry(): void {
    if (this.retryTimer !== null || this.isRetryDue) return;
    this.retryTimer = this.options.timers.set(() => {
      this.retryTimer = null;
      this.isRetryDue = true;
      if (this.running === null) this.retryNow();
    }, this.retryDelayMs);
  }

  private retryNow(): void {
    this.isRetryDue = false;
    this.start('retry');
  }

  private clearTimers(): void {
    if (this.requestTimer !== null) this.options.timers.clear(this.requestTimer);
    if (this.retryTimer !== null) this.options.timers.clear(this.retryTimer);
    this.requestTimer = null;
    this.retryTimer = null;
  }

  private wakeWaiters(): void {
    for (const resolve of this.idleWaiters.splice(0)) resolve();
  }
}
