// Pauses after failures: how they grow, when they begin anew, what a server may ask for.

import { describe, expect, test } from 'vitest';
import { Backoff, MAX_BACKOFF_MS } from './backoff.ts';

const shortest = (): Backoff => new Backoff(() => 0);

describe('pauses', () => {
  test('double from 0.8 s and stay within 30 s', () => {
    const backoff = shortest();
    const steps = Array.from({ length: 8 }, () => backoff.failed(0));
    expect(steps).toEqual([800, 1600, 3200, 6400, 12_800, 15_000, 15_000, 15_000]);
    const longest = new Backoff(() => 0.999);
    for (let each = 0; each < 10; each++) expect(longest.failed(0)).toBeLessThan(MAX_BACKOFF_MS);
  });

  test('begin anew after two minutes of health, and not before', () => {
    const backoff = shortest();
    for (let each = 0; each < 3; each++) backoff.failed(0);
    backoff.healthy(1000);
    backoff.healthy(100_000);
    expect(backoff.failed(120_999)).toBe(6400);
    backoff.healthy(200_000);
    expect(backoff.failed(320_000)).toBe(800);
    expect(backoff.failed(320_000)).toBe(1600);
  });

  test('a failure ends the health', () => {
    const backoff = shortest();
    backoff.healthy(0);
    backoff.failed(1000);
    expect(backoff.failed(130_000)).toBe(1600);
  });

  test('are as long as a server asks, with some chance on top, and no longer than two minutes', () => {
    expect(shortest().failed(0, 5000)).toBe(5000);
    expect(shortest().failed(0, 500)).toBe(800);
    expect(new Backoff(() => 0.5).failed(0, 8000)).toBe(9000);
    expect(shortest().failed(0, 86_400_000)).toBe(120_000);
  });

  test('after an interruption are the shortest and count for nothing', () => {
    const backoff = shortest();
    backoff.failed(0);
    expect(backoff.interrupted()).toBe(800);
    expect(backoff.failed(0)).toBe(1600);
  });
});
