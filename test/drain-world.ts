// A table with one virtual server of two real servers, a memory without a file, and the commands drain and undrain on them: what the
// unit tests of both begin with.

import type { IpvsDestination, ServiceKey } from '../src/kernel/ipvs-codec.ts';
import { DEFAULT_DRAIN_OPTIONS, drainCommand, type DrainOptions } from '../src/ipvsadm/drain.ts';
import type { DrainMemory } from '../src/ipvsadm/drain-memory.ts';
import { undrainCommand, type UndrainOptions } from '../src/ipvsadm/drain-undo.ts';
import { realServer, serviceKey, type FakeIpvsTable } from './fake-ipvs-table.ts';
import { FakeIpvsadmIo } from './fake-ipvsadm-io.ts';

export const WEB = serviceKey('10.96.0.10', 80);
export const TLS = serviceKey('10.96.0.10', 443);
export const DNS = serviceKey('10.96.0.2', 53, 17);
export const MARK: ServiceKey = { family: 'IPv4', fwmark: 7 };
export const SERVER = realServer('10.0.0.1', 8080, { weight: 5 });
export const OTHER = realServer('10.0.0.2', 8080);

export class DrainWorld {
  readonly io = new FakeIpvsadmIo();
  readonly table: FakeIpvsTable = this.io.table;
  /** What is remembered: weights by "service -> server". */
  readonly weights = new Map<string, number>();
  /** What is wrong with the memory. */
  memoryNote: string | null = null;

  constructor() {
    this.table.put(WEB, [SERVER, OTHER]);
  }

  private readonly memory: DrainMemory = {
    read: () => ({
      weightOf: ({ service, server }) => this.weights.get(`${service} -> ${server}`) ?? null,
      note: this.memoryNote,
    }),
    change: async (put, forget) => {
      for (const { service, server } of forget) this.weights.delete(`${service} -> ${server}`);
      for (const { service, server, weight } of put) this.weights.set(`${service} -> ${server}`, weight);
      return this.memoryNote;
    },
  };

  /** SERVER of WEB unless told otherwise. */
  readonly drain = (options: Partial<DrainOptions> = {}): Promise<number> => {
    const all = { ...DEFAULT_DRAIN_OPTIONS, service: WEB, address: SERVER.address, port: 8080, ...options };
    return drainCommand(all, this.io, this.memory);
  };

  readonly undrain = (options: Partial<UndrainOptions> = {}): Promise<number> => {
    const choice = { service: WEB, address: SERVER.address, port: 8080 };
    return undrainCommand({ ...choice, weight: null, isJson: false, ...options }, this.io, this.memory);
  };

  /** Sets how many connections the kernel counts. */
  readonly hold = (
    active: number,
    inactive = 0,
    persistent = 0,
    key = WEB,
    server: IpvsDestination = SERVER,
  ): void => {
    const counts = {
      activeConnections: active,
      inactiveConnections: inactive,
      persistentConnections: persistent,
    };
    this.table.setConnections(key, server, counts);
  };

  /** What was written, as JSON objects. */
  readonly events = (): Record<string, unknown>[] =>
    this.io.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
}
