// Reads the lines of a recording one after the other, never more of the file at once than a line, whatever the file holds: no recording, a
// bomb of zeros, a cut tail. Only what a line says about the order of lines is judged here; times and speeds are replay.ts's.

import { constants as fileConstants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { constants as zlibConstants, createGunzip, type Gunzip } from 'node:zlib';
import { codeOf } from './manifest-files.ts';
import type { PointsmanError } from '../model/errors.ts';
import {
  invalidRecording,
  LineError,
  MAX_LINE_BYTES,
  MAX_TEXT_BYTES,
  parseHeader,
  parseLine,
  type RecordedLine,
  type RecordingHeader,
} from './recording-format.ts';

/** What a recording may hold. */
export interface ReplayLimits {
  /** Of one line, its end not counted. */
  readonly maxLineBytes: number;
  /** Of all lines. */
  readonly maxTextBytes: number;
}

export const DEFAULT_REPLAY_LIMITS: ReplayLimits = {
  maxLineBytes: MAX_LINE_BYTES,
  maxTextBytes: MAX_TEXT_BYTES,
};

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const DAMAGED = 'use a copy that is whole';

/** An open recording. Everything that it throws is INVALID_RECORDING, with the line after which nothing could be read. */
export class ReplayReader {
  readonly path: string;
  private readonly limits: ReplayLimits;
  private readonly raw: Readable;
  private readonly inflated: Gunzip;
  private readonly chunks: AsyncIterator<Buffer>;
  /** What was inflated and is no line yet: the part of a line, and a chunk with the place up to which it was taken. */
  private partial: Buffer[] = [];
  private partialBytes = 0;
  private chunk: Buffer = Buffer.alloc(0);
  private offset = 0;
  private rawBytes = 0;
  private textBytes = 0;
  private atMs = 0;
  private isEnded = false;
  private isComplete = false;
  private isClosed = false;
  /** Lines that were read. */
  lines = 0;

  private constructor(file: FileHandle, path: string, limits: ReplayLimits) {
    this.path = path;
    this.limits = limits;
    this.raw = file.createReadStream({ highWaterMark: CHUNK_BYTES });
    // A recorder that was killed leaves a stream without its end: what is there is given out, and the missing end mark tells.
    this.inflated = createGunzip({ chunkSize: CHUNK_BYTES, finishFlush: zlibConstants.Z_SYNC_FLUSH });
    this.raw.on('data', (bytes: Buffer | string) => {
      this.rawBytes += bytes.length;
    });
    this.raw.on('error', (error) => this.inflated.destroy(error));
    this.raw.pipe(this.inflated);
    this.chunks = this.inflated[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** Opens a recording and reads its first line. */
  static async open(
    path: string,
    limits: ReplayLimits = DEFAULT_REPLAY_LIMITS,
  ): Promise<{ readonly reader: ReplayReader; readonly header: RecordingHeader }> {
    const reader = new ReplayReader(await openFile(path), path, limits);
    try {
      const text = await reader.nextText();
      if (text === null)
        throw new LineError('it is empty', 'give a file that "pointsman run --record" wrote');
      return { reader, header: parseHeader(text) };
    } catch (error) {
      const failure = reader.invalid(error, 1);
      await reader.close();
      throw failure;
    }
  }

  /** The next line; null where the recording ends without an end mark, as after a kill. Not to be called again before it resolves. */
  async next(): Promise<RecordedLine | null> {
    const number = this.lines + 1;
    try {
      const text = await this.nextText();
      if (text === null) return null;
      if (this.isEnded) throw new LineError('it comes after the end', `the file is damaged; ${DAMAGED}`);
      const line = parseLine(text, this.atMs);
      this.atMs = line.atMs;
      this.isEnded = line.type === 'end';
      if (line.type === 'complete') {
        if (this.isComplete) throw new LineError('it is a second mark', `the file is damaged; ${DAMAGED}`);
        this.isComplete = true;
      }
      return line;
    } catch (error) {
      throw this.invalid(error, number);
    }
  }

  /** Closes the file; a `next` that waits rejects. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.inflated.destroy();
    if (this.raw.closed) return;
    const closed = new Promise((resolve) => this.raw.once('close', resolve));
    this.raw.destroy();
    await closed;
  }

  /** The text of the next line that ends with a newline; null at the end of the file. */
  private async nextText(): Promise<string | null> {
    for (;;) {
      const end = this.chunk.indexOf(NEWLINE, this.offset);
      this.take(end === -1 ? this.chunk.length : end);
      if (end !== -1) {
        this.offset = end + 1;
        return this.finishLine();
      }
      const { value, done } = await this.chunks.next();
      if (done === true) return this.endOfFile();
      this.chunk = value;
      this.offset = 0;
      this.textBytes += value.length;
      if (this.textBytes > this.limits.maxTextBytes)
        throw new LineError(
          `the text up to it is larger than ${this.limits.maxTextBytes} bytes`,
          'record for less time',
        );
    }
  }

  private take(end: number): void {
    const part = this.chunk.subarray(this.offset, end);
    this.offset = end;
    if (part.length === 0) return;
    this.partial.push(part);
    this.partialBytes += part.length;
    if (this.partialBytes > this.limits.maxLineBytes)
      throw new LineError(
        `it is longer than ${this.limits.maxLineBytes} bytes`,
        `the file is damaged; ${DAMAGED}`,
      );
  }

  private finishLine(): string {
    const bytes = Buffer.concat(this.partial, this.partialBytes);
    this.partial = [];
    this.partialBytes = 0;
    const text = decode(bytes);
    this.lines++;
    return text;
  }

  /** A line without its end is what a killed recorder could not write; bytes that no gzip took are no part of a recording. */
  private endOfFile(): null {
    if (this.inflated.bytesWritten === this.rawBytes) return null;
    throw new LineError('the file goes on with something else than a recording', DAMAGED);
  }

  /** Line 0 stands for the file as a whole, where not even one line can be read. */
  private invalid(error: unknown, line: number): PointsmanError {
    return invalidRecording(this.path, this.lines === 0 ? 0 : line, this.explain(error), error);
  }

  private explain(error: unknown): LineError {
    if (error instanceof LineError) return error;
    if (this.isClosed) return new LineError('it was closed while it was read', 'replay it again');
    const code = codeOf(error);
    if (!code.startsWith('Z_'))
      return new LineError(`the file cannot be read (${code})`, 'check the disk that it is on');
    if (this.lines === 0)
      return new LineError(
        'it is no recording of facts (not gzip)',
        'give a file that "pointsman run --record" wrote',
      );
    return new LineError('the file is damaged here', DAMAGED);
  }
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new LineError('it is not UTF-8', `the file is damaged; ${DAMAGED}`);
  }
}

async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle | null = null;
  try {
    // Without O_NONBLOCK a pipe without a writer would hold us forever.
    file = await open(path, fileConstants.O_RDONLY | fileConstants.O_NONBLOCK);
    if (!(await file.stat()).isFile())
      throw new LineError('it is no regular file', 'give the file of a recording');
    return file;
  } catch (error) {
    await file?.close();
    if (error instanceof LineError) throw invalidRecording(path, 0, error);
    const what =
      codeOf(error) === 'ENOENT' ? 'there is no such file' : `the file cannot be opened (${codeOf(error)})`;
    throw invalidRecording(path, 0, new LineError(what, 'correct the path or its permissions'), error);
  }
}
