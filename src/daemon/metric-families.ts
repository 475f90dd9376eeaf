// What a metric is, by the conventions of Prometheus: a name, a type, a help text and samples. Types, and the short ways to make them. Pure.

/** Label values by label name. An empty value is no label to a reader. */
export type MetricLabels = Readonly<Record<string, string>>;

/** One value of a counter or gauge. Every set of labels occurs once in a family. */
export interface MetricSample {
  readonly labels: MetricLabels;
  readonly value: number;
}

/** One histogram. Every set of labels occurs once in a family. */
export interface HistogramSample {
  readonly labels: MetricLabels;
  /** Upper bounds of the buckets, rising, without +Inf. */
  readonly bounds: readonly number[];
  /** For each bound, how many values were at most as large: never falling, at most `count`. */
  readonly counts: readonly number[];
  /** How many values there were, those above the last bound included. */
  readonly count: number;
  readonly sum: number;
}

interface FamilyHead {
  /** [a-z_]+; counters of ours end in _total, times are in seconds. */
  readonly name: string;
  /** One sentence, or kube-proxy's words. */
  readonly help: string;
}

/** A counter or gauge with all its samples; none when nothing is known yet. */
export interface ValueFamily extends FamilyHead {
  readonly type: 'counter' | 'gauge';
  readonly samples: readonly MetricSample[];
}

/** A histogram with all its samples; none when nothing was measured yet. */
export interface HistogramFamily extends FamilyHead {
  readonly type: 'histogram';
  readonly samples: readonly HistogramSample[];
}

/** A metric with all its samples. */
export type MetricFamily = ValueFamily | HistogramFamily;

/** A counter; a number is one sample without labels. */
export function counter(name: string, help: string, value: number | readonly MetricSample[]): ValueFamily {
  return { name, type: 'counter', help, samples: samplesOf(value) };
}

/** A gauge; a number is one sample without labels. */
export function gauge(name: string, help: string, value: number | readonly MetricSample[]): ValueFamily {
  return { name, type: 'gauge', help, samples: samplesOf(value) };
}

/** A histogram. */
export function histogram(name: string, help: string, samples: readonly HistogramSample[]): HistogramFamily {
  return { name, type: 'histogram', help, samples };
}

function samplesOf(value: number | readonly MetricSample[]): readonly MetricSample[] {
  return typeof value === 'number' ? [{ labels: {}, value }] : value;
}
