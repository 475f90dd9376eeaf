// Facts from an API server: Services, EndpointSlices and this node's Node, listed and watched for as long as it runs. Puts the parts
// together; what is asked when, and what is told when, stands in reflector-machine.ts and reflector-teller.ts.

import { PointsmanError } from '../model/errors.ts';
import type { ClusterEvent, ClusterObject } from '../model/objects.ts';
import type { CredentialSource } from './api-access.ts';
import { ApiClient } from './api-client.ts';
import type { ApiTransport } from './api-client-transport.ts';
import type { ApiObserver } from './api-observer.ts';
import { ENDPOINT_SLICES, nodeNamed, SERVICES, type ApiKind } from './api-kinds.ts';
import { REAL_TIMERS, type ApiTimers } from './api-timers.ts';
import { rateLimited, TokenBucket } from './rate-limit.ts';
import { Reflector, type ReflectorStatus } from './reflector.ts';

export type { ReflectorStatus } from './reflector.ts';

/** How long a Node that is missing, or must not be read, holds up the first sync: kube-proxy's own limit. */
const NODE_WAIT_MS = 30_000;

export interface ApiSourceOptions {
  readonly credentials: CredentialSource;
  /** Of this machine. */
  readonly nodeName: string;
  /** For the header User-Agent: 'pointsman/1.2.3'. */
  readonly userAgent: string;
  /** clientConnection.qps and .burst: over all requests, watches too. qps below 0 = no limit, 0 = default. */
  readonly qps: number;
  readonly burst: number;
  /**
   * Hears of facts, in order for each kind. `more`: the rest of the same difference follows at once; better not to program from the state
   * in between, which never was on the server.
   */
  readonly onEvents: (events: readonly ClusterEvent[], more: boolean) => void;
  /** Hears when `status` changed in state or error. */
  readonly onState?: () => void;
  /** Hears of an object that cannot be told: one line. */
  readonly onSkipped?: (problem: string) => void;
  readonly timers?: ApiTimers;
  /** Gives 0 to below 1. */
  readonly random?: () => number;
  /** In place of HTTP with `credentials`; its requests are limited all the same. */
  readonly transport?: ApiTransport;
  /** Hears of each request. */
  readonly observer?: ApiObserver;
}

/** By kind. */
export type ApiSourceStatus = Readonly<Record<ClusterObject['kind'], ReflectorStatus>>;

/** See above. */
export class ApiSource {
  private readonly options: ApiSourceOptions;
  private readonly timers: ApiTimers;
  private readonly client: ApiClient | null;
  private readonly reflectors: Readonly<Record<ClusterObject['kind'], Reflector>>;
  private readonly first = Promise.withResolvers<void>();
  private nodeTimer: unknown = null;
  private hasNode = false;
  private isComplete = false;
  private isClosed = false;

  constructor(options: ApiSourceOptions) {
    this.options = options;
    this.timers = options.timers ?? REAL_TIMERS;
    this.client = options.transport === undefined ? new ApiClient({ ...options, timers: this.timers }) : null;
    const bucket = new TokenBucket(options.qps, options.burst, this.timers);
    const { observer } = options;
    const transport = rateLimited(
      options.transport ?? (this.client as ApiClient),
      bucket,
      observer === undefined ? undefined : (...turn) => observer.onTurn(...turn),
    );
    const reflect = (kind: ApiKind): Reflector =>
      new Reflector({
        kind,
        transport,
        timers: this.timers,
        random: options.random ?? Math.random,
        onState: () => options.onState?.(),
        sink: {
          onEvents: (events, more) => this.onEvents(kind.kind, events, more),
          onComplete: () => this.onComplete(),
          onSkipped: (problem) => options.onSkipped?.(problem),
        },
      });
    this.reflectors = {
      Service: reflect(SERVICES),
      EndpointSlice: reflect(ENDPOINT_SLICES),
      Node: reflect(nodeNamed(options.nodeName)),
    };
    // Who never asks for it need not hear that it was closed.
    this.first.promise.catch(() => {});
  }

  get status(): ApiSourceStatus {
    const { Service, EndpointSlice, Node } = this.reflectors;
    return { Service: Service.status, EndpointSlice: EndpointSlice.status, Node: Node.status };
  }

  /** Once. */
  start(): void {
    for (const reflector of Object.values(this.reflectors)) reflector.start();
  }

  /**
   * Resolves when all Services and EndpointSlices were told, and the Node too, or 30 seconds passed after the others. Waits for a server that
   * is away as long as it takes; rejects with API_UNREACHABLE when it is closed before.
   */
  complete(): Promise<void> {
    return this.first.promise;
  }

  /** Ends everything in bounded time; nothing is told after. */
  async close(): Promise<void> {
    this.isClosed = true;
    if (this.nodeTimer !== null) this.timers.clear(this.nodeTimer);
    const closed = Object.values(this.reflectors).map((reflector) => reflector.close());
    this.client?.close();
    await Promise.all(closed);
    const message = 'the API server was given up before everything was read; start again';
    this.first.reject(new PointsmanError('API_UNREACHABLE', message, {}));
  }

  private onEvents(kind: ClusterObject['kind'], events: readonly ClusterEvent[], more: boolean): void {
    if (this.isClosed) return;
    this.options.onEvents(events, more);
    if (kind !== 'Node' || this.hasNode || !events.some(({ type }) => type === 'apply')) return;
    this.hasNode = true;
    this.onComplete();
  }

  private onComplete(): void {
    const { Service, EndpointSlice } = this.reflectors;
    if (this.isComplete || this.isClosed || !Service.status.isComplete || !EndpointSlice.status.isComplete)
      return;
    if (this.hasNode) this.finish();
    else this.nodeTimer ??= this.timers.set(() => this.finish(), NODE_WAIT_MS);
  }

  private finish(): void {
    this.isComplete = true;
    if (this.nodeTimer !== null) this.timers.clear(this.nodeTimer);
    this.first.resolve();
  }
}
