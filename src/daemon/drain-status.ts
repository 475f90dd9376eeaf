// What drains at present, for status. Keys are an interface (`pointsman status -o json`): they are added to, never renamed. Pure.

import { DRAIN_ENDS, type DrainEnd, type Drains } from '../backends/ipvs/drains.ts';
import { isStaleKey } from '../backends/ipvs/lingering.ts';
import { formatEndpoint } from '../kernel/ipvs-codec.ts';

/** A real server that keeps its old connections and takes no new ones. */
export interface DrainingServerStatus {
  /** "TCP 10.96.0.1:80" */
  readonly virtualServer: string;
  /** "namespace/name" of the Service that has the virtual server or had it last; '' where an earlier run of the agent left it. */
  readonly service: string;
  /** "10.244.1.5:8080" */
  readonly address: string;
  /** As counted at the last look. */
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly drainingForSeconds: number;
  /** Until what is left is cut. */
  readonly secondsLeft: number;
}

export interface DrainStatus {
  /** In the order in which their virtual servers began. */
  readonly servers: readonly DrainingServerStatus[];
  /** Drains that ended since the agent started, by how. */
  readonly ended: Readonly<Record<DrainEnd, number>>;
}

/** `nowMs` by the clock of the drains. */
export function drainStatus(drains: Pick<Drains, 'list' | 'endedBy'>, nowMs: number): DrainStatus {
  const servers: DrainingServerStatus[] = [];
  for (const { id, key, servers: draining } of drains.list()) {
    for (const drain of draining.values()) {
      servers.push({
        virtualServer: id,
        service: isStaleKey(key) ? '' : key,
        address: formatEndpoint(drain.address, drain.port),
        activeConnections: drain.activeConnections,
        inactiveConnections: drain.inactiveConnections,
        drainingForSeconds: Math.floor((nowMs - drain.sinceMs) / 1000),
        secondsLeft: Math.max(0, Math.ceil((drain.deadlineMs - nowMs) / 1000)),
      });
    }
  }
  const ended = Object.fromEntries(DRAIN_ENDS.map((end) => [end, drains.endedBy(end)]));
  return { servers, ended: ended as Record<DrainEnd, number> };
}
