// The lab's clients, in the traffic worker: they run many connections, some at a time, begun in order of index, and keep those
// that stay open. What is said on one connection is the matter of traffic-connection.ts; no attempt is repeated.

import type { NetnsSwitch } from './netns-switch.ts';
import { ClientConnection } from './traffic-connection.ts';
import type { Attempt, ConnectOptions, EchoOptions } from './traffic-messages.ts';

const NOT_STARTED: Attempt = {
  outcome: 'notStarted',
  server: null,
  sourceAddress: null,
  sourcePort: null,
  startedAtMs: 0,
  latencyMs: 0,
};

/** All clients of a worker. */
export class TrafficClients {
  readonly #netns: NetnsSwitch;
  readonly #running = new Set<ClientConnection>();
  readonly #groups = new Map<number, readonly ClientConnection[]>();
  #nextGroup = 1;
  #isClosed = false;

  constructor(netns: NetnsSwitch) {
    this.#netns = netns;
  }

  /** Makes the connections and closes each after its attempt. */
  async connect(options: ConnectOptions): Promise<Attempt[]> {
    const timeoutMs = options.timeoutMs ?? 2000;
    return this.#run(
      Array.from({ length: options.count ?? 1 }),
      concurrencyOf(options),
      options.overallTimeoutMs ?? 600_000,
      async () => {
        const connection = new ClientConnection(options);
        const attempt = await this.#start(connection, options, timeoutMs);
        const givesBack =
          options.sourcePort !== undefined && options.protocol !== 'UDP' && attempt.outcome === 'answered';
        if (givesBack) await connection.closeAfterServer(timeoutMs);
        connection.close();
        this.#running.delete(connection);
        return attempt;
      },
    );
  }

  /** Makes the connections and keeps them open under the number `group`. */
  async open(options: ConnectOptions): Promise<{ group: number; attempts: Attempt[] }> {
    const connections = Array.from({ length: options.count ?? 1 }, () => new ClientConnection(options));
    const group = this.#nextGroup++;
    this.#groups.set(group, connections);
    const attempts = await this.#run(
      connections,
      concurrencyOf(options),
      options.overallTimeoutMs ?? 600_000,
      (connection) => this.#start(connection, options, options.timeoutMs ?? 2000),
    );
    for (const [index, connection] of connections.entries()) {
      const outcome = attempts[index]?.outcome ?? 'notStarted';
      if (outcome === 'answered') continue;
      connection.close(outcome);
      this.#running.delete(connection);
    }
    return { group, attempts };
  }

  /** Asks once on each connection of the group, in order of index. */
  echo(group: number, options: EchoOptions): Promise<Attempt[]> {
    const connections = this.#groups.get(group);
    if (connections === undefined) throw new Error(`The connections of group ${group} are closed`);
    return this.#run(connections, options.concurrency ?? 64, 600_000, (connection) =>
      connection.echo(options.timeoutMs ?? 2000),
    );
  }

  /** Closes the group's connections, with `isAbort` those of TCP by RST; an unknown group is closed already. */
  closeGroup(group: number, isAbort: boolean): void {
    for (const connection of this.#groups.get(group) ?? []) {
      if (isAbort) connection.abort();
      connection.close();
      this.#running.delete(connection);
    }
    this.#groups.delete(group);
  }

  /** Closes everything and starts nothing any more. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#running) connection.close();
    this.#running.clear();
    this.#groups.clear();
  }

  #start(connection: ClientConnection, options: ConnectOptions, timeoutMs: number): Promise<Attempt> {
    this.#running.add(connection);
    this.#netns.enter(options.from.netnsPath);
    return connection.start(timeoutMs);
  }

  async #run<T>(
    items: readonly T[],
    concurrency: number,
    overallTimeoutMs: number,
    begin: (item: T) => Promise<Attempt>,
  ): Promise<Attempt[]> {
    const attempts: Attempt[] = items.map(() => NOT_STARTED);
    const lastStartMs = performance.now() + overallTimeoutMs;
    // All lanes draw from one iterator, so items begin in their order.
    const queue = items.entries();
    const lane = async (): Promise<void> => {
      for (const [index, item] of queue) {
        if (this.#isClosed || performance.now() >= lastStartMs) return;
        attempts[index] = await begin(item);
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, lane));
    return attempts;
  }
}

function concurrencyOf(options: ConnectOptions): number {
  return options.sourcePort === undefined ? (options.concurrency ?? 8) : 1;
}
