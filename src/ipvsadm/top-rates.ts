// From counters to rates: differences between two readings over the time between them. The kernel brings the counters of services and
// servers up to date only every two seconds, so rates are over two seconds or more, however often one looks. Counters that went back
// count from 0, what is new counts from 0, what a dump missed is looked up in older readings. Times are given: no clock here.
// Source: net/netfilter/ipvs/ip_vs_est.c by behaviour (measured on 6.1: steps of two seconds, none with run_estimation=0).

import type { IpvsStats } from '../kernel/ipvs-codec.ts';

/** Per second, 0 or more. */
export interface Rates {
  readonly connections: number;
  readonly inPackets: number;
  readonly outPackets: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

export type Counters = Readonly<Record<keyof Rates, bigint>>;

/** A listing as it was. */
interface Reading {
  readonly timeMs: number;
  readonly counters: ReadonlyMap<string, Counters>;
}

interface Listing {
  round: number;
  /** The newest first. */
  readings: readonly Reading[];
}

/** What was measured of one listing. */
export interface Measured {
  /** In the order of the entries; null while nothing is known. */
  readonly rates: readonly (Rates | null)[];
  /** What the rates are over; null while there are none. */
  readonly seconds: number | null;
}

/** The kernel's step. */
export const RATE_WINDOW_MS = 2000;
/** Timers are late or early by some milliseconds. */
const WINDOW_SLACK_MS = 50;
/** Kept behind the window, for entries that the reading at its edge missed: IPVS does not flag a dump that changed under the reader. */
const KEPT_BEHIND = 2;

/** The counters of something that was not there. */
const ZERO: Counters = { connections: 0n, inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n };

const NAMES = ['connections', 'inPackets', 'outPackets', 'inBytes', 'outBytes'] as const;

/** What was added per second. When any counter went back, all were set to 0 in between, and `after` is what was added since. */
export function ratesBetween(before: Counters, after: Counters, seconds: number): Rates {
  const wentBack = NAMES.some((name) => after[name] < before[name]);
  const base = wentBack ? ZERO : before;
  const rate = (name: keyof Rates): number => Number(after[name] - base[name]) / seconds;
  return {
    connections: rate('connections'),
    inPackets: rate('inPackets'),
    outPackets: rate('outPackets'),
    inBytes: rate('inBytes'),
    outBytes: rate('outBytes'),
  };
}

/** Remembers the readings of each listing over a little more than the window. */
export class RateMeter {
  private readonly listings = new Map<string, Listing>();
  private round = 0;

  /** Begins the readings of one iteration; listings that were left out of the last one are forgotten. */
  begin(): void {
    for (const [name, { round }] of this.listings) if (round < this.round) this.listings.delete(name);
    this.round++;
  }

  /** Forgets everything. */
  clear(): void {
    this.listings.clear();
  }

  /** Takes a whole listing as it was at `timeMs`. */
  measure<T extends { readonly stats: Counters | IpvsStats | null }>(
    name: string,
    entries: readonly T[],
    idOf: (entry: T) => string,
    timeMs: number,
  ): Measured {
    const readings = this.listings.get(name)?.readings ?? [];
    const edge = readings.findIndex((each) => each.timeMs <= timeMs - RATE_WINDOW_MS + WINDOW_SLACK_MS);
    const base = readings[edge];
    const counters = new Map(entries.map((entry) => [idOf(entry), entry.stats ?? ZERO]));
    const rates = entries.map((entry) => {
      if (base === undefined) return null;
      const id = idOf(entry);
      const found = readings.slice(edge).find((each) => each.counters.has(id)) ?? base;
      const before = found.counters.get(id) ?? ZERO;
      return ratesBetween(before, entry.stats ?? ZERO, (timeMs - found.timeMs) / 1000);
    });
    const kept = edge < 0 ? readings : readings.slice(0, edge + 1 + KEPT_BEHIND);
    this.listings.set(name, { round: this.round, readings: [{ timeMs, counters }, ...kept] });
    return { rates, seconds: base === undefined ? null : (timeMs - base.timeMs) / 1000 };
  }
}
