// The machine's clock, so many times faster, that can also leap: what takes minutes of patience takes a second, and real sockets go on in
// between.

import type { Timers } from '../../src/daemon/sync-loop.ts';

interface Pending {
  readonly callback: () => void;
  readonly atMs: number;
  real: NodeJS.Timeout | null;
}

/** See above. Keeps no process alive. */
export class ScaledTimers implements Timers {
  private readonly factor: number;
  private leaptMs = 0;
  private readonly pending = new Set<Pending>();

  constructor(factor: number) {
    this.factor = factor;
  }

  now(): number {
    return performance.now() * this.factor + this.leaptMs;
  }

  set(callback: () => void, delayMs: number): unknown {
    const timer: Pending = { callback, atMs: this.now() + delayMs, real: null };
    this.pending.add(timer);
    this.arm(timer);
    return timer;
  }

  clear(timer: unknown): void {
    if (!this.pending.delete(timer as Pending)) return;
    clearTimeout((timer as Pending).real ?? undefined);
  }

  /** So much time passes at once; timers that are due fire soon. */
  leap(byMs: number): void {
    this.leaptMs += byMs;
    for (const timer of this.pending) {
      clearTimeout(timer.real ?? undefined);
      this.arm(timer);
    }
  }

  private arm(timer: Pending): void {
    const fire = (): void => {
      // The machine's timers count whole milliseconds, of which each is many here.
      if (this.now() < timer.atMs) return this.arm(timer);
      this.pending.delete(timer);
      timer.callback();
    };
    timer.real = setTimeout(fire, Math.max(0, timer.atMs - this.now()) / this.factor).unref();
  }
}
