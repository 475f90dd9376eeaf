// An API server for tests: real HTTP and TLS on 127.0.0.1, stateful, with the part of the API of a kube-apiserver 1.29 to 1.36 that a
// service proxy uses, and it misbehaves on command. Nothing of it is random, and it has no clock but the injected timers.
//
//   const server = await FakeApiServer.start();                      // or { tls: { certificates } } of certificates.ts
//   server.store.put('services', { metadata: { name: 'web' }, spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] } });
//   connect(server.url) ...
//   server.misbehave({ resource: 'services', verb: 'list' }, { kind: 'refuse', code: 503 });   // the next list of Services
//   server.misbehave({ verb: 'watch', skip: 1, times: 3 }, { kind: 'cut', manner: 'RST', at: { bytes: 100 } });
//   for (const watch of server.watches('services')) watch.error();   // 410 in mid-watch; see WatchStream for what else
//   await server.until(() => server.count('list', 'services') === 2);
//   await server.close();

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Timers } from '../../src/daemon/sync-loop.ts';
import { Answer } from './api-answer.ts';
import { ApiHandler, type ApiBehaviour } from './api-handler.ts';
import { findTarget, type ApiTarget, type ResourceName } from './api-resources.ts';
import { ApiStore, type StoreSnapshot } from './api-store.ts';
import type { StreamingLists } from './api-watch-options.ts';
import type { WatchHabits, WatchStream } from './api-watch.ts';
import { FaultRules, type Fault, type FaultRule, type RequestMatch, type Verb } from './faults.ts';
import { Listener, type ServerTls, type Welcome } from './listener.ts';
import { RequestLog } from './request-log.ts';
import { ScaledTimers } from './scaled-timers.ts';

/** How a server starts. */
export interface FakeApiOptions {
  /** null, the default: plain HTTP. */
  readonly tls?: ServerTls | null;
  /** Bearer tokens that are believed. With neither these nor a client CA, everybody is. */
  readonly tokens?: readonly string[];
  /** First resourceVersion; default 1000. */
  readonly version?: number;
  /** Changes that watches can go back; default 10,000. */
  readonly historySize?: number;
  /** Time between bookmarks; default 60,000, as the real one's; null: only on command. */
  readonly bookmarkMs?: number | null;
  /** Bodies from this size on are compressed if asked; default 128 KiB, as the real one's. Watches never are. */
  readonly gzipBytes?: number;
  readonly timers?: Timers;
}

const BOOKMARK_MS = 60_000;
const GZIP_BYTES = 128 * 1024;

/** See above. */
export class FakeApiServer implements ApiBehaviour {
  readonly store: ApiStore;
  /** Every request, with counters. */
  readonly log = new RequestLog();
  /** What is there but not allowed (403), or not there (404). */
  readonly denied = new Map<ResourceName, 403 | 404>();
  readonly tokens: Set<string>;
  readonly habits: WatchHabits = { bookmarks: 'normal', duplicateEvents: false };
  streamingLists: StreamingLists = 'on';
  /** How long `until` waits; below what a test has. */
  patienceMs = 25_000;
  /** Lists at resourceVersion=0 honour their limit. */
  pagesAtZero = false;
  /**
   * What a plain watch from a version that is not yet there gets: nothing until it is, as from the real one's watch cache; or an ERROR event,
   * or HTTP, with 504 "Too large resource version", as lists and streaming lists get it.
   */
  futureWatch: 'silent' | 'event' | 'http' = 'silent';
  /** What a watch from before the window gets: 200 with an ERROR event, as from the real one's watch cache, or HTTP 410. */
  expiredWatch: 'event' | 'http' = 'event';
  private readonly listener: Listener;
  private readonly options: FakeApiOptions;
  private readonly timers: Timers;
  private readonly rules = new FaultRules();
  private readonly handler: ApiHandler;

  private constructor(options: FakeApiOptions) {
    this.options = options;
    this.timers = options.timers ?? new ScaledTimers(1);
    this.tokens = new Set(options.tokens);
    this.store = new ApiStore(options);
    this.store.onChange((change) => {
      for (const watch of this.handler.open) watch.change(change);
    });
    this.handler = new ApiHandler(this, {
      wantsCertificates: (options.tls?.clientCa ?? null) !== null,
      bookmarkMs: options.bookmarkMs === undefined ? BOOKMARK_MS : options.bookmarkMs,
      gzipBytes: options.gzipBytes ?? GZIP_BYTES,
      timers: this.timers,
    });
    this.listener = new Listener(
      (request, response) => void this.serve(request, response),
      options.tls ?? null,
    );
  }

  /** Listens on a free port. */
  static async start(options: FakeApiOptions = {}): Promise<FakeApiServer> {
    const server = new FakeApiServer(options);
    await server.listener.open();
    return server;
  }

  /** Without a path, such as http://127.0.0.1:40123; stays the same for good. */
  get url(): string {
    return `${this.options.tls ? 'https' : 'http'}://127.0.0.1:${this.listener.port}`;
  }

  get openConnections(): number {
    return this.listener.openConnections;
  }

  get acceptedConnections(): number {
    return this.listener.accepted;
  }

  /** How connections are received from now on. */
  set welcome(welcome: Welcome) {
    this.listener.welcome = welcome;
  }

  /** Other certificates for handshakes from now on. */
  replaceTls(tls: ServerTls): void {
    this.listener.replaceTls(tls);
  }

  /** The fault happens to the next request that matches; see RequestMatch for others. Rules are looked through in the order given. */
  misbehave(match: RequestMatch, fault: Fault): FaultRule {
    return this.rules.add(match, fault);
  }

  /** No rule holds any more; what open answers do stays. */
  behave(): void {
    this.rules.clear();
  }

  /** Open watches, of one resource or all, oldest first. */
  watches(resource?: ResourceName): WatchStream[] {
    return [...this.handler.open].filter(
      (watch) => resource === undefined || watch.resource.name === resource,
    );
  }

  /** How many such requests came, ever. */
  count(verb?: Verb, resource?: ResourceName): number {
    return this.log.count(verb, resource);
  }

  /** A bookmark to every watch that wants any. */
  sendBookmarks(resource?: ResourceName): void {
    for (const watch of this.watches(resource)) watch.bookmark();
  }

  snapshot(): StoreSnapshot {
    return this.store.snapshot();
  }

  /** Restored from a backup: state and resourceVersions are as they were, and all connections are cut, as the server was restarted. */
  restore(snapshot: StoreSnapshot): void {
    this.cutAll();
    this.store.restore(snapshot);
  }

  cutAll(): void {
    this.listener.cutAll('RST');
    this.handler.open.clear();
  }

  /** The port is closed and all connections are cut; `comeBack` listens on the same port. */
  async goAway(): Promise<void> {
    this.handler.open.clear();
    await this.listener.close();
  }

  async comeBack(): Promise<void> {
    await this.listener.open();
  }

  /** Resolves when the condition holds; rejects after `patienceMs` with what was waited for and what came. */
  async until(condition: () => boolean, what = String(condition)): Promise<void> {
    const endMs = performance.now() + this.patienceMs;
    while (!condition()) {
      if (performance.now() > endMs) {
        const last = this.log.requests
          .slice(-10)
          .map(({ path, query, code }) => `${path}?${query.toString()} -> ${code}`);
        throw new Error(`waited for ${what}; the last requests:\n${last.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Cuts everything and leaves nothing. */
  async close(): Promise<void> {
    await this.goAway();
  }

  private async serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    incoming.resume();
    const url = URL.parse(incoming.url ?? '/', 'http://server') ?? new URL('http://server/');
    const target = findTarget(url.pathname);
    const verb = verbOf(incoming, url, target);
    const connection = this.listener.connectionOf(incoming.socket);
    const came = { connection: connection.id, atMs: this.timers.now() };
    const record = this.log.add(incoming, url, verb, target, came);
    const isLaterPage = url.searchParams.has('continue');
    const fault = this.rules.take({ resource: target?.resource.name ?? null, verb, isLaterPage });
    const answer = new Answer(response, connection, fault, this.timers);
    const code = (): void => void (record.code = response.headersSent ? response.statusCode : 0);
    answer.onClose(code);
    await this.handler.handle(answer, { incoming, url, target, verb }, fault);
    code();
  }
}

function verbOf({ method }: IncomingMessage, url: URL, target: ApiTarget | null): Verb {
  if (target === null || method !== 'GET') return 'other';
  if (['true', '1'].includes(url.searchParams.get('watch') ?? '')) return 'watch';
  return target.name === null ? 'list' : 'get';
}
