import { expect, it } from 'vitest';
import type { SchedulerFlag } from '../../model/schedulers.ts';
import { decodeSchedulerFlags, encodeSchedulerFlags } from './scheduler-flags.ts';

// linux/ip_vs.h: IP_VS_SVC_F_SCHED1 0x0008, IP_VS_SVC_F_SCHED2 0x0010, IP_VS_SVC_F_SCHED3 0x0020.
it.each<[SchedulerFlag[], number]>([
  [[], 0],
  [['flag-1'], 0x8],
  [['flag-2'], 0x10],
  [['flag-1', 'flag-2', 'flag-3'], 0x38],
])('%j is %d, with persistence beside it or not', (flags, bits) => {
  expect(encodeSchedulerFlags(flags)).toBe(bits);
  expect(decodeSchedulerFlags(bits)).toEqual(flags);
  expect(decodeSchedulerFlags(bits | 0x7)).toEqual(flags);
});
