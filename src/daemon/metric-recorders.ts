// Counters and histograms that grow while the agent runs, told apart by labels. Guarantees: recording costs the same however much was
// recorded, and the number of series is bounded whatever the labels come from.

import type { HistogramSample, MetricLabels, MetricSample } from './metric-families.ts';

/** Sets of label values of one metric that are told apart; further ones are one series with 'other' for every label. */
export const MAX_SERIES = 256;

/** 0.001 doubled 14 times, to 16.384: the buckets of kube-proxy for what it does itself, in seconds. */
export const SYNC_BOUNDS: readonly number[] = Array.from({ length: 15 }, (_, i) => 2 ** i / 1000);

/** Series by their label values. */
class Series<Label extends string, Value> {
  private readonly names: readonly Label[];
  private readonly make: () => Value;
  private readonly byId = new Map<string, { readonly labels: MetricLabels; value: Value }>();

  constructor(names: readonly Label[], make: () => Value) {
    this.names = names;
    this.make = make;
  }

  at(labels: Readonly<Record<Label, string>>): { value: Value } {
    const id = JSON.stringify(this.names.map((name) => labels[name]));
    const known = this.byId.get(id);
    if (known !== undefined) return known;
    const isFull = this.names.length > 0 && this.byId.size >= MAX_SERIES;
    return isFull ? this.open('other', () => 'other') : this.open(id, (name) => labels[name]);
  }

  private open(id: string, valueOf: (name: Label) => string): { value: Value } {
    const known = this.byId.get(id);
    if (known !== undefined) return known;
    const labels = Object.fromEntries(this.names.map((name) => [name, valueOf(name)]));
    const opened = { labels, value: this.make() };
    this.byId.set(id, opened);
    return opened;
  }

  [Symbol.iterator](): IterableIterator<{ readonly labels: MetricLabels; readonly value: Value }> {
    return this.byId.values();
  }
}

/** A counter with labels; a series exists once something was counted in it. */
export class CounterVector<Label extends string> {
  private readonly series: Series<Label, number>;

  constructor(names: readonly Label[]) {
    this.series = new Series(names, () => 0);
  }

  /** `by` is 0 or more; with 0 the series begins to exist. */
  add(labels: Readonly<Record<Label, string>>, by = 1): void {
    this.series.at(labels).value += by;
  }

  samples(): MetricSample[] {
    return [...this.series].map(({ labels, value }) => ({ labels, value }));
  }
}

interface Buckets {
  /** How many values fell into each bucket, the last being that above all bounds. */
  readonly counts: Float64Array;
  sum: number;
}

/** A histogram with labels; a series exists once something was measured in it. */
export class HistogramVector<Label extends string> {
  private readonly bounds: readonly number[];
  private readonly series: Series<Label, Buckets>;

  /** `bounds` rise. */
  constructor(names: readonly Label[], bounds: readonly number[]) {
    this.bounds = bounds;
    this.series = new Series(names, () => ({ counts: new Float64Array(bounds.length + 1), sum: 0 }));
  }

  /** A value equal to a bound is in its bucket. */
  observe(labels: Readonly<Record<Label, string>>, value: number): void {
    const buckets = this.series.at(labels).value;
    const index = this.bounds.findIndex((bound) => value <= bound);
    const at = index === -1 ? this.bounds.length : index;
    buckets.counts[at] = (buckets.counts[at] ?? 0) + 1;
    buckets.sum += value;
  }

  samples(): HistogramSample[] {
    return [...this.series].map(({ labels, value }) => {
      let count = 0;
      const cumulative = Array.from(value.counts, (each) => (count += each));
      return { labels, bounds: this.bounds, counts: cumulative.slice(0, -1), count, sum: value.sum };
    });
  }
}
