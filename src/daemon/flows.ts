// Wires the care for UDP flows: this node's conntrack, the keeper that hears what changed in the kernel, and its turns beside the syncs.

import { FlowKeeper, type FlowPass } from '../backends/flow-keeper.ts';
import { ConntrackClient } from '../kernel/conntrack.ts';
import { DueLoop } from './due-loop.ts';
import type { Log } from './log.ts';
import type { SyncLoop, Timers } from './sync-loop.ts';

/** A pass is followed by this many times as long a pause: it takes no more than a tenth of a core. */
const PAUSE_PER_WORK = 9;

export interface FlowsParts {
  readonly beside: SyncLoop['beside'];
  readonly log: Log;
  readonly timers: Timers;
  /** Hears of each pass over the flows of a family. */
  readonly onPass?: (pass: FlowPass) => void;
}

export class Flows {
  /** To be told what the kernel has after each write; gives the counts for the metrics. */
  readonly keeper: FlowKeeper;
  private readonly conntrack = ConntrackClient.open();
  private readonly loop: DueLoop;

  /** Opens conntrack. Throws KERNEL_REFUSED when the kernel has no netfilter over netlink. */
  constructor({ beside, log, timers, onPass }: FlowsParts) {
    this.keeper = new FlowKeeper({
      table: this.conntrack,
      now: () => timers.now(),
      onError: (message) =>
        log.error('Stale flows of UDP clients may be left; it is tried again', { err: message }),
    });
    this.loop = new DueLoop({
      dueMs: () => this.keeper.dueMs,
      work: async () => {
        for (const pass of await this.keeper.pass()) {
          logPass(log, pass);
          onPass?.(pass);
        }
      },
      pausePerWork: PAUSE_PER_WORK,
      beside: (work) =>
        beside(async () => {
          await work();
          return { needsRetry: false };
        }),
      timers,
    });
  }

  /** See DueLoop.afterSync. */
  afterSync(): void {
    this.loop.afterSync();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
    this.conntrack.close();
  }
}

function logPass(log: Log, { family, deleted, durationMs }: FlowPass): void {
  log.verbose(deleted > 0 ? 1 : 2, 'Looked for stale flows of UDP clients', {
    family,
    deleted,
    elapsedMs: Math.round(durationMs * 10) / 10,
  });
}
