// Cuts a stream of bytes into lines, as a watch sends them: one JSON text each. Decodes nothing but UTF-8. A line is copied once; what a
// line's text keeps alive is the line alone, never the chunk it came in.

import { PointsmanError } from '../model/errors.ts';

const LINE_FEED = 0x0a;

/** See above. */
export class LineSplitter {
  private readonly maxBytes: number;
  private parts: Uint8Array[] = [];
  private partBytes = 0;

  /** Lines of more than `maxBytes` are refused. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /**
   * The lines that end in this chunk, without their ends; empty lines are left out. Throws API_PROTOCOL for a line that is too long, as
   * soon as that is known.
   */
  push(chunk: Uint8Array): string[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: string[] = [];
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
      const line = this.finish(bytes, start, end);
      if (line !== '') lines.push(line);
      start = end + 1;
    }
    if (start < bytes.length) this.keep(bytes, start, bytes.length);
    return lines;
  }

  /** Bytes of the line that has no end yet. */
  get pendingBytes(): number {
    return this.partBytes;
  }

  private finish(bytes: Buffer, start: number, end: number): string {
    if (this.parts.length === 0) {
      this.refuse(end - start);
      return bytes.toString('utf8', start, end).trim();
    }
    this.keep(bytes, start, end);
    const line = Buffer.concat(this.parts).toString('utf8').trim();
    this.parts = [];
    this.partBytes = 0;
    return line;
  }

  private keep(bytes: Buffer, start: number, end: number): void {
    this.refuse(this.partBytes + end - start);
    this.partBytes += end - start;
    this.parts.push(bytes.subarray(start, end));
  }

  private refuse(length: number): void {
    if (length <= this.maxBytes) return;
    const message = `a line of a watch has more than ${this.maxBytes} bytes: no API server sends such an object; is something else between it and us?`;
    throw new PointsmanError('API_PROTOCOL', message, { maxBytes: this.maxBytes });
  }
}
