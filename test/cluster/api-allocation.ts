// What the fake API server gives a Service that is written: cluster IPs, node ports, defaults; and what it refuses of one. Addresses and
// node ports come from counters. Source: kube-apiserver, pkg/registry/core/service (alloc.go, strategy.go), pkg/apis/core/validation.

import type { ApiResource } from './api-resources.ts';
import { invalid } from './api-status.ts';
import type { ApiStore } from './api-store.ts';

type Fields = Record<string, any>;

const DEFAULT_CIDRS = ['10.96.0.0/16'];
const FIRST_NODE_PORT = 30_000;

/** See above. */
export class ServiceAllocation {
  private readonly store: ApiStore;
  private allocated = 0;

  constructor(store: ApiStore) {
    this.store = store;
  }

  /** The Service as it will be kept; `before`: as it was, null for a new one. Throws Refusal. */
  complete(resource: ApiResource, name: string, given: Fields, before: Fields | null): Fields {
    const spec = { ...(given['spec'] as Fields | undefined) };
    const isHeadless = spec['clusterIP'] === 'None';
    const ports = (spec['ports'] ?? []) as Fields[];
    if (ports.length === 0 && !isHeadless) throw invalid(resource, name, 'spec.ports: Required value');
    if (ports.length > 1 && ports.some((port) => port['name'] === undefined))
      throw invalid(resource, name, 'spec.ports[0].name: Required value');
    const old = before?.['spec'] as Fields | undefined;
    if (old !== undefined && spec['clusterIP'] !== undefined && spec['clusterIP'] !== old['clusterIP'])
      throw invalid(
        resource,
        name,
        `spec.clusterIPs[0]: Invalid value: ${JSON.stringify([spec['clusterIP']])}: may not change once set`,
      );
    const clusterIPs = (old?.['clusterIPs'] ??
      (isHeadless ? ['None'] : this.allocate(resource, name, spec))) as string[];
    const type = (spec['type'] ?? 'ClusterIP') as string;
    const hasNodePorts = type === 'NodePort' || type === 'LoadBalancer';
    return {
      ...given,
      spec: {
        ...spec,
        type,
        clusterIP: clusterIPs[0],
        clusterIPs,
        ipFamilies: clusterIPs.map((address) => (address.includes(':') ? 'IPv6' : 'IPv4')),
        ipFamilyPolicy: (spec['ipFamilyPolicy'] ?? 'SingleStack') as string,
        sessionAffinity: (spec['sessionAffinity'] ?? 'None') as string,
        internalTrafficPolicy: (spec['internalTrafficPolicy'] ?? 'Cluster') as string,
        ports: ports.map((port) => ({
          protocol: 'TCP',
          targetPort: port['port'],
          ...(hasNodePorts ? { nodePort: FIRST_NODE_PORT + ++this.allocated } : {}),
          ...port,
        })),
      },
      status: { loadBalancer: {} },
    };
  }

  /** Out of the ranges of the ServiceCIDRs, as since 1.33; an IPv4 one where there are none. */
  private allocate(resource: ApiResource, name: string, spec: Fields): string[] {
    const listed = [...this.store.objectsOf('servicecidrs').values()].flatMap(
      (object: Fields) => (object['spec']?.cidrs ?? []) as string[],
    );
    const cidrs = listed.length === 0 ? DEFAULT_CIDRS : listed;
    const policy = (spec['ipFamilyPolicy'] ?? 'SingleStack') as string;
    if (policy === 'RequireDualStack' && cidrs.length < 2)
      throw invalid(
        resource,
        name,
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
      );
    this.allocated++;
    return cidrs
      .slice(0, policy === 'SingleStack' ? 1 : 2)
      .map((cidr) => addressIn(cidr, 256 + this.allocated));
  }
}

/** The address at a place of a range whose own address ends in ".0.0" or "::". */
function addressIn(cidr: string, place: number): string {
  const [base = ''] = cidr.split('/');
  return base.includes(':')
    ? `${base.replace(/::$/, '')}::${place.toString(16)}`
    : base.replace(/\.\d+\.\d+$/, `.${place >> 8}.${place & 255}`);
}
