// Lines of a watch, right and wrong, and the order of versions.

import { describe, expect, test } from 'vitest';
import { hasCode } from '../model/errors.ts';
import { ApiStatusError } from './api-client-status.ts';
import { compareVersions, decodeWatchLine } from './api-watch.ts';

const decode = (frame: unknown): unknown => decodeWatchLine(JSON.stringify(frame), 'the watch of /x');

test.each([
  ['an event', { type: 'ADDED', object: { a: 1 } }, { type: 'ADDED', object: { a: 1 } }],
  ['an event without an object', { type: 'DELETED' }, { type: 'DELETED', object: undefined }],
  [
    'a bookmark',
    { type: 'BOOKMARK', object: { metadata: { resourceVersion: '5' } } },
    { type: 'BOOKMARK', resourceVersion: '5', isInitialEnd: false },
  ],
  [
    'the bookmark that ends the beginning',
    {
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: '5', annotations: { 'k8s.io/initial-events-end': 'true' } } },
    },
    { type: 'BOOKMARK', resourceVersion: '5', isInitialEnd: true },
  ],
  [
    'a bookmark of nothing',
    { type: 'BOOKMARK', object: null },
    { type: 'BOOKMARK', resourceVersion: '', isInitialEnd: false },
  ],
])('%s is decoded', (_name, frame, expected) => {
  expect(decode(frame)).toEqual(expected);
});

test.each([
  ['null'],
  ['5'],
  ['[]'],
  ['{}'],
  ['{"type":"added","object":{}}'],
  ['{"type":"ADDED"'],
  ['<html>'],
])('%s is no event', (line) => {
  expect(() => decodeWatchLine(line, 'the watch of /x')).toThrow(
    expect.toSatisfy(
      (error) => hasCode(error, 'API_PROTOCOL') && error.message.startsWith('the watch of /x sent'),
    ),
  );
});

test.each([
  [
    '410',
    { code: 410, reason: 'Expired', message: 'too old' },
    { status: 410, isExpired: true, isInStream: true },
  ],
  ['nothing', undefined, { status: 0, isExpired: false, isInStream: true }],
])('an ERROR is an error: %s', (_name, object, expected) => {
  let error: unknown;
  try {
    decode({ type: 'ERROR', object });
  } catch (cause) {
    error = cause;
  }
  expect(error).toBeInstanceOf(ApiStatusError);
  expect(error).toMatchObject(expected);
});

describe('versions', () => {
  test.each([
    ['9', '10', -1],
    ['10', '9', 1],
    ['123', '123', 0],
    ['18446744073709551615', '18446744073709551614', 1],
    ['', '1', null],
    ['0', '1', null],
    ['a', '1', null],
    ['1', '1a', null],
    ['-1', '1', null],
  ])('%j and %j: %s', (a, b, expected) => {
    const order = compareVersions(a, b);
    expect(order === null ? null : Math.sign(order)).toBe(expected);
  });
});
