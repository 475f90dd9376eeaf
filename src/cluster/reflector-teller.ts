// What of its answers a reflector tells, and when; keeps KnownObjects up to date with what was told. Keeps no object that was told.
//
// When it tells: what a first list holds, at once, as nothing is programmed before that list is complete. What a later list holds is held
// back until it is complete: one list is one moment, and half of it is a state that never was. A slice whose endpoints moved to another
// slice, which is on the next page, would take the endpoints out of service until that page comes, however long that takes. So everything
// that differs goes out together, what is gone at last. The events of a watch go out as they come: they are history, in its order.

import { errorLine } from '../model/errors.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { applyEvent, deleteEvent, identityOf, type ApiKind } from './api-kinds.ts';
import { HeldTexts } from './reflector-held.ts';
import { KnownObjects } from './reflector-objects.ts';

/** Hears of the facts of one kind, in order. Must not throw; a reflector whose events are lost lists anew. */
export interface ReflectorSink {
  /**
   * `more`: the rest of the same difference follows in later turns of the event loop; the state in between never was on the server, so
   * nothing should be programmed from it. A difference ends with a call without it; the first list may end with `onComplete` alone.
   */
  onEvents(events: readonly ClusterEvent[], more: boolean): void;
  /** A list was told whole. */
  onComplete(): void;
  /** An object is skipped: one line. */
  onSkipped(problem: string): void;
}

/** Told at once, and parsed for it, until the loop gets a turn. */
const MAX_EVENTS = 256;
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;

/** See above. */
export class FactTeller {
  readonly known = new KnownObjects();
  private readonly kind: ApiKind;
  private readonly sink: ReflectorSink;
  private readonly nextTurn: () => Promise<void>;
  private readonly held = new HeldTexts();
  /** A list was told whole. */
  private hasTold = false;

  /** `nextTurn` resolves in a later turn of the event loop. */
  constructor(kind: ApiKind, sink: ReflectorSink, nextTurn: () => Promise<void>) {
    this.kind = kind;
    this.sink = sink;
    this.nextTurn = nextTurn;
  }

  /** A list begins; see KnownObjects.beginList. */
  beginList(isTrusted: boolean): void {
    this.known.beginList(isTrusted);
    this.held.clear();
  }

  /** An object of a list or of the beginning of a stream. `text` gives it again; `events` gets what may be told at once. */
  takeListed(object: unknown, text: string, events: ClusterEvent[]): void {
    const { kind } = this;
    const identity = identityOf(kind, object);
    if (typeof identity === 'string') {
      this.skip(identity);
      return;
    }
    if (!this.known.listed(identity.key, identity.resourceVersion, !this.hasTold)) return;
    if (this.hasTold) this.held.add(text);
    else events.push(applyEvent(kind, object));
  }

  /** The list is complete: tells what was held back, which `parse` makes of its text, and what is gone. Rejects as `tell` throws. */
  async finishList(parse: (text: string) => unknown, signal: AbortSignal): Promise<void> {
    const { kind, sink } = this;
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

  /** Throws LostEvents. */
  tell(events: readonly ClusterEvent[], more: boolean): void {
    if (events.length === 0) return;
    try {
      this.sink.onEvents(events, more);
    } catch (error) {
      throw new LostEvents(error);
    }
  }

  /** An object cannot be told. */
  skip(why: string): void {
    this.sink.onSkipped(`an object in ${this.kind.path} is skipped: ${why}`);
  }
}

/** Whoever hears of events failed: a mistake of ours, not of the server. */
export class LostEvents extends Error {
  constructor(cause: unknown) {
    super(`events were lost: ${errorLine(cause)}`, { cause });
    this.name = 'LostEvents';
  }
}
