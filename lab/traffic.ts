// Traffic of the lab: servers and clients in any namespaces, as one object on the main thread. It checks the options, hands
// the work to one worker thread and sums up what came back. It makes no namespaces (topology.ts does) and needs root.

import { isIP } from 'node:net';
import { Worker } from 'node:worker_threads';
import { holdLibrary } from '../src/kernel/libc.ts';
import type {
  ConnectOptions,
  EchoOptions,
  ServerOptions,
  TrafficRequest,
  TrafficResponse,
} from './traffic-messages.ts';
import { summarize, type TrafficReport } from './traffic-report.ts';

export type {
  Attempt,
  ConnectOptions,
  EchoOptions,
  Outcome,
  Protocol,
  ServerOptions,
} from './traffic-messages.ts';
export type { TrafficReport } from './traffic-report.ts';

type Done = Exclude<TrafficResponse, { error: string }>;
type Distribute<T> = T extends unknown ? Omit<T, 'id'> : never;

interface Pending {
  readonly resolve: (done: Done) => void;
  readonly reject: (error: Error) => void;
}

const MAX_KEPT_OPEN = 4096;
const CLOSE_TIMEOUT_MS = 5000;

/** Servers and clients. Make one per process and close it at the end. */
export class Traffic {
  readonly #worker = startWorker();
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  #nextId = 1;
  #failure: Error | undefined;

  constructor() {
    this.#worker.on('message', (response: TrafficResponse) => {
      const pending = this.#pending.get(response.id);
      this.#pending.delete(response.id);
      if ('error' in response) pending?.reject(new Error(response.error));
      else pending?.resolve(response);
    });
    this.#worker.on('error', (error) =>
      this.#fail(error instanceof Error ? error : new Error(String(error))),
    );
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#fail(new Error('The traffic worker has ended'));
        resolve();
      });
    });
  }

  /**
   * Starts servers in order; all listen when it resolves. Rejects with the errno's name in the message when an address
   * cannot be bound; the servers before it stay.
   */
  async serve(servers: readonly ServerOptions[]): Promise<void> {
    for (const { name, address, port } of servers) {
      if (!/^[\w.-]{1,63}$/.test(name))
        throw new RangeError(`${JSON.stringify(name)} is no name for a server`);
      if (address !== undefined) requireAddress('address', address);
      requireInteger('port', port, 1, 65_535);
    }
    await this.#call({ op: 'serve', servers });
  }

  /** Closes all servers with this name and their connections; rejects when there is none. */
  async stop(name: string): Promise<void> {
    await this.#call({ op: 'stop', name });
  }

  /** Makes `count` new connections, each closed after its answer, and reports. Failed attempts do not reject. */
  async connect(options: ConnectOptions): Promise<TrafficReport> {
    checkConnectOptions(options, 100_000);
    const { attempts = [] } = await this.#call({ op: 'connect', options, keepOpen: false });
    return summarize(attempts);
  }

  /** As connect(), but the answered connections stay open. */
  async open(options: ConnectOptions): Promise<OpenConnections> {
    checkConnectOptions(options, MAX_KEPT_OPEN);
    if (options.sourcePort !== undefined && (options.count ?? 1) > 1) {
      throw new RangeError('Only one open connection can have a given sourcePort');
    }
    const { attempts = [], group = 0 } = await this.#call({ op: 'connect', options, keepOpen: true });
    return {
      report: summarize(attempts),
      echo: async (echoOptions = {}) => {
        checkTimes(echoOptions);
        const echoed = await this.#call({ op: 'echo', group, options: echoOptions });
        return summarize(echoed.attempts ?? []);
      },
      close: async () => {
        await this.#call({ op: 'closeGroup', group, isAbort: false });
      },
      abort: async () => {
        await this.#call({ op: 'closeGroup', group, isAbort: true });
      },
    };
  }

  /** Closes all servers and connections and ends the worker; calls that still wait reject. Again does nothing. */
  async close(): Promise<void> {
    if (this.#failure === undefined) {
      const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_TIMEOUT_MS);
      try {
        await this.#call({ op: 'close' });
        await this.#exited;
      } finally {
        clearTimeout(timer);
      }
    }
    await this.#exited;
  }

  #call(request: Distribute<TrafficRequest>): Promise<Done> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id });
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }
}

function startWorker(): Worker {
  // An exception or process.exit of the main thread ends the worker with its sockets open, which must not hide the exit code.
  holdLibrary();
  return new Worker(new URL('./traffic-worker.ts', import.meta.url), { name: 'traffic' });
}

/** Connections that stay open between questions. */
export interface OpenConnections {
  /** Of the first question on each. */
  readonly report: TrafficReport;
  /** Asks once more on each, in order of index. One that ended in between reports how ('reset' for RST and orderly end). */
  echo(options?: EchoOptions): Promise<TrafficReport>;
  /** Closes them. */
  close(): Promise<void>;
  /** Closes them, those of TCP by RST: IPVS forgets such a connection after 10 s, one that ended orderly after 2 minutes. */
  abort(): Promise<void>;
}

function checkConnectOptions(options: ConnectOptions, maxCount: number): void {
  requireAddress('address', options.address);
  requireInteger('port', options.port, 1, 65_535);
  requireInteger('count', options.count ?? 1, 1, maxCount);
  if (options.sourcePort !== undefined) requireInteger('sourcePort', options.sourcePort, 1, 65_535);
  if (options.sourceAddress !== undefined) {
    requireAddress('sourceAddress', options.sourceAddress);
    if (isIP(options.sourceAddress) !== isIP(options.address)) {
      throw new RangeError(
        `sourceAddress ${options.sourceAddress} is not of the family of ${options.address}`,
      );
    }
  }
  requireInteger('overallTimeoutMs', options.overallTimeoutMs ?? 1, 1, 600_000);
  checkTimes(options);
}

function checkTimes(options: EchoOptions): void {
  requireInteger('timeoutMs', options.timeoutMs ?? 1, 1, 60_000);
  requireInteger('concurrency', options.concurrency ?? 1, 1, 1024);
}

function requireAddress(field: string, address: string): void {
  if (isIP(address) === 0) throw new RangeError(`${field} ${JSON.stringify(address)} is not an IP address`);
}

function requireInteger(field: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${field} is from ${min} to ${max}, not ${value}`);
}
