// Every request that came to the fake API server, and how many of which kind: what tests say about a client's manners.

import type { IncomingMessage } from 'node:http';
import type { ApiTarget, ResourceName } from './api-resources.ts';
import type { Verb } from './faults.ts';

/** One request that came, whatever was answered. */
export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly verb: Verb;
  readonly resource: ResourceName | null;
  readonly userAgent: string;
  readonly acceptEncoding: string;
  readonly accept: string;
  readonly authorization: string;
  /** Which connection, counted from 1. */
  readonly connection: number;
  /** By the injected timers. */
  readonly atMs: number;
  /** 0: none was sent, or not yet. */
  code: number;
}

const MAX_RECORDED = 100_000;

/** See above. */
export class RequestLog {
  /** The last ones, at most 100,000. */
  requests: RecordedRequest[] = [];
  private readonly counts = new Map<string, number>();

  add(
    { method = '', headers }: IncomingMessage,
    url: URL,
    verb: Verb,
    target: ApiTarget | null,
    { connection, atMs }: { connection: number; atMs: number },
  ): RecordedRequest {
    const resource = target?.resource.name ?? null;
    const record: RecordedRequest = {
      method,
      path: url.pathname,
      query: url.searchParams,
      verb,
      resource,
      userAgent: headers['user-agent'] ?? '',
      acceptEncoding: headers['accept-encoding'] ?? '',
      accept: headers.accept ?? '',
      authorization: headers.authorization ?? '',
      connection,
      atMs,
      code: 0,
    };
    if (this.requests.length >= MAX_RECORDED) this.requests = this.requests.slice(-MAX_RECORDED / 2);
    this.requests.push(record);
    for (const key of [`${verb} ${resource}`, `${verb} *`, `* ${resource}`, '* *'])
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    return record;
  }

  /** How many such requests came, ever. */
  count(verb?: Verb, resource?: ResourceName): number {
    return this.counts.get(`${verb ?? '*'} ${resource ?? '*'}`) ?? 0;
  }

  /** The most requests that came within any `windowMs`: they arrive a little later than they were allowed. */
  busiest(windowMs: number): number {
    let [most, from] = [0, 0];
    for (const [index, { atMs }] of this.requests.entries()) {
      while ((this.requests[from]?.atMs ?? atMs) <= atMs - windowMs) from++;
      most = Math.max(most, index - from + 1);
    }
    return most;
  }
}
