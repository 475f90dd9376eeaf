// The agent's side of a test of a real cluster: an ApiSource that feeds a Snapshot, as the agent has them, and waiting for what it comes to
// see. Makes nothing in the cluster.

import type { CredentialSource } from '../../src/cluster/api-access.ts';
import { readCluster } from '../../src/cluster/api-source-read.ts';
import { ApiSource } from '../../src/cluster/api-source.ts';
import type { ApiTimers } from '../../src/cluster/api-timers.ts';
import { CONDITION } from '../../src/model/endpoint-slice.ts';
import { isSameData } from '../../src/model/equal.ts';
import type { ServiceKey } from '../../src/model/names.ts';
import { Snapshot, type SnapshotEntry } from '../../src/model/snapshot.ts';

export interface SeeingAgentOptions {
  readonly credentials: CredentialSource;
  readonly nodeName: string;
  readonly userAgent: string;
  readonly timers: ApiTimers;
}

/** Of clientConnection: the defaults. */
const LIMITS = { qps: 0, burst: 0 };
const MAX_SHOWN = 5;

/** See above. */
export class SeeingAgent {
  readonly snapshot = new Snapshot();
  private readonly options: SeeingAgentOptions;
  private readonly source: ApiSource;
  private readonly told = new Set<string>();
  private readonly waiting = new Set<() => void>();

  constructor(options: SeeingAgentOptions) {
    this.options = options;
    this.source = new ApiSource({
      ...options,
      ...LIMITS,
      onEvents: (events, more) => {
        for (const event of events) {
          this.snapshot.apply(event);
          if (event.type === 'apply') this.told.add(event.object.metadata?.name ?? '');
        }
        if (!more) this.look();
      },
      onState: () => this.look(),
    });
  }

  start(): void {
    this.source.start();
  }

  /** All Services and EndpointSlices were told. */
  get isComplete(): boolean {
    const { Service, EndpointSlice } = this.source.status;
    return Service.isComplete && EndpointSlice.isComplete;
  }

  /** Why something cannot be read at present; '' when all can. */
  get trouble(): string {
    return Object.values(this.source.status).find(({ lastError }) => lastError !== '')?.lastError ?? '';
  }

  /** An object of this name was told at any time. */
  wasTold(name: string): boolean {
    return this.told.has(name);
  }

  /** Resolves with what `look` finds as soon as that is not null; rejects with the reason of `signal`. */
  async until<T>(look: () => T | null, signal: AbortSignal): Promise<T> {
    const onAbort = (): void => this.look();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        const found = look();
        if (found !== null) return found;
        signal.throwIfAborted();
        const { promise, resolve } = Promise.withResolvers<void>();
        this.waiting.add(resolve);
        await promise;
        this.waiting.delete(resolve);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Keys of what a list of the cluster by now gives otherwise than what was told, with the Node as `Node NAME`. */
  async differences(signal: AbortSignal): Promise<Set<string>> {
    const { nodeName } = this.options;
    const listed = new Snapshot();
    const onEvents: Parameters<typeof readCluster>[0]['onEvents'] = (events) => {
      for (const event of events) listed.apply(event);
    };
    await readCluster({ ...this.options, ...LIMITS, onEvents }, signal);
    const keys = new Set([...listed.services(), ...this.snapshot.services()]);
    const different = [...keys].filter(
      (key) => !isSameData(timeless(listed.get(key)), timeless(this.snapshot.get(key))),
    );
    const isSameNode = isSameData(listed.node(nodeName), this.snapshot.node(nodeName));
    return new Set([...different, ...(isSameNode ? [] : [`Node ${nodeName}`])]);
  }

  /** A Service in a few words, for a line. */
  shown(key: ServiceKey): string {
    const entry = this.snapshot.get(key);
    if (entry === undefined) return 'no such Service';
    const { service, slices } = entry;
    const ports = service.ports.map(
      ({ port, protocol, nodePort }) =>
        `${port}/${protocol}${nodePort === 0 ? '' : ` node port ${nodePort}`}`,
    );
    const external = service.externalIPs.map((address) => `external ${address}`);
    const shownSlices = slices.map(({ name, endpoints }) => {
      const addresses = endpoints
        .slice(0, MAX_SHOWN)
        .map(
          ({ address, conditions }) =>
            `${address}${(conditions & CONDITION.READY) === 0 ? ' (not ready)' : ''}`,
        );
      return `slice ${name} with ${addresses.join(', ') || 'no endpoints'}`;
    });
    return [...service.clusterIPs, ...ports, ...external, ...shownSlices].join(', ');
  }

  async close(): Promise<void> {
    await this.source.close();
  }

  private look(): void {
    for (const resolve of this.waiting) resolve();
  }
}

/** The trigger time decides nothing, and no change of it alone is kept. */
function timeless(entry: SnapshotEntry | undefined): unknown {
  if (entry === undefined) return null;
  return { service: entry.service, slices: entry.slices.map((slice) => ({ ...slice, triggeredAtMs: 0 })) };
}
