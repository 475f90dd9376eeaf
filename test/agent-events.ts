// Events as an agent gets them, and the node it stands on, for tests of the agent.

import type { ClusterEvent } from '../src/model/objects.ts';
import type { NodeOptions } from '../src/plan/plan.ts';
import { address } from './addresses.ts';
import { PLAIN_NODE } from './nodes.ts';

/** node1 with one address for node ports. */
export const NODE: NodeOptions = {
  ...PLAIN_NODE,
  nodePortAddresses: [address('192.168.0.2')],
};

/** A Service of namespace default with one TCP port, 80, unless `more` of its spec says otherwise. */
export function service(name: string, clusterIP: string, more: object = {}): ClusterEvent {
  const spec = { clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80, protocol: 'TCP' }], ...more };
  return {
    type: 'apply',
    object: { kind: 'Service', metadata: { namespace: 'default', name }, spec } as never,
  };
}

/** The EndpointSlice of a Service with these endpoints, all ready, port 8080. */
export function slice(name: string, addresses: readonly string[]): ClusterEvent {
  return {
    type: 'apply',
    object: {
      kind: 'EndpointSlice',
      metadata: { namespace: 'default', name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ port: 8080, protocol: 'TCP' }],
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    } as never,
  };
}

/** The Service is deleted. */
export const gone = (name: string): ClusterEvent => ({
  type: 'delete',
  kind: 'Service',
  namespace: 'default',
  name,
});
