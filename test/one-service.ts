// One Service with the endpoints of one slice, and the plan of it: what a test is about stands in the test, in the words of the API.

import { projectEndpointSlice, type SliceRecord } from '../src/model/endpoint-slice.ts';
import { compareText } from '../src/model/ip.ts';
import { projectService, type ServiceRecord } from '../src/model/service.ts';
import { compileService } from '../src/plan/compile.ts';
import { virtualServerId } from '../src/plan/ownership.ts';
import type { NodeOptions, Selection, ServicePlan, VirtualServer } from '../src/plan/plan.ts';
import { NODE1, NODE2 } from './addresses.ts';
import { PLAIN_NODE } from './nodes.ts';

/** An endpoint on the node of the test, and one on another. */
export const HERE = { addresses: ['10.244.1.5'], nodeName: NODE1 };
export const THERE = { addresses: ['10.244.2.5'], nodeName: NODE2 };
export const NOT_READY = { conditions: { ready: false } };
/** Terminating, and still serving. */
export const LEAVING = { conditions: { ready: false, serving: true, terminating: true } };
/** status of a Service with one load-balancer IP. */
export const LOAD_BALANCER = { status: { loadBalancer: { ingress: [{ ip: '198.51.100.9' }] } } };

/** Service default/web at 10.96.0.1 with port http (80, node port 30080), as far as `spec` says nothing else. */
export function serviceOf(spec: object, rest: object = {}): ServiceRecord {
  const ports = [{ name: 'http', port: 80, nodePort: 30_080 }];
  const object = { metadata: { name: 'web' }, spec: { clusterIP: '10.96.0.1', ports, ...spec }, ...rest };
  const { record } = projectService(object);
  if (record === null) throw new Error('the Service of this test yields nothing');
  return record;
}

/** IPv4 slice web-1 of that Service with target port http 8080, as far as `rest` says nothing else. */
export function sliceOf(endpoints: readonly object[], rest: object = {}): SliceRecord {
  const object = {
    metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints,
    ...rest,
  };
  const { record } = projectEndpointSlice(object);
  if (record === null) throw new Error('the EndpointSlice of this test yields nothing');
  return record;
}

/** The plan of that Service with that slice. */
export function planOf(
  spec: object,
  endpoints: readonly object[] = [],
  node: Partial<NodeOptions> = {},
  rest: object = {},
): ServicePlan {
  return compileService(serviceOf(spec, rest), [sliceOf(endpoints)], { ...PLAIN_NODE, ...node });
}

/** "reject", "drop", or the real servers in text order. */
export function answerOf(selection: Selection): string {
  if (selection.verdict !== 'forward') return selection.verdict;
  return selection.realServers
    .map(({ address, port }) => `${address}:${port}`)
    .sort(compareText)
    .join(' ');
}

/** Names of virtual servers, in their order. */
export function idsOf(virtualServers: readonly VirtualServer[]): string[] {
  return virtualServers.map(virtualServerId);
}
