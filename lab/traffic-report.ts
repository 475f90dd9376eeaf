// Sums up what the lab's clients saw. Pure; every number comes from the attempts. No sockets and no clocks here.

import type { Attempt } from './traffic-messages.ts';

/** What a test asserts on. */
export interface TrafficReport {
  /** All attempts, whatever came of them. */
  readonly count: number;
  readonly answered: number;
  /** Answers by server name. */
  readonly counts: Readonly<Record<string, number>>;
  /** By index: the server's name, or the outcome of an attempt without an answer. */
  readonly sequence: readonly string[];
  /** Answers by the client address that the servers saw. */
  readonly sources: Readonly<Record<string, number>>;
  /** Of the answered attempts, in milliseconds; null when none was answered. */
  readonly latencyMs: { readonly p50: number; readonly p99: number } | null;
  readonly refused: number;
  readonly reset: number;
  readonly timedOut: number;
  readonly notStarted: number;
  /** All other outcomes by errno name. */
  readonly errors: Readonly<Record<string, number>>;
  readonly attempts: readonly Attempt[];
}

const COUNTED_APART = new Set(['answered', 'refused', 'reset', 'timedOut', 'notStarted']);

/** The report over these attempts, which are in order of index. */
export function summarize(attempts: readonly Attempt[]): TrafficReport {
  const counts: Record<string, number> = {};
  const sources: Record<string, number> = {};
  const outcomes: Record<string, number> = {};
  const latencies: number[] = [];
  for (const attempt of attempts) {
    increment(outcomes, attempt.outcome);
    if (attempt.outcome !== 'answered') continue;
    if (attempt.server !== null) increment(counts, attempt.server);
    if (attempt.sourceAddress !== null) increment(sources, attempt.sourceAddress);
    latencies.push(attempt.latencyMs);
  }
  latencies.sort((a, b) => a - b);
  return {
    count: attempts.length,
    answered: latencies.length,
    counts,
    sequence: attempts.map((attempt) => attempt.server ?? attempt.outcome),
    sources,
    latencyMs:
      latencies.length === 0 ? null : { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) },
    refused: outcomes.refused ?? 0,
    reset: outcomes.reset ?? 0,
    timedOut: outcomes.timedOut ?? 0,
    notStarted: outcomes.notStarted ?? 0,
    errors: Object.fromEntries(Object.entries(outcomes).filter(([outcome]) => !COUNTED_APART.has(outcome))),
    attempts,
  };
}

function increment(record: Record<string, number>, key: string): void {
  record[key] = (record[key] ?? 0) + 1;
}

/** The nearest-rank percentile of sorted values. */
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
