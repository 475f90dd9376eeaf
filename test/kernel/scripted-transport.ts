// Stands in for the kernel's side of a netlink socket: answers each send() with datagrams from a function, without time passing
// (a wait for more than was given times out at once). It can misbehave in every way a datagram socket can.

import type { NetlinkTransport } from '../../src/kernel/netlink-transport.ts';

const EAGAIN = 11;

/** A datagram, or an errno that receive() reports once. `port` is the sender's, 0 = the kernel; `size` a real size beyond the bytes. */
export type Answer =
  | { readonly bytes: Uint8Array; readonly port?: number; readonly size?: number }
  | { readonly errno: number };

export class ScriptedTransport implements NetlinkTransport {
  /** Every buffer sent, in order. */
  readonly sent: Uint8Array[] = [];
  reopened = 0;
  isClosed = false;
  senderPort = 0;
  /** What send() answers; 0 = taken. */
  sendErrno = 0;
  private queue: Iterator<Answer>[] = [];
  private next: Answer | undefined;
  private readonly answer: (request: Uint8Array, index: number) => Iterable<Answer>;

  constructor(answer: (request: Uint8Array, index: number) => Iterable<Answer>) {
    this.answer = answer;
  }

  send(bytes: Uint8Array, length: number): number {
    if (this.sendErrno !== 0) return this.sendErrno;
    const request = bytes.slice(0, length);
    this.sent.push(request);
    this.queue.push(this.answer(request, this.sent.length - 1)[Symbol.iterator]());
    return 0;
  }

  receive(buffer: Uint8Array): number {
    const next = this.peek();
    this.next = undefined;
    if (next === undefined) return -EAGAIN;
    if ('errno' in next) return -next.errno;
    this.senderPort = next.port ?? 0;
    buffer.set(next.bytes.subarray(0, buffer.length));
    return next.size ?? next.bytes.length;
  }

  wait(): boolean {
    return this.peek() !== undefined;
  }

  private peek(): Answer | undefined {
    while (this.next === undefined && this.queue.length > 0) {
      const { value, done: isDone } = this.queue[0]!.next();
      if (isDone === true) this.queue.shift();
      else this.next = value;
    }
    return this.next;
  }

  reopen(): void {
    this.reopened++;
    this.queue = [];
    this.next = undefined;
  }

  close(): void {
    this.isClosed = true;
  }
}

/** One netlink message as bytes. */
export function message(
  type: number,
  flags: number,
  seq: number,
  payload: Uint8Array | readonly number[] = [],
): Uint8Array {
  const bytes = new Uint8Array(16 + ((payload.length + 3) & ~3));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 16 + payload.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, seq, true);
  bytes.set(payload, 16);
  return bytes;
}

/** The acknowledgement of request `seq`: status 0, or a negative errno. */
export function ack(seq: number, status = 0): Uint8Array {
  const payload = new Uint8Array(20);
  new DataView(payload.buffer).setInt32(0, status, true);
  return message(2, 0x100, seq, payload);
}

/** The end of the dump `seq`. */
export function done(seq: number, status = 0): Uint8Array {
  return message(3, 2, seq, new Uint8Array(Int32Array.of(status).buffer));
}

/** Sequence number of the message at `at` in a request. */
export function seqOf(request: Uint8Array, at = 0): number {
  return new DataView(request.buffer, request.byteOffset).getUint32(at + 8, true);
}

/** Sequence numbers of all messages of a request. */
export function seqsOf(request: Uint8Array): number[] {
  const view = new DataView(request.buffer, request.byteOffset);
  const seqs: number[] = [];
  for (let at = 0; at < request.length; at += (view.getUint32(at, true) + 3) & ~3)
    seqs.push(seqOf(request, at));
  return seqs;
}

/** Several messages as one datagram. */
export function datagram(...messages: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(messages.flatMap((bytes) => [...bytes]));
}
