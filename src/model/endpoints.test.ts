// Projection of EndpointSlices and their merge into the endpoints of one Service port.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sliceObject } from '../../test/arbitraries.ts';
import {
  CONDITION,
  endpointsOf,
  MAX_ENDPOINTS_PER_SLICE,
  projectEndpointSlice,
  type SliceRecord,
} from './endpoints.ts';
import { Interner } from './interner.ts';
import { formatProblem } from './problem.ts';

const { READY, SERVING, TERMINATING } = CONDITION;
const PORTS = [{ name: 'http', port: 8080, protocol: 'TCP' }];

/** A minimal valid slice with changes. */
function slice(rest: object): object {
  return {
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: PORTS,
    endpoints: [{ addresses: ['10.244.1.1'] }],
    ...rest,
  };
}

function recordOf(rest: object): SliceRecord {
  const { record, problems } = projectEndpointSlice(slice(rest));
  expect(problems.map(formatProblem)).toEqual([]);
  return record!;
}

function named(name: string, endpoints: readonly object[], ports: readonly object[] = PORTS): SliceRecord {
  return recordOf({ metadata: { name, labels: { 'kubernetes.io/service-name': 'web' } }, endpoints, ports });
}

describe('projectEndpointSlice', () => {
  test('keeps what forwarding depends on', () => {
    const record = recordOf({
      metadata: {
        name: 'web-1',
        namespace: 'test',
        labels: { 'kubernetes.io/service-name': 'web' },
        annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00.123456789Z' },
      },
      ports: [...PORTS, { port: 53, protocol: 'UDP' }],
      endpoints: [
        {
          addresses: ['10.244.1.001', '10.244.1.99'],
          nodeName: 'node1',
          conditions: { ready: false, serving: true, terminating: true },
          hints: { forZones: [{ name: 'zone-a' }, { name: 'zone-b' }], forNodes: [{ name: 'node1' }] },
        },
        { addresses: ['10.244.1.2'], nodeName: null, conditions: null, hints: null },
      ],
    });
    expect(record).toEqual({
      name: 'web-1',
      serviceKey: 'test/web',
      family: 'IPv4',
      ports: [
        { name: 'http', protocol: 'TCP', port: 8080 },
        { name: '', protocol: 'UDP', port: 53 },
      ],
      endpoints: [
        {
          address: '10.244.1.1',
          conditions: SERVING | TERMINATING,
          nodeName: 'node1',
          zoneHints: ['zone-a', 'zone-b'],
          nodeHints: ['node1'],
        },
        { address: '10.244.1.2', conditions: READY | SERVING, nodeName: '', zoneHints: [], nodeHints: [] },
      ],
      triggeredAtMs: Date.UTC(2026, 0, 1, 0, 0, 0, 123),
    });
  });

  test.each([
    ['all absent', {}, READY | SERVING],
    ['all null', { ready: null, serving: null, terminating: null }, READY | SERVING],
    ['not ready', { ready: false }, SERVING],
    ['neither ready nor serving', { ready: false, serving: false }, 0],
    ['terminating and serving', { ready: false, terminating: true }, SERVING | TERMINATING],
    ['terminating', { ready: false, serving: false, terminating: true }, TERMINATING],
  ])('conditions: %s', (_name, conditions, expected) => {
    expect(
      recordOf({ endpoints: [{ addresses: ['10.244.1.1'], conditions }] }).endpoints[0]!.conditions,
    ).toBe(expected);
  });

  test('slices of headless Services are passed over without a problem', () => {
    const metadata = {
      name: 'x-1',
      labels: { 'kubernetes.io/service-name': 'x', 'service.kubernetes.io/headless': '' },
    };
    expect(projectEndpointSlice(slice({ metadata }))).toEqual({ record: null, problems: [] });
  });

  test.each([
    ['FQDN', { addressType: 'FQDN' }, 'addressType', 'UnsupportedField'],
    ['no address type', { addressType: null }, 'addressType', 'InvalidField'],
    [
      'no label',
      { metadata: { name: 'web-1' } },
      'metadata.labels[kubernetes.io/service-name]',
      'InvalidField',
    ],
    [
      'a Service name that is none',
      { metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'a/b' } } },
      'metadata.labels[kubernetes.io/service-name]',
      'InvalidField',
    ],
    [
      'no name',
      { metadata: { labels: { 'kubernetes.io/service-name': 'web' } } },
      'metadata.name',
      'InvalidField',
    ],
  ])('a slice that cannot be used is reported: %s', (_name, rest, field, reason) => {
    const { record, problems } = projectEndpointSlice(slice(rest));
    expect(record).toBeNull();
    expect(problems).toMatchObject([{ field, reason }]);
  });

  test.each([
    ['an IPv6 address in an IPv4 slice', ['fd00::1'], 'WrongFamily'],
    ['no address', [], 'InvalidField'],
    ['text', ['web'], 'InvalidField'],
    ['loopback', ['127.0.0.1'], 'InvalidField'],
    ['unspecified', ['0.0.0.0'], 'InvalidField'],
    ['link-local', ['169.254.169.254'], 'InvalidField'],
    ['multicast', ['224.0.0.1'], 'InvalidField'],
  ])('an endpoint with %s is left out and reported', (_name, addresses, reason) => {
    const { record, problems } = projectEndpointSlice(
      slice({ endpoints: [{ addresses }, { addresses: ['10.244.1.2'] }] }),
    );
    expect(record!.endpoints.map(({ address }) => address)).toEqual(['10.244.1.2']);
    expect(problems).toMatchObject([{ field: 'endpoints[0].addresses[0]', reason }]);
  });

  test('an IPv4-mapped address counts as IPv4', () => {
    expect(recordOf({ endpoints: [{ addresses: ['::ffff:10.244.1.7'] }] }).endpoints[0]!.address).toBe(
      '10.244.1.7',
    );
  });

  test('a port without a number is left out and reported', () => {
    const { record, problems } = projectEndpointSlice(slice({ ports: [{ name: 'all' }, ...PORTS] }));
    expect(record!.ports).toEqual(PORTS);
    expect(problems).toMatchObject([{ field: 'ports[0].port', reason: 'InvalidField' }]);
  });

  test('endpoints beyond the limit are left out and reported once', () => {
    const endpoints = Array.from({ length: MAX_ENDPOINTS_PER_SLICE + 5 }, (_, i) => ({
      addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
    }));
    const { record, problems } = projectEndpointSlice(slice({ endpoints }));
    expect(record!.endpoints).toHaveLength(MAX_ENDPOINTS_PER_SLICE);
    expect(problems).toMatchObject([{ field: 'endpoints', reason: 'LimitExceeded' }]);
  });

  test('an interner makes repeated texts and lists one', () => {
    const interner = new Interner();
    const object = (): object =>
      slice({ endpoints: [{ addresses: ['10.244.1.1'], hints: { forZones: [{ name: 'zone-a' }] } }] });
    const [a, b] = [
      projectEndpointSlice(object(), interner).record!,
      projectEndpointSlice(object(), interner).record!,
    ];
    expect(a.endpoints[0]!.zoneHints).toBe(b.endpoints[0]!.zoneHints);
    expect(projectEndpointSlice(object()).record).toEqual(a);
  });

  test('no JSON value makes the projection throw', () => {
    const part = fc.dictionary(
      fc.constantFrom('addressType', 'ports', 'endpoints', 'metadata'),
      fc.jsonValue(),
    );
    const endpoint = fc.dictionary(
      fc.constantFrom('addresses', 'conditions', 'hints', 'nodeName', 'zone'),
      fc.jsonValue(),
    );
    const any = fc.oneof(
      fc.jsonValue(),
      part.map(slice),
      fc.array(endpoint).map((endpoints) => slice({ endpoints })),
    );
    fc.assert(
      fc.property(any, (object) => {
        for (const problem of projectEndpointSlice(object).problems)
          expect(formatProblem(problem)).not.toContain('\n');
      }),
      { numRuns: 2000 },
    );
  });
});

describe('endpointsOf', () => {
  const texts = (slices: SliceRecord[]): string[] =>
    endpointsOf(slices, 'http', 'TCP', 'IPv4').map(
      ({ address, port, conditions }) => `${address}:${port} ${conditions}`,
    );
  const endpoint = (address: string, conditions: object = {}): object => ({
    addresses: [address],
    conditions,
  });

  test('is the union of all slices, sorted as text', () => {
    const slices = [
      named('web-2', [endpoint('10.0.1.2')]),
      named('web-1', [endpoint('10.0.1.1'), endpoint('10.0.1.10')]),
    ];
    expect(texts(slices)).toEqual(['10.0.1.10:8080 3', '10.0.1.1:8080 3', '10.0.1.2:8080 3']);
  });

  test('takes the ports of each slice', () => {
    const slices = [
      named('web-1', [endpoint('10.0.1.1')]),
      named('web-2', [endpoint('10.0.1.1')], [{ name: 'http', port: 9090 }]),
    ];
    expect(texts(slices)).toEqual(['10.0.1.1:8080 3', '10.0.1.1:9090 3']);
  });

  test('matches port name, protocol and family', () => {
    const ports = [
      { name: 'http', port: 8080 },
      { name: 'http', port: 8081, protocol: 'UDP' },
      { name: 'admin', port: 8082 },
    ];
    const six = recordOf({ addressType: 'IPv6', endpoints: [endpoint('fd00::1')] });
    const slices = [named('web-1', [endpoint('10.0.1.1')], ports), six];
    expect(texts(slices)).toEqual(['10.0.1.1:8080 3']);
    expect(endpointsOf(slices, 'http', 'UDP', 'IPv4').map(({ port }) => port)).toEqual([8081]);
    expect(endpointsOf(slices, '', 'TCP', 'IPv4')).toEqual([]);
    expect(endpointsOf(slices, 'http', 'TCP', 'IPv6').map(({ address }) => address)).toEqual(['fd00::1']);
  });

  const terminating = { ready: false, terminating: true };
  const gone = { ready: false, serving: false, terminating: true };
  const notReady = { ready: false };
  test.each([
    ['ready before terminating', [terminating, {}, terminating], READY | SERVING],
    ['ready before not ready', [notReady, {}], READY | SERVING],
    ['serving before not serving', [gone, terminating], SERVING | TERMINATING],
    ['not terminating before terminating', [terminating, notReady], SERVING],
  ])(
    'of one address and port given several times takes %s, in whatever order',
    (_name, conditions, expected) => {
      const slices = conditions.map((one, index) => named(`web-${index}`, [endpoint('10.0.1.1', one)]));
      expect(texts(slices)).toEqual([`10.0.1.1:8080 ${expected}`]);
      expect(texts(slices.toReversed())).toEqual([`10.0.1.1:8080 ${expected}`]);
      expect(
        texts([
          named(
            'web-1',
            conditions.map((one) => endpoint('10.0.1.1', one)),
          ),
        ]),
      ).toEqual([`10.0.1.1:8080 ${expected}`]);
    },
  );

  test('of equals takes the slice whose name sorts first, then the first in it', () => {
    const of = (nodeName: string): object => ({ addresses: ['10.0.1.1'], nodeName });
    const slices = [named('web-b', [of('b')]), named('web-a', [of('a1'), of('a2')])];
    for (const order of [slices, slices.toReversed()]) {
      expect(endpointsOf(order, 'http', 'TCP', 'IPv4').map(({ nodeName }) => nodeName)).toEqual(['a1']);
    }
  });

  test('does not depend on the order of slices', () => {
    const slices = fc.uniqueArray(sliceObject, { selector: (object) => object.metadata!.name, maxLength: 3 });
    fc.assert(
      fc.property(slices, (objects) => {
        const records = objects.flatMap((object) => projectEndpointSlice(object).record ?? []);
        for (const name of ['', 'http']) {
          const merged = endpointsOf(records, name, 'TCP', 'IPv4');
          expect(endpointsOf(records.toReversed(), name, 'TCP', 'IPv4')).toEqual(merged);
        }
      }),
    );
  });
});
