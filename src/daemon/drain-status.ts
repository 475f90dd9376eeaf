// What drains at present, for status. Keys are an interface (`pointsman status -o json`): they are added to, never renamed. Pure.

import {
  DRAIN_ENDS,
  type Drain,
  type DrainEnd,
  type Drains,
  type VirtualServerDrains,
} from '../backends/ipvs/drains.ts';
import { isStaleKey } from '../backends/ipvs/lingering.ts';
import { formatEndpoint } from '../kernel/ipvs-codec.ts';
import { PointsmanError } from '../model/errors.ts';
import { parseIp } from '../model/ip.ts';
import { parseServiceKey } from '../model/names.ts';

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

/**
 * Says whether a drain is meant by what an operator names: "all", a Service ("namespace/name"), a virtual server ("TCP 10.96.0.1:80" or
 * "10.96.0.1:80"), a real server ("10.244.1.5:8080") or an address of either. Throws USAGE for what can be none of these.
 */
export function drainMatcher(target: string): (of: VirtualServerDrains, drain: Drain) => boolean {
  if (target === 'all') return () => true;
  if (parseServiceKey(target) !== null) return ({ key }) => key === target;
  const [, protocol = '', endpoint = ''] = /^(?:(TCP|SCTP) )?(\S+)$/i.exec(target) ?? [];
  const bare = parseIp(endpoint.replace(/^\[(.*)\]$/, '$1'));
  const [, host = ''] = /^(.*):\d{1,5}$/.exec(endpoint) ?? [];
  if (bare === null && parseIp(host.replace(/^\[(.*)\]$/, '$1')) === null)
    throw new PointsmanError(
      'USAGE',
      `"${target}" names no drain; write all, NAMESPACE/NAME, ADDRESS or ADDRESS:PORT of a virtual or real server`,
    );
  return ({ id, service }, { address, port }) => {
    const [ownProtocol, ownEndpoint] = id.split(' ');
    if (protocol !== '') return ownProtocol === protocol.toUpperCase() && ownEndpoint === endpoint;
    if (bare !== null) return address === bare || service.address === bare;
    return ownEndpoint === endpoint || formatEndpoint(address, port) === endpoint;
  };
}

/** The drains that are meant, in the order in which their virtual servers began; `nowMs` by the clock of the drains. */
export function matchingDrains(
  drains: Pick<Drains, 'list'>,
  isMeant: ReturnType<typeof drainMatcher>,
  nowMs: number,
): DrainingServerStatus[] {
  const servers: DrainingServerStatus[] = [];
  for (const of of drains.list()) {
    for (const drain of of.servers.values()) {
      if (!isMeant(of, drain)) continue;
      servers.push({
        virtualServer: of.id,
        service: isStaleKey(of.key) ? '' : of.key,
        address: formatEndpoint(drain.address, drain.port),
        activeConnections: drain.activeConnections,
        inactiveConnections: drain.inactiveConnections,
        drainingForSeconds: Math.floor((nowMs - drain.sinceMs) / 1000),
        secondsLeft: Math.max(0, Math.ceil((drain.deadlineMs - nowMs) / 1000)),
      });
    }
  }
  return servers;
}

/** `nowMs` by the clock of the drains. */
export function drainStatus(drains: Pick<Drains, 'list' | 'endedBy'>, nowMs: number): DrainStatus {
  const ended = Object.fromEntries(DRAIN_ENDS.map((end) => [end, drains.endedBy(end)]));
  return {
    servers: matchingDrains(drains, () => true, nowMs),
    ended: ended as Record<DrainEnd, number>,
  };
}
