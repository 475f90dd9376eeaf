// `top`: live rates per virtual server and real server, from differences of counters and not
// from the kernel's smoothed estimates. This file is the
// loop: read, wait, show. What is counted is in top-rates.ts, what is shown in top-rows.ts, how in top-view.ts. It changes nothing.

import type { IpvsadmIo, IpvsTable } from './io.ts';
import { tellOf, withTable } from './open.ts';
import { EXIT } from './refusal.ts';
import { TopReader, type TopReading } from './top-reading.ts';
import { arrangeRows, compileFilter, type Arrangement, type TopSort } from './top-rows.ts';
import {
  FROZEN_NOTE,
  formatTopBlock,
  formatTopJson,
  formatTopScreen,
  SCREEN_END,
  SCREEN_START,
} from './top-view.ts';
import { EndpointFormatter } from './endpoint-text.ts';

export { TOP_SORTS, type TopSort } from './top-rows.ts';

/** What `top` is asked for; DEFAULT_TOP_OPTIONS has what holds when nothing is said. */
export interface TopOptions {
  /** Between two reads: MIN_TOP_INTERVAL_MS, or more. Rates are over RATE_WINDOW_MS at least, which is the kernel's own step. */
  readonly intervalMs: number;
  /** How often rates are shown, from 1; null = until the user ends it on a terminal, once otherwise. */
  readonly iterations: number | null;
  readonly sort: TopSort;
  /** ADDRESS, ADDRESS:PORT or :PORT exactly, else a part of "TCP 10.96.0.10:80" (services) or "10.0.0.1:8080" (servers). */
  readonly filter: string | null;
  /** Lines of services and servers, from 1; null = what the terminal holds, all otherwise. */
  readonly limit: number | null;
  readonly hasServers: boolean;
  /** Addresses and ports as numbers, not names. */
  readonly isNumeric: boolean;
  /** One JSON object per line and iteration, never a screen. */
  readonly isJson: boolean;
}

/** Readings are kept for two seconds: more of them would cost memory and show the same. */
export const MIN_TOP_INTERVAL_MS = 500;

export const DEFAULT_TOP_OPTIONS: TopOptions = {
  intervalMs: 1000,
  iterations: null,
  sort: 'cps',
  filter: null,
  limit: null,
  hasServers: true,
  isNumeric: false,
  isJson: false,
};

/**
 * Runs until `iterations` are shown or io.signal ends it. Exit code 0; 1 when the kernel's table can no longer be read; 2 when it
 * cannot be opened.
 */
export async function topCommand(options: TopOptions, io: IpvsadmIo): Promise<number> {
  const isScreen = !options.isJson && io.terminal() !== null;
  const wishes: Wishes = {
    sort: options.sort,
    filter: options.filter === null ? null : compileFilter(options.filter),
    hasServers: options.hasServers,
  };
  const show = isScreen ? screenOf(options, wishes, io) : streamOf(options, wishes, io);
  const readAndShow = async (table: IpvsTable): Promise<number> => {
    try {
      if (isScreen) io.out(SCREEN_START);
      return await run(options, wishes, new TopReader(table, io), show, io);
    } finally {
      show.end();
    }
  };
  return withTable(io, readAndShow, tellOf('top', io));
}

type Wishes = Omit<Arrangement, 'limit'>;

interface Show {
  /** How many lines it has room for; Infinity for all. */
  readonly room: () => number;
  readonly show: (reading: TopReading) => void;
  /** Whether the first readings, which have no rates, are worth to be seen. */
  readonly showsFirst: boolean;
  /** Leaves the terminal as it was. */
  readonly end: () => void;
}

async function run(
  options: TopOptions,
  wishes: Wishes,
  reader: TopReader,
  show: Show,
  io: IpvsadmIo,
): Promise<number> {
  const iterations = options.iterations ?? (io.terminal() === null ? 1 : Infinity);
  for (let shown = 0; ;) {
    const startMs = io.nowMs();
    const reading = await reader.read(wishes, show.room());
    if (io.signal.aborted || reading === null) return EXIT.GOOD;
    const hasRates = reading.seconds !== null;
    if (hasRates || show.showsFirst) show.show(reading);
    if (hasRates && ++shown >= iterations) return EXIT.GOOD;
    // Where a reading takes long, it takes no more than half of the time.
    const workMs = io.nowMs() - startMs;
    const intervalMs = Math.max(options.intervalMs, MIN_TOP_INTERVAL_MS);
    await io.wait(Math.max(intervalMs - workMs, workMs), io.signal);
    if (io.signal.aborted) return EXIT.GOOD;
  }
}

function streamOf(options: TopOptions, wishes: Wishes, io: IpvsadmIo): Show {
  const endpoints = new EndpointFormatter(options.isNumeric ? null : io.names);
  const limit = options.limit ?? Infinity;
  let isFirst = true;
  return {
    // Every server has a rate at once, also in the only block.
    room: () => Infinity,
    showsFirst: false,
    show: (reading) => {
      const rows = arrangeRows(reading.rows, { ...wishes, limit });
      if (isFirst && reading.isFrozen) io.err(`${io.program} top: note: ${FROZEN_NOTE}\n`);
      if (options.isJson) io.out(formatTopJson(reading, rows));
      else io.out(`${isFirst ? '' : '\n'}${formatTopBlock(reading.total, rows, endpoints)}`);
      isFirst = false;
    },
    end: () => {},
  };
}

function screenOf(options: TopOptions, wishes: Wishes, io: IpvsadmIo): Show {
  const endpoints = new EndpointFormatter(options.isNumeric ? null : io.names);
  const sizeNow = (): { columns: number; rows: number } => io.terminal() ?? { columns: 80, rows: 24 };
  const limitNow = (): number => Math.min(options.limit ?? Infinity, sizeNow().rows);
  return {
    room: limitNow,
    showsFirst: true,
    show: (reading) => {
      const rows = arrangeRows(reading.rows, { ...wishes, limit: limitNow() });
      const { sort } = options;
      const { seconds, isFrozen, total } = reading;
      const head = { program: io.program, sort, seconds, isFrozen, total, services: reading.rows.length };
      io.out(formatTopScreen(head, rows, endpoints, sizeNow()));
    },
    end: () => io.out(SCREEN_END),
  };
}
