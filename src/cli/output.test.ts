import { describe, expect, it } from 'vitest';
import { ERROR_CODES, PointsmanError, type ErrorCode } from '../model/errors.ts';
import { exitCodeOf } from './exit-codes.ts';
import { count, formatTable } from './output.ts';

describe('a table', () => {
  it.each<[string, string[], string[][], string]>([
    [
      'aligns columns and pads no line at its end',
      ['A', 'LONG'],
      [
        ['wide', 'x'],
        ['', 'y'],
      ],
      'A     LONG\nwide  x\n      y\n',
    ],
    ['takes rows that are shorter', ['A', 'B'], [['wide']], 'A     B\nwide\n'],
    ['is empty for nothing', [], [], ''],
    ['does without a header', [], [['a', 'b']], 'a  b\n'],
  ])('%s', (_, header, rows, expected) => {
    expect(formatTable(header, rows)).toBe(expected);
  });
});

describe('a count', () => {
  it.each([
    [0, 'no Services'],
    [1, '1 Service'],
    [2, '2 Services'],
    [12_345, '12,345 Services'],
  ])('of %d is "%s"', (number, expected) => {
    expect(count(number, 'Service')).toBe(expected);
  });
});

describe('the exit code', () => {
  const EXPECTED: Partial<Record<ErrorCode, number>> = {
    USAGE: 2,
    INVALID_CONFIG: 2,
    INVALID_KUBECONFIG: 2,
    UNSUPPORTED_MODE: 3,
    UNSUPPORTED_FAMILY: 3,
    MISSING_PRIVILEGE: 3,
    MISSING_MODULE: 3,
    MISSING_TOOL: 3,
    NO_NATIVE_LIBRARY: 3,
    AGENT_RUNNING: 3,
    RIVAL_PROXY: 3,
  };
  it.each(Object.keys(ERROR_CODES) as ErrorCode[])('of %s is as documented', (code) => {
    expect(exitCodeOf(new PointsmanError(code, 'x'))).toBe(EXPECTED[code] ?? 1);
  });

  it('of anything else is 1', () => {
    for (const error of [new Error('x'), 'text', undefined]) expect(exitCodeOf(error)).toBe(1);
  });
});
