// Runs work that says when it is due, beside the syncs: right after the sync that made it due, and again when it asks for it. However often it is
// due, it takes no more than its share of a core. The clock is injected.

import type { Timers } from './sync-loop.ts';

/** After work that ended with an unexpected error. */
const PAUSE_AFTER_ERROR_MS = 30_000;

export interface DueLoopOptions {
  /** When the work is due, by the clock of `timers`; null: nothing is to be done. */
  readonly dueMs: () => number | null;
  readonly work: () => Promise<void>;
  /** Work is followed by this many times as long a pause. */
  readonly pausePerWork: number;
  /** Runs the work apart from syncs; see SyncLoop.beside. May leave it out. */
  readonly beside: (work: () => Promise<void>) => Promise<void>;
  readonly timers: Timers;
}

export class DueLoop {
  private readonly options: DueLoopOptions;
  private timer: unknown = null;
  private running: Promise<void> | null = null;
  private isStopped = false;
  private earliestMs = Number.NEGATIVE_INFINITY;

  constructor(options: DueLoopOptions) {
    this.options = options;
  }

  /** The work may be due by now: call it at the end of every sync. Cheap. */
  afterSync(): void {
    if (this.running === null) this.schedule();
  }

  /** Starts nothing more; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.clearTimer();
    await this.running;
  }

  private schedule(): void {
    this.clearTimer();
    const dueMs = this.isStopped ? null : this.options.dueMs();
    if (dueMs === null) return;
    const waitMs = Math.max(dueMs, this.earliestMs) - this.options.timers.now();
    if (waitMs <= 0) this.start();
    else this.timer = this.options.timers.set(() => this.start(), waitMs);
  }

  private start(): void {
    this.timer = null;
    this.running = this.run();
  }

  private async run(): Promise<void> {
    const { beside, pausePerWork, timers, work } = this.options;
    await beside(async () => {
      if (this.isStopped) return;
      const startMs = timers.now();
      this.earliestMs = startMs + PAUSE_AFTER_ERROR_MS;
      await work();
      this.earliestMs = timers.now() + (timers.now() - startMs) * pausePerWork;
    });
    this.running = null;
    this.schedule();
  }

  private clearTimer(): void {
    if (this.timer !== null) this.options.timers.clear(this.timer);
    this.timer = null;
  }
}
