// What the soak judges by: a rate that is exceeded, a heap that grows.

import { describe, expect, it } from 'vitest';
import { growth, overdraft } from './soak-client.ts';

describe('requests', () => {
  it.each<[string, readonly number[], number]>([
    ['none', [], 0],
    ['as many at once as burst', [0, 0, 0], 0],
    ['one more', [0, 0, 0, 0], 1],
    ['burst, and then at the rate', [0, 0, 0, 500, 1000, 1500], 0],
    ['burst, and then half a token too early', [0, 0, 0, 250], 0.5],
    ['burst again after a pause', [0, 0, 0, 1500, 1500, 1500], 0],
    ['more than burst after a long pause', [0, 0, 0, 90_000, 90_000, 90_000, 90_000], 1],
  ])('%s', (_name, times, expected) => expect(overdraft(times, 2, 3)).toBe(expected));
});

describe('a heap', () => {
  it.each<[string, readonly number[], number]>([
    ['is flat after it is warm', [1, 5, 9, 10, 10, 10, 10, 10, 10], 1],
    ['has peaks', [10, 10, 10, 10, 90, 10, 10, 10, 50], 1],
    ['grows', [10, 10, 10, 10, 10, 10, 12, 12, 12], 1.2],
  ])('%s', (_name, samples, expected) => expect(growth(samples)).toBe(expected));
});
