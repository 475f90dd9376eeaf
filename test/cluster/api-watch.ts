// One watch on its way: what it begins with, what of each change its selection lets it see, bookmarks, and what a test makes it do wrong.
// Source: KEP-956 (bookmarks), KEP-3157 (streaming lists), apiserver pkg/storage/cacher/{cacher,cache_watcher}.go.
// Watches are never compressed by an API server: only lists are.

import type { Answer } from './api-answer.ts';
import type { ApiResource } from './api-resources.ts';
import type { Selector } from './api-selectors.ts';
import { makeStatus, tooOld, type Status } from './api-status.ts';
import { tombstone, type Change, type Entry } from './api-store.ts';
import type { CutManner } from './faults.ts';

/** Told about all watches; may change while they run. */
export interface WatchHabits {
  /** reordered: an older one comes after each; duplicated: each comes twice. */
  bookmarks: 'normal' | 'none' | 'duplicated' | 'reordered';
  /** Each event comes twice. */
  duplicateEvents: boolean;
}

export interface WatchOptions {
  readonly resource: ApiResource;
  readonly select: Selector;
  readonly allowsBookmarks: boolean;
  /** Changes up to this one are known to the client. */
  readonly fromVersion: number;
  readonly habits: Readonly<WatchHabits>;
  /** resourceVersion of the server by now. */
  readonly version: () => number;
}

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';

/** A real server ends a watch whose client does not read; so does this one, at so many bytes. */
const MAX_QUEUED_BYTES = 256 << 20;
/** Events that `replay` can give again. */
const MAX_REPLAY = 100;

/** An open watch. */
export class WatchStream {
  readonly resource: ApiResource;
  readonly answer: Answer;
  /** Events sent, bookmarks not among them. */
  sent = 0;
  private readonly options: WatchOptions;
  private queue: Buffer[] = [];
  private queuedBytes = 0;
  private pumping: Promise<void> | null = null;
  private recent: Buffer[] = [];
  private lastBookmark: number;

  constructor(answer: Answer, options: WatchOptions) {
    this.answer = answer;
    this.options = options;
    this.resource = options.resource;
    this.lastBookmark = options.fromVersion;
  }

  /** State as ADDED events (a watch from version 0 or none, or a streaming list). */
  sendState(entries: readonly Entry[]): void {
    for (const entry of entries) if (this.options.select(entry)) this.sendEvent('ADDED', entry.json);
  }

  /** The bookmark that ends the initial events of a streaming list (KEP-3157); not sent to who wants no bookmarks. */
  endInitialEvents(version: number): void {
    if (this.options.allowsBookmarks)
      this.line('BOOKMARK', this.bookmarkJson(String(version), { 'k8s.io/initial-events-end': 'true' }));
  }

  /** What the selection makes of a change: who enters is ADDED, who leaves is DELETED. */
  change(change: Change): void {
    const { select, fromVersion } = this.options;
    // A watch from the future is silent until the future is there (cache_watcher.go, process).
    if (change.resource !== this.resource.name || change.version <= fromVersion) return;
    const was = change.previous !== null && select(change.previous);
    const is = change.current !== null && select(change.current);
    if (is && change.current !== null) this.sendEvent(was ? 'MODIFIED' : 'ADDED', change.current.json);
    else if (was) this.sendEvent('DELETED', tombstone(change));
  }

  /** A bookmark, if the client wants any. `version` may be anything; default: the server's. */
  bookmark(version?: string | number): void {
    const { allowsBookmarks, habits, fromVersion } = this.options;
    const now = this.options.version();
    if (!allowsBookmarks || (version === undefined && (habits.bookmarks === 'none' || now < fromVersion)))
      return;
    const json = this.bookmarkJson(String(version ?? now));
    this.line('BOOKMARK', json);
    if (version !== undefined) return;
    if (habits.bookmarks === 'duplicated') this.line('BOOKMARK', json);
    if (habits.bookmarks === 'reordered') this.line('BOOKMARK', this.bookmarkJson(String(this.lastBookmark)));
    this.lastBookmark = now;
  }

  /** An ERROR event; a server ends the watch after it. Default: 410 Expired. */
  error(status: Status = tooOld(this.options.fromVersion, this.options.version())): void {
    this.push(Buffer.from(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`));
    this.end();
  }

  /** The error of a server that broke: code 500. */
  breakDown(): void {
    this.error(makeStatus(500, 'etcdserver: request timed out'));
  }

  /** Any text, in its place among the events. */
  raw(text: string | Buffer): void {
    this.push(Buffer.from(text as string));
  }

  /** The last events again, in order. */
  replay(count: number): void {
    for (const line of this.recent.slice(-count)) this.push(line);
  }

  /** The clean end, after what is queued. */
  end(): void {
    void this.flushed().then(() => this.answer.end());
  }

  /** Cut after what is queued. */
  cut(manner: CutManner): void {
    void this.flushed().then(() => this.answer.cut(manner));
  }

  /** Cut, or end cleanly, in the middle of the line of an event. */
  cutInMidLine(how: CutManner | 'clean' = 'FIN'): void {
    const line = this.recent.at(-1) ?? Buffer.from('{"type":"MODIFIED","object":{"metadata":{}}}\n');
    this.push(line.subarray(0, line.length >> 1));
    if (how === 'clean') this.end();
    else this.cut(how);
  }

  /** Half-open from now on: nothing more comes, the connection stays. */
  stall(): void {
    this.answer.stall();
  }

  /** Resolves when everything that was queued is on its way, or can be no more. */
  async flushed(): Promise<void> {
    while (this.pumping !== null) await this.pumping;
  }

  private sendEvent(type: EventType, json: Buffer): void {
    const times = this.options.habits.duplicateEvents ? 2 : 1;
    for (let time = 0; time < times; time++) {
      const line = this.line(type, json);
      this.sent++;
      this.recent.push(line);
    }
    if (this.recent.length > 2 * MAX_REPLAY) this.recent = this.recent.slice(-MAX_REPLAY);
  }

  private line(type: EventType, json: Buffer): Buffer {
    const { kind, apiVersion } = this.resource;
    const typed = json[0] === 0x7b ? [Buffer.from(`{"kind":"${kind}","apiVersion":"${apiVersion}"`)] : [json];
    if (typed.length === 1 && json[0] === 0x7b) {
      // `{}` has nothing to put a comma before.
      if (json.length > 2) typed.push(Buffer.from(','));
      typed.push(json.subarray(1));
    }
    const line = Buffer.concat([Buffer.from(`{"type":"${type}","object":`), ...typed, Buffer.from('}\n')]);
    this.push(line);
    return line;
  }

  private bookmarkJson(resourceVersion: string, annotations?: Readonly<Record<string, string>>): Buffer {
    // creationTimestamp is null, as Go writes a time that is not set; servers from 1.34 on leave it out.
    const metadata = { resourceVersion, creationTimestamp: null, ...(annotations && { annotations }) };
    return Buffer.from(JSON.stringify({ metadata, ...this.resource.empty }));
  }

  private push(bytes: Buffer): void {
    if (this.answer.isClosed) return;
    this.queue.push(bytes);
    this.queuedBytes += bytes.length;
    if (this.queuedBytes > MAX_QUEUED_BYTES) return this.answer.cut('FIN');
    this.pumping ??= this.pump().finally(() => (this.pumping = null));
  }

  private async pump(): Promise<void> {
    // What is queued in one turn goes out in one write.
    await Promise.resolve();
    while (this.queue.length > 0) {
      const all = this.queue.length === 1 ? this.queue[0] : Buffer.concat(this.queue);
      this.queue = [];
      this.queuedBytes = 0;
      if (all === undefined || !(await this.answer.write(all))) {
        this.queue = [];
        return;
      }
    }
  }
}
