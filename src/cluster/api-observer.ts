// What is told of the requests to an API server while they are made: for metrics. Types only.

import type { ApiRequest } from './api-client-transport.ts';

/** How much a request and its answer were. */
export interface ApiExchange {
  /** From when the request was opened to when its answer was read to its end, was given up, or failed. For a watch: how long it lasted. */
  readonly durationMs: number;
  /** Body that was sent. */
  readonly requestBytes: number;
  /** Body that came, uncompressed. */
  readonly responseBytes: number;
}

/**
 * Hears of each request, in this order, with the same object each time. Must be cheap and must not throw. `host` is that of the server with its
 * port, where it is not that of the protocol.
 */
export interface ApiObserver {
  /** Its turn came after this long: the limit on requests. */
  onTurn(request: ApiRequest, waitedMs: number): void;
  /** The head of an answer came; null: none did. */
  onAnswer(request: ApiRequest, host: string, status: number | null): void;
  /** It is over. */
  onEnd(request: ApiRequest, host: string, exchange: ApiExchange): void;
}
