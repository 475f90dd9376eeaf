// The Services and EndpointSlices that the benches use: one TCP port each, IPv4, one endpoint in eight on this node. Deterministic.

import type { ClusterEvent, EndpointSliceObject, ServiceObject } from '../src/model/objects.ts';
import { makeNodeOptions } from '../src/plan/node-options.ts';
import type { NodeOptions } from '../src/plan/plan.ts';

export const BENCH_NODE = 'node1';
const LOCAL_EVERY = 8;

function octets(base: number, index: number): string {
  return `${base}.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

/** ClusterIPs 10.96.0.1 and on (10.96.0.0/12 holds a million). */
export function benchService(index: number): ServiceObject {
  const address = index + (96 << 16) + 1;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `svc-${index}`, namespace: 'bench', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      type: 'ClusterIP',
      clusterIP: octets(10, address),
      clusterIPs: [octets(10, address)],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    },
  } as ServiceObject;
}

/** Endpoints 11.0.0.1 and on, port 8080; the first of every eight is on this node. */
export function benchSlice(index: number, endpoints: number, perService = endpoints): EndpointSliceObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `svc-${index}-a`,
      namespace: 'bench',
      labels: { 'kubernetes.io/service-name': `svc-${index}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: endpoints }, (_, i) => ({
      addresses: [octets(11, index * perService + i + 1)],
      nodeName: i % LOCAL_EVERY === 0 ? BENCH_NODE : `node${2 + (i % 7)}`,
      conditions: { ready: true, serving: true, terminating: false },
    })),
  } as EndpointSliceObject;
}

/** Events of a whole table. */
export function* benchEvents(services: number, endpoints: number): Generator<ClusterEvent> {
  for (let i = 0; i < services; i++) {
    yield { type: 'apply', object: benchService(i) };
    yield { type: 'apply', object: benchSlice(i, endpoints, endpoints + 1) };
  }
}

/** The node of the benches: both families, no detector, no address of its own. */
export const BENCH_NODE_OPTIONS: NodeOptions = makeNodeOptions(
  {
    nodeName: BENCH_NODE,
    families: ['IPv4', 'IPv6'],
    scheduler: 'rr',
    masqueradeAll: false,
    nodePortAddresses: [],
    localhostNodePorts: false,
    allowsExternalIPs: true,
    otherFamilySourceRanges: 'Allow',
    localDetector: { kind: 'none' },
  },
  { zone: '', nodeIps: [], localAddresses: [] },
);
