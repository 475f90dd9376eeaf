import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RecentKeys } from './recent-keys.ts';

it('knows a key for its time from when it was added, however often it comes', () => {
  const keys = new RecentKeys(100, 10);
  expect([0, 50, 99, 100, 150, 200].map((atMs) => keys.add('a', atMs))).toEqual([
    true,
    false,
    false,
    true,
    false,
    true,
  ]);
});

it('forgets the oldest of more than it may hold, and nothing else', () => {
  const keys = new RecentKeys(100, 2);
  expect(['a', 'b', 'a', 'c', 'b', 'a'].map((key) => keys.add(key, 0))).toEqual([
    true,
    true,
    false,
    true,
    false,
    true,
  ]);
});

it('agrees with a list of all that was added', () => {
  const step = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), afterMs: fc.nat(60) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const keys = new RecentKeys(100, 3);
      let added: { key: string; atMs: number }[] = [];
      let nowMs = 0;
      for (const { key, afterMs } of steps) {
        nowMs += afterMs;
        added = added.filter(({ atMs }) => nowMs - atMs < 100);
        const isNew = !added.some((each) => each.key === key);
        expect(keys.add(key, nowMs)).toBe(isNew);
        if (isNew) added = [...added.slice(added.length >= 3 ? 1 : 0), { key, atMs: nowMs }];
      }
    }),
  );
});
