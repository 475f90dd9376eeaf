// A recording (recording.ts) as a source of facts: the first complete snapshot at once, what came after it in the time in which it came, N
// times as fast, or as fast as it is taken. What is wrong with the file ends the replay with one INVALID_RECORDING; the facts that were told
// by then stay. The clock is injected.

import { errorLine, PointsmanError } from '../model/errors.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ApiTimers } from './api-timers.ts';
import type { FactListener, FactReport, FactSource } from './fact-source.ts';
import { invalidRecording, LineError, type RecordedLine, type RecordingHeader } from './recording-format.ts';
import { weightOf } from './recording-queue.ts';
import { DEFAULT_REPLAY_LIMITS, ReplayReader, type ReplayLimits } from './replay-reader.ts';

/** How a ReplaySource replays. */
export interface ReplayOptions {
  readonly timers: ApiTimers;
  /** Hears of each batch after the first complete snapshot; what it returns is waited for, before the next. */
  readonly onEvents?: (...facts: Parameters<FactListener>) => void | Promise<void>;
  /** Called once, after the last batch, however the replay ends; not after `close`. */
  readonly onEnd?: (end: ReplayEnd) => void;
  /** How many times as fast as it was; 'max': without waiting. Default 1. */
  readonly speed?: ReplaySpeed;
  /**
   * Where the first complete snapshot goes: into the report of `readAll`, all of it in memory at once (default), or to `onEvents`, batch by
   * batch, before `readAll` resolves with an empty report.
   */
  readonly firstSnapshot?: 'report' | 'listener';
  readonly limits?: Partial<ReplayLimits & SnapshotLimits>;
}

export type ReplaySpeed = number | 'max';

interface SnapshotLimits {
  /** Events and their endpoints that one report may hold. */
  readonly maxReportSize: number;
}

/** How a replay ended. */
export interface ReplayEnd {
  /** `cut`: the recording has no end, as after a kill; everything that is there was told. */
  readonly how: 'end' | 'cut' | 'invalid';
  /** One line for a person. */
  readonly message: string;
  /** INVALID_RECORDING where `how` is 'invalid'. */
  readonly error: PointsmanError | null;
  /** Events told, those of the first snapshot among them. */
  readonly events: number;
}

/** Ten million endpoints with their slices hold a few GB: enough for any cluster that one node can know. */
const DEFAULT_MAX_REPORT_SIZE = 10_000_000;
/** Longest time that one timer is set for: Node's own take at most 2^31 - 1. */
const MAX_TIMER_MS = 2 ** 30;
/** Speeds that can be meant. */
const SPEEDS = { min: 0.001, max: 1_000_000 } as const;

/** A recording being replayed. */
export class ReplaySource implements FactSource {
  private readonly path: string;
  private readonly options: ReplayOptions;
  private readonly speed: ReplaySpeed;
  private reader: ReplayReader | null = null;
  private recordedBy: RecordingHeader | null = null;
  private completeAtMs: number | null = null;
  private running: Promise<void> | null = null;
  private endWait: (() => void) | null = null;
  private ending: ReplayEnd | null = null;
  private events = 0;
  private isClosed = false;

  /** Throws USAGE for a speed that is none. */
  constructor(path: string, options: ReplayOptions) {
    this.path = path;
    this.options = options;
    this.speed = options.speed ?? 1;
    if (this.speed !== 'max' && !(this.speed >= SPEEDS.min && this.speed <= SPEEDS.max))
      throw badSpeed(String(this.speed));
  }

  /** Who recorded; null before `readAll` has begun to read. */
  get header(): RecordingHeader | null {
    return this.recordedBy;
  }

  /** How it ended; null as long as it has not. */
  get end(): ReplayEnd | null {
    return this.ending;
  }

  /**
   * The first complete snapshot. Throws INVALID_RECORDING when the file cannot be read as a recording, or ends before that: from an
   * incomplete list nothing may be programmed.
   */
  async readAll(): Promise<FactReport> {
    if (this.reader !== null) throw new Error('readAll() is called twice');
    const { reader, header } = await ReplayReader.open(this.path, {
      ...DEFAULT_REPLAY_LIMITS,
      ...this.options.limits,
    });
    this.reader = reader;
    this.recordedBy = header;
    try {
      const events = await this.readSnapshot(reader);
      return { events, problems: [], warnings: [] };
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** Begins to tell what came after the first complete snapshot. */
  watch(): void {
    const { reader, completeAtMs } = this;
    if (reader === null || completeAtMs === null)
      throw new Error('watch() is called before readAll() resolved');
    if (this.running !== null) throw new Error('watch() is called twice');
    this.running = this.replay(reader, completeAtMs);
  }

  /** Ends the replay; the listener hears of nothing after. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.endWait?.();
    await this.reader?.close();
    await this.running;
  }

  private async readSnapshot(reader: ReplayReader): Promise<ClusterEvent[]> {
    const { firstSnapshot = 'report', limits } = this.options;
    const { maxReportSize = DEFAULT_MAX_REPORT_SIZE } = limits ?? {};
    const events: ClusterEvent[] = [];
    let size = 0;
    for (;;) {
      if (this.isClosed) throw this.invalid(reader, 'it was closed while it was read', 'replay it again');
      const line = await reader.next();
      if (line?.type === 'complete') {
        this.completeAtMs = line.atMs;
        return events;
      }
      if (line?.type !== 'events')
        throw this.invalid(
          reader,
          'it ends before the first complete snapshot',
          'record until the agent has synced',
        );
      if (firstSnapshot === 'listener') {
        await this.tell(line.events);
        continue;
      }
      for (const event of line.events) {
        events.push(event);
        size += weightOf(event);
      }
      this.events = events.length;
      if (size > maxReportSize)
        throw this.invalid(
          reader,
          `the first snapshot is larger than ${maxReportSize} events and endpoints`,
          'record a smaller cluster',
        );
    }
  }

  private async replay(reader: ReplayReader, completeAtMs: number): Promise<void> {
    const startedAtMs = this.options.timers.now();
    for (;;) {
      const line = await nextLine(reader);
      if (this.isClosed) return;
      if (line instanceof Error || line === null) return this.finish(reader, line);
      if (line.type === 'end') {
        // Its last bytes say whether everything before them is as it was written.
        const after = await nextLine(reader);
        if (!this.isClosed) await this.finish(reader, after instanceof Error ? after : line);
        return;
      }
      if (line.type === 'complete') continue;
      if (this.speed === 'max') await nextTurn();
      else await this.waitUntil(startedAtMs + (line.atMs - completeAtMs) / this.speed);
      // Closing cuts the wait short.
      if (this.isClosed) return;
      await this.tell(line.events);
    }
  }

  private async tell(events: readonly ClusterEvent[]): Promise<void> {
    this.events += events.length;
    await this.options.onEvents?.(events, [], []);
  }

  private async finish(
    reader: ReplayReader,
    last: PointsmanError | null | { readonly reason: string },
  ): Promise<void> {
    await reader.close();
    if (this.isClosed) return;
    const { events } = this;
    const told = `${events} ${events === 1 ? 'event' : 'events'}`;
    if (last instanceof PointsmanError)
      this.ending = { how: 'invalid', message: errorLine(last), error: last, events };
    else if (last === null) {
      const message = `--replay ${this.path}: it is cut off after line ${reader.lines}, as by a kill; ${told} replayed`;
      this.ending = { how: 'cut', message, error: null, events };
    } else {
      const message = `--replay ${this.path}: replayed to its end: ${told}; it ended because ${last.reason}`;
      this.ending = { how: 'end', message, error: null, events };
    }
    this.options.onEnd?.(this.ending);
  }

  private async waitUntil(dueAtMs: number): Promise<void> {
    const { timers } = this.options;
    for (;;) {
      const leftMs = dueAtMs - timers.now();
      if (this.isClosed) return;
      if (leftMs <= 0) return nextTurn();
      await new Promise<void>((resolve) => {
        const timer = timers.set(resolve, Math.min(leftMs, MAX_TIMER_MS));
        this.endWait = () => {
          timers.clear(timer);
          resolve();
        };
      });
      this.endWait = null;
    }
  }

  private invalid(reader: ReplayReader, what: string, remedy: string): PointsmanError {
    return invalidRecording(this.path, reader.lines, new LineError(what, remedy));
  }
}

/** Reads the value of --replay-speed: "max", or a number from 0.001 to 1000000, as in "10" or "0.5". Throws USAGE. */
export function parseReplaySpeed(text: string): ReplaySpeed {
  if (text === 'max') return 'max';
  const speed = /^\d{1,7}(?:\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (speed >= SPEEDS.min && speed <= SPEEDS.max) return speed;
  throw badSpeed(text);
}

function badSpeed(text: string): PointsmanError {
  const shown = text.slice(0, 32).replaceAll(/[^\x20-\x7e]/g, '?');
  const message = `--replay-speed ${shown}: it is no speed; write max, or a number from ${SPEEDS.min} to ${SPEEDS.max}`;
  return new PointsmanError('USAGE', message, { speed: shown });
}

/** The next line, null at the end of the file, or what is wrong with it. */
async function nextLine(reader: ReplayReader): Promise<RecordedLine | PointsmanError | null> {
  try {
    return await reader.next();
  } catch (error) {
    if (error instanceof PointsmanError) return error;
    throw error;
  }
}

/** Others get their turn between two batches. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
