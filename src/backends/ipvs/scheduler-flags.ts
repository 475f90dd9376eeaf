// The scheduler flags of a virtual server, between the plan's names and the bits of the kernel. Pure.

import { SERVICE_FLAG } from '../../kernel/ipvs-codec.ts';
import type { SchedulerFlag } from '../../model/schedulers.ts';

const BITS: Readonly<Record<SchedulerFlag, number>> = {
  'flag-1': SERVICE_FLAG.SCHED1,
  'flag-2': SERVICE_FLAG.SCHED2,
  'flag-3': SERVICE_FLAG.SCHED3,
};

/** The bits of the given flags in the flags of a service. */
export function encodeSchedulerFlags(flags: readonly SchedulerFlag[]): number {
  return flags.reduce((bits, flag) => bits | BITS[flag], 0);
}

/** The flags whose bits are set, sorted; other bits are passed over. */
export function decodeSchedulerFlags(bits: number): SchedulerFlag[] {
  return (Object.keys(BITS) as SchedulerFlag[]).filter((flag) => (bits & BITS[flag]) !== 0);
}
