// What the fake API server may do wrong with one request, and the rules that say with which. Rules are looked through in order, the first
// that matches counts. No chance and no clock in here: chaos.ts has the dice.

import type { ResourceName } from './api-resources.ts';

/** get: one object; other: whatever is neither. */
export type Verb = 'list' | 'watch' | 'get' | 'other';

/** FIN: the connection ends as if all were said, but the body is not complete. RST: it is torn. */
export type CutManner = 'FIN' | 'RST';

/**
 * Before anything is answered; in the middle of the header; after so many bytes of the body, as they are on the wire: of gzip if it is
 * that, and of a watch, which may need more events to get there.
 */
export type Moment = 'request' | 'headers' | { readonly bytes: number };

export type Fault =
  /** Refuses: with a Status (default), or what stands between client and server says in HTML, text, or not at all. */
  | {
      readonly kind: 'refuse';
      readonly code: number;
      readonly body?: 'Status' | 'html' | 'text' | 'empty';
      readonly reason?: string;
      readonly message?: string;
      /** The header Retry-After: seconds, a date, or nonsense. */
      readonly retryAfter?: string | number;
    }
  /** A watch: 200, and one ERROR event with the Status: 410 Expired by default. A list: the same Status as 410. */
  | { readonly kind: 'expired'; readonly as?: 'http' | 'event' }
  | { readonly kind: 'cut'; readonly manner: CutManner; readonly at: Moment }
  /** A clean end of a body that is not complete. */
  | { readonly kind: 'truncate'; readonly at: number }
  /** Half-open: nothing more comes, and the connection stays. */
  | { readonly kind: 'stall'; readonly at: Moment }
  /** Answers after `delayMs`; then `bytes` each `everyMs`. */
  | { readonly kind: 'slow'; readonly delayMs?: number; readonly bytes?: number; readonly everyMs?: number }
  /** Pieces of `bytes`, each a chunk and a write of its own: inside of characters, lines and gzip blocks. */
  | { readonly kind: 'split'; readonly bytes: number }
  /** 200 with this body and a clean end. */
  | { readonly kind: 'body'; readonly body: string | Buffer; readonly contentType?: string }
  /** The right body under a wrong type. */
  | { readonly kind: 'contentType'; readonly value: string }
  /** 200, and the same text again and again until `bytes` were sent (a limit, not an aim: clients give up before). */
  | { readonly kind: 'endless'; readonly first: string; readonly again: string; readonly bytes: number };

/** Which requests a rule is about; what is absent matches all. */
export interface RequestMatch {
  readonly resource?: ResourceName;
  readonly verb?: Verb;
  /** Lists: only the first page, or only later ones. */
  readonly page?: 'first' | 'later';
  /** Lets so many matching requests pass before it begins. Default 0. */
  readonly skip?: number;
  /** For so many requests; default 1. */
  readonly times?: number;
}

/** What a rule asks about a request. */
export interface MatchedRequest {
  readonly resource: ResourceName | null;
  readonly verb: Verb;
  readonly isLaterPage: boolean;
}

/** A rule that was given; `hits`: to how many requests it was applied. */
export class FaultRule {
  readonly match: RequestMatch;
  readonly fault: Fault;
  hits = 0;
  private seen = 0;

  constructor(match: RequestMatch, fault: Fault) {
    this.match = match;
    this.fault = fault;
  }

  get isSpent(): boolean {
    return this.hits >= (this.match.times ?? 1);
  }

  /** Counts the request when it matches. */
  applies({ resource, verb, isLaterPage }: MatchedRequest): boolean {
    const { match } = this;
    if (match.resource !== undefined && match.resource !== resource) return false;
    if (match.verb !== undefined && match.verb !== verb) return false;
    if (match.page !== undefined && (match.page === 'later') !== isLaterPage) return false;
    if (this.isSpent || this.seen++ < (match.skip ?? 0)) return false;
    this.hits++;
    return true;
  }
}

/** The rules by now. */
export class FaultRules {
  private rules: FaultRule[] = [];

  add(match: RequestMatch, fault: Fault): FaultRule {
    const rule = new FaultRule(match, fault);
    this.rules.push(rule);
    return rule;
  }

  /** The fault for this request, or none. Spent rules go. */
  take(request: MatchedRequest): Fault | null {
    const rule = this.rules.find((each) => each.applies(request));
    if (rule?.isSpent === true) this.rules = this.rules.filter((each) => each !== rule);
    return rule?.fault ?? null;
  }

  clear(): void {
    this.rules = [];
  }
}
