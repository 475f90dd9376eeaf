// The requests of one reflector and what their answers say: reads pages, streams and watches as they arrive, keeps KnownObjects up to date
// and tells what is new. Decides nothing about what is asked when (reflector-machine.ts), and keeps no object.
//
// When it tells: what a first list holds, at once, as nothing is programmed before that list is complete. What a later list holds is held
// back until it is complete: one list is one moment, and half of it is a state that never was. A slice whose endpoints moved to another
// slice, which is on the next page, would take the endpoints out of service until that page comes, however long that takes. So everything
// that differs goes out together, what is gone at last. The events of a watch go out as they come: they are history, in its order.

import { errorLine, PointsmanError } from '../model/errors.ts';
import { member } from '../model/fields.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ApiAnswer, ApiTransport } from './api-client-transport.ts';
import { applyEvent, deleteEvent, identityOf, type ApiKind } from './api-kinds.ts';
import type { ApiTimers } from './api-timers.ts';
import { decodeWatchLine } from './api-watch.ts';
import { LineSplitter } from './json-lines.ts';
import { ListSplitter } from './json-list.ts';
import { HeldTexts } from './reflector-held.ts';
import type { ReflectorMachine, ReflectorStep } from './reflector-machine.ts';
import { KnownObjects } from './reflector-objects.ts';
import { within, type TimeLimits } from './reflector-time.ts';

/** Hears of the facts of one kind, in order. Must not throw; a reflector whose events are lost lists anew. */
export interface ReflectorSink {
  /**
   * `more`: the rest of the same difference follows in later turns of the event loop; the state in between never was on the server, so
   * nothing should be programmed from it.
   */
  onEvents(events: readonly ClusterEvent[], more: boolean): void;
  /** A list was told whole. */
  onComplete(): void;
  /** An object is skipped: one line. */
  onSkipped(problem: string): void;
}

export interface ReflectorReaderOptions {
  readonly kind: ApiKind;
  readonly transport: ApiTransport;
  readonly machine: ReflectorMachine;
  readonly sink: ReflectorSink;
  readonly timers: ApiTimers;
  /** Resolves in a later turn of the event loop. */
  readonly nextTurn?: () => Promise<void>;
}

/** etcd keeps objects of 1.5 MB; their JSON is a few times that. */
const MAX_OBJECT_BYTES = 64 * 1024 * 1024;
/** Told at once, and parsed for it, until the loop gets a turn. */
const MAX_EVENTS = 256;
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;
/** Work holds the event loop for about this long before others get a turn. */
const HOLD_MS = 4;

const LIST_LIMITS: TimeLimits = { idleMs: 30_000, totalMs: 600_000 };
/** A server that streams has everything in memory; one that says nothing for this long ignores what it was asked for. */
const STREAM_LIMITS: TimeLimits = { idleMs: 20_000, totalMs: 120_000 };
/** Bookmarks come once a minute. */
const WATCH_IDLE_MS = 180_000;
/** Beyond timeoutSeconds, until we end a watch that its server should have ended. */
const WATCH_SLACK_MS = 30_000;

type Step<Do extends ReflectorStep['do']> = Extract<ReflectorStep, { readonly do: Do }>;

/** See above. */
export class ReflectorReader {
  readonly known = new KnownObjects();
  private readonly options: ReflectorReaderOptions;
  private readonly what: string;
  private readonly nextTurn: () => Promise<void>;
  private readonly held = new HeldTexts();
  private hasTold = false;
  private turnAtMs = 0;

  constructor(options: ReflectorReaderOptions) {
    this.options = options;
    this.what = `the watch of ${options.kind.path}`;
    this.nextTurn = options.nextTurn ?? (() => new Promise((resolve) => setImmediate(resolve)));
  }

  /** One page of a list, and what the whole list changes when it is the last. */
  async list(step: Step<'list'>, signal: AbortSignal): Promise<void> {
    const { machine, kind, timers } = this.options;
    if (step.token === '') this.beginList(step.isTrusted);
    const query: Record<string, string> = { ...kind.query };
    if (step.limit > 0) query['limit'] = String(step.limit);
    // A token has its version in it.
    if (step.token !== '') query['continue'] = step.token;
    else if (step.resourceVersion !== '') query['resourceVersion'] = step.resourceVersion;
    const splitter = new ListSplitter(MAX_OBJECT_BYTES);
    await this.read(query, true, LIST_LIMITS, signal, async (chunk) => {
      const events: ClusterEvent[] = [];
      for (const text of splitter.push(chunk)) this.takeListed(parseItem(text), text, events);
      this.tell(events, true);
    });
    const { version, token } = this.readEnvelope(splitter.finish());
    if (machine.page(version, token, timers.now())) await this.finishList(parseItem, signal);
  }

  /** A watch from `resourceVersion`, until it ends. */
  async watch(step: Step<'watch'>, signal: AbortSignal): Promise<void> {
    const lines = new LineSplitter(MAX_OBJECT_BYTES);
    const query = this.watchQuery(step);
    await this.read(query, false, watchLimits(step), signal, async (chunk) =>
      this.takeChanges(lines.push(chunk)),
    );
  }

  /** A watch that begins with all there is, until it ends. */
  async stream(step: Step<'stream'>, signal: AbortSignal): Promise<void> {
    this.beginList(step.isTrusted);
    const lines = new LineSplitter(MAX_OBJECT_BYTES);
    const query = {
      ...this.watchQuery(step),
      sendInitialEvents: 'true',
      resourceVersionMatch: 'NotOlderThan',
    };
    const limits = { current: STREAM_LIMITS };
    let isInitial = true;
    await this.read(query, false, limits, signal, async (chunk) => {
      let texts = lines.push(chunk);
      if (isInitial) {
        const end = this.takeInitial(texts);
        if (end === null) return;
        await this.finishList((line) => decodedObject(line, this.what), signal);
        this.options.machine.initialEnd(end.resourceVersion);
        isInitial = false;
        limits.current = watchLimits(step);
        texts = texts.slice(end.lines);
      }
      this.takeChanges(texts);
    });
  }

  /** The newest version of the server. */
  async check(signal: AbortSignal): Promise<void> {
    const splitter = new ListSplitter(MAX_OBJECT_BYTES);
    const query = { ...this.options.kind.query, limit: '1' };
    await this.read(query, true, LIST_LIMITS, signal, async (chunk) => void splitter.push(chunk));
    const { version } = this.readEnvelope(splitter.finish());
    this.options.machine.checked(version, this.options.timers.now());
  }

  private async read(
    query: Readonly<Record<string, string>>,
    isList: boolean,
    limits: TimeLimits | { readonly current: TimeLimits },
    signal: AbortSignal,
    take: (chunk: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const { transport, kind, machine, timers } = this.options;
    await within(timers, limits, signal, async (limited, touch) => {
      const request = { path: kind.path, query, acceptsGzip: isList };
      const answer: ApiAnswer = await transport.open(request, limited);
      if (!isList) machine.opened(timers.now());
      touch();
      for await (const chunk of answer) {
        limited.throwIfAborted();
        await take(chunk);
        await this.pace();
        touch();
      }
      limited.throwIfAborted();
    });
  }

  private watchQuery(step: Step<'watch'> | Step<'stream'>): Record<string, string> {
    return {
      ...this.options.kind.query,
      watch: '1',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(step.timeoutSeconds),
      ...(step.resourceVersion === '' ? {} : { resourceVersion: step.resourceVersion }),
    };
  }

  private readEnvelope({ kind, metadata }: { kind: unknown; metadata: unknown }): {
    version: string;
    token: string;
  } {
    const version = member(metadata, 'resourceVersion');
    const token = member(metadata, 'continue');
    if (kind !== `${this.options.kind.kind}List` || typeof version !== 'string' || version === '') {
      const message = `the answer to a list of ${this.options.kind.path} is no ${this.options.kind.kind}List with a resourceVersion; is that an API server?`;
      throw new PointsmanError('API_PROTOCOL', message, {});
    }
    return { version, token: typeof token === 'string' ? token : '' };
  }

  private beginList(isTrusted: boolean): void {
    this.known.beginList(isTrusted);
    this.held.clear();
  }

  /** An object of a list or of the beginning of a stream; `text` gives it again. */
  private takeListed(object: unknown, text: string, events: ClusterEvent[]): void {
    const { kind } = this.options;
    const identity = identityOf(kind, object);
    if (typeof identity === 'string') {
      this.skip(identity);
      return;
    }
    if (!this.known.listed(identity.key, identity.resourceVersion, !this.hasTold)) return;
    if (this.hasTold) this.held.add(text);
    else events.push(applyEvent(kind, object));
  }

  /** The beginning of a stream; where it ends, null when not in these lines. */
  private takeInitial(
    lines: readonly string[],
  ): { readonly resourceVersion: string; readonly lines: number } | null {
    const events: ClusterEvent[] = [];
    try {
      for (const [index, line] of lines.entries()) {
        const frame = decodeWatchLine(line, this.what);
        if (frame.type === 'BOOKMARK') {
          if (frame.isInitialEnd) return { resourceVersion: frame.resourceVersion, lines: index + 1 };
        } else if (frame.type === 'DELETED') {
          const identity = identityOf(this.options.kind, frame.object);
          if (typeof identity !== 'string') this.known.unlisted(identity.key);
        } else this.takeListed(frame.object, line, events);
      }
      return null;
    } finally {
      this.tell(events, true);
    }
  }

  private takeChanges(lines: readonly string[]): void {
    const { kind, machine } = this.options;
    const events: ClusterEvent[] = [];
    const changes: (readonly [key: string, version: string | null])[] = [];
    try {
      for (const line of lines) {
        const frame = decodeWatchLine(line, this.what);
        if (frame.type === 'BOOKMARK') {
          machine.progress(frame.resourceVersion, true);
          continue;
        }
        const identity = identityOf(kind, frame.object);
        if (typeof identity === 'string') {
          this.skip(identity);
          continue;
        }
        const { key, resourceVersion } = identity;
        if (!machine.progress(resourceVersion, false)) {
          const message = `${this.what} went back in time at ${kind.kind} ${key}; is the API server restored from a backup?`;
          throw new PointsmanError('API_PROTOCOL', message, {});
        }
        if (frame.type === 'DELETED') {
          events.push(deleteEvent(kind, key));
          changes.push([key, null]);
        } else if (!this.known.has(key, resourceVersion)) {
          events.push(applyEvent(kind, frame.object));
          changes.push([key, resourceVersion]);
        }
      }
    } finally {
      // What came before nonsense is true. It is known only when it was told: what is lost on the way must not pass for known.
      this.tell(events, false);
      for (const [key, version] of changes) {
        if (version === null) this.known.deleted(key);
        else this.known.applied(key, version);
      }
    }
  }

  /** The list is complete: tells what was held back and what is gone. */
  private async finishList(parse: (text: string) => unknown, signal: AbortSignal): Promise<void> {
    const { kind, sink } = this.options;
    let events: ClusterEvent[] = [];
    let characters = 0;
    const flush = async (): Promise<void> => {
      this.tell(events, true);
      events = [];
      characters = 0;
      await this.nextTurn();
      signal.throwIfAborted();
    };
    for (const text of this.held.drain()) {
      const object = parse(text);
      const identity = identityOf(kind, object);
      // A stream may have said more of an object since: only its last version counts.
      if (typeof identity === 'string' || !this.known.isListed(identity.key, identity.resourceVersion))
        continue;
      if (events.length >= MAX_EVENTS || characters + text.length > MAX_EVENT_CHARACTERS) await flush();
      events.push(applyEvent(kind, object));
      characters += text.length;
    }
    for (const key of this.known.missing()) {
      if (events.length >= 16 * MAX_EVENTS) await flush();
      events.push(deleteEvent(kind, key));
    }
    this.tell(events, false);
    this.known.finishList();
    this.hasTold = true;
    sink.onComplete();
  }

  private tell(events: readonly ClusterEvent[], more: boolean): void {
    if (events.length === 0) return;
    try {
      this.options.sink.onEvents(events, more);
    } catch (error) {
      throw new LostEvents(error);
    }
  }

  private skip(why: string): void {
    this.options.sink.onSkipped(`an object in ${this.options.kind.path} is skipped: ${why}`);
  }

  private async pace(): Promise<void> {
    const nowMs = this.options.timers.now();
    if (nowMs - this.turnAtMs < HOLD_MS) return;
    await this.nextTurn();
    this.turnAtMs = this.options.timers.now();
  }
}

/** Whoever hears of events failed: a mistake of ours, not of the server. */
export class LostEvents extends Error {
  constructor(cause: unknown) {
    super(`events were lost: ${errorLine(cause)}`, { cause });
    this.name = 'LostEvents';
  }
}

function watchLimits({ timeoutSeconds }: { readonly timeoutSeconds: number }): TimeLimits {
  return { idleMs: WATCH_IDLE_MS, totalMs: timeoutSeconds * 1000 + WATCH_SLACK_MS, isTotalGood: true };
}

function parseItem(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new PointsmanError('API_PROTOCOL', 'an object in a list is no JSON; is something in between?', {});
  }
}

function decodedObject(line: string, what: string): unknown {
  const frame = decodeWatchLine(line, what);
  return frame.type === 'BOOKMARK' ? null : frame.object;
}
