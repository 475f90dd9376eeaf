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
