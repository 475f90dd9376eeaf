// Cuts a Kubernetes list, as it arrives, into the texts of its items, so that a list is never in memory as a whole, neither as text nor
// as objects: a server may answer with one page of 400 MB whatever limit it is asked for (resourceVersion=0). Finds where items begin and
// end and nothing else; whether they are JSON is for JSON.parse to say, which sees every byte.

import { PointsmanError } from '../model/errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const [OPEN_LIST, CLOSE_LIST] = [0x5b, 0x5d];
const [OPEN_OBJECT, CLOSE_OBJECT] = [0x7b, 0x7d];
const SPACE = 0x20;

/** kind, apiVersion and metadata with its continue token. */
const MAX_ENVELOPE_BYTES = 1 << 20;
const ITEMS = '"items"';

/** What stands around the items. */
export interface ListEnvelope {
  readonly kind: unknown;
  readonly metadata: unknown;
}

/** See above. One for each answer. */
export class ListSplitter {
  private readonly maxItemBytes: number;
  /** Levels that are open; items stand on the second one. */
  private depth = 0;
  private isInItems = false;
  private isInString = false;
  private isEscaped = false;
  /** An item has begun. */
  private isInItem = false;
  /** Parts of an item that began in an earlier chunk. */
  private parts: Uint8Array[] = [];
  private partBytes = 0;
  /** All bytes but those of the items. */
  private readonly envelope: number[] = [];
  /** Where the last text of the first level begins in the envelope, and where it ends. */
  private nameStart = 0;
  private nameEnd = 0;

  /** Items of more than `maxItemBytes` are refused. */
  constructor(maxItemBytes: number) {
    this.maxItemBytes = maxItemBytes;
  }

  /** Texts of the items that end in this chunk. Throws API_PROTOCOL for what is too large. */
  push(chunk: Uint8Array): string[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const items: string[] = [];
    for (let at = 0; at < bytes.length;)
      at = this.isInItems ? this.readItems(bytes, at, items) : this.readEnvelope(bytes, at);
    return items;
  }

  /** What stood around the items. Throws API_PROTOCOL when the text is no list, or not all of it came. */
  finish(): ListEnvelope {
    const text = Buffer.from(this.envelope).toString('utf8');
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = null;
    }
    if (typeof value !== 'object' || value === null) {
      throw new PointsmanError('API_PROTOCOL', 'the answer is no JSON object, or only a part of one', {});
    }
    return value as ListEnvelope;
  }

  private readEnvelope(bytes: Buffer, start: number): number {
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      this.envelope.push(byte);
      if (this.isInString) {
        if (this.isEscaped) this.isEscaped = false;
        else if (byte === BACKSLASH) this.isEscaped = true;
        else if (byte === QUOTE) {
          this.isInString = false;
          if (this.depth === 1) this.nameEnd = this.envelope.length;
        }
      } else if (byte === QUOTE) {
        this.isInString = true;
        if (this.depth === 1) this.nameStart = this.envelope.length - 1;
      } else if (byte === OPEN_OBJECT) this.depth++;
      else if (byte === OPEN_LIST) {
        this.depth++;
        // On the first level a list can only be the value of the name before it.
        if (this.depth === 2 && this.lastName() === ITEMS) {
          this.isInItems = true;
          return at + 1;
        }
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) this.depth--;
    }
    if (this.envelope.length > MAX_ENVELOPE_BYTES) {
      const message = `a list has more than ${MAX_ENVELOPE_BYTES} bytes around its items: is that an API server?`;
      throw new PointsmanError('API_PROTOCOL', message, { maxBytes: MAX_ENVELOPE_BYTES });
    }
    return bytes.length;
  }

  private lastName(): string {
    return String.fromCharCode(
      ...this.envelope.slice(this.nameStart, Math.min(this.nameEnd, this.nameStart + 16)),
    );
  }

  private readItems(bytes: Buffer, start: number, items: string[]): number {
    let itemStart = start;
    // Local copies: this loop sees every byte of every list.
    let { depth, isInString, isEscaped, isInItem } = this;
    let at = start;
    const { length } = bytes;
    for (; at < length; at++) {
      let byte = bytes[at] as number;
      if (isInString) {
        if (isEscaped) {
          isEscaped = false;
          continue;
        }
        // Most of a list is inside of texts.
        while (byte !== QUOTE && byte !== BACKSLASH && ++at < length) byte = bytes[at] as number;
        if (byte === QUOTE && at < length) isInString = false;
        else if (byte === BACKSLASH && at < length) isEscaped = true;
        continue;
      }
      if (!isInItem) {
        if (byte <= SPACE || byte === COMMA) continue;
        if (byte === CLOSE_LIST) break;
        isInItem = true;
        itemStart = at;
      }
      if (byte === QUOTE) isInString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        // The end of the list ends an item that is no object as well.
        if (depth === 2) break;
        depth--;
        if (depth === 2) {
          items.push(this.finishItem(bytes, itemStart, at + 1));
          isInItem = false;
        }
      } else if (byte === COMMA && depth === 2) {
        items.push(this.finishItem(bytes, itemStart, at));
        isInItem = false;
      }
    }
    this.depth = depth;
    this.isInString = isInString;
    this.isEscaped = isEscaped;
    this.isInItem = isInItem;
    if (at >= length) {
      if (isInItem) this.keep(bytes, itemStart, length);
      return length;
    }
    // Here is the "]" of the list, which the envelope has to see.
    if (isInItem) items.push(this.finishItem(bytes, itemStart, at));
    this.isInItem = false;
    this.isInItems = false;
    return at;
  }

  private finishItem(bytes: Buffer, start: number, end: number): string {
    if (this.parts.length === 0) {
      this.refuse(end - start);
      return bytes.toString('utf8', start, end);
    }
    this.keep(bytes, start, end);
    const text = Buffer.concat(this.parts).toString('utf8');
    this.parts = [];
    this.partBytes = 0;
    return text;
  }

  private keep(bytes: Buffer, start: number, end: number): void {
    this.refuse(this.partBytes + end - start);
    this.partBytes += end - start;
    this.parts.push(bytes.subarray(start, end));
  }

  private refuse(length: number): void {
    if (length <= this.maxItemBytes) return;
    const message = `an object in a list has more than ${this.maxItemBytes} bytes: no API server keeps such an object; is something else between it and us?`;
    throw new PointsmanError('API_PROTOCOL', message, { maxBytes: this.maxItemBytes });
  }
}
