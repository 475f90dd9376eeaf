// One client socket of the lab, in the traffic worker: it connects, asks, and tells how each question ended. Nothing is repeated
// and no question outlives its time. Source of truth for the words is traffic-wire.ts; errno values are those of connect(2), recv(2).

import {
  EAGAIN,
  EINPROGRESS,
  MSG_NOSIGNAL,
  SOL_SOCKET,
  SO_ERROR,
  connect,
  errnoName,
  getsockoptInt,
  recv,
  send,
} from '../src/kernel/libc.ts';
import { SOCKADDR_BYTES, addressFamily, encodeSocketAddress } from './socket-address.ts';
import type { Attempt, ConnectOptions, Outcome } from './traffic-messages.ts';
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

// One for all: what lies in it is copied into lines before anything else is received.
const RECEIVED = new Uint8Array(4 * MAX_LINE_BYTES);

interface Question {
  readonly seq: number;
  readonly startedAtMs: number;
  readonly timer: NodeJS.Timeout;
  readonly settle: (attempt: Attempt) => void;
}

/** One client socket, from its creation until it is closed. */
export class ClientConnection {
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

  /** Ends a TCP connection by RST; does nothing to others. Close the socket afterwards. */
  abort(): void {
    // connect(2): an address of family AF_UNSPEC dissolves the association, and TCP tells the other side at once.
    if (this.#options.protocol === 'TCP' && this.#socket?.isOpen === true)
      connect(this.#socket.fd, new Uint8Array(SOCKADDR_BYTES));
  }

  /** Closes the socket; an attempt that waits, and every later question, ends as `outcome`. */
  close(outcome: Outcome = 'notStarted'): void {
    this.#end(outcome);
  }

  #ask(timeoutMs: number, begin: (seq: number) => void): Promise<Attempt> {
    return new Promise((resolve) => {
      if (this.#question !== undefined)
        throw new Error('One question at a time: an earlier echo() still waits');
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
      startedAtMs: performance.timeOrigin + question.startedAtMs,
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

// The kernel draws UDP and SCTP ports at random, so it soon draws one that IPVS still has a connection entry for, and that
// entry, not the scheduler, picks the server. These lie below the kernel's range (32768 on) and the NodePorts (30000 on).
const FIRST_SOURCE_PORT = 20_000;
const SOURCE_PORTS = 10_000;
let sourcePortsUsed = 0;

function bindTo(options: ConnectOptions): BindTo | undefined {
  const isKernelsChoice = options.protocol === 'TCP' && options.sourcePort === undefined;
  if (isKernelsChoice && options.sourceAddress === undefined) return undefined;
  const wildcard = addressFamily(options.address) === addressFamily('0.0.0.0') ? '0.0.0.0' : '::';
  const chosen = isKernelsChoice ? 0 : FIRST_SOURCE_PORT + (sourcePortsUsed++ % SOURCE_PORTS);
  return { address: options.sourceAddress ?? wildcard, port: options.sourcePort ?? chosen };
}

function outcomeOf(errno: string): Outcome {
  return OUTCOMES[errno] ?? errno;
}
