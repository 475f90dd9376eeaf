// What is recorded comes back, in the buckets where it belongs, and the number of series has an end.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CounterVector, HistogramVector, MAX_SERIES, SYNC_BOUNDS } from './metric-recorders.ts';

describe('a counter', () => {
  it('counts by labels, in the order in which they came', () => {
    const requests = new CounterVector(['code', 'host']);
    requests.add({ code: '200', host: 'a' });
    requests.add({ code: '500', host: 'a' });
    requests.add({ code: '200', host: 'a' }, 4);
    requests.add({ code: '200', host: 'b' }, 0);
    expect(requests.samples()).toEqual([
      { labels: { code: '200', host: 'a' }, value: 5 },
      { labels: { code: '500', host: 'a' }, value: 1 },
      { labels: { code: '200', host: 'b' }, value: 0 },
    ]);
  });

  it('has no sample before something was counted', () => {
    expect(new CounterVector(['code']).samples()).toEqual([]);
  });

  it('tells labels apart whatever stands in them', () => {
    const odd = new CounterVector(['a', 'b']);
    for (const [a, b] of [
      ['x","y', 'z'],
      ['x', 'y","z'],
      ['other', 'other'],
    ] as const)
      odd.add({ a, b });
    expect(odd.samples().map(({ value }) => value)).toEqual([1, 1, 1]);
  });

  it('makes one series of all beyond its limit, and loses nothing', () => {
    const codes = new CounterVector(['code']);
    for (let round = 0; round < 2; round++)
      for (let code = 0; code < MAX_SERIES + 50; code++) codes.add({ code: String(code) });
    const samples = codes.samples();
    expect(samples).toHaveLength(MAX_SERIES + 1);
    expect(samples.at(-1)).toEqual({ labels: { code: 'other' }, value: 100 });
    expect(samples[0]).toEqual({ labels: { code: '0' }, value: 2 });
  });
});

describe('a histogram', () => {
  it('puts a value that equals a bound into its bucket', () => {
    const latency = new HistogramVector(['verb'], [0, 1, 2.5]);
    for (const value of [0, 1, 1.0001, 2.5, 9, -3]) latency.observe({ verb: 'GET' }, value);
    expect(latency.samples()).toEqual([
      { labels: { verb: 'GET' }, bounds: [0, 1, 2.5], counts: [2, 3, 5], count: 6, sum: 10.5001 },
    ]);
  });

  it('has the buckets of kube-proxy', () => {
    expect(SYNC_BOUNDS.slice(0, 3)).toEqual([0.001, 0.002, 0.004]);
    expect(SYNC_BOUNDS.at(-1)).toBe(16.384);
    expect(SYNC_BOUNDS).toHaveLength(15);
  });

  it('counts for each bound what is at most as large', () => {
    const bounds = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 12 });
    fc.assert(
      fc.property(bounds, fc.array(fc.integer({ min: -60, max: 60 })), (unsorted, values) => {
        const sorted = [...unsorted].sort((a, b) => a - b);
        const vector = new HistogramVector([], sorted);
        for (const value of values) vector.observe({}, value);
        const expected = {
          labels: {},
          bounds: sorted,
          counts: sorted.map((bound) => values.filter((value) => value <= bound).length),
          count: values.length,
          sum: values.reduce((a, b) => a + b, 0),
        };
        expect(vector.samples()).toEqual(values.length === 0 ? [] : [expected]);
      }),
    );
  });
});
