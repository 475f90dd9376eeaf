// What is known of the kernel's schedulers: names, who looks at weights, and the names of flags.

import { describe, expect, test } from 'vitest';
import {
  honoursWeights,
  isScheduler,
  isSchedulerFlagName,
  SCHEDULER_FLAG_NAMES,
  SCHEDULERS,
} from './schedulers.ts';

describe('scheduler names', () => {
  test('are those of the modules ip_vs_NAME of Linux 6.1', () => {
    expect(SCHEDULERS.toSorted().join(' ')).toBe('dh fo lblc lblcr lc mh nq ovf rr sed sh twos wlc wrr');
  });

  test.each(SCHEDULERS)('%s is one', (name) => {
    expect(isScheduler(name)).toBe(true);
  });

  test.each(['', 'RR', 'rr ', 'maglev', 'toString', 'length', '0'])('"%s" is none', (name) => {
    expect(isScheduler(name)).toBe(false);
  });
});

// Schedulers whose choice reads only whether the weight is 0, in net/netfilter/ipvs/ip_vs_{rr,lc,dh}.c.
test.each(SCHEDULERS)('%s looks at weights, unless it is rr, lc or dh', (name) => {
  expect(honoursWeights(name)).toBe(!['rr', 'lc', 'dh'].includes(name));
});

describe('flag names', () => {
  // include/uapi/linux/ip_vs.h: IP_VS_SVC_F_SCHED_SH_FALLBACK and _MH_FALLBACK are SCHED1, _SH_PORT and _MH_PORT are SCHED2.
  test.each([
    ['flag-1', 'flag-1', null],
    ['flag-2', 'flag-2', null],
    ['flag-3', 'flag-3', null],
    ['sh-fallback', 'flag-1', 'sh'],
    ['sh-port', 'flag-2', 'sh'],
    ['mh-fallback', 'flag-1', 'mh'],
    ['mh-port', 'flag-2', 'mh'],
  ] as const)('%s is %s of scheduler %s', (name, flag, scheduler) => {
    expect(isSchedulerFlagName(name)).toBe(true);
    expect(SCHEDULER_FLAG_NAMES[name]).toEqual({ flag, scheduler });
  });

  test('there are seven', () => {
    expect(Object.keys(SCHEDULER_FLAG_NAMES)).toHaveLength(7);
  });

  test.each(['', 'flag-0', 'flag-4', 'sh', 'SH-PORT', 'constructor', 'toString', '__proto__'])(
    '"%s" is none',
    (name) => {
      expect(isSchedulerFlagName(name)).toBe(false);
    },
  );
});
