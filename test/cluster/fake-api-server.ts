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

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { NODE_TIMERS } from '../../src/daemon/daemon.ts';
import type { Timers } from '../../src/daemon/sync-loop.ts';
import { Answer } from './api-answer.ts';
import { listPage, parseVersion } from './api-list.ts';
import { findTarget, type ApiTarget, type ResourceName } from './api-resources.ts';
import { parseSelectors, SelectorError, type Selector } from './api-selectors.ts';
import {
  forbidden,
  invalidOptions,
  makeStatus,
  Refusal,
  tooLarge,
  tooOld,
  unauthorized,
  type Status,
} from './api-status.ts';
import { ApiStore, type StoreSnapshot } from './api-store.ts';
import { WatchStream, type WatchHabits } from './api-watch.ts';
import { FaultRules, type Fault, type FaultRule, type RequestMatch, type Verb } from './faults.ts';
import { Listener, type ServerTls, type Welcome } from './listener.ts';

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

/**
 * What a watch with sendInitialEvents gets: `on` as from 1.34 (and in 1.32), `refused` as in 1.27 to 1.31 and 1.33, where the gate is off
 * (422), `badRequest` as from things in between, `ignored` as if the parameter were not there (KEP-3157).
 */
export type StreamingLists = 'on' | 'refused' | 'badRequest' | 'ignored';

const MAX_RECORDED = 100_000;
const UNTIL_MS = 25_000;
const JSON_TYPE = 'application/json';
const HTML = (code: number): string =>
  `<html>\r\n<head><title>${code} Error</title></head>\r\n<body>\r\n<center><h1>${code} Error</h1></center>\r\n</body>\r\n</html>\r\n`;

/** See above. */
export class FakeApiServer {
  readonly store: ApiStore;
  /** The last 100,000. */
  requests: RecordedRequest[] = [];
  /** What is there but not allowed (403), or not there (404). */
  readonly denied = new Map<ResourceName, 403 | 404>();
  readonly tokens: Set<string>;
  readonly habits: WatchHabits = { bookmarks: 'normal', duplicateEvents: false };
  streamingLists: StreamingLists = 'on';
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
  private readonly open = new Set<WatchStream>();
  private readonly counts = new Map<string, number>();

  private constructor(options: FakeApiOptions) {
    this.options = options;
    this.timers = options.timers ?? NODE_TIMERS;
    this.tokens = new Set(options.tokens);
    this.store = new ApiStore(options);
    this.store.onChange((change) => {
      for (const watch of this.open) watch.change(change);
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
    return [...this.open].filter((watch) => resource === undefined || watch.resource.name === resource);
  }

  /** How many such requests came, ever. */
  count(verb?: Verb, resource?: ResourceName): number {
    return this.counts.get(`${verb ?? '*'} ${resource ?? '*'}`) ?? 0;
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
    this.open.clear();
  }

  /** The port is closed and all connections are cut; `comeBack` listens on the same port. */
  async goAway(): Promise<void> {
    this.open.clear();
    await this.listener.close();
  }

  async comeBack(): Promise<void> {
    await this.listener.open();
  }

  /** Resolves when the condition holds; rejects after 25 s with what was waited for and what came. */
  async until(condition: () => boolean, what = String(condition)): Promise<void> {
    const endMs = performance.now() + UNTIL_MS;
    while (!condition()) {
      if (performance.now() > endMs) {
        const last = this.requests
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

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const url = URL.parse(request.url ?? '/', 'http://server') ?? new URL('http://server/');
    const target = findTarget(url.pathname);
    const isWatch = ['true', '1'].includes(url.searchParams.get('watch') ?? '');
    const verb = target === null ? 'other' : isWatch ? 'watch' : target.name === null ? 'list' : 'get';
    const connection = this.listener.connectionOf(request.socket);
    const record = this.record(request, url, verb, target, connection.id);
    const isLaterPage = url.searchParams.has('continue');
    const fault = this.rules.take({ resource: target?.resource.name ?? null, verb, isLaterPage });
    const answer = new Answer(response, connection, fault, this.timers);
    answer.onClose(() => (record.code = response.headersSent ? response.statusCode : 0));
    try {
      if (!(await answer.begin())) return;
      if (fault !== null && (await this.answerFault(answer, fault, verb))) return;
      const { authorized = false } = request.socket as { authorized?: boolean };
      if (!this.believes(request.headers.authorization, authorized)) throw new Refusal(unauthorized());
      if (request.method !== 'GET')
        throw new Refusal(makeStatus(405, 'the server does not allow this method on the requested resource'));
      if (target === null) await this.answerOther(answer, url.pathname);
      else await this.answerTarget(answer, target, verb, url.searchParams, request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await refuse(answer, error.status, error.retryAfterS);
    } finally {
      if (response.headersSent) record.code = response.statusCode;
    }
  }

  private believes(authorization: string | undefined, isCertified: boolean): boolean {
    const wantsCertificate = this.options.tls?.clientCa !== undefined && this.options.tls?.clientCa !== null;
    if (this.tokens.size === 0 && !wantsCertificate) return true;
    // A certificate that cannot be verified is none: the handshake succeeds and the answer is 401 (x509 request authenticator).
    if (wantsCertificate && isCertified) return true;
    const [, token = ''] = /^Bearer +(.*)$/i.exec(authorization ?? '') ?? [];
    return this.tokens.has(token);
  }

  private record(
    { method = '', headers }: IncomingMessage,
    url: URL,
    verb: Verb,
    target: ApiTarget | null,
    connection: number,
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
      atMs: this.timers.now(),
      code: 0,
    };
    if (this.requests.length >= MAX_RECORDED) this.requests = this.requests.slice(-MAX_RECORDED / 2);
    this.requests.push(record);
    for (const key of [`${verb} ${resource}`, `${verb} *`, `* ${resource}`, '* *'])
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    return record;
  }

  /** True: the fault was the answer. */
  private async answerFault(answer: Answer, fault: Fault, verb: Verb): Promise<boolean> {
    if (fault.kind === 'refuse') {
      const { code, body = 'Status', reason, message = `made to fail with ${code}`, retryAfter } = fault;
      const headers: Record<string, string | number> =
        retryAfter === undefined ? {} : { 'retry-after': retryAfter };
      if (body === 'html') await answer.whole(code, 'text/html', HTML(code), headers);
      else if (body === 'text')
        await answer.whole(code, 'text/plain; charset=utf-8', `${message}\n`, headers);
      else if (body === 'empty') await answer.whole(code, 'text/plain', '', headers);
      else
        await answer.whole(
          code,
          JSON_TYPE,
          `${JSON.stringify(makeStatus(code, message, reason === undefined ? {} : { reason }))}\n`,
          headers,
        );
      return true;
    }
    if (fault.kind === 'expired') {
      const status = tooOld(1, this.store.oldest);
      if (verb === 'watch' && fault.as !== 'http') await this.errorEvent(answer, status);
      else await refuse(answer, status, null);
      return true;
    }
    if (fault.kind === 'body') {
      answer.head(200, { 'content-type': fault.contentType ?? JSON_TYPE });
      await answer.stream([Buffer.from(fault.body as string)], false);
      return true;
    }
    if (fault.kind === 'endless') {
      answer.head(200, { 'content-type': JSON_TYPE });
      await answer.stream(endless(fault), false);
      return true;
    }
    return false;
  }

  private async answerOther(answer: Answer, path: string): Promise<void> {
    if (path === '/version')
      return answer.whole(200, JSON_TYPE, JSON.stringify({ major: '1', minor: '34', gitVersion: 'v1.34.0' }));
    if (['/livez', '/readyz', '/healthz'].includes(path))
      return answer.whole(200, 'text/plain; charset=utf-8', 'ok');
    return notServed(answer);
  }

  private async answerTarget(
    answer: Answer,
    target: ApiTarget,
    verb: Verb,
    query: URLSearchParams,
    request: IncomingMessage,
  ): Promise<void> {
    const { resource, namespace, name } = target;
    const denied = this.denied.get(resource.name);
    if (denied === 404) return notServed(answer);
    if (denied === 403) throw new Refusal(forbidden(resource, verb));
    const select = selection(target, query);
    if (verb === 'watch') return this.watch(answer, target, query, select);
    if (verb === 'get') {
      const entry = this.store.get(resource.name, namespace === null ? (name ?? '') : `${namespace}/${name}`);
      if (entry === undefined)
        throw new Refusal(
          makeStatus(404, `${resource.name} "${name}" not found`, { details: { name, kind: resource.name } }),
        );
      const head = `{"kind":"${resource.kind}","apiVersion":"${resource.apiVersion}",`;
      return answer.whole(200, JSON_TYPE, `${head}${entry.json.toString().slice(1)}\n`);
    }
    const isSelective = Boolean(query.get('labelSelector')) || Boolean(query.get('fieldSelector'));
    const { chunks, bytes } = listPage(this.store, target, query, select, isSelective);
    const asksGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    const isGzip = asksGzip && bytes >= (this.options.gzipBytes ?? 128 * 1024);
    answer.head(200, {
      'content-type': JSON_TYPE,
      'audit-id': randomUUID(),
      ...(isGzip ? { 'content-encoding': 'gzip', vary: 'Accept-Encoding' } : {}),
    });
    await answer.stream(chunks, isGzip);
  }

  private async watch(
    answer: Answer,
    target: ApiTarget,
    query: URLSearchParams,
    select: Selector,
  ): Promise<void> {
    const { resource } = target;
    const streams = this.validateWatch(query);
    const text = query.get('resourceVersion') ?? '';
    const asked = text === '' ? 0 : parseVersion(text);
    const now = this.store.version;
    // "Get state and start at most recent" or "at any", or a streaming list: begins with the state.
    const wantsState = streams ?? asked === 0;
    if (asked > now && (streams === true || this.futureWatch !== 'silent')) {
      // After validation, errors of a watch are events (cacher.go, newErrWatcher).
      if (this.futureWatch === 'http') throw new Refusal(tooLarge(asked, now), 1);
      return this.errorEvent(answer, tooLarge(asked, now));
    }
    const from = wantsState || asked === 0 ? now : asked;
    const missed = this.store.changesSince(resource.name, from);
    if (missed === null) {
      if (this.expiredWatch === 'http') throw new Refusal(tooOld(from, this.store.oldest));
      return this.errorEvent(answer, tooOld(from, this.store.oldest));
    }
    answer.head(200, { 'content-type': JSON_TYPE });
    const watch = new WatchStream(answer, {
      resource,
      select,
      allowsBookmarks: query.get('allowWatchBookmarks') === 'true',
      fromVersion: from,
      habits: this.habits,
      version: () => this.store.version,
    });
    if (wantsState) watch.sendState(this.store.entries(resource.name));
    if (streams === true) watch.endInitialEvents(now);
    for (const change of missed) watch.change(change);
    this.open.add(watch);
    answer.onClose(() => this.open.delete(watch));
    this.keepTime(watch, Number(query.get('timeoutSeconds') ?? 0) * 1000);
  }

  private keepTime(watch: WatchStream, timeoutMs: number): void {
    const bookmarkMs = this.options.bookmarkMs === undefined ? 60_000 : this.options.bookmarkMs;
    let bookmarks: unknown = null;
    const mark = (): void => {
      watch.bookmark();
      if (bookmarkMs !== null) bookmarks = this.timers.set(mark, bookmarkMs);
    };
    if (bookmarkMs !== null) bookmarks = this.timers.set(mark, bookmarkMs);
    const end = (): void => {
      // The real one sends a last bookmark two seconds before (cache_watcher.go, nextBookmarkTime).
      watch.bookmark();
      this.open.delete(watch);
      watch.end();
    };
    const timeout = timeoutMs > 0 ? this.timers.set(end, timeoutMs) : null;
    watch.answer.onClose(() => {
      this.timers.clear(bookmarks);
      this.timers.clear(timeout);
    });
  }

  /** The value of sendInitialEvents; null: it is not there, or ignored. */
  private validateWatch(query: URLSearchParams): boolean | null {
    const value = query.get('sendInitialEvents');
    const match = query.get('resourceVersionMatch') ?? '';
    if (this.streamingLists === 'ignored') return null;
    if (value === null) {
      if (match === '') return null;
      const message = 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided';
      throw new Refusal(invalidOptions('resourceVersionMatch', message));
    }
    if (this.streamingLists === 'badRequest')
      throw new Refusal(makeStatus(400, 'unknown parameter sendInitialEvents'));
    if (this.streamingLists === 'refused') {
      const message = 'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled';
      throw new Refusal(invalidOptions('sendInitialEvents', message));
    }
    if (match !== 'NotOlderThan') {
      const message = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
      throw new Refusal(invalidOptions('resourceVersionMatch', message));
    }
    return value === 'true' || value === '1';
  }

  private async errorEvent(answer: Answer, status: Status): Promise<void> {
    answer.head(200, { 'content-type': JSON_TYPE });
    await answer.stream([Buffer.from(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`)], false);
  }
}

function selection({ resource, namespace, name }: ApiTarget, query: URLSearchParams): Selector {
  try {
    const select = parseSelectors(resource, query.get('labelSelector'), query.get('fieldSelector'));
    return (object) =>
      (namespace === null || object.fields['metadata.namespace'] === namespace) &&
      (name === null || object.fields['metadata.name'] === name) &&
      select(object);
  } catch (error) {
    if (error instanceof SelectorError) throw new Refusal(makeStatus(400, error.message));
    throw error;
  }
}

/** What is in no API: plain text, no Status. */
function notServed(answer: Answer): Promise<void> {
  return answer.whole(404, 'text/plain; charset=utf-8', '404 page not found\n');
}

function refuse(answer: Answer, status: Status, retryAfterS: number | null): Promise<void> {
  const headers: Record<string, string | number> = retryAfterS === null ? {} : { 'retry-after': retryAfterS };
  return answer.whole(status.code, JSON_TYPE, `${JSON.stringify(status)}\n`, headers);
}

function* endless({ first, again, bytes }: Extract<Fault, { kind: 'endless' }>): Generator<Buffer> {
  yield Buffer.from(first);
  const piece = Buffer.from(again.repeat(Math.max(1, Math.ceil(65_536 / again.length))));
  for (let sent = 0; sent < bytes; sent += piece.length) yield piece;
}
