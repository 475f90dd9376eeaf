// Real servers that nobody plans any more and that keep their old connections: they have weight 0 and are deleted when their last connection
// has ended or their time is up (drainer.ts). Pure bookkeeping; the kernel has the truth, and after a restart this is made from it again.

import type { ServiceKey } from '../../model/names.ts';
import { formatEndpoint } from '../../model/endpoints.ts';
import type { IpAddress } from '../../model/ip.ts';
import { PROTOCOL_NUMBER, SERVICE_FLAG } from '../../kernel/ipvs-codec.ts';
import { realServerId, type AddressService, type DesiredVirtualServer } from './desired.ts';

/** How long old connections are kept unless the Service or the configuration says otherwise. */
export const DRAIN_TIMEOUT_MS = 900_000;
/** The first look comes at once, the next after this; the time doubles with each. */
const FIRST_POLL_MS = 100;
const MAX_POLL_MS = 5000;

/** How a server that is no longer planned goes: when its connections have ended, or at once. */
export type Leaving = 'drain' | 'delete';

/**
 * How a drain ends: "drained" its last connection had ended; "deadline" its time was up, and connections that were left were cut; "returned" it is
 * planned again and serves in place; "gone" somebody else deleted it, or its virtual server.
 */
export const DRAIN_ENDS = ['drained', 'deadline', 'returned', 'gone'] as const;
export type DrainEnd = (typeof DRAIN_ENDS)[number];

/** A server in its drain. Times are monotonic milliseconds. */
export interface Drain {
  readonly address: IpAddress;
  readonly port: number;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  /** As counted last. */
  activeConnections: number;
  inactiveConnections: number;
}

/** The drains of one virtual server. */
export interface VirtualServerDrains {
  readonly id: string;
  /** The Service that has the virtual server, or had it last. */
  readonly key: ServiceKey;
  readonly service: AddressService;
  /** By realServerId; never empty. */
  readonly servers: ReadonlyMap<string, Drain>;
  readonly nextPollMs: number;
  readonly intervalMs: number;
}

/**
 * How the servers of a virtual server go. UDP has no connections that end: a client with a fixed port stays on a server of weight 0 until it is
 * deleted. Scheduler dh would refuse the clients of such a server instead of choosing another.
 */
export function leavingOf({ service }: DesiredVirtualServer, timeoutMs: number): Leaving {
  const { protocol, scheduler } = service;
  const hasConnections = protocol === PROTOCOL_NUMBER.TCP || protocol === PROTOCOL_NUMBER.SCTP;
  return hasConnections && scheduler !== 'dh' && timeoutMs > 0 ? 'drain' : 'delete';
}

/** The settings of a virtual server while servers of it drain: sh refuses the clients of a server of weight 0 unless it may fall back. */
export function whileDraining(service: AddressService): AddressService {
  if (service.scheduler !== 'sh' || (service.flags & SERVICE_FLAG.SCHED1) !== 0) return service;
  return { ...service, flags: service.flags | SERVICE_FLAG.SCHED1 };
}

export class Drains {
  private readonly byId = new Map<string, VirtualServerDrains>();
  private readonly ended = new Map<DrainEnd, number>();

  /**
   * Makes `leaving` the drains of a virtual server: those that drained already go on, new ones have `timeoutMs` from `nowMs` on, the others are
   * planned again.
   */
  follow(
    { id, key, service }: Pick<VirtualServerDrains, 'id' | 'key' | 'service'>,
    leaving: readonly { readonly address: IpAddress; readonly port: number }[],
    nowMs: number,
    timeoutMs: number,
  ): void {
    const before = this.byId.get(id);
    if (leaving.length === 0 && before === undefined) return;
    const servers = new Map<string, Drain>();
    let isNew = false;
    for (const { address, port } of leaving) {
      const drain = before?.servers.get(realServerId({ address, port }));
      isNew ||= drain === undefined;
      servers.set(
        realServerId({ address, port }),
        drain ?? {
          ...{ address, port, sinceMs: nowMs, deadlineMs: nowMs + timeoutMs },
          ...{ activeConnections: 0, inactiveConnections: 0 },
        },
      );
    }
    for (const each of before?.servers.keys() ?? []) if (!servers.has(each)) this.count('returned');
    if (servers.size === 0) this.byId.delete(id);
    else {
      const timing =
        isNew || before === undefined ? { nextPollMs: nowMs, intervalMs: FIRST_POLL_MS } : pick(before);
      this.byId.set(id, { id, key, service, servers, ...timing });
    }
  }

  /** What a look at a virtual server found: these drains have ended, and the next look is due later. */
  settle(id: string, ends: ReadonlyMap<string, DrainEnd>, nowMs: number): void {
    const before = this.byId.get(id);
    if (before === undefined) return;
    const servers = new Map([...before.servers].filter(([each]) => !ends.has(each)));
    for (const end of ends.values()) this.count(end);
    if (servers.size === 0) this.byId.delete(id);
    else {
      const intervalMs = Math.min(before.intervalMs * 2, MAX_POLL_MS);
      this.byId.set(id, { ...before, servers, nextPollMs: nowMs + before.intervalMs, intervalMs });
    }
  }

  /** The virtual server is gone, and its servers with it. */
  drop(id: string): void {
    for (const _ of this.of(id)?.keys() ?? []) this.count('gone');
    this.byId.delete(id);
  }

  /** Ends the drains that `isMeant` now, whatever connections they have: the next look deletes them. Returns how many. */
  expire(isMeant: (of: VirtualServerDrains, drain: Drain) => boolean, nowMs: number): number {
    let expired = 0;
    for (const [id, before] of this.byId) {
      const servers = new Map(before.servers);
      for (const [serverId, drain] of before.servers)
        if (isMeant(before, drain)) servers.set(serverId, { ...drain, deadlineMs: nowMs });
      const changed = [...servers].filter(
        ([serverId, drain]) => before.servers.get(serverId) !== drain,
      ).length;
      if (changed === 0) continue;
      expired += changed;
      this.byId.set(id, { ...before, servers, nextPollMs: nowMs });
    }
    return expired;
  }

  of(id: string): ReadonlyMap<string, Drain> | undefined {
    return this.byId.get(id)?.servers;
  }

  /** The virtual servers to look at now, those that wait longest first, `limit` at most; those of `urgent` whatever their time. */
  due(nowMs: number, limit: number, urgent: ReadonlySet<string>): VirtualServerDrains[] {
    return [...this.byId.values()]
      .filter(({ id, nextPollMs }) => nextPollMs <= nowMs || urgent.has(id))
      .sort((a, b) => a.nextPollMs - b.nextPollMs)
      .slice(0, limit);
  }

  /** When the next look is due; null when nothing drains. */
  nextPollMs(): number | null {
    let next: number | null = null;
    for (const { nextPollMs } of this.byId.values())
      if (next === null || nextPollMs < next) next = nextPollMs;
    return next;
  }

  /** Forgets what drains; what ended stays counted. */
  reset(): void {
    this.byId.clear();
  }

  /** In the order in which the virtual servers began. */
  list(): Iterable<VirtualServerDrains> {
    return this.byId.values();
  }

  /** Servers that drain at present. */
  get size(): number {
    let size = 0;
    for (const { servers } of this.byId.values()) size += servers.size;
    return size;
  }

  /** Drains that ended this way since the start. */
  endedBy(end: DrainEnd): number {
    return this.ended.get(end) ?? 0;
  }

  private count(end: DrainEnd): void {
    this.ended.set(end, this.endedBy(end) + 1);
  }
}

function pick({ nextPollMs, intervalMs }: VirtualServerDrains): { nextPollMs: number; intervalMs: number } {
  return { nextPollMs, intervalMs };
}

/** "TCP 10.96.0.1:80 -> 10.244.1.5:8080" */
export function formatDrain(id: string, { address, port }: Pick<Drain, 'address' | 'port'>): string {
  return `${id} -> ${formatEndpoint(address, port)}`;
}
