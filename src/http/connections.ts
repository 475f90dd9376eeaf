// The open connections of servers that share one budget. When all places are taken, the connection that has waited longest for its client
// makes room for the new one: whoever holds thousands open only cuts his own, and a client that asks at once is always answered.
// What waits for its client (a request, or a reader of an answer) is cut after its time. The clock is injected.

import type { Socket } from 'node:net';
import type { Timers } from '../daemon/sync-loop.ts';

/** Limits of a server, or of several that share them. */
export interface ConnectionLimits {
  /** Open at once. */
  readonly maxConnections: number;
  /** From the start of a connection until the head of its first request is there. */
  readonly requestMs: number;
  /** From an answer until the head of the next request is there. */
  readonly idleMs: number;
  /** From the head of a request until the last byte of its answer was taken off our hands. */
  readonly answerMs: number;
  /** Answers that clients have not read yet, all together; beyond it the oldest of those connections are cut. */
  readonly maxPendingBytes: number;
}

/** asking: has sent no request yet. answering: an answer is being made or read. idle: between two requests. */
type Phase = 'asking' | 'answering' | 'idle';

interface Connection {
  readonly socket: Socket;
  phase: Phase;
  /** Since when it is in this phase. */
  sinceMs: number;
  /** Requests that are not answered to the end. */
  requests: number;
  pendingBytes: number;
}

/** Between two looks for connections whose time is over. */
const LOOK_MS = 1000;

/** See the head of this file. */
export class Connections {
  private readonly limits: ConnectionLimits;
  private readonly timers: Timers;
  private readonly bySocket = new Map<Socket, Connection>();
  /** Oldest first: a connection goes to the end of its phase when it enters it. */
  private readonly phases: Readonly<Record<Phase, Set<Connection>>> = {
    asking: new Set(),
    answering: new Set(),
    idle: new Set(),
  };
  private pendingBytes = 0;
  private timer: unknown = null;

  constructor(limits: ConnectionLimits, timers: Timers) {
    this.limits = limits;
    this.timers = timers;
  }

  get size(): number {
    return this.bySocket.size;
  }

  /** Takes a new connection in, if need be in the place of another. */
  add(socket: Socket): void {
    if (this.bySocket.size >= this.limits.maxConnections) this.makeRoom();
    const connection: Connection = {
      ...{ socket, phase: 'asking', sinceMs: this.timers.now() },
      ...{ requests: 0, pendingBytes: 0 },
    };
    this.bySocket.set(socket, connection);
    this.phases.asking.add(connection);
    socket.once('close', () => this.forget(connection));
    this.arm();
  }

  /** The head of a request is there. */
  beginRequest(socket: Socket): void {
    const connection = this.bySocket.get(socket);
    if (connection === undefined) return;
    connection.requests++;
    if (connection.phase !== 'answering') this.enter(connection, 'answering');
  }

  /** An answer of this size is about to be written. Cuts others, oldest first, while all together are too much. */
  addAnswer(socket: Socket, bytes: number): void {
    const connection = this.bySocket.get(socket);
    if (connection === undefined) return;
    connection.pendingBytes += bytes;
    this.pendingBytes += bytes;
    for (const other of this.phases.answering) {
      if (this.pendingBytes <= this.limits.maxPendingBytes) break;
      if (other !== connection && other.pendingBytes > 0) this.cut(other);
    }
  }

  /** An answer of this size (0 when there was none) has been taken off our hands, or its connection has ended. */
  endRequest(socket: Socket, bytes: number): void {
    const connection = this.bySocket.get(socket);
    if (connection === undefined) return;
    connection.requests--;
    connection.pendingBytes -= bytes;
    this.pendingBytes -= bytes;
    // The next of several that were sent at once has its own time.
    this.enter(connection, connection.requests > 0 ? 'answering' : 'idle');
  }

  /** Cuts all. */
  closeAll(): void {
    for (const connection of [...this.bySocket.values()]) this.cut(connection);
  }

  private enter(connection: Connection, phase: Phase): void {
    this.phases[connection.phase].delete(connection);
    connection.phase = phase;
    connection.sinceMs = this.timers.now();
    this.phases[phase].add(connection);
  }

  private makeRoom(): void {
    const { asking, answering, idle } = this.phases;
    const [first, second] = [oldest(asking), oldest(idle)];
    const waiting = (second?.sinceMs ?? Infinity) < (first?.sinceMs ?? Infinity) ? second : first;
    const victim = waiting ?? second ?? oldest(answering);
    if (victim !== undefined) this.cut(victim);
  }

  private cut(connection: Connection): void {
    this.forget(connection);
    // A reset also frees what the kernel still holds for the client.
    if (connection.pendingBytes > 0) connection.socket.resetAndDestroy();
    else connection.socket.destroy();
  }

  private forget(connection: Connection): void {
    if (!this.bySocket.delete(connection.socket)) return;
    this.phases[connection.phase].delete(connection);
    this.pendingBytes -= connection.pendingBytes;
    if (this.bySocket.size > 0 || this.timer === null) return;
    this.timers.clear(this.timer);
    this.timer = null;
  }

  private arm(): void {
    this.timer ??= this.timers.set(() => {
      this.timer = null;
      this.cutLate();
      if (this.bySocket.size > 0) this.arm();
    }, LOOK_MS);
  }

  private cutLate(): void {
    const now = this.timers.now();
    const { requestMs, answerMs, idleMs } = this.limits;
    const limits: Readonly<Record<Phase, number>> = { asking: requestMs, answering: answerMs, idle: idleMs };
    for (const phase of ['asking', 'answering', 'idle'] as const) {
      for (const connection of this.phases[phase]) {
        if (now - connection.sinceMs < limits[phase]) break;
        this.cut(connection);
      }
    }
  }
}

function oldest(connections: ReadonlySet<Connection>): Connection | undefined {
  for (const connection of connections) return connection;
  return undefined;
}
