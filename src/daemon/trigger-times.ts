// When the changes of endpoints happened that wait to be programmed: what network programming latency is measured from. Knows no clock and no
// kernel. Guarantees: it holds only what is under way, so it costs the size of the change; a change is told once, when its Service is in the
// kernel, whichever sync brought it there.
// Source: kube-proxy 1.36 (endpointschangetracker.go, lastChangeTriggerTimes).

import type { Family } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';

/** A change of endpoints. */
export interface TriggeredChange {
  readonly family: Family;
  /** When it happened, ms since the epoch. */
  readonly triggeredAtMs: number;
}

/** Changes of one Service that are remembered; of more that come before any is programmed, the first count. */
export const MAX_CHANGES_PER_SERVICE = 100;

type Changes = Map<ServiceKey, TriggeredChange[]>;

/** See above. */
export class TriggerTimes {
  private readonly sinceMs: number;
  /** Heard of since the last `take`. */
  private waiting: Changes = new Map();
  /** Taken in hand by a sync, and not in the kernel yet. */
  private readonly taken: Changes = new Map();

  /** Changes up to `sinceMs`, ms since the epoch, are not ours to measure: nobody listened. */
  constructor(sinceMs: number) {
    this.sinceMs = sinceMs;
  }

  /** A change of a Service's endpoints; 0 for `triggeredAtMs` is unknown. */
  note(key: ServiceKey, change: TriggeredChange): void {
    if (change.triggeredAtMs > this.sinceMs) append(this.waiting, key, [change]);
  }

  /** Endpoints of the Service, or the Service, went: when that happened is not known, and what waits is not to be measured by it. */
  drop(key: ServiceKey): void {
    this.waiting.delete(key);
    this.taken.delete(key);
  }

  /** A sync takes everything noted so far in hand. */
  take(): void {
    for (const [key, changes] of this.waiting) append(this.taken, key, changes);
    this.waiting = new Map();
  }

  /** What was taken in hand is in the kernel now, but for the Services of `failed`; returns the changes that are, and forgets them. */
  settle(failed: Iterable<ServiceKey>): TriggeredChange[] {
    if (this.taken.size === 0) return [];
    const left = new Set(failed);
    const done: TriggeredChange[] = [];
    for (const [key, changes] of this.taken) {
      if (left.has(key)) continue;
      done.push(...changes);
      this.taken.delete(key);
    }
    return done;
  }
}

function append(to: Changes, key: ServiceKey, changes: readonly TriggeredChange[]): void {
  const known = to.get(key) ?? [];
  known.push(...changes.slice(0, MAX_CHANGES_PER_SERVICE - known.length));
  to.set(key, known);
}
