// The lab's clients, in the traffic worker: they connect, ask, and tell how each attempt ended. No attempt is repeated and
// none outlives its time. Attempts begin in order of index. Source of truth for the words is traffic-wire.ts.

import {
  EINPROGRESS,
  EAGAIN,
  MSG_NOSIGNAL,
  SOL_SOCKET,
  SO_ERROR,
  connect,
  errnoName,
  getsockoptInt,
  recv,
  send,
} from '../src/kernel/libc.ts';
import type { NetnsSwitch } from './netns-switch.ts';
import { addressFamily, encodeSocketAddress } from './socket-address.ts';
import type { Attempt, ConnectOptions, EchoOptions, Outcome } from './traffic-messages.ts';
import { SocketError, WatchedSocket, openSocket, type BindTo } from './traffic-socket.ts';
import {
  GOODBYE,
  LineBuffer,
  MAX_LINE_BYTES,
  encodeQuestion,
  parseAnswer,
  type Answer,
} from './traffic-wire.ts';

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timedOut',
};

const NOT_STARTED: Attempt = {
  outcome: 'notStarted',
  server: null,
  sourceAddress: null,
  sourcePort: null,
  latencyMs: 0,
};

// One for all: what lies in it is copied into lines before anything else is received.
const RECEIVED = new Uint8Array(4 * MAX_LINE_BYTES);

interface Question {
  readonly seq: number;
  readonly startedAtMs: number;
  readonly timer: NodeJS.Timeout;
  readonly settle: (attempt: Attempt) => void;
}

/** One client socket, from its creation until it is closed. */
class ClientConnection {
  readonly #options: ConnectOptions;
  readonly #lines = new LineBuffer();
  #socket: WatchedSocket | undefined;
  #question: Question | undefined;
  #nextSeq = 0;
  #ended: Outcome | undefined;
  #onEnd: (() => void) | undefined;

  constructor(options: ConnectOptions) {
    this.#options = options;
  }

  /** Connects from the namespace the thread is in and waits for the first answer. */
  start(timeoutMs: number): Promise<Attempt> {
    const { protocol, address, port } = this.#options;
    return this.#ask(timeoutMs, () => {
      const fd = openSocket(protocol, address, bindTo(this.#options));
      this.#socket = new WatchedSocket(fd, () => this.#read());
      const connected = connect(fd, encodeSocketAddress(address, port));
      if (connected.errno !== 0 && connected.errno !== EINPROGRESS)
        throw new SocketError('connect', connected.errno);
      if (protocol === 'UDP') this.#send(encodeQuestion(0));
    });
  }

  /** Asks again on the open connection; on one that ended it says at once how that was. */
  echo(timeoutMs: number): Promise<Attempt> {
    return this.#ask(timeoutMs, (seq) => this.#send(encodeQuestion(seq)));
  }

  /** Lets the server close first, so that no TIME_WAIT keeps this side's port; closes anyway when the time is over. */
  closeAfterServer(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#end('timedOut'), timeoutMs);
      this.#onEnd = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#ended !== undefined) return this.#onEnd();
      try {
        this.#send(GOODBYE);
      } catch {
        this.#end('reset');
      }
    });
  }

  /** Closes the socket; an attempt that waits, and every later question, ends as `outcome`. */
  close(outcome: Outcome = 'notStarted'): void {
    this.#end(outcome);
  }

  #ask(timeoutMs: number, begin: (seq: number) => void): Promise<Attempt> {
    return new Promise((resolve) => {
      const seq = this.#nextSeq++;
      const timer = setTimeout(() => this.#finish('timedOut'), timeoutMs);
      this.#question = { seq, startedAtMs: performance.now(), timer, settle: resolve };
      if (this.#ended !== undefined) return this.#finish(this.#ended);
      try {
        begin(seq);
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        this.#end(outcomeOf(error.errno));
      }
    });
  }

  #send(bytes: Buffer): void {
    const sent = send(this.#socket?.fd ?? -1, bytes, bytes.length, MSG_NOSIGNAL);
    if (sent.errno !== 0) throw new SocketError('send', sent.errno);
  }

  #read(): void {
    for (;;) {
      const socket = this.#socket;
      if (socket === undefined || !socket.isOpen) return;
      const received = recv(socket.fd, RECEIVED, 0);
      if (received.errno === EAGAIN) return socket.restart();
      if (received.errno !== 0) {
        const name = errnoName(received.errno);
        // An SCTP socket says ENOTCONN while the reason lies in SO_ERROR; 0 there means that it still connects.
        if (name === 'ENOTCONN') {
          const pending = getsockoptInt(socket.fd, SOL_SOCKET, SO_ERROR).value;
          if (pending === 0) return socket.restart();
          return this.#end(outcomeOf(errnoName(pending)));
        }
        if (this.#options.protocol !== 'UDP') return this.#end(outcomeOf(name));
        // A datagram socket stays usable after an ICMP error.
        this.#finish(outcomeOf(name));
        socket.restart();
        continue;
      }
      if (received.value === 0 && this.#options.protocol !== 'UDP') return this.#end('reset');
      for (const line of this.#lines.push(RECEIVED.subarray(0, received.value))) {
        const answer = parseAnswer(line);
        // A late answer to an earlier question that already timed out is not the one waited for.
        if (answer !== null && answer.seq === this.#question?.seq) this.#finish('answered', answer);
      }
    }
  }

  #finish(outcome: Outcome, answer?: Answer): void {
    const question = this.#question;
    if (question === undefined) return;
    this.#question = undefined;
    clearTimeout(question.timer);
    question.settle({
      outcome,
      server: answer?.server ?? null,
      sourceAddress: answer?.address ?? null,
      sourcePort: answer?.port ?? null,
      latencyMs: performance.now() - question.startedAtMs,
    });
  }

  #end(outcome: Outcome): void {
    this.#ended ??= outcome;
    this.#socket?.close();
    this.#finish(outcome);
    this.#onEnd?.();
    this.#onEnd = undefined;
  }
}

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
      options.count ?? 1,
      concurrencyOf(options),
      options.overallTimeoutMs ?? 60_000,
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
    const count = options.count ?? 1;
    const connections = Array.from({ length: count }, () => new ClientConnection(options));
    const group = this.#nextGroup++;
    this.#groups.set(group, connections);
    const attempts = await this.#run(
      count,
      concurrencyOf(options),
      options.overallTimeoutMs ?? 60_000,
      (index) => this.#start(connections[index] as ClientConnection, options, options.timeoutMs ?? 2000),
    );
    for (const [index, attempt] of attempts.entries()) {
      if (attempt.outcome === 'answered') continue;
      connections[index]?.close(attempt.outcome);
      if (connections[index] !== undefined) this.#running.delete(connections[index]);
    }
    return { group, attempts };
  }

  /** Asks once on each connection of the group, in order of index. */
  echo(group: number, options: EchoOptions): Promise<Attempt[]> {
    const connections = this.#groups.get(group);
    if (connections === undefined) throw new Error(`The connections of group ${group} are closed`);
    return this.#run(connections.length, options.concurrency ?? 64, 600_000, (index) =>
      (connections[index] as ClientConnection).echo(options.timeoutMs ?? 2000),
    );
  }

  /** Closes the group's connections; an unknown group is closed already. */
  closeGroup(group: number): void {
    for (const connection of this.#groups.get(group) ?? []) {
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

  async #run(
    count: number,
    concurrency: number,
    overallTimeoutMs: number,
    begin: (index: number) => Promise<Attempt>,
  ): Promise<Attempt[]> {
    const attempts: Attempt[] = Array.from({ length: count }, () => NOT_STARTED);
    const lastStartMs = performance.now() + overallTimeoutMs;
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count && !this.#isClosed && performance.now() < lastStartMs) {
        const index = next++;
        attempts[index] = await begin(index);
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
    return attempts;
  }
}

function concurrencyOf(options: ConnectOptions): number {
  return options.sourcePort === undefined ? (options.concurrency ?? 8) : 1;
}

function bindTo(options: ConnectOptions): BindTo | undefined {
  if (options.sourceAddress === undefined && options.sourcePort === undefined) return undefined;
  const wildcard = addressFamily(options.address) === addressFamily('0.0.0.0') ? '0.0.0.0' : '::';
  return { address: options.sourceAddress ?? wildcard, port: options.sourcePort ?? 0 };
}

function outcomeOf(errno: string): Outcome {
  return OUTCOMES[errno] ?? errno;
}
