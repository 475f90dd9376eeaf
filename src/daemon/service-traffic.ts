// The traffic of each Service as metrics, for those who ask for it: the only ones that name Services. Guarantees:
//  1. Off, it costs nothing and holds nothing.
//  2. Never more Services than asked for: those that come first by name, so that the same ones stay; how many are left out is a metric.
//  3. The kernel is read at a collection only, 10 seconds apart at least, once however many ask at the same time, in small pieces; never while
//     a sync waits or runs. What is read of one that was broken off counts; the next collection reads anew.

import { formatServiceKey, type IpvsServiceState } from '../kernel/ipvs-codec.ts';
import { PointsmanError } from '../model/errors.ts';
import { splitServiceKey, type ServiceKey } from '../model/names.ts';
import { counter, gauge, type MetricFamily, type MetricSample } from './metric-families.ts';
import { TrafficTotals, type ServiceTotals, type TrafficCounter } from './traffic-totals.ts';

/** Between two readings. */
export const TRAFFIC_READ_INTERVAL_MS = 10_000;

/** What it works on. */
export interface ServiceTrafficParts {
  /** What is asked for at present; `maxServices` is 1 or more. */
  readonly settings: () => { readonly isOn: boolean; readonly maxServices: number };
  /** All Services that are planned. */
  readonly serviceKeys: () => Iterable<ServiceKey>;
  /** The virtual servers that a Service has; ids as formatServiceKey writes them. */
  readonly virtualServersOf: (key: ServiceKey) => readonly { readonly id: string }[];
  /** Every virtual server of the kernel with its counters, in pieces, on a socket of its own. */
  readonly readPieces: () => AsyncIterable<readonly IpvsServiceState[]>;
  /** False where the kernel lets its counters stand still (net.ipv4.vs.run_estimation is 0): then there is nothing to tell. */
  readonly hasCounters: () => boolean;
  /** True while a sync waits or runs. */
  readonly isSyncing: () => boolean;
  /** Gives Node's loop a turn when it was held for long. */
  readonly pace: () => Promise<void>;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  /** Hears why the kernel could not be read, each message once in a row. */
  readonly onError: (message: string) => void;
}

/** See above. */
export class ServiceTraffic {
  private readonly parts: ServiceTrafficParts;
  private totals: TrafficTotals | null = null;
  private readAtMs: number | null = null;
  private reading: Promise<void> | null = null;
  private lastError = '';

  constructor(parts: ServiceTrafficParts) {
    this.parts = parts;
  }

  /** The metrics, after a reading if one is due; without samples where nothing is asked for or nothing is counted. */
  async collect(): Promise<MetricFamily[]> {
    const { settings, hasCounters } = this.parts;
    if (!settings().isOn || !hasCounters()) {
      this.forget();
      return families(new Map(), null, null);
    }
    if (this.isDue()) this.reading ??= this.read().finally(() => (this.reading = null));
    await this.reading;
    const { totals, readAtMs } = this;
    // Switched off while it was read.
    if (totals === null) return families(new Map(), null, null);
    const ageMs = readAtMs === null ? null : this.parts.now() - readAtMs;
    return families(totals.totals(), this.leftOut(), ageMs);
  }

  private isDue(): boolean {
    const { isSyncing, now } = this.parts;
    const isFresh = this.readAtMs !== null && now() - this.readAtMs < TRAFFIC_READ_INTERVAL_MS;
    return !isFresh && !isSyncing();
  }

  private forget(): void {
    this.totals = null;
    this.readAtMs = null;
  }

  private async read(): Promise<void> {
    const { isSyncing, now, onError, pace, readPieces } = this.parts;
    const totals = (this.totals ??= new TrafficTotals());
    totals.follow(this.followed());
    const startMs = now();
    try {
      for await (const piece of readPieces()) {
        for (const server of piece)
          if (server.stats !== null) totals.add(formatServiceKey(server), server.stats);
        if (isSyncing()) return;
        await pace();
      }
      if (this.totals === totals) this.readAtMs = startMs;
      this.lastError = '';
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      if (error.message !== this.lastError) onError(error.message);
      this.lastError = error.message;
    }
  }

  private followed(): Map<ServiceKey, readonly string[]> {
    const { serviceKeys, settings, virtualServersOf } = this.parts;
    const keys = [...serviceKeys()].sort().slice(0, settings().maxServices);
    return new Map(keys.map((key) => [key, virtualServersOf(key).map(({ id }) => id)]));
  }

  private leftOut(): number {
    let services = 0;
    for (const _ of this.parts.serviceKeys()) services++;
    return Math.max(0, services - this.parts.settings().maxServices);
  }
}

function families(
  totals: ReadonlyMap<ServiceKey, ServiceTotals>,
  leftOut: number | null,
  ageMs: number | null,
): MetricFamily[] {
  const samples = (
    ...columns: readonly (readonly [TrafficCounter, 'in' | 'out' | null])[]
  ): MetricSample[] => {
    const made: MetricSample[] = [];
    for (const [key, ofService] of totals) {
      const { namespace, name } = splitServiceKey(key);
      for (const [column, direction] of columns) {
        const labels = { namespace, service: name, ...(direction === null ? {} : { direction }) };
        made.push({ labels, value: ofService[column] });
      }
    }
    return made;
  };
  return [
    counter(
      'pointsman_service_connections_total',
      'Connections to a Service from this node or by way of it, since it was first read.',
      samples(['connections', null]),
    ),
    counter(
      'pointsman_service_packets_total',
      'Packets to (in) and from (out) a Service, since it was first read.',
      samples(['inPackets', 'in'], ['outPackets', 'out']),
    ),
    counter(
      'pointsman_service_bytes_total',
      'Bytes to (in) and from (out) a Service, since it was first read.',
      samples(['inBytes', 'in'], ['outBytes', 'out']),
    ),
    gauge(
      'pointsman_service_traffic_dropped_services',
      'Services whose traffic is left out because there are more than asked for.',
      leftOut ?? [],
    ),
    gauge(
      'pointsman_service_traffic_age_seconds',
      'How long ago the traffic of Services was read from the kernel.',
      ageMs === null ? [] : ageMs / 1000,
    ),
  ];
}
