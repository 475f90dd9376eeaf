// Netlink bytes: a writer that puts many messages into one buffer, and a reader that never looks outside the bytes it was given.
// Pure: no sockets, no clock. Layout (include/uapi/linux/netlink.h), host byte order unless a name says Be:
//   nlmsghdr: u32 len | u16 type | u16 flags | u32 seq | u32 portid      (16 bytes, messages aligned to 4)
//   nlattr:   u16 len (header included, padding not) | u16 type          (4 bytes, payload padded to 4)

import { PointsmanError } from '../model/errors.ts';

export const NLMSG_HEADER_BYTES = 16;
export const NLATTR_HEADER_BYTES = 4;
/** Bits of an attribute's type that are flags (nested, network byte order), not the type. */
const NLA_TYPE_MASK = 0x3fff;
export const NLA_F_NESTED = 0x8000;
export const NLA_F_NET_BYTEORDER = 0x4000;

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
  throw new Error('pointsman runs on little-endian machines only (x86-64, arm64)');
}

const utf8 = new TextEncoder();

/**
 * Writes netlink messages one behind the other into one buffer that is used again and again.
 *
 * Order of calls: `begin`, then attributes and nests, then `end`; as often as wanted; then `bytes`/`length` hold a batch that
 * one send() takes. Writing past `capacity` throws RangeError (a programmer error: callers check `length` between messages).
 */
export class MessageWriter {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes written so far, padding included. */
  length = 0;
  private readonly view: DataView;
  private messageStart = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  get capacity(): number {
    return this.bytes.length;
  }

  /** Forgets everything written. */
  reset(): void {
    this.length = 0;
    this.messageStart = 0;
  }

  /** Drops the message that was begun and not ended. */
  abandon(): void {
    this.length = this.messageStart;
  }

  /**
   * Starts a message; portid stays 0, which is right for requests to the kernel. A message that was begun and not ended
   * (its encoder threw) is dropped, so that it cannot run into this one.
   */
  begin(type: number, flags: number, seq: number): void {
    this.abandon();
    const at = this.length;
    this.view.setUint16(at + 4, type, true);
    this.view.setUint16(at + 6, flags, true);
    this.view.setUint32(at + 8, seq, true);
    this.view.setUint32(at + 12, 0, true);
    this.length = at + NLMSG_HEADER_BYTES;
  }

  /** Ends the message begun last and writes its length. */
  end(): void {
    this.view.setUint32(this.messageStart, this.length - this.messageStart, true);
    this.messageStart = this.length;
  }

  /** Sets more flags on the message that starts at `at` (the value of `length` before its `begin`). */
  orFlags(at: number, flags: number): void {
    this.view.setUint16(at + 6, this.view.getUint16(at + 6, true) | flags, true);
  }

  /** Raw bytes of a family header, one at a time; the caller keeps the 4-byte alignment. */
  u8(value: number): void {
    this.view.setUint8(this.length, value);
    this.length += 1;
  }

  u16(value: number): void {
    this.view.setUint16(this.length, value, true);
    this.length += 2;
  }

  u16Be(value: number): void {
    this.view.setUint16(this.length, value, false);
    this.length += 2;
  }

  u32(value: number): void {
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }

  private attribute(type: number, payloadBytes: number): number {
    const at = this.length;
    // u16 length: a longer payload would wrap and the kernel would read garbage.
    if (payloadBytes > 0xffff - NLATTR_HEADER_BYTES)
      throw new RangeError(`netlink attribute of ${payloadBytes} bytes`);
    this.view.setUint16(at, NLATTR_HEADER_BYTES + payloadBytes, true);
    this.view.setUint16(at + 2, type, true);
    const end = at + NLATTR_HEADER_BYTES + payloadBytes;
    const padded = (end + 3) & ~3;
    // The buffer is used again, so padding must be cleared: netlink forbids leaking old bytes into it.
    for (let i = end; i < padded; i++) this.bytes[i] = 0;
    if (padded > this.bytes.length)
      throw new RangeError(`netlink message does not fit ${this.bytes.length} bytes`);
    this.length = padded;
    return at + NLATTR_HEADER_BYTES;
  }

  attrU8(type: number, value: number): void {
    this.view.setUint8(this.attribute(type, 1), value);
  }

  attrU16(type: number, value: number): void {
    this.view.setUint16(this.attribute(type, 2), value, true);
  }

  attrU16Be(type: number, value: number): void {
    this.view.setUint16(this.attribute(type, 2), value, false);
  }

  attrU32(type: number, value: number): void {
    this.view.setUint32(this.attribute(type, 4), value, true);
  }

  attrU32Be(type: number, value: number): void {
    this.view.setUint32(this.attribute(type, 4), value, false);
  }

  /** Two u32 in one attribute (the {flags, mask} struct of IPVS). */
  attrU32Pair(type: number, first: number, second: number): void {
    const at = this.attribute(type, 8);
    this.view.setUint32(at, first, true);
    this.view.setUint32(at + 4, second, true);
  }

  /** A NUL-terminated string of printable ASCII without blanks; anything else throws, because no kernel name that we write holds it. */
  attrString(type: number, text: string): void {
    const at = this.attribute(type, text.length + 1);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code <= 0x20 || code > 0x7e) throw new Error(`not a kernel name: ${JSON.stringify(text)}`);
      this.bytes[at + i] = code;
    }
    this.bytes[at + text.length] = 0;
  }

  /**
   * A NUL-terminated string of any characters but NUL, as UTF-8: for names that a person typed and that the kernel shall judge.
   * Throws for a NUL, behind which the kernel would not read.
   */
  attrText(type: number, text: string): void {
    const bytes = utf8.encode(`${text}\0`);
    if (bytes.indexOf(0) !== bytes.length - 1) throw new Error(`not a kernel name: ${JSON.stringify(text)}`);
    this.attrBytes(type, bytes);
  }

  attrBytes(type: number, payload: Uint8Array): void {
    this.bytes.set(payload, this.attribute(type, payload.length));
  }

  /** Reserves an attribute of `payloadBytes` bytes and gives the offset in `bytes` at which to write them. */
  attrReserve(type: number, payloadBytes: number): number {
    return this.attribute(type, payloadBytes);
  }

  /** An attribute without payload (a flag). */
  attrFlag(type: number): void {
    this.attribute(type, 0);
  }

  /** Opens a nest; give the returned mark to `endNest`. */
  beginNest(type: number): number {
    return this.attribute(type | NLA_F_NESTED, 0) - NLATTR_HEADER_BYTES;
  }

  endNest(mark: number): void {
    const bytes = this.length - mark;
    // u16 length: a nest of 64 KiB would wrap and the kernel would read garbage.
    if (bytes > 0xffff) throw new RangeError(`netlink nest of ${bytes} bytes; the limit is 65535`);
    this.view.setUint16(mark, bytes, true);
  }
}

/** One message inside a received datagram; offsets count from the start of the datagram. */
export interface MessageHeader {
  type: number;
  flags: number;
  seq: number;
  portid: number;
  /** The payload is [payloadStart, payloadEnd). */
  payloadStart: number;
  payloadEnd: number;
}

/** An error for bytes that break the format: code KERNEL_PROTOCOL. */
export function protocolError(what: string): PointsmanError {
  return new PointsmanError('KERNEL_PROTOCOL', `cannot decode a netlink reply: ${what}`, { what });
}

/**
 * Calls `visit` for each message of a datagram in order, with one header object that is used again for the next.
 * Throws KERNEL_PROTOCOL for a length under 16 or past the end.
 */
export function visitMessages(
  bytes: Uint8Array,
  length: number,
  visit: (header: MessageHeader) => void,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const header: MessageHeader = { type: 0, flags: 0, seq: 0, portid: 0, payloadStart: 0, payloadEnd: 0 };
  let at = 0;
  while (at < length) {
    if (length - at < NLMSG_HEADER_BYTES) throw protocolError(`${length - at} bytes behind the last message`);
    const messageBytes = view.getUint32(at, true);
    if (messageBytes < NLMSG_HEADER_BYTES || messageBytes > length - at) {
      throw protocolError(`message length ${messageBytes} with ${length - at} bytes left`);
    }
    header.type = view.getUint16(at + 4, true);
    header.flags = view.getUint16(at + 6, true);
    header.seq = view.getUint32(at + 8, true);
    header.portid = view.getUint32(at + 12, true);
    header.payloadStart = at + NLMSG_HEADER_BYTES;
    header.payloadEnd = at + messageBytes;
    visit(header);
    at += (messageBytes + 3) & ~3;
  }
}

/**
 * The attributes of one level, indexed by type. One table is parsed again and again (no allocation per message); a type that
 * repeats keeps its last occurrence; types above `maxType` are passed over, as the kernel does.
 */
export class AttributeTable {
  private readonly starts: Int32Array;
  private readonly ends: Int32Array;
  private bytes: Uint8Array = new Uint8Array(0);
  private view: DataView = new DataView(new ArrayBuffer(0));
  /** What is being decoded, for error texts ("IPVS service"). */
  private readonly what: string;

  constructor(what: string, maxType: number) {
    this.what = what;
    this.starts = new Int32Array(maxType + 1);
    this.ends = new Int32Array(maxType + 1);
  }

  /** Reads the attributes in bytes[start, end). Throws KERNEL_PROTOCOL for a bad length. */
  parse(bytes: Uint8Array, start: number, end: number): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.starts.fill(0);
    visitAttributes(this.view, start, end, this.what, (type, from, to) => {
      if (type >= this.starts.length) return;
      this.starts[type] = from;
      this.ends[type] = to;
    });
    return this;
  }

  has(type: number): boolean {
    return this.starts[type] !== 0 && this.starts[type] !== undefined;
  }

  /** Offset of the payload; throws KERNEL_PROTOCOL when the attribute is missing or shorter than `minBytes`. */
  start(type: number, minBytes = 0): number {
    const from = this.starts[type] ?? 0;
    if (from === 0) throw protocolError(`${this.what} lacks attribute ${type}`);
    const have = (this.ends[type] ?? 0) - from;
    if (have < minBytes)
      throw protocolError(`${this.what}: attribute ${type} has ${have} bytes instead of ${minBytes}`);
    return from;
  }

  end(type: number): number {
    this.start(type);
    return this.ends[type] ?? 0;
  }

  u8(type: number): number {
    return this.view.getUint8(this.start(type, 1));
  }

  u16(type: number): number {
    return this.view.getUint16(this.start(type, 2), true);
  }

  u16Be(type: number): number {
    return this.view.getUint16(this.start(type, 2), false);
  }

  u32(type: number): number {
    return this.view.getUint32(this.start(type, 4), true);
  }

  u32Be(type: number): number {
    return this.view.getUint32(this.start(type, 4), false);
  }

  u64(type: number): bigint {
    return this.view.getBigUint64(this.start(type, 8), true);
  }

  /** A string up to its NUL or the attribute's end; bytes above 0x7f become U+FFFD, so that a name stays one line. */
  string(type: number): string {
    const from = this.start(type);
    const to = this.ends[type] ?? from;
    let text = '';
    for (let i = from; i < to; i++) {
      const byte = this.bytes[i] ?? 0;
      if (byte === 0) break;
      text += byte < 0x20 || byte > 0x7e ? '\ufffd' : String.fromCharCode(byte);
    }
    return text;
  }

  /** A copy of the payload. */
  copy(type: number): Uint8Array {
    return this.bytes.slice(this.start(type), this.ends[type]);
  }
}

/** Calls `visit(type, payloadStart, payloadEnd)` for each attribute; the type comes without its flag bits. */
export function visitAttributes(
  view: DataView,
  start: number,
  end: number,
  what: string,
  visit: (type: number, payloadStart: number, payloadEnd: number) => void,
): void {
  let at = start;
  // Up to 3 bytes may remain where a family pads its last attribute to its own alignment.
  while (end - at >= NLATTR_HEADER_BYTES) {
    const attributeBytes = view.getUint16(at, true);
    if (attributeBytes < NLATTR_HEADER_BYTES || attributeBytes > end - at) {
      throw protocolError(`${what}: attribute length ${attributeBytes} with ${end - at} bytes left`);
    }
    visit(view.getUint16(at + 2, true) & NLA_TYPE_MASK, at + NLATTR_HEADER_BYTES, at + attributeBytes);
    at += (attributeBytes + 3) & ~3;
  }
}
