// The log as people and their tools read it: the header of klog, the JSON of component-base, one line for each entry whatever is in it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LogEntry, LogFields, Severity } from './log-entry.ts';
import { formatJson } from './log-json.ts';
import { formatElapsed } from './log-lines.ts';
import { formatText, quoteGo } from './log-text.ts';
import { named, openLog, type AgentLog, type LogSettings } from './log.ts';

// Local time, as the entry's.
const AT = new Date(2026, 10, 21, 7, 12, 47, 123);
/** What log collectors know klog's text by. */
const HEADER = /^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6}\s+\d+ [^ :]+:\d+\] /;
/** No control character of any kind, no separator of lines, nothing unseen, no change of direction. */
const HOSTILE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

function entry(severity: Severity, message: string, fields: LogFields = {}, level = 0): LogEntry {
  return { severity, at: AT, pid: 4242, source: 'agent.ts:1', level, message, fields };
}

/** Whatever an object may hold, and what would forge a line or steer a terminal. */
const TEXT = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '\n',
    '\r\nI1121 00:00:00.000000       1 agent.ts:1] "forged"',
    '\u2028',
    '\u0085',
    '\u001b[2J',
    '" x="y',
    '","msg":"forged',
    '\\',
    '\u0000',
    '\u009b31m',
    '\u202e',
    '\u200b',
    '\ud800',
    '\u{e0001}',
    'ümlaut 漢字 😀',
  ),
);

describe('an entry as text', () => {
  it.each<[Severity, string, LogFields, string]>([
    [
      'I',
      'Synced',
      { services: 3, isFirst: true, node: 'node1' },
      '"Synced" services=3 isFirst=true node="node1"',
    ],
    ['W', 'a "b"', {}, '"a \\"b\\""'],
    ['E', 'x', { a: 1, err: 'two\nlines', none: undefined }, '"x" err="two\\nlines" a=1'],
    ['I', 'x', { err: 'second', a: 'first' }, '"x" err="second" a="first"'],
    ['I', 'x', { NodeIPs: ['192.0.2.1', '2001:db8::1'] }, '"x" NodeIPs=["192.0.2.1","2001:db8::1"]'],
    ['I', 'x', { n: 1.5, m: -0, none: Number.NaN }, '"x" n=1.5 m=0 none=NaN'],
  ])('%s %s', (severity, message, fields, expected) => {
    const line = formatText(entry(severity, message, fields));
    expect(line).toBe(`${severity}1121 07:12:47.123000    4242 agent.ts:1] ${expected}`);
    expect(line).toMatch(HEADER);
  });

  // What Go's strconv.Quote makes of these.
  it.each([
    ['', '""'],
    ['plain ~!@#$%^&*()', '"plain ~!@#$%^&*()"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['\u0007\b\f\n\r\t\v', '"\\a\\b\\f\\n\\r\\t\\v"'],
    ['\u0000\u001b\u007f', '"\\x00\\x1b\\x7f"'],
    ['\u0085\u00a0\u00ad\u2028\u202e\ufeff', '"\\u0085\\u00a0\\u00ad\\u2028\\u202e\\ufeff"'],
    ['Grüße, 世界 😀 é', '"Grüße, 世界 😀 é"'],
    ['\u{e0001}', '"\\U000e0001"'],
    ['\ud800', '"\\ufffd"'],
  ])('quotes %j as Go does', (text, expected) => {
    expect(quoteGo(text)).toBe(expected);
  });

  it('is one line that reads back as what was logged, whatever is in message and values', () => {
    const QUOTED = '"((?:[^"\\\\]|\\\\.)*)"';
    const whole = new RegExp(
      `^I1121 07:12:47\\.123000    4242 agent\\.ts:1\\] ${QUOTED} value=${QUOTED} other=${QUOTED}$`,
    );
    fc.assert(
      fc.property(TEXT, TEXT, TEXT, (message, value, other) => {
        const line = formatText(entry('I', message, { value, other }));
        expect(line).not.toMatch(HOSTILE);
        const [, ...parts] = whole.exec(line) ?? [];
        expect(parts.map(unquoteGo)).toEqual([message, value, other].map((text) => text.toWellFormed()));
      }),
    );
  });
});

describe('an entry as JSON', () => {
  it.each<[Severity, LogFields, number, string]>([
    ['I', { a: 1, b: 'x', none: undefined }, 0, '"v":0,"a":1,"b":"x"'],
    ['I', { list: ['a', 2] }, 4, '"v":4,"list":["a",2]'],
    ['W', {}, 0, '"v":0,"severity":"warning"'],
    ['E', { err: 'two\nlines', a: true }, 0, '"a":true,"err":"two\\nlines"'],
    ['E', {}, 0, ''],
    ['I', { n: Number.NaN, p: 1 / 0, m: -1 / 0 }, 0, '"v":0,"n":"NaN","p":"+Inf","m":"-Inf"'],
    ['I', { ts: 1, msg: 'x' }, 0, '"v":0,"ts_":1,"msg_":"x"'],
  ])('%s %j', (severity, fields, level, expected) => {
    const rest = expected === '' ? '' : `,${expected}`;
    expect(formatJson(entry(severity, 'said', fields, level))).toBe(
      `{"ts":${AT.getTime()},"caller":"agent.ts:1","msg":"said"${rest}}`,
    );
  });

  it('is one line that reads back as what was logged, whatever is in message and values', () => {
    fc.assert(
      fc.property(TEXT, TEXT, fc.array(TEXT, { maxLength: 3 }), (message, value, list) => {
        const line = formatJson(entry('E', message, { list, err: value }));
        expect(line).not.toMatch(HOSTILE);
        expect(JSON.parse(line)).toEqual({
          ts: AT.getTime(),
          caller: 'agent.ts:1',
          msg: message,
          list,
          err: value,
        });
      }),
    );
  });
});

it.each([formatText, formatJson])('cuts what is longer than anybody reads: $name', (format) => {
  const long = 'v'.repeat(100_000);
  expect(format(entry('I', 'x', { long })).length).toBeLessThan(5000);
  expect(format(entry('I', 'x', { long }))).toContain('v..."');
  expect(format(entry('I', long)).length).toBeLessThan(5000);
  const list = Array.from({ length: 1000 }, (_, index) => index);
  expect(format(entry('I', 'x', { list }))).toContain('63,"... and 936 more"]');
});

it.each([
  [0, '0s'],
  [-1, '0s'],
  [0.8124, '812µs'],
  [13.52, '13.52ms'],
  [1500, '1.5s'],
  [123_250, '2m3.25s'],
])('%d ms are %s', (elapsedMs, expected) => {
  expect(formatElapsed(elapsedMs)).toBe(expected);
});

describe('a log', () => {
  const open = (settings: Partial<LogSettings> = {}): { log: AgentLog; lines: string[] } => {
    const lines: string[] = [];
    return {
      lines,
      log: openLog({ ...settings, write: (line) => lines.push(line), now: () => AT, pid: 1 }),
    };
  };
  const brief = (lines: readonly string[]): string[] =>
    lines.map((line) => line.replace(/^(.)\S+ \S+ +\d+ /, '$1 '));

  it('writes verbose entries up to its level only, and follows a change of it', () => {
    const { log, lines } = open({ verbosity: 2 });
    const other = named(log, 'other');
    log.verbose(2, 'shown');
    log.verbose(3, 'hidden');
    log.info('info');
    log.warn('warn');
    other.error('error');
    log.setVerbosity(3);
    other.verbose(3, 'shown now');
    log.setVerbosity(0);
    other.verbose(1, 'hidden again');
    expect(brief(lines)).toEqual([
      'I pointsman.ts:1] "shown"',
      'I pointsman.ts:1] "info"',
      'W pointsman.ts:1] "warn"',
      'E other.ts:1] "error"',
      'I other.ts:1] "shown now"',
    ]);
    expect(log.settings.verbosity).toBe(0);
  });

  it.each([-1, 1.5, Number.NaN, 2 ** 31])('refuses a verbosity of %d and keeps its own', (verbosity) => {
    const { log } = open({ verbosity: 1 });
    expect(() => log.setVerbosity(verbosity)).toThrow(/whole number from 0 to 2147483647/);
    expect(log.settings.verbosity).toBe(1);
    expect(() => open({ verbosity })).toThrow(/whole number/);
  });

  it('writes more of the files that --vmodule names, never less', () => {
    const { log, lines } = open({
      verbosity: 1,
      vmodule: [
        { filePattern: 'sync*', verbosity: 4 },
        { filePattern: 'agent', verbosity: 0 },
      ],
    });
    for (const area of ['sync-loop', 'agent', 'facts']) {
      const own = log.named(area);
      own.verbose(1, 'one');
      own.verbose(4, 'four');
      own.verbose(5, 'five');
    }
    expect(brief(lines)).toEqual([
      'I sync-loop.ts:1] "one"',
      'I sync-loop.ts:1] "four"',
      'I agent.ts:1] "one"',
      'I facts.ts:1] "one"',
    ]);
  });

  it('turns to JSON while it runs, where --vmodule has no say', () => {
    const { log, lines } = open({ vmodule: [{ filePattern: '*', verbosity: 4 }] });
    const own = log.named('own');
    own.verbose(4, 'text');
    log.configure({ format: 'json' });
    own.verbose(4, 'hidden');
    own.info('json');
    expect(log.line('W', 'not written')).toBe(
      `{"ts":${AT.getTime()},"caller":"pointsman.ts:1","msg":"not written","v":0,"severity":"warning"}`,
    );
    expect(lines.slice(1)).toEqual([`{"ts":${AT.getTime()},"caller":"own.ts:1","msg":"json","v":0}`]);
    expect(lines[0]).toMatch(HEADER);
  });

  it('that has no names is the same for all files', () => {
    const said: string[] = [];
    const say = (message: string): void => void said.push(message);
    const plain = { info: say, warn: say, error: say, verbose: () => {} };
    named(plain, 'other').info('heard');
    expect(said).toEqual(['heard']);
  });
});

/** What is between the quotes of a string of Go. */
function unquoteGo(quoted: string): string {
  const named_: Readonly<Record<string, string>> = {
    a: '\u0007',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
  };
  return quoted.replaceAll(
    /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/g,
    (_, two?: string, four?: string, eight?: string, one = '') => {
      const hex = two ?? four ?? eight;
      return hex === undefined ? (named_[one] ?? one) : String.fromCodePoint(Number.parseInt(hex, 16));
    },
  );
}
