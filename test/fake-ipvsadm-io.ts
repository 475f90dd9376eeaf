// A world for unit tests of the command: what it writes is gathered, its clock moves only while it waits, and things happen at times
// that the test names. The table is a FakeIpvsTable.

import type { IpvsadmIo } from '../src/ipvsadm/io.ts';
import type { NameService } from '../src/kernel/name-service.ts';
import { FakeIpvsTable } from './fake-ipvs-table.ts';

const NO_NAMES: NameService = {
  addressOfHost: () => null,
  hostOfAddress: () => null,
  portOfService: () => null,
  serviceOfPort: () => null,
};
/** A command that waits for ever is a defect of the test or of the command. */
const MAX_WAITS = 100_000;

export class FakeIpvsadmIo implements IpvsadmIo {
  readonly table: FakeIpvsTable;
  readonly program = 'ipvsadm';
  /** What was written, piece by piece. */
  readonly pieces: string[] = [];
  errors = '';
  names: NameService = NO_NAMES;
  readonly files = new Map<string, string>();
  size: { columns: number; rows: number } | null = null;
  private readonly controller = new AbortController();
  private readonly events: { readonly atMs: number; readonly run: () => void }[] = [];
  private timeMs = 0;
  private waits = 0;

  constructor(table: FakeIpvsTable = new FakeIpvsTable()) {
    this.table = table;
  }

  get stdout(): string {
    return this.pieces.join('');
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Does something when the clock shows `atMs`; it starts at 0. */
  at(atMs: number, run: () => void): void {
    this.events.push({ atMs, run });
    this.events.sort((a, b) => a.atMs - b.atMs);
  }

  /** As when the user presses Ctrl-C. */
  interrupt(): void {
    this.controller.abort('SIGINT');
  }

  /** Lets time pass without a wait, as work does. */
  pass(ms: number): void {
    this.timeMs += ms;
  }

  readonly out = (text: string): void => void this.pieces.push(text);
  readonly err = (text: string): void => void (this.errors += text);
  readonly stdin = (): Iterable<string> => [];
  readonly readConnections = (): string => '';
  readonly nowMs = (): number => this.timeMs;
  readonly terminal = (): { columns: number; rows: number } | null => this.size;

  /** Each opening of the one table, closed before or not. */
  readonly openTable = (): FakeIpvsTable => {
    this.table.isClosed = false;
    return this.table;
  };

  readonly readFile = (path: string): string => {
    const text = this.files.get(path);
    if (text === undefined)
      throw Object.assign(new Error(`ENOENT: no such file ${path}`), { code: 'ENOENT' });
    return text;
  };

  readonly wait = async (ms: number, signal?: AbortSignal): Promise<void> => {
    if (++this.waits > MAX_WAITS) throw new Error('the command waits for ever');
    const untilMs = this.timeMs + ms;
    while (signal?.aborted !== true) {
      const next = this.events[0];
      if (next === undefined || next.atMs > untilMs) {
        this.timeMs = Math.max(this.timeMs, untilMs);
        return;
      }
      this.events.shift();
      this.timeMs = Math.max(this.timeMs, next.atMs);
      next.run();
    }
  };
}
