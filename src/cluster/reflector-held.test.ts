// Texts that wait come out as they went in.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HeldTexts } from './reflector-held.ts';

test('everything comes out in order, small or compressed, and only once', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.nat({ max: 3 }), (texts, great) => {
      const all = [
        ...texts,
        ...Array.from({ length: great }, (_, index) => `${index}${'ä{"x":1}'.repeat(70_000)}`),
        'end',
      ];
      const held = new HeldTexts();
      for (const text of all) held.add(text);
      expect(held.count).toBe(all.length);
      expect([...held.drain()]).toEqual(all);
      expect([held.count, held.bytes, [...held.drain()]]).toEqual([0, 0, []]);
    }),
    { numRuns: 20 },
  );
});

test('what is cleared is gone', () => {
  const held = new HeldTexts();
  for (let each = 0; each < 1000; each++) held.add('x'.repeat(1000));
  held.clear();
  held.add('y');
  expect([...held.drain()]).toEqual(['y']);
});
