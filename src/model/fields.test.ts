// Reading untrusted values: what is taken, what is refused with which words, and the bounds. Problems are compared as the lines people see.

import { describe, expect, test } from 'vitest';
import {
  isAbsent,
  member,
  NO_PROBLEMS,
  objectOf,
  ProblemList,
  quote,
  readChoice,
  readInteger,
  readList,
  readText,
  readTimeMs,
} from './fields.ts';
import { formatProblem } from './problem.ts';

/** What `read` gives, and the lines of the problems it reports. */
function reading<T>(read: (problems: ProblemList) => T): { readonly value: T; readonly lines: string[] } {
  const problems = new ProblemList('Service default/web');
  const value = read(problems);
  return { value, lines: problems.list().map(formatProblem) };
}

describe('ProblemList', () => {
  test('is the shared empty list as long as nothing is wrong', () => {
    expect(new ProblemList('Node node1').list()).toBe(NO_PROBLEMS);
    expect(NO_PROBLEMS).toEqual([]);
    expect(Object.isFrozen(NO_PROBLEMS)).toBe(true);
  });

  test('holds what is wrong with the object, in the order of the reports', () => {
    const problems = new ProblemList('Node node1');
    problems.invalid('spec.podCIDR', 'x', 'it is left out', 'write a CIDR');
    problems.add('LimitExceeded', 'status', 'it is long', 'shorten it');
    expect(problems.list()).toEqual([
      {
        object: 'Node node1',
        field: 'spec.podCIDR',
        reason: 'InvalidField',
        message: '"x" is not valid: it is left out',
        remedy: 'write a CIDR',
      },
      {
        object: 'Node node1',
        field: 'status',
        reason: 'LimitExceeded',
        message: 'it is long',
        remedy: 'shorten it',
      },
    ]);
  });

  test('lists sixteen problems of an object and counts the rest', () => {
    const problems = new ProblemList('Node node1');
    for (let i = 0; i < 16; i++) problems.add('InvalidField', `field${i}`, 'wrong', 'repair it');
    expect(problems.list().map(({ field }) => field)).toEqual(
      Array.from({ length: 16 }, (_, i) => `field${i}`),
    );
    for (let i = 16; i < 19; i++) problems.add('InvalidField', `field${i}`, 'wrong', 'repair it');
    expect(problems.list()).toHaveLength(17);
    expect(problems.list().at(-2)!.field).toBe('field15');
    expect(problems.list().at(-1)).toEqual({
      object: 'Node node1',
      field: '',
      reason: 'LimitExceeded',
      message: '3 more problems are not listed',
      remedy: 'repair the ones listed first',
    });
  });
});

describe('quote', () => {
  test.each([
    ['text', 'web', '"web"'],
    ['a number', 80, '80'],
    ['a boolean', false, 'false'],
    ['null', null, 'null'],
    ['nothing', undefined, 'null'],
    ['a list by its kind', [1, 2], 'a list'],
    ['an object by its kind', { a: 1 }, 'an object'],
    ['quotation marks escaped', 'a"b', String.raw`"a\"b"`],
    ['control characters escaped', 'a\nb\u001b', String.raw`"a\nb\u001b"`],
    ['what is not ASCII as ?', 'ä\u007f b~', '"?? b~"'],
    ['text of 64 characters whole', 'a'.repeat(64), `"${'a'.repeat(64)}"`],
    ['the first 64 characters of more', 'a'.repeat(65), `"${'a'.repeat(64)}"...`],
  ])('shows %s', (_case, value, expected) => {
    expect(quote(value)).toBe(expected);
  });
});

describe('members', () => {
  test.each([
    ['an object', { a: 1 }, true],
    ['a list', [1], false],
    ['null', null, false],
    ['nothing', undefined, false],
    ['text', 'a', false],
    ['a number', 1, false],
  ])('objectOf takes %s: %j, %j', (_case, value, isObject) => {
    expect(objectOf(value)).toBe(isObject ? value : null);
  });

  test.each([
    ['its own member', { a: 1 }, 'a', 1],
    ['no member of that name', { a: 1 }, 'b', undefined],
    ['what every object inherits', {}, 'toString', undefined],
    ['a member of a list', [1], 'length', undefined],
    ['a member of text', 'abc', 'length', undefined],
    ['a member of null', null, 'a', undefined],
  ])('member gives %s', (_case, value, name, expected) => {
    expect(member(value, name)).toBe(expected);
  });

  test.each([
    [undefined, true],
    [null, true],
    ['', true],
    [' ', false],
    [0, false],
    [false, false],
    [[], false],
  ])('%j is absent: %j', (value, expected) => {
    expect(isAbsent(value)).toBe(expected);
  });
});

describe('readText', () => {
  const LINE = 'Service default/web: f: 5 is not valid: it must be text and is ignored; write it as a string';
  test.each([
    ['text', 'abc', 'x', 'abc', []],
    ['the fallback for nothing', undefined, 'x', 'x', []],
    ["the fallback for ''", '', 'x', 'x', []],
    ["'' when there is no fallback", null, undefined, '', []],
    ['the fallback for another type', 5, 'x', 'x', [LINE]],
    ["'' for another type when there is no fallback", 5, undefined, '', [LINE]],
  ])('gives %s', (_case, input, fallback, value, lines) => {
    expect(reading((problems) => readText(input, 'f', problems, fallback))).toEqual({ value, lines });
  });
});

describe('readChoice', () => {
  test.each([
    ['a choice', 'Local', 'Local', []],
    ['the fallback for nothing', null, 'Cluster', []],
    [
      'the fallback for anything else',
      'local',
      'Cluster',
      ['Service default/web: f: "local" is not valid: it is read as Cluster; use one of Local, Cluster'],
    ],
    [
      'the fallback for another type',
      ['Local'],
      'Cluster',
      ['Service default/web: f: a list is not valid: it is read as Cluster; use one of Local, Cluster'],
    ],
  ])('gives %s', (_case, input, value, lines) => {
    expect(reading((problems) => readChoice(input, 'f', problems, ['Local', 'Cluster'], 'Cluster'))).toEqual({
      value,
      lines,
    });
  });
});

describe('readInteger', () => {
  const line = (shown: string): string[] => [
    `Service default/web: f: ${shown} is not valid: 30 is used; use a whole number from 10 to 20`,
  ];
  test.each([
    ['the smallest', 10, 10, []],
    ['the largest', 20, 20, []],
    ['the fallback for nothing', undefined, 30, []],
    ['the fallback for one below', 9, 30, line('9')],
    ['the fallback for one above', 21, 30, line('21')],
    ['the fallback for a fraction', 10.5, 30, line('10.5')],
    ['the fallback for digits in text', '15', 30, line('"15"')],
    ['the fallback for a list', [15], 30, line('a list')],
  ])('gives %s', (_case, input, value, lines) => {
    const range = { min: 10, max: 20, fallback: 30 };
    expect(reading((problems) => readInteger(input, 'f', problems, range))).toEqual({ value, lines });
  });

  test('says of a fallback of zero that the field is ignored', () => {
    expect(
      reading((problems) => readInteger(-1, 'f', problems, { min: 1, max: 65_535, fallback: 0 })),
    ).toEqual({
      value: 0,
      lines: ['Service default/web: f: -1 is not valid: it is ignored; use a whole number from 1 to 65535'],
    });
  });
});

describe('readList', () => {
  test.each([
    ['a list', ['a', 'b'], ['a', 'b'], []],
    ['an empty one for nothing', null, [], []],
    [
      'an empty one for anything else',
      'ab',
      [],
      ['Service default/web: f: "ab" is not valid: it must be a list and is ignored; write it as a list'],
    ],
    [
      'the first items of a longer one',
      ['a', 'b', 'c'],
      ['a', 'b'],
      ['Service default/web: f: it has 3 items; only the first 2 are used; use at most 2 items'],
    ],
  ])('gives %s', (_case, input, value, lines) => {
    expect(reading((problems) => readList(input, 'f', problems, 2))).toEqual({ value, lines });
  });

  test('reports a list that is too long as a limit', () => {
    const problems = new ProblemList('Service default/web');
    readList([1, 2], 'f', problems, 1);
    expect(problems.list()).toMatchObject([{ reason: 'LimitExceeded', field: 'f' }]);
  });
});

describe('readTimeMs', () => {
  const NEW_YEAR = Date.UTC(2026, 0, 1);
  test.each([
    ['2026-01-01T00:00:00Z', NEW_YEAR],
    ['2026-01-01T01:30:00+01:30', NEW_YEAR],
    ['2025-12-31T14:00:00-10:00', NEW_YEAR],
    ['2026-01-01T00:00:00.5Z', NEW_YEAR + 500],
    ['2026-01-01T00:00:00.123456789Z', NEW_YEAR + 123],
    ['2026-10-11T12:13:14Z', Date.UTC(2026, 9, 11, 12, 13, 14)],
  ])('reads %s', (text, timeMs) => {
    expect(readTimeMs(text)).toBe(timeMs);
  });

  test.each([
    ['nothing', undefined],
    ['a number', NEW_YEAR],
    ['a list of one', ['2026-01-01T00:00:00Z']],
    ['words', 'yesterday'],
    ['a day', '2026-01-01'],
    ['no zone', '2026-01-01T00:00:00'],
    ['a month that does not exist', '2026-13-01T00:00:00Z'],
    ['a year with a sign', '+012026-01-01T00:00:00Z'],
    ['a dot without digits', '2026-01-01T00:00:00.Z'],
    ['more than nanoseconds', '2026-01-01T00:00:00.1234567890Z'],
    ['an offset without colon', '2026-01-01T00:00:00+0100'],
    ['something behind it', '2026-01-01T00:00:00Z!'],
    ['the date format of RFC 1123', 'Thu, 01 Jan 2026 00:00:00 GMT'],
  ])('gives 0 for %s', (_case, value) => {
    expect(readTimeMs(value)).toBe(0);
  });
});
