// What a soak looks at in the client: an ApiSource over real HTTP with each request's time, what it told as digests, and the heap after
// garbage collection. Keeps no object, so that a heap that grows is the source's own.

import { createHash } from 'node:crypto';
import type { ApiAccess } from '../../src/cluster/api-access.ts';
import type { ApiTransport } from '../../src/cluster/api-client-transport.ts';
import { ApiClient } from '../../src/cluster/api-client.ts';
import { ApiSource } from '../../src/cluster/api-source.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { NODE_NAME } from './api-world.ts';
import type { ScaledTimers } from './scaled-timers.ts';

/** Digests by key: `Service default/web`. */
export type Digests = Map<string, string>;

export const QPS = 5;
export const BURST = 10;

/** See above. */
export class SoakClient {
  readonly source: ApiSource;
  readonly told: Digests = new Map();
  /** How many facts were told. */
  events = 0;
  /** Times of requests, on the source's own clock. */
  readonly requestsMs: number[] = [];
  /** Heap in bytes after garbage collection, one for each `sample`. */
  readonly heaps: number[] = [];
  private readonly client: ApiClient;

  constructor(url: string, timers: ScaledTimers) {
    const access: ApiAccess = {
      server: new URL(url),
      proxy: null,
      tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null },
      authorization: null,
      headers: {},
    };
    const credentials = { description: 'the soak', access: () => Promise.resolve(access), reject: () => {} };
    this.client = new ApiClient({ credentials, userAgent: 'pointsman/soak', timers });
    const transport: ApiTransport = {
      open: (request, signal) => {
        this.requestsMs.push(timers.now());
        return this.client.open(request, signal);
      },
    };
    this.source = new ApiSource({
      credentials,
      nodeName: NODE_NAME,
      userAgent: 'pointsman/soak',
      qps: QPS,
      burst: BURST,
      onEvents: (events) => this.take(events),
      timers,
      transport,
    });
  }

  /** Needs --expose-gc. */
  sample(): void {
    const { gc } = globalThis as { gc?: () => void };
    if (gc === undefined) throw new Error('start it with --expose-gc');
    gc();
    gc();
    this.heaps.push(process.memoryUsage().heapUsed);
  }

  async close(): Promise<void> {
    await this.source.close();
    this.client.close();
  }

  private take(events: readonly ClusterEvent[]): void {
    this.events += events.length;
    for (const event of events) {
      if (event.type === 'delete') this.told.delete(keyOf(event.kind, event.namespace, event.name));
      else {
        const { kind, apiVersion: _apiVersion, ...object } = event.object;
        const { namespace, name } = object.metadata ?? {};
        this.told.set(keyOf(kind, namespace ?? '', name ?? ''), digestOf(object));
      }
    }
  }
}

/** `Service default/web`, `Node node-1`. */
export function keyOf(kind: string, namespace: string, name: string): string {
  return `${kind} ${namespace === '' ? '' : `${namespace}/`}${name}`;
}

/** Of an object without kind and apiVersion. */
export function digestOf(object: object): string {
  return createHash('sha1').update(JSON.stringify(object)).digest('base64');
}

/** How far these requests are beyond what a bucket of QPS and BURST gives: the most tokens that were ever missing. */
export function overdraft(requestsMs: readonly number[], qps = QPS, burst = BURST): number {
  let [tokens, worst, lastMs] = [burst, 0, requestsMs[0] ?? 0];
  for (const atMs of requestsMs) {
    tokens = Math.min(burst, tokens + ((atMs - lastMs) / 1000) * qps) - 1;
    lastMs = atMs;
    worst = Math.max(worst, -tokens);
  }
  return worst;
}

/** Median of the last third of the samples over that of the middle third: 1 = flat. The first third is warm-up. */
export function growth(samples: readonly number[]): number {
  const third = Math.floor(samples.length / 3);
  return median(samples.slice(-third)) / median(samples.slice(third, -third));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
