// One answer on its way: writes a body in order, waits for slow readers, and does what a fault says with the bytes as they are on the wire.
// Knows nothing of Kubernetes.

import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Timers } from '../../src/daemon/sync-loop.ts';
import type { CutManner, Fault } from './faults.ts';
import type { Connection } from './listener.ts';

/** Half of a header, for what is cut or stalls inside of it. */
const HALF_HEADER = 'HTTP/1.1 200 OK\r\nContent-Type: applica';
const GZIP_LEVEL = 1;

/** The answer to one request. */
export class Answer {
  readonly response: ServerResponse;
  private readonly connection: Connection;
  private readonly fault: Fault | null;
  private readonly timers: Timers;
  private sentBytes = 0;
  private isOver = false;
  private isStalled = false;
  private readonly closeListeners = new Set<() => void>();

  constructor(response: ServerResponse, connection: Connection, fault: Fault | null, timers: Timers) {
    this.response = response;
    this.connection = connection;
    this.fault = fault;
    this.timers = timers;
    response.on('error', () => {});
    response.once('close', () => {
      this.isOver = true;
      for (const listener of this.closeListeners) listener();
    });
  }

  /** Nobody can read any more of it. */
  get isClosed(): boolean {
    return this.isOver;
  }

  /** Called once when it is over, however it ends. */
  onClose(listener: () => void): void {
    if (this.isOver) listener();
    else this.closeListeners.add(listener);
  }

  /** What the fault does before anything is answered. False: that was all there will be. */
  async begin(): Promise<boolean> {
    const { fault } = this;
    if (fault?.kind === 'slow' && fault.delayMs !== undefined) await this.pause(fault.delayMs);
    if (fault?.kind !== 'cut' && fault?.kind !== 'stall') return !this.isOver;
    if (typeof fault.at === 'object') return !this.isOver;
    if (fault.at === 'headers') await this.writeHalfHeader();
    if (fault.kind === 'cut') this.cut(fault.manner);
    return false;
  }

  head(code: number, headers: Readonly<Record<string, string | number>>): void {
    const { fault } = this;
    const type = fault?.kind === 'contentType' ? { 'content-type': fault.value } : {};
    this.response.writeHead(code, { 'cache-control': 'no-cache, private', ...headers, ...type });
    this.response.flushHeaders();
  }

  /** A whole small answer. */
  async whole(
    code: number,
    contentType: string,
    text: string,
    headers: Record<string, string | number> = {},
  ): Promise<void> {
    const bytes = Buffer.from(text);
    this.head(code, { 'content-type': contentType, 'content-length': bytes.length, ...headers });
    await this.write(bytes);
    this.end();
  }

  /** Sends a body and ends it. */
  async stream(chunks: Iterable<Buffer>, isGzip: boolean): Promise<void> {
    const send = async (source: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> => {
      for await (const chunk of source) if (!(await this.write(chunk))) return;
    };
    if (isGzip)
      await pipeline(Readable.from(chunks), createGzip({ level: GZIP_LEVEL }), send as never).catch(() => {});
    else await send(chunks);
    this.end();
  }

  /** Resolves when the kernel has the bytes; false when the connection is gone, or nothing more goes through it. */
  async write(bytes: Buffer): Promise<boolean> {
    const { fault } = this;
    if (this.isOver || this.isStalled) return false;
    const limit = limitOf(fault);
    const now = bytes.subarray(0, Math.max(0, limit - this.sentBytes));
    this.sentBytes += bytes.length;
    if (!(await this.writePieces(now))) return false;
    if (this.sentBytes < limit) return true;
    if (fault?.kind === 'truncate') this.end();
    if (fault?.kind === 'stall') this.isStalled = true;
    if (fault?.kind === 'cut') this.cut(fault.manner);
    return false;
  }

  /** Past HTTP, but not past TLS. */
  private writeHalfHeader(): Promise<void> {
    return new Promise((resolve) => {
      this.onClose(resolve);
      this.response.socket?.write(HALF_HEADER, () => resolve());
    });
  }

  private async writePieces(bytes: Buffer): Promise<boolean> {
    const { fault } = this;
    const size =
      (fault?.kind === 'slow' || fault?.kind === 'split' ? fault.bytes : undefined) ?? bytes.length;
    for (let from = 0; from < bytes.length; from += size) {
      if (!(await this.writePiece(bytes.subarray(from, from + size)))) return false;
      if (fault?.kind === 'slow' && fault.everyMs !== undefined) await this.pause(fault.everyMs);
    }
    return !this.isOver;
  }

  private writePiece(bytes: Buffer): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.isOver) return resolve(false);
      const done = (isWritten: boolean): void => {
        this.closeListeners.delete(closed);
        resolve(isWritten);
      };
      const closed = (): void => done(false);
      this.closeListeners.add(closed);
      this.response.write(bytes, (error) => done(error === null || error === undefined));
    });
  }

  /** Nothing more comes through, and the connection stays. */
  stall(): void {
    this.isStalled = true;
  }

  /** The clean end. */
  end(): void {
    if (!this.isStalled && !this.isOver) this.response.end();
  }

  cut(manner: CutManner): void {
    this.isOver = true;
    this.connection.cut(manner);
  }

  private pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.timers.clear(timer);
        this.closeListeners.delete(done);
        resolve();
      };
      const timer = this.timers.set(done, delayMs);
      if (this.isOver) done();
      else this.closeListeners.add(done);
    });
  }
}

function limitOf(fault: Fault | null): number {
  if (fault?.kind === 'truncate') return fault.at;
  const isInBody = (fault?.kind === 'cut' || fault?.kind === 'stall') && typeof fault.at === 'object';
  return isInBody ? (fault.at as { bytes: number }).bytes : Number.POSITIVE_INFINITY;
}
