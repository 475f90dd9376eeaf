// Tells ProxyHealth how programming goes: what was asked for, what came of syncs and of checks. Health says what is programmed, not what was
// attempted. What only an object's editor can put right (an address that two Services want, a virtual server of somebody else) is a problem in
// status, log and metrics, but makes no node unhealthy: it would be so on every node at once, and every load balancer would be empty.

import type { ApplyReport } from '../backends/backend.ts';
import type { Family } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import type { SyncStatus } from './agent.ts';
import type { ProxyHealth } from './proxy-health.ts';
import type { SyncObserver } from './sync-observer.ts';

export interface HealthReportParts {
  readonly health: ProxyHealth;
  readonly families: readonly Family[];
  /** Of the agent, now. */
  readonly status: () => SyncStatus;
  /** What the kernel refuses at present, by Service. */
  readonly problems: () => ReadonlyMap<ServiceKey, readonly Problem[]>;
  /** Why the last check of the kernel failed, '' when it went through. */
  readonly checkError: () => string;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

/** See above. */
export class HealthReport implements SyncObserver {
  private readonly parts: HealthReportParts;

  constructor(parts: HealthReportParts) {
    this.parts = parts;
  }

  /** Syncs begin: from here on, health counts. */
  started(): void {
    const { families, health, now } = this.parts;
    for (const family of families) health.started(family, now());
  }

  /** The first sync waits for this, in words: wrong when it takes long. */
  awaiting(what: string): void {
    const { families, health, now } = this.parts;
    for (const family of families) health.failing(family, `waiting for ${what}`, now());
  }

  onQueued(): void {
    const { families, health, now } = this.parts;
    for (const family of families) health.queued(family, now());
  }

  /** A sync has ended. */
  afterSync(): void {
    this.tell(true);
  }

  /** A check, a repair or a look at what drains has ended. */
  afterCheck(): void {
    this.tell(false);
  }

  /** Also where a sync keeps being asked for: a sync that went through has programmed all that was known when it began. */
  private tell(isSync: boolean): void {
    const { checkError, families, health, now, problems, status } = this.parts;
    const { isPending, lastError, lastReport } = status();
    const failure = failureOf(lastError, lastReport, problems) || checkError();
    const atMs = now();
    for (const family of families) {
      if (failure !== '') health.failing(family, failure, atMs);
      else if (isSync || !isPending) health.updated(family, atMs);
      else health.cameRound(atMs);
      if (failure === '' && isPending) health.queued(family, atMs);
    }
  }
}

/** One thing that this node could not do, in one line; '' when there is none. */
export function failureOf(
  lastError: string,
  report: ApplyReport | null,
  problems: HealthReportParts['problems'],
): string {
  if (lastError !== '' || report === null) return lastError;
  const [nodeFailure] = report.nodeFailures;
  if (nodeFailure !== undefined) return nodeFailure;
  const [leftover] = report.leftovers;
  if (leftover !== undefined) return `${leftover} could not be removed`;
  if (report.failed.length === 0) return '';
  const byService = problems();
  for (const key of report.failed) {
    const refused = byService.get(key)?.find(({ reason }) => reason === 'KernelRefused');
    if (refused !== undefined) return `${refused.object}: ${refused.message}`;
  }
  return '';
}
