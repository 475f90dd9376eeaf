// Wires draining: what of it is due runs beside the syncs, and what it cut is logged.

import type { IpvsBackend } from '../backends/ipvs/backend.ts';
import type { CutConnections } from '../backends/ipvs/drainer.ts';
import type { Agent } from './agent.ts';
import { DueLoop } from './due-loop.ts';
import type { Log } from './log.ts';
import type { SyncLoop, Timers } from './sync-loop.ts';

/** Looks take no more than a hundredth of a core; with thousands of drains they come less often. */
const PAUSE_PER_WORK = 100;

export interface DrainingParts {
  readonly backend: Pick<IpvsBackend, 'drainDueInMs' | 'drain'>;
  readonly agent: Pick<Agent, 'noteReport'>;
  readonly beside: SyncLoop['beside'];
  readonly timers: Timers;
}

export class Draining {
  private readonly loop: DueLoop;

  constructor({ backend, agent, beside, timers }: DrainingParts) {
    let needsRetry = false;
    this.loop = new DueLoop({
      dueMs: () => {
        const inMs = backend.drainDueInMs();
        return inMs === null ? null : timers.now() + inMs;
      },
      work: async () => {
        needsRetry = agent.noteReport(await backend.drain());
      },
      pausePerWork: PAUSE_PER_WORK,
      beside: (work) =>
        beside(async () => {
          await work();
          return { needsRetry };
        }),
      timers,
    });
  }

  /** See DueLoop.afterSync. */
  afterSync(): void {
    this.loop.afterSync();
  }

  stop(): Promise<void> {
    return this.loop.stop();
  }
}

export function logCut(log: Log, { object, connections, drainedForMs }: CutConnections): void {
  log.warn('Connections were cut: their server is gone and the time of its drain was up', {
    object,
    connections,
    drainedForSeconds: Math.round(drainedForMs / 1000),
  });
}
