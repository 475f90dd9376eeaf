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
import { AttributeTable, MessageWriter, protocolError, visitMessages, type MessageHeader } from './wire.ts';

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSG_OVERRUN = 4;
const SOL_NETLINK = 270;
const NETLINK_EXT_ACK = 11;
const NETLINK_CAP_ACK = 10;
const NETLINK_ADD_MEMBERSHIP = 1;
const SOCKADDR_NL_BYTES = 12;
const NLMSGERR_ATTR_MSG = 1;

/** Room for one datagram: the kernel never builds larger ones (32 KiB for dumps), and MSG_TRUNC tells if it did. */
const RECEIVE_BYTES = 65536;
const SOCKET_BUFFER_BYTES = 4 << 20;
/** A batch is sent before it grows past this many messages, so that even an all-error answer fits the receive buffer. */
const MAX_BATCH_MESSAGES = 2048;
const MAX_DUMP_TRIES = 6;
/** A dump's answer is handed over this many datagrams at a time, then Node's loop gets a turn. */
const DATAGRAMS_PER_TURN = 4;
/** More objects than any node holds; a dump past it is a hostile or broken stream. */
const MAX_DUMP_MESSAGES = 4_000_000;
/** Datagrams without anything for the running request (stale replies, other senders) before it is given up. */
const MAX_STALE_DATAGRAMS = 20_000;

/** What moves bytes: the kernel's socket, or in tests a stateful fake. All calls return at once but `wait`. */
export interface NetlinkTransport {
  /** Sends the first `length` bytes; 0 or a positive errno. */
  send(bytes: Uint8Array, length: number): number;
  /** One datagram into `buffer`: its real size (also when larger than the buffer), or a negative errno (-11: nothing there). */
  receive(buffer: Uint8Array): number;
  /** Port of the sender of the datagram received last; 0 is the kernel. */
  readonly senderPort: number;
  /** Blocks until something is there to receive; false when `timeoutMs` passed. */
  wait(timeoutMs: number): boolean;
  /**
   * Forgets everything in flight, as a new socket in the thread's present network namespace: the kernel drops an unfinished dump
   * with its socket, and only so. Throws KERNEL_REFUSED when no socket is to be had; later calls then answer EBADF.
   */
  reopen(): void;
  close(): void;
}

/** A descriptor bound and joined as `openTransport` says. */
function openSocket(protocol: number, groups: readonly number[]): libc.Fd {
  const opened = libc.socket(
    libc.AF_NETLINK,
    libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK,
    protocol,
  );
  if (opened.errno !== 0) {
    const name = libc.errnoName(opened.errno);
    throw new PointsmanError(
      'KERNEL_REFUSED',
      `cannot open a netlink socket of protocol ${protocol}: ${name}`,
      { protocol },
    );
  }
  const fd = opened.value;
  const address = new Uint8Array(SOCKADDR_NL_BYTES);
  new DataView(address.buffer).setUint16(0, libc.AF_NETLINK, true);
  libc.bind(fd, address);
  for (const [force, plain] of [
    [libc.SO_SNDBUFFORCE, libc.SO_SNDBUF],
    [libc.SO_RCVBUFFORCE, libc.SO_RCVBUF],
  ] as const) {
    // FORCE needs CAP_NET_ADMIN; without it the plain option gives what net.core.*mem_max allows.
    if (libc.setsockoptInt(fd, libc.SOL_SOCKET, force, SOCKET_BUFFER_BYTES).errno !== 0) {
      libc.setsockoptInt(fd, libc.SOL_SOCKET, plain, SOCKET_BUFFER_BYTES);
    }
  }
  // Both options only make answers better; kernels without them are served without.
  libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  for (const group of groups) {
    const joined = libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    if (joined.errno !== 0) {
      libc.close(fd);
      throw new PointsmanError(
        'KERNEL_REFUSED',
        `cannot join netlink group ${group}: ${libc.errnoName(joined.errno)}`,
        { group },
      );
    }
  }
  return fd;
}

/** A transport on a real socket. Throws KERNEL_REFUSED when the kernel has no such protocol. */
export function openTransport(
  protocol: number,
  groups: readonly number[] = [],
): NetlinkTransport & { readonly fd: number } {
  let fd = openSocket(protocol, groups);
  const sender = new Uint8Array(SOCKADDR_NL_BYTES);
  const senderView = new DataView(sender.buffer);
  const close = (): void => {
    if (fd >= 0) libc.close(fd);
    // -1 makes every later call answer EBADF instead of touching somebody else's descriptor.
    fd = -1;
  };
  return {
    get fd() {
      return fd;
    },
    send: (bytes, length) => libc.send(fd, bytes, length).errno,
    receive(buffer) {
      const got = libc.recvfrom(fd, buffer, libc.MSG_TRUNC | libc.MSG_DONTWAIT, sender);
      return got.errno !== 0 ? -got.errno : got.value;
    },
    get senderPort() {
      return senderView.getUint32(4, true);
    },
    wait: (timeoutMs) => libc.pollFd(fd, libc.POLLIN, timeoutMs).value !== 0,
    reopen() {
      close();
      fd = openSocket(protocol, groups);
    },
    close,
  };
}

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

/** A decoder's view of one data message. */
export interface DataMessage {
  readonly bytes: Uint8Array;
  readonly header: MessageHeader;
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

  /** Sends the batch and waits for the kernel's answer; the failures come in order of their index. */
  flush(): BatchFailure[] {
    return this.transact(null);
  }

  /** Sends the one request begun and ended before, hands its data messages to `onData`, and throws away nothing: the failure comes back. */
  request(onData: (message: DataMessage) => void): BatchFailure | undefined {
    if (this.batchMessages !== 1) throw new Error('request() takes exactly one message');
    return this.transact(onData)[0];
  }

  private transact(onData: ((message: DataMessage) => void) | null): BatchFailure[] {
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
    const deadline = Date.now() + this.timeoutMs;
    let stale = 0;
    for (let isDone = false; !isDone;) {
      const length = this.receive(deadline, `${count} requests`);
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

  private async dumpUntilIntact<T>(
    type: number,
    build: (writer: MessageWriter) => void,
    decode: (message: DataMessage) => T | undefined,
    what: string,
  ): Promise<T[]> {
    for (let attempt = 0; attempt < MAX_DUMP_TRIES; attempt++) {
      const values: T[] = [];
      if (await this.dumpOnce(type, build, decode, what, values)) return values;
    }
    throw new PointsmanError(
      'DUMP_INTERRUPTED',
      `the list of ${what} changed during each of ${MAX_DUMP_TRIES} dumps; try again when the node is quieter`,
      { what },
    );
  }

  private async dumpOnce<T>(
    type: number,
    build: (writer: MessageWriter) => void,
    decode: (message: DataMessage) => T | undefined,
    what: string,
    values: T[],
  ): Promise<boolean> {
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
      for (let datagrams = 1; !isDone; datagrams++) {
        const length = this.receive(Date.now() + this.timeoutMs, what);
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
        if (!isDone && datagrams % DATAGRAMS_PER_TURN === 0) await nextTurn();
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

  /** The next datagram from the kernel in `buffer`; waits until `deadline` (ms since the epoch). */
  private receive(deadline: number, what: string): number {
    for (let stale = 0; stale < MAX_STALE_DATAGRAMS;) {
      const length = this.transport.receive(this.buffer);
      if (length === -libc.EAGAIN) {
        const left = deadline - Date.now();
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

/** Datagrams taken per turn of Node's loop: a storm of events must not starve it; poll reports again what is left. */
const DATAGRAMS_PER_DRAIN = 64;

/** More than a receive queue holds; a queue that is still not empty then is being filled as fast as it is emptied. */
const MAX_DISCARDED_DATAGRAMS = 100_000;

/**
 * Empties the queue. After an overrun the kernel drops notifications without another word until the queue was empty once, so a
 * listener that reads the state before that would miss what changes next.
 */
function discardAll(transport: NetlinkTransport, buffer: Uint8Array): void {
  for (let i = 0; i < MAX_DISCARDED_DATAGRAMS; i++) {
    const length = transport.receive(buffer);
    if (length < 0 && length !== -libc.ENOBUFS) return;
  }
}

/**
 * Hands over the notifications that wait in `transport`, at most 64 datagrams. `onLost` is called for each sign that some were
 * lost (ENOBUFS, truncation, broken bytes, a PointsmanError of `onMessage`); with isStopped=true when libuv stopped watching the
 * descriptor because of an error on it. After an overrun what still waits is thrown away first, so that what `onLost` reads is newer.
 * Senders other than the kernel are passed over.
 */
export function drainNotifications(
  transport: NetlinkTransport,
  buffer: Uint8Array,
  onMessage: (message: DataMessage) => void,
  onLost: (why: string, isStopped: boolean) => void,
): void {
  for (let i = 0; i < DATAGRAMS_PER_DRAIN; i++) {
    const length = transport.receive(buffer);
    if (length === -libc.EAGAIN) return;
    if (length < 0) {
      if (length === -libc.ENOBUFS) discardAll(transport, buffer);
      onLost(libc.errnoName(-length), true);
      return;
    }
    if (transport.senderPort !== 0) continue;
    if (length > buffer.length) {
      onLost('truncated', false);
      continue;
    }
    try {
      visitMessages(buffer, length, (header) => {
        if (header.type === NLMSG_OVERRUN) onLost('NLMSG_OVERRUN', false);
        else if (header.type > NLMSG_OVERRUN) onMessage({ bytes: buffer, header });
      });
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      onLost(error.message, false);
    }
  }
}

/** A socket that joined multicast groups and hands over each notification. */
export class NetlinkMonitor {
  private readonly transport: NetlinkTransport & { readonly fd: number };
  private readonly watcher: libc.PollWatcher;

  /**
   * `onMessage` sees each notification; `onLost` is called when some were lost (ENOBUFS, truncation, broken bytes): the listener
   * must then read the whole state again. What else the listeners throw is a programmer error and ends the process.
   */
  constructor(
    protocol: number,
    groups: readonly number[],
    onMessage: (message: DataMessage) => void,
    onLost: (why: string) => void,
  ) {
    this.transport = openTransport(protocol, groups);
    const buffer = new Uint8Array(RECEIVE_BYTES);
    this.watcher = libc.watchReadable(
      this.transport.fd,
      () =>
        drainNotifications(this.transport, buffer, onMessage, (why, isStopped) => {
          if (isStopped) this.watcher.restart();
          onLost(why);
        }),
      (error) => {
        // An exception may not leave koffi's callback (it would wedge Node's loop), so it is thrown in the next turn.
        setImmediate(() => {
          throw error;
        });
      },
    );
  }

  close(): void {
    this.watcher.close();
    this.transport.close();
  }
}
