import { describe, expect, it } from 'vitest';
import { formatLargeNumber } from './large-number.ts';

describe('a large number', () => {
  it.each([
    [0n, '        0'],
    [99_999_999n, ' 99999999'],
    [100_000_000n, '  100000K'],
    [999_999_999n, '  999999K'],
    [1_000_000_000n, '    1000M'],
    [99_999_999_999n, '   99999M'],
    [100_000_000_000n, '     100G'],
    [99_999_999_999_999n, '   99999G'],
    [100_000_000_000_000n, '     100T'],
    [2n ** 64n - 1n, '18446744T'],
  ])('%s is shown as "%s"', (value, text) => {
    expect(formatLargeNumber(value, false)).toBe(text);
  });

  it.each([
    [0n, '        0'],
    [99_999_999n, ' 99999999'],
    [999_999_999n, ' 999999999'],
    [2n ** 64n - 1n, ' 18446744073709551615'],
  ])('%s is shown in full as "%s"', (value, text) => {
    expect(formatLargeNumber(value, true)).toBe(text);
  });
});
