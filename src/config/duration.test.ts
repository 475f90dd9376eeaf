// Go durations: a table from Go's own rules, and the round trip of all 64-bit values.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatGoDuration, parseGoDuration } from './duration.ts';

describe('Go durations', () => {
  test.each<[text: string, nanoseconds: bigint]>([
    ['0', 0n],
    ['0s', 0n],
    ['30s', 30_000_000_000n],
    ['1h30m', 5_400_000_000_000n],
    ['1.5s', 1_500_000_000n],
    ['.5s', 500_000_000n],
    ['1.s', 1_000_000_000n],
    ['100ms', 100_000_000n],
    ['3us', 3_000n],
    ['3µs', 3_000n],
    ['3μs', 3_000n],
    ['1ns', 1n],
    ['0.3333333333333333333h', 1_199_999_999_999n],
    ['-1m', -60_000_000_000n],
    ['+5s', 5_000_000_000n],
    ['2562047h47m16.854775807s', 9_223_372_036_854_775_807n],
    ['-9223372036854775808ns', -9_223_372_036_854_775_808n],
  ])('%s is %s ns', (text, nanoseconds) => expect(parseGoDuration(text)).toBe(nanoseconds));

  test.each([
    '',
    '-',
    '3',
    '.s',
    '1',
    '1x',
    '1 s',
    's',
    '1s ',
    '1,5s',
    '1e3s',
    '1s-1s',
    '1d',
    '9223372036854775808ns',
    '1h'.repeat(60),
    '١s',
    '1s\n',
  ])('%j is none', (text) => expect(parseGoDuration(text)).toBeNull());

  test.each<[nanoseconds: bigint, text: string]>([
    [0n, '0s'],
    [1n, '1ns'],
    [1_100n, '1.1µs'],
    [2_200_000n, '2.2ms'],
    [3_300_000_000n, '3.3s'],
    [245_000_000_000n, '4m5s'],
    [245_001_000_000n, '4m5.001s'],
    [18_367_001_000_000n, '5h6m7.001s'],
    [3_600_000_000_000n, '1h0m0s'],
    [-1_500_000_000n, '-1.5s'],
  ])('%s ns are written %s', (nanoseconds, text) => expect(formatGoDuration(nanoseconds)).toBe(text));

  test('what is written is read back exactly', () => {
    const any = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
    fc.assert(
      fc.property(any, (nanoseconds) => {
        expect(parseGoDuration(formatGoDuration(nanoseconds))).toBe(nanoseconds);
      }),
    );
  });
});
