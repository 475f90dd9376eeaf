import fc from 'fast-check';
import { expect, test } from 'vitest';
import { podsOf } from './pods.ts';

const slice = (endpoints: unknown, metadata: object = { name: 'web-1', namespace: 'shop' }): object => ({
  kind: 'EndpointSlice',
  metadata,
  endpoints,
});
const pod = (reference: unknown, rest: object = {}): object => ({
  addresses: ['10.244.1.005', '10.244.1.6'],
  nodeName: 'node1',
  targetRef: reference,
  ...rest,
});

test('a pod has the name of the reference and the first address in canonical form', () => {
  const reference = { kind: 'Pod', name: 'web-1', namespace: 'other' };
  expect(podsOf(slice([pod(reference)]))).toEqual([
    { namespace: 'other', name: 'web-1', address: '10.244.1.5', nodeName: 'node1' },
  ]);
});

test.each<[string, object, object, string]>([
  ['of the slice, when the reference has none', { kind: 'Pod', name: 'a' }, { namespace: 'shop' }, 'shop'],
  [
    'of the slice, when that of the reference is empty',
    { kind: 'Pod', name: 'a', namespace: '' },
    { namespace: 'shop' },
    'shop',
  ],
  ['default, when the slice has none', { kind: 'Pod', name: 'a', namespace: null }, {}, 'default'],
  ['default, when that of the slice is none', { kind: 'Pod', name: 'a' }, { namespace: 'A B' }, 'default'],
])('the namespace is that %s', (_name, reference, metadata, namespace) => {
  expect(podsOf(slice([pod(reference, { nodeName: null })], metadata))).toMatchObject([
    { namespace, nodeName: '' },
  ]);
});

test.each<[string, unknown]>([
  ['no reference', pod(undefined)],
  ['a reference to something else', pod({ kind: 'VirtualMachine', name: 'a' })],
  ['a reference without a name', pod({ kind: 'Pod' })],
  ['no address', pod({ kind: 'Pod', name: 'a' }, { addresses: [] })],
  ['addresses that are no list', pod({ kind: 'Pod', name: 'a' }, { addresses: '10.244.1.5' })],
  ['an address that is none', pod({ kind: 'Pod', name: 'a' }, { addresses: ['web'] })],
  ['no object', 7],
])('passed over: an endpoint with %s', (_name, endpoint) => {
  const known = pod({ kind: 'Pod', name: 'known' });
  expect(podsOf(slice([endpoint, known])).map(({ name }) => name)).toEqual(['known']);
});

test('endpoints that are no list hold no pod', () => {
  for (const endpoints of [undefined, null, {}, 'web', 7]) expect(podsOf(slice(endpoints))).toEqual([]);
});

test('takes any value', () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      (value) => Array.isArray(podsOf(value)) && Array.isArray(podsOf(slice(value))),
    ),
  );
});
