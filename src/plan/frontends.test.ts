// The frontends of one Service port: at which addresses it answers, what each class of clients gets under each policy, and who is
// masqueraded. The tables are those of the specification of the service model, 1.2 and 1.4.

import { describe, expect, test } from 'vitest';
import { address, cidr } from '../../test/addresses.ts';
import {
  answerOf,
  HERE,
  idsOf,
  LOAD_BALANCER,
  NOT_READY,
  planOf,
  serviceOf,
  sliceOf,
  THERE,
} from '../../test/one-service.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { endpointsOf } from '../model/endpoints.ts';
import { categorizeEndpoints } from './categorize.ts';
import { compareFrontends, endpointPolicy, frontendsOf } from './frontends.ts';
import { virtualServerId } from './ownership.ts';
import type { LocalDetector, NodeOptions, ServicePlan, VirtualServer } from './plan.ts';

const CLUSTER_CIDR: LocalDetector = { kind: 'cidr', ipv4: cidr('10.244.0.0/16'), ipv6: null };

/** One line for each frontend: what it is, and who gets what under which policy. */
function lines({ virtualServers }: ServicePlan): string[] {
  return virtualServers.map(
    (one) =>
      `${virtualServerId(one)} ${one.masquerade} in[${answerOf(one.internal)}] out[${answerOf(one.external)}]`,
  );
}

describe('what each frontend does under each policy', () => {
  const both = '10.244.1.5:8080 10.244.2.5:8080';
  const here = '10.244.1.5:8080';
  const there = '10.244.2.5:8080';
  const all = { type: 'LoadBalancer', externalIPs: ['198.51.100.1'], healthCheckNodePort: 32_000 };
  const itpLocal = { internalTrafficPolicy: 'Local' };
  const etpLocal = { externalTrafficPolicy: 'Local' };
  const bothLocal = { ...itpLocal, ...etpLocal };
  /** Expected answers: [cluster IP, everything else inside, everything else outside, masquerade]. */
  test.each<[string, object, object[], [string, string, string, string]]>([
    ['any VIP, hasAny=false: reject', {}, [], ['reject', 'reject', 'reject', 'all']],
    ['any VIP, iTP=Local, hasAny=false: reject', itpLocal, [], ['reject', 'reject', 'reject', 'all']],
    [
      'any VIP, eTP=Local, hasAny=false: reject',
      etpLocal,
      [{ ...HERE, ...NOT_READY }],
      ['reject', 'reject', 'reject', 'node'],
    ],
    ['clusterIP, iTP=Local, local empty: drop', itpLocal, [THERE], ['drop', there, there, 'all']],
    ['clusterIP, iTP=Local, local non-empty: local', itpLocal, [HERE, THERE], [here, both, both, 'all']],
    ['clusterIP, iTP=Cluster: cluster', {}, [HERE, THERE], [both, both, both, 'all']],
    ['external, eTP=Cluster: cluster, always masqueraded', {}, [THERE], [there, there, there, 'all']],
    [
      'external, eTP=Local, local non-empty: cluster inside, local outside, only this node masqueraded',
      etpLocal,
      [HERE, THERE],
      [both, both, here, 'node'],
    ],
    [
      'external, eTP=Local, local empty: cluster inside, drop outside',
      etpLocal,
      [THERE],
      [there, there, 'drop', 'node'],
    ],
    ['iTP=Local and eTP=Local', bothLocal, [HERE, THERE], [here, both, here, 'node']],
    ['iTP=Local and eTP=Local, local empty', bothLocal, [THERE], ['drop', there, 'drop', 'node']],
  ])('%s', (_name, spec, endpoints, [clusterIP, inside, outside, masquerade]) => {
    expect(lines(planOf({ ...all, ...spec }, endpoints, {}, LOAD_BALANCER))).toEqual([
      `ClusterIP TCP 10.96.0.1:80 none in[${clusterIP}] out[${clusterIP}]`,
      `ExternalIP TCP 198.51.100.1:80 ${masquerade} in[${inside}] out[${outside}]`,
      `LoadBalancerIP TCP 198.51.100.9:80 ${masquerade} in[${inside}] out[${outside}]`,
      `NodePort TCP IPv4 *:30080 ${masquerade} in[${inside}] out[${outside}]`,
    ]);
  });

  test('each selection says under which policy it stands, also where it has nothing', () => {
    const policies = (endpoints: object[]): string[][] =>
      planOf({ ...all, ...bothLocal }, endpoints, {}, LOAD_BALANCER).virtualServers.map(
        ({ internal, external }) => [internal.policy, external.policy],
      );
    const expected = [
      ['Local', 'Local'],
      ['Cluster', 'Local'],
      ['Cluster', 'Local'],
      ['Cluster', 'Local'],
    ];
    expect(policies([HERE])).toEqual(expected);
    expect(policies([THERE])).toEqual(expected);
    expect(policies([])).toEqual(expected);
    const internal = planOf({ ...all, ...itpLocal }, [], {}, LOAD_BALANCER).virtualServers;
    expect(internal.map((one) => [one.internal.policy, one.external.policy])).toEqual([
      ['Local', 'Local'],
      ['Cluster', 'Cluster'],
      ['Cluster', 'Cluster'],
      ['Cluster', 'Cluster'],
    ]);
  });

  test('internal Local of a Service without a way in drops where no endpoint is here', () => {
    const ports = [{ name: 'http', port: 80 }];
    expect(lines(planOf({ ...itpLocal, ports }, [THERE]))).toEqual([
      'ClusterIP TCP 10.96.0.1:80 none in[drop] out[drop]',
    ]);
  });

  test('frontends with the same answer share it', () => {
    const answers = (spec: object): number => {
      const { virtualServers } = planOf({ ...all, ...spec }, [HERE, THERE], {}, LOAD_BALANCER);
      return new Set(virtualServers.flatMap(({ internal, external }) => [internal, external])).size;
    };
    expect(answers({})).toBe(1);
    expect(answers(bothLocal)).toBe(2);
  });
});

describe('externally accessible', () => {
  const noPort = { ports: [{ name: 'http', port: 80 }] };
  const dual = { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] };
  test.each<[string, object, Partial<NodeOptions>, object, { IPv4: boolean; IPv6: boolean }]>([
    ['a cluster IP alone is not', noPort, {}, {}, { IPv4: false, IPv6: false }],
    ['a node port is, in both families', {}, {}, {}, { IPv4: true, IPv6: true }],
    [
      'an external IP is, in its family',
      { ...noPort, externalIPs: ['198.51.100.1'] },
      {},
      {},
      { IPv4: true, IPv6: false },
    ],
    [
      'an external IP that does not count is not',
      { ...noPort, externalIPs: ['198.51.100.1'] },
      { allowsExternalIPs: false },
      {},
      { IPv4: false, IPv6: false },
    ],
    [
      'a load-balancer IP is, in its family',
      noPort,
      { allowsExternalIPs: false },
      { status: { loadBalancer: { ingress: [{ ip: '2001:db8::9' }] } } },
      { IPv4: false, IPv6: true },
    ],
  ])('%s', (_name, spec, node, rest, expected) => {
    const record = serviceOf({ ...dual, ...spec }, rest);
    for (const family of ['IPv4', 'IPv6'] as const) {
      const policy = endpointPolicy(record, record.ports[0]!, family, { ...PLAIN_NODE, ...node });
      expect(policy).toEqual({
        isInternalLocal: false,
        isExternalLocal: false,
        isExternallyAccessible: expected[family],
      });
    }
  });

  test('the two policies are those of the Service', () => {
    const record = serviceOf({
      type: 'NodePort',
      internalTrafficPolicy: 'Local',
      externalTrafficPolicy: 'Local',
    });
    expect(endpointPolicy(record, record.ports[0]!, 'IPv4', PLAIN_NODE)).toMatchObject({
      isInternalLocal: true,
      isExternalLocal: true,
    });
  });
});

describe('masquerading on the way to a cluster IP', () => {
  test.each<[string, Partial<NodeOptions>, string, string]>([
    ['no detector', {}, '10.96.0.1', 'none'],
    ['a CIDR', { localDetector: CLUSTER_CIDR }, '10.96.0.1', 'nonPods'],
    ['a CIDR of the other family', { localDetector: CLUSTER_CIDR }, 'fd00:10:96::1', 'none'],
    [
      'an IPv6 CIDR',
      { localDetector: { kind: 'cidr', ipv4: null, ipv6: cidr('fd00::/8') } },
      'fd00:10:96::1',
      'nonPods',
    ],
    [
      'an IPv6 CIDR of the other family',
      { localDetector: { kind: 'cidr', ipv4: null, ipv6: cidr('fd00::/8') } },
      '10.96.0.1',
      'none',
    ],
    ['a bridge', { localDetector: { kind: 'bridge', interfaceName: 'cbr0' } }, 'fd00:10:96::1', 'nonPods'],
    [
      'an interface prefix',
      { localDetector: { kind: 'interfacePrefix', prefix: 'cali' } },
      '10.96.0.1',
      'nonPods',
    ],
    ['masqueradeAll', { masqueradeAll: true, localDetector: CLUSTER_CIDR }, '10.96.0.1', 'all'],
    ['masqueradeAll without a detector', { masqueradeAll: true }, '10.96.0.1', 'all'],
  ])('%s', (_name, options, clusterIP, expected) => {
    expect(planOf({ clusterIP }, [], options).virtualServers[0]!.masquerade).toBe(expected);
  });

  test('says nothing of external frontends: masqueradeAll leaves the source under externalTrafficPolicy Local', () => {
    const spec = { type: 'NodePort', externalTrafficPolicy: 'Local' };
    const { virtualServers } = planOf(spec, [HERE], { masqueradeAll: true });
    expect(virtualServers.map(({ masquerade }) => masquerade)).toEqual(['all', 'node']);
  });
});

test('external IPs count for nothing where the node does not allow them', () => {
  const spec = { externalIPs: ['198.51.100.1'] };
  expect(idsOf(planOf(spec, [], {}, LOAD_BALANCER).virtualServers)).toEqual([
    'ClusterIP TCP 10.96.0.1:80',
    'ExternalIP TCP 198.51.100.1:80',
    'LoadBalancerIP TCP 198.51.100.9:80',
    'NodePort TCP IPv4 *:30080',
  ]);
  expect(idsOf(planOf(spec, [], { allowsExternalIPs: false }, LOAD_BALANCER).virtualServers)).toEqual([
    'ClusterIP TCP 10.96.0.1:80',
    'LoadBalancerIP TCP 198.51.100.9:80',
    'NodePort TCP IPv4 *:30080',
  ]);
});

test('external and load-balancer IPs answer on the Service port, a node port on its own, on no address in particular', () => {
  const { virtualServers } = planOf({ externalIPs: ['198.51.100.1'] }, [], {}, LOAD_BALANCER);
  expect(
    virtualServers.map(({ address, port, exceptAddresses }) => [address, port, exceptAddresses]),
  ).toEqual([
    ['10.96.0.1', 80, []],
    ['198.51.100.1', 80, []],
    ['198.51.100.9', 80, []],
    [null, 30_080, []],
  ]);
});

describe('source ranges', () => {
  const ranges = { loadBalancerSourceRanges: ['203.0.113.0/25'], externalIPs: ['198.51.100.1'] };
  const restricted = (node: Partial<NodeOptions> = {}): [string, unknown][] =>
    planOf(ranges, [], node, LOAD_BALANCER)
      .virtualServers.filter(({ allowedSources }) => allowedSources !== null)
      .map((one) => [virtualServerId(one), one.allowedSources]);

  test('restrict load-balancer IPs, never cluster IPs, external IPs or node ports', () => {
    expect(restricted()).toEqual([
      ['LoadBalancerIP TCP 198.51.100.9:80', { cidrs: ['203.0.113.0/25'], ownAddresses: [] }],
    ]);
  });

  test('that hold the node let in its connections to the load-balancer IP', () => {
    const nodeIPs = [address('203.0.113.11')];
    expect(restricted({ nodeIPs })).toEqual([
      ['LoadBalancerIP TCP 198.51.100.9:80', { cidrs: ['203.0.113.0/25'], ownAddresses: ['198.51.100.9'] }],
    ]);
  });
});

describe('real servers', () => {
  const eight = Array.from({ length: 8 }, (_, index) => ({
    addresses: [`10.244.2.${index + 1}`],
    nodeName: index === 0 ? 'node1' : 'other',
  }));
  const serversOf = (nodeName: string): readonly { address: string; isLocal: boolean }[] => {
    const { internal } = planOf({}, eight, { nodeName }).virtualServers[0]!;
    return internal.verdict === 'forward' ? internal.realServers : [];
  };

  test('begin at another pod on another node, with the same ones in all', () => {
    const firsts = new Set<string>();
    for (let node = 0; node < 64; node++) {
      const servers = serversOf(`worker-${node}`).map(({ address }) => address);
      firsts.add(servers[0]!);
      expect(servers.toSorted()).toEqual(eight.map(({ addresses }) => addresses[0]));
    }
    expect(firsts.size).toBe(8);
    expect(serversOf('worker-1')).toEqual(serversOf('worker-1'));
  });

  test('say which of them run on this node', () => {
    const local = (nodeName: string): string[] =>
      serversOf(nodeName).flatMap(({ address, isLocal }) => (isLocal ? [address] : []));
    expect(local('node1')).toEqual(['10.244.2.1']);
    expect(local('worker-1')).toEqual([]);
    expect(local('')).toEqual([]);
  });

  test('have the weight that their slice gives them, also 0', () => {
    const annotations = { 'pointsman.dev/weight': '0' };
    const metadata = { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' }, annotations };
    const record = serviceOf({});
    const endpoints = endpointsOf([sliceOf([HERE], { metadata })], 'http', 'TCP', 'IPv4');
    const policy = endpointPolicy(record, record.ports[0]!, 'IPv4', PLAIN_NODE);
    const chosen = categorizeEndpoints(endpoints, policy, PLAIN_NODE);
    const scheduling = { scheduler: 'wrr', schedulerFlags: [] } as const;
    const [clusterIP] = frontendsOf(record, record.ports[0]!, 'IPv4', chosen, scheduling, PLAIN_NODE);
    expect(clusterIP!.internal).toEqual({
      policy: 'Cluster',
      verdict: 'forward',
      realServers: [{ address: '10.244.1.5', port: 8080, weight: 0, isLocal: true }],
    });
  });
});

test('the order of frontends is kind, family, address by its bytes', () => {
  const spec = {
    clusterIPs: ['fd00:10:96::1', '10.96.0.1'],
    externalIPs: ['198.51.100.10', '2001:db8::10', '2001:db8::9', '198.51.100.9'],
  };
  const ingress = [{ ip: '2001:db8::1:9' }, { ip: '198.51.100.200' }, { ip: '198.51.100.30' }];
  const { virtualServers } = planOf(spec, [], {}, { status: { loadBalancer: { ingress } } });
  const expected = [
    'ClusterIP TCP 10.96.0.1:80',
    'ClusterIP TCP [fd00:10:96::1]:80',
    'ExternalIP TCP 198.51.100.9:80',
    'ExternalIP TCP 198.51.100.10:80',
    'ExternalIP TCP [2001:db8::9]:80',
    'ExternalIP TCP [2001:db8::10]:80',
    'LoadBalancerIP TCP 198.51.100.30:80',
    'LoadBalancerIP TCP 198.51.100.200:80',
    'LoadBalancerIP TCP [2001:db8::1:9]:80',
    'NodePort TCP IPv4 *:30080',
    'NodePort TCP IPv6 *:30080',
  ];
  expect(idsOf(virtualServers)).toEqual(expected);
  const turned: VirtualServer[] = virtualServers.toReversed();
  expect(idsOf(turned.sort(compareFrontends))).toEqual(expected);
  const [nodePort] = virtualServers.slice(-2);
  expect(compareFrontends(nodePort!, { ...nodePort! })).toBe(0);
});
