// The scheduler flags of a virtual server, between the plan's names and the bits of the kernel. Pure.

import { SCHEDULER_FLAG_BITS } from '../../kernel/ipvs-codec.ts';
import { FLAG_NAMES_BY_SCHEDULER, type SchedulerFlag } from '../../model/schedulers.ts';

const FLAGS: readonly SchedulerFlag[] = FLAG_NAMES_BY_SCHEDULER[''];

/** The bits of the given flags in the flags of a service. */
export function encodeSchedulerFlags(flags: readonly SchedulerFlag[]): number {
  return FLAGS.reduce((bits, flag, index) => (flags.includes(flag) ? bits | bitOf(index) : bits), 0);
}

/** The flags whose bits are set, sorted; other bits are passed over. */
export function decodeSchedulerFlags(bits: number): SchedulerFlag[] {
  return FLAGS.filter((_, index) => (bits & bitOf(index)) !== 0);
}

function bitOf(index: number): number {
  return SCHEDULER_FLAG_BITS[index] ?? 0;
}
