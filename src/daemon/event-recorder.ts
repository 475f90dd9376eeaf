// The Events of an agent and the way they go: to the API server that its facts come from, over a client of their own, whose requests take
// nothing from what lists and watches may ask. Where facts come from files there is nobody to tell.

import { hostname } from 'node:os';
import { ApiClient } from '../cluster/api-client.ts';
import type { ApiObserver } from '../cluster/api-observer.ts';
import { EventWriter, type EventCounts } from '../cluster/event-writer.ts';
import { VERSION } from '../files/version.ts';
import type { ChosenSource } from './facts-origin.ts';
import { named, type Log } from './log.ts';
import { NodeEvents } from './node-events.ts';

/** See above. */
export class EventRecorder {
  readonly events: NodeEvents;
  private readonly client: ApiClient | null;
  private readonly writer: EventWriter | null;

  constructor(source: ChosenSource, nodeName: string, log: Log, observer: ApiObserver) {
    this.client =
      source.kind === 'api'
        ? new ApiClient({ credentials: source.credentials, userAgent: `pointsman/${VERSION}`, observer })
        : null;
    this.writer =
      this.client === null
        ? null
        : new EventWriter({
            transport: this.client,
            onProblem: (line) => named(log, 'event-writer').warn(line),
          });
    this.events = new NodeEvents({
      ...{ writer: this.writer, nodeName, hostname: hostname() },
      ...{ now: () => Date.now(), random: () => Math.random() },
    });
  }

  /** null where nothing is written. */
  get counts(): EventCounts | null {
    return this.writer?.counts ?? null;
  }

  /** Writes what waits, for a second at most. */
  async close(): Promise<void> {
    await this.writer?.close();
    this.client?.close();
  }
}
