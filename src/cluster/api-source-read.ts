// Everything there is, read once: for commands that look at a cluster without an agent (plan, explain). Lists the newest state, page by
// page, and ends with the first error that waiting does not mend: whoever called is there to read it.

import type { ClusterEvent } from '../model/objects.ts';
import type { CredentialSource } from './api-access.ts';
import { ApiClient } from './api-client.ts';
import type { ApiTransport } from './api-client-transport.ts';
import { ENDPOINT_SLICES, nodeNamed, SERVICES, type ApiKind } from './api-kinds.ts';
import { pause, REAL_TIMERS, type ApiTimers } from './api-timers.ts';
import { rateLimited, TokenBucket } from './rate-limit.ts';
import { failureOf } from './reflector.ts';
import { ReflectorMachine } from './reflector-machine.ts';
import { ReflectorReader } from './reflector-reader.ts';

export interface ReadClusterOptions {
  readonly credentials: CredentialSource;
  readonly nodeName: string;
  readonly userAgent: string;
  readonly qps: number;
  readonly burst: number;
  /** Hears of what there is, piece by piece: a large cluster is never in memory as a whole. */
  readonly onEvents: (events: readonly ClusterEvent[]) => void;
  readonly timers?: ApiTimers;
  readonly random?: () => number;
  /** In place of HTTP with `credentials`. */
  readonly transport?: ApiTransport;
}

/** What could not be told. */
export interface ReadClusterReport {
  /** Objects that have no name, and the like: one line each, 100 at most. */
  readonly skipped: readonly string[];
}

/** For each kind; a server that is busy or compacts its history is asked again. */
const MAX_FAILURES = 3;
const MAX_SKIPPED = 100;

/**
 * Lists Services, EndpointSlices and the Node, one after the other. Rejects with the error of a request (API_UNREACHABLE, API_REFUSED, ...), or
 * with the reason of `signal`.
 */
export async function readCluster(
  options: ReadClusterOptions,
  signal: AbortSignal,
): Promise<ReadClusterReport> {
  const timers = options.timers ?? REAL_TIMERS;
  const client = options.transport === undefined ? new ApiClient({ ...options, timers }) : null;
  const bucket = new TokenBucket(options.qps, options.burst, timers);
  const transport = rateLimited(options.transport ?? (client as ApiClient), bucket);
  const skipped: string[] = [];
  try {
    for (const kind of [SERVICES, ENDPOINT_SLICES, nodeNamed(options.nodeName)])
      await readKind(kind, { ...options, timers, transport }, skipped, signal);
  } finally {
    client?.close();
  }
  return { skipped };
}

async function readKind(
  kind: ApiKind,
  options: ReadClusterOptions & { readonly timers: ApiTimers; readonly transport: ApiTransport },
  skipped: string[],
  signal: AbortSignal,
): Promise<void> {
  const { timers, transport, random = Math.random } = options;
  const machine = new ReflectorMachine({ random, canStream: false, firstVersion: '' });
  let isComplete = false;
  const reader = new ReflectorReader({
    kind,
    transport,
    machine,
    timers,
    sink: {
      onEvents: options.onEvents,
      onComplete: () => (isComplete = true),
      onSkipped: (problem) => {
        if (skipped.length < MAX_SKIPPED) skipped.push(problem);
      },
    },
  });
  let failures = 0;
  while (!isComplete) {
    signal.throwIfAborted();
    const step = machine.next();
    if (step.do === 'wait') await pause(timers, step.delayMs, signal);
    else if (step.do === 'list') {
      try {
        await reader.list(step, signal);
      } catch (error) {
        const failure = failureOf(error, false);
        failures++;
        if (signal.aborted || failures > MAX_FAILURES || !isPassing(failure)) throw error;
        machine.failed(failure, timers.now());
      }
    } else throw new Error(`a single read does not ${step.do}`);
  }
}

function isPassing({
  kind,
  retryAfterMs,
}: {
  readonly kind: string;
  readonly retryAfterMs: number;
}): boolean {
  return kind === 'expired' || kind === 'ahead' || retryAfterMs > 0;
}
