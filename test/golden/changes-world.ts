// The agent's way from events to changed plans, without the agent: one Snapshot, one Planner, and objects in short notation. For tests of
// what changes.

import type { ServiceKey } from '../../src/model/names.ts';
import type { ClusterEvent, ClusterObject } from '../../src/model/objects.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { Planner } from '../../src/plan/planner.ts';
import { PLAIN_NODE } from '../nodes.ts';

/** What one sync found. */
export interface Sync {
  /** Services that events touched. */
  readonly touched: readonly string[];
  /** Services whose plan is another one. */
  readonly changed: readonly string[];
}

/** What an agent knows; `sync` stands for one of its syncs. */
export class World {
  readonly snapshot = new Snapshot();
  readonly planner = new Planner(this.snapshot, PLAIN_NODE);
  private readonly touched = new Set<ServiceKey>();

  feed(...events: readonly ClusterEvent[]): void {
    for (const event of events) {
      for (const key of this.snapshot.apply(event).services) {
        this.touched.add(key);
        this.planner.recompile(key);
      }
    }
  }

  sync(...events: readonly ClusterEvent[]): Sync {
    this.feed(...events);
    const touched = [...this.touched].sort();
    this.touched.clear();
    return { touched, changed: [...this.planner.takeChanges().keys()].sort() };
  }

  /** "Service: node port of the health check" of those that have one. */
  healthPorts(): string[] {
    return [...this.planner.plan().services.values()].flatMap(({ key, healthCheck }) =>
      healthCheck === null ? [] : [`${key} ${healthCheck.nodePort}`],
    );
  }
}

const apply = (object: ClusterObject): ClusterEvent => ({ type: 'apply', object });
/** An object of namespace default goes. */
export const remove = (kind: ClusterObject['kind'], name: string): ClusterEvent => ({
  type: 'delete',
  kind,
  namespace: 'default',
  name,
});

/** A Service of namespace default. */
export const service = (name: string, spec: object, status: object = {}): ClusterEvent =>
  apply({ kind: 'Service', metadata: { name, namespace: 'default' }, spec, status });

/** Of a slice; UDP when no protocol is given. */
type Port = readonly [name: string, port: number, protocol?: 'TCP' | 'UDP'];

/**
 * A slice of Service web. Endpoints as "1.1 2.1T": 10.244.1.1 on node1 is ready, 10.244.2.1 on node2 serves while it terminates; with N it
 * would not be ready.
 */
function slice(
  name: string,
  endpoints: string,
  ports: readonly Port[] = [['p', 8080]],
  more: object = {},
): ClusterEvent {
  return apply({
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: ports.map(([portName, port, protocol = 'UDP']) => ({ name: portName, port, protocol })),
    endpoints: [...endpoints.matchAll(/(\d)\.\d+([TN]?)/g)].map(([text, node, state]) => ({
      addresses: [`10.244.${text.replace(/[TN]$/, '')}`],
      nodeName: `node${node}`,
      conditions: { ready: state === '', serving: state !== 'N', terminating: state === 'T' },
    })),
    ...more,
  });
}

const sliceNamed = (name: string) => (endpoints: string, ports?: readonly Port[], more?: object) =>
  slice(name, endpoints, ports, more);
/** Slices "web-1" and so on of Service web. */
export const web1 = sliceNamed('web-1');
export const web2 = sliceNamed('web-2');
export const web3 = sliceNamed('web-3');
export const web9 = sliceNamed('web-9');

/** Ports p and q of slices. */
export const BOTH: readonly Port[] = [
  ['p', 8080],
  ['q', 8081],
];
/** q with another number. */
export const OTHERS: readonly Port[] = [
  ['p', 8080],
  ['q', 8082],
];
/** BOTH in another order. */
export const SWAPPED: readonly Port[] = [
  ['q', 8081],
  ['p', 8080],
];
/** Ports p and q of Services. */
export const UDP_PORTS = [
  { name: 'p', port: 80, protocol: 'UDP' },
  { name: 'q', port: 81, protocol: 'UDP' },
];
/** Service web with ports p and q. */
export const WEB = service('web', { clusterIP: '10.96.0.1', ports: UDP_PORTS });
