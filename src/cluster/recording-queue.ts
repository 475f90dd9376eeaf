// Facts that wait to be written, and the lines that they become. Adding costs next to nothing, so that whoever tells facts is never held up;
// objects become text only when a line is taken. Keeps references to the events until then, hence the limit is the writer's to watch.

import type { ClusterEvent } from '../model/objects.ts';
import { formatComplete, formatEvent, formatEvents, LineError, MAX_LINE_BYTES } from './recording-format.ts';

/** A batch is cut into lines of about this many characters: a line is made in one go. */
const LINE_CHARS = 64 * 1024;
/** What a line has beside its events. */
const FRAME_BYTES = 64;
/** Taken items are dropped from the list when this many have come together. */
const COMPACT_AT = 1024;

interface Item {
  readonly atMs: number;
  /** null: the mark of the first complete snapshot. */
  readonly events: readonly ClusterEvent[] | null;
}

/** First in, first out. */
export class RecordingQueue {
  private items: Item[] = [];
  /** The first item that is not fully taken, and its first event that is not. */
  private head = 0;
  private next = 0;
  private weight = 0;

  /** What waits, as weightOf counts: about 0.5 kB each. */
  get size(): number {
    return this.weight;
  }

  get isEmpty(): boolean {
    return this.head === this.items.length;
  }

  add(atMs: number, events: readonly ClusterEvent[]): void {
    for (const event of events) this.weight += weightOf(event);
    this.items.push({ atMs, events });
  }

  addComplete(atMs: number): void {
    this.items.push({ atMs, events: null });
  }

  clear(): void {
    this.items = [];
    this.head = this.next = this.weight = 0;
  }

  /** The next line with how many events it holds; null when nothing waits. Throws LineError for an object that fits in no line. */
  takeLine(): { readonly text: string; readonly events: number } | null {
    while (this.head < this.items.length) {
      const { atMs, events } = this.items[this.head] as Item;
      if (events === null) {
        this.dropHead();
        return { text: formatComplete(atMs), events: 0 };
      }
      const taken = this.takeEvents(events);
      if (this.next >= events.length) this.dropHead();
      if (taken.length > 0) return { text: formatEvents(atMs, taken), events: taken.length };
    }
    return null;
  }

  private takeEvents(events: readonly ClusterEvent[]): string[] {
    const taken: string[] = [];
    for (let chars = 0; chars < LINE_CHARS && this.next < events.length; this.next++) {
      const event = events[this.next] as ClusterEvent;
      const text = formatEvent(event);
      this.weight -= weightOf(event);
      if (text === null) continue;
      refuseSize(text, event);
      // Together they would be more than a line holds: the next line begins with it.
      taken.push(text);
      chars += text.length;
    }
    return taken;
  }

  private dropHead(): void {
    this.head++;
    this.next = 0;
    if (this.head < COMPACT_AT && this.head < this.items.length) return;
    this.items.splice(0, this.head);
    this.head = 0;
  }
}

/** At most three bytes for a UTF-16 unit. */
function refuseSize(text: string, event: ClusterEvent): void {
  const maxBytes = MAX_LINE_BYTES - 3 * LINE_CHARS - FRAME_BYTES;
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return;
  const kind = event.type === 'apply' ? event.object.kind : event.kind;
  throw new LineError(`one ${kind} is larger than a line may be`, 'make it smaller');
}

/** An event counts as one, and each of its endpoints: what it holds in memory goes by them. */
export function weightOf(event: ClusterEvent): number {
  if (event.type !== 'apply') return 1;
  const { endpoints } = event.object as { readonly endpoints?: unknown };
  return 1 + (Array.isArray(endpoints) ? endpoints.length : 0);
}
