// The faster clock: timers fire in their order, leaps make them due, and cleared ones never fire.

import { expect, it } from 'vitest';
import { ScaledTimers } from './scaled-timers.ts';

const HOUR_MS = 3_600_000;

it('fires what a leap makes due, and nothing else', async () => {
  const timers = new ScaledTimers(1);
  const startMs = timers.now();
  const fired: string[] = [];
  const late = timers.set(() => fired.push('late'), 3 * HOUR_MS);
  const cleared = timers.set(() => fired.push('cleared'), HOUR_MS);
  const due = new Promise<void>((resolve) => {
    timers.set(() => {
      fired.push('due');
      resolve();
    }, HOUR_MS);
  });
  timers.clear(cleared);
  timers.leap(HOUR_MS);
  await due;
  expect(fired).toEqual(['due']);
  expect(timers.now() - startMs).toBeGreaterThanOrEqual(HOUR_MS);
  timers.clear(late);
});

it('runs faster than the machine', async () => {
  const timers = new ScaledTimers(1_000_000);
  const startMs = timers.now();
  await new Promise<void>((resolve) => void timers.set(resolve, HOUR_MS));
  expect(timers.now() - startMs).toBeGreaterThanOrEqual(HOUR_MS);
});
