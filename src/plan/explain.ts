// Why an endpoint of a Service gets no connections from this node: for people who ask, apart from the path of changes.
// It asks categorize.ts and decides nothing itself.

import { endpointsOf, type Endpoint, type SliceRecord } from '../model/endpoints.ts';
import type { ServiceRecord } from '../model/service.ts';
import {
  categorizeEndpoints,
  isReady,
  isServingWhileTerminating,
  type CategorizedEndpoints,
} from './categorize.ts';
import { endpointPolicy, forwardedFamilies } from './compile.ts';
import type { LeftOutEndpoint, NodeOptions } from './plan.ts';

/**
 * The endpoints that the plan of this Service leaves out of at least one list of clients, with the first reason that holds; in the order
 * of ports, families and endpoints. One that is used by clients inside the cluster but not by others (Local policy) is listed as NotLocal.
 */
export function explainEndpoints(
  record: ServiceRecord,
  slices: readonly SliceRecord[],
  options: NodeOptions,
): LeftOutEndpoint[] {
  const leftOut: LeftOutEndpoint[] = [];
  for (const port of record.ports) {
    for (const family of forwardedFamilies(record, options)) {
      const policy = endpointPolicy(record, port, family);
      const endpoints = endpointsOf(slices, port.name, port.protocol, family);
      const chosen = categorizeEndpoints(endpoints, policy, options);
      const usesCluster = !policy.isInternalLocal || policy.isExternallyAccessible;
      const usesLocal = policy.isInternalLocal || (policy.isExternalLocal && policy.isExternallyAccessible);
      const inCluster = new Set(chosen.cluster);
      const inLocal = new Set(chosen.local);
      for (const endpoint of endpoints) {
        const isUsed = (!usesCluster || inCluster.has(endpoint)) && (!usesLocal || inLocal.has(endpoint));
        if (isUsed) continue;
        const { address, port: targetPort } = endpoint;
        const reason = inCluster.has(endpoint) ? 'NotLocal' : reasonOf(endpoint, chosen.topology);
        leftOut.push({ address, port: targetPort, portName: port.name, reason });
      }
    }
  }
  return leftOut;
}

/** Why an endpoint is not in the cluster list, or in no list. */
function reasonOf(endpoint: Endpoint, topology: CategorizedEndpoints['topology']): LeftOutEndpoint['reason'] {
  if (isReady(endpoint)) {
    if (topology === 'PreferSameNode') return 'OtherNode';
    return topology === 'PreferSameZone' ? 'OtherZone' : 'NotLocal';
  }
  return isServingWhileTerminating(endpoint) ? 'Terminating' : 'NotReady';
}
