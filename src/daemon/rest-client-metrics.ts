// The metrics of client-go that tell how the API server answers this node, by its names, labels, buckets and help texts. Watches count as
// requests; how long they last is no latency, and how much they bring is no size of an answer.
// Source: k8s.io/component-base/metrics/prometheus/restclient and k8s.io/client-go/rest (1.36).

import type { ApiRequest } from '../cluster/api-client-transport.ts';
import type { ApiExchange, ApiObserver } from '../cluster/api-observer.ts';
import { counter, histogram, type MetricFamily } from './metric-families.ts';
import { CounterVector, HistogramVector } from './metric-recorders.ts';

/** Seconds. */
const LATENCY_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
const SIZE_BOUNDS = [64, 256, 512, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/** See above. */
export class RestClientMetrics implements ApiObserver {
  private readonly requests = new CounterVector(['code', 'host', 'method']);
  private readonly latency = new HistogramVector(['host', 'verb'], LATENCY_BOUNDS);
  private readonly turns = new HistogramVector(['host', 'verb'], LATENCY_BOUNDS);
  private readonly requestSizes = new HistogramVector(['host', 'verb'], SIZE_BOUNDS);
  private readonly responseSizes = new HistogramVector(['host', 'verb'], SIZE_BOUNDS);
  /** Of requests under way: where they go is known only when they are sent. */
  private readonly waitedMs = new WeakMap<ApiRequest, number>();

  onTurn(request: ApiRequest, waitedMs: number): void {
    this.waitedMs.set(request, waitedMs);
  }

  onAnswer(request: ApiRequest, host: string, status: number | null): void {
    const method = verbOf(request);
    // An error may be anything; what it was stands in the log.
    this.requests.add({ code: status === null ? '<error>' : String(status), host, method });
    const waitedMs = this.waitedMs.get(request);
    if (waitedMs !== undefined) this.turns.observe({ host, verb: method }, waitedMs / 1000);
  }

  onEnd(request: ApiRequest, host: string, { durationMs, requestBytes, responseBytes }: ApiExchange): void {
    const labels = { host, verb: verbOf(request) };
    const waitedMs = this.waitedMs.get(request) ?? 0;
    this.waitedMs.delete(request);
    if (request.query['watch'] !== undefined) return;
    // As client-go measures: from when the request was wanted.
    this.latency.observe(labels, (waitedMs + durationMs) / 1000);
    this.requestSizes.observe(labels, requestBytes);
    this.responseSizes.observe(labels, responseBytes);
  }

  /** All of them, sorted by name. */
  collect(): MetricFamily[] {
    return [
      histogram(
        'rest_client_rate_limiter_duration_seconds',
        '[ALPHA] Client side rate limiter latency in seconds. Broken down by verb, and host.',
        this.turns.samples(),
      ),
      histogram(
        'rest_client_request_duration_seconds',
        '[ALPHA] Request latency in seconds. Broken down by verb, and host.',
        this.latency.samples(),
      ),
      histogram(
        'rest_client_request_size_bytes',
        '[ALPHA] Request size in bytes. Broken down by verb and host.',
        this.requestSizes.samples(),
      ),
      counter(
        'rest_client_requests_total',
        '[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.',
        this.requests.samples(),
      ),
      histogram(
        'rest_client_response_size_bytes',
        '[ALPHA] Response size in bytes. Broken down by verb and host.',
        this.responseSizes.samples(),
      ),
    ];
  }
}

function verbOf({ method = 'GET' }: ApiRequest): string {
  return method;
}
