// The wait of `drain`: looks at the servers that are not settled, again and again, until all are, the deadline passes, or the user ends
// it. It only reads, and reads only the virtual servers that still have something to wait for.

import { formatEndpoint, type IpvsDestinationState } from '../kernel/ipvs-codec.ts';
import { PointsmanError } from '../model/errors.ts';
import type { DrainReport } from './drain-report.ts';
import { remainingOf, takeLook, type DrainOutcome, type DrainTarget } from './drain-target.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { keyOfService, turnAt } from './table.ts';

/** A table that cannot be read once can perhaps the next time: replies are lost when much changes. */
const MAX_FAILED_LOOKS = 5;

export interface WaitOptions {
  readonly deadlineMs: number | null;
  readonly intervalMs: number;
}

/** Returns when every target has an outcome. What the table throws five times in a row ends the wait as 'unreadable'. */
export async function waitForTargets(
  targets: readonly DrainTarget[],
  { deadlineMs, intervalMs }: WaitOptions,
  table: IpvsTable,
  io: IpvsadmIo,
  report: DrainReport,
): Promise<void> {
  const startMs = io.nowMs();
  const endMs = deadlineMs === null ? Infinity : startMs + deadlineMs;
  let failed = 0;
  for (;;) {
    const lookMs = io.nowMs();
    const pending = targets.filter(({ outcome }) => outcome === null);
    let isLooked = true;
    try {
      await look(pending, table, io.signal);
      failed = 0;
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      isLooked = false;
      if (++failed >= MAX_FAILED_LOOKS) settle(pending, 'unreadable', error.message);
    }
    const nowMs = io.nowMs();
    // A handshake cannot be waited out any longer.
    if (nowMs >= endMs && isLooked)
      settle(
        pending.filter((each) => remainingOf(each) === 0),
        'drained',
      );
    if (nowMs >= endMs) settle(pending, 'deadline');
    if (io.signal.aborted) settle(pending, 'interrupted');
    for (const target of pending) if (target.outcome !== null) report.outcome(target);
    report.progress(targets, (nowMs - startMs) / 1000, endMs === Infinity ? null : (endMs - nowMs) / 1000);
    if (targets.every(({ outcome }) => outcome !== null)) return;
    // Where a look takes long, it takes no more than half of the time.
    const pauseMs = Math.max(intervalMs, nowMs - lookMs);
    await io.wait(Math.min(pauseMs, Math.max(endMs - nowMs, 0)), io.signal);
  }
}

function settle(targets: readonly DrainTarget[], outcome: DrainOutcome, reason = ''): void {
  for (const target of targets) {
    if (target.outcome !== null) continue;
    target.outcome = outcome;
    target.reason = reason;
  }
}

async function look(pending: readonly DrainTarget[], table: IpvsTable, signal: AbortSignal): Promise<void> {
  const byService = Map.groupBy(pending, ({ id }) => id.service);
  let listings = 0;
  for (const targets of byService.values()) {
    await turnAt(listings++);
    if (signal.aborted) return;
    let servers = await readServers(targets, table);
    // IPVS does not flag a dump that changed under the reader: what is missing once may be there all the same.
    if (targets.some(({ id }) => !servers.has(id.server))) servers = await readServers(targets, table);
    for (const target of targets) takeLook(target, servers.get(target.id.server));
  }
}

async function readServers(
  [first]: readonly DrainTarget[],
  table: IpvsTable,
): Promise<Map<string, IpvsDestinationState>> {
  if (first === undefined) return new Map();
  const servers = await table.destinations(keyOfService(first.service));
  return new Map(servers.map((server) => [formatEndpoint(server.address, server.port), server]));
}
