// Keeps facts of one kind up to date with an API server, whatever it does: asks the machine what to do, has the reader do it, and tells the
// machine what came of it. Never ends by itself, never rejects. Guarantees, with reflector-teller.ts:
//  1. Nothing is told as gone but by a complete list or an event that says so; while the server is away nothing changes.
//  2. After every complete list, and whatever failed before, what was told is what the server has at that version.
//  3. `close` ends it in bounded time, and nothing is told after.

import { errorLine, hasCode } from '../model/errors.ts';
import type { ApiTransport } from './api-client-transport.ts';
import { ApiStatusError } from './api-client-status.ts';
import type { ApiKind } from './api-kinds.ts';
import { pause, type ApiTimers } from './api-timers.ts';
import { ReflectorMachine, type ReflectorFailure, type ReflectorStep } from './reflector-machine.ts';
import { ReflectorReader } from './reflector-reader.ts';
import { LostEvents, type ReflectorSink } from './reflector-teller.ts';
import { ApiSilentError } from './reflector-time.ts';

export interface ReflectorOptions {
  readonly kind: ApiKind;
  readonly transport: ApiTransport;
  readonly sink: ReflectorSink;
  readonly timers: ApiTimers;
  /** Gives 0 to below 1. */
  readonly random: () => number;
  /** Hears of every change of `status.state` and of every error. */
  readonly onState?: () => void;
  /** False: never try streaming lists. */
  readonly canStream?: boolean;
  /** Resolves in a later turn of the event loop; default setImmediate. */
  readonly nextTurn?: () => Promise<void>;
}

/** What a reflector does and did. */
export interface ReflectorStatus {
  /** listing: no complete list since it began or since it had to list anew; what was told before holds meanwhile. */
  readonly state: 'listing' | 'watching' | 'waiting';
  /** On the clock of `timers`: since when it is in this state. */
  readonly sinceMs: number;
  /** Of the last list, event or bookmark; '' before the first. */
  readonly resourceVersion: string;
  readonly objects: number;
  /** A list was told whole, once at least. */
  readonly isComplete: boolean;
  /** One line; '' when the last request went well. */
  readonly lastError: string;
  /** Lists that were begun, streamed ones too. */
  readonly lists: number;
  readonly watches: number;
  readonly requests: number;
  /** Waits after failures. */
  readonly backoffs: number;
  /** Objects that have no name, and the like. */
  readonly skipped: number;
  /** One line; '' for none. */
  readonly lastSkipped: string;
}

/** Statuses that say: not with these parameters. */
const UNSUPPORTED = new Set([400, 404, 405, 406, 415, 422, 501]);
/** Statuses of an ERROR in a watch after which the watch may go on where it was: the server is in trouble, the history is not. */
const PASSING = new Set([429, 500, 502, 503, 504]);

/** See above. */
export class Reflector {
  private readonly options: ReflectorOptions;
  private readonly machine: ReflectorMachine;
  private readonly reader: ReflectorReader;
  private readonly closing = new AbortController();
  private running: Promise<void> | null = null;
  private state: ReflectorStatus['state'] = 'listing';
  private sinceMs: number;
  private isComplete = false;
  private lastError = '';
  private lastSkipped = '';
  private readonly counts = { lists: 0, watches: 0, requests: 0, backoffs: 0, skipped: 0 };

  constructor(options: ReflectorOptions) {
    this.options = options;
    const { kind, timers, random, canStream = true, sink, nextTurn } = options;
    this.sinceMs = timers.now();
    this.machine = new ReflectorMachine({ random, canStream });
    this.reader = new ReflectorReader({
      kind,
      timers,
      machine: this.machine,
      transport: { open: (request, signal) => this.open(request, signal) },
      sink: {
        onEvents: (events, more) => {
          if (!this.closing.signal.aborted) sink.onEvents(events, more);
        },
        onComplete: () => {
          this.isComplete = true;
          this.settle('watching', '');
          sink.onComplete();
        },
        onSkipped: (problem) => {
          this.counts.skipped++;
          this.lastSkipped = problem;
          sink.onSkipped(problem);
        },
      },
      ...(nextTurn === undefined ? {} : { nextTurn }),
    });
  }

  get status(): ReflectorStatus {
    return {
      state: this.state,
      sinceMs: this.sinceMs,
      resourceVersion: this.machine.resourceVersion,
      objects: this.reader.objects,
      isComplete: this.isComplete,
      lastError: this.lastError,
      lastSkipped: this.lastSkipped,
      ...this.counts,
    };
  }

  /** Once. */
  start(): void {
    this.running ??= this.run();
  }

  /** Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.closing.abort(new Error('closed'));
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      const step = this.machine.next();
      try {
        await this.take(step, signal);
      } catch (error) {
        if (signal.aborted) return;
        // An ERROR in a stream whose beginning is over is one of a watch.
        const isWatch = step.do === 'watch' || (step.do === 'stream' && this.state === 'watching');
        this.machine.failed(failureOf(error, isWatch), this.options.timers.now());
        this.settle(this.state, errorLine(error));
      }
    }
  }

  private async take(step: ReflectorStep, signal: AbortSignal): Promise<void> {
    const { timers } = this.options;
    switch (step.do) {
      case 'wait':
        this.counts.backoffs++;
        this.settle('waiting', this.lastError);
        await pause(timers, step.delayMs, signal);
        return;
      case 'list':
        if (step.token === '') this.counts.lists++;
        this.settle('listing', this.lastError);
        await this.reader.list(step, signal);
        return;
      case 'check':
        await this.reader.check(signal);
        return;
      case 'stream':
        this.counts.lists++;
        this.counts.watches++;
        this.settle('listing', this.lastError);
        await this.reader.stream(step, signal);
        break;
      case 'watch':
        this.counts.watches++;
        await this.reader.watch(step, signal);
        break;
    }
    this.machine.closed(timers.now());
  }

  private async open(
    ...[request, signal]: Parameters<ApiTransport['open']>
  ): ReturnType<ApiTransport['open']> {
    this.counts.requests++;
    const answer = await this.options.transport.open(request, signal);
    if (request.query['watch'] !== undefined && request.query['sendInitialEvents'] === undefined)
      this.settle('watching', '');
    return answer;
  }

  private settle(state: ReflectorStatus['state'], lastError: string): void {
    if (this.closing.signal.aborted || (state === this.state && lastError === this.lastError)) return;
    if (state !== this.state) this.sinceMs = this.options.timers.now();
    this.state = state;
    this.lastError = lastError;
    this.options.onState?.();
  }
}

/** What a failure means for what is asked next. */
export function failureOf(error: unknown, isWatch: boolean): ReflectorFailure {
  const retryAfterMs = error instanceof ApiStatusError ? error.retryAfterMs : 0;
  return { kind: kindOf(error, isWatch), retryAfterMs };
}

function kindOf(error: unknown, isWatch: boolean): ReflectorFailure['kind'] {
  if (error instanceof ApiStatusError) {
    if (error.isExpired) return 'expired';
    if (error.isTooLargeVersion) return 'ahead';
    if (UNSUPPORTED.has(error.status)) return 'unsupported';
    return error.isInStream && isWatch && !PASSING.has(error.status) ? 'nonsense' : 'other';
  }
  if (error instanceof ApiSilentError) return 'silent';
  if (error instanceof LostEvents) return 'lost';
  return hasCode(error, 'API_PROTOCOL') || hasCode(error, 'LIMIT_EXCEEDED') ? 'nonsense' : 'other';
}
