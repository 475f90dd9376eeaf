// The agent's socket over its whole life: forwarding never waits for it and never ends because of it. When it cannot be made (disk full or
// read-only, a file in the way, another agent there) that is said once, and it is tried again; so is it when its file goes away.

import type { Log } from '../daemon/log.ts';
import type { Timers } from '../daemon/sync-loop.ts';
import type { PeerCredentials } from '../kernel/unix-socket.ts';
import { errorLine } from '../model/errors.ts';
import { serveAgentSocket, type AgentSocket, type Route } from './agent-socket.ts';

/** Between two looks at the socket. */
const LOOK_MS = 30_000;
/** Refused connections are logged at most this often. */
const REFUSALS_MS = 60_000;

export interface ControlChannelOptions {
  readonly path: string;
  readonly routes: Readonly<Record<string, Route>>;
  readonly log: Log;
  readonly timers: Timers;
}

/** An open control channel, whether its socket is there or not. */
export class ControlChannel {
  private readonly options: ControlChannelOptions;
  private socket: AgentSocket | null = null;
  private timer: unknown = null;
  private isClosed = false;
  private looking: Promise<void> = Promise.resolve();
  private lastError = '';
  private refusals = 0;
  private lastRefusalMs = Number.NEGATIVE_INFINITY;

  private constructor(options: ControlChannelOptions) {
    this.options = options;
  }

  /** Resolves when the socket is there, or has failed for the first time. Never rejects. */
  static async open(options: ControlChannelOptions): Promise<ControlChannel> {
    const channel = new ControlChannel(options);
    await channel.look();
    return channel;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.options.timers.clear(this.timer);
    await this.looking;
    await this.socket?.close();
    this.socket = null;
  }

  private look(): Promise<void> {
    this.looking = this.listen().finally(() => {
      if (this.isClosed) return;
      this.timer = this.options.timers.set(() => void this.look(), LOOK_MS);
    });
    return this.looking;
  }

  private async listen(): Promise<void> {
    const { path, routes, log } = this.options;
    try {
      if (this.socket !== null) {
        if (this.socket.isInPlace()) return;
        log.warn('The control socket was removed or replaced; making it again', { path });
        await this.socket.close();
        this.socket = null;
      }
      this.socket = await serveAgentSocket(path, routes, { onRefused: (peer) => this.onRefused(peer) });
      if (this.lastError !== '') log.info('The control socket is there', { path });
      this.lastError = '';
    } catch (error) {
      const err = errorLine(error);
      if (err !== this.lastError)
        log.warn(
          'No control socket, so no status and no metrics; forwarding goes on, and it is tried again',
          { path, err },
        );
      this.lastError = err;
    }
  }

  private onRefused(peer: PeerCredentials | null): void {
    this.refusals++;
    const now = this.options.timers.now();
    if (now - this.lastRefusalMs < REFUSALS_MS) return;
    this.options.log.warn('Refused a connection to the control socket: only root is served', {
      path: this.options.path,
      uid: peer?.uid,
      pid: peer?.pid,
      refusals: this.refusals,
    });
    this.lastRefusalMs = now;
    this.refusals = 0;
  }
}
