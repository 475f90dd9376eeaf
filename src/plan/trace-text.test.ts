// The sentences of a trace, one packet for each, so that every reason is seen to say what it means.

import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { parseCidr } from '../model/ip.ts';
import type { ClusterObject } from '../model/objects.ts';
import { PROTOCOLS, type Protocol } from '../model/service-ports.ts';
import { Snapshot } from '../model/snapshot.ts';
import type { PacketInput } from './clients.ts';
import type { NodeOptions } from './plan.ts';
import { compile } from './planner.ts';
import { tracePacket, type Trace } from './trace.ts';
import {
  describeLeftOut,
  describeOutcome,
  describeSteps,
  describeTarget,
  formatPacket,
} from './trace-text.ts';

const NODE: NodeOptions = {
  ...PLAIN_NODE,
  zone: 'zone-a',
  nodeIPs: [address('192.168.50.11')],
  nodePortAddresses: [address('192.168.50.11')],
  localDetector: { kind: 'cidr', ipv4: parseCidr('10.244.0.0/16'), ipv6: null },
};

const service = (name: string, clusterIP: string, spec: object = {}, rest: object = {}): ClusterObject =>
  ({
    kind: 'Service',
    metadata: { name, namespace: 'default', annotations: { 'pointsman.dev/scheduler-flags': 'flag-3' } },
    spec: { type: 'LoadBalancer', clusterIP, ports: [{ name: 'http', port: 80 }], ...spec },
    ...rest,
  }) as ClusterObject;
const slice = (name: string, endpoints: readonly object[], annotations: object = {}): ClusterObject =>
  ({
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, labels: { 'kubernetes.io/service-name': name }, annotations },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints,
  }) as ClusterObject;
const on = (node: number, host: number, rest: object = {}): object => ({
  addresses: [`10.244.${node}.${host}`],
  nodeName: `node${node}`,
  ...rest,
});
const hinted = (zone: string): object => ({ hints: { forZones: [{ name: zone }] } });
const ingress = (ip: string): object => ({ status: { loadBalancer: { ingress: [{ ip }] } } });

const OBJECTS: readonly ClusterObject[] = [
  service('web', '10.96.0.1', {
    ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
    sessionAffinity: 'ClientIP',
  }),
  slice('web', [
    on(1, 1),
    on(2, 1),
    on(1, 2, { conditions: { ready: false, serving: false } }),
    on(1, 3, { conditions: { ready: false, serving: true, terminating: true } }),
  ]),
  service('zoned', '10.96.0.2'),
  slice('zoned', [on(1, 4, hinted('zone-a')), on(2, 4, hinted('zone-b'))]),
  service(
    'local',
    '10.96.0.3',
    {
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32_000,
      internalTrafficPolicy: 'Local',
      ports: [{ name: 'http', port: 80, nodePort: 30_083 }],
    },
    ingress('198.51.100.3'),
  ),
  slice('local', [on(1, 5)]),
  service(
    'elsewhere',
    '10.96.0.4',
    { externalTrafficPolicy: 'Local', healthCheckNodePort: 32_001 },
    ingress('198.51.100.4'),
  ),
  slice('elsewhere', [on(2, 6)]),
  service('none', '10.96.0.5'),
  service(
    'ranged',
    '10.96.0.6',
    { loadBalancerSourceRanges: ['203.0.113.0/25', '192.168.50.0/24'] },
    ingress('198.51.100.6'),
  ),
  slice('ranged', [on(1, 7)]),
  service('plain', '10.96.0.8', { ports: [{ port: 80 }] }, { metadata: { name: 'plain' } }),
  service(
    'flagged',
    '10.96.0.9',
    {},
    {
      metadata: {
        name: 'flagged',
        annotations: {
          'pointsman.dev/scheduler': 'sh',
          'pointsman.dev/scheduler-flags': 'sh-port,sh-fallback',
        },
      },
    },
  ),
  service('idle', '10.96.0.7'),
  slice('idle', [on(1, 8)], { 'pointsman.dev/weight': '0' }),
];

function trace(source: string, to: string, input: PacketInput, node: NodeOptions): Trace {
  const snapshot = new Snapshot();
  for (const object of OBJECTS) snapshot.apply({ type: 'apply', object });
  const [target = '', protocolText = 'TCP'] = to.split('/');
  const protocol: Protocol = PROTOCOLS.find((one) => one === protocolText) ?? 'TCP';
  const [destination = '', port = ''] = target.split(':');
  return tracePacket(compile(snapshot, node), {
    source: address(source),
    input,
    destination: address(destination),
    port: Number(port),
    protocol,
  });
}

const NETWORK: PacketInput = { from: 'interface', interfaceName: 'cali7' };
const OUTSIDE = '203.0.113.7';
const POD = '10.244.1.9';
const SELF = '192.168.50.11';

describe('the sentence of each step', () => {
  test.each<
    [step: string, reason: string, source: string, to: string, text: string, node?: Partial<NodeOptions>]
  >([
    ['client', 'DetectedPod', POD, '10.96.0.1:80', 'a pod: 10.244.1.9 is in the pod network'],
    [
      'client',
      'DetectedPod',
      POD,
      '10.96.0.1:80',
      'a pod: it comes in by cali7',
      { localDetector: { kind: 'interfacePrefix', prefix: 'cali' } },
    ],
    ['client', 'ThisNode', SELF, '10.96.0.1:80', 'a process of this node, sending from 192.168.50.11'],
    [
      'client',
      'Outside',
      OUTSIDE,
      '10.96.0.1:80',
      'outside: the local detector does not know 203.0.113.7 as a pod',
    ],
    [
      'client',
      'Outside',
      POD,
      '10.96.0.1:80',
      'outside (no detectLocalMode is set up, so pods count as outside, too)',
      { localDetector: { kind: 'none' } },
    ],
    [
      'frontend',
      'Found',
      POD,
      '10.96.0.1:80',
      'ClusterIP TCP 10.96.0.1:80 of Service default/web, port http, scheduler rr flag-3, clients keep their endpoint for 10800 s',
    ],
    [
      'frontend',
      'OtherPort',
      POD,
      '10.96.0.1:80/UDP',
      '10.96.0.1 belongs to Service default/web, which has no port 80 for UDP',
    ],
    [
      'frontend',
      'NotANodePortAddress',
      OUTSIDE,
      '192.168.50.99:30080',
      '30080 is a node port of Service default/web, but node ports do not answer on 192.168.50.99',
    ],
    [
      'frontend',
      'HealthCheckNodePort',
      OUTSIDE,
      '192.168.50.11:32000',
      'the health-check port of Service default/local, answered by the agent itself',
    ],
    ['frontend', 'UnknownAddress', OUTSIDE, '192.0.2.1:80', 'no Service has 192.0.2.1:80'],
    ['endpoints', 'NoneAnywhere', POD, '10.96.0.5:80', 'no endpoint can be used, here or on any node'],
    ['sources', 'InRange', OUTSIDE, '198.51.100.6:80', 'loadBalancerSourceRanges let 203.0.113.7 in'],
    [
      'sources',
      'OwnAddress',
      '198.51.100.6',
      '198.51.100.6:80',
      '198.51.100.6 is a load-balancer IP of the Service, used by this node, whose own address is let in',
    ],
    ['sources', 'NotInRange', POD, '198.51.100.6:80', 'loadBalancerSourceRanges do not let 10.244.1.9 in'],
    ['policy', 'Cluster', POD, '10.96.0.1:80', 'internalTrafficPolicy Cluster: endpoints of all nodes'],
    ['policy', 'Local', POD, '10.96.0.3:80', 'internalTrafficPolicy Local: endpoints of this node'],
    ['policy', 'Local', OUTSIDE, '198.51.100.3:80', 'externalTrafficPolicy Local: endpoints of this node'],
    [
      'policy',
      'ShortCircuit',
      POD,
      '198.51.100.3:80',
      'externalTrafficPolicy is Local, but clients inside the cluster use endpoints of all nodes',
    ],
    [
      'policy',
      'NoLocalEndpoint',
      OUTSIDE,
      '198.51.100.4:80',
      'externalTrafficPolicy Local: no endpoint of this node can be used, others could',
    ],
    ['policy', 'NoWeight', POD, '10.96.0.7:80', 'every real server has weight 0: none takes new connections'],
    [
      'masquerade',
      'EveryClient',
      POD,
      '192.168.50.11:30080',
      "the client's address is replaced by this node's, as for every client here",
    ],
    [
      'masquerade',
      'NotAPod',
      OUTSIDE,
      '10.96.0.1:80',
      "the client's address is replaced by this node's, since it is no pod",
    ],
    [
      'masquerade',
      'ThisNode',
      SELF,
      '198.51.100.3:80',
      "the client's address is replaced, since it is this node's own",
    ],
    ['masquerade', 'SourceKept', POD, '10.96.0.1:80', "the client's address is kept"],
    [
      'hairpin',
      'SameEndpoint',
      '10.244.1.1',
      '10.96.0.1:80',
      'the client is one of the real servers: sent to itself, its address is replaced',
    ],
  ])('%s %s', (step, reason, source, to, text, node = {}) => {
    const options = { ...NODE, ...node };
    const input: PacketInput = source === SELF || source === '198.51.100.6' ? { from: 'node' } : NETWORK;
    const steps = describeSteps(trace(source, to, input, options), options);
    expect(steps.find((each) => each.step === step && each.reason === reason)).toEqual({
      step,
      reason,
      text,
    });
  });
});

test.each([
  ['10.96.0.1:80', 'forwarded'],
  ['10.96.0.5:80', 'refused (ICMP port unreachable)'],
  ['198.51.100.6:80', 'dropped'],
  ['192.0.2.1:80', 'not ours: routing, firewalls and local processes decide'],
])('a packet to %s is %s', (to, outcome) => {
  expect(describeOutcome(trace(POD, to, NETWORK, NODE))).toBe(outcome);
});

test('a target says why it sees the node instead of the client', () => {
  const texts = (source: string, to: string): string[] => {
    const found = trace(source, to, NETWORK, NODE);
    if (found.outcome.verdict !== 'forward') return [];
    return found.outcome.targets.map((target) => `${target.address} ${describeTarget(target, found)}`).sort();
  };
  expect(texts(POD, '10.96.0.1:80')).toEqual(['10.244.1.1 ', '10.244.2.1 ']);
  expect(texts('10.244.1.1', '10.96.0.1:80')).toEqual([
    '10.244.1.1 masqueraded: it would answer itself',
    '10.244.2.1 ',
  ]);
  expect(texts(OUTSIDE, '10.96.0.1:80')).toEqual(['10.244.1.1 masqueraded', '10.244.2.1 masqueraded']);
});

test('a frontend says its port, affinity and flags only where there are some', () => {
  const frontend = (to: string): string | undefined =>
    describeSteps(trace(POD, to, NETWORK, NODE), NODE).find(({ step }) => step === 'frontend')?.text;
  expect(frontend('10.96.0.8:80')).toBe('ClusterIP TCP 10.96.0.8:80 of Service default/plain, scheduler rr');
  expect(frontend('10.96.0.9:80')).toBe(
    'ClusterIP TCP 10.96.0.9:80 of Service default/flagged, port http, scheduler sh flag-1 flag-2',
  );
});

test.each([
  ['OtherNode', 'hints reserve it for other nodes'],
  ['OtherZone', 'hints reserve it for other zones'],
  ['TooMany', 'beyond the limit on endpoints of one port'],
] as const)('an endpoint that is left out as %s', (reason, text) => {
  const endpoint = { portName: '', protocol: 'TCP', address: address('10.244.1.1'), port: 80 } as const;
  expect(describeLeftOut({ ...endpoint, policy: 'Cluster', reason })).toBe(text);
});

test('an endpoint that is left out says why', () => {
  const leftOut = (to: string, source = OUTSIDE): string[] =>
    trace(source, to, NETWORK, NODE).leftOut.map((each) => `${each.address} ${describeLeftOut(each)}`);
  expect(leftOut('10.96.0.1:80')).toEqual([
    '10.244.1.2 not ready',
    '10.244.1.3 terminating, and ready ones exist',
  ]);
  expect(leftOut('10.96.0.2:80')).toEqual(['10.244.2.4 hints reserve it for other zones']);
  expect(leftOut('198.51.100.4:80')).toEqual(['10.244.2.6 on another node']);
  expect(leftOut('198.51.100.4:80', POD)).toEqual([]);
});

test('a packet as text', () => {
  expect(formatPacket(trace(POD, '10.96.0.1:80', NETWORK, NODE).packet)).toBe(
    'TCP 10.244.1.9 -> 10.96.0.1:80',
  );
});
