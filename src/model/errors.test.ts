// What errors say to people and to programs.

import { describe, expect, test } from 'vitest';
import { errorLine, hasCode, KernelError, PointsmanError } from './errors.ts';

describe('a PointsmanError', () => {
  test('has a line for people, a code and facts for programs, and its cause', () => {
    const cause = new Error('EACCES');
    const error = new PointsmanError('INVALID_CONFIG', 'x is wrong; write y', { path: 'x' }, { cause });
    expect(error).toBeInstanceOf(Error);
    expect({ ...error, message: error.message, cause: error.cause }).toEqual({
      name: 'PointsmanError',
      code: 'INVALID_CONFIG',
      message: 'x is wrong; write y',
      context: { path: 'x' },
      cause,
    });
  });

  test('has no facts unless they are given', () => {
    expect(new PointsmanError('USAGE', 'no such command').context).toEqual({});
  });
});

describe('a KernelError', () => {
  test.each([
    [
      'the object and the hint',
      ['TCP 10.96.0.1:80', 'run as root'],
      'NEW_SERVICE TCP 10.96.0.1:80: EPERM (errno 1); run as root',
    ],
    ['the object', ['TCP 10.96.0.1:80'], 'NEW_SERVICE TCP 10.96.0.1:80: EPERM (errno 1)'],
    ['the hint', ['', 'run as root'], 'NEW_SERVICE: EPERM (errno 1); run as root'],
    ['the operation alone', [''], 'NEW_SERVICE: EPERM (errno 1)'],
  ] as const)('names %s', (_case, [object, hint], message) => {
    const facts = { operation: 'NEW_SERVICE', object, errno: 1, errnoName: 'EPERM' };
    const error = new KernelError('NEW_SERVICE', object, 1, 'EPERM', hint);
    expect(error).toBeInstanceOf(PointsmanError);
    expect({ ...error, message: error.message }).toEqual({
      name: 'KernelError',
      code: 'KERNEL_REFUSED',
      message,
      context: facts,
      ...facts,
    });
  });
});

test.each([
  ['an error with the code', new PointsmanError('USAGE', 'x'), true],
  ['an error with another code', new PointsmanError('INVALID_IP', 'x'), false],
  ['an error of a program of the system', Object.assign(new Error('x'), { code: 'USAGE' }), false],
  ['no error at all', null, false],
])('hasCode tells %s', (_case, error, expected) => {
  expect(hasCode(error, 'USAGE')).toBe(expected);
});

test.each([
  ['of an error is its message', new TypeError('x is no function'), 'x is no function'],
  ['of anything else is its text', 42, '42'],
  ['of nothing is there too', undefined, 'undefined'],
])('the line %s', (_case, thrown, line) => {
  expect(errorLine(thrown)).toBe(line);
});
