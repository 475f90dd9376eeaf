// Go's syntax of flags: every way to write one, what is refused and how, and that any way of writing means the same.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FLAGS } from '../config/flags.ts';
import { isOn, textOf, verbosityOf } from '../config/given-flags.ts';
import { PointsmanError } from '../model/errors.ts';
import { flagsHelp } from './flags-help.ts';
import { parseGoFlags, type OwnOption } from './go-flags.ts';

const OWN: readonly OwnOption[] = [
  { name: 'manifests', short: '', takesValue: true },
  { name: 'output', short: 'o', takesValue: true },
  { name: 'once', short: '', takesValue: false },
];
const parse = (
  ...words: string[]
): { flags: object; rest: readonly string[]; warnings: readonly string[] } => {
  const { flags, rest } = parseGoFlags(words, OWN);
  return { flags: Object.fromEntries(flags.texts), rest, warnings: flags.warnings };
};
const refusalOf = (...words: string[]): unknown => {
  try {
    parseGoFlags(words, OWN);
  } catch (error) {
    return error instanceof PointsmanError ? `${error.code} ${error.message}` : error;
  }
  return 'accepted';
};

describe('a flag', () => {
  test.each<[words: string[], flags: object, rest?: readonly string[]]>([
    [['--ipvs-scheduler=rr'], { 'ipvs-scheduler': ['rr'] }],
    [['--ipvs-scheduler', 'rr'], { 'ipvs-scheduler': ['rr'] }],
    [['--ipvs-scheduler='], { 'ipvs-scheduler': [''] }],
    [['--feature-gates=a=true,b=false'], { 'feature-gates': ['a=true,b=false'] }],
    [['--oom-score-adj', '-999'], { 'oom-score-adj': ['-999'] }],
    [['--kubeconfig', '--master'], { kubeconfig: ['--master'] }],
    [['--profiling'], { profiling: ['true'] }],
    [['--profiling=false', '--cleanup=T'], { profiling: ['false'], cleanup: ['T'] }],
    [['-v', '4'], { v: ['4'] }],
    [['-v=4'], { v: ['4'] }],
    [['-v4'], { v: ['4'] }],
    [['--v=4'], { v: ['4'] }],
    [['--v', '4', '-v5'], { v: ['4', '5'] }],
    [['--ipvs-exclude-cidrs=a', '--ipvs-exclude-cidrs', 'b'], { 'ipvs-exclude-cidrs': ['a', 'b'] }],
    [['--manifests', 'dir', '--once', '-o', 'json'], {}, ['--manifests=dir', '--once', '--output=json']],
    [['--manifests=a=b', '--once=true', '-ojson'], {}, ['--manifests=a=b', '--once', '--output=json']],
    [['--once', '--once=false', '-o=text'], {}, ['--output=text']],
    [['--profiling', '--help', '--nonsense'], { profiling: ['true'] }, ['--help']],
    [['-h'], {}, ['--help']],
    [['--version'], { version: ['true'] }, ['--version']],
    [['--version=raw'], { version: ['raw'] }, ['--version']],
    [['--version=false'], { version: ['false'] }, []],
    [['--profiling', '--'], { profiling: ['true'] }],
    [[], {}],
  ])('%j', (words, flags, rest = []) => expect(parse(...words)).toEqual({ flags, rest, warnings: [] }));

  test('may have underscores, which is named', () =>
    expect(parse('--ipvs_exclude_cidrs', 'a', '--proxy_mode=ipvs')).toEqual({
      flags: { 'ipvs-exclude-cidrs': ['a'], 'proxy-mode': ['ipvs'] },
      rest: [],
      warnings: [
        '--ipvs_exclude_cidrs is an old spelling; write --ipvs-exclude-cidrs',
        '--proxy_mode is an old spelling; write --proxy-mode',
      ],
    }));
});

test.each<[words: string[], line: string]>([
  [['--ipvs-schedule=rr'], "USAGE unknown option '--ipvs-schedule'; did you mean --ipvs-scheduler?"],
  [['--manifest', 'x'], "USAGE unknown option '--manifest'; did you mean --manifests?"],
  [['--qqqqqqqq'], "USAGE unknown option '--qqqqqqqq'"],
  [['-config=x'], "USAGE unknown option '-config=x'; did you mean --config?"],
  [['--\u001b[31m'], "USAGE unknown option '--?[31m'"],
  [['--ipvs-scheduler'], "USAGE option '--ipvs-scheduler' argument missing"],
  [['-v'], "USAGE option '-v' argument missing"],
  [['--manifests'], "USAGE option '--manifests' argument missing"],
  [['more'], "USAGE too many arguments: 'more'; there are options only"],
  [
    ['--profiling', 'false'],
    "USAGE too many arguments: 'false'; write --profiling=false; there are options only",
  ],
  [['--', 'x'], "USAGE too many arguments: 'x'; there are options only"],
  [['-'], "USAGE too many arguments: '-'; there are options only"],
  [['--once=maybe'], 'USAGE --once: "maybe" is not valid; write true or false'],
  [['--oncee'], "USAGE unknown option '--oncee'; did you mean --once?"],
])('%j is refused', (words, line) => expect(refusalOf(...words)).toBe(line));

test('any spelling of flags means the same', () => {
  const name = fc.constantFrom(...FLAGS.keys()).filter((one) => one !== 'version');
  const spelt = fc.tuple(name, fc.string({ maxLength: 8 }), fc.nat(2)).map(([flag, text, style]) => {
    const written = style === 2 ? flag.replaceAll('-', '_') : flag;
    const isSplit = style === 1 && FLAGS.get(flag)?.kind !== 'bool';
    return { flag, text, words: isSplit ? [`--${written}`, text] : [`--${written}=${text}`] };
  });
  fc.assert(
    fc.property(fc.array(spelt, { maxLength: 8 }), (all) => {
      const { flags, rest } = parseGoFlags(
        all.flatMap(({ words }) => words),
        OWN,
      );
      const expected = new Map<string, string[]>();
      for (const { flag, text } of all) expected.set(flag, [...(expected.get(flag) ?? []), text]);
      expect(flags.texts).toEqual(expected);
      expect(rest).toEqual([]);
    }),
  );
});

test('what is no command line is USAGE and nothing else', () => {
  const word = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.string({ maxLength: 6 }).map((text) => `-${text}`),
    fc.string({ maxLength: 6 }).map((text) => `--${text}`),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 4 }), (words) => {
      const refusal = refusalOf(...words);
      if (refusal !== 'accepted') expect(refusal).toMatch(/^USAGE [\x20-\x7e]+$/);
    }),
  );
});

describe('flags that ask for something', () => {
  const given = (...words: string[]) => parseGoFlags(words, OWN).flags;
  test('the last text counts', () => {
    expect(textOf(given('--config=a', '--config', 'b'), 'config')).toBe('b');
    expect(isOn(given('--cleanup', '--cleanup=false'), 'cleanup')).toBe(false);
    expect(isOn(given('--init-only'), 'init-only')).toBe(true);
    expect(isOn(given(), 'init-only')).toBe(false);
    expect(verbosityOf(given('-v2', '--v=7'))).toBe(7);
    expect(verbosityOf(given())).toBe(0);
  });

  test('a text that cannot be read is refused', () => {
    expect(() => isOn(given('--cleanup=maybe'), 'cleanup')).toThrow('--cleanup: "maybe" is not valid');
    expect(() => verbosityOf(given('-v', 'high'))).toThrow('-v takes a number from 0 on, not "high"');
  });
});

test('the help names every flag once', () => {
  const lines = flagsHelp().split('\n').slice(1);
  expect(lines.map((line) => /--([a-z-]+)/.exec(line.replace('-v, ', ''))?.[1])).toEqual([...FLAGS.keys()]);
});
