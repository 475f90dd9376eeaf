// Where facts come from, whatever it is: a folder of manifests, an API server, a recording. Types only.

import type { ClusterEvent } from '../model/objects.ts';
import type { ManifestProblem } from './manifest-problem.ts';

/** What became known, and what is wrong with it by now. */
export interface FactReport {
  /** What changed since the report before. */
  readonly events: readonly ClusterEvent[];
  /** Everything that is wrong, or passed over, by now. */
  readonly problems: readonly ManifestProblem[];
  readonly warnings: readonly ManifestProblem[];
}

/**
 * Hears of facts, in order. `more`: the rest of the same difference follows at once; better not to program from the state in between.
 */
export type FactListener = (
  events: readonly ClusterEvent[],
  problems: readonly ManifestProblem[],
  warnings: readonly ManifestProblem[],
  more?: boolean,
) => void;

/** One source of facts. */
export interface FactSource {
  /**
   * The first complete snapshot: what it holds was told to the listener before, or is in the report. Nothing may be written to the kernel
   * before it resolves. An API server that is away is waited for; rejects where waiting helps nobody.
   */
  readAll(): Promise<FactReport>;
  /** From now on the listener hears of changes. After `readAll`. */
  watch(): void;
  /** Ends it in bounded time; the listener hears of nothing after. A `readAll` that waits rejects, or never ends. */
  close(): Promise<void>;
}
