// An API server without a network, on injected time: answers the requests of a reflector out of an ApiStore and misbehaves as it is told,
// request by request. For properties over thousands of histories; for real HTTP and TLS there is fake-api-server.ts.

import { connectionError } from '../../src/cluster/api-connection-errors.ts';
import { ApiStatusError } from '../../src/cluster/api-client-status.ts';
import type { ApiAnswer, ApiRequest, ApiTransport } from '../../src/cluster/api-client-transport.ts';
import type { ApiTimers } from '../../src/cluster/api-timers.ts';
import { listPage } from './api-list.ts';
import { findTarget, type ResourceName } from './api-resources.ts';
import { makeStatus, Refusal, tooLarge, tooOld, type Status } from './api-status.ts';
import { tombstone, type ApiStore, type Change } from './api-store.ts';

/** What happens to one request. Numbers are where in the answer: after so many pieces. */
export type ScriptedFault =
  | { readonly kind: 'none' }
  | { readonly kind: 'refuse'; readonly code: number; readonly retryAfterMs: number }
  | { readonly kind: 'unreachable' }
  /** An ERROR event in a watch, the same as a refusal of a list. */
  | { readonly kind: 'error'; readonly code: number; readonly after: number }
  | { readonly kind: 'cut'; readonly after: number }
  | { readonly kind: 'truncate'; readonly after: number }
  | { readonly kind: 'silent'; readonly after: number }
  | { readonly kind: 'garbage'; readonly after: number }
  /** Events and bookmarks twice. */
  | { readonly kind: 'twice' }
  /** The event before comes again, after each. */
  | { readonly kind: 'again' }
  | { readonly kind: 'noBookmarks' };

/** What streaming lists are answered with. */
export type ScriptedStreaming = 'on' | 'refused' | 'ignored';

const BOOKMARK_MS = 60_000;
const PIECE_BYTES = 100;

/** See above. */
export class ScriptedApi implements ApiTransport {
  readonly store: ApiStore;
  streaming: ScriptedStreaming = 'on';
  /** One for each request, in order; none when they are used up. */
  faults: ScriptedFault[] = [];
  /** Until then nobody answers. */
  isAway = false;
  /** When each request came. */
  readonly requestsAtMs: number[] = [];
  /** 'list', 'watch' or 'stream', and the resourceVersion, of each request. */
  readonly requests: string[] = [];
  private readonly timers: ApiTimers;
  private readonly cuts = new Set<() => void>();

  constructor(store: ApiStore, timers: ApiTimers) {
    this.store = store;
    this.timers = timers;
  }

  /** All connections are cut. */
  cutAll(): void {
    for (const cut of this.cuts) cut();
  }

  async open({ path, query }: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    signal.throwIfAborted();
    this.requestsAtMs.push(this.timers.now());
    const verb = query['watch'] === undefined ? 'list' : query['sendInitialEvents'] ? 'stream' : 'watch';
    this.requests.push(
      `${verb} ${query['continue'] === undefined ? (query['resourceVersion'] ?? '') : '...'}`,
    );
    if (this.isAway) throw unreachable('ECONNREFUSED');
    const fault = this.faults.shift() ?? { kind: 'none' };
    if (fault.kind === 'unreachable') throw unreachable('ECONNRESET');
    if (fault.kind === 'refuse')
      throw refusal(path, makeStatus(fault.code, 'made to fail'), fault.retryAfterMs);
    if (fault.kind === 'error' && verb === 'list')
      throw refusal(path, makeStatus(fault.code, 'made to fail'));
    const target = findTarget(path);
    if (target === null) throw refusal(path, makeStatus(404, 'not found'));
    if (verb === 'stream' && this.streaming === 'refused') throw refusal(path, makeStatus(422, 'not here'));
    if (verb === 'list') {
      const { limit, ...rest } = query;
      // Pages of two, so that small stores have some.
      const paged = new URLSearchParams({
        ...rest,
        ...(limit === undefined ? {} : { limit: limit === '1' ? '1' : '2' }),
      });
      try {
        const page = listPage(this.store, target, paged, () => true, false);
        return this.misbehaving(fault, signal, () => pieces(Buffer.concat([...page.chunks])));
      } catch (error) {
        throw error instanceof Refusal ? refusal(path, error.status) : error;
      }
    }
    const streams = verb === 'stream' && this.streaming === 'on';
    return this.misbehaving(fault, signal, (ended) =>
      this.watch(target.resource.name, query, streams, fault, ended),
    );
  }

  private async *watch(
    name: ResourceName,
    query: Readonly<Record<string, string>>,
    streams: boolean,
    fault: ScriptedFault,
    ended: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const { store, timers } = this;
    const asked = Number(query['resourceVersion'] ?? 0);
    if (streams && asked > store.version) {
      yield line('ERROR', tooLarge(asked, store.version));
      return;
    }
    const from = streams || asked === 0 ? store.version : asked;
    const missed = store.changesSince(name, from);
    if (missed === null) {
      yield line('ERROR', tooOld(from, store.oldest));
      return;
    }
    const queue: Buffer[] = [];
    let wake = (): void => {};
    let isOver = false;
    let before: Buffer | null = null;
    const push = (text: Buffer, isEvent: boolean): void => {
      if (isEvent || fault.kind !== 'noBookmarks') queue.push(text);
      if (fault.kind === 'twice') queue.push(text);
      if (fault.kind === 'again' && isEvent && before !== null) queue.push(before);
      if (isEvent) before = text;
      wake();
    };
    const onChange = (change: Change): void => {
      if (change.resource === name && change.version > from) push(eventOf(change), true);
    };
    const end = (): void => {
      isOver = true;
      wake();
    };
    if (streams || asked === 0) {
      for (const { json } of store.entries(name)) queue.push(rawLine('ADDED', json));
      if (streams) queue.push(bookmark(from, { 'k8s.io/initial-events-end': 'true' }));
    }
    for (const change of missed) onChange(change);
    const stop = store.onChange(onChange);
    let marks: unknown = null;
    const mark = (): void => {
      if (store.version >= from) push(bookmark(store.version), false);
      marks = timers.set(mark, BOOKMARK_MS);
    };
    marks = timers.set(mark, BOOKMARK_MS);
    const timeout = timers.set(end, Number(query['timeoutSeconds'] ?? 300) * 1000);
    ended.addEventListener('abort', end);
    try {
      while (!isOver) {
        for (let text = queue.shift(); text !== undefined; text = queue.shift()) yield text;
        if (!isOver) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop();
      timers.clear(marks);
      timers.clear(timeout);
    }
  }

  private async *misbehaving(
    fault: ScriptedFault,
    signal: AbortSignal,
    make: (ended: AbortSignal) => AsyncIterable<Buffer> | Iterable<Buffer>,
  ): AsyncGenerator<Uint8Array> {
    const cut = new AbortController();
    const onCut = (): void => cut.abort();
    this.cuts.add(onCut);
    const ended = new AbortController();
    const answer = make(ended.signal);
    const pulled =
      Symbol.asyncIterator in answer ? answer[Symbol.asyncIterator]() : answer[Symbol.iterator]();
    let count = 0;
    try {
      for (;;) {
        if ('after' in fault && count === fault.after) {
          if (fault.kind === 'cut') throw unreachable('ECONNRESET');
          if (fault.kind === 'truncate') return;
          if (fault.kind === 'garbage') yield Buffer.from('{"type":"ADD<html>}\n');
          if (fault.kind === 'error') {
            yield line('ERROR', makeStatus(fault.code, 'made to fail'));
            return;
          }
          if (fault.kind === 'silent') await aborted(signal, cut.signal);
        }
        const next = await Promise.race([pulled.next(), aborted(signal, cut.signal)]);
        if (next === null) throw unreachable('ECONNRESET');
        if (next.done === true) return;
        yield next.value;
        count++;
      }
    } finally {
      this.cuts.delete(onCut);
      ended.abort();
      void pulled.return?.();
    }
  }
}

/** Rejects when `signal` is aborted, resolves with null when `cut` is. */
function aborted(signal: AbortSignal, cut: AbortSignal): Promise<null> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else if (cut.aborted) resolve(null);
    signal.addEventListener('abort', onAbort, { once: true });
    cut.addEventListener('abort', () => resolve(null), { once: true });
  });
}

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES)
    yield bytes.subarray(start, start + PIECE_BYTES);
}

function unreachable(code: string): Error {
  return connectionError({ code }, 'the scripted API server');
}

function refusal(path: string, status: Status, retryAfterMs = 0): Error {
  return new ApiStatusError(`GET ${path}`, status.code, status, { retryAfterMs });
}

function line(type: string, object: object): Buffer {
  return rawLine(type, Buffer.from(JSON.stringify(object)));
}

function rawLine(type: string, json: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), json, Buffer.from('}\n')]);
}

function eventOf(change: Change): Buffer {
  if (change.current === null) return rawLine('DELETED', tombstone(change));
  return rawLine(change.previous === null ? 'ADDED' : 'MODIFIED', change.current.json);
}

function bookmark(version: number, annotations?: object): Buffer {
  const metadata = {
    resourceVersion: String(version),
    creationTimestamp: null,
    ...(annotations === undefined ? {} : { annotations }),
  };
  return line('BOOKMARK', { kind: 'Service', apiVersion: 'v1', metadata });
}
