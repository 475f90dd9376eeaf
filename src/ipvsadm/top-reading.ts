// Reads what `top` shows: one dump of the virtual servers with their counters, and the real servers of those that are shown or that
// order and filter depend on. Each listing has its own time, since reading a large table takes a while. It only reads.

import { formatEndpoint, formatServiceKey } from '../kernel/ipvs-codec.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { keyOfService, turnAt } from './table.ts';
import { RATE_WINDOW_MS, RateMeter, type Rates } from './top-rates.ts';
import { servicesToRead, sumConnections, type Arrangement, type TopService } from './top-rows.ts';
import { parsePercpuStats, PERCPU_STATS, RUN_ESTIMATION } from './top-total.ts';

/** One look at the table. */
export interface TopReading {
  /** What the rates are over; null while there are none. */
  readonly seconds: number | null;
  /** True while the kernel does not count for services and servers: their rates are null. */
  readonly isFrozen: boolean;
  /** Of the whole network namespace; null while not known. */
  readonly total: Rates | null;
  /** All virtual servers, in the kernel's order. */
  readonly rows: readonly TopService[];
}

/** Services below the last line whose servers are read too, so that they have rates when they come up. */
const READ_AHEAD = 256;

const SERVICES = '';
const TOTAL = 'total';

export class TopReader {
  private readonly table: IpvsTable;
  private readonly io: IpvsadmIo;
  private readonly meter = new RateMeter();
  /** Apart, because what is counted per processor never stands still. */
  private readonly totalMeter = new RateMeter();
  private firstMs: number | null = null;
  /** Since when the kernel counts, as far as was seen; null while it does not. */
  private countsSinceMs: number | null = -Infinity;
  private hadRates = true;

  constructor(table: IpvsTable, io: IpvsadmIo) {
    this.table = table;
    this.io = io;
  }

  /**
   * Reads once; servers at least for the first `room` services in the order of `wishes`. Null when io.signal ended it. Throws what the
   * table throws.
   */
  async read(wishes: Omit<Arrangement, 'limit'>, room: number): Promise<TopReading | null> {
    const { isFrozen, hasRates } = this.observeEstimation();
    if (!hasRates || !this.hadRates) this.meter.clear();
    this.hadRates = hasRates;
    this.meter.begin();
    const { total, seconds: totalSeconds } = this.readTotal();
    const services = await this.table.services(true);
    const { rates, seconds } = this.meter.measure(SERVICES, services, formatServiceKey, this.io.nowMs());
    const rows = new Map<string, TopService>();
    for (const [index, service] of services.entries()) {
      const id = formatServiceKey(service);
      rows.set(id, { id, service, rates: rates[index] ?? null, servers: null, connections: null });
    }
    const toRead = servicesToRead([...rows.values()], wishes, room + READ_AHEAD);
    for (const [index, row] of toRead.entries()) {
      await turnAt(index);
      if (this.io.signal.aborted) return null;
      rows.set(row.id, await this.withServers(row));
    }
    return {
      seconds: isFrozen ? (totalSeconds ?? this.secondsOfWaiting()) : seconds,
      isFrozen,
      total,
      rows: [...rows.values()],
    };
  }

  /** Once switched on, the first step brings all that was not counted before: it is no rate. */
  private observeEstimation(): { readonly isFrozen: boolean; readonly hasRates: boolean } {
    const isFrozen = this.readText(RUN_ESTIMATION)?.trim() === '0';
    const nowMs = this.io.nowMs();
    this.firstMs ??= nowMs;
    this.countsSinceMs = isFrozen ? null : (this.countsSinceMs ?? nowMs);
    const hasRates = this.countsSinceMs !== null && nowMs - this.countsSinceMs > RATE_WINDOW_MS * 1.25;
    return { isFrozen, hasRates };
  }

  /** As long as for rates is waited for them where there will be none. */
  private secondsOfWaiting(): number | null {
    const waitedMs = this.io.nowMs() - (this.firstMs ?? 0);
    return waitedMs >= RATE_WINDOW_MS ? waitedMs / 1000 : null;
  }

  private readTotal(): { readonly total: Rates | null; readonly seconds: number | null } {
    const text = this.readText(PERCPU_STATS);
    const stats = text === null ? null : parsePercpuStats(text);
    if (stats === null) return { total: null, seconds: null };
    this.totalMeter.begin();
    const { rates, seconds } = this.totalMeter.measure(TOTAL, [{ stats }], () => TOTAL, this.io.nowMs());
    return { total: rates[0] ?? null, seconds };
  }

  private readText(path: string): string | null {
    try {
      return this.io.readFile(path);
    } catch {
      return null;
    }
  }

  private async withServers(row: TopService): Promise<TopService> {
    const states = await this.table.destinations(keyOfService(row.service), true);
    const idOf = ({ address, port }: (typeof states)[number]): string => formatEndpoint(address, port);
    const { rates } = this.meter.measure(row.id, states, idOf, this.io.nowMs());
    const servers = states.map((server, index) => ({ server, rates: rates[index] ?? null }));
    return { ...row, servers, connections: sumConnections(servers) };
  }
}
