// Objects of a big cluster, many and quickly, with all that a real server's objects carry (managedFields among it: a third of their size).
// The same for the same arguments: addresses and names come from counters.

import type { ApiObject, ApiStore } from './api-store.ts';

/** How a Service is made. */
export interface ServiceShape {
  readonly namespace?: string;
  /** Added to labels, annotations and spec. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
}

/** How an EndpointSlice is made. */
export interface SliceShape {
  readonly namespace?: string;
  /** Default 10. */
  readonly endpoints?: number;
  /** Nodes that endpoints are on, in turn; default 100. */
  readonly nodes?: number;
  /** Varies addresses: another one is another set of endpoints. Default 0. */
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
}

const MANAGED = (manager: string, fields: object): object => ({
  manager,
  operation: 'Update',
  apiVersion: 'v1',
  time: '2026-01-01T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1: fields,
});

/** Service `web-INDEX` with one port, at 10.96.0.0/12. */
export function makeService(index: number, shape: ServiceShape = {}): ApiObject {
  const clusterIP = ipOf(0x0a600001 + index);
  return {
    metadata: {
      name: `web-${index}`,
      namespace: shape.namespace ?? `team-${index % 50}`,
      labels: { app: `web-${index}`, ...shape.labels },
      ...(shape.annotations === undefined ? {} : { annotations: shape.annotations }),
      managedFields: [
        MANAGED('kubectl-client-side-apply', {
          'f:spec': {
            'f:ports': { '.': {}, 'k:{"port":80,"protocol":"TCP"}': { 'f:port': {} } },
            'f:selector': {},
          },
        }),
      ],
    },
    spec: {
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }],
      selector: { app: `web-${index}` },
      clusterIP,
      clusterIPs: [clusterIP],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      ...shape.spec,
    },
    status: { loadBalancer: {} },
  };
}

/** EndpointSlice `web-INDEX-0` of Service `web-INDEX`. */
export function makeSlice(index: number, shape: SliceShape = {}): ApiObject {
  const { endpoints = 10, nodes = 100, generation = 0, labels } = shape;
  const namespace = shape.namespace ?? `team-${index % 50}`;
  return {
    metadata: {
      name: `web-${index}-0`,
      namespace,
      generateName: `web-${index}-`,
      labels: {
        app: `web-${index}`,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        'kubernetes.io/service-name': `web-${index}`,
        ...labels,
      },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Service', name: `web-${index}`, uid: uidOf(index), controller: true },
      ],
      managedFields: [
        MANAGED('kube-controller-manager', {
          'f:addressType': {},
          'f:endpoints': {},
          'f:metadata': {
            'f:labels': { '.': {}, 'f:kubernetes.io/service-name': {} },
            'f:ownerReferences': {},
          },
          'f:ports': {},
        }),
      ],
    },
    addressType: 'IPv4',
    endpoints: Array.from({ length: endpoints }, (_, position) => {
      const pod = index * endpoints + position;
      return {
        addresses: [ipOf(0x0a800000 + ((pod * 7 + generation * 104_729) % 0x7fffff))],
        conditions: { ready: true, serving: true, terminating: false },
        targetRef: { kind: 'Pod', namespace, name: `web-${index}-7d4b9c-${position}`, uid: uidOf(pod) },
        nodeName: `node-${pod % nodes}`,
        zone: `zone-${pod % 3}`,
      };
    }),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  };
}

/** Node `node-INDEX` at 192.168.0.0/16. */
export function makeNode(index: number): ApiObject {
  const name = `node-${index}`;
  return {
    metadata: {
      name,
      labels: { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': `zone-${index % 3}` },
    },
    spec: { podCIDR: '10.244.0.0/24', podCIDRs: ['10.244.0.0/24'] },
    status: {
      addresses: [
        { type: 'InternalIP', address: ipOf(0xc0a80001 + index) },
        { type: 'Hostname', address: name },
      ],
    },
  };
}

/** Services 0 to `count`-1, each with one slice, and `nodes` Nodes. */
export function fillStore(
  store: ApiStore,
  { count, endpoints = 10, nodes = 3 }: { count: number; endpoints?: number; nodes?: number },
): void {
  for (let index = 0; index < nodes; index++) store.put('nodes', makeNode(index));
  for (let index = 0; index < count; index++) {
    store.put('services', makeService(index));
    store.put('endpointslices', makeSlice(index, { endpoints }));
  }
}

function ipOf(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

function uidOf(count: number): string {
  return `11111111-1111-4111-8111-${count.toString(16).padStart(12, '0')}`;
}
