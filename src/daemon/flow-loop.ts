// When stale UDP flows are looked for: right after the sync that noted something, beside the next one, and again when the keeper asks for
// it. However fast syncs come, it takes no more than a tenth of a core. The clock is injected.

import type { FlowPass } from '../backends/flow-keeper.ts';
import type { Timers } from './sync-loop.ts';

/** A pass is followed by this many times as long a pause. */
const PAUSE_PER_WORK = 9;
/** After a pass that ended with an unexpected error. */
const PAUSE_AFTER_ERROR_MS = 30_000;

/** The part of the keeper that is driven. */
export interface FlowWork {
  readonly dueMs: number | null;
  pass(): Promise<readonly FlowPass[]>;
}

export interface FlowLoopOptions {
  readonly keeper: FlowWork;
  /** Runs the work apart from syncs; see SyncLoop.beside. May leave it out. */
  readonly beside: (work: () => Promise<void>) => Promise<void>;
  /** Hears of what was done, also when nothing had to be deleted. */
  readonly onPass: (pass: FlowPass) => void;
  /** The keeper's clock is that of its `now`. */
  readonly timers: Timers;
}

export class FlowLoop {
  private readonly options: FlowLoopOptions;
  private timer: unknown = null;
  private running: Promise<void> | null = null;
  private isStopped = false;
  private earliestMs = Number.NEGATIVE_INFINITY;

  constructor(options: FlowLoopOptions) {
    this.options = options;
  }

  /** Something may have been noted: call it at the end of every sync. Cheap. */
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
    const { keeper, timers } = this.options;
    const { dueMs } = keeper;
    if (this.isStopped || dueMs === null) return;
    const waitMs = Math.max(dueMs, this.earliestMs) - timers.now();
    if (waitMs <= 0) this.start();
    else this.timer = timers.set(() => this.start(), waitMs);
  }

  private start(): void {
    this.timer = null;
    this.running = this.run();
  }

  private async run(): Promise<void> {
    const { beside, keeper, onPass, timers } = this.options;
    await beside(async () => {
      if (this.isStopped) return;
      const startMs = timers.now();
      this.earliestMs = startMs + PAUSE_AFTER_ERROR_MS;
      for (const pass of await keeper.pass()) onPass(pass);
      this.earliestMs = timers.now() + (timers.now() - startMs) * PAUSE_PER_WORK;
    });
    this.running = null;
    this.schedule();
  }

  private clearTimer(): void {
    if (this.timer !== null) this.options.timers.clear(this.timer);
    this.timer = null;
  }
}
