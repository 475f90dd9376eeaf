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
  const usesCluster = usesClusterEndpoints(policy);
  const usesLocal = usesLocalEndpoints(policy);
  const leftOut: LeftOutEndpoint[] = [];
  const add = ({ address, port }: Endpoint, policyName: LeftOutEndpoint['policy'], reason: Reason): void => {
    leftOut.push({ portName, protocol, address, port, policy: policyName, reason });
  };
  // Both lists keep the order of `endpoints`: one that is not the next in a list is not in it.
  let nextInCluster = 0;
  let nextInLocal = 0;
  for (const endpoint of endpoints) {
    if (chosen.cluster[nextInCluster] === endpoint) nextInCluster++;
    else if (usesCluster) add(endpoint, 'Cluster', reasonUnderCluster(endpoint, chosen.topology));
    if (chosen.local[nextInLocal] === endpoint) nextInLocal++;
    else if (usesLocal) add(endpoint, 'Local', reasonUnderLocal(endpoint, node.nodeName));
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
