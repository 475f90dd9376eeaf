// Writes Events to an API server, beside everything else and less important than all of it:
//  1. `write` only puts into a queue: it never waits and never throws. When the queue is full, the oldest Event in it is dropped.
//  2. Writing has a rate of its own, a burst and then one each few seconds, and takes nothing from what lists and watches may ask.
//  3. What an outage keeps from being written is tried again, ever more seldom, for ten minutes; then it is given up.
//  4. What the server refuses (403: no right to; 404: no such API or namespace; 422: not valid) is not tried again. Said once, until one is
//     written again.
//  5. An Event that says the same of the same object as one in the last five minutes is not written. kube-proxy counts such in an EventSeries,
//     by PATCH; here the next one after that time is a new Event, so that the right to create is all that is needed.
//  6. `close` takes a second at most.

import { errorLine, PointsmanError } from '../model/errors.ts';
import { ApiStatusError } from './api-client-status.ts';
import type { ApiTransport } from './api-client-transport.ts';
import type { ApiEvent } from './api-event.ts';
import { pause, REAL_TIMERS, type ApiTimers } from './api-timers.ts';
import { Backoff } from './backoff.ts';
import { TokenBucket } from './rate-limit.ts';
import { RecentKeys } from './recent-keys.ts';

export interface EventWriterOptions {
  /** Where Events go; one of its own, not that of the reflectors, whose rate is limited. Must end requests whose signal is aborted. */
  readonly transport: ApiTransport;
  /** Hears, in one line, why Events cannot be written; once, until one is written again. */
  readonly onProblem: (line: string) => void;
  readonly timers?: ApiTimers;
  /** Gives 0 to below 1; for the jitter of retries. */
  readonly random?: () => number;
}

/** How many Events became what, ever; each is in one of the first four, or waits. */
export interface EventCounts {
  readonly written: number;
  /** Not tried any more, because the queue was full, or the writer closed. */
  readonly dropped: number;
  /** Refused, or given up after ten minutes. */
  readonly failed: number;
  /** Not written because the same was said not long ago. */
  readonly repeated: number;
  readonly waiting: number;
}

const MAX_WAITING = 100;
const BURST = 10;
const ONE_EACH_MS = 5000;
const GIVE_UP_AFTER_MS = 600_000;
const REPEAT_AFTER_MS = 300_000;
const MAX_REMEMBERED = 1000;
const REQUEST_TIMEOUT_MS = 30_000;
/** An answer is the Event again. */
const MAX_ANSWER_BYTES = 64 * 1024;
const CLOSE_TIMEOUT_MS = 1000;

interface Waiting {
  readonly event: ApiEvent;
  readonly sinceMs: number;
}

/** See above. */
export class EventWriter {
  private readonly options: EventWriterOptions;
  private readonly timers: ApiTimers;
  private readonly bucket: TokenBucket;
  private readonly backoff: Backoff;
  private readonly said: RecentKeys;
  private readonly queue: Waiting[] = [];
  /** Aborted: no pauses and no retries any more. */
  private readonly closing = new AbortController();
  /** Aborted: nothing any more. */
  private readonly ended = new AbortController();
  private readonly counted = { written: 0, dropped: 0, failed: 0, repeated: 0 };
  private current: Waiting | null = null;
  private running: Promise<void> | null = null;
  private hasToldProblem = false;

  constructor(options: EventWriterOptions) {
    this.options = options;
    this.timers = options.timers ?? REAL_TIMERS;
    this.bucket = new TokenBucket(1000 / ONE_EACH_MS, BURST, this.timers);
    this.backoff = new Backoff(options.random ?? Math.random);
    this.said = new RecentKeys(REPEAT_AFTER_MS, MAX_REMEMBERED);
  }

  get counts(): EventCounts {
    return { ...this.counted, waiting: this.queue.length + (this.current === null ? 0 : 1) };
  }

  /** Has the Event written when it can be. Never waits, never throws. After `close` it only counts. */
  write(event: ApiEvent): void {
    if (this.closing.signal.aborted) {
      this.counted.dropped++;
      return;
    }
    const nowMs = this.timers.now();
    if (!this.said.add(keyOf(event), nowMs)) {
      this.counted.repeated++;
      return;
    }
    if (this.queue.length >= MAX_WAITING) {
      this.queue.shift();
      this.counted.dropped++;
    }
    this.queue.push({ event, sinceMs: nowMs });
    this.running ??= this.drain();
  }

  /** Tries once more what waits, within a second, and gives the rest up. Resolves then, whatever the server does. */
  async close(): Promise<void> {
    this.closing.abort();
    const timeout = new AbortController();
    const running = (this.running ?? Promise.resolve()).finally(() => timeout.abort());
    await Promise.race([running, pause(this.timers, CLOSE_TIMEOUT_MS, timeout.signal)]);
    this.ended.abort();
    this.counted.dropped += this.counts.waiting;
    this.queue.length = 0;
    this.current = null;
  }

  /** Until nothing waits; what is written later starts it again. */
  private async drain(): Promise<void> {
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      this.current = next;
      const outcome = await this.writeOne(next);
      // Closed meanwhile: it is counted.
      if (this.ended.signal.aborted) return;
      this.current = null;
      this.counted[outcome]++;
    }
    this.running = null;
  }

  private async writeOne({ event, sinceMs }: Waiting): Promise<'written' | 'dropped' | 'failed'> {
    const { timers } = this;
    for (let tries = 0; ; tries++) {
      const error = await this.send(event);
      const nowMs = timers.now();
      if (error === null || (tries > 0 && isThere(error))) {
        this.backoff.healthy(nowMs);
        this.hasToldProblem = false;
        return 'written';
      }
      if (this.ended.signal.aborted) return 'dropped';
      if (!mayPass(error)) {
        this.tellProblem(`Events are not written: ${errorLine(error)}`);
        return 'failed';
      }
      const retryAfterMs = error instanceof ApiStatusError ? error.retryAfterMs : 0;
      const delayMs = this.backoff.failed(nowMs, retryAfterMs);
      if (this.closing.signal.aborted) return 'dropped';
      if (nowMs + delayMs - sinceMs > GIVE_UP_AFTER_MS) {
        this.tellProblem(
          `Events were given up after ${GIVE_UP_AFTER_MS / 60_000} minutes: ${errorLine(error)}`,
        );
        return 'failed';
      }
      await pause(timers, delayMs, this.closing.signal);
    }
  }

  /** One request; null when the server took the Event, otherwise why not. Never rejects. */
  private async send(event: ApiEvent): Promise<unknown> {
    const { signal: ended } = this.ended;
    const request = new AbortController();
    const onEnd = (): void => request.abort();
    let timer: unknown = null;
    try {
      await this.bucket.take(ended);
      ended.addEventListener('abort', onEnd, { once: true });
      const late = `no answer to an Event within ${REQUEST_TIMEOUT_MS / 1000} s`;
      timer = this.timers.set(
        () => request.abort(new PointsmanError('API_UNREACHABLE', late, {})),
        REQUEST_TIMEOUT_MS,
      );
      const answer = await this.options.transport.open(
        {
          path: `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(event.metadata.namespace)}/events`,
          query: {},
          acceptsGzip: false,
          method: 'POST',
          body: event,
        },
        request.signal,
      );
      await readToEnd(answer);
      return null;
    } catch (error) {
      return error ?? new Error('no reason given');
    } finally {
      this.timers.clear(timer);
      ended.removeEventListener('abort', onEnd);
    }
  }

  private tellProblem(line: string): void {
    if (this.hasToldProblem) return;
    this.hasToldProblem = true;
    this.options.onProblem(line);
  }
}

/** Gives the connection back; what is in the answer, and whether it comes whole, is no matter: the head said that the Event is there. */
async function readToEnd(answer: AsyncIterable<Uint8Array>): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of answer) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) return;
    }
  } catch {
    // See above.
  }
}

function keyOf({ type, reason, action, note = '', regarding }: ApiEvent): string {
  const { kind, namespace = '', name } = regarding;
  return JSON.stringify([type, reason, action, kind, namespace, name, note]);
}

/** A try before this one was taken, and its answer lost on the way. */
function isThere(error: unknown): boolean {
  return error instanceof ApiStatusError && error.status === 409 && error.reason === 'AlreadyExists';
}

/** The same request may be taken later. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof ApiStatusError)) return error instanceof PointsmanError;
  const { status } = error;
  return status < 400 || status >= 500 || status === 401 || status === 408 || status === 429;
}
