// The requests of one reflector and what their answers say: reads pages, streams and watches as they arrive. Decides nothing about what is
// asked when (reflector-machine.ts) nor about what is told when (reflector-teller.ts).

import { PointsmanError } from '../model/errors.ts';
import { member } from '../model/fields.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ApiAnswer, ApiTransport } from './api-client-transport.ts';
import { applyEvent, deleteEvent, identityOf, type ApiKind } from './api-kinds.ts';
import type { ApiTimers } from './api-timers.ts';
import { decodeWatchLine } from './api-watch.ts';
import { LineSplitter } from './json-lines.ts';
import { ListSplitter } from './json-list.ts';
import type { ReflectorMachine, ReflectorStep } from './reflector-machine.ts';
import { FactTeller, type ReflectorSink } from './reflector-teller.ts';
import { within, type TimeLimits } from './reflector-time.ts';

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
  private readonly options: ReflectorReaderOptions;
  private readonly what: string;
  private readonly nextTurn: () => Promise<void>;
  private readonly teller: FactTeller;
  private turnAtMs = 0;

  constructor(options: ReflectorReaderOptions) {
    this.options = options;
    this.what = `the watch of ${options.kind.path}`;
    this.nextTurn = options.nextTurn ?? (() => new Promise((resolve) => setImmediate(resolve)));
    this.teller = new FactTeller(options.kind, options.sink, this.nextTurn);
  }

  /** Objects that are known. */
  get objects(): number {
    return this.teller.known.size;
  }

  /** One page of a list, and what the whole list changes when it is the last. */
  async list(step: Step<'list'>, signal: AbortSignal): Promise<void> {
    const { machine, kind, timers } = this.options;
    if (step.token === '') this.teller.beginList(step.isTrusted);
    const query: Record<string, string> = { ...kind.query };
    if (step.limit > 0) query['limit'] = String(step.limit);
    // A token has its version in it.
    if (step.token !== '') query['continue'] = step.token;
    else if (step.resourceVersion !== '') query['resourceVersion'] = step.resourceVersion;
    const splitter = new ListSplitter(MAX_OBJECT_BYTES);
    await this.read(query, true, LIST_LIMITS, signal, async (chunk) => {
      const events: ClusterEvent[] = [];
      for (const text of splitter.push(chunk)) this.teller.takeListed(parseItem(text), text, events);
      this.teller.tell(events, true);
    });
    const { version, token } = this.readEnvelope(splitter.finish());
    if (machine.page(version, token, timers.now())) await this.teller.finishList(parseItem, signal);
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
    this.teller.beginList(step.isTrusted);
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
        await this.teller.finishList((line) => decodedObject(line, this.what), signal);
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
          if (typeof identity !== 'string') this.teller.known.unlisted(identity.key);
        } else this.teller.takeListed(frame.object, line, events);
      }
      return null;
    } finally {
      this.teller.tell(events, true);
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
          this.teller.skip(identity);
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
        } else if (!this.teller.known.has(key, resourceVersion)) {
          events.push(applyEvent(kind, frame.object));
          changes.push([key, resourceVersion]);
        }
      }
    } finally {
      // What came before nonsense is true. It is known only when it was told: what is lost on the way must not pass for known.
      this.teller.tell(events, false);
      for (const [key, version] of changes) {
        if (version === null) this.teller.known.deleted(key);
        else this.teller.known.applied(key, version);
      }
    }
  }

  private async pace(): Promise<void> {
    const nowMs = this.options.timers.now();
    if (nowMs - this.turnAtMs < HOLD_MS) return;
    await this.nextTurn();
    this.turnAtMs = this.options.timers.now();
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
