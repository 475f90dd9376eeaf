// One HTTP server on one TCP address over its whole life: forwarding never waits for it. When its address cannot be had that is said once
// and tried again every five seconds, or, where the configuration wants that, start() fails. The address can change while it runs.

import type { Socket } from 'node:net';
import type { SocketAddress } from '../config/config.ts';
import type { Log } from '../daemon/log.ts';
import type { Timers } from '../daemon/sync-loop.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import { errorLine } from '../model/errors.ts';
import type { Answerer } from './answer.ts';
import { HttpEngine, type EngineLimits } from './http-engine.ts';
import { listen, type Listener } from './listening.ts';

/** After a failure to listen; kube-proxy's own time. */
const RETRY_MS = 5000;
/** Connections that could not be accepted are logged at most this often. */
const ACCEPT_ERRORS_MS = 60_000;

export interface TcpServerOptions {
  /** Begins the lines of its log: "Healthz server". */
  readonly title: string;
  /** null: it listens nowhere. */
  readonly address: SocketAddress | null;
  /** What start() does when the address cannot be had: fail, or resolve and try again until it can. */
  readonly onBindFailure: 'fail' | 'retry';
  readonly answerer: Answerer;
  readonly limits: EngineLimits;
  readonly log: Log;
  readonly timers: Timers;
}

/** See the head of this file. */
export class TcpServer {
  private readonly options: TcpServerOptions;
  private readonly engine: HttpEngine;
  private address: SocketAddress | null;
  private listener: Listener | null = null;
  private retryTimer: unknown = null;
  private isClosed = false;
  private lastError = '';
  private lastAcceptErrorMs = Number.NEGATIVE_INFINITY;
  /** One change of the listener at a time. */
  private working: Promise<void> = Promise.resolve();

  constructor(options: TcpServerOptions) {
    this.options = options;
    this.address = options.address;
    this.engine = new HttpEngine(options.limits, options.timers);
  }

  /** Where it listens now, null when it does not. */
  get bound(): SocketAddress | null {
    return this.listener?.bound ?? null;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.engine.size;
  }

  /** Resolves when it listens, or has failed for the first time. Rejects with LISTEN_FAILED only under onBindFailure 'fail'. */
  start(): Promise<void> {
    return this.inTurn(() => this.open(this.options.onBindFailure === 'fail'));
  }

  /**
   * Moves to another address, null = nowhere; nothing happens when it is the same. Open connections are cut. Never rejects: an agent that
   * runs is not ended by a change of its configuration, so it tries again whatever onBindFailure says.
   */
  rebind(address: SocketAddress | null): Promise<void> {
    return this.inTurn(async () => {
      if (isSame(address, this.address)) return;
      this.address = address;
      this.lastError = '';
      await this.shut();
      await this.open(false);
    });
  }

  /** Cuts all connections; the port is free when it resolves. */
  close(): Promise<void> {
    this.isClosed = true;
    return this.inTurn(() => this.shut());
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.working.then(work);
    this.working = done.catch(() => {});
    return done;
  }

  private async open(isFatal: boolean): Promise<void> {
    const { address } = this;
    const { answerer, log, timers, title } = this.options;
    if (address === null || this.isClosed || this.listener !== null) return;
    try {
      this.listener = await listen(address, 'any', {
        onConnection: (socket: Socket) => this.engine.serve(socket, answerer),
        onError: (error) => this.onAcceptError(error),
      });
      const { bound } = this.listener;
      const fields = { address: formatEndpoint(bound.address, bound.port) };
      if (this.lastError !== '') log.info(`${title} listens now`, fields);
      else log.verbose(3, `Starting ${title.toLowerCase()}`, fields);
      this.lastError = '';
    } catch (error) {
      const err = errorLine(error);
      if (err !== this.lastError) log.error(`${title} failed`, { err });
      this.lastError = err;
      if (isFatal) throw error;
      this.retryTimer = timers.set(() => void this.inTurn(() => this.open(false)), RETRY_MS);
    }
  }

  private async shut(): Promise<void> {
    this.options.timers.clear(this.retryTimer);
    const { listener } = this;
    this.listener = null;
    await listener?.close();
    this.engine.closeAll();
  }

  private onAcceptError(error: Error): void {
    const { log, timers, title } = this.options;
    const now = timers.now();
    if (now - this.lastAcceptErrorMs < ACCEPT_ERRORS_MS) return;
    this.lastAcceptErrorMs = now;
    log.warn(`${title} could not accept a connection`, { err: errorLine(error) });
  }
}

function isSame(a: SocketAddress | null, b: SocketAddress | null): boolean {
  return a?.address === b?.address && a?.port === b?.port;
}
