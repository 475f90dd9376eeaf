// The merge of slices into the endpoints of one Service port, by the rows of the service model 1.3 (table key, duplicates, ordering), weights,
// and scenarios 6.2. What one slice yields: endpoint-slice.test.ts and slice-endpoints.test.ts.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { sliceObject } from '../../test/arbitraries.ts';
import { plainSlice } from '../../test/objects.ts';
import { CONDITION, projectEndpointSlice, type SliceRecord } from './endpoint-slice.ts';
import { endpointsOf, formatEndpoint } from './endpoints.ts';

const { READY, SERVING, TERMINATING } = CONDITION;
const PORTS = [{ name: 'http', port: 8080 }];

function slice(
  name: string,
  endpoints: readonly object[],
  rest: object = {},
  annotations: object = {},
): SliceRecord {
  const metadata = { name, labels: { 'kubernetes.io/service-name': 'web' }, annotations };
  const { record, problems } = projectEndpointSlice(
    plainSlice({ metadata, endpoints, ports: PORTS, ...rest }),
  );
  expect(problems).toEqual([]);
  return record!;
}

const at = (ip: string, conditions: object = {}, nodeName = ''): object => ({
  addresses: [ip],
  conditions,
  nodeName,
});

/** "address:port" of the endpoints of port http. */
const texts = (slices: readonly SliceRecord[]): string[] =>
  endpointsOf(slices, 'http', 'TCP', 'IPv4').map((one) => formatEndpoint(one.address, one.port));

describe('1.3 identity of an endpoint', () => {
  test.each([
    ['ip:port', '10.0.1.1', '10.0.1.1:80'],
    ['[ip6]:port', '2001:db8::1', '[2001:db8::1]:80'],
  ])('%s', (_row, ip, expected) => {
    expect(formatEndpoint(address(ip), 80)).toBe(expected);
  });
});

describe('1.3 table key: port name, protocol and family', () => {
  const ports = [
    { name: 'http', port: 8080 },
    { name: 'http', port: 8081, protocol: 'UDP' },
    { name: 'admin', port: 8082 },
    { port: 8083 },
  ];
  const slices = [
    slice('web-1', [at('10.0.1.1')], { ports }),
    slice('web-2', [at('fd00::1')], { addressType: 'IPv6', ports }),
  ];
  test.each([
    ['http', 'TCP', 'IPv4', ['10.0.1.1:8080']],
    ['http', 'UDP', 'IPv4', ['10.0.1.1:8081']],
    ['http', 'SCTP', 'IPv4', []],
    ['admin', 'TCP', 'IPv4', ['10.0.1.1:8082']],
    ['', 'TCP', 'IPv4', ['10.0.1.1:8083']],
    ['other', 'TCP', 'IPv4', []],
    ['http', 'TCP', 'IPv6', ['[fd00::1]:8080']],
    ['http', 'UDP', 'IPv6', ['[fd00::1]:8081']],
  ] as const)('"%s" %s %s', (name, protocol, family, expected) => {
    const found = endpointsOf(slices, name, protocol, family);
    expect(found.map((one) => formatEndpoint(one.address, one.port))).toEqual(expected);
  });

  test('no slices: no endpoints', () => {
    expect(texts([])).toEqual([]);
  });
});

describe('1.3 slices together', () => {
  test('6.2: two slices of one port: the union, sorted as text, so that 10.0.1.10 comes before 10.0.1.1', () => {
    const slices = [slice('web-2', [at('10.0.1.2')]), slice('web-1', [at('10.0.1.1'), at('10.0.1.10')])];
    expect(texts(slices)).toEqual(['10.0.1.10:8080', '10.0.1.1:8080', '10.0.1.2:8080']);
  });

  test('6.2: overlapping slices: the union without duplicates', () => {
    const slices = [
      slice('web-1', [at('10.0.1.1'), at('10.0.1.2')]),
      slice('web-2', [at('10.0.1.2'), at('10.0.1.3')]),
    ];
    expect(texts(slices)).toEqual(['10.0.1.1:8080', '10.0.1.2:8080', '10.0.1.3:8080']);
  });

  test('6.2 star 5: one address with different target ports in two slices: both are used', () => {
    const slices = [
      slice('web-1', [at('10.0.1.1')]),
      slice('web-2', [at('10.0.1.1')], { ports: [{ name: 'http', port: 9090 }] }),
    ];
    expect(texts(slices)).toEqual(['10.0.1.1:8080', '10.0.1.1:9090']);
  });

  test('different target ports in one slice: both are used', () => {
    const ports = [
      { name: 'http', port: 9090 },
      { name: 'http', port: 8080 },
    ];
    expect(texts([slice('web-1', [at('10.0.1.1')], { ports })])).toEqual(['10.0.1.1:8080', '10.0.1.1:9090']);
  });

  test('an endpoint keeps conditions, node and hints, and has the target port', () => {
    const one = {
      ...at('10.0.1.1', { ready: false }, 'node1'),
      hints: { forZones: [{ name: 'zone-a' }], forNodes: [{ name: 'node1' }] },
    };
    expect(endpointsOf([slice('web-1', [one])], 'http', 'TCP', 'IPv4')).toEqual([
      {
        address: '10.0.1.1',
        conditions: SERVING,
        nodeName: 'node1',
        zoneHints: ['zone-a'],
        nodeHints: ['node1'],
        port: 8080,
        weight: 1,
      },
    ]);
  });
});

describe('1.3 duplicates of one address and port', () => {
  const ready = {};
  const notServing = { serving: false };
  const readyTerminating = { terminating: true };
  const serving = { ready: false };
  const leaving = { ready: false, terminating: true };
  const down = { ready: false, serving: false };
  const gone = { ready: false, serving: false, terminating: true };
  test.each<[string, object[], number]>([
    ['6.2 star 6: terminating, ready, terminating: ready', [leaving, ready, leaving], READY | SERVING],
    ['ready before serving', [serving, ready], READY | SERVING],
    [
      'ready before serving, though it is terminating',
      [serving, readyTerminating],
      READY | SERVING | TERMINATING,
    ],
    ['ready before serving, though it does not serve', [serving, notServing], READY],
    ['of ready ones the serving', [notServing, readyTerminating], READY | SERVING | TERMINATING],
    ['of ready and serving ones the one that is not terminating', [readyTerminating, ready], READY | SERVING],
    ['serving before not terminating', [down, leaving], SERVING | TERMINATING],
    ['of serving ones the one that is not terminating', [leaving, serving], SERVING],
    ['not terminating before terminating', [gone, down], 0],
    ['nothing better than gone', [gone, gone], TERMINATING],
  ])('%s, in whatever order', (_row, conditions, expected) => {
    for (const order of [conditions, conditions.toReversed()]) {
      const inOne = [
        slice(
          'web-1',
          order.map((one) => at('10.0.1.1', one)),
        ),
      ];
      const inSeveral = order.map((one, index) => slice(`web-${index}`, [at('10.0.1.1', one)]));
      for (const slices of [inOne, inSeveral, inSeveral.toReversed()])
        expect(endpointsOf(slices, 'http', 'TCP', 'IPv4').map((one) => one.conditions)).toEqual([expected]);
    }
  });

  test('of equals the slice whose name sorts first, then the first in it', () => {
    const b = slice('web-b', [at('10.0.1.1', {}, 'b')]);
    const a = slice('web-a', [at('10.0.1.1', {}, 'a1'), at('10.0.1.1', {}, 'a2')]);
    const c = slice('web-c', [at('10.0.1.1', {}, 'c')]);
    for (const order of [
      [a, b, c],
      [c, b, a],
      [b, a, c],
      [b, c, a],
    ])
      expect(endpointsOf(order, 'http', 'TCP', 'IPv4').map(({ nodeName }) => nodeName)).toEqual(['a1']);
  });

  test('a better one of a slice whose name sorts later wins', () => {
    const slices = [
      slice('web-a', [at('10.0.1.1', serving, 'a')]),
      slice('web-b', [at('10.0.1.1', ready, 'b')]),
    ];
    for (const order of [slices, slices.toReversed()])
      expect(endpointsOf(order, 'http', 'TCP', 'IPv4').map(({ nodeName }) => nodeName)).toEqual(['b']);
  });
});

describe('weights', () => {
  const OURS = 'pointsman.dev/weight';
  const CILIUM = 'service.cilium.io/weight';
  const weights = (...annotations: (object | null)[]): number[] => {
    const slices = annotations.map((one, index) =>
      slice(`web-${index}`, [at(`10.0.1.${index}`)], {}, one ?? {}),
    );
    return endpointsOf(slices, 'http', 'TCP', 'IPv4').map(({ weight }) => weight);
  };
  test.each<[string, (object | null)[], number[]]>([
    ['1 where nothing is said', [null, null], [1, 1]],
    ['that of the slice', [{ [OURS]: '0' }, { [OURS]: '65535' }, null], [0, 65_535, 1]],
    ["100 for slices without one beside Cilium's", [null, { [CILIUM]: '50' }, null], [100, 50, 100]],
    ["Cilium's beside ours: 100 for the others", [{ [OURS]: '3' }, { [CILIUM]: '50' }, null], [3, 50, 100]],
    ['both on one slice: ours, and 1 for the others', [{ [OURS]: '3', [CILIUM]: '50' }, null], [3, 1]],
  ])('%s', (_row, annotations, expected) => {
    expect(weights(...annotations)).toEqual(expected);
  });

  test("Cilium's on a slice of the other family makes 100 the usual one, too: it is the same Service", () => {
    const rest = { addressType: 'IPv6' };
    const slices = [
      slice('web-1', [at('10.0.1.1')]),
      slice('web-2', [at('fd00::1')], rest, { [CILIUM]: '7' }),
    ];
    expect(endpointsOf(slices, 'http', 'TCP', 'IPv4').map(({ weight }) => weight)).toEqual([100]);
    expect(endpointsOf(slices, 'http', 'TCP', 'IPv6').map(({ weight }) => weight)).toEqual([7]);
  });

  test('a duplicate has the weight of the slice that wins', () => {
    const slices = [
      slice('web-1', [at('10.0.1.1', { ready: false })], {}, { [OURS]: '5' }),
      slice('web-2', [at('10.0.1.1')], {}, { [OURS]: '9' }),
    ];
    expect(endpointsOf(slices, 'http', 'TCP', 'IPv4').map(({ weight }) => weight)).toEqual([9]);
  });
});

describe('slices in any order', () => {
  const slicesInTwoOrders = fc
    .uniqueArray(sliceObject, { selector: (object) => object.metadata!.name, minLength: 2, maxLength: 3 })
    .chain((objects) => {
      const records = objects.flatMap((object) => projectEndpointSlice(object).record ?? []);
      return fc.tuple(fc.constant(records), fc.shuffledSubarray(records, { minLength: records.length }));
    });

  test('give the same endpoints, sorted, each address and port once', () => {
    fc.assert(
      fc.property(slicesInTwoOrders, ([records, shuffled]) => {
        for (const [name, family] of [
          ['', 'IPv4'],
          ['http', 'IPv4'],
          ['http', 'IPv6'],
        ] as const) {
          const merged = endpointsOf(records, name, 'TCP', family);
          expect(endpointsOf(shuffled, name, 'TCP', family)).toEqual(merged);
          const ids = merged.map((one) => formatEndpoint(one.address, one.port));
          expect(ids).toEqual([...new Set(ids)].sort());
        }
      }),
    );
  });
});
