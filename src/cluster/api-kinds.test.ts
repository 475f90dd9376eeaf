// What is asked for, and what an object in an answer is called.

import { describe, expect, test } from 'vitest';
import { applyEvent, deleteEvent, ENDPOINT_SLICES, identityOf, nodeNamed, SERVICES } from './api-kinds.ts';

test('the Node is asked for by its name alone, whatever that is', () => {
  expect(nodeNamed('node-1.example').query).toEqual({ fieldSelector: 'metadata.name=node-1.example' });
  expect(nodeNamed('a,b=c\\').query).toEqual({ fieldSelector: String.raw`metadata.name=a\,b\=c\\` });
});

describe('an object', () => {
  const named = (metadata: unknown, more: object = {}): unknown => ({ metadata, ...more });

  test.each([
    [
      'in a namespace',
      SERVICES,
      named({ name: 'a', namespace: 'b', resourceVersion: '7' }),
      { key: 'b/a', resourceVersion: '7' },
    ],
    ['without one', ENDPOINT_SLICES, named({ name: 'a' }), { key: '/a', resourceVersion: '' }],
    [
      'with one that is null',
      SERVICES,
      named({ name: 'a', namespace: null }),
      { key: '/a', resourceVersion: '' },
    ],
    [
      'that says its kind',
      SERVICES,
      named({ name: 'a' }, { kind: 'Service' }),
      { key: '/a', resourceVersion: '' },
    ],
    [
      'a Node',
      nodeNamed('n'),
      named({ name: 'n', namespace: 'x', resourceVersion: 7 }),
      { key: '/n', resourceVersion: '' },
    ],
  ])('%s has an identity', (_name, kind, object, expected) => {
    expect(identityOf(kind, object)).toEqual(expected);
  });

  test.each([
    ['null', null, 'it has no metadata.name'],
    ['a text', 'x', 'it has no metadata.name'],
    ['no metadata', {}, 'it has no metadata.name'],
    ['an empty name', named({ name: '' }), 'it has no metadata.name'],
    ['a name that is a number', named({ name: 5 }), 'it has no metadata.name'],
    ['a slash in its name', named({ name: 'a/b' }), 'its name or namespace cannot be one'],
    [
      'a namespace of another type',
      named({ name: 'a', namespace: {} }),
      'its name or namespace cannot be one',
    ],
    ['an endless name', named({ name: 'a'.repeat(254) }), 'its name or namespace cannot be one'],
    ['another kind', named({ name: 'a' }, { kind: 'Secret' }), 'it is no Service'],
  ])('has none: %s', (_name, object, expected) => {
    expect(identityOf(SERVICES, object)).toBe(expected);
  });

  test('becomes an event that says its kind', () => {
    expect(applyEvent(SERVICES, { metadata: { name: 'a' } })).toEqual({
      type: 'apply',
      object: { kind: 'Service', metadata: { name: 'a' } },
    });
    expect(deleteEvent(ENDPOINT_SLICES, 'b/a')).toEqual({
      type: 'delete',
      kind: 'EndpointSlice',
      namespace: 'b',
      name: 'a',
    });
    expect(deleteEvent(nodeNamed('n'), '/n')).toEqual({
      type: 'delete',
      kind: 'Node',
      namespace: '',
      name: 'n',
    });
  });
});
