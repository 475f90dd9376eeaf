// One request to an API server and its answer, as an observer hears of them.

import type { ApiRequest } from './api-client-transport.ts';
import type { ApiObserver } from './api-observer.ts';

/** Tells an observer of one request, each thing once. */
export class Exchange {
  /** Body that is sent. */
  requestBytes = 0;
  /** Body that came so far, uncompressed. */
  responseBytes = 0;
  private readonly request: ApiRequest;
  private readonly host: string;
  private readonly now: () => number;
  private readonly observer: ApiObserver | undefined;
  private readonly startMs: number;
  private isAnswered = false;
  private isOver = false;

  constructor(request: ApiRequest, host: string, now: () => number, observer: ApiObserver | undefined) {
    this.request = request;
    this.host = host;
    this.now = now;
    this.observer = observer;
    this.startMs = now();
  }

  /** The head of the answer came; null: none will. */
  answered(status: number | null): void {
    this.isAnswered = true;
    this.observer?.onAnswer(this.request, this.host, status);
  }

  /** It ends here, answered or not. */
  failed(): void {
    if (!this.isAnswered) this.answered(null);
    this.end();
  }

  /** It is over; only the first time counts. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { requestBytes, responseBytes } = this;
    const durationMs = this.now() - this.startMs;
    this.observer?.onEnd(this.request, this.host, { durationMs, requestBytes, responseBytes });
  }
}
