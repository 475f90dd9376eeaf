// Which endpoints of one Service port may be used, for whom: readiness, termination, traffic policies and topology hints in one pure
// function. Everything else in plan/ and all backends rely on its answer and decide nothing of the kind again.
// Source: kube-proxy 1.36 (topology.go), KEP-1669 (terminating endpoints), KEP-2433 and KEP-3015 (hints); spec of the service model, 1.4, 1.5.

import { CONDITION } from '../model/endpoint-slice.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoints.ts';
import { compareText } from '../model/ip.ts';

/** What of a Service port decides about endpoints. */
export interface EndpointPolicy {
  /** internalTrafficPolicy is Local. */
  readonly isInternalLocal: boolean;
  /** externalTrafficPolicy is Local. */
  readonly isExternalLocal: boolean;
  /** The port has a node port, an external IP or a load-balancer IP of the family: clients outside can reach it. */
  readonly isExternallyAccessible: boolean;
}

/** Which hints narrowed the cluster list. */
export type TopologyMode = 'none' | 'PreferSameNode' | 'PreferSameZone';

/** The answer; all lists keep the order of the input. */
export interface CategorizedEndpoints {
  /**
   * For clients under a Cluster policy, and for clients inside the cluster under externalTrafficPolicy Local. Empty when no policy asks
   * for it.
   */
  readonly cluster: readonly Endpoint[];
  /** For clients under a Local policy: endpoints on this node. Empty when no policy asks for it. */
  readonly local: readonly Endpoint[];
  /** Every endpoint that some client can reach from this node: the union of both lists, sorted as the input is. */
  readonly allReachable: readonly Endpoint[];
  /**
   * True when a usable endpoint exists anywhere. When false every client is refused; when true but a list is empty, its clients are
   * dropped.
   */
  readonly hasAny: boolean;
  readonly topology: TopologyMode;
}

const NONE: readonly Endpoint[] = Object.freeze([]);
const NOTHING: CategorizedEndpoints = {
  cluster: NONE,
  local: NONE,
  allReachable: NONE,
  hasAny: false,
  topology: 'none',
};

/**
 * Decides which of the endpoints of one Service port are used from this node. `endpoints` is sorted by `formatEndpoint` and without
 * repetition (`endpointsOf` makes it so).
 *
 * An endpoint is usable when it is ready. Where a list would have none that is ready, those that are terminating and still serving stand
 * in: for the cluster list when none is ready anywhere, for the local list when none on this node is; each list falls back by itself.
 * Hints narrow the cluster list only, and only when every ready endpoint has hints of that kind and one is meant for this node or zone.
 */
export function categorizeEndpoints(
  endpoints: readonly Endpoint[],
  policy: EndpointPolicy,
  node: { readonly nodeName: string; readonly zone: string },
): CategorizedEndpoints {
  if (endpoints.length === 0) return NOTHING;
  const usesLocal = usesLocalEndpoints(policy);
  const usesCluster = usesClusterEndpoints(policy);
  const ready = endpoints.filter(isReady);

  const topology = usesCluster ? topologyMode(ready, node) : 'none';
  const cluster = usesCluster ? withFallback(preferred(ready, topology, node), endpoints) : NONE;
  if (!usesLocal)
    return { cluster, local: NONE, allReachable: cluster, hasAny: cluster.length > 0, topology };

  const onThisNode = endpoints.filter((endpoint) => isLocal(endpoint, node.nodeName));
  const local = withFallback(onThisNode.filter(isReady), onThisNode);
  const hasAny = ready.length > 0 || endpoints.some(isServingWhileTerminating);
  const allReachable = usesCluster ? union(cluster, local) : local;
  return { cluster, local, allReachable, hasAny, topology };
}

/** True when some clients come under a Cluster policy; under externalTrafficPolicy Local those inside the cluster do. */
export function usesClusterEndpoints(policy: EndpointPolicy): boolean {
  return !policy.isInternalLocal || policy.isExternallyAccessible;
}

/** True when some clients come under a Local policy. */
export function usesLocalEndpoints(policy: EndpointPolicy): boolean {
  return policy.isInternalLocal || (policy.isExternalLocal && policy.isExternallyAccessible);
}

/** True when the endpoint runs on the node of that name; never when either name is unknown. */
export function isLocal(endpoint: Endpoint, nodeName: string): boolean {
  return nodeName !== '' && endpoint.nodeName === nodeName;
}

/** True for an endpoint that takes connections in normal operation. */
export function isReady(endpoint: Endpoint): boolean {
  return (endpoint.conditions & CONDITION.READY) !== 0;
}

/** True for an endpoint that is going away and may stand in as long as nothing better exists. */
export function isServingWhileTerminating(endpoint: Endpoint): boolean {
  const both = CONDITION.SERVING | CONDITION.TERMINATING;
  return (endpoint.conditions & both) === both;
}

/** The kind of hints to follow, decided on the ready endpoints; never one that would leave none of them. */
function topologyMode(
  ready: readonly Endpoint[],
  node: { readonly nodeName: string; readonly zone: string },
): TopologyMode {
  if (isHintedFor(ready, 'nodeHints', node.nodeName)) return 'PreferSameNode';
  if (isHintedFor(ready, 'zoneHints', node.zone)) return 'PreferSameZone';
  return 'none';
}

/** True when every endpoint has hints of the kind and at least one names `name`. */
function isHintedFor(ready: readonly Endpoint[], kind: 'nodeHints' | 'zoneHints', name: string): boolean {
  return (
    name !== '' &&
    ready.every((endpoint) => endpoint[kind].length > 0) &&
    ready.some((endpoint) => endpoint[kind].includes(name))
  );
}

function preferred(
  ready: readonly Endpoint[],
  mode: TopologyMode,
  node: { readonly nodeName: string; readonly zone: string },
): readonly Endpoint[] {
  switch (mode) {
    case 'none':
      return ready;
    case 'PreferSameNode':
      return ready.filter((endpoint) => endpoint.nodeHints.includes(node.nodeName));
    case 'PreferSameZone':
      return ready.filter((endpoint) => endpoint.zoneHints.includes(node.zone));
  }
}

function withFallback(usable: readonly Endpoint[], scope: readonly Endpoint[]): readonly Endpoint[] {
  return usable.length > 0 ? usable : scope.filter(isServingWhileTerminating);
}

function union(a: readonly Endpoint[], b: readonly Endpoint[]): readonly Endpoint[] {
  const inA = new Set(a);
  const beyond = b.filter((endpoint) => !inA.has(endpoint));
  if (beyond.length === 0) return a;
  const id = ({ address, port }: Endpoint): string => formatEndpoint(address, port);
  return [...a, ...beyond].sort((one, other) => compareText(id(one), id(other)));
}
