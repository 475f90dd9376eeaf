import { describe, expect, it } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { SyncLoop, type SyncReason } from './sync-loop.ts';

function makeLoop(minIntervalMs = 0, maxIntervalMs?: number) {
  const timers = new FakeTimers();
  const reasons: SyncReason[] = [];
  const results: boolean[] = [];
  const gates: (() => void)[] = [];
  let isGated = false;
  const errors: unknown[] = [];
  const loop = new SyncLoop(
    async (reason) => {
      reasons.push(reason);
      if (isGated) await new Promise<void>((resolve) => gates.push(resolve));
      return { needsRetry: results.shift() ?? false };
    },
    (error) => errors.push(error),
    {
      ...{ minIntervalMs, retryInitialMs: 100, retryMaxMs: 400, timers },
      ...(maxIntervalMs === undefined ? {} : { maxIntervalMs }),
    },
  );
  return { timers, reasons, results, loop, gate: () => (isGated = true), open: () => gates.shift()?.() };
}

describe('SyncLoop', () => {
  it('runs at once when nothing runs', async () => {
    const { loop, reasons } = makeLoop();
    loop.request();
    await loop.idle();
    expect(reasons).toEqual(['request']);
  });

  it('merges requests during a run into one more run', async () => {
    const { loop, reasons, gate, open } = makeLoop();
    gate();
    loop.request();
    loop.request();
    loop.request();
    open();
    await settled();
    expect(reasons).toEqual(['request', 'request']);
    open();
    await loop.idle();
    expect(reasons).toHaveLength(2);
  });

  it('waits for the minimum interval after the end of a run', async () => {
    const { loop, reasons, timers } = makeLoop(50);
    loop.request();
    await loop.idle();
    loop.request();
    await timers.advance(49);
    expect(reasons).toHaveLength(1);
    await timers.advance(1);
    expect(reasons).toHaveLength(2);
  });

  it('retries with a delay that doubles up to its limit and is reset by a clean run', async () => {
    const { loop, reasons, timers, results } = makeLoop();
    results.push(true, true, true, true, true, false, true);
    loop.request();
    await loop.idle();
    const delays: number[] = [];
    for (let i = 0; i < 5; i++) {
      delays.push(...timers.delaysMs);
      await timers.advance(timers.delaysMs[0] ?? 0);
    }
    expect(delays).toEqual([100, 200, 400, 400, 400]);
    expect(timers.delaysMs).toEqual([]);
    loop.request();
    await loop.idle();
    expect(timers.delaysMs).toEqual([100]);
    expect(reasons).toEqual(['request', 'retry', 'retry', 'retry', 'retry', 'retry', 'request']);
  });

  it('retries in time although requests keep coming', async () => {
    const { loop, reasons, timers, results } = makeLoop();
    results.push(...Array.from({ length: 20 }, () => true));
    for (let i = 0; i < 10; i++) {
      loop.request();
      await loop.idle();
      await timers.advance(20);
    }
    expect(reasons.filter((reason) => reason === 'retry').length).toBeGreaterThanOrEqual(1);
  });

  it('runs again after the longest interval, measured from the end of the last run of any reason', async () => {
    const { loop, reasons, timers, results } = makeLoop(10, 1000);
    await timers.advance(5000);
    expect(reasons).toEqual([]);
    loop.request();
    await timers.advance(999);
    loop.request();
    await timers.advance(999);
    expect(reasons).toEqual(['request', 'request']);
    results.push(true);
    await timers.advance(1);
    expect(reasons).toEqual(['request', 'request', 'periodic']);
    await timers.advance(100);
    expect(reasons.at(-1)).toBe('retry');
    await timers.advance(999);
    expect(reasons).toHaveLength(4);
    await timers.advance(1);
    expect(reasons.at(-1)).toBe('periodic');
    expect(timers.delaysMs).toEqual([1000]);
    await loop.stop();
    expect(timers.delaysMs).toEqual([]);
  });

  it('has no longest interval when none is given', async () => {
    const { loop, timers } = makeLoop();
    loop.request();
    await loop.idle();
    expect(timers.delaysMs).toEqual([]);
  });

  it('retries no sooner than the least interval and no later than the longest', async () => {
    const slow = makeLoop(300, 1000);
    slow.results.push(true);
    slow.loop.request();
    await slow.timers.advance(299);
    expect(slow.reasons).toEqual(['request']);
    await slow.timers.advance(1);
    expect(slow.reasons).toEqual(['request', 'retry']);
    const quick = makeLoop(0, 60);
    quick.results.push(true);
    quick.loop.request();
    await quick.timers.advance(60);
    expect(quick.reasons).toEqual(['request', 'retry']);
  });

  it('serves by a retry what was requested in its pause', async () => {
    const { loop, reasons, timers, results } = makeLoop(300);
    results.push(true);
    loop.request();
    await timers.advance(200);
    loop.request();
    await timers.advance(1000);
    expect(reasons).toEqual(['request', 'retry']);
    await loop.idle();
  });

  it('heeds changed intervals at once', async () => {
    const { loop, reasons, timers } = makeLoop(1000, 10_000);
    loop.request();
    await loop.idle();
    loop.request();
    await timers.advance(50);
    loop.setMinInterval(60);
    await timers.advance(9);
    expect(reasons).toHaveLength(1);
    await timers.advance(1);
    expect(reasons).toHaveLength(2);
    loop.setMaxInterval(500);
    await timers.advance(500);
    expect(reasons).toEqual(['request', 'request', 'periodic']);
    // Between the two calls of one new configuration the old least interval may be the longer one.
    loop.setMinInterval(700);
    await timers.advance(699);
    expect(reasons).toHaveLength(3);
    await timers.advance(1);
    expect(reasons).toHaveLength(4);
    await loop.stop();
  });

  it('waits for more than a timer of Node can', async () => {
    const { loop, timers, reasons } = makeLoop(0, 2 ** 32);
    loop.request();
    await timers.advance(2 ** 32 - 1);
    expect(reasons).toHaveLength(1);
    await timers.advance(1);
    expect(reasons).toEqual(['request', 'periodic']);
  });

  it.each([
    ['longest below least', { minIntervalMs: 10, maxIntervalMs: 9 }],
    ['longest of nothing', { minIntervalMs: 0, maxIntervalMs: 0 }],
    ['no first pause', { minIntervalMs: 0, retryInitialMs: 0 }],
  ])('%s is a programmer error', (_row, options) => {
    const rest = { retryInitialMs: 1, retryMaxMs: 1, timers: new FakeTimers() };
    expect(
      () =>
        new SyncLoop(
          async () => ({ needsRetry: false }),
          () => {},
          { ...rest, ...options },
        ),
    ).toThrow(/^bad (retry|longest) interval$/);
  });

  it('runs other work only while no sync runs, and the sync that was asked for meanwhile behind it', async () => {
    const { loop, reasons, gate, open } = makeLoop();
    const order: string[] = [];
    gate();
    loop.request();
    let endTask = (): void => {};
    const work = loop.beside(async () => {
      order.push(`work after ${reasons.length}`);
      await new Promise<void>((resolve) => (endTask = resolve));
      return { needsRetry: false };
    });
    const second = loop.beside(async () => {
      order.push(`more after ${reasons.length}`);
      return { needsRetry: false };
    });
    await settled();
    expect(order).toEqual([]);
    open();
    await settled();
    loop.request();
    await settled();
    expect([order, reasons.length]).toEqual([['work after 1'], 1]);
    endTask();
    await work;
    await settled();
    open();
    await second;
    await loop.idle();
    expect(order).toEqual(['work after 1', 'more after 2']);
    expect(reasons).toEqual(['request', 'request']);
  });

  it('retries what other work asks for, and goes on after work that failed', async () => {
    const { loop, reasons, timers } = makeLoop();
    await loop.beside(async () => ({ needsRetry: true }));
    await loop.beside(async () => {
      throw new Error('broken');
    });
    await timers.advance(100);
    expect(reasons).toEqual(['retry']);
    await loop.stop();
    await loop.beside(async () => {
      throw new Error('never called');
    });
  });

  it('starts nothing after stop and waits for the run that goes on', async () => {
    const { loop, reasons, gate, open } = makeLoop();
    gate();
    loop.request();
    loop.request();
    const stopped = loop.stop();
    open();
    await stopped;
    loop.request();
    await settled();
    expect(reasons).toHaveLength(1);
  });
});
