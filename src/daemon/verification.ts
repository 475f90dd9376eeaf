// Wires verification: what the kernel tells of kube-ipvs0 and the clock drive the backend's verifier, beside the syncs, and what it finds
// gets into the log and the agent's report.

import type { IpvsBackend } from '../backends/ipvs/backend.ts';
import type { Repair } from '../backends/ipvs/repairs.ts';
import type { ServiceLinkEvent } from './address-mirror.ts';
import type { Agent } from './agent.ts';
import type { Log } from './log.ts';
import type { SyncLoop, Timers } from './sync-loop.ts';
import { VerifyLoop, type VerifyLoopStatus } from './verify-loop.ts';

export interface VerificationParts {
  readonly backend: IpvsBackend;
  readonly agent: Agent;
  readonly syncLoop: SyncLoop;
  readonly log: Log;
  readonly timers: Timers;
  /** Called after each piece of work: it may have left something to drain, or stale flows. */
  readonly afterWork: () => void;
}

export class Verification {
  private readonly parts: VerificationParts;
  private readonly loop: VerifyLoop;

  constructor(parts: VerificationParts) {
    this.parts = parts;
    this.loop = new VerifyLoop({
      verifier: parts.backend.verifier,
      beside: (work) => this.beside(work),
      onError: (message) => parts.log.error('Verification failed; it goes on', { err: message }),
      timers: parts.timers,
    });
  }

  get status(): VerifyLoopStatus {
    return this.loop.status;
  }

  start(): void {
    this.loop.start();
  }

  stop(): Promise<void> {
    return this.loop.stop();
  }

  /** Something happened to kube-ipvs0, by whomever. Cheap: the agent's own work comes by here, too. */
  onServiceLink(event: ServiceLinkEvent): void {
    const { verifier } = this.parts.backend;
    if (event.kind === 'address-gone') {
      if (verifier.suspectAddress(event.address)) this.loop.repairNow();
      return;
    }
    verifier.suspectAllAddresses();
    this.loop.repairNow();
  }

  /** Runs work of the verifier beside the syncs; leaves it out before the first sync: until then nothing is known to be ours. */
  async beside(work: () => Promise<void>): Promise<void> {
    const { afterWork, agent, backend, syncLoop } = this.parts;
    await syncLoop.beside(async () => {
      if (agent.status.lastReport === null) return { needsRetry: false };
      await work();
      const needsRetry = agent.noteReport(backend.currentReport());
      afterWork();
      return { needsRetry };
    });
  }
}

/** One line in the log for something that was put right. */
export function logRepair(log: Log, { kind, object, what }: Repair): void {
  log.warn('Somebody changed what is ours; it was put right (told once for each object)', {
    kind,
    object,
    what,
  });
}
