// The times and reasons of runs against a model that asks, millisecond by millisecond, what the rules of spec 5.5 say.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { SyncLoop, type SyncReason } from './sync-loop.ts';

const RETRY_INITIAL_MS = 7;
const RETRY_MAX_MS = 20;

interface Run {
  readonly durationMs: number;
  readonly needsRetry: boolean;
}

type Step =
  | { readonly kind: 'request' }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'intervals'; readonly minMs: number; readonly maxMs: number };

interface Case {
  readonly minMs: number;
  readonly maxMs: number;
  readonly runs: readonly Run[];
  readonly steps: readonly Step[];
}

type Started = readonly [atMs: number, reason: SyncReason];

const CLEAN: Run = { durationMs: 1, needsRetry: false };

/** What must happen: one clock tick after the other. */
function model({ minMs, maxMs, runs, steps }: Case): Started[] {
  const started: Started[] = [];
  let now = 0;
  let [min, max] = [minMs, maxMs];
  let isRequested = false;
  let going: { readonly endMs: number; readonly run: Run; readonly reason: SyncReason } | null = null;
  let lastEnd: number | null = null;
  let retryAt: number | null = null;
  let pause = RETRY_INITIAL_MS;

  const end = (): boolean => {
    if (going === null || going.endMs > now) return false;
    if (!going.run.needsRetry) {
      retryAt = null;
      pause = RETRY_INITIAL_MS;
    } else {
      if (going.reason === 'retry') pause = Math.min(2 * pause, RETRY_MAX_MS);
      retryAt ??= now + Math.min(pause, max);
    }
    lastEnd = now;
    going = null;
    return true;
  };
  const start = (): boolean => {
    if (going !== null) return false;
    const isCool = lastEnd === null || now >= lastEnd + min;
    const isRetryDue = retryAt !== null && now >= retryAt && isCool;
    const isLong = lastEnd !== null && now >= lastEnd + max;
    if (!isRetryDue && !(isRequested && isCool) && !isLong) return false;
    const reason =
      isRetryDue || (retryAt !== null && !isRequested) ? 'retry' : isRequested ? 'request' : 'periodic';
    const run = runs[started.length] ?? CLEAN;
    started.push([now, reason]);
    if (reason === 'retry') retryAt = null;
    isRequested = false;
    going = { endMs: now + run.durationMs, run, reason };
    return true;
  };
  const settle = (): void => {
    while (end() || start());
  };

  for (const step of steps) {
    if (step.kind === 'request') isRequested = true;
    if (step.kind === 'intervals') [min, max] = [step.minMs, step.maxMs];
    settle();
    for (let passed = 0; step.kind === 'pass' && passed < step.ms; passed++) {
      now++;
      settle();
    }
  }
  return started;
}

async function real({ minMs, maxMs, runs, steps }: Case): Promise<Started[]> {
  const timers = new FakeTimers();
  const started: Started[] = [];
  let isRunning = false;
  const loop = new SyncLoop(
    async (reason) => {
      expect(isRunning).toBe(false);
      isRunning = true;
      const { durationMs, needsRetry } = runs[started.length] ?? CLEAN;
      started.push([timers.now(), reason]);
      if (durationMs > 0) await new Promise<void>((resolve) => timers.set(resolve, durationMs));
      isRunning = false;
      return { needsRetry };
    },
    (error) => {
      throw error;
    },
    {
      minIntervalMs: minMs,
      maxIntervalMs: maxMs,
      retryInitialMs: RETRY_INITIAL_MS,
      retryMaxMs: RETRY_MAX_MS,
      timers,
    },
  );
  for (const step of steps) {
    if (step.kind === 'request') loop.request();
    if (step.kind === 'intervals') {
      loop.setMaxInterval(step.maxMs);
      loop.setMinInterval(step.minMs);
    }
    await settled();
    if (step.kind === 'pass') await timers.advance(step.ms);
  }
  const stopped = loop.stop();
  await timers.advance(1000);
  await stopped;
  expect(timers.delaysMs).toEqual([]);
  return started;
}

const intervals = fc
  .tuple(fc.nat(12), fc.nat(30))
  .map(([minMs, more]) => ({ minMs, maxMs: Math.max(1, minMs + more) }));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'request' }) },
  { weight: 4, arbitrary: fc.nat(40).map((ms): Step => ({ kind: 'pass', ms })) },
  { weight: 1, arbitrary: intervals.map((both): Step => ({ kind: 'intervals', ...both })) },
);
const steps = fc.array(step, { maxLength: 30 });
const runs = fc.array(fc.record({ durationMs: fc.nat(9), needsRetry: fc.boolean() }), { maxLength: 25 });

it('runs when and why the rules say', async () => {
  await fc.assert(
    fc.asyncProperty(intervals, runs, steps, async (both, madeRuns, madeSteps) => {
      const made = { ...both, runs: madeRuns, steps: madeSteps };
      expect(await real(made)).toEqual(model(made));
    }),
    { numRuns: 1000 },
  );
});
