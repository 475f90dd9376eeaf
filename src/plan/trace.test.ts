// Packets through a plan: each step and each reason once, on the Services of test/traced-services.ts. That traces agree with the tables of
// the specification for any endpoints and policies is in trace-behaviour.test.ts.

import { describe, expect, test } from 'vitest';
import { address, cidr } from '../../test/addresses.ts';
import {
  CLIENT,
  ENDPOINT,
  NODE_IP,
  packet,
  planOfAll,
  POD,
  STRANGER,
  TRACED_NODE,
} from '../../test/traced-services.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import type { ForwardingPlan, NodeOptions } from './plan.ts';
import { tracePacket, type Packet, type Trace } from './trace.ts';

/** "forward to 10.244.1.5:8080 10.244.2.5:8080*", where a star says that the target sees the node's address. */
function outcomeOf({ outcome }: Trace): string {
  if (outcome.verdict !== 'forward') return outcome.verdict;
  const targets = outcome.targets.map(
    (target) => formatEndpoint(target.address, target.port) + (target.isMasqueraded ? '*' : ''),
  );
  return `forward to ${targets.sort().join(' ')}`;
}

const stepsOf = ({ steps }: Trace): string => steps.map(({ step, reason }) => `${step} ${reason}`).join(', ');

let compiled: ForwardingPlan | undefined;
const plan = (): ForwardingPlan => (compiled ??= planOfAll());
const FOUND = 'frontend Found';

describe('the steps of a packet', () => {
  test.each<[rule: string, sent: Packet, steps: string, outcome: string]>([
    // Who sends it.
    [
      'a pod is known by the detector',
      packet(POD, '10.96.0.1', 80),
      `client DetectedPod, ${FOUND}, policy Cluster, masquerade SourceKept`,
      'forward to 10.244.1.5:8080 10.244.2.5:8080',
    ],
    [
      'a process of this node is none, and is masqueraded on the way to a cluster IP',
      packet(NODE_IP, '10.96.0.1', 80),
      `client ThisNode, ${FOUND}, policy Cluster, masquerade NotAPod`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'everybody else is outside, and is masqueraded on the way to a cluster IP, too',
      packet(CLIENT, '10.96.0.1', 80),
      `client Outside, ${FOUND}, policy Cluster, masquerade NotAPod`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],

    // What it meets.
    [
      'an address that is nobody’s',
      packet(POD, '10.96.0.99', 80),
      'client DetectedPod, frontend UnknownAddress',
      'notOurs',
    ],
    [
      'the address of a Service with another port',
      packet(POD, '10.96.0.1', 81),
      'client DetectedPod, frontend OtherPort',
      'notOurs',
    ],
    [
      'the address of a Service with another protocol',
      packet(POD, '10.96.0.1', 80, 'UDP'),
      'client DetectedPod, frontend OtherPort',
      'notOurs',
    ],
    [
      'a node port on an address where node ports do not answer',
      packet(CLIENT, '192.168.60.11', 30_080),
      'client Outside, frontend NotANodePortAddress',
      'notOurs',
    ],
    [
      'a node port on loopback, where node ports do not answer there',
      packet(NODE_IP, '127.0.0.1', 30_080),
      'client ThisNode, frontend NotANodePortAddress',
      'notOurs',
    ],
    [
      'a node port with another protocol',
      packet(CLIENT, NODE_IP, 30_080, 'UDP'),
      'client Outside, frontend UnknownAddress',
      'notOurs',
    ],
    [
      'a node port of the other family',
      packet('2001:db8::99', 'fd00:50::99', 30_080),
      'client Outside, frontend UnknownAddress',
      'notOurs',
    ],
    [
      'a node port on the address of a Service: the address says more',
      packet(CLIENT, '10.96.0.8', 30_080),
      'client Outside, frontend OtherPort',
      'notOurs',
    ],
    [
      'the health-check port',
      packet(CLIENT, NODE_IP, 32_000),
      'client Outside, frontend HealthCheckNodePort',
      'notOurs',
    ],
    [
      'the health-check port with another protocol',
      packet(CLIENT, NODE_IP, 32_000, 'UDP'),
      'client Outside, frontend UnknownAddress',
      'notOurs',
    ],
    [
      'the health-check port on an address of another machine',
      packet(CLIENT, '192.168.60.11', 32_000),
      'client Outside, frontend UnknownAddress',
      'notOurs',
    ],
    [
      'a frontend of the other family',
      packet('fd00:10:244:1::7', 'fd00:10:96::8', 53, 'UDP'),
      `client Outside, ${FOUND}, endpoints NoneAnywhere`,
      'reject',
    ],

    // Nobody can take it.
    [
      'no endpoint anywhere: refused',
      packet(POD, '10.96.0.5', 80),
      `client DetectedPod, ${FOUND}, endpoints NoneAnywhere`,
      'reject',
    ],
    [
      'no endpoint anywhere: refused also where source ranges would keep it out',
      packet(STRANGER, '198.51.100.11', 80),
      `client Outside, ${FOUND}, endpoints NoneAnywhere`,
      'reject',
    ],

    // Source ranges.
    [
      'a source inside the ranges',
      packet(CLIENT, '198.51.100.10', 80),
      `client Outside, ${FOUND}, sources InRange, policy Local, masquerade SourceKept`,
      'forward to 10.244.1.5:8080',
    ],
    [
      'a source outside the ranges: dropped',
      packet(STRANGER, '198.51.100.10', 80),
      `client Outside, ${FOUND}, sources NotInRange`,
      'drop',
    ],
    [
      'pods come under the ranges, too',
      packet(POD, '198.51.100.10', 80),
      `client DetectedPod, ${FOUND}, sources NotInRange`,
      'drop',
    ],
    [
      'this node sends from the load-balancer IP itself',
      packet('198.51.100.10', '198.51.100.10', 80),
      `client ThisNode, ${FOUND}, sources OwnAddress, policy ShortCircuit, masquerade ThisNode`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'ranges say nothing of the node port',
      packet(STRANGER, NODE_IP, 30_081),
      `client Outside, ${FOUND}, policy Local, masquerade SourceKept`,
      'forward to 10.244.1.5:8080',
    ],

    // Policies and masquerading.
    [
      'clusterIP, iTP=Local, local non-empty: local',
      packet(POD, '10.96.0.4', 80),
      `client DetectedPod, ${FOUND}, policy Local, masquerade SourceKept`,
      'forward to 10.244.1.5:8080',
    ],
    [
      'clusterIP, iTP=Local, local empty: dropped',
      packet(POD, '10.96.0.3', 80),
      `client DetectedPod, ${FOUND}, policy NoLocalEndpoint`,
      'drop',
    ],
    [
      'external VIP, eTP=Cluster: cluster, always masqueraded',
      packet(POD, '198.51.100.1', 80),
      `client DetectedPod, ${FOUND}, policy Cluster, masquerade EveryClient`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'load-balancer IP, eTP=Cluster: cluster, always masqueraded',
      packet(STRANGER, '198.51.100.9', 80),
      `client Outside, ${FOUND}, policy Cluster, masquerade EveryClient`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'NodePort, eTP=Cluster: cluster, always masqueraded',
      packet(CLIENT, NODE_IP, 30_080),
      `client Outside, ${FOUND}, policy Cluster, masquerade EveryClient`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'external, eTP=Local, from a pod: cluster, not masqueraded',
      packet(POD, NODE_IP, 30_081),
      `client DetectedPod, ${FOUND}, policy ShortCircuit, masquerade SourceKept`,
      'forward to 10.244.1.5:8080 10.244.2.5:8080',
    ],
    [
      'external, eTP=Local, from this host: cluster, masqueraded',
      packet(NODE_IP, NODE_IP, 30_081),
      `client ThisNode, ${FOUND}, policy ShortCircuit, masquerade ThisNode`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'external, eTP=Local, other sources, local non-empty: local, not masqueraded',
      packet(CLIENT, NODE_IP, 30_081),
      `client Outside, ${FOUND}, policy Local, masquerade SourceKept`,
      'forward to 10.244.1.5:8080',
    ],
    [
      'external, eTP=Local, other sources, local empty: dropped',
      packet(CLIENT, NODE_IP, 30_082),
      `client Outside, ${FOUND}, policy NoLocalEndpoint`,
      'drop',
    ],
    [
      'external, eTP=Local, from a pod, local empty: cluster all the same',
      packet(POD, NODE_IP, 30_082),
      `client DetectedPod, ${FOUND}, policy ShortCircuit, masquerade SourceKept`,
      'forward to 10.244.2.5:8080',
    ],

    // What the real servers say.
    [
      'weight 0 takes no new connection; nothing else: refused',
      packet(POD, '10.96.0.6', 80),
      `client DetectedPod, ${FOUND}, policy Cluster, policy NoWeight`,
      'reject',
    ],
    [
      'an endpoint that reaches itself is masqueraded, for that target only',
      packet(ENDPOINT, '10.96.0.1', 80),
      `client DetectedPod, ${FOUND}, policy Cluster, masquerade SourceKept, hairpin SameEndpoint`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080',
    ],
    [
      'an endpoint that is masqueraded anyway needs no hairpin',
      packet(ENDPOINT, '198.51.100.1', 80),
      `client DetectedPod, ${FOUND}, policy Cluster, masquerade EveryClient`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ],
    [
      'also an endpoint of another node that comes this way',
      packet('10.244.2.5', '10.96.0.1', 80),
      `client DetectedPod, ${FOUND}, policy Cluster, masquerade SourceKept, hairpin SameEndpoint`,
      'forward to 10.244.1.5:8080 10.244.2.5:8080*',
    ],
  ])('%s', (_rule, sent, steps, outcome) => {
    const trace = tracePacket(plan(), sent);
    expect([stepsOf(trace), outcomeOf(trace)]).toEqual([steps, outcome]);
    expect(trace.packet).toBe(sent);
    expect(`client ${trace.client}`).toBe(
      { DetectedPod: 'client pod', ThisNode: 'client node', Outside: 'client outside' }[
        steps.split(/[ ,]/)[1]!
      ],
    );
    expect(trace.frontend === null).toBe(outcome === 'notOurs');
    if (steps.endsWith('UnknownAddress')) expect(trace.service).toBeNull();
    else expect(trace.service).not.toBeNull();
  });
});

test('a trace names the Service, also where the packet is not ours', () => {
  const serviceOf = (destination: string, port: number): unknown =>
    tracePacket(plan(), packet(POD, destination, port)).service;
  expect(serviceOf('10.96.0.1', 80)).toBe('default/open');
  expect(serviceOf('10.96.0.1', 81)).toBe('default/open');
  // Of two with this address, the first.
  expect(serviceOf('198.51.100.1', 8443)).toBe('default/second');
  expect(serviceOf('198.51.100.1', 81)).toBe('default/open');
  expect(serviceOf('192.168.60.11', 30_081)).toBe('default/local');
  expect(serviceOf(NODE_IP, 32_000)).toBe('default/local');
  expect(serviceOf('10.96.0.99', 80)).toBeNull();
});

describe('other settings of the node', () => {
  const trace = (node: Partial<NodeOptions>, sent: Packet): string[] => {
    const result = tracePacket(planOfAll({ ...TRACED_NODE, ...node }), sent);
    return [stepsOf(result), outcomeOf(result)];
  };

  test('without a detector a pod is outside, and nobody is masqueraded on the way to a cluster IP', () => {
    expect(trace({ localDetector: { kind: 'none' } }, packet(POD, '10.96.0.1', 80))).toEqual([
      `client Outside, ${FOUND}, policy Cluster, masquerade SourceKept`,
      'forward to 10.244.1.5:8080 10.244.2.5:8080',
    ]);
  });

  test('without a detector a pod under eTP=Local gets what everybody outside gets', () => {
    expect(trace({ localDetector: { kind: 'none' } }, packet(POD, NODE_IP, 30_081))).toEqual([
      `client Outside, ${FOUND}, policy Local, masquerade SourceKept`,
      'forward to 10.244.1.5:8080',
    ]);
  });

  test('masqueradeAll: everybody on the way to a cluster IP', () => {
    expect(trace({ masqueradeAll: true }, packet(POD, '10.96.0.1', 80))).toEqual([
      `client DetectedPod, ${FOUND}, policy Cluster, masquerade EveryClient`,
      'forward to 10.244.1.5:8080* 10.244.2.5:8080*',
    ]);
  });

  test('node ports answer on IPv4 loopback where that is on, cluster IPs do not', () => {
    const node = { nodePortLoopbacks: [cidr('127.0.0.0/8')] };
    expect(trace(node, packet(NODE_IP, '127.0.0.1', 30_080))[1]).toMatch(/^forward/);
    expect(trace(node, packet(NODE_IP, '127.255.0.1', 30_080))[1]).toMatch(/^forward/);
    expect(trace(node, packet('fd00:50::11', '::1', 30_084))).toEqual([
      'client ThisNode, frontend NotANodePortAddress',
      'notOurs',
    ]);
    expect(trace(node, packet(NODE_IP, '127.0.0.1', 80))).toEqual([
      'client ThisNode, frontend UnknownAddress',
      'notOurs',
    ]);
    expect(trace(node, packet(NODE_IP, '192.168.60.11', 30_080))[1]).toBe('notOurs');
  });

  test('a node that is not inside the ranges may not send from a load-balancer IP', () => {
    const nodeIPs = [address('192.168.60.11')];
    expect(trace({ nodeIPs }, packet('198.51.100.10', '198.51.100.10', 80))[1]).toBe('drop');
  });
});

describe('endpoints left out of a trace', () => {
  const leftOut = (sent: Packet): string[] =>
    tracePacket(plan(), sent).leftOut.map(({ address: one, policy, reason }) => `${one} ${policy} ${reason}`);

  test.each<[string, Packet, string[]]>([
    ['all are used: none', packet(POD, '10.96.0.1', 80), []],
    [
      'other zones, and what goes away',
      packet(POD, '10.96.0.7', 80),
      ['10.244.2.5 Cluster OtherZone', '10.244.2.6 Cluster Terminating'],
    ],
    [
      'the policy of this client counts: Local',
      packet(CLIENT, NODE_IP, 30_081),
      ['10.244.2.5 Local NotLocal'],
    ],
    ['the policy of this client counts: Cluster', packet(POD, NODE_IP, 30_081), []],
    ['dropped for want of a local one', packet(CLIENT, NODE_IP, 30_082), ['10.244.2.5 Local NotLocal']],
    ['refused for want of any', packet(POD, '10.96.0.5', 80), ['10.244.1.5 Cluster NotReady']],
    ['kept out by source ranges: no endpoint is to blame', packet(STRANGER, '198.51.100.10', 80), []],
    ['not ours', packet(POD, '10.96.0.99', 80), []],
    ['weight 0 is no reason to be left out', packet(POD, '10.96.0.6', 80), []],
    ['of this port and protocol only', packet(POD, '10.96.0.8', 53, 'UDP'), ['10.244.1.5 Cluster NotReady']],
    ['of this port and protocol only', packet(POD, '10.96.0.8', 80), ['10.244.1.5 Cluster NotReady']],
    ['of this family only', packet('fd00:10:244:1::7', 'fd00:10:96::8', 80), []],
  ])('%s', (_rule, sent, expected) => {
    expect(leftOut(sent)).toEqual(expected);
  });
});

test('targets keep the weight and the place of their real server', () => {
  const { outcome } = tracePacket(plan(), packet(CLIENT, NODE_IP, 30_081));
  expect(outcome).toEqual({
    verdict: 'forward',
    targets: [{ address: '10.244.1.5', port: 8080, weight: 1, isLocal: true, isMasqueraded: false }],
  });
});
