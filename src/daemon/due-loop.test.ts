// When passes run, on a clock that stands still, with work of known cost in place of the keeper's, beside the real sync loop.

import { describe, expect, it } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { DueLoop } from './due-loop.ts';
import { SyncLoop } from './sync-loop.ts';

/** Work that is due when it is told, takes as long as it is told, and writes down when it ran. */
class MeasuredWork {
  dueMs: number | null = null;
  costMs = 0;
  /** When it is due after the passes to come, first in first out; then never. */
  readonly next: number[] = [];
  readonly ranMs: number[] = [];
  /** While this is pending, work goes on. */
  gate: Promise<void> | null = null;
  error: Error | null = null;
  private readonly timers: FakeTimers;

  constructor(timers: FakeTimers) {
    this.timers = timers;
  }

  async pass(): Promise<void> {
    this.ranMs.push(this.timers.now());
    this.timers.spend(this.costMs);
    if (this.gate !== null) await this.gate;
    if (this.error !== null) throw this.error;
    this.dueMs = this.next.shift() ?? null;
  }
}

function makeLoop() {
  const timers = new FakeTimers();
  const work = new MeasuredWork(timers);
  const errors: string[] = [];
  const syncs: number[] = [];
  const syncLoop = new SyncLoop(
    async () => {
      syncs.push(timers.now());
      loop.afterSync();
      return { needsRetry: false };
    },
    (error) => errors.push(String(error)),
    { minIntervalMs: 0, retryInitialMs: 100, retryMaxMs: 400, timers },
  );
  const loop: DueLoop = new DueLoop({
    dueMs: () => work.dueMs,
    work: () => work.pass(),
    pausePerWork: 9,
    beside: (run) =>
      syncLoop.beside(async () => {
        await run();
        return { needsRetry: false };
      }),
    timers,
  });
  return { timers, work, loop, errors, syncs, syncLoop };
}

describe('a pass', () => {
  it('runs right after the sync that noted something', async () => {
    const { timers, work, syncLoop } = makeLoop();
    await timers.advance(70);
    work.dueMs = 0;
    syncLoop.request();
    await timers.advance(0);
    expect(work.ranMs).toEqual([70]);
  });

  it('does not run when nothing was noted', async () => {
    const { timers, work, syncLoop } = makeLoop();
    syncLoop.request();
    await timers.advance(10_000);
    expect(work.ranMs).toEqual([]);
    expect(timers.delaysMs).toEqual([]);
  });

  it('runs again when it is due, without a sync', async () => {
    const { timers, work, syncLoop } = makeLoop();
    work.dueMs = 0;
    work.next.push(1000, 3000);
    syncLoop.request();
    await timers.advance(10_000);
    expect(work.ranMs).toEqual([0, 1000, 3000]);
  });

  it('is earlier when a sync notes something new', async () => {
    const { timers, work, syncLoop } = makeLoop();
    work.dueMs = 0;
    work.next.push(1000);
    syncLoop.request();
    await timers.advance(400);
    work.dueMs = 0;
    syncLoop.request();
    await timers.advance(10_000);
    expect(work.ranMs).toEqual([0, 400]);
  });

  it('holds no sync up but the one that comes while it runs, which runs at its end', async () => {
    const { timers, work, syncLoop, syncs } = makeLoop();
    let open = (): void => {};
    work.gate = new Promise((resolve) => (open = resolve));
    work.dueMs = 0;
    syncLoop.request();
    await settled();
    syncLoop.request();
    await settled();
    expect([syncs.length, work.ranMs.length]).toEqual([1, 1]);
    open();
    await timers.advance(0);
    expect(syncs).toHaveLength(2);
  });

  it.each([
    [1, 10],
    [50, 500],
  ])(
    'that takes %i ms is not repeated before %i ms, however fast syncs note something',
    async (costMs, everyMs) => {
      const { timers, work, syncLoop } = makeLoop();
      work.costMs = costMs;
      for (let i = 0; i < 1000; i++) {
        work.dueMs = 0;
        syncLoop.request();
        await timers.advance(1);
      }
      const pauses = work.ranMs.slice(1).map((ms, i) => ms - (work.ranMs[i] ?? 0));
      expect(pauses.length).toBeGreaterThan(0);
      expect(Math.min(...pauses)).toBeGreaterThanOrEqual(everyMs);
    },
  );

  it('that ends with an unexpected error is reported and repeated after half a minute', async () => {
    const { timers, work, syncLoop, errors } = makeLoop();
    work.error = new Error('a mistake');
    work.dueMs = 0;
    syncLoop.request();
    await timers.advance(29_999);
    expect([errors, work.ranMs]).toEqual([['Error: a mistake'], [0]]);
    work.error = null;
    await timers.advance(1);
    expect(work.ranMs).toEqual([0, 30_000]);
  });
});

describe('stopping', () => {
  it('waits for a pass that runs, and starts no other', async () => {
    const { timers, work, loop, syncLoop } = makeLoop();
    let open = (): void => {};
    work.gate = new Promise((resolve) => (open = resolve));
    work.dueMs = 0;
    work.next.push(1000);
    syncLoop.request();
    await settled();
    let isStopped = false;
    const stopped = loop.stop().then(() => (isStopped = true));
    await settled();
    expect(isStopped).toBe(false);
    open();
    await stopped;
    await timers.advance(10_000);
    expect(work.ranMs).toHaveLength(1);
    expect(timers.delaysMs).toEqual([]);
  });

  it('forgets a pass that waits', async () => {
    const { timers, work, loop, syncLoop } = makeLoop();
    work.dueMs = 0;
    work.next.push(1000);
    syncLoop.request();
    await timers.advance(0);
    await loop.stop();
    await timers.advance(10_000);
    expect(work.ranMs).toEqual([0]);
  });
});
