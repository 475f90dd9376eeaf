// Settings of the IPVS backend that are not part of the plan.

import type { Cidr } from '../../model/ip.ts';
import type { SwitchOptions } from './switches.ts';

/** The API server's default of --service-node-port-range. */
export const DEFAULT_NODE_PORTS = { first: 30_000, last: 32_767 } as const;

/** `pace` is awaited this often, not at each Service: in some virtual machines asking the clock costs as much as rendering one. */
export const SERVICES_PER_PACE = 16;

export interface IpvsSettings extends SwitchOptions {
  /** The cluster's range of node ports, both ends included; DEFAULT_NODE_PORTS when absent. */
  readonly nodePorts?: { readonly first: number; readonly last: number };
  /** 1 << iptables.masqueradeBit. */
  readonly masqueradeMark: number;
  /** ipvs.excludeCIDRs: virtual servers with an address in one are never deleted. */
  readonly excludeCIDRs: readonly Cidr[];
  /** How long old connections to a server that goes are kept where the Service does not say; 0 = not at all. */
  readonly drainTimeoutMs?: number;
  /** Monotonic milliseconds, for durations in reports and for drains. */
  readonly now: () => number;
  /** Awaited between small pieces of work: gives Node's loop a turn when it was held for long. */
  readonly pace: () => Promise<void>;
}
