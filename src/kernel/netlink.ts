// A netlink request socket: batches of requests with one acknowledgement, single requests with data, and dumps.
// Guarantees:
//  1. Every refused request of a batch is reported with its index and errno; requests behind it are still tried (the kernel has no rollback).
//  2. Nothing waits longer than the time limit: a malformed message makes the kernel drop the rest of a batch without a word.
//  3. Replies are matched by sequence number; stale ones of a request that timed out are skipped; only the kernel (port 0) is believed.
//  4. A truncated datagram, lost replies (ENOBUFS) and bytes that break the format are typed errors, never wrong data.
//  5. Dumps are repeated when the kernel flags them as interrupted, up to a limit.
//  6. After any error the socket takes the next request: the rest of an unfinished dump is thrown away with its descriptor.
// Sources: netlink(7), include/uapi/linux/netlink.h, the project's ADR 0002.

import { KernelError, PointsmanError } from '../model/errors.ts';
import * as libc from './libc.ts';
import {
  NLMSG_OVERRUN,
  RECEIVE_BYTES,
  type DataMessage,
  type NetlinkTransport,
} from './netlink-transport.ts';
import { AttributeTable, MessageWriter, protocolError, visitMessages, type MessageHeader } from './wire.ts';

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;

/** A batch is sent before it grows past this many messages, so that even an all-error answer fits the receive buffer. */
const MAX_BATCH_MESSAGES = 2048;
const MAX_DUMP_TRIES = 6;
/** A dump's answer is handed over this many datagrams at a time, then Node's loop gets a turn. */
const DATAGRAMS_PER_TURN = 4;
/** More objects than any node holds; a dump past it is a hostile or broken stream. */
const MAX_DUMP_MESSAGES = 4_000_000;
/** Datagrams without anything for the running request (stale replies, other senders) before it is given up. */
const MAX_STALE_DATAGRAMS = 20_000;

/** One refused request of a batch. */
export interface BatchFailure {
  /** Index of the request in its batch. */
  readonly index: number;
  /** Positive errno. */
  readonly errno: number;
  /** The kernel's own words (extended acknowledgement), '' when it gave none. */
  readonly text: string;
  /** The refused request behind its message header, only where the kernel sends it back although told not to (ipset does). */
  readonly echo?: Uint8Array;
}

/** The KernelError of a refused request: the kernel's own words if it gave any, else `hint`. */
export function kernelError(
  operation: string,
  object: string,
  failure: BatchFailure,
  hint = '',
): KernelError {
  const text = failure.text === '' ? hint : failure.text;
  return new KernelError(operation, object, failure.errno, libc.errnoName(failure.errno), text);
}

/**
 * Requests to one netlink family. Not for notifications (see NetlinkMonitor).
 *
 * A batch: `begin(type, flags)`, attributes on `writer`, `end()`, repeated; `isFull` says when to `flush()`, which sends, waits
 * for the kernel and returns what it refused. Not re-entrant: one batch or one dump at a time.
 */
export class NetlinkSocket {
  readonly writer: MessageWriter;
  private readonly transport: NetlinkTransport;
  private readonly timeoutMs: number;
  private readonly batchBytes: number;
  private readonly buffer = new Uint8Array(RECEIVE_BYTES);
  private seq = 1;
  private batchFirstSeq = 1;
  private batchMessages = 0;
  private lastMessageStart = 0;
  private isDumping = false;
  /** Settles when the dumps asked for so far are over. */
  private lastDump: Promise<unknown> = Promise.resolve();

  /**
   * `batchBytes`: a batch is full from this size on. `timeoutMs`: longest wait for one answer.
   * The writer holds one message of up to 64 KiB beyond a full batch.
   */
  constructor(transport: NetlinkTransport, options: { batchBytes?: number; timeoutMs?: number } = {}) {
    this.transport = transport;
    this.timeoutMs = options.timeoutMs ?? 5000;
    this.batchBytes = options.batchBytes ?? 16384;
    this.writer = new MessageWriter(this.batchBytes + 65536 + 4096);
  }

  /** Starts the next request of the batch. */
  begin(type: number, flags: number): MessageWriter {
    if (this.isDumping) throw new Error('a dump is running on this netlink socket');
    if (this.batchMessages === 0) {
      this.writer.reset();
      this.batchFirstSeq = this.seq;
    }
    this.lastMessageStart = this.writer.length;
    this.writer.begin(type, flags | NLM_F_REQUEST, this.seq);
    return this.writer;
  }

  /** Ends the request; returns its index in the batch. */
  end(): number {
    this.writer.end();
    this.takeSeq();
    return this.batchMessages++;
  }

  /** Forgets the batch that was begun and not flushed: nothing of it is sent. */
  discard(): void {
    this.batchMessages = 0;
  }

  private takeSeq(): number {
    const seq = this.seq;
    this.seq = seq === 0x7fffffff ? 1 : seq + 1;
    return seq;
  }

  get isEmpty(): boolean {
    return this.batchMessages === 0;
  }

  get isFull(): boolean {
    // A wrapped sequence number ends the batch, because failures are matched by distance from the first one.
    if (this.batchMessages === 0) return false;
    return (
      this.writer.length >= this.batchBytes || this.batchMessages >= MAX_BATCH_MESSAGES || this.seq === 1
    );
  }

  /**
   * Sends the batch and waits for the kernel's answer; the failures come in order of their index. With `silentErrno` no answer right
   * after sending is that failure of the last request: for families that work inside send(), and a request that they may leave unanswered.
   */
  flush(silentErrno = 0): BatchFailure[] {
    return this.transact(null, silentErrno);
  }

  /** Sends the one request begun and ended before, hands its data messages to `onData`, and throws away nothing: the failure comes back. */
  request(onData: (message: DataMessage) => void): BatchFailure | undefined {
    if (this.batchMessages !== 1) throw new Error('request() takes exactly one message');
    return this.transact(onData)[0];
  }

  private transact(onData: ((message: DataMessage) => void) | null, silentErrno = 0): BatchFailure[] {
    const count = this.batchMessages;
    if (count === 0) return [];
    this.batchMessages = 0;
    const firstSeq = this.batchFirstSeq;
    const lastSeq = firstSeq + count - 1;
    this.writer.orFlags(this.lastMessageStart, NLM_F_ACK);
    const errno = this.transport.send(this.writer.bytes, this.writer.length);
    // A local error (EMSGSIZE, ENOBUFS) means that the kernel saw nothing of the batch.
    if (errno !== 0) return Array.from({ length: count }, (_, index) => ({ index, errno, text: '' }));
    const failures: BatchFailure[] = [];
    const deadline = silentErrno === 0 ? performance.now() + this.timeoutMs : 0;
    let stale = 0;
    for (let isDone = false; !isDone;) {
      const length = this.receive(deadline, `${count} requests`, silentErrno !== 0);
      if (length < 0) return [...failures, { index: count - 1, errno: silentErrno, text: '' }];
      let isOurs = false;
      visitMessages(this.buffer, length, (header) => {
        const index = header.seq - firstSeq;
        if (index < 0 || index >= count) return;
        isOurs = true;
        if (header.type === NLMSG_ERROR) {
          const failure = decodeAck(this.buffer, header, index);
          if (failure !== undefined) failures.push(failure);
          if (header.seq === lastSeq) isDone = true;
        } else if (header.type === NLMSG_OVERRUN) {
          throw overrun();
        } else if (onData !== null && header.type !== NLMSG_DONE) {
          onData({ bytes: this.buffer, header });
        }
      });
      // Each of our requests has at most one answer and few data messages, so more than that is not for us either.
      if ((!isOurs || failures.length > count) && ++stale > MAX_STALE_DATAGRAMS)
        throw this.timedOut(`${count} requests`);
    }
    return failures;
  }

  /**
   * Runs a dump: `build` writes the request (family header and attributes) behind a message header of `type`; `decode` turns each
   * data message into a value, or undefined to leave it out. Gives Node's loop a turn every few datagrams. Dumps asked for
   * meanwhile wait for this one. `timeoutMs` holds for each datagram.
   * Throws KERNEL_REFUSED (KernelError: an errno at the end of the dump) and DUMP_INTERRUPTED (changed under it at every try).
   */
  dump<T>(
    type: number,
    build: (writer: MessageWriter) => void,
    decode: (message: DataMessage) => T | undefined,
    what: string,
  ): Promise<T[]> {
    const values = this.lastDump.then(() => this.dumpUntilIntact(type, build, decode, what));
    this.lastDump = values.catch(() => {});
    return values;
  }

  /**
   * One dump at the reader's pace, on a socket that is used for nothing else, as an unfinished dump would be in the way of other requests. A
   * piece is what one datagram brought, never empty; the next one is received when it is asked for, after a turn of Node's loop. The kernel
   * fills one datagram ahead: a piece shows what was there when the piece before it was taken. `timeoutMs` holds for each piece. The
   * socket is closed when the dump is over, failed or was ended early.
   * Never repeated: the value behind the last piece is false when the kernel flagged the dump as interrupted (objects may be missing or
   * be there twice). Throws what `dump` does, but DUMP_INTERRUPTED.
   */
  async *dumpPaced<T>(
    type: number,
    build: (writer: MessageWriter) => void,
    decode: (message: DataMessage) => T | undefined,
    what: string,
  ): AsyncGenerator<T[], boolean, void> {
    const pieces = this.dumpOnce(type, build, decode, what);
    try {
      for (;;) {
        const next = pieces.next();
        if (next.done === true) return next.value;
        if (next.value.length > 0) yield next.value;
        await nextTurn();
      }
    } finally {
      // Without ending `pieces`, which would open the socket anew.
      this.close();
    }
  }

  private async dumpUntilIntact<T>(
    type: number,
    build: (writer: MessageWriter) => void,
    decode: (message: DataMessage) => T | undefined,
    what: string,
  ): Promise<T[]> {
    for (let attempt = 0; attempt < MAX_DUMP_TRIES; attempt++) {
      const values: T[] = [];
      const pieces = this.dumpOnce(type, build, decode, what);
      for (let datagrams = 1; ; datagrams++) {
        const next = pieces.next();
        if (next.done !== true) values.push(...next.value);
        else if (next.value) return values;
        else break;
        if (datagrams % DATAGRAMS_PER_TURN === 0) await nextTurn();
      }
    }
    throw new PointsmanError(
      'DUMP_INTERRUPTED',
      `the list of ${what} changed during each of ${MAX_DUMP_TRIES} dumps; try again when the node is quieter`,
      { what },
    );
  }

  /** The values of each datagram of one dump, received when it is taken; gives back whether the kernel calls the dump intact. */
  private *dumpOnce<T>(
    type: number,
    build: (writer: MessageWriter) => void,
    decode: (message: DataMessage) => T | undefined,
    what: string,
  ): Generator<T[], boolean, void> {
    if (this.batchMessages !== 0) throw new Error('this netlink socket holds a batch that was not flushed');
    const writer = this.begin(type, NLM_F_DUMP);
    build(writer);
    writer.end();
    const seq = this.takeSeq();
    this.isDumping = true;
    let isDone = true;
    try {
      const errno = this.transport.send(writer.bytes, writer.length);
      if (errno !== 0) throw refused(what, errno);
      isDone = false;
      let isIntact = true;
      let seen = 0;
      let stale = 0;
      while (!isDone) {
        const length = this.receive(performance.now() + this.timeoutMs, what);
        const values: T[] = [];
        let isOurs = false;
        visitMessages(this.buffer, length, (header) => {
          if (header.seq !== seq || isDone) return;
          isOurs = true;
          if ((header.flags & NLM_F_DUMP_INTR) !== 0) isIntact = false;
          if (header.type === NLMSG_DONE || header.type === NLMSG_ERROR) {
            const status = signedStatus(this.buffer, header);
            isDone = true;
            if (status < 0) throw refused(what, -status);
            return;
          }
          if (header.type === NLMSG_OVERRUN) throw overrun();
          if (++seen > MAX_DUMP_MESSAGES)
            throw protocolError(`more than ${MAX_DUMP_MESSAGES} ${what} in one dump`);
          const value = decode({ bytes: this.buffer, header });
          if (value !== undefined) values.push(value);
        });
        if (!isOurs && ++stale > MAX_STALE_DATAGRAMS) throw this.timedOut(what);
        yield values;
      }
      return isIntact;
    } finally {
      this.isDumping = false;
      // While a dump is unfinished the kernel answers EBUSY to the next one on the same socket.
      if (!isDone) this.transport.reopen();
    }
  }

  close(): void {
    this.transport.close();
  }

  /** The next datagram from the kernel in `buffer`; waits until `deadline` (ms of performance.now(), which no one can set), or gives -1 when there is none `atOnce`. */
  private receive(deadline: number, what: string, atOnce = false): number {
    for (let stale = 0; stale < MAX_STALE_DATAGRAMS;) {
      const length = this.transport.receive(this.buffer);
      if (length === -libc.EAGAIN) {
        if (atOnce) return -1;
        const left = deadline - performance.now();
        if (left > 0 && this.transport.wait(left)) continue;
        throw this.timedOut(what);
      }
      if (length === -libc.ENOBUFS) throw overrun();
      if (length < 0) throw refused(what, -length);
      if (this.transport.senderPort !== 0) {
        stale++;
        continue;
      }
      if (length > this.buffer.length)
        throw protocolError(`a datagram of ${length} bytes, larger than ${this.buffer.length}`);
      return length;
    }
    throw this.timedOut(what);
  }

  private timedOut(what: string): PointsmanError {
    return new PointsmanError(
      'KERNEL_TIMEOUT',
      `the kernel did not answer (${what}) within ${this.timeoutMs} ms`,
      { what },
    );
  }
}

/** Resolves in a later turn of Node's loop, so that timers and sockets are served between batches. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function overrun(): PointsmanError {
  return new PointsmanError(
    'KERNEL_OVERRUN',
    'the kernel lost replies (ENOBUFS); what was asked for is done, what was answered is unknown',
  );
}

function refused(what: string, errno: number): KernelError {
  return kernelError('netlink request for', what, { index: 0, errno, text: '' });
}

function signedStatus(bytes: Uint8Array, header: MessageHeader): number {
  if (header.payloadEnd - header.payloadStart < 4) {
    if (header.type === NLMSG_DONE) return 0;
    throw protocolError('an acknowledgement without a status');
  }
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(header.payloadStart, true);
}

const ackAttributes = new AttributeTable('extended acknowledgement', 6);

function decodeAck(bytes: Uint8Array, header: MessageHeader, index: number): BatchFailure | undefined {
  const status = signedStatus(bytes, header);
  if (status === 0) return undefined;
  // status (4) | the request's header (16) | unless capped, the request's payload | attributes
  const hasMore = header.payloadEnd - header.payloadStart > 20;
  if ((header.flags & NLM_F_CAPPED) === 0 && hasMore) {
    return {
      index,
      errno: Math.abs(status),
      text: '',
      echo: bytes.slice(header.payloadStart + 20, header.payloadEnd),
    };
  }
  let text = '';
  if ((header.flags & NLM_F_ACK_TLVS) !== 0 && hasMore) {
    ackAttributes.parse(bytes, header.payloadStart + 20, header.payloadEnd);
    if (ackAttributes.has(NLMSGERR_ATTR_MSG)) text = ackAttributes.string(NLMSGERR_ATTR_MSG);
  }
  return { index, errno: Math.abs(status), text };
}
