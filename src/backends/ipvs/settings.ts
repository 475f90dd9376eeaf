// Settings of the IPVS backend that are not part of the plan.

import type { Cidr } from '../../model/ip.ts';
import type { SwitchOptions } from './switches.ts';

export interface IpvsSettings extends SwitchOptions {
  /** 1 << iptables.masqueradeBit. */
  readonly masqueradeMark: number;
  /** ipvs.excludeCIDRs: virtual servers with an address in one are never deleted. */
  readonly excludeCIDRs: readonly Cidr[];
  /** Monotonic milliseconds, for durations in reports. */
  readonly now: () => number;
  /** Awaited between small pieces of work: gives Node's loop a turn when it was held for long. */
  readonly pace: () => Promise<void>;
}
