// The Events of this agent, each by one call: gives them their time and name and hands them to the writer. Does nothing where there is no API
// server to write to (manifests, a recording). Never throws, never waits.

import type { ApiEvent } from '../cluster/api-event.ts';
import {
  healthServerFailedEvent,
  invalidConfigurationEvent,
  metricsServerFailedEvent,
  serviceHealthServerFailedEvent,
  startingEvent,
  type EventOrigin,
  type EventService,
} from './events.ts';

export interface NodeEventsOptions {
  /** null: nowhere to write to. */
  readonly writer: { write(event: ApiEvent): void } | null;
  readonly nodeName: string;
  /** Of the operating system. */
  readonly hostname: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Gives 0 to below 1: the part of a millisecond that the clock does not say, so that two nodes do not give two Events one name. */
  readonly random: () => number;
}

const NS_PER_MS = 1_000_000n;

/** See above; what each is for stands in events.ts. */
export class NodeEvents {
  private readonly options: NodeEventsOptions;
  private lastNs = 0n;

  constructor(options: NodeEventsOptions) {
    this.options = options;
  }

  starting(): void {
    this.options.writer?.write(startingEvent(this.origin()));
  }

  healthServerFailed(address: string, error: string): void {
    this.options.writer?.write(healthServerFailedEvent(this.origin(), address, error));
  }

  metricsServerFailed(error: string): void {
    this.options.writer?.write(metricsServerFailedEvent(this.origin(), error));
  }

  serviceHealthServerFailed(service: EventService, port: number, error: string): void {
    this.options.writer?.write(serviceHealthServerFailedEvent(this.origin(), service, port, error));
  }

  invalidConfiguration(error: string): void {
    this.options.writer?.write(invalidConfigurationEvent(this.origin(), error));
  }

  /** Later than the one before, even when the clock was set back. */
  private origin(): EventOrigin {
    const { nodeName, hostname, now, random } = this.options;
    const nowNs = BigInt(Math.floor(now())) * NS_PER_MS + BigInt(Math.floor(random() * Number(NS_PER_MS)));
    this.lastNs = nowNs > this.lastNs ? nowNs : this.lastNs + 1n;
    return { nodeName, hostname, atNs: this.lastNs };
  }
}
