// Wires draining: what of it is due runs beside the syncs, and what it cut is logged.

import type { IpvsBackend } from '../backends/ipvs/backend.ts';
import type { CutConnections } from '../backends/ipvs/drainer.ts';
import type { Agent } from './agent.ts';
import { DueLoop } from './due-loop.ts';
import type { Log } from './log.ts';
import type { SyncLoop, Timers } from './sync-loop.ts';

/** Looks take no more than a hundredth of a core; with thousands of drains they come less often. */
const PAUSE_PER_WORK = 100;
/** Looks in a row when an operator waits. */
const MAX_LOOKS = 1000;

export interface DrainingParts {
  readonly backend: Pick<IpvsBackend, 'drainDueInMs' | 'drain'>;
  readonly agent: Pick<Agent, 'noteReport'>;
  readonly beside: SyncLoop['beside'];
  readonly timers: Timers;
}

export class Draining {
  private readonly loop: DueLoop;
  private readonly parts: DrainingParts;

  constructor(parts: DrainingParts) {
    this.parts = parts;
    const { backend, timers } = parts;
    this.loop = new DueLoop({
      dueMs: () => {
        const inMs = backend.drainDueInMs();
        return inMs === null ? null : timers.now() + inMs;
      },
      work: () => this.look(),
      pausePerWork: PAUSE_PER_WORK,
      // The work takes its own turn: what it was refused asks for a retry.
      beside: (work) => work(),
      timers,
    });
  }

  /** See DueLoop.afterSync. */
  afterSync(): void {
    this.loop.afterSync();
  }

  /** Looks at what is due without waiting for the loop's turn; resolves when it is done. */
  async lookNow(): Promise<void> {
    const { backend } = this.parts;
    // One look has a limit.
    for (let looks = 0; looks < MAX_LOOKS && backend.drainDueInMs() === 0; looks++) await this.look();
  }

  private look(): Promise<void> {
    const { agent, backend, beside } = this.parts;
    return beside(async () => ({ needsRetry: agent.noteReport(await backend.drain()) }));
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
