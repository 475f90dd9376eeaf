// What the fake API server answers to a request: who may ask, which list, which watch, which fault instead. Knows the API, not the
// listening; which faults there are is in faults.ts, and how bytes go wrong on their way in api-answer.ts.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Timers } from '../../src/daemon/sync-loop.ts';
import type { Answer } from './api-answer.ts';
import { listPage, parseVersion } from './api-list.ts';
import type { ApiTarget, ResourceName } from './api-resources.ts';
import { parseSelectors, SelectorError, type Selector } from './api-selectors.ts';
import { forbidden, makeStatus, Refusal, tooLarge, tooOld, unauthorized, type Status } from './api-status.ts';
import { keyOf, type ApiStore } from './api-store.ts';
import { validateWatch, type StreamingLists } from './api-watch-options.ts';
import { WatchStream, type WatchHabits } from './api-watch.ts';
import { ApiWrites, readRequestBody, writeVerb } from './api-writes.ts';
import type { Fault, Verb } from './faults.ts';

/** How the server is by now; see FakeApiServer. */
export interface ApiBehaviour {
  readonly store: ApiStore;
  readonly denied: ReadonlyMap<ResourceName, 403 | 404>;
  readonly tokens: ReadonlySet<string>;
  readonly habits: Readonly<WatchHabits>;
  readonly streamingLists: StreamingLists;
  readonly pagesAtZero: boolean;
  readonly futureWatch: 'silent' | 'event' | 'http';
  readonly expiredWatch: 'event' | 'http';
}

/** What does not change. */
export interface HandlerOptions {
  readonly wantsCertificates: boolean;
  readonly bookmarkMs: number | null;
  readonly gzipBytes: number;
  readonly timers: Timers;
}

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const HTML = (code: number): string =>
  `<html>\r\n<head><title>${code} Error</title></head>\r\n<body>\r\n<center><h1>${code} Error</h1></center>\r\n</body>\r\n</html>\r\n`;

/** One request with what was made of its path. */
export interface ApiRequest {
  readonly incoming: IncomingMessage;
  readonly url: URL;
  readonly target: ApiTarget | null;
  readonly verb: Verb;
}

/** See above. */
export class ApiHandler {
  readonly open = new Set<WatchStream>();
  private readonly server: ApiBehaviour;
  private readonly options: HandlerOptions;
  private readonly writes: ApiWrites;

  constructor(server: ApiBehaviour, options: HandlerOptions) {
    this.server = server;
    this.options = options;
    this.writes = new ApiWrites(server.store, options.timers);
  }

  /** Answers; never rejects for what the client did. */
  async handle(answer: Answer, request: ApiRequest, fault: Fault | null): Promise<void> {
    const { incoming, url, target } = request;
    const body = incoming.method === 'GET' ? null : readRequestBody(incoming);
    try {
      if (!(await answer.begin())) return;
      if (fault !== null && (await this.answerFault(answer, fault, request.verb))) return;
      if (!this.believes(incoming)) throw new Refusal(unauthorized());
      if (target === null) await answerOther(answer, url.pathname);
      else if (body !== null) await this.answerWrite(answer, target, incoming.method ?? '', await body);
      else await this.answerTarget(answer, target, request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await refuse(answer, error.status, error.retryAfterS);
    }
  }

  private async answerWrite(answer: Answer, target: ApiTarget, method: string, body: string): Promise<void> {
    const { denied } = this.server;
    if (denied.get(target.resource.name) === 404) return notServed(answer);
    if (denied.get(target.resource.name) === 403)
      throw new Refusal(forbidden(target.resource, writeVerb(method)));
    const { code, text } = this.writes.write(method, target, body);
    await answer.whole(code, JSON_TYPE, text);
  }

  private believes({ headers, socket }: IncomingMessage): boolean {
    const { wantsCertificates } = this.options;
    const { tokens } = this.server;
    if (tokens.size === 0 && !wantsCertificates) return true;
    // A certificate that cannot be verified is none: the handshake succeeds and the answer is 401 (x509 request authenticator).
    if (wantsCertificates && (socket as TLSSocket).authorized) return true;
    const [, token = ''] = /^Bearer +(.*)$/i.exec(headers.authorization ?? '') ?? [];
    return tokens.has(token);
  }

  /** True: the fault was the answer. */
  private async answerFault(answer: Answer, fault: Fault, verb: Verb): Promise<boolean> {
    if (fault.kind === 'refuse') {
      const { code, body = 'Status', reason, message = `made to fail with ${code}`, retryAfter } = fault;
      const headers: Record<string, string | number> =
        retryAfter === undefined ? {} : { 'retry-after': retryAfter };
      if (body === 'html') await answer.whole(code, 'text/html', HTML(code), headers);
      else if (body === 'text') await answer.whole(code, TEXT_TYPE, `${message}\n`, headers);
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
      const status = tooOld(1, this.server.store.oldest);
      if (verb === 'watch' && fault.as !== 'http') await errorEvent(answer, status);
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

  private async answerTarget(
    answer: Answer,
    target: ApiTarget,
    { incoming, url, verb }: ApiRequest,
  ): Promise<void> {
    const { resource, namespace, name } = target;
    const { denied, store, pagesAtZero } = this.server;
    if (denied.get(resource.name) === 404) return notServed(answer);
    if (denied.get(resource.name) === 403) throw new Refusal(forbidden(resource, verb));
    const query = url.searchParams;
    const select = selection(target, query);
    if (verb === 'watch') return this.watch(answer, target, query, select);
    if (verb === 'get') {
      const entry = store.get(resource.name, keyOf(namespace ?? '', name ?? ''));
      if (entry === undefined) {
        const details = { name, kind: resource.name };
        throw new Refusal(makeStatus(404, `${resource.name} "${name}" not found`, { details }));
      }
      const head = `{"kind":"${resource.kind}","apiVersion":"${resource.apiVersion}",`;
      return answer.whole(200, JSON_TYPE, `${head}${entry.json.toString().slice(1)}\n`);
    }
    const isSelective = Boolean(query.get('labelSelector')) || Boolean(query.get('fieldSelector'));
    const { chunks, bytes } = listPage(store, target, query, select, isSelective, pagesAtZero);
    const asksGzip = /\bgzip\b/.test(incoming.headers['accept-encoding'] ?? '');
    const isGzip = asksGzip && bytes >= this.options.gzipBytes;
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
    const { store, futureWatch, expiredWatch, habits } = this.server;
    const streams = validateWatch(query, this.server.streamingLists);
    const asked = parseVersion(query.get('resourceVersion') || '0');
    const now = store.version;
    if (asked > now && (streams === true || futureWatch !== 'silent')) {
      // After validation, errors of a watch are events (cacher.go, newErrWatcher).
      if (futureWatch === 'http') throw new Refusal(tooLarge(asked, now), 1);
      return errorEvent(answer, tooLarge(asked, now));
    }
    // "Get state and start at most recent", or "at any", or a streaming list: begins with the state.
    const wantsState = streams ?? asked === 0;
    const from = wantsState || asked === 0 ? now : asked;
    const missed = store.changesSince(resource.name, from);
    if (missed === null) {
      if (expiredWatch === 'http') throw new Refusal(tooOld(from, store.oldest));
      return errorEvent(answer, tooOld(from, store.oldest));
    }
    answer.head(200, { 'content-type': JSON_TYPE });
    const watch = new WatchStream(answer, {
      resource,
      select,
      allowsBookmarks: query.get('allowWatchBookmarks') === 'true',
      fromVersion: from,
      habits,
      version: () => store.version,
    });
    if (wantsState) watch.sendState(store.entries(resource.name));
    if (streams === true) watch.endInitialEvents(now);
    for (const change of missed) watch.change(change);
    this.open.add(watch);
    answer.onClose(() => this.open.delete(watch));
    this.keepTime(watch, Number(query.get('timeoutSeconds') ?? 0) * 1000);
  }

  private keepTime(watch: WatchStream, timeoutMs: number): void {
    const { timers, bookmarkMs } = this.options;
    let bookmarks: unknown = null;
    const mark = (): void => {
      watch.bookmark();
      if (bookmarkMs !== null) bookmarks = timers.set(mark, bookmarkMs);
    };
    if (bookmarkMs !== null) bookmarks = timers.set(mark, bookmarkMs);
    const end = (): void => {
      // The real one sends a last bookmark two seconds before (cache_watcher.go, nextBookmarkTime).
      watch.bookmark();
      this.open.delete(watch);
      watch.end();
    };
    const timeout = timeoutMs > 0 ? timers.set(end, timeoutMs) : null;
    watch.answer.onClose(() => {
      timers.clear(bookmarks);
      timers.clear(timeout);
    });
  }
}

async function errorEvent(answer: Answer, status: Status): Promise<void> {
  answer.head(200, { 'content-type': JSON_TYPE });
  await answer.stream([Buffer.from(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`)], false);
}

async function answerOther(answer: Answer, path: string): Promise<void> {
  if (path === '/version')
    return answer.whole(200, JSON_TYPE, JSON.stringify({ major: '1', minor: '34', gitVersion: 'v1.34.0' }));
  if (['/livez', '/readyz', '/healthz'].includes(path)) return answer.whole(200, TEXT_TYPE, 'ok');
  return notServed(answer);
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
  return answer.whole(404, TEXT_TYPE, '404 page not found\n');
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
