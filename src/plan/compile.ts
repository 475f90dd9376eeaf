// Compiles Services into what this node must do for them: frontends, their real servers for each class of clients, masquerading. All policy
// is decided here and in categorize.ts. Pure and deterministic: the same facts give the same plan, in whatever order they came.
// Source: kube-proxy 1.36 (all Linux modes agree on these answers); spec of the service model, 1.2 to 1.4.

import { endpointsOf, type Endpoint, type SliceRecord } from '../model/endpoints.ts';
import { compareIp, compareText, familyOf, type Family, type IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import { packed } from '../model/interner.ts';
import type { Problem } from '../model/problem.ts';
import { sourceRangesOf, type ServicePortRecord, type ServiceRecord } from '../model/service.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { categorizeEndpoints, isLocal, type EndpointPolicy } from './categorize.ts';
import { orderForNode } from './order.ts';
import type {
  ForwardingPlan,
  LocalEndpoint,
  Masquerade,
  NodeOptions,
  RealServer,
  Selection,
  ServicePlan,
  VirtualServer,
  VirtualServerKind,
} from './plan.ts';

/** Virtual servers of one Service; more are left out. Far above real Services, and a bound on ports times addresses. */
export const MAX_VIRTUAL_SERVERS = 65_536;
/** Endpoints of one Service port and family; more are left out. */
export const MAX_ENDPOINTS_PER_PORT = 65_536;
/** Above this number of endpoints of one port and family the plan warns: Kubernetes itself is tested with up to 5,000. */
export const MANY_ENDPOINTS_PER_PORT = 5000;

const REJECT: Selection = Object.freeze({ verdict: 'reject' });
const DROP: Selection = Object.freeze({ verdict: 'drop' });

/** The plan of the whole node. The map holds critical Services first, then all others, each sorted by key. */
export function compile(snapshot: Snapshot, options: NodeOptions): ForwardingPlan {
  const critical = new Map<ServiceKey, ServicePlan>();
  const others = new Map<ServiceKey, ServicePlan>();
  for (const key of [...snapshot.services()].sort(compareText)) {
    const entry = snapshot.get(key);
    if (entry === undefined) continue;
    const plan = compileService(entry.service, entry.slices, options);
    (plan.isCritical ? critical : others).set(key, plan);
  }
  return { node: options, services: new Map([...critical, ...others]) };
}

/** The plan of one Service. `slices` are those of this Service, in any order. */
export function compileService(
  record: ServiceRecord,
  slices: readonly SliceRecord[],
  options: NodeOptions,
): ServicePlan {
  const problems: Problem[] = [];
  const virtualServers: VirtualServer[] = [];
  const localEndpoints = new Map<string, LocalEndpoint>();
  const families = forwardedFamilies(record, options);
  for (const port of record.ports) {
    const frontends: VirtualServer[] = [];
    for (const family of families) {
      const endpoints = limitEndpoints(
        record,
        port,
        family,
        endpointsOf(slices, port.name, port.protocol, family),
        problems,
      );
      addLocalEndpoints(localEndpoints, endpoints, family, port, options.nodeName);
      frontends.push(...compilePort(record, port, family, endpoints, options));
    }
    frontends.sort(compareFrontends);
    if (virtualServers.length + frontends.length > MAX_VIRTUAL_SERVERS) {
      problems.push(tooManyFrontends(record, port));
      break;
    }
    for (const frontend of frontends) virtualServers.push(frontend);
  }
  return {
    key: record.key,
    createdAtMs: record.createdAtMs,
    isCritical: record.isCritical,
    virtualServers: packed(virtualServers),
    localEndpoints: packed([...localEndpoints.values()]),
    problems: packed(problems),
  };
}

/** The families that the node forwards and the Service has a cluster IP of, in the order of NodeOptions.families. */
export function forwardedFamilies(record: ServiceRecord, options: NodeOptions): Family[] {
  return options.families.filter((family) =>
    record.clusterIPs.some((address) => familyOf(address) === family),
  );
}

/** What categorizeEndpoints asks about a port of a Service in one family. */
export function endpointPolicy(
  record: ServiceRecord,
  port: ServicePortRecord,
  family: Family,
): EndpointPolicy {
  const hasOfFamily = (addresses: readonly IpAddress[]): boolean =>
    addresses.some((one) => familyOf(one) === family);
  return {
    isInternalLocal: record.isInternalLocal,
    isExternalLocal: record.isExternalLocal,
    isExternallyAccessible:
      port.nodePort !== 0 || hasOfFamily(record.externalIPs) || hasOfFamily(record.loadBalancerIPs),
  };
}

/** All frontends of one port in one family. */
function compilePort(
  record: ServiceRecord,
  port: ServicePortRecord,
  family: Family,
  endpoints: readonly Endpoint[],
  options: NodeOptions,
): VirtualServer[] {
  const policy = endpointPolicy(record, port, family);
  const { cluster, local, hasAny } = categorizeEndpoints(endpoints, policy, options);
  const select = (usable: readonly Endpoint[]): Selection => {
    if (usable.length === 0) return hasAny ? DROP : REJECT;
    return { verdict: 'forward', realServers: realServersOf(usable, options.nodeName) };
  };
  // One object for each list: frontends with the same answer share it.
  const forCluster = select(cluster);
  const forLocal = policy.isInternalLocal || policy.isExternalLocal ? select(local) : forCluster;
  const shared = {
    portName: port.name,
    family,
    protocol: port.protocol,
    scheduler: options.scheduler,
    affinitySeconds: record.affinitySeconds,
  };
  const internal = record.isInternalLocal ? forLocal : forCluster;
  const frontends: VirtualServer[] = [];
  for (const address of record.clusterIPs) {
    if (familyOf(address) !== family) continue;
    frontends.push({
      kind: 'ClusterIP',
      ...shared,
      address,
      port: port.port,
      internal,
      external: internal,
      masquerade: clusterIpMasquerade(options, family),
      sourceRanges: null,
    });
  }

  const outside = {
    ...shared,
    // Clients inside the cluster reach external addresses as if the policy were Cluster: they need no way in.
    internal: forCluster,
    external: record.isExternalLocal ? forLocal : forCluster,
    masquerade: record.isExternalLocal ? ('none' as const) : ('all' as const),
  };
  const add = (
    kind: VirtualServerKind,
    addresses: readonly IpAddress[],
    sourceRanges: VirtualServer['sourceRanges'],
  ): void => {
    for (const address of addresses) {
      if (familyOf(address) === family)
        frontends.push({ kind, ...outside, address, port: port.port, sourceRanges });
    }
  };
  add('ExternalIP', record.externalIPs, null);
  add('LoadBalancerIP', record.loadBalancerIPs, sourceRangesOf(record, family));
  if (port.nodePort !== 0) {
    frontends.push({ kind: 'NodePort', ...outside, address: null, port: port.nodePort, sourceRanges: null });
  }
  return frontends;
}

function clusterIpMasquerade(options: NodeOptions, family: Family): Masquerade {
  if (options.masqueradeAll) return 'all';
  const detector = options.localDetector;
  switch (detector.kind) {
    case 'none':
      return 'none';
    case 'cidr':
      return (family === 'IPv4' ? detector.ipv4 : detector.ipv6) === null ? 'none' : 'nonLocal';
    case 'bridge':
    case 'interfacePrefix':
      return 'nonLocal';
  }
}

function realServersOf(endpoints: readonly Endpoint[], nodeName: string): RealServer[] {
  return orderForNode(endpoints, nodeName).map((endpoint) => ({
    address: endpoint.address,
    port: endpoint.port,
    weight: 1,
    isLocal: isLocal(endpoint, nodeName),
  }));
}

function addLocalEndpoints(
  to: Map<string, LocalEndpoint>,
  endpoints: readonly Endpoint[],
  family: Family,
  { protocol }: ServicePortRecord,
  nodeName: string,
): void {
  for (const endpoint of endpoints) {
    if (!isLocal(endpoint, nodeName)) continue;
    const { address, port } = endpoint;
    to.set(`${protocol} ${address} ${port}`, { family, protocol, address, port });
  }
}

const KIND_ORDER: Record<VirtualServerKind, number> = {
  ClusterIP: 0,
  ExternalIP: 1,
  LoadBalancerIP: 2,
  NodePort: 3,
};

/** Order of the frontends of one port: kind, family, address. */
function compareFrontends(a: VirtualServer, b: VirtualServer): number {
  const byKind = KIND_ORDER[a.kind] - KIND_ORDER[b.kind] || compareText(a.family, b.family);
  return byKind !== 0 || a.address === null || b.address === null ? byKind : compareIp(a.address, b.address);
}

function limitEndpoints(
  record: ServiceRecord,
  port: ServicePortRecord,
  family: Family,
  endpoints: readonly Endpoint[],
  problems: Problem[],
): readonly Endpoint[] {
  const count = endpoints.length;
  if (count <= MANY_ENDPOINTS_PER_PORT) return endpoints;
  const isTooMany = count > MAX_ENDPOINTS_PER_PORT;
  const consequence = isTooMany
    ? `only the first ${MAX_ENDPOINTS_PER_PORT} are used`
    : 'all are used, but changes are slow';
  problems.push({
    object: `Service ${record.key}`,
    field: '',
    reason: 'LimitExceeded',
    message: `port ${port.port} ${port.protocol} has ${count} ${family} endpoints: ${consequence}`,
    remedy: 'spread the pods over several Services',
  });
  return isTooMany ? endpoints.slice(0, MAX_ENDPOINTS_PER_PORT) : endpoints;
}

function tooManyFrontends(record: ServiceRecord, port: ServicePortRecord): Problem {
  return {
    object: `Service ${record.key}`,
    field: 'spec.ports',
    reason: 'LimitExceeded',
    message: `ports times addresses are more than ${MAX_VIRTUAL_SERVERS}: port ${port.port} ${port.protocol} and later ones are left out`,
    remedy: 'spread the ports or addresses over several Services',
  };
}
