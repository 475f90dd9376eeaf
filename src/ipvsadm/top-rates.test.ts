import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IpvsStats } from '../kernel/ipvs-codec.ts';
import { RateMeter, ratesBetween } from './top-rates.ts';

const counters = (connections: number, inBytes = 0) => ({
  connections: BigInt(connections),
  inPackets: 0n,
  outPackets: 0n,
  inBytes: BigInt(inBytes),
  outBytes: 0n,
});

interface Entry {
  readonly id: string;
  readonly stats: IpvsStats | null;
}

/** The estimator's rates are nonsense on purpose: nobody may use them. */
const entry = (id: string, connections: number, inBytes = 0): Entry => ({
  id,
  stats: {
    ...counters(connections, inBytes),
    connectionsPerSecond: 777n,
    inPacketsPerSecond: 777n,
    outPacketsPerSecond: 777n,
    inBytesPerSecond: 777n,
    outBytesPerSecond: 777n,
  },
});

type Look = readonly [timeMs: number, entries: readonly Entry[]];

/** Connections per second of each entry of each look. */
function cps(looks: readonly Look[]): unknown[] {
  const meter = new RateMeter();
  return looks.map(([timeMs, entries]) => {
    meter.begin();
    const { rates } = meter.measure('x', entries, ({ id }) => id, timeMs);
    return rates.map((each) => each?.connections ?? null);
  });
}

describe('rates', () => {
  it.each([
    ['a difference over one second', counters(10), counters(15), 1, 5],
    ['a difference over the measured time', counters(10), counters(15), 2.5, 2],
    ['nothing', counters(10), counters(10), 1, 0],
    ['a counter that went back: all of it', counters(100), counters(7), 1, 7],
    ['another counter that went back: it was zeroed too', counters(3, 900), counters(5, 10), 1, 5],
  ])('are %s', (_, before, after, seconds, connections) => {
    expect(ratesBetween(before, after, seconds).connections).toBe(connections);
  });

  it('are exact where a double would lose the counters themselves', () => {
    const far = 2n ** 63n;
    const { inBytes } = ratesBetween(
      { ...counters(0), inBytes: far },
      { ...counters(0), inBytes: far + 3n },
      1,
    );
    expect(inBytes).toBe(3);
  });

  it('are never negative, and without a reset add up to what was counted', () => {
    const steps = fc.array(
      fc.record({
        added: fc.bigInt(0n, 10n ** 9n),
        elapsedMs: fc.integer({ min: 1, max: 10_000 }),
        isZeroed: fc.boolean(),
      }),
      { minLength: 1, maxLength: 20 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        let before = 0n;
        let expected = 0;
        let summed = 0;
        for (const { added, elapsedMs, isZeroed } of all) {
          const after = (isZeroed ? 0n : before) + added;
          const rates = ratesBetween(
            { ...counters(0), outBytes: before },
            { ...counters(0), outBytes: after },
            elapsedMs / 1000,
          );
          expect(rates.outBytes).toBeGreaterThanOrEqual(0);
          if (!isZeroed) {
            expected += Number(added);
            summed += rates.outBytes * (elapsedMs / 1000);
          }
          before = after;
        }
        expect(summed).toBeCloseTo(expected, -2);
      }),
    );
  });
});

describe('the meter', () => {
  it.each<[string, readonly Look[], readonly (number | null)[]]>([
    ['has no rates at the first look', [[0, [entry('a', 9)]]], [null]],
    [
      'has none before the kernel has made a step',
      [
        [0, [entry('a', 9)]],
        [1000, [entry('a', 19)]],
      ],
      [null],
    ],
    [
      'has rates from then on',
      [
        [0, [entry('a', 9)]],
        [2000, [entry('a', 19)]],
      ],
      [5],
    ],
    [
      'measures from the last look that is a step away, a little early or late',
      [
        [0, [entry('a', 0)]],
        [1020, [entry('a', 50)]],
        [2001, [entry('a', 60)]],
        [2999, [entry('a', 70)]],
      ],
      [20 / 1.979],
    ],
    [
      'counts what appeared from 0',
      [
        [0, [entry('a', 9)]],
        [2000, [entry('a', 9), entry('b', 6)]],
      ],
      [0, 3],
    ],
    [
      'counts what was made anew from 0',
      [
        [0, [entry('a', 900)]],
        [2000, []],
        [4000, [entry('a', 6)]],
      ],
      [1.5],
    ],
    [
      'does not take for new what one dump missed',
      [
        [0, [entry('a', 900)]],
        [2000, []],
        [4000, [entry('a', 910)]],
      ],
      [2.5],
    ],
    [
      'gives each of two entries of one name its own rates, as a dump that changed has them',
      [
        [0, [entry('b', 0), entry('a', 0)]],
        [2000, [entry('a', 2), entry('a', 2), entry('b', 8)]],
      ],
      [1, 1, 4],
    ],
  ])('%s', (_, looks, expected) => {
    expect(cps(looks).at(-1)).toEqual(expected);
  });

  it.each([500, 1000, 2000, 4000])(
    'is steady though the kernel counts in steps of two seconds and one looks every %i ms',
    (everyMs) => {
      // Ten a second; the steps come 700 ms after the looks began.
      const counted = (timeMs: number): number => 20 * Math.floor((timeMs + 1300) / 2000);
      const looks = Array.from({ length: 40_000 / everyMs }, (_, index): Look => {
        const timeMs = index * everyMs;
        return [timeMs, [entry('a', counted(timeMs))]];
      });
      const rates = cps(looks).flat();
      const known = rates.filter((rate) => rate !== null) as number[];
      expect(known.length).toBeGreaterThanOrEqual(5);
      for (const rate of known) expect(Math.abs(rate - 10)).toBeLessThan(0.001);
    },
  );

  it('forgets listings that an iteration left out, and everything when told to', () => {
    const meter = new RateMeter();
    const measure = (timeMs: number): number | null =>
      meter.measure('x', [entry('a', timeMs)], ({ id }) => id, timeMs).seconds;
    meter.begin();
    measure(0);
    meter.begin();
    expect(measure(2000)).toBe(2);
    meter.begin();
    meter.begin();
    expect(measure(4000)).toBeNull();
    meter.begin();
    expect(measure(6000)).toBe(2);
    meter.clear();
    expect(measure(8000)).toBeNull();
  });
});
