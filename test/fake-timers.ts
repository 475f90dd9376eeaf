// Timers on a clock that stands still until it is told to move.

import type { Timers } from '../src/daemon/sync-loop.ts';

/** See above. */
export class FakeTimers implements Timers {
  private atMs = 0;
  private readonly pending = new Map<object, { readonly atMs: number; readonly callback: () => void }>();

  now(): number {
    return this.atMs;
  }

  set(callback: () => void, delayMs: number): unknown {
    const timer = {};
    this.pending.set(timer, { atMs: this.atMs + delayMs, callback });
    return timer;
  }

  clear(timer: unknown): void {
    this.pending.delete(timer as object);
  }

  /** Time passes while something works: no timer can fire. */
  spend(ms: number): void {
    this.atMs += ms;
  }

  /** Time passes; every timer fires when it is due, and everything that can go on does so before the next. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.atMs + byMs;
    await settled();
    for (;;) {
      const [next] = [...this.pending].sort(([, a], [, b]) => a.atMs - b.atMs);
      if (next === undefined || next[1].atMs > endMs) break;
      const [timer, { atMs, callback }] = next;
      this.pending.delete(timer);
      this.atMs = Math.max(this.atMs, atMs);
      callback();
      await settled();
    }
    this.atMs = Math.max(this.atMs, endMs);
  }

  /** Until when each timer waits, soonest first. */
  get delaysMs(): number[] {
    return [...this.pending.values()].map(({ atMs }) => atMs - this.atMs).sort((a, b) => a - b);
  }
}

/** Lets every promise that can go on do so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
