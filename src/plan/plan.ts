// The types of the forwarding plan: what this node must do, whatever the backend. Every policy question (which endpoints, for whom,
// masqueraded or not, rejected or dropped) is answered in these values; a backend renders them and adds no policy of its own.
// The unit is one Service: a ForwardingPlan is a map of independent ServicePlans plus what holds for the whole node.

import type { Cidr, Family, IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import type { Scheduler, SchedulerFlag } from '../model/schedulers.ts';
import type { Protocol } from '../model/service-ports.ts';

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
  /** The node's own primary address of each family; at most one of each. */
  readonly nodeIPs: readonly IpAddress[];
  /**
   * All addresses of this machine, without loopback and link-local IPv6 ones and without those that only carry Services (kube-ipvs0). A
   * frontend's address that is among them is the machine's own already: a backend must not add or remove it. Without duplicates, sorted.
   */
  readonly localAddresses: readonly IpAddress[];
  /** Addresses on which NodePorts answer, both families, without duplicates, sorted by family and then by address bytes. */
  readonly nodePortAddresses: readonly IpAddress[];
  /** IPv4 loopback networks on which NodePorts answer, too: only mode iptables can do that. Sorted. */
  readonly nodePortLoopbacks: readonly Cidr[];
  /** False: spec.externalIPs count for nothing (feature gate AllowServiceExternalIPs). */
  readonly allowsExternalIPs: boolean;
  /** Who may use the load-balancer IPs of a family when source ranges are given, but none of that family: everybody or nobody. */
  readonly otherFamilySourceRanges: 'Allow' | 'Deny';
  /** Scheduler of virtual servers whose Service names none. */
  readonly scheduler: Scheduler;
  /** Schedulers that this node's kernel turned out not to have: Services that name one get `scheduler`. Sorted. */
  readonly missingSchedulers: readonly Scheduler[];
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
  /** 0 to 65535; 0 takes no new connections, whatever the scheduler. */
  readonly weight: number;
  /** True when the endpoint runs on this node. */
  readonly isLocal: boolean;
}

/** A traffic policy as it applies to one class of clients: all usable endpoints, or only those on this node. */
export type TrafficPolicy = 'Cluster' | 'Local';

/** What happens to a new connection of one class of clients, under the traffic policy that applies to them. */
export type Selection =
  /** Sent to one of these, never empty, in the order in which they are to be added. */
  | {
      readonly policy: TrafficPolicy;
      readonly verdict: 'forward';
      readonly realServers: readonly RealServer[];
    }
  /** Refused at once (ICMP port unreachable): the Service port has no usable endpoint anywhere. It is so for all clients or for none. */
  | { readonly policy: TrafficPolicy; readonly verdict: 'reject' }
  /** Dropped silently: endpoints exist, but none that the policy allows for these clients. */
  | { readonly policy: TrafficPolicy; readonly verdict: 'drop' };

/**
 * The three kinds of clients of which policies speak. pod: the node's LocalDetector knows the packet as one of a pod (where there is no
 * detector, nobody is). node: a process of this node itself. outside: everybody else, also pods that no detector knows.
 */
export type ClientKind = 'pod' | 'node' | 'outside';

/**
 * Which kinds of clients have their source address replaced by the node's on the way to a real server. (Hairpin, an endpoint reaching
 * itself, is always masqueraded.)
 */
export type Masquerade = 'none' | 'node' | 'nonPods' | 'all';

/** Who may use a load-balancer IP; everybody else is dropped. */
export interface AllowedSources {
  /** loadBalancerSourceRanges of the family. */
  readonly cidrs: readonly Cidr[];
  /**
   * Load-balancer IPs of the Service that count as sources beside `cidrs`: a connection of this node itself to such an address may have
   * it as its source, too. Empty unless the node's own IP is in one of `cidrs`.
   */
  readonly ownAddresses: readonly IpAddress[];
}

/** One frontend of a Service port: connections to `address`:`port` are balanced over its selection. */
export interface VirtualServer {
  readonly kind: VirtualServerKind;
  /** Name of the Service port, '' for an unnamed one. */
  readonly portName: string;
  readonly family: Family;
  readonly protocol: Protocol;
  /** null for kind NodePort: each of NodeOptions.nodePortAddresses of this family that is not in `exceptAddresses`. */
  readonly address: IpAddress | null;
  /** Only of kind NodePort: addresses on which this port belongs to another virtual server. */
  readonly exceptAddresses: readonly IpAddress[];
  /** The Service port, or the nodePort for kind NodePort. */
  readonly port: number;
  readonly scheduler: Scheduler;
  /** Without repetition, sorted. */
  readonly schedulerFlags: readonly SchedulerFlag[];
  /** ClientIP affinity in seconds, 0 = none. */
  readonly affinitySeconds: number;
  /** For pods and for this node. */
  readonly internal: Selection;
  /** For clients outside. The same object as `internal` where the policies do not differ. */
  readonly external: Selection;
  readonly masquerade: Masquerade;
  /** null = everybody. Only LoadBalancerIP frontends restrict sources. A selection that rejects rejects everybody, whatever stands here. */
  readonly allowedSources: AllowedSources | null;
}

/** An endpoint that the plan leaves out of the list of a traffic policy that is in use, and why. */
export interface LeftOutEndpoint {
  readonly portName: string;
  readonly protocol: Protocol;
  readonly address: IpAddress;
  readonly port: number;
  readonly policy: TrafficPolicy;
  /**
   * NotReady: not ready, and not serving while terminating. Terminating: it serves while terminating, but ready ones exist. NotLocal: it
   * runs on another node. OtherNode, OtherZone: hints reserve it for others. TooMany: beyond the limit on endpoints of one port.
   */
  readonly reason: 'NotReady' | 'Terminating' | 'NotLocal' | 'OtherNode' | 'OtherZone' | 'TooMany';
}

/** A frontend, or the health-check port, that the Service asks for and another Service owns, because that one is older. */
export interface LostVirtualServer {
  /** As `virtualServerId` spells it; "HealthCheckNodePort TCP *:32000". */
  readonly id: string;
  /** The addresses in question for a NodePort that keeps others; empty = all of it is lost. */
  readonly addresses: readonly IpAddress[];
  readonly owner: ServiceKey;
}

/** What the health-check port of a Service answers on this node. */
export interface HealthCheck {
  /** 1 to 65535. */
  readonly nodePort: number;
  /** Distinct addresses of endpoints on this node that are ready, over all ports. */
  readonly localEndpoints: Readonly<Record<Family, number>>;
}

/** Everything this node does for one Service. */
export interface ServicePlan {
  readonly key: ServiceKey;
  /** Orders claims on one address and port: creation time (ms since the epoch, 0 = unknown), then key. Smaller wins. */
  readonly createdAtMs: number;
  /** True for default/kubernetes and for cluster DNS: programmed before all others. */
  readonly isCritical: boolean;
  /** Those it owns, in a deterministic order: Service port order, then ClusterIP, ExternalIP, LoadBalancerIP, NodePort, then family, then address. */
  readonly virtualServers: readonly VirtualServer[];
  /** Those it would have if others did not own them, in the same order. */
  readonly lost: readonly LostVirtualServer[];
  /** Endpoints on this node, ready or not, of every port: where hairpin traffic nearly always is (others reach it by a detour only). */
  readonly localEndpoints: readonly LocalEndpoint[];
  readonly healthCheck: HealthCheck | null;
  /** How long connections to servers that go are kept, in seconds; 0 = not at all. Absent: as the node says. */
  readonly drainTimeoutSeconds?: number;
  /** In the order of ports, families, endpoints and policies. */
  readonly leftOut: readonly LeftOutEndpoint[];
  /** Found while compiling (limits, conflicts, settings); what is wrong with the objects themselves is in Snapshot.problems. */
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
