// One Service for each way in which a packet may go, the plan of them all on node1, and the packets that go there.

import { address, cidr } from './addresses.ts';
import { PLAIN_NODE } from './nodes.ts';
import { HERE, LEAVING, THERE } from './one-service.ts';
import { Snapshot } from '../src/model/snapshot.ts';
import { compile } from '../src/plan/planner.ts';
import type { ForwardingPlan, NodeOptions } from '../src/plan/plan.ts';
import type { Packet } from '../src/plan/trace.ts';

/** node1, which knows pods by their CIDR. */
export const TRACED_NODE: NodeOptions = {
  ...PLAIN_NODE,
  zone: 'zone-a',
  nodeIPs: [address('192.168.50.11')],
  nodePortAddresses: [address('192.168.50.11'), address('fd00:50::11')],
  localDetector: { kind: 'cidr', ipv4: cidr('10.244.0.0/16'), ipv6: null },
};

interface ServiceSetup {
  readonly spec: object;
  readonly endpoints?: readonly object[];
  readonly loadBalancerIP?: string;
  readonly weight?: string;
}

const http = (nodePort = 0): object => ({ ports: [{ name: 'http', port: 80, nodePort }] });
const HINTED = (zone: string): object => ({ hints: { forZones: [{ name: zone }] } });

const SERVICES: Record<string, ServiceSetup> = {
  // Both policies Cluster, reachable in every way, everybody let in.
  open: {
    spec: { clusterIP: '10.96.0.1', ...http(30_080), externalIPs: ['198.51.100.1'] },
    endpoints: [HERE, THERE],
    loadBalancerIP: '198.51.100.9',
  },
  // externalTrafficPolicy Local; sources restricted to one network and that of the nodes; a health-check port.
  local: {
    spec: {
      clusterIP: '10.96.0.2',
      ...http(30_081),
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32_000,
      loadBalancerSourceRanges: ['203.0.113.0/25', '192.168.50.0/24'],
    },
    endpoints: [HERE, THERE],
    loadBalancerIP: '198.51.100.10',
  },
  // Both policies Local, and no endpoint here.
  far: {
    spec: {
      clusterIP: '10.96.0.3',
      ...http(30_082),
      type: 'NodePort',
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Local',
    },
    endpoints: [THERE],
  },
  // internalTrafficPolicy Local with an endpoint here.
  near: {
    spec: { clusterIP: '10.96.0.4', ...http(), internalTrafficPolicy: 'Local' },
    endpoints: [HERE, THERE],
  },
  // No endpoint anywhere, and sources restricted.
  empty: {
    spec: {
      clusterIP: '10.96.0.5',
      ...http(30_083),
      type: 'LoadBalancer',
      loadBalancerSourceRanges: ['203.0.113.0/25'],
    },
    endpoints: [{ ...HERE, conditions: { ready: false } }],
    loadBalancerIP: '198.51.100.11',
  },
  // Nobody takes new connections.
  still: { spec: { clusterIP: '10.96.0.6', ...http() }, endpoints: [HERE, THERE], weight: '0' },
  // Left out: another zone, and one that is going away.
  zoned: {
    spec: { clusterIP: '10.96.0.7', ...http() },
    endpoints: [
      { ...HERE, ...HINTED('zone-a') },
      { ...THERE, ...HINTED('zone-b') },
      { addresses: ['10.244.2.6'], nodeName: 'node2', ...LEAVING },
    ],
  },
  // The external IP of another, with another port.
  second: {
    spec: { clusterIP: '10.96.0.9', ports: [{ port: 8443 }], externalIPs: ['198.51.100.1'] },
  },
  // Several ports and both families: only those of the packet count.
  dual: {
    spec: {
      clusterIPs: ['10.96.0.8', 'fd00:10:96::8'],
      ports: [
        { name: 'http', port: 80, nodePort: 30_084 },
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'http', port: 80, protocol: 'UDP' },
        { name: 'admin', port: 81 },
      ],
    },
    endpoints: [{ ...HERE, conditions: { ready: false } }, THERE],
  },
};

/** The plan of all of them. */
export function planOfAll(node: NodeOptions = TRACED_NODE): ForwardingPlan {
  const snapshot = new Snapshot();
  for (const [name, { spec, endpoints = [], loadBalancerIP, weight }] of Object.entries(SERVICES)) {
    const ingress = loadBalancerIP === undefined ? [] : [{ ip: loadBalancerIP }];
    snapshot.apply({
      type: 'apply',
      object: { kind: 'Service', metadata: { name }, spec, status: { loadBalancer: { ingress } } },
    });
    snapshot.apply({
      type: 'apply',
      object: {
        kind: 'EndpointSlice',
        metadata: {
          name: `${name}-1`,
          labels: { 'kubernetes.io/service-name': name },
          annotations: weight === undefined ? {} : { 'pointsman.dev/weight': weight },
        },
        addressType: 'IPv4',
        ports: [
          { name: 'http', port: 8080 },
          { name: 'dns', port: 5353, protocol: 'UDP' },
          { name: 'http', port: 8080, protocol: 'UDP' },
          { name: 'admin', port: 8081 },
        ],
        endpoints: endpoints as never,
      },
    });
  }
  return compile(snapshot, node);
}

/** Who sends: a pod, one that is itself an endpoint, this node, a client inside the source ranges, and one outside. */
export const POD = '10.244.1.7';
export const ENDPOINT = '10.244.1.5';
export const NODE_IP = '192.168.50.11';
export const CLIENT = '203.0.113.7';
export const STRANGER = '203.0.113.200';

/** A packet by interface eth0, or from this node itself when it is sent from one of its addresses. */
export function packet(
  source: string,
  destination: string,
  port: number,
  protocol: Packet['protocol'] = 'TCP',
): Packet {
  const isNode = source === NODE_IP || source === 'fd00:50::11' || source.startsWith('198.51.100.');
  return {
    source: address(source),
    input: isNode ? { from: 'node' } : { from: 'interface', interfaceName: 'eth0' },
    destination: address(destination),
    protocol,
    port,
  };
}
