// One server that is drained: which of its connections are waited for, and when it counts as drained. Pure.
// What the kernel counts where: active = TCP and SCTP after the handshake until the first FIN; inactive = everything else, all of UDP
// among it; persistent = clients that persistence sends to this server. Source: net/netfilter/ipvs/ip_vs_conn.c, by behaviour.

import {
  PROTOCOL_NUMBER,
  SERVICE_FLAG,
  type IpvsDestinationState,
  type IpvsServiceState,
} from '../kernel/ipvs-codec.ts';
import { drainedServerOf, type DrainedServer } from './drain-memory.ts';
import type { SelectedServer } from './server-selection.ts';

/** How it ended for one server. */
export type DrainOutcome =
  | 'drained'
  | 'removed'
  /** The kernel would not set the weight, or not delete the server. */
  | 'refused'
  /** Somebody else gave it a weight. */
  | 'weightChanged'
  /** Somebody else deleted it or its virtual server. */
  | 'deleted'
  | 'deadline'
  | 'interrupted'
  /** The table could not be read any more. */
  | 'unreadable';

/** What of the options and of the kernel's switches decides what is waited for. */
export interface WaitRule {
  readonly ignoresPersistent: boolean;
  /** net.ipv4.vs.expire_quiescent_template: a server of weight 0 loses its persistent clients at their next connection. */
  readonly expiresTemplates: boolean;
}

export type ConnectionKind = 'active' | 'inactive' | 'persistent';
export type DrainCounts = Readonly<Record<ConnectionKind, number>>;

export interface DrainTarget {
  readonly id: DrainedServer;
  readonly service: IpvsServiceState;
  /** As it was found. */
  readonly server: IpvsDestinationState;
  /** Before the drain; 0 when it was drained already. */
  readonly weight: number;
  readonly kinds: readonly ConnectionKind[];
  counts: DrainCounts;
  /** What somebody else set, with outcome weightChanged. */
  newWeight: number;
  /** Why, with outcome unreadable. */
  reason: string;
  /** Looks in a row at which nothing that is waited for was left. */
  quietLooks: number;
  /** Null while it is waited for. */
  outcome: DrainOutcome | null;
}

/** A server that nothing was done to yet. */
export function makeTarget({ service, server }: SelectedServer, rule: WaitRule): DrainTarget {
  return {
    id: drainedServerOf({ service, server }),
    service,
    server,
    weight: server.weight,
    kinds: kindsToWaitFor(service, rule),
    counts: countsOf(server),
    newWeight: 0,
    reason: '',
    quietLooks: 0,
    outcome: null,
  };
}

/**
 * Active connections always. Inactive TCP and SCTP ones have closed and only wait for their timers; UDP has no others, and behind a
 * firewall mark nobody can tell. Persistent clients as long as they can come back.
 */
export function kindsToWaitFor(service: IpvsServiceState, rule: WaitRule): ConnectionKind[] {
  const kinds: ConnectionKind[] = ['active'];
  const { TCP, SCTP } = PROTOCOL_NUMBER;
  const hasEnd = service.fwmark === undefined && (service.protocol === TCP || service.protocol === SCTP);
  if (!hasEnd) kinds.push('inactive');
  const isPersistent = (service.flags & SERVICE_FLAG.PERSISTENT) !== 0;
  if (isPersistent && !rule.ignoresPersistent && !rule.expiresTemplates) kinds.push('persistent');
  return kinds;
}

export function countsOf(server: IpvsDestinationState): DrainCounts {
  return {
    active: server.activeConnections,
    inactive: server.inactiveConnections,
    persistent: server.persistentConnections,
  };
}

/** Connections that are waited for and still there. */
export function remainingOf({ kinds, counts }: Pick<DrainTarget, 'kinds' | 'counts'>): number {
  return kinds.reduce((sum, kind) => sum + counts[kind], 0);
}

/**
 * Takes in what a look showed: the server as it is, or undefined when it is gone. Drained is what has no connection at all, or at two
 * looks in a row none that is waited for: a handshake that was under way counts as inactive on old kernels, and becomes active.
 */
export function takeLook(target: DrainTarget, seen: IpvsDestinationState | undefined): void {
  if (seen === undefined) {
    target.outcome = 'deleted';
    return;
  }
  target.counts = countsOf(seen);
  if (seen.weight !== 0) {
    target.newWeight = seen.weight;
    target.outcome = 'weightChanged';
    return;
  }
  target.quietLooks = remainingOf(target) === 0 ? target.quietLooks + 1 : 0;
  const { active, inactive } = target.counts;
  const isEmpty = active === 0 && inactive === 0;
  if (target.quietLooks >= 2 || (target.quietLooks === 1 && isEmpty)) target.outcome = 'drained';
}
