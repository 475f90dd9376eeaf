// Why an endpoint of a Service port gets no connections from this node under a traffic policy: for people who ask. It reads the answer of
// categorize.ts and decides nothing itself. Pure.

import type { Endpoint } from '../model/endpoints.ts';
import {
  isLocal,
  isReady,
  isServingWhileTerminating,
  usesClusterEndpoints,
  usesLocalEndpoints,
  type CategorizedEndpoints,
  type EndpointPolicy,
} from './categorize.ts';
import type { LeftOutEndpoint } from './plan.ts';

type Reason = LeftOutEndpoint['reason'];

/**
 * The endpoints that are missing in a list which is in use, with the first reason that holds; in the order of `endpoints`, Cluster before
 * Local. `chosen` is what categorizeEndpoints says of the same endpoints and policy.
 */
export function leftOutEndpoints(
  endpoints: readonly Endpoint[],
  policy: EndpointPolicy,
  chosen: CategorizedEndpoints,
  node: { readonly nodeName: string },
  { name: portName, protocol }: { readonly name: string; readonly protocol: LeftOutEndpoint['protocol'] },
): LeftOutEndpoint[] {
  const isComplete = (list: readonly Endpoint[], isUsed: boolean): boolean =>
    !isUsed || list.length === endpoints.length;
  const usesCluster = usesClusterEndpoints(policy);
  const usesLocal = usesLocalEndpoints(policy);
  if (isComplete(chosen.cluster, usesCluster) && isComplete(chosen.local, usesLocal)) return [];

  const inCluster = new Set(chosen.cluster);
  const inLocal = new Set(chosen.local);
  const leftOut: LeftOutEndpoint[] = [];
  for (const endpoint of endpoints) {
    const { address, port } = endpoint;
    const add = (policyName: LeftOutEndpoint['policy'], reason: Reason): void => {
      leftOut.push({ portName, protocol, address, port, policy: policyName, reason });
    };
    if (usesCluster && !inCluster.has(endpoint))
      add('Cluster', reasonUnderCluster(endpoint, chosen.topology));
    if (usesLocal && !inLocal.has(endpoint)) add('Local', reasonUnderLocal(endpoint, node.nodeName));
  }
  return leftOut;
}

function reasonUnderCluster(endpoint: Endpoint, topology: CategorizedEndpoints['topology']): Reason {
  // A ready endpoint can only be missing because hints prefer others.
  if (isReady(endpoint)) return topology === 'PreferSameNode' ? 'OtherNode' : 'OtherZone';
  return isServingWhileTerminating(endpoint) ? 'Terminating' : 'NotReady';
}

function reasonUnderLocal(endpoint: Endpoint, nodeName: string): Reason {
  if (!isLocal(endpoint, nodeName)) return 'NotLocal';
  return isServingWhileTerminating(endpoint) ? 'Terminating' : 'NotReady';
}
