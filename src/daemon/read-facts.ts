// The facts once, for commands that end: all that a folder, a recording or an API server has now. Nothing is followed.

import { readCluster } from '../cluster/api-source-read.ts';
import { formatManifestProblem, ManifestSource } from '../cluster/manifests.ts';
import { ReplaySource, type ReplayEnd } from '../cluster/replay.ts';
import type { Config } from '../config/config.ts';
import { VERSION } from '../files/version.ts';
import { PointsmanError } from '../model/errors.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ChosenSource } from './facts-origin.ts';
import type { Timers } from './sync-loop.ts';

/** A person waits for it. */
const LIMIT_MS = 60_000;

export interface FactsOnce {
  readonly events: readonly ClusterEvent[];
  /** One line each: what is wrong and left out, and what is passed over. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Reads everything; of Nodes an API server is asked for `nodeName` alone. Throws as the source's readAll does, and API_UNREACHABLE,
 * API_REFUSED and the errors of credentials; a server gets 60 s.
 */
export async function readFactsOnce(
  source: ChosenSource,
  { clientConnection: { qps, burst } }: Pick<Config, 'clientConnection'>,
  nodeName: string,
  timers: Timers,
): Promise<FactsOnce> {
  if (source.kind === 'manifests') {
    const { events, problems, warnings } = await new ManifestSource(source.folder, {}).readAll();
    return {
      events,
      problems: problems.map(formatManifestProblem),
      warnings: warnings.map(formatManifestProblem),
    };
  }
  if (source.kind === 'replay') return readRecording(source.path, timers);
  const events: ClusterEvent[] = [];
  const signal = AbortSignal.timeout(LIMIT_MS);
  try {
    const { credentials } = source;
    const { skipped } = await readCluster(
      {
        ...{ credentials, nodeName, qps, burst, userAgent: `pointsman/${VERSION}` },
        onEvents: (more) => void events.push(...more),
      },
      signal,
    );
    return { events, problems: [], warnings: skipped };
  } catch (error) {
    if (!signal.aborted || error instanceof PointsmanError) throw error;
    throw new PointsmanError(
      'API_UNREACHABLE',
      `${source.credentials.description}: the API server did not tell everything within ${LIMIT_MS / 1000} s; try again when it is less busy`,
    );
  }
}

/** All that is in it, to its end: what its agent knew last. */
async function readRecording(path: string, timers: Timers): Promise<FactsOnce> {
  const events: ClusterEvent[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<ReplayEnd>();
  const replay = new ReplaySource(path, {
    ...{ timers, speed: 'max', firstSnapshot: 'listener', onEnd: resolve },
    onEvents: (more) => void events.push(...more),
  });
  await replay.readAll();
  replay.watch();
  const { how, error, message } = await ended;
  await replay.close();
  if (error !== null) throw error;
  return { events, problems: [], warnings: how === 'cut' ? [message] : [] };
}
