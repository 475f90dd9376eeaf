// The resources that the fake API server has: where they are served, what their kinds are called, which fields select.
// Source: Kubernetes API v1 (Service, Node, Namespace), discovery.k8s.io/v1 (EndpointSlice), networking.k8s.io/v1 (ServiceCIDR, KEP-1880: v1
// since 1.33), events.k8s.io/v1 (Event).

export type ResourceName = 'services' | 'endpointslices' | 'nodes' | 'servicecidrs' | 'namespaces' | 'events';

/** How a resource is served. */
export interface ApiResource {
  readonly name: ResourceName;
  readonly kind: string;
  readonly group: string;
  readonly apiVersion: string;
  readonly root: string;
  readonly isNamespaced: boolean;
  /** Fields that fieldSelector knows beside metadata.name and metadata.namespace, with the value of one that is not set. */
  readonly fields: Readonly<Record<string, string>>;
  /** What an object of this kind is when nothing of it is set, as bookmarks are. Go's encoder writes lists without omitempty as null. */
  readonly empty: Readonly<Record<string, unknown>>;
}

const resource = (
  name: ResourceName,
  kind: string,
  group: string,
  isNamespaced: boolean,
  fields: Readonly<Record<string, string>>,
  empty: Readonly<Record<string, unknown>>,
): ApiResource => ({
  name,
  kind,
  group,
  apiVersion: group === '' ? 'v1' : `${group}/v1`,
  root: group === '' ? '/api/v1' : `/apis/${group}/v1`,
  isNamespaced,
  fields,
  empty,
});

export const API_RESOURCES: Readonly<Record<ResourceName, ApiResource>> = {
  services: resource(
    'services',
    'Service',
    '',
    true,
    { 'spec.clusterIP': '', 'spec.type': '' },
    { spec: {}, status: { loadBalancer: {} } },
  ),
  endpointslices: resource(
    'endpointslices',
    'EndpointSlice',
    'discovery.k8s.io',
    true,
    {},
    {
      addressType: '',
      endpoints: null,
      ports: null,
    },
  ),
  nodes: resource(
    'nodes',
    'Node',
    '',
    false,
    { 'spec.unschedulable': 'false' },
    {
      spec: {},
      status: { daemonEndpoints: { kubeletEndpoint: { Port: 0 } }, nodeInfo: {} },
    },
  ),
  servicecidrs: resource(
    'servicecidrs',
    'ServiceCIDR',
    'networking.k8s.io',
    false,
    {},
    { spec: {}, status: {} },
  ),
  namespaces: resource('namespaces', 'Namespace', '', false, {}, { spec: {}, status: {} }),
  events: resource(
    'events',
    'Event',
    'events.k8s.io',
    true,
    {},
    {
      eventTime: null,
      regarding: {},
      deprecatedSource: {},
      deprecatedFirstTimestamp: null,
      deprecatedLastTimestamp: null,
    },
  ),
};

/** What a path names: all objects of a resource, those of a namespace, or one. */
export interface ApiTarget {
  readonly resource: ApiResource;
  readonly namespace: string | null;
  readonly name: string | null;
}

/** null: the path names nothing that is served. */
export function findTarget(pathname: string): ApiTarget | null {
  for (const resource of Object.values(API_RESOURCES)) {
    if (!pathname.startsWith(`${resource.root}/`)) continue;
    const parts = pathname
      .slice(resource.root.length + 1)
      .split('/')
      .map(decodeURIComponent);
    const namespace = resource.isNamespaced && parts[0] === 'namespaces' ? (parts[1] ?? '') : null;
    const [plural, name = null, ...rest] = namespace === null ? parts : parts.slice(2);
    if (plural !== resource.name || rest.length > 0) continue;
    if (name !== null && resource.isNamespaced && namespace === null) continue;
    return { resource, namespace, name };
  }
  return null;
}
