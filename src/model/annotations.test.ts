// What people may ask of one Service by annotations: each key with its aliases, who comes first, and what is said of a value that is none.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { problemLines } from '../../test/problems.ts';
import {
  readDrainTimeout,
  readSchedulerWish,
  readWeight,
  type SchedulerWish,
  type SliceWeight,
} from './annotations.ts';
import { ProblemList } from './fields.ts';
import { SCHEDULER_FLAG_NAMES, SCHEDULERS } from './schedulers.ts';

const OURS = 'pointsman.dev/scheduler';
const OUR_FLAGS = 'pointsman.dev/scheduler-flags';
const OUR_WEIGHT = 'pointsman.dev/weight';
const KUBE_ROUTER = 'kube-router.io/service.scheduler';
const KUBE_ROUTER_FLAGS = 'kube-router.io/service.schedflags';
const CILIUM = 'service.cilium.io/lb-algorithm';
const CILIUM_WEIGHT = 'service.cilium.io/weight';

const FIELD = (key: string): string => `metadata.annotations[${key}]`;
const NOTHING: SchedulerWish = { scheduler: null, schedulerField: '', flags: null, flagsField: '' };

function wishOf(annotations: unknown): { wish: SchedulerWish; lines: string[] } {
  const problems = new ProblemList('S');
  const wish = readSchedulerWish(annotations, problems);
  for (const { reason } of problems.list()) expect(['InvalidField', 'Approximated']).toContain(reason);
  return { wish, lines: problemLines(problems.list()).map((line) => line.slice('S: '.length)) };
}

function weightOf(annotations: unknown): { weight: SliceWeight | null; lines: string[] } {
  const problems = new ProblemList('S');
  const weight = readWeight(annotations, problems);
  for (const { reason } of problems.list()) expect(reason).toBe('InvalidField');
  return { weight, lines: problemLines(problems.list()).map((line) => line.slice('S: '.length)) };
}

describe('the scheduler of a Service', () => {
  for (const key of [OURS, KUBE_ROUTER]) {
    test.each(SCHEDULERS)(`${key}: %s`, (scheduler) => {
      expect(wishOf({ [key]: scheduler })).toEqual({
        wish: { ...NOTHING, scheduler, schedulerField: FIELD(key) },
        lines: [],
      });
      expect(wishOf({ [key]: ` ${scheduler}\n` }).wish.scheduler).toBe(scheduler);
    });
    test.each([
      'RR',
      'least-connection',
      ' ',
      'rr,wrr',
      'constructor',
      '-j DROP',
      7,
      true,
      ['rr'],
      { rr: 1 },
    ])(`${key}: %j is reported, and the node's scheduler is used`, (name) => {
      const { wish, lines } = wishOf({ [key]: name });
      expect(wish).toEqual(NOTHING);
      const shown =
        typeof name === 'object' ? (Array.isArray(name) ? 'a list' : 'an object') : JSON.stringify(name);
      expect(lines).toEqual([
        `${FIELD(key)}: ${shown} is not valid: the node's scheduler is used; use one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, twos`,
      ]);
    });
  }

  const APPROXIMATED = 'choose for yourself with pointsman.dev/scheduler';
  test.each([
    ['random', 'rr', 'random is done with scheduler rr: as even, and as blind to load, but in turn'],
    [
      'maglev',
      'mh',
      'maglev is done with scheduler mh: the same hashing, though with a table of another size',
    ],
  ])(`${CILIUM}: %s becomes %s, and status says so`, (algorithm, scheduler, message) => {
    const problems = new ProblemList('S');
    expect(readSchedulerWish({ [CILIUM]: algorithm }, problems)).toEqual({
      ...NOTHING,
      scheduler,
      schedulerField: FIELD(CILIUM),
    });
    expect(problems.list()).toEqual([
      { object: 'S', field: FIELD(CILIUM), reason: 'Approximated', message, remedy: APPROXIMATED },
    ]);
  });

  test.each(['least-conn', 'rr', 'Maglev', 'constructor', '__proto__', 0])(
    `${CILIUM}: %j is reported, and the node's scheduler is used`,
    (algorithm) => {
      expect(wishOf({ [CILIUM]: algorithm })).toEqual({
        wish: NOTHING,
        lines: [
          `${FIELD(CILIUM)}: ${JSON.stringify(algorithm)} is not valid: the node's scheduler is used; use maglev or random, or pointsman.dev/scheduler`,
        ],
      });
    },
  );

  test.each([
    [
      'ours before all others',
      { [CILIUM]: 'maglev', [KUBE_ROUTER]: 'lc', [OURS]: 'sed' },
      'sed',
      FIELD(OURS),
    ],
    ["kube-router's before Cilium's", { [CILIUM]: 'maglev', [KUBE_ROUTER]: 'lc' }, 'lc', FIELD(KUBE_ROUTER)],
    ['ours empty: as not given', { [OURS]: '', [KUBE_ROUTER]: 'lc' }, 'lc', FIELD(KUBE_ROUTER)],
    ['ours null: as not given', { [OURS]: null, [KUBE_ROUTER]: 'lc' }, 'lc', FIELD(KUBE_ROUTER)],
    ['all empty: nothing', { [OURS]: '', [KUBE_ROUTER]: '', [CILIUM]: '' }, null, ''],
    ['all null: nothing', { [OURS]: null, [KUBE_ROUTER]: null, [CILIUM]: null }, null, ''],
  ])('precedence: %s', (_row, annotations, scheduler, schedulerField) => {
    expect(wishOf(annotations)).toEqual({ wish: { ...NOTHING, scheduler, schedulerField }, lines: [] });
  });

  test('precedence: an unknown name under ours is not replaced by an alias', () => {
    const { wish, lines } = wishOf({ [OURS]: 'fastest', [KUBE_ROUTER]: 'lc', [CILIUM]: 'maglev' });
    expect(wish).toEqual(NOTHING);
    expect(lines).toEqual([expect.stringContaining(`${FIELD(OURS)}: "fastest"`)]);
  });
});

describe("the flags of a Service's scheduler", () => {
  for (const key of [OUR_FLAGS, KUBE_ROUTER_FLAGS]) {
    test.each<[string, readonly string[]]>([
      ['none', []],
      [' none ', []],
      ...Object.keys(SCHEDULER_FLAG_NAMES).map((name): [string, readonly string[]] => [name, [name]]),
      ['sh-port,sh-fallback', ['sh-fallback', 'sh-port']],
      [' flag-2 , flag-1,flag-2', ['flag-1', 'flag-2']],
      ['flag-1,flag-1,flag-1,flag-1,flag-1,flag-1,flag-1,flag-3', ['flag-1', 'flag-3']],
    ])(`${key}: "%s"`, (text, flags) => {
      expect(wishOf({ [key]: text })).toEqual({
        wish: { scheduler: null, schedulerField: '', flags, flagsField: FIELD(key) },
        lines: [],
      });
    });

    const USE =
      'the annotation is ignored; use none, or of flag-1, flag-2, flag-3, sh-fallback, sh-port, mh-fallback, mh-port';
    test.each<[unknown, string]>([
      ['sh-ports', '"sh-ports" is no flag'],
      ['sh-port,', '"" is no flag'],
      ['none,sh-port', '"none" is no flag'],
      ['sh-port sh-fallback', '"sh-port sh-fallback" is no flag'],
      ['constructor', '"constructor" is no flag'],
      [2, '"" is no flag'],
      ['flag-1,flag-1,flag-1,flag-1,flag-1,flag-1,flag-1,flag-1,flag-1', 'more than 8 flags are given'],
    ])(`${key}: %j is reported and ignored`, (text, what) => {
      expect(wishOf({ [key]: text })).toEqual({ wish: NOTHING, lines: [`${FIELD(key)}: ${what}: ${USE}`] });
    });
  }

  test.each([
    ['ours before the alias', { [KUBE_ROUTER_FLAGS]: 'mh-port', [OUR_FLAGS]: 'none' }, [], FIELD(OUR_FLAGS)],
    [
      'ours empty: the alias',
      { [KUBE_ROUTER_FLAGS]: 'mh-port', [OUR_FLAGS]: '' },
      ['mh-port'],
      FIELD(KUBE_ROUTER_FLAGS),
    ],
    ['both empty: nothing', { [KUBE_ROUTER_FLAGS]: '', [OUR_FLAGS]: null }, null, ''],
  ])('precedence: %s', (_row, annotations, flags, flagsField) => {
    expect(wishOf(annotations)).toEqual({
      wish: { scheduler: null, schedulerField: '', flags, flagsField },
      lines: [],
    });
  });

  test('flags that are none leave the scheduler as it is asked', () => {
    const { wish, lines } = wishOf({ [OURS]: 'sh', [OUR_FLAGS]: 'x' });
    expect(wish).toEqual({ ...NOTHING, scheduler: 'sh', schedulerField: FIELD(OURS) });
    expect(lines).toHaveLength(1);
  });
});

describe('the time to drain of a Service', () => {
  const KEY = 'pointsman.dev/drain-timeout';
  const timeoutOf = (value: unknown): { seconds: number | null; lines: string[] } => {
    const problems = new ProblemList('S');
    const seconds = readDrainTimeout({ [KEY]: value }, problems);
    return { seconds, lines: problemLines(problems.list()) };
  };
  test.each([
    ['0s', 0],
    ['90s', 90],
    ['15m', 900],
    ['1h30m', 5400],
    ['24h', 86_400],
    [' 5m ', 300],
    ['0m0s', 0],
    ['', null],
    [null, null],
  ])('%j is %j', (value, seconds) => {
    expect(timeoutOf(value)).toEqual({ seconds, lines: [] });
  });

  test.each(['x', '15', '-1s', '1.5m', '25h', '24h1s', 's', 15, '1m1h', '99999999999s'])(
    '%j is reported, and the node decides',
    (value) => {
      const { seconds, lines } = timeoutOf(value);
      expect(seconds).toBeNull();
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain("the node's time is used; write 0s to 24h, for instance 90s or 15m");
    },
  );
});

describe('the weight of an EndpointSlice', () => {
  test.each<[string, unknown, SliceWeight]>([
    ['the smallest', { [OUR_WEIGHT]: '0' }, { value: 0, usual: 1 }],
    ['the usual', { [OUR_WEIGHT]: '1' }, { value: 1, usual: 1 }],
    ['the largest', { [OUR_WEIGHT]: '65535' }, { value: 65_535, usual: 1 }],
    ['with blanks and zeros', { [OUR_WEIGHT]: ' 00050 ' }, { value: 50, usual: 1 }],
    ["Cilium's: slices without one have 100", { [CILIUM_WEIGHT]: '50' }, { value: 50, usual: 100 }],
    ["Cilium's, 0", { [CILIUM_WEIGHT]: '0' }, { value: 0, usual: 100 }],
    ["ours before Cilium's", { [CILIUM_WEIGHT]: '50', [OUR_WEIGHT]: '2' }, { value: 2, usual: 1 }],
    ['ours empty: the alias', { [CILIUM_WEIGHT]: '50', [OUR_WEIGHT]: '' }, { value: 50, usual: 100 }],
    ['ours null: the alias', { [CILIUM_WEIGHT]: '50', [OUR_WEIGHT]: null }, { value: 50, usual: 100 }],
  ])('%s', (_row, annotations, weight) => {
    expect(weightOf(annotations)).toEqual({ weight, lines: [] });
  });

  test.each([{}, null, undefined, 'x', 7, { [OUR_WEIGHT]: '' }, { [CILIUM_WEIGHT]: null }])(
    '%j: none',
    (annotations) => {
      expect(weightOf(annotations)).toEqual({ weight: null, lines: [] });
    },
  );

  for (const key of [OUR_WEIGHT, CILIUM_WEIGHT]) {
    test.each(['65536', '100000', '-1', '1.5', '1e2', '0x10', 'heavy', ' ', '1 2', 5, true])(
      `${key}: %j is reported, and the slice has the usual weight`,
      (text) => {
        expect(weightOf({ [key]: text })).toEqual({
          weight: null,
          lines: [
            `${FIELD(key)}: ${JSON.stringify(text)} is not valid: its endpoints have the usual weight; write a whole number from 0 to 65535 as text`,
          ],
        });
      },
    );
  }
});

describe('keys that begin with pointsman.dev/ and mean nothing are reported', () => {
  const KNOWN =
    'known there: pointsman.dev/scheduler, pointsman.dev/scheduler-flags, pointsman.dev/drain-timeout';
  test.each(['pointsman.dev/schedular', 'pointsman.dev/', 'pointsman.dev/Scheduler', OUR_WEIGHT])(
    '%s on a Service',
    (key) => {
      expect(wishOf({ [key]: 'rr' })).toEqual({
        wish: NOTHING,
        lines: [`metadata.annotations: "${key}" means nothing on a kind Service: it is ignored; ${KNOWN}`],
      });
    },
  );

  test.each(['pointsman.dev/weights', OURS, OUR_FLAGS])('%s on an EndpointSlice', (key) => {
    expect(weightOf({ [key]: '1', [OUR_WEIGHT]: '2' })).toEqual({
      weight: { value: 2, usual: 1 },
      lines: [
        `metadata.annotations: "${key}" means nothing on a kind EndpointSlice: it is ignored; known there: pointsman.dev/weight`,
      ],
    });
  });

  test('keys of others are not', () => {
    const annotations = {
      'example.com/pointsman.dev/x': '',
      'kube-router.io/service.dsr': 'tunnel',
      [CILIUM_WEIGHT]: '1',
    };
    expect(wishOf(annotations)).toEqual({ wish: NOTHING, lines: [] });
    expect(weightOf({ ...annotations, [CILIUM]: 'maglev' }).lines).toEqual([]);
  });

  test('a known one beside them counts', () => {
    const { wish, lines } = wishOf({ 'pointsman.dev/x': '1', [OURS]: 'mh', 'pointsman.dev/y': '2' });
    expect(wish).toEqual({ ...NOTHING, scheduler: 'mh', schedulerField: FIELD(OURS) });
    expect(lines).toHaveLength(2);
  });
});

test.each([undefined, null, '', 'x', 7, [], {}])(
  '%j instead of annotations asks for nothing',
  (annotations) => {
    expect(wishOf(annotations)).toEqual({ wish: NOTHING, lines: [] });
  },
);

test('Services that ask for nothing share one record of it', () => {
  expect(wishOf({ 'example.com/x': 'y' }).wish).toBe(wishOf(null).wish);
});

test('of any annotations comes a scheduler and flags that the kernel knows, or nothing', () => {
  const key = fc.constantFrom(
    OURS,
    OUR_FLAGS,
    KUBE_ROUTER,
    KUBE_ROUTER_FLAGS,
    CILIUM,
    OUR_WEIGHT,
    CILIUM_WEIGHT,
  );
  const value = fc.oneof(fc.constantFrom(...SCHEDULERS, 'maglev', 'none', 'sh-port', '7'), fc.jsonValue());
  fc.assert(
    fc.property(fc.dictionary(key, value), (annotations) => {
      const { wish } = wishOf(annotations);
      expect([null, ...SCHEDULERS]).toContain(wish.scheduler);
      for (const flag of wish.flags ?? []) expect(Object.keys(SCHEDULER_FLAG_NAMES)).toContain(flag);
      expect(wish.flagsField === '').toBe(wish.flags === null);
      const { weight } = weightOf(annotations);
      if (weight !== null) expect(weight.value >= 0 && weight.value <= 65_535).toBe(true);
    }),
  );
});
