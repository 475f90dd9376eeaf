// The pace of verification on a clock that stands still, with work of known cost in place of the kernel's, beside the real sync loop.

import { describe, expect, it } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import type { VerificationStatus } from '../backends/ipvs/verifier.ts';
import { SyncLoop } from './sync-loop.ts';
import { VerifyLoop, type VerifierWork } from './verify-loop.ts';

const CHECK_MS = 5000;
const CYCLE_MS = 480_000;

/** Work that takes as long as it is told, fails when it is told, and writes down when it ran. */
class MeasuredWork implements VerifierWork {
  slices = 100;
  costMs = { slice: 0, check: 0, repair: 0 };
  errors = { slice: '', check: '', repair: '' };
  /** "slice 20": what ran, and when it began. */
  readonly ran: string[] = [];
  /** While this is pending, work goes on. */
  gate: Promise<void> | null = null;
  closed = 0;
  private slice = 0;
  private readonly timers: FakeTimers;

  constructor(timers: FakeTimers) {
    this.timers = timers;
  }

  get status(): VerificationStatus {
    return { cycles: 0, slice: this.slice, slices: this.slices };
  }

  repairSuspects = (): Promise<void> => this.work('repair');
  checkContainers = (): Promise<void> => this.work('check');

  async checkSlice(): Promise<boolean> {
    await this.work('slice');
    this.slice = (this.slice + 1) % this.slices;
    return this.slice === 0;
  }

  async close(): Promise<void> {
    this.closed++;
  }

  private async work(what: keyof MeasuredWork['costMs']): Promise<void> {
    this.ran.push(`${what} ${this.timers.now()}`);
    this.timers.spend(this.costMs[what]);
    if (this.gate !== null) await this.gate;
    if (this.errors[what] !== '') throw new Error(this.errors[what]);
  }

  /** When work of a kind began. */
  timesOf(what: string): number[] {
    return this.ran.filter((line) => line.startsWith(what)).map((line) => Number(line.split(' ')[1]));
  }
}

function makeLoop() {
  const timers = new FakeTimers();
  const work = new MeasuredWork(timers);
  const errors: string[] = [];
  const syncs: number[] = [];
  let gate: Promise<void> | null = null;
  const syncLoop = new SyncLoop(
    async () => {
      syncs.push(timers.now());
      await gate;
      return { needsRetry: false };
    },
    (error) => errors.push(`sync loop: ${String(error)}`),
    { minIntervalMs: 0, retryInitialMs: 100, retryMaxMs: 400, timers },
  );
  const loop = new VerifyLoop({
    verifier: work,
    beside: (run) =>
      syncLoop.beside(async () => {
        await run();
        return { needsRetry: false };
      }),
    onError: (message) => errors.push(message),
    timers,
  });
  /** A sync that goes on until the returned function is called. */
  const beginSync = (): (() => void) => {
    let end = (): void => {};
    gate = new Promise((resolve) => (end = resolve));
    syncLoop.request();
    return end;
  };
  return { timers, work, loop, errors, syncs, syncLoop, beginSync };
}

/** Pauses between times. */
const pauses = (times: readonly number[]): number[] =>
  times.slice(1).map((time, index) => time - (times[index] ?? 0));

describe('the pace of a comparison', () => {
  it.each([
    [100, 0, 4800],
    [1000, 0, 480],
    [1000, 3, 483],
    [1000, 5, 605],
    [100, 41, 4961],
    [24_000, 0, 20],
    [1_000_000, 0, 20],
    [1_000_000, 1, 121],
    [0, 0, CYCLE_MS],
  ])('with %i slices of %i ms each is a slice every %i ms', async (slices, costMs, everyMs) => {
    const { timers, work, loop } = makeLoop();
    work.slices = slices;
    work.costMs.slice = costMs;
    loop.start();
    await timers.advance(20 + 3 * everyMs);
    expect(work.timesOf('slice').slice(0, 4)).toEqual([20, 20 + everyMs, 20 + 2 * everyMs, 20 + 3 * everyMs]);
  });

  it('ends within ten minutes at no more than a hundredth of a core, with its cheap checks', async () => {
    const { timers, work, loop } = makeLoop();
    work.costMs = { slice: 2, check: 5, repair: 0 };
    loop.start();
    await timers.advance(600_000);
    const { lastCycle } = loop.status;
    expect(lastCycle?.durationMs).toBeLessThan(600_000);
    expect(lastCycle?.workMs).toBe(200);
    const workMs = work.timesOf('slice').length * 2 + work.timesOf('check').length * 5;
    expect(workMs / 600_000).toBeLessThan(0.01);
  });

  it.each([
    [50, 100],
    [200, 40],
    [5, 120],
  ])(
    'takes no more than a hundredth of a core with slices of %i ms and checks of %i ms',
    async (slice, check) => {
      const { timers, work, loop } = makeLoop();
      work.slices = 100_000;
      work.costMs = { slice, check, repair: 0 };
      loop.start();
      await timers.advance(600_000);
      const workMs = work.timesOf('slice').length * slice + work.timesOf('check').length * check;
      expect(workMs / 600_000).toBeLessThan(0.01);
    },
  );

  it('does not count the time that it waits for a sync as work', async () => {
    const { timers, work, loop, beginSync } = makeLoop();
    work.slices = 1000;
    loop.start();
    const end = beginSync();
    await timers.advance(4000);
    expect(work.ran).toEqual([]);
    end();
    await settled();
    expect(work.timesOf('slice')).toEqual([4000]);
    await timers.advance(480);
    expect(work.timesOf('slice')).toEqual([4000, 4480]);
  });
});

describe('the time of a comparison', () => {
  it('is known when the first has ended', async () => {
    const { timers, work, loop } = makeLoop();
    work.slices = 3;
    work.costMs.slice = 10;
    expect(loop.status).toMatchObject({ lastCycle: null, lastError: '' });
    loop.start();
    await timers.advance(2 * CYCLE_MS);
    const [first = 0, , third = 0] = work.timesOf('slice');
    expect(loop.status.lastCycle).toEqual({ durationMs: third - first + 10, workMs: 30 });
  });

  it('goes on behind a slice that failed', async () => {
    const { timers, work, loop } = makeLoop();
    work.slices = 2;
    loop.start();
    work.errors.slice = 'broken';
    await timers.advance(20);
    work.errors.slice = '';
    await timers.advance(CYCLE_MS);
    const [first = 0, , last = 0] = work.timesOf('slice');
    expect(loop.status.lastCycle).toEqual({ durationMs: last - first, workMs: 0 });
  });
});

describe('cheap checks', () => {
  it.each([
    [0, 5000],
    [20, 5020],
    [25, 6025],
    [100, 15_100],
  ])('of %i ms come every %i ms', async (costMs, everyMs) => {
    const { timers, work, loop } = makeLoop();
    work.slices = 1;
    work.costMs.check = costMs;
    loop.start();
    await timers.advance(CHECK_MS + 2 * everyMs);
    expect(work.timesOf('check')[0]).toBe(CHECK_MS);
    expect(pauses(work.timesOf('check'))).toEqual([everyMs, everyMs]);
  });

  it('and slices go on side by side after failures', async () => {
    const { timers, work, loop } = makeLoop();
    work.slices = 480;
    work.errors = { slice: 'no slice', check: 'no check', repair: '' };
    loop.start();
    await timers.advance(11_000);
    expect(work.timesOf('check')).toHaveLength(2);
    expect(work.timesOf('slice')).toHaveLength(11);
  });
});

describe('an urgent repair', () => {
  it('runs at once when nothing runs, whatever the pace', async () => {
    const { work, loop } = makeLoop();
    loop.start();
    loop.repairNow();
    await settled();
    expect(work.ran).toEqual(['repair 0']);
  });

  it('runs once behind a sync that goes on, however often it is asked for meanwhile', async () => {
    const { work, loop, beginSync } = makeLoop();
    const end = beginSync();
    for (let times = 0; times < 1000; times++) loop.repairNow();
    await settled();
    expect(work.ran).toEqual([]);
    end();
    await settled();
    expect(work.ran).toEqual(['repair 0']);
  });

  it('has its turn although another sync is asked for during each', async () => {
    const timers = new FakeTimers();
    let syncs = 0;
    const syncLoop: SyncLoop = new SyncLoop(
      async () => {
        if (++syncs < 50) syncLoop.request();
        await settled();
        return { needsRetry: false };
      },
      () => {},
      { minIntervalMs: 0, retryInitialMs: 100, retryMaxMs: 400, timers },
    );
    let syncsBefore = Number.POSITIVE_INFINITY;
    syncLoop.request();
    await syncLoop.beside(async () => {
      syncsBefore = syncs;
      return { needsRetry: false };
    });
    expect(syncsBefore).toBeLessThan(5);
    await syncLoop.idle();
  });

  it('runs again for what was asked while it ran', async () => {
    const { work, loop } = makeLoop();
    let end = (): void => {};
    work.gate = new Promise((resolve) => (end = resolve));
    loop.repairNow();
    await settled();
    loop.repairNow();
    loop.repairNow();
    expect(work.ran).toHaveLength(1);
    end();
    await settled();
    expect(work.ran).toHaveLength(2);
  });

  it('runs again after it failed, when it is asked for', async () => {
    const { work, loop, errors } = makeLoop();
    work.errors.repair = 'broken';
    loop.repairNow();
    await settled();
    work.errors.repair = '';
    loop.repairNow();
    await settled();
    expect([work.ran.length, errors]).toEqual([2, ['broken']]);
  });
});

describe('an error', () => {
  it('is told once in a row, and again after it was gone', async () => {
    const { timers, work, loop, errors } = makeLoop();
    work.slices = 480;
    work.errors.slice = 'broken';
    loop.start();
    await timers.advance(4500);
    expect(errors).toEqual(['broken']);
    expect(loop.status.lastError).toBe('broken');
    work.errors.slice = '';
    await timers.advance(1000);
    expect(loop.status.lastError).toBe('');
    work.errors.slice = 'broken';
    await timers.advance(1000);
    expect(errors).toEqual(['broken', 'broken']);
  });

  it('is told when it is another one', async () => {
    const { timers, work, loop, errors } = makeLoop();
    work.slices = 480;
    loop.start();
    for (const message of ['one', 'two', 'two', 'one']) {
      work.errors.slice = message;
      await timers.advance(1000);
    }
    expect(errors).toEqual(['one', 'two', 'one']);
  });

  it('of one kind of work is told once although other work goes through in between', async () => {
    const { timers, work, loop, errors } = makeLoop();
    work.slices = 480;
    work.errors.check = 'no headers';
    loop.start();
    await timers.advance(60_000);
    expect(work.timesOf('check')).toHaveLength(12);
    expect(errors).toEqual(['no headers']);
    expect(loop.status.lastError).toBe('no headers');
  });
});

describe('stop', () => {
  it('starts nothing more and closes the verifier', async () => {
    const { timers, work, loop } = makeLoop();
    loop.start();
    await timers.advance(6000);
    const { length } = work.ran;
    await loop.stop();
    expect([work.closed, timers.delaysMs]).toEqual([1, []]);
    loop.repairNow();
    await timers.advance(CYCLE_MS);
    expect(work.ran).toHaveLength(length);
  });

  it('arms no timer behind work that went on', async () => {
    const { timers, work, loop } = makeLoop();
    let end = (): void => {};
    work.gate = new Promise((resolve) => (end = resolve));
    loop.start();
    await timers.advance(20);
    const stopped = loop.stop();
    end();
    await stopped;
    await settled();
    expect(timers.delaysMs).toEqual([]);
  });

  it('ends when what runs has ended', async () => {
    const { work, loop } = makeLoop();
    let end = (): void => {};
    work.gate = new Promise((resolve) => (end = resolve));
    loop.repairNow();
    await settled();
    const order: string[] = [];
    const stopped = loop.stop().then(() => order.push('stopped'));
    await settled();
    order.push('end');
    end();
    await stopped;
    expect(order).toEqual(['end', 'stopped']);
  });

  it('also stops what waits for a sync: it does not begin after it', async () => {
    const { timers, work, loop, beginSync } = makeLoop();
    loop.start();
    const end = beginSync();
    await timers.advance(20);
    loop.repairNow();
    const stopped = loop.stop();
    end();
    await stopped;
    await settled();
    expect(work.ran).toEqual([]);
  });
});
