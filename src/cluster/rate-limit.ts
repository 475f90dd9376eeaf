// How many requests go to an API server: a token bucket, as client-go's flowcontrol has it. Whoever finds it empty waits, first come first
// served.

import { PointsmanError } from '../model/errors.ts';
import type { ApiTransport } from './api-client-transport.ts';
import type { ApiObserver } from './api-observer.ts';
import type { ApiTimers } from './api-timers.ts';

/** clientConnection.qps and .burst when they are 0 (client-go rest.DefaultQPS and DefaultBurst). */
const DEFAULT_QPS = 5;
const DEFAULT_BURST = 10;
/** A few reflectors and commands wait at once; more is a mistake of ours. */
const MAX_WAITING = 1000;

interface Waiter {
  readonly resolve: () => void;
}

/** At most `burst` at once and `qps` a second in the long run. */
export class TokenBucket {
  private readonly qps: number;
  private readonly burst: number;
  private readonly timers: ApiTimers;
  private readonly waiting: Waiter[] = [];
  private tokens: number;
  private filledAtMs: number;
  private timer: unknown = null;

  /** `qps` below 0: no limit; 0 of either: kube-proxy's default. */
  constructor(qps: number, burst: number, timers: ApiTimers) {
    this.qps = qps === 0 ? DEFAULT_QPS : qps;
    this.burst = burst <= 0 ? DEFAULT_BURST : burst;
    this.timers = timers;
    this.tokens = this.burst;
    this.filledAtMs = timers.now();
  }

  /** Its clock. */
  now(): number {
    return this.timers.now();
  }

  /** Resolves when a request may go. Rejects with the signal's reason when it is aborted first; its turn then goes to the next. */
  take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(reasonOf(signal));
    if (this.qps < 0) return Promise.resolve();
    this.fill();
    if (this.waiting.length === 0 && this.tokens >= 1) {
      this.tokens--;
      return Promise.resolve();
    }
    if (this.waiting.length >= MAX_WAITING) {
      const message = `${MAX_WAITING} requests wait for the API server already; raise clientConnection.qps`;
      return Promise.reject(new PointsmanError('LIMIT_EXCEEDED', message, { limit: MAX_WAITING }));
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1);
        // A timer that nobody waits for would keep the process.
        if (this.waiting.length === 0) this.disarm();
        reject(reasonOf(signal));
      };
      const waiter: Waiter = {
        resolve: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting.push(waiter);
      this.arm();
    });
  }

  private fill(): void {
    const nowMs = this.timers.now();
    this.tokens = Math.min(this.burst, this.tokens + ((nowMs - this.filledAtMs) / 1000) * this.qps);
    this.filledAtMs = nowMs;
  }

  private disarm(): void {
    this.timers.clear(this.timer);
    this.timer = null;
  }

  private arm(): void {
    if (this.timer !== null || this.waiting.length === 0) return;
    // A whole millisecond at least: a timer that fires a little early must not spin.
    const waitMs = Math.max(1, Math.ceil(((1 - this.tokens) / this.qps) * 1000));
    this.timer = this.timers.set(() => {
      this.timer = null;
      this.fill();
      while (this.tokens >= 1) {
        const waiter = this.waiting.shift();
        if (waiter === undefined) break;
        this.tokens--;
        waiter.resolve();
      }
      this.arm();
    }, waitMs);
  }
}

/** A transport whose requests, watches too, each take a token; `onTurn` hears how long each waited for it. */
export function rateLimited(
  transport: ApiTransport,
  bucket: TokenBucket,
  onTurn: ApiObserver['onTurn'] = () => {},
): ApiTransport {
  return {
    open: async (request, signal) => {
      const askedAtMs = bucket.now();
      await bucket.take(signal);
      onTurn(request, bucket.now() - askedAtMs);
      return transport.open(request, signal);
    },
  };
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}
