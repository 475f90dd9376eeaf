// Equality of plain data, against Node's own.

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSameData } from './equal.ts';

test('agrees with isDeepStrictEqual on plain data', () => {
  // Few values and keys, so that equal and nearly equal data are frequent.
  const { data } = fc.letrec((tie) => ({
    leaf: fc.constantFrom<unknown[]>(0, 1, '', 'a', true, null, undefined),
    data: fc.oneof(
      { maxDepth: 3 },
      tie('leaf'),
      fc.array(tie('data'), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom('a', 'b', '0'), tie('data'), { maxKeys: 2, noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(data, data, (a, b) => {
      expect(isSameData(a, b)).toBe(isDeepStrictEqual(a, b));
      expect(isSameData(a, structuredClone(a))).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ['an empty list and an empty object', [], {}],
  ['a list and an object with its items', ['a'], { 0: 'a' }],
  ['null and an empty object', null, {}],
  ['a member that is undefined and one that is missing', { a: undefined }, { b: undefined }],
  ['a list and its beginning', ['a', 'b'], ['a']],
  ['a number and its text', { a: 1 }, { a: '1' }],
])('tells %s apart, both ways', (_case, a, b) => {
  expect(isSameData(a, b)).toBe(false);
  expect(isSameData(b, a)).toBe(false);
});
