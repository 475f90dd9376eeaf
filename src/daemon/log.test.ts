import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatEntry, openLog } from './log.ts';

// Local time, as the entry's.
const AT = new Date(2026, 10, 21, 7, 12, 47, 123);

describe('a log entry', () => {
  it.each([
    [
      'I',
      'Synced',
      { services: 3, isFirst: true, node: 'node1' },
      'I1121 07:12:47.123000    4242 pointsman] "Synced" services=3 isFirst=true node="node1"',
    ],
    ['W', 'a "b"', {}, 'W1121 07:12:47.123000    4242 pointsman] "a \\"b\\""'],
    [
      'E',
      'x',
      { err: 'two\nlines', none: undefined },
      'E1121 07:12:47.123000    4242 pointsman] "x" err="two\\nlines"',
    ],
  ] as const)('%s %s', (severity, message, fields, expected) => {
    expect(formatEntry(severity, AT, 4242, message, fields)).toBe(expected);
  });

  it('cuts values that are longer than anybody reads', () => {
    const line = formatEntry('I', AT, 1, 'x', { value: 'v'.repeat(100_000) });
    expect(line.length).toBeLessThan(5000);
    expect(line.endsWith('v..."')).toBe(true);
    expect(formatEntry('I', AT, 1, 'v'.repeat(100_000), {}).length).toBeLessThan(5000);
  });

  it('is one line that reads back as what was logged, whatever is in message and values', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\n',
        '\r\nI1121 00:00:00.000000 1 pointsman] "forged"',
        '\u2028',
        '\u0085',
        '\u001b[2J',
        '" x="y',
        '\\',
        '\u0000',
        '\u009b31m',
        '\u202e',
      ),
    );
    fc.assert(
      fc.property(text, text, text, (message, value, other) => {
        const line = formatEntry('I', AT, 4242, message, { value, other });
        // No control character of any kind, no separator of lines, no change of direction.
        expect(line).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
        const [, ...parts] =
          /^I1121 07:12:47\.123000 {4}4242 pointsman\] ("(?:[^"\\]|\\.)*") value=("(?:[^"\\]|\\.)*") other=("(?:[^"\\]|\\.)*")$/.exec(
            line,
          ) ?? [];
        expect(parts.map((part) => JSON.parse(part) as unknown)).toEqual([message, value, other]);
      }),
    );
  });
});

describe('a log', () => {
  it('writes verbose entries up to its level only', () => {
    const lines: string[] = [];
    const log = openLog({ verbosity: 2, write: (line) => lines.push(line), now: () => AT, pid: 1 });
    log.verbose(2, 'shown');
    log.verbose(3, 'hidden');
    log.info('info');
    log.warn('warn');
    log.error('error');
    expect(lines.map((line) => `${line[0]} ${line.slice(line.indexOf('"'))}`)).toEqual([
      'I "shown"',
      'I "info"',
      'W "warn"',
      'E "error"',
    ]);
  });
});
