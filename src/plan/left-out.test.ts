// Why endpoints get no connections: for each policy in use, each state of an endpoint and each kind of hints.

import { describe, expect, test } from 'vitest';
import { HERE, LEAVING, NOT_READY, planOf, THERE } from '../../test/one-service.ts';

const zone = (...names: string[]): object => ({ hints: { forZones: names.map((name) => ({ name })) } });
const node = (...names: string[]): object => ({ hints: { forNodes: names.map((name) => ({ name })) } });
const GONE = { conditions: { ready: false, serving: false, terminating: true } };
const ON_NODE1 = { nodeName: HERE.nodeName };
const ON_NODE2 = { nodeName: THERE.nodeName };

const CLUSTER = {};
const INSIDE = { ports: [{ name: 'http', port: 80 }] };
const ETP_LOCAL = { type: 'NodePort', externalTrafficPolicy: 'Local' };
const ITP_LOCAL_INSIDE = { ...INSIDE, internalTrafficPolicy: 'Local' };
const BOTH_LOCAL = { ...ETP_LOCAL, internalTrafficPolicy: 'Local' };

/** "2 Cluster NotReady": the number of the endpoint (from 1), the policy and the reason. Node node1 is in zone-a. */
function leftOut(spec: object, endpoints: readonly object[]): string[] {
  const numbered = endpoints.map((one, index) => ({ addresses: [`10.244.0.${index + 1}`], ...one }));
  const plan = planOf(spec, numbered, { zone: 'zone-a' });
  for (const one of plan.leftOut)
    expect(one).toMatchObject({ portName: 'http', protocol: 'TCP', port: 8080 });
  return plan.leftOut.map(({ address, policy, reason }) => `${address.split('.')[3]} ${policy} ${reason}`);
}

describe('policy Cluster', () => {
  test.each<[string, object[], string[]]>([
    ['all ready: nobody is left out', [ON_NODE1, ON_NODE2], []],
    ['no endpoint: nobody is left out', [], []],
    [
      'F F F: not ready',
      [ON_NODE1, { conditions: { ready: false, serving: false } }],
      ['2 Cluster NotReady'],
    ],
    ['F T F: not ready, though serving', [ON_NODE1, NOT_READY], ['2 Cluster NotReady']],
    ['F T T beside a ready one: terminating', [ON_NODE1, LEAVING], ['2 Cluster Terminating']],
    ['F F T: not ready', [ON_NODE1, GONE], ['2 Cluster NotReady']],
    ['F T T without a ready one: used as fallback', [LEAVING, LEAVING], []],
    [
      'fallback: the others stay out',
      [LEAVING, NOT_READY, GONE],
      ['2 Cluster NotReady', '3 Cluster NotReady'],
    ],
    ['hasAny=false: each says why', [NOT_READY, GONE], ['1 Cluster NotReady', '2 Cluster NotReady']],
  ])('%s', (_name, endpoints, expected) => {
    expect(leftOut(CLUSTER, endpoints)).toEqual(expected);
    expect(leftOut(INSIDE, endpoints)).toEqual(expected);
  });
});

describe('topology', () => {
  test.each<[string, object[], string[]]>([
    ['PreferSameNode', [node('node1'), node('node2'), node('node1', 'node2')], ['2 Cluster OtherNode']],
    [
      'PreferSameZone',
      [zone('zone-a'), zone('zone-b'), zone('zone-b', 'zone-a'), { ...zone('zone-b'), ...NOT_READY }],
      ['2 Cluster OtherZone', '4 Cluster NotReady'],
    ],
    [
      'PreferSameNode before PreferSameZone',
      [
        { hints: { forZones: [{ name: 'zone-b' }], forNodes: [{ name: 'node1' }] } },
        { hints: { forZones: [{ name: 'zone-a' }], forNodes: [{ name: 'node2' }] } },
      ],
      ['2 Cluster OtherNode'],
    ],
    ['one unhinted ready endpoint disables hints', [zone('zone-a'), zone('zone-b'), {}], []],
    ['no hint for this zone disables hints', [zone('zone-b'), zone('zone-c')], []],
    [
      'a terminating endpoint is terminating, whatever its hints',
      [zone('zone-a'), { ...zone('zone-b'), ...LEAVING }],
      ['2 Cluster Terminating'],
    ],
  ])('%s', (_name, endpoints, expected) => {
    expect(leftOut(CLUSTER, endpoints)).toEqual(expected);
  });
});

describe('policy Local', () => {
  test.each<[string, object[], string[]]>([
    ['an endpoint here', [ON_NODE1], []],
    ['on another node', [ON_NODE1, ON_NODE2], ['2 Local NotLocal']],
    ['on no known node', [ON_NODE1, {}], ['2 Local NotLocal']],
    [
      'on another node and not ready: the place comes first',
      [{ ...ON_NODE2, ...NOT_READY }],
      ['1 Local NotLocal'],
    ],
    ['here and not ready', [ON_NODE1, { ...ON_NODE1, ...NOT_READY }], ['2 Local NotReady']],
    ['here and gone', [{ ...ON_NODE1, ...GONE }], ['1 Local NotReady']],
    [
      'here and terminating beside a ready one here',
      [ON_NODE1, { ...ON_NODE1, ...LEAVING }],
      ['2 Local Terminating'],
    ],
    [
      'here and terminating beside a ready one elsewhere: fallback of this node',
      [{ ...ON_NODE1, ...LEAVING }, ON_NODE2],
      ['2 Local NotLocal'],
    ],
    [
      'hints count for nothing',
      [
        { ...ON_NODE1, ...zone('zone-b') },
        { ...ON_NODE1, ...zone('zone-a') },
      ],
      [],
    ],
  ])('%s', (_name, endpoints, expected) => {
    expect(leftOut(ITP_LOCAL_INSIDE, endpoints)).toEqual(expected);
  });
});

describe('both policies in use', () => {
  test.each([
    ['eTP=Local', ETP_LOCAL],
    ['iTP=Local and a way in', { internalTrafficPolicy: 'Local' }],
    ['iTP=Local and eTP=Local', BOTH_LOCAL],
  ])('%s: each list has its own reasons, endpoint by endpoint', (_name, spec) => {
    const endpoints = [
      { ...ON_NODE1, ...zone('zone-b') },
      { ...ON_NODE2, ...zone('zone-a') },
      { ...ON_NODE1, ...zone('zone-a'), ...NOT_READY },
      { ...ON_NODE2, ...LEAVING },
    ];
    expect(leftOut(spec, endpoints)).toEqual([
      '1 Cluster OtherZone',
      '2 Local NotLocal',
      '3 Cluster NotReady',
      '3 Local NotReady',
      '4 Cluster Terminating',
      '4 Local NotLocal',
    ]);
  });

  test('externalTrafficPolicy Local that no clients come under is not in use', () => {
    const spec = { ...ETP_LOCAL, ...INSIDE };
    expect(leftOut(spec, [ON_NODE1, ON_NODE2])).toEqual([]);
  });

  test('all are terminating: each list has its own fallback', () => {
    const endpoints = [
      { ...ON_NODE1, ...LEAVING },
      { ...ON_NODE2, ...LEAVING },
    ];
    expect(leftOut(ETP_LOCAL, endpoints)).toEqual(['2 Local NotLocal']);
  });
});
