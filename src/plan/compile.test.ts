// What compiling one Service gives beside its frontends (frontends.test.ts): families and ports, endpoints of this node, health check,
// and problems; limits are in compile-limits.test.ts. What holds for every plan of random clusters is in plan-contract.test.ts.

import { describe, expect, test } from 'vitest';
import { PLAIN_NODE } from '../../test/nodes.ts';
import {
  answerOf,
  HERE,
  idsOf,
  LEAVING,
  LOAD_BALANCER,
  NOT_READY,
  planOf,
  serviceOf,
  sliceOf,
  THERE,
} from '../../test/one-service.ts';
import { formatProblem } from '../model/problem.ts';
import { compileService } from './compile.ts';
import type { ServicePlan } from './plan.ts';

test('a plan carries the key, the age and the rank of its Service', () => {
  const metadata = {
    name: 'kubernetes',
    namespace: 'default',
    creationTimestamp: '2026-01-02T03:04:05Z',
  };
  expect(planOf({}, [], {}, { metadata })).toMatchObject({
    key: 'default/kubernetes',
    createdAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    isCritical: true,
    lost: [],
    healthCheck: null,
    problems: [],
  });
  expect(planOf({}).isCritical).toBe(false);
});

describe('families', () => {
  const dual = { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'], externalIPs: ['198.51.100.1', '2001:db8::1'] };
  const ids = ({ virtualServers }: ServicePlan): string[] => idsOf(virtualServers);

  test('each family has its own frontends, sorted by kind, then family', () => {
    expect(ids(planOf(dual))).toEqual([
      'ClusterIP TCP 10.96.0.1:80',
      'ClusterIP TCP [fd00:10:96::1]:80',
      'ExternalIP TCP 198.51.100.1:80',
      'ExternalIP TCP [2001:db8::1]:80',
      'NodePort TCP IPv4 *:30080',
      'NodePort TCP IPv6 *:30080',
    ]);
  });

  test('a family that the node does not forward is left out without a problem', () => {
    const compiled = planOf(dual, [], { families: ['IPv6'] });
    expect(ids(compiled)).toEqual([
      'ClusterIP TCP [fd00:10:96::1]:80',
      'ExternalIP TCP [2001:db8::1]:80',
      'NodePort TCP IPv6 *:30080',
    ]);
    expect(compiled.problems).toEqual([]);
  });

  test('it has no cluster IP of the family: no frontends at all', () => {
    expect(ids(planOf({ externalIPs: ['2001:db8::1'] }))).toEqual([
      'ClusterIP TCP 10.96.0.1:80',
      'NodePort TCP IPv4 *:30080',
    ]);
  });

  test('each family has the endpoints of its own slices', () => {
    const slices = [
      sliceOf([HERE]),
      sliceOf([{ addresses: ['fd00:10:244:1::5'] }], {
        metadata: { name: 'web-2', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv6',
      }),
    ];
    const { virtualServers } = compileService(serviceOf(dual), slices, PLAIN_NODE);
    expect(virtualServers.slice(0, 2).map(({ internal }) => answerOf(internal))).toEqual([
      '10.244.1.5:8080',
      'fd00:10:244:1::5:8080',
    ]);
  });
});

test('ports meet slices by name and protocol, whatever the numbers', () => {
  const ports = [
    { name: 'dns', protocol: 'UDP', port: 53 },
    { name: 'http', port: 80 },
    { name: 'other', port: 81 },
  ];
  const { virtualServers } = planOf({ ports }, [HERE]);
  expect(virtualServers.map((one) => `${one.portName} ${answerOf(one.internal)}`)).toEqual([
    'dns reject',
    'http 10.244.1.5:8080',
    'other reject',
  ]);
});

test('a port name may have another target port in each slice; all are used', () => {
  const other = sliceOf([THERE], {
    metadata: { name: 'web-2', labels: { 'kubernetes.io/service-name': 'web' } },
    ports: [{ name: 'http', port: 9090 }],
  });
  const slices = [sliceOf([HERE]), other];
  const answer = (list: typeof slices): string =>
    answerOf(compileService(serviceOf({}), list, PLAIN_NODE).virtualServers[0]!.internal);
  expect(answer(slices)).toBe('10.244.1.5:8080 10.244.2.5:9090');
  expect(answer(slices.toReversed())).toBe(answer(slices));
});

test('affinity, scheduler and flags stand on every frontend', () => {
  const settings = ({ virtualServers }: ServicePlan): unknown[] =>
    virtualServers.map(({ affinitySeconds, scheduler, schedulerFlags }) => [
      affinitySeconds,
      scheduler,
      schedulerFlags,
    ]);
  const affinity = { sessionAffinity: 'ClientIP' };
  expect(settings(planOf(affinity, [HERE], { scheduler: 'wlc' }))).toEqual([
    [10_800, 'wlc', []],
    [10_800, 'wlc', []],
  ]);
  const metadata = { name: 'web', annotations: { 'pointsman.dev/scheduler': 'mh' } };
  expect(settings(planOf({}, [HERE], {}, { metadata }))).toEqual([
    [0, 'mh', ['flag-2']],
    [0, 'mh', ['flag-2']],
  ]);
});

describe('endpoints of this node', () => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'http', protocol: 'UDP', port: 80 },
  ];
  const endpoints = [
    { ...HERE, conditions: { ready: false, serving: false } },
    THERE,
    { addresses: ['10.244.1.6'], nodeName: 'node1' },
    HERE,
  ];

  test('are listed ready or not, each once', () => {
    expect(planOf({ ports }, endpoints).localEndpoints).toEqual([
      { family: 'IPv4', protocol: 'TCP', address: '10.244.1.5', port: 8080 },
      { family: 'IPv4', protocol: 'TCP', address: '10.244.1.6', port: 8080 },
    ]);
    expect(planOf({ ports }, endpoints, { nodeName: '' }).localEndpoints).toEqual([]);
  });

  test('of two ports with one target are listed once, with two protocols twice', () => {
    const slice = sliceOf([HERE], {
      ports: [
        { name: 'http', port: 8080 },
        { name: 'web', port: 8080 },
        { name: 'http', protocol: 'UDP', port: 8080 },
      ],
    });
    const three = serviceOf({ ports: [...ports, { name: 'web', port: 81 }] });
    expect(compileService(three, [slice], PLAIN_NODE).localEndpoints).toEqual([
      { family: 'IPv4', protocol: 'TCP', address: '10.244.1.5', port: 8080 },
      { family: 'IPv4', protocol: 'UDP', address: '10.244.1.5', port: 8080 },
    ]);
  });
});

describe('the health-check port', () => {
  const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 };
  const counts = (endpoints: object[], node = {}): unknown =>
    planOf(spec, endpoints, node).healthCheck?.localEndpoints;

  test.each<[string, object[], number]>([
    ['no endpoint', [], 0],
    ['T any F, local: counts', [HERE], 1],
    ['T any F, on another node: does not count', [THERE], 0],
    ['F T T: does not count', [{ ...HERE, ...LEAVING }], 0],
    ['F T F: does not count', [{ ...HERE, ...NOT_READY }], 0],
    ['F F any: does not count', [{ ...HERE, conditions: { ready: false, serving: false } }], 0],
    ['two endpoints', [HERE, { ...HERE, addresses: ['10.244.1.6'] }, THERE], 2],
  ])('%s', (_name, endpoints, expected) => {
    expect(counts(endpoints)).toEqual({ IPv4: expected, IPv6: 0 });
    expect(counts(endpoints, { nodeName: '' })).toEqual({ IPv4: 0, IPv6: 0 });
  });

  test('two ports on one pod count once, also when only one of them is ready', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'metrics', port: 90 },
    ];
    const named = (name: string, endpoints: object[]): ReturnType<typeof sliceOf> =>
      sliceOf(endpoints, {
        metadata: { name: `web-${name}`, labels: { 'kubernetes.io/service-name': 'web' } },
        ports: [{ name, port: 8080 }],
      });
    const record = serviceOf({ ...spec, ports });
    const count = (first: object, second: object): number | undefined =>
      compileService(record, [named('http', [first]), named('metrics', [second])], PLAIN_NODE).healthCheck
        ?.localEndpoints.IPv4;
    expect(count(HERE, HERE)).toBe(1);
    expect(count(HERE, { ...HERE, ...LEAVING })).toBe(1);
    expect(count({ ...HERE, ...LEAVING }, HERE)).toBe(1);
    expect(count({ ...HERE, ...LEAVING }, { ...HERE, ...NOT_READY })).toBe(0);
  });

  test('each family has its own count', () => {
    const dual = { ...spec, clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] };
    const six = sliceOf(
      [
        { addresses: ['fd00:10:244:1::5'], nodeName: 'node1' },
        { addresses: ['fd00:10:244:1::6'], nodeName: 'node1' },
      ],
      {
        metadata: { name: 'web-6', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv6',
      },
    );
    expect(compileService(serviceOf(dual), [sliceOf([HERE]), six], PLAIN_NODE).healthCheck).toEqual({
      nodePort: 32_000,
      localEndpoints: { IPv4: 1, IPv6: 2 },
    });
  });

  test('only a LoadBalancer with externalTrafficPolicy Local has one', () => {
    expect(planOf({ ...spec, type: 'NodePort' }, [HERE]).healthCheck).toBeNull();
    expect(planOf({ ...spec, externalTrafficPolicy: 'Cluster' }, [HERE]).healthCheck).toBeNull();
  });
});

describe('problems', () => {
  const ranges = (list: string[]): object => ({ loadBalancerSourceRanges: list });
  const dual = { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] };
  const both = { status: { loadBalancer: { ingress: [{ ip: '198.51.100.9' }, { ip: '2001:db8::9' }] } } };
  const allowedOf = ({ virtualServers }: ServicePlan): unknown[] =>
    virtualServers.flatMap((one) => (one.kind === 'LoadBalancerIP' ? [one.allowedSources] : []));

  test.each([
    ['Allow', ['WrongFamily'], [null]],
    ['Deny', ['WrongFamily'], [{ cidrs: [], ownAddresses: [] }]],
  ] as const)('source ranges of the other family only, %s', (otherFamilySourceRanges, reasons, allowed) => {
    const compiled = planOf(ranges(['2001:db8::/32']), [], { otherFamilySourceRanges }, LOAD_BALANCER);
    expect(compiled.problems.map(({ reason }) => reason)).toEqual(reasons);
    expect(compiled.problems[0]).toMatchObject({ field: 'spec.loadBalancerSourceRanges' });
    expect(allowedOf(compiled)).toEqual(allowed);
  });

  test('source ranges that can none be read are of no family: one problem for each', () => {
    const compiled = planOf(
      { ...dual, ...ranges(['rubbish']) },
      [],
      { otherFamilySourceRanges: 'Deny' },
      both,
    );
    expect(compiled.problems.map(formatProblem)).toEqual([
      'Service default/web: spec.loadBalancerSourceRanges: no range is of family IPv4: nobody may use 198.51.100.9; add an IPv4 range',
      'Service default/web: spec.loadBalancerSourceRanges: no range is of family IPv6: nobody may use 2001:db8::9; add an IPv6 range',
    ]);
    expect(allowedOf(compiled)).toEqual([
      { cidrs: [], ownAddresses: [] },
      { cidrs: [], ownAddresses: [] },
    ]);
  });

  test('no problem where the node does not forward the family, or the Service has no load-balancer IP of it', () => {
    const other = ranges(['2001:db8::/32']);
    expect(planOf({ ...dual, ...other }, [], { families: ['IPv6'] }, both).problems).toEqual([]);
    expect(planOf(other).problems).toEqual([]);
  });

  test('weights that the scheduler ignores are reported once, however many ports have them', () => {
    const weighed = (name: string, weight: string, endpoint: object): ReturnType<typeof sliceOf> =>
      sliceOf([endpoint], {
        metadata: {
          name,
          labels: { 'kubernetes.io/service-name': 'web' },
          annotations: { 'pointsman.dev/weight': weight },
        },
        ports: [
          { name: 'http', port: 8080 },
          { name: 'metrics', port: 9090 },
        ],
      });
    const ports = [
      { name: 'http', port: 80 },
      { name: 'metrics', port: 90 },
    ];
    const problems = (weight: string, scheduler: 'rr' | 'wrr'): string[] =>
      compileService(serviceOf({ ports }), [weighed('a', '1', HERE), weighed('b', weight, THERE)], {
        ...PLAIN_NODE,
        scheduler,
      }).problems.map(({ reason, message }) => `${reason}: ${message}`);
    const expected =
      'Approximated: its EndpointSlices have different weights, but scheduler rr uses all endpoints alike';
    expect(problems('3', 'rr')).toEqual([expected]);
    expect(problems('3', 'wrr')).toEqual([]);
    expect(problems('1', 'rr')).toEqual([]);
    // Weight 0 counts for every scheduler.
    expect(problems('0', 'rr')).toEqual([]);
  });

  test('a flag of another scheduler is reported', () => {
    const annotations = { 'pointsman.dev/scheduler-flags': 'sh-port' };
    const compiled = planOf({}, [], { scheduler: 'mh' }, { metadata: { name: 'web', annotations } });
    expect(compiled.problems).toMatchObject([
      { field: 'metadata.annotations[pointsman.dev/scheduler-flags]' },
    ]);
  });
});
