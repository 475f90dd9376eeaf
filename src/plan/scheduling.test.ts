// The scheduler of a Service's virtual servers: annotations before the node's setting, the flags that belong to it, and what is said of
// weights that it does not look at. Which texts are schedulers and flags: model/annotations.test.ts.

import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { problemLines } from '../../test/problems.ts';
import type { SchedulerWish } from '../model/annotations.ts';
import { CONDITION } from '../model/endpoint-slice.ts';
import type { Endpoint } from '../model/endpoints.ts';
import { serviceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import { SCHEDULERS, type Scheduler } from '../model/schedulers.ts';
import { schedulingOf, unusedWeightsProblem } from './scheduling.ts';

const key = serviceKey('default', 'web');
const FIELD = 'metadata.annotations[pointsman.dev/scheduler-flags]';

function scheduling(
  wish: Partial<SchedulerWish>,
  nodeScheduler: Scheduler,
): { text: string; problems: Problem[] } {
  const problems: Problem[] = [];
  const flagsField = wish.flags === undefined ? '' : FIELD;
  const schedulerWish: SchedulerWish = {
    ...{ scheduler: null, schedulerField: '', flags: null, flagsField },
    ...wish,
  };
  const { scheduler, schedulerFlags } = schedulingOf(
    { key, schedulerWish },
    { scheduler: nodeScheduler, missingSchedulers: ['twos'] },
    problems,
  );
  return { text: [scheduler, ...schedulerFlags].join(' '), problems };
}

const NO_WISH: SchedulerWish = { scheduler: null, schedulerField: '', flags: null, flagsField: '' };

describe('the scheduler and its flags', () => {
  test.each<[string, Partial<SchedulerWish>, Scheduler, string]>([
    ["no annotation: the node's", {}, 'wlc', 'wlc'],
    ["an annotation before the node's", { scheduler: 'sed' }, 'wlc', 'sed'],
    ["the node's mh has its port flag, as kube-proxy's", {}, 'mh', 'mh flag-2'],
    ['mh by annotation has it, too', { scheduler: 'mh' }, 'rr', 'mh flag-2'],
    ['another scheduler on a node with mh has none', { scheduler: 'sh' }, 'mh', 'sh'],
    ['mh with expressly no flags', { scheduler: 'mh', flags: [] }, 'rr', 'mh'],
    ["the node's mh with expressly no flags", { flags: [] }, 'mh', 'mh'],
    ['mh with flags of its own: only those', { flags: ['mh-fallback'] }, 'mh', 'mh flag-1'],
    ['mh with both', { flags: ['mh-fallback', 'mh-port'] }, 'mh', 'mh flag-1 flag-2'],
    [
      'sh with both, sorted',
      { scheduler: 'sh', flags: ['sh-port', 'sh-fallback'] },
      'rr',
      'sh flag-1 flag-2',
    ],
    ["flags for the node's scheduler", { flags: ['sh-port'] }, 'sh', 'sh flag-2'],
    ['flags by number go to any scheduler', { flags: ['flag-3', 'flag-1'] }, 'rr', 'rr flag-1 flag-3'],
    ['one flag by two names counts once', { flags: ['flag-2', 'mh-port'] }, 'mh', 'mh flag-2'],
  ])('%s', (_row, wish, nodeScheduler, expected) => {
    expect(scheduling(wish, nodeScheduler)).toEqual({ text: expected, problems: [] });
  });

  test("one that this kernel does not have is replaced by the node's, and reported", () => {
    const schedulerField = 'metadata.annotations[kube-router.io/service.scheduler]';
    const { text, problems } = scheduling({ scheduler: 'twos', schedulerField }, 'wrr');
    expect(text).toBe('wrr');
    expect(problemLines(problems)).toEqual([
      "Service default/web: metadata.annotations[kube-router.io/service.scheduler]: this node's kernel has no scheduler twos; wrr is used; load the module ip_vs_twos on the node and restart the agent, or name another scheduler",
    ]);
    expect(problems[0]?.reason).toBe('Approximated');
  });

  test('Services without flags share one list', () => {
    const listOf = (wish: Partial<SchedulerWish>): readonly string[] => {
      const schedulerWish: SchedulerWish = {
        ...{ scheduler: null, schedulerField: '', flags: null, flagsField: '' },
        ...wish,
      };
      return schedulingOf({ key, schedulerWish }, { scheduler: 'rr', missingSchedulers: [] }, [])
        .schedulerFlags;
    };
    expect(listOf({ flags: [] })).toBe(listOf({}));
  });

  const LINE = (flag: string, of: string, used: string): string =>
    `Service default/web: ${FIELD}: ${flag} is a flag of scheduler ${of}, but ${used} is used: it is left out; name scheduler ${of}, or remove the flag`;
  test.each<[string, Partial<SchedulerWish>, Scheduler, string, string[]]>([
    ['sh-port with mh', { flags: ['sh-port'] }, 'mh', 'mh', [LINE('sh-port', 'sh', 'mh')]],
    ['mh-port with sh', { scheduler: 'sh', flags: ['mh-port'] }, 'mh', 'sh', [LINE('mh-port', 'mh', 'sh')]],
    [
      'each one, and those that fit stay',
      { flags: ['flag-3', 'mh-fallback', 'sh-port'] },
      'rr',
      'rr flag-3',
      [LINE('mh-fallback', 'mh', 'rr'), LINE('sh-port', 'sh', 'rr')],
    ],
  ])(
    'a flag of another scheduler is left out and reported: %s',
    (_row, wish, nodeScheduler, expected, lines) => {
      const { text, problems } = scheduling(wish, nodeScheduler);
      expect(text).toBe(expected);
      expect(problemLines(problems)).toEqual(lines);
      expect(new Set(problems.map(({ reason }) => reason))).toEqual(new Set(['InvalidField']));
    },
  );

  test('the problem names the annotation that gave the flags', () => {
    const flagsField = 'metadata.annotations[kube-router.io/service.schedflags]';
    const { problems } = scheduling({ flags: ['sh-port'], flagsField }, 'rr');
    expect(problems.map(({ field }) => field)).toEqual([flagsField]);
  });
});

describe('weights that the scheduler does not look at', () => {
  const endpoints = (...weights: number[]): Endpoint[] =>
    weights.map((weight, index) => ({
      address: address(`10.244.1.${index + 1}`),
      conditions: CONDITION.READY,
      nodeName: '',
      zoneHints: [],
      nodeHints: [],
      port: 80,
      weight,
    }));

  test.each(['rr', 'lc', 'dh'] as const)('%s: different weights are reported', (scheduler) => {
    const problem = unusedWeightsProblem({ key, schedulerWish: NO_WISH }, scheduler, endpoints(1, 2, 1));
    expect(problemLines([problem!])).toEqual([
      `Service default/web: metadata.annotations[pointsman.dev/scheduler]: its EndpointSlices have different weights, but scheduler ${scheduler} uses all endpoints alike; use wrr, wlc, sh or mh`,
    ]);
    expect(problem!.reason).toBe('Approximated');
  });

  test.each([
    ['no endpoints', []],
    ['one endpoint', [7]],
    ['the same weights', [7, 7, 7]],
    ['0 beside one other weight: it takes no connections with any scheduler', [0, 7, 7]],
  ])('nothing is said: %s', (_row, weights) => {
    for (const scheduler of SCHEDULERS)
      expect(
        unusedWeightsProblem({ key, schedulerWish: NO_WISH }, scheduler, endpoints(...weights)),
      ).toBeNull();
  });

  test.each(SCHEDULERS.filter((one) => !['rr', 'lc', 'dh'].includes(one)))(
    '%s looks at them',
    (scheduler) => {
      expect(unusedWeightsProblem({ key, schedulerWish: NO_WISH }, scheduler, endpoints(1, 2))).toBeNull();
    },
  );
});
