// The types of the forwarding plan: what this node must do, whatever the backend. Every policy question (which endpoints, for whom,
// masqueraded or not, rejected or dropped) is answered in these values; a backend renders them and adds no policy of its own.
// The unit is one Service: a ForwardingPlan is a map of independent ServicePlans plus what holds for the whole node.

import type { Cidr, Family, IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import type { Protocol } from '../model/service.ts';

/** How traffic of pods is told from traffic that enters the cluster; decides who is masqueraded on the way to a ClusterIP. */
export type LocalDetector =
  | { readonly kind: 'none' }
  /** Sources inside the CIDR of their family are pods; a family without a CIDR has no detector. */
  | { readonly kind: 'cidr'; readonly ipv4: Cidr | null; readonly ipv6: Cidr | null }
  /** Packets that enter by this bridge come from pods. */
  | { readonly kind: 'bridge'; readonly interfaceName: string }
  /** Packets that enter by an interface whose name begins so come from pods. */
  | { readonly kind: 'interfacePrefix'; readonly prefix: string };

/** Facts and settings of this node that the compiler needs. Plain values: nothing is looked up while compiling. */
export interface NodeOptions {
  readonly nodeName: string;
  /** Value of the node's label topology.kubernetes.io/zone; '' when it has none. */
  readonly zone: string;
  /** The families this node forwards; frontends of other families are left out without a problem entry. */
  readonly families: readonly Family[];
  /** Addresses on which NodePorts answer, both families, without duplicates, sorted by family and then by address bytes. */
  readonly nodePortAddresses: readonly IpAddress[];
  /** Scheduler of virtual servers whose Service names none, e.g. 'rr'. */
  readonly scheduler: string;
  /** Masquerade everything that goes to a ClusterIP. */
  readonly masqueradeAll: boolean;
  readonly localDetector: LocalDetector;
}

/** Where a virtual server comes from in the Service. */
export type VirtualServerKind = 'ClusterIP' | 'ExternalIP' | 'LoadBalancerIP' | 'NodePort';

/** One endpoint as a target: an address and port that connections are sent to. */
export interface RealServer {
  readonly address: IpAddress;
  /** 1 to 65535. */
  readonly port: number;
  /** 0 to 65535; 0 takes no new connections. */
  readonly weight: number;
  /** True when the endpoint runs on this node (hairpin traffic to it must be masqueraded). */
  readonly isLocal: boolean;
}

/** What happens to a new connection of one class of clients. */
export type Selection =
  /** Sent to one of these, never empty, in the order in which they are to be added. */
  | { readonly verdict: 'forward'; readonly realServers: readonly RealServer[] }
  /** Refused at once (ICMP port unreachable): the Service has no usable endpoint anywhere. */
  | { readonly verdict: 'reject' }
  /** Dropped silently: endpoints exist, but a Local traffic policy allows none of them for these clients. */
  | { readonly verdict: 'drop' };

/**
 * Whose source address is replaced by the node's on the way to a real server: nobody's; that of sources which the node's
 * LocalDetector does not know as pods; or everybody's. (Hairpin, an endpoint reaching itself, is always masqueraded: see
 * ServicePlan.localEndpoints.)
 */
export type Masquerade = 'none' | 'nonLocal' | 'all';

/** One frontend of a Service port: connections to `address`:`port` are balanced over its selection. */
export interface VirtualServer {
  readonly kind: VirtualServerKind;
  /** Name of the Service port, '' for an unnamed one. */
  readonly portName: string;
  readonly family: Family;
  readonly protocol: Protocol;
  /** null for kind NodePort: each of NodeOptions.nodePortAddresses of this family. */
  readonly address: IpAddress | null;
  /** The Service port, or the nodePort for kind NodePort. */
  readonly port: number;
  /** Kernel scheduler name, at most 15 characters of [a-z0-9-]. */
  readonly scheduler: string;
  /** ClientIP affinity in seconds, 0 = none. */
  readonly affinitySeconds: number;
  /** For clients inside the cluster (pods and this node). */
  readonly internal: Selection;
  /** For everybody else. The same object as `internal` where the policies do not differ. */
  readonly external: Selection;
  readonly masquerade: Masquerade;
  /** Sources allowed in: null = all, empty = none. Only LoadBalancerIP frontends have any. */
  readonly sourceRanges: readonly Cidr[] | null;
}

/** An endpoint that compile looked at and left out of a list, and why. */
export interface LeftOutEndpoint {
  readonly address: IpAddress;
  readonly port: number;
  readonly portName: string;
  readonly reason: 'NotReady' | 'OtherZone' | 'OtherNode' | 'NotLocal' | 'Terminating';
}

/** Everything this node does for one Service. */
export interface ServicePlan {
  readonly key: ServiceKey;
  /** Orders claims on one address and port: creation time (ms since the epoch, 0 = unknown), then key. Smaller wins. */
  readonly createdAtMs: number;
  /** True for default/kubernetes and for cluster DNS: programmed before all others. */
  readonly isCritical: boolean;
  /** In a deterministic order: Service port order, then ClusterIP, ExternalIP, LoadBalancerIP, NodePort, then family, then address. */
  readonly virtualServers: readonly VirtualServer[];
  /** Endpoints on this node, ready or not, of every port: hairpin traffic to them is masqueraded. */
  readonly localEndpoints: readonly LocalEndpoint[];
  /** Found while compiling (limits); what is wrong with the objects themselves is in Snapshot.problems. */
  readonly problems: readonly Problem[];
}

/** See ServicePlan.localEndpoints. */
export interface LocalEndpoint {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly address: IpAddress;
  readonly port: number;
}

/** The plan of a whole node. */
export interface ForwardingPlan {
  readonly node: NodeOptions;
  /** Critical Services first, then all others, each sorted by key. */
  readonly services: ReadonlyMap<ServiceKey, ServicePlan>;
}
