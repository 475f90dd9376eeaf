// Compiles one Service into what this node must do for it, as if it were alone: who owns an address that several Services claim is settled
// in planner.ts. Pure and deterministic: the same facts give the same plan, in whatever order they came.
// Source: kube-proxy 1.36; spec of the service model, 1.2 to 1.7.

import type { SliceRecord } from '../model/endpoint-slice.ts';
import { endpointsOf, type Endpoint } from '../model/endpoints.ts';
import { familyOf, type Family, type IpAddress } from '../model/ip.ts';
import { packed } from '../model/interner.ts';
import type { Problem } from '../model/problem.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { ServicePortRecord } from '../model/service-ports.ts';
import {
  categorizeEndpoints,
  isLocal,
  isReady,
  usesClusterEndpoints,
  usesLocalEndpoints,
  type EndpointPolicy,
} from './categorize.ts';
import { compareFrontends, endpointPolicy, frontendsOf } from './frontends.ts';
import { leftOutEndpoints } from './left-out.ts';
import type {
  HealthCheck,
  LeftOutEndpoint,
  LocalEndpoint,
  LostVirtualServer,
  NodeOptions,
  ServicePlan,
  VirtualServer,
} from './plan.ts';
import { schedulingOf, unusedWeightsProblem } from './scheduling.ts';
import { otherFamilyProblem } from './source-ranges.ts';

/** Virtual servers of one Service; more are left out. Far above real Services, and a bound on ports times addresses. */
export const MAX_VIRTUAL_SERVERS = 65_536;
/** Endpoints of one Service port and family; more are left out. */
export const MAX_ENDPOINTS_PER_PORT = 65_536;
/** Above this number of endpoints of one port and family the plan warns: Kubernetes itself is tested with up to 5,000. */
export const MANY_ENDPOINTS_PER_PORT = 5000;

const NOTHING_LOST: readonly LostVirtualServer[] = Object.freeze([]);

/** The plan of one Service. `slices` are those of this Service, in any order. */
export function compileService(
  record: ServiceRecord,
  slices: readonly SliceRecord[],
  node: NodeOptions,
): ServicePlan {
  const problems: Problem[] = [];
  const virtualServers: VirtualServer[] = [];
  const leftOut: LeftOutEndpoint[] = [];
  const local = new LocalEndpoints(node.nodeName);
  const families = forwardedFamilies(record, node);
  const scheduling = schedulingOf(record, node, problems);
  let weightsProblem: Problem | null = null;
  for (const port of record.ports) {
    const frontends: VirtualServer[] = [];
    for (const family of families) {
      const all = endpointsOf(slices, port.name, port.protocol, family);
      const policy = endpointPolicy(record, port, family, node);
      const endpoints = limitEndpoints(record, port, family, policy, all, problems, leftOut);
      local.add(endpoints, family, port);
      weightsProblem ??= unusedWeightsProblem(record, scheduling.scheduler, endpoints);
      const chosen = categorizeEndpoints(endpoints, policy, node);
      for (const each of leftOutEndpoints(endpoints, policy, chosen, node, port)) leftOut.push(each);
      frontends.push(...frontendsOf(record, port, family, chosen, scheduling, node));
    }
    frontends.sort(compareFrontends);
    if (virtualServers.length + frontends.length > MAX_VIRTUAL_SERVERS) {
      problems.push(tooManyFrontends(record, port));
      break;
    }
    for (const frontend of frontends) virtualServers.push(frontend);
  }
  for (const family of families) {
    const problem = otherFamilyProblem(record, family, node);
    if (problem !== null) problems.push(problem);
  }
  if (weightsProblem !== null) problems.push(weightsProblem);
  return {
    key: record.key,
    createdAtMs: record.createdAtMs,
    isCritical: record.isCritical,
    virtualServers: packed(virtualServers),
    lost: NOTHING_LOST,
    localEndpoints: local.list(),
    healthCheck: record.healthCheckNodePort === 0 ? null : local.healthCheck(record.healthCheckNodePort),
    ...(record.drainTimeoutSeconds === null ? {} : { drainTimeoutSeconds: record.drainTimeoutSeconds }),
    leftOut: packed(leftOut),
    problems: packed(problems),
  };
}

/** The families that the node forwards and the Service has a cluster IP of, in the order of NodeOptions.families. */
function forwardedFamilies(record: ServiceRecord, node: NodeOptions): Family[] {
  return node.families.filter((family) => record.clusterIPs.some((address) => familyOf(address) === family));
}

/** The endpoints of one Service that run on this node, gathered over its ports and families. */
class LocalEndpoints {
  private readonly nodeName: string;
  private readonly byId = new Map<string, LocalEndpoint>();
  private readonly ready = new Set<IpAddress>();

  constructor(nodeName: string) {
    this.nodeName = nodeName;
  }

  add(endpoints: readonly Endpoint[], family: Family, { protocol }: ServicePortRecord): void {
    for (const endpoint of endpoints) {
      if (!isLocal(endpoint, this.nodeName)) continue;
      const { address, port } = endpoint;
      this.byId.set(`${protocol} ${address} ${port}`, { family, protocol, address, port });
      if (isReady(endpoint)) this.ready.add(address);
    }
  }

  list(): readonly LocalEndpoint[] {
    return packed([...this.byId.values()]);
  }

  /** Two ports of one pod count once; terminating endpoints do not count, since they are not ready. */
  healthCheck(nodePort: number): HealthCheck {
    const ofFamily = (family: Family): number =>
      [...this.ready].filter((address) => familyOf(address) === family).length;
    return { nodePort, localEndpoints: { IPv4: ofFamily('IPv4'), IPv6: ofFamily('IPv6') } };
  }
}

function limitEndpoints(
  record: ServiceRecord,
  port: ServicePortRecord,
  family: Family,
  policy: EndpointPolicy,
  endpoints: readonly Endpoint[],
  problems: Problem[],
  leftOut: LeftOutEndpoint[],
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
  for (const { address, port: number } of endpoints.slice(MAX_ENDPOINTS_PER_PORT)) {
    const { name: portName, protocol } = port;
    const tooMany = { portName, protocol, address, port: number, reason: 'TooMany' } as const;
    if (usesClusterEndpoints(policy)) leftOut.push({ ...tooMany, policy: 'Cluster' });
    if (usesLocalEndpoints(policy)) leftOut.push({ ...tooMany, policy: 'Local' });
  }
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
