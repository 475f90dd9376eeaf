// What the configuration says once every default is filled in and everything is checked: plain data that the daemon runs on.
// How it is read is in table.ts and load.ts. Source of meanings and defaults: KubeProxyConfiguration v1alpha1 (kube-proxy 1.36).

import type { Cidr, IpAddress } from '../model/ip.ts';
import type { Scheduler } from '../model/schedulers.ts';
import type { VModuleItem } from './field-types.ts';

/** Modes that this build can run. */
export const MODES = ['ipvs'] as const;
/** A mode that this build can run. */
export type Mode = (typeof MODES)[number];

/** Values of detectLocalMode. */
export const DETECT_LOCAL_MODES = [
  'ClusterCIDR',
  'NodeCIDR',
  'BridgeInterface',
  'InterfaceNamePrefix',
] as const;
/** One of DETECT_LOCAL_MODES. */
export type DetectLocalMode = (typeof DETECT_LOCAL_MODES)[number];

/** How traffic of pods is told from other traffic. All but 'nodeCIDR' are the plan's LocalDetector as they stand. */
export type DetectLocal =
  | { readonly kind: 'none' }
  | { readonly kind: 'cidr'; readonly ipv4: Cidr | null; readonly ipv6: Cidr | null }
  /** By spec.podCIDRs of this node's Node object. */
  | { readonly kind: 'nodeCIDR' }
  | { readonly kind: 'bridge'; readonly interfaceName: string }
  | { readonly kind: 'interfacePrefix'; readonly prefix: string };

/** Where a server listens. */
export interface SocketAddress {
  readonly address: IpAddress;
  /** 1 to 65535. */
  readonly port: number;
}

/** The configuration of the proxy. Every field has a value. */
export interface Config {
  readonly mode: Mode;
  /** Name of the Node, trimmed and in lower case; '' = the name of the host. */
  readonly hostnameOverride: string;
  readonly bindAddress: IpAddress;
  /** null: no health server. */
  readonly healthzBindAddress: SocketAddress | null;
  readonly metricsBindAddress: SocketAddress;
  readonly bindAddressHardFail: boolean;
  readonly enableProfiling: boolean;
  readonly showHiddenMetricsForVersion: string;
  readonly clientConnection: {
    readonly kubeconfig: string;
    readonly acceptContentTypes: string;
    readonly contentType: string;
    readonly qps: number;
    readonly burst: number;
  };
  readonly logging: {
    readonly format: 'text' | 'json';
    readonly flushFrequencyMs: number;
    readonly verbosity: number;
    readonly vmodule: readonly VModuleItem[];
  };
  readonly featureGates: Readonly<Record<string, boolean>>;
  readonly ipvs: {
    readonly scheduler: Scheduler;
    readonly excludeCIDRs: readonly Cidr[];
    readonly strictARP: boolean;
    /** 0 = nothing said: 9,000 in place of the kernel's own 900, any other value is left. For the next two, 0 = leave. */
    readonly tcpTimeoutSeconds: number;
    readonly tcpFinTimeoutSeconds: number;
    readonly udpTimeoutSeconds: number;
  };
  /** Everything is checked anew after this long. */
  readonly syncPeriodMs: number;
  /** Least time between two syncs, 0 = none. */
  readonly minSyncPeriodMs: number;
  readonly masqueradeAll: boolean;
  /** Bit of the packet mark, 0 to 31. */
  readonly masqueradeBit: number;
  readonly detectLocalMode: DetectLocalMode;
  readonly detectLocal: DetectLocal;
  readonly clusterCIDRs: { readonly ipv4: Cidr | null; readonly ipv6: Cidr | null };
  /** Who may use load-balancer IPs of a family for which source ranges are given only in the other. */
  readonly otherFamilySourceRanges: 'Allow' | 'Deny';
  /** Whether the kernel keeps counters and rates of virtual and real servers; Auto: off only where that would delay packets. */
  readonly estimation: 'Auto' | 'On' | 'Off';
  /** The API server's --service-node-port-range, both ends included: by it a kube-proxy's virtual servers are known. */
  readonly nodePorts: { readonly first: number; readonly last: number };
  /** How long connections to servers that go are kept where the Service does not say; 0 = not at all. */
  readonly drainTimeoutMs: number;
  /** Metrics of the traffic of each Service, of at most so many (1 to 10,000). */
  readonly serviceTraffic: { readonly isOn: boolean; readonly maxServices: number };
  /** Where NodePorts answer; [] = on all addresses, 'primary' = on the Node's own. */
  readonly nodePortAddresses: readonly Cidr[] | 'primary';
  /** -1000 to 1000. */
  readonly oomScoreAdj: number;
  readonly configSyncPeriodMs: number;
  readonly conntrack: {
    /** 0 = leave nf_conntrack_max alone. */
    readonly maxPerCore: number;
    readonly min: number;
    /** 0 = leave; so with the next three. */
    readonly tcpEstablishedTimeoutSeconds: number;
    readonly tcpCloseWaitTimeoutSeconds: number;
    readonly udpTimeoutSeconds: number;
    readonly udpStreamTimeoutSeconds: number;
    readonly tcpBeLiberal: boolean;
  };
}
