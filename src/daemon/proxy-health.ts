// Whether what is known is programmed on this node: what /healthz, /livez and the health checks of Services answer from. Red when a request
// for a sync waits too long, when syncs or checks keep failing, and when neither a sync nor a check comes round any more, also while nothing
// changes. Pure: times are given, in milliseconds of a clock that only goes forward; the wall clock is for what is shown.
// Source: kube-proxy 1.36, whose rule is the first of the three and whose bodies these are.

import type { NodeRecord } from '../model/node.ts';
import { FAMILIES, type Family } from '../model/ip.ts';

export interface ProxyHealthOptions {
  /** How long something may be wrong before it counts; kube-proxy's is 2 x syncPeriod. */
  readonly healthTimeoutMs: number;
  /** The longest that a well agent leaves between the ends of two syncs or checks. */
  readonly roundIntervalMs: number;
}

/** One moment on both clocks. */
export interface Moment {
  readonly monotonicMs: number;
  /** Since the epoch. */
  readonly wallMs: number;
}

/** What a path answers. */
export interface HealthAnswer {
  readonly status: 200 | 503;
  /** JSON in one line; times are RFC 3339 in UTC with milliseconds. */
  readonly body: string;
}

interface FamilyHealth {
  lastUpdatedMs: number;
  /** Since when the oldest request waits. */
  queuedMs: number | null;
  /** Since when something is not as planned, and what. */
  failing: { readonly sinceMs: number; reason: string } | null;
}

/** Go's zero time. */
const NEVER = '0001-01-01T00:00:00Z';

/** The health of the proxy. Families that have not started count for nothing. */
export class ProxyHealth {
  private options: ProxyHealthOptions;
  private readonly families = new Map<Family, FamilyHealth>();
  private lastRoundMs = 0;
  private isEligible = false;

  constructor(options: ProxyHealthOptions) {
    this.options = options;
  }

  /** Holds at once, also for what waits already. */
  setHealthTimeout(healthTimeoutMs: number): void {
    this.options = { ...this.options, healthTimeoutMs };
  }

  /** Whether load balancers may send this node something new; see isNodeEligible. Until it is said, no. */
  setNodeEligible(isEligible: boolean): void {
    this.isEligible = isEligible;
  }

  /** Syncs of this family begin. */
  started(family: Family, atMs: number): void {
    this.families.set(family, { lastUpdatedMs: atMs, queuedMs: null, failing: null });
    this.cameRound(atMs);
  }

  /** A sync was asked for. The oldest request counts until `updated`; say it again then when more has come while the sync ran. */
  queued(family: Family, atMs: number): void {
    const health = this.families.get(family);
    if (health !== undefined) health.queuedMs ??= atMs;
  }

  /** A sync has ended and everything is as planned. */
  updated(family: Family, atMs: number): void {
    if (this.families.has(family)) this.started(family, atMs);
  }

  /** A sync or a check has ended and something is not as planned; `reason` in one line. Until `updated`. */
  failing(family: Family, reason: string, atMs: number): void {
    this.cameRound(atMs);
    const health = this.families.get(family);
    if (health === undefined) return;
    if (health.failing === null) health.failing = { sinceMs: atMs, reason };
    else health.failing.reason = reason;
  }

  /** A sync or a periodic check has ended, whatever it found: the agent is not stuck. */
  cameRound(atMs: number): void {
    this.lastRoundMs = Math.max(this.lastRoundMs, atMs);
  }

  /** Without regard to the Node: what the health checks of Services go by. */
  isHealthy(atMs: number): boolean {
    return this.reasons(atMs).length === 0;
  }

  /** Why it is not healthy, one line each; empty when it is. */
  reasons(atMs: number): string[] {
    const stalled = this.stallReason(atMs);
    const ofFamilies = this.known().flatMap(([family, health]) => {
      const reason = this.familyReason(health, atMs);
      return reason === '' ? [] : [`${family}: ${reason}`];
    });
    return stalled === '' ? ofFamilies : [stalled, ...ofFamilies];
  }

  /** GET /healthz: 200 when healthy and eligible. `healthy` in the body leaves the Node out. */
  healthz(now: Moment): HealthAnswer {
    return this.answer(now, { nodeEligible: this.isEligible }, this.isEligible);
  }

  /** GET /livez: 200 when healthy. */
  livez(now: Moment): HealthAnswer {
    return this.answer(now, {}, true);
  }

  private answer(now: Moment, node: { readonly nodeEligible?: boolean }, isEligible: boolean): HealthAnswer {
    const atMs = now.monotonicMs;
    const healthy = this.isHealthy(atMs);
    const isGood = healthy && isEligible;
    const time = (eventMs: number): string => new Date(now.wallMs - (atMs - eventMs)).toISOString();
    const isStalled = this.stallReason(atMs) !== '';
    const status: Record<string, { lastUpdated: string; healthy: boolean }> = {};
    for (const [family, health] of this.known()) {
      const isWell = !isStalled && this.familyReason(health, atMs) === '';
      status[family] = { lastUpdated: time(health.lastUpdatedMs), healthy: isWell };
    }
    const latestMs = Math.max(...this.known().map(([, { lastUpdatedMs }]) => lastUpdatedMs));
    // When all is well "last updated" has always meant now: some read it as a sign of life.
    const lastUpdated = isGood ? time(atMs) : Number.isFinite(latestMs) ? time(latestMs) : NEVER;
    const body = {
      lastUpdated,
      currentTime: time(atMs),
      ...node,
      healthy,
      ...(Object.keys(status).length > 0 ? { status } : {}),
    };
    return { status: isGood ? 200 : 503, body: JSON.stringify(body) };
  }

  private familyReason({ queuedMs, failing }: FamilyHealth, atMs: number): string {
    const { healthTimeoutMs } = this.options;
    if (failing !== null && atMs - failing.sinceMs >= healthTimeoutMs)
      return `something has not been programmed for ${seconds(atMs - failing.sinceMs)}: ${failing.reason}`;
    if (queuedMs !== null && atMs - queuedMs >= healthTimeoutMs)
      return `a sync was asked for ${seconds(atMs - queuedMs)} ago and has not succeeded since`;
    return '';
  }

  private stallReason(atMs: number): string {
    const { healthTimeoutMs, roundIntervalMs } = this.options;
    if (this.families.size === 0 || atMs - this.lastRoundMs < roundIntervalMs + healthTimeoutMs) return '';
    return `no sync and no check has ended for ${seconds(atMs - this.lastRoundMs)}`;
  }

  private known(): [Family, FamilyHealth][] {
    return FAMILIES.flatMap((family) => {
      const health = this.families.get(family);
      return health === undefined ? [] : [[family, health] as [Family, FamilyHealth]];
    });
  }
}

function seconds(ms: number): string {
  return `${Math.floor(ms / 1000)} s`;
}

/**
 * Whether load balancers may send this node something new: its Node is known, and neither being deleted nor about to be removed by the
 * cluster autoscaler. Without an API server nobody removes nodes: there a Node that nobody wrote down is as good as one.
 */
export function isNodeEligible(node: NodeRecord | undefined, hasApiServer: boolean): boolean {
  return node === undefined ? !hasApiServer : !node.isLeaving;
}
