// Decides what a reflector asks its API server for next, from what came of its requests so far. Pure: time, chance and answers are given,
// and it knows of objects only their resourceVersion. What it asks for and why:
//
//  list    Pages of 500 at resourceVersion=0 at first: "any version", from the memory of the server, so that a fleet of restarting agents
//          costs etcd nothing. Servers before 1.34 answer that with everything at once whatever the limit, so our memory must not depend on
//          pages: json-list.ts cuts lists while they arrive. Later at the version last seen ("not older than"), without a limit, which is
//          from memory too; so time never goes backwards, whichever server answers. At '' ("the newest", from etcd or as sure) when the server
//          says that it never had our version, or has no longer: it was restored, or lags. All as client-go's reflector.
//  stream  A watch that begins with what exists (KEP-3157, 1.32 and later). Tried before each list until a server refuses it, or ignores it
//          and never ends its beginning; that is remembered.
//  watch   From the version of the list, of the last event or the last bookmark.
//  check   The newest version of the server, by a list of one object: when it is before ours the server was restored from a backup, and a
//          watch from our version would hear nothing, perhaps for days. Asked after an outage, and after a watch without even a bookmark.
//
// After 410, nonsense and restored backups comes a fresh list. There is no other: configSyncPeriod, which makes kube-proxy deliver all
// objects again from its own memory, would deliver what is known already, and nobody here acts on that; the drift of the kernel is found by
// verification, and lists by the clock are what client-go does not do either.

import { compareVersions } from './api-watch.ts';
import { Backoff } from './backoff.ts';

/** What to do next. */
export type ReflectorStep =
  | {
      readonly do: 'list';
      readonly resourceVersion: string;
      readonly limit: number;
      readonly token: string;
      readonly isTrusted: boolean;
    }
  | {
      readonly do: 'stream';
      readonly resourceVersion: string;
      readonly timeoutSeconds: number;
      readonly isTrusted: boolean;
    }
  | { readonly do: 'watch'; readonly resourceVersion: string; readonly timeoutSeconds: number }
  | { readonly do: 'check' }
  | { readonly do: 'wait'; readonly delayMs: number };

/** How a step failed, as far as it matters for the next. */
export interface ReflectorFailure {
  /**
   * expired: version or token too old; ahead: version not there (yet, or any more); unsupported: the server does not take the parameters;
   * silent: it said nothing for too long; nonsense: its answer cannot be decoded, or contradicts itself; lost: facts were not delivered,
   * by a mistake of ours; other: refused or unreachable.
   */
  readonly kind: 'expired' | 'ahead' | 'unsupported' | 'silent' | 'nonsense' | 'lost' | 'other';
  readonly retryAfterMs: number;
}

const PAGE_LIMIT = 500;
/** Watches end after 5 to 10 minutes, each at another time, so that a fleet spreads over the servers of a control plane again. */
const MIN_WATCH_SECONDS = 300;
/** Failed streams, one after the other, until a list is tried instead: what makes progress is better. */
const MAX_STREAM_FAILURES = 3;
/** A watch that ends this soon costs more than it brings: as a failure, so that it is not asked for again at once. */
const SHORT_WATCH_MS = 1000;
/** A watch that lived this long and is cut says nothing about the health of the server. */
const GOOD_WATCH_MS = 5000;
/** After this long without an answer, history has gone on too far: a list, which the server has to make for most watches anyway. */
const LONG_OUTAGE_MS = 300_000;
/** Watches that begin and fail without a word, until a list is tried instead: there may be something at our version that breaks them. */
const MAX_BARREN_WATCHES = 3;

export interface ReflectorMachineOptions {
  /** Gives 0 to below 1. */
  readonly random: () => number;
  /** False: lists only. */
  readonly canStream?: boolean;
  /** Of the first list: '0' = any, for what runs long; '' = the newest, for who asks once. */
  readonly firstVersion?: '0' | '';
}

/** See above. Ask `next`, do it, and tell what came of it: exactly one of the other methods, and for a watch as they come. */
export class ReflectorMachine {
  private readonly random: () => number;
  private readonly backoff: Backoff;
  private readonly firstVersion: string;
  private phase: 'begin' | 'pages' | 'watch' | 'check' = 'begin';
  private delayMs = 0;
  /** Of the last list, event or bookmark; '' for none. */
  private position = '';
  /** Asking for `position` is of no use: the server does not have it. */
  private isPositionLost = false;
  private isTrusted = true;
  private canStream: boolean;
  private streamFailures = 0;
  private token = '';
  private listVersion = '';
  private expiredLists = 0;
  /** The server cuts lists at version 0 into pages: it has no memory to list from, so lists at other versions need the limit as well. */
  private isPaging = false;
  private openedAtMs: number | null = null;
  private hasHeard = false;
  /** Watches in a row that began and failed without a word. */
  private barrenWatches = 0;
  private answeredAtMs: number | null = null;

  constructor({ random, canStream = true, firstVersion = '0' }: ReflectorMachineOptions) {
    this.random = random;
    this.backoff = new Backoff(random);
    this.canStream = canStream;
    this.firstVersion = firstVersion;
  }

  /** Of the last list, event or bookmark; '' for none. */
  get resourceVersion(): string {
    return this.position;
  }

  next(): ReflectorStep {
    if (this.delayMs > 0) {
      const delayMs = this.delayMs;
      this.delayMs = 0;
      return { do: 'wait', delayMs };
    }
    const { isTrusted } = this;
    switch (this.phase) {
      case 'begin':
        if (!this.canStream || this.streamFailures >= MAX_STREAM_FAILURES) return this.firstPage();
        return {
          do: 'stream',
          resourceVersion: this.sureVersion(),
          timeoutSeconds: this.timeoutSeconds(),
          isTrusted,
        };
      case 'pages':
        return { do: 'list', resourceVersion: '', limit: PAGE_LIMIT, token: this.token, isTrusted };
      case 'watch':
        return { do: 'watch', resourceVersion: this.position, timeoutSeconds: this.timeoutSeconds() };
      case 'check':
        return { do: 'check' };
    }
  }

  /** A page of a list is there whole. `token` '' = it was the last one, and the list is complete. True when it is. */
  page(resourceVersion: string, token: string, nowMs: number): boolean {
    this.answered(nowMs);
    // All pages show the same moment. Should they not, the first is the one that a watch may begin at without a gap.
    if (this.listVersion === '') this.listVersion = resourceVersion;
    this.token = token;
    this.phase = 'pages';
    if (token !== '') {
      this.isPaging = true;
      return false;
    }
    this.complete(this.listVersion);
    return true;
  }

  /** The answer to a stream or watch begins. */
  opened(nowMs: number): void {
    this.answered(nowMs);
    this.openedAtMs = nowMs;
    this.hasHeard = false;
  }

  /** A stream has told everything that exists; it goes on as a watch. */
  initialEnd(resourceVersion: string): void {
    this.hasHeard = true;
    this.complete(resourceVersion);
  }

  /** An event or bookmark of a watch. False when it goes back before what was seen, which no server does that has one history. */
  progress(resourceVersion: string, isBookmark: boolean): boolean {
    this.hasHeard = true;
    if (resourceVersion === '') return true;
    const order = this.position === '' ? 1 : compareVersions(resourceVersion, this.position);
    // Bookmarks that are repeated or late do no harm, they must only not move us back. Versions that cannot be compared are believed.
    if (order !== null && order < 0) return isBookmark;
    if (order !== 0) this.position = resourceVersion;
    return true;
  }

  /** A check is answered. */
  checked(resourceVersion: string, nowMs: number): void {
    this.answered(nowMs);
    const order = compareVersions(resourceVersion, this.position);
    if (order !== null && order < 0) this.loseHistory();
    else this.phase = 'watch';
  }

  /** A stream or watch ended as it should, at its time or before. */
  closed(nowMs: number): void {
    const livedMs = this.end(nowMs);
    if (this.phase === 'begin') {
      this.streamFailures++;
      this.delayMs = this.backoff.failed(nowMs);
      return;
    }
    if (!this.hasHeard) this.phase = 'check';
    if (livedMs >= (this.hasHeard ? SHORT_WATCH_MS : GOOD_WATCH_MS)) return;
    this.delayMs = this.hasHeard ? this.backoff.interrupted() : this.backoff.failed(nowMs);
  }

  /** The step failed. */
  failed({ kind, retryAfterMs }: ReflectorFailure, nowMs: number): void {
    const wasOpen = this.openedAtMs !== null;
    const isAway = !wasOpen && this.answeredAtMs !== null && nowMs - this.answeredAtMs >= LONG_OUTAGE_MS;
    const livedMs = this.end(nowMs);
    // What contradicts itself, and what happened in a long time, may be another history that has come past our version by now.
    if (kind === 'nonsense' || kind === 'lost' || isAway) this.isTrusted = false;
    switch (this.phase) {
      case 'begin':
        if (this.failedToBegin(kind)) return;
        break;
      case 'pages':
        if (kind === 'expired') this.expiredLists++;
        // A page can be asked for again as long as its token is good.
        if (isAway || (kind !== 'other' && kind !== 'silent')) this.restart();
        break;
      case 'watch':
      case 'check':
        this.barrenWatches = wasOpen && !this.hasHeard ? this.barrenWatches + 1 : 0;
        this.failedToWatch(kind, isAway);
        break;
    }
    const wasGood =
      kind !== 'lost' && livedMs >= GOOD_WATCH_MS && retryAfterMs === 0 && this.phase !== 'begin';
    this.delayMs = wasGood ? this.backoff.interrupted() : this.backoff.failed(nowMs, retryAfterMs);
  }

  private firstPage(): ReflectorStep {
    const resourceVersion = this.isPositionLost ? '' : this.position || this.firstVersion;
    // Tokens that expire before they are used: the list is too slow for pages.
    const isWhole =
      this.expiredLists >= 2 || (!this.isPaging && resourceVersion !== '' && resourceVersion !== '0');
    this.listVersion = '';
    return {
      do: 'list',
      resourceVersion,
      limit: isWhole ? 0 : PAGE_LIMIT,
      token: '',
      isTrusted: this.isTrusted,
    };
  }

  private sureVersion(): string {
    return this.isPositionLost ? '' : this.position;
  }

  private timeoutSeconds(): number {
    return MIN_WATCH_SECONDS + Math.floor(this.random() * MIN_WATCH_SECONDS);
  }

  private complete(resourceVersion: string): void {
    this.position = resourceVersion;
    this.phase = 'watch';
    this.isPositionLost = false;
    this.isTrusted = true;
    this.streamFailures = 0;
    this.expiredLists = 0;
    this.barrenWatches = 0;
    this.token = '';
  }

  /** True when the next step needs no wait. */
  private failedToBegin(kind: ReflectorFailure['kind']): boolean {
    const wasStream = this.canStream && this.streamFailures < MAX_STREAM_FAILURES;
    if (kind === 'expired' || kind === 'ahead') this.loseHistory();
    if (!wasStream) {
      if (kind === 'unsupported') this.isPositionLost = true;
      return false;
    }
    this.streamFailures++;
    if (kind !== 'unsupported' && kind !== 'silent') return false;
    this.canStream = false;
    return true;
  }

  private failedToWatch(kind: ReflectorFailure['kind'], isAway: boolean): void {
    if (kind === 'ahead' || kind === 'unsupported') this.loseHistory();
    else if (
      kind === 'expired' ||
      kind === 'nonsense' ||
      kind === 'lost' ||
      isAway ||
      this.barrenWatches >= MAX_BARREN_WATCHES
    )
      this.restart();
    else this.phase = 'check';
  }

  private restart(): void {
    this.phase = 'begin';
    this.token = '';
  }

  private loseHistory(): void {
    this.isPositionLost = true;
    this.isTrusted = false;
    this.restart();
  }

  private answered(nowMs: number): void {
    this.answeredAtMs = nowMs;
    this.backoff.healthy(nowMs);
  }

  /** How long the stream or watch lived that ends now; 0 when none did. */
  private end(nowMs: number): number {
    const livedMs = this.openedAtMs === null ? 0 : nowMs - this.openedAtMs;
    if (this.openedAtMs !== null) this.answeredAtMs = nowMs;
    this.openedAtMs = null;
    return livedMs;
  }
}
