// Writes what an agent learns of the cluster to a file, for bug reports and fixtures (docs/recording.md). Guarantees:
//  1. Whoever tells facts is never held up and never sees an error: when the disk is too slow, too full or broken, or a limit is reached,
//     the recording stops, once, with one reason; what was written until then stays a recording.
//  2. Only the fields that Pointsman reads are written (used-fields.ts); the file is new, and only its owner can read it.
//  3. A killed agent leaves a readable beginning: what was told is on its way to the file after `flushIntervalMs`.
//  4. Memory is bounded by `maxWaiting`, the file by `maxBytes`.

import { rm, type FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { ClusterEvent } from '../model/objects.ts';
import { codeOf } from './manifest-files.ts';
import { createRecording, recordUsage } from './recording-file.ts';
import type { ApiTimers } from './api-timers.ts';
import { formatEnd, formatHeader, LineError, MAX_TEXT_BYTES } from './recording-format.ts';
import { RecordingQueue } from './recording-queue.ts';

/** How a Recorder records. */
export interface RecorderOptions {
  /** The version of this program, for the header. */
  readonly pointsmanVersion: string;
  readonly nodeName: string;
  readonly timers: ApiTimers;
  /** Size of the file; from 4096. Default 256 MiB. */
  readonly maxBytes?: number;
  /** Facts that wait to be written, counted in events and their endpoints; one larger batch is taken when nothing waits. Default 500,000. */
  readonly maxWaiting?: number;
  /** Time that facts wait for others to be written with. Default 1000. */
  readonly flushIntervalMs?: number;
  /** Time that `close` waits for the disk. Default 10,000. */
  readonly closeTimeoutMs?: number;
  /** Called once when the recording stops before `close`; `reason` is one line: what happened, to which file, what to do. */
  readonly onStopped?: (reason: string) => void;
}

/** What became of a recording so far. */
export interface RecordingStatus {
  readonly path: string;
  readonly state: 'recording' | 'stopped' | 'closed';
  /** Why it stopped; '' otherwise. */
  readonly reason: string;
  /** In the file. */
  readonly events: number;
  readonly bytes: number;
  /** Not in the file yet, as `maxWaiting` counts. */
  readonly waiting: number;
}

export const DEFAULT_MAX_BYTES = 256 * 2 ** 20;
const MIN_BYTES = 4096;
/** Kept free for the line that says why it ended. */
const END_BYTES = 512;
const DEFAULT_MAX_WAITING = 500_000;
/** Text that is compressed and written at once. */
const MEMBER_CHARS = 256 * 1024;
/** Others get their turn after this long. */
const TURN_MS = 5;

const compress = promisify(gzip);

/** A recording that is being written. */
export class Recorder {
  private readonly path: string;
  private readonly file: FileHandle;
  private readonly options: RecorderOptions;
  private readonly maxBytes: number;
  private readonly startedAtMs: number;
  private readonly queue = new RecordingQueue();
  /** Lines that are not compressed yet, and what they hold. */
  private text = '';
  private textEvents = 0;
  private textBytes = 0;
  private bytes = 0;
  private events = 0;
  private state: RecordingStatus['state'] = 'recording';
  private reason = '';
  private endReason = 'the agent ended';
  private isComplete = false;
  private isFlushDue = false;
  private isClosing = false;
  private isFileClosed = false;
  private working: Promise<void> | null = null;
  private flushTimer: unknown = null;

  private constructor(file: FileHandle, path: string, options: RecorderOptions) {
    this.file = file;
    this.path = path;
    this.options = options;
    this.maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.startedAtMs = options.timers.now();
  }

  /** Begins a recording in a new file. Throws USAGE when there is one already or it cannot be made, or for a `maxBytes` that is too small. */
  static async open(path: string, options: RecorderOptions): Promise<Recorder> {
    const { maxBytes = DEFAULT_MAX_BYTES } = options;
    if (!(maxBytes >= MIN_BYTES))
      throw recordUsage(path, `${maxBytes} bytes are too few`, `allow at least ${MIN_BYTES}`);
    const file = await createRecording(path);
    try {
      return await Recorder.into(file, path, options);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Begins a recording in an open file, which is closed at its end; `path` is for messages. Throws USAGE when it cannot be written. */
  static async into(file: FileHandle, path: string, options: RecorderOptions): Promise<Recorder> {
    const recorder = new Recorder(file, path, options);
    try {
      recorder.text = formatHeader(options);
      await recorder.write();
      return recorder;
    } catch (error) {
      await file.close();
      throw recordUsage(path, `it cannot be written (${codeOf(error)})`, 'give a place that can be written');
    }
  }

  get status(): RecordingStatus {
    const { path, state, reason, events, bytes } = this;
    return { path, state, reason, events, bytes, waiting: this.queue.size + this.textEvents };
  }

  /** Takes facts in, in the order in which the agent learns of them. Neither the list nor the objects may change after. */
  note(events: readonly ClusterEvent[]): void {
    if (this.state !== 'recording' || this.isClosing || events.length === 0) return;
    const waited = this.queue.size;
    const { maxWaiting = DEFAULT_MAX_WAITING } = this.options;
    this.queue.add(this.atMs(), events);
    if (waited > 0 && this.queue.size > maxWaiting)
      this.stop('facts come faster than they can be written', 'begin again on a faster disk');
    this.wake();
  }

  /** What was told by now is the first complete snapshot. Further calls do nothing. */
  complete(): void {
    if (this.state !== 'recording' || this.isClosing || this.isComplete) return;
    this.isComplete = true;
    this.queue.addComplete(this.atMs());
    this.wake();
  }

  /** Writes what was told, and the end. Never rejects; resolves after `closeTimeoutMs` at the latest. */
  async close(): Promise<void> {
    const { timers, closeTimeoutMs = 10_000 } = this.options;
    this.isClosing = true;
    this.wake();
    let timer: unknown = null;
    const timeout = new Promise<void>((resolve) => {
      timer = timers.set(() => {
        this.stop('the disk did not take its end in time', 'begin again on a faster disk');
        resolve();
      }, closeTimeoutMs);
    });
    await Promise.race([this.worked(), timeout]);
    timers.clear(timer);
    if (this.state === 'recording') this.state = 'closed';
  }

  private async worked(): Promise<void> {
    while (this.working !== null) await this.working;
  }

  private atMs(): number {
    return Math.max(0, Math.round(this.options.timers.now() - this.startedAtMs));
  }

  private stop(what: string, remedy: string): void {
    if (this.state !== 'recording') return;
    this.state = 'stopped';
    this.reason = `--record ${this.path}: the recording stopped: ${what}; ${remedy}`;
    this.endReason = what;
    this.queue.clear();
    this.options.onStopped?.(this.reason);
  }

  private wake(): void {
    if (this.working !== null || this.isFileClosed) return;
    this.working = this.work().finally(() => {
      this.working = null;
      if (this.hasWork()) this.wake();
    });
  }

  private hasWork(): boolean {
    return (
      !this.isFileClosed &&
      (!this.queue.isEmpty || this.isFlushDue || this.isClosing || this.state === 'stopped')
    );
  }

  /** Everything that waits becomes text, and text a part of the file. Never rejects, never runs twice at once. */
  private async work(): Promise<void> {
    try {
      await nextTurn();
      await this.drain();
      const isEnding = this.isClosing || this.state === 'stopped';
      if (this.isFlushDue || isEnding) await this.writeText();
      if (isEnding) await this.end();
      else if (this.text !== '') this.awaitFlush();
    } catch (error) {
      this.stop(`the file cannot be written (${codeOf(error)})`, 'begin again on a disk that has room');
      await this.closeFile();
    }
  }

  private async drain(): Promise<void> {
    let turnEndsAtMs = performance.now() + TURN_MS;
    while (this.state === 'recording') {
      const line = this.takeLine();
      if (line === null) return;
      this.text += line.text;
      this.textEvents += line.events;
      if (this.text.length >= MEMBER_CHARS) await this.writeText();
      else if (performance.now() < turnEndsAtMs) continue;
      else await nextTurn();
      turnEndsAtMs = performance.now() + TURN_MS;
    }
  }

  private takeLine(): ReturnType<RecordingQueue['takeLine']> {
    try {
      return this.queue.takeLine();
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      this.stop(error.message, error.remedy);
      return null;
    }
  }

  /** The lines that wait, unless the file would grow beyond its limit by them. */
  private async writeText(): Promise<void> {
    this.isFlushDue = false;
    if (this.flushTimer !== null) this.options.timers.clear(this.flushTimer);
    this.flushTimer = null;
    if (this.text !== '') await this.write();
  }

  private async write(): Promise<void> {
    const { text, textEvents } = this;
    this.text = '';
    this.textEvents = 0;
    const plain = Buffer.from(text);
    const data = await compress(plain);
    if (this.textBytes + plain.length + END_BYTES > MAX_TEXT_BYTES)
      return this.stop(
        `it holds ${MAX_TEXT_BYTES} bytes of text, the most that can be replayed`,
        'begin a new file',
      );
    if (this.bytes + data.length + END_BYTES > this.maxBytes)
      return this.stop(`it reached its limit of ${this.maxBytes} bytes`, 'allow more or begin a new file');
    // A write that was begun may end after a stop: what is counted is what is in the file.
    await this.file.writeFile(data);
    this.bytes += data.length;
    this.textBytes += plain.length;
    this.events += textEvents;
  }

  private awaitFlush(): void {
    const { timers, flushIntervalMs = 1000 } = this.options;
    this.flushTimer ??= timers.set(() => {
      this.flushTimer = null;
      this.isFlushDue = true;
      this.wake();
    }, flushIntervalMs);
  }

  private async end(): Promise<void> {
    if (this.isFileClosed) return;
    const data = await compress(formatEnd(this.atMs(), this.endReason));
    await this.file.writeFile(data);
    this.bytes += data.length;
    await this.closeFile();
  }

  private async closeFile(): Promise<void> {
    if (this.isFileClosed) return;
    this.isFileClosed = true;
    if (this.flushTimer !== null) this.options.timers.clear(this.flushTimer);
    this.flushTimer = null;
    try {
      await this.file.close();
    } catch (error) {
      this.stop(`the file cannot be closed (${codeOf(error)})`, 'begin again on another disk');
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
