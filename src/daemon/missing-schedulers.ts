// The schedulers that Services name and this kernel does not have: learned from refusals, so that asking costs nothing where all is well.

import type { FailedOperation } from '../backends/ipvs/failures.ts';
import type { SchedulerAvailability } from '../backends/ipvs/schedulers-probe.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Scheduler } from '../model/schedulers.ts';

export class MissingSchedulers {
  private readonly probe: (name: Scheduler) => Promise<SchedulerAvailability>;
  private missing: readonly Scheduler[] = [];

  /** `probe` never rejects. */
  constructor(probe: (name: Scheduler) => Promise<SchedulerAvailability>) {
    this.probe = probe;
  }

  /** Sorted; the same array until it changes. */
  current(): readonly Scheduler[] {
    return this.missing;
  }

  /**
   * Looks at what was refused: a virtual server that the kernel "does not find" may be one whose scheduler it does not have. `schedulersOf`
   * gives the schedulers in the plan of a Service. True when one is missing that was not known to be.
   */
  async learn(
    failed: readonly FailedOperation[],
    schedulersOf: (key: ServiceKey) => Iterable<Scheduler>,
  ): Promise<boolean> {
    const suspects = new Set<Scheduler>();
    for (const { service, operation, errnoName } of failed) {
      const isVirtualServer = operation === 'NEW_SERVICE' || operation === 'SET_SERVICE';
      if (service === null || !isVirtualServer || errnoName !== 'ENOENT') continue;
      for (const scheduler of schedulersOf(service)) suspects.add(scheduler);
    }
    const found: Scheduler[] = [];
    for (const scheduler of suspects)
      if (!this.missing.includes(scheduler) && !(await this.probe(scheduler)).isAvailable)
        found.push(scheduler);
    if (found.length === 0) return false;
    this.missing = [...this.missing, ...found].sort();
    return true;
  }

  /** Forgets what was learned: a module may have been installed. */
  forget(): void {
    this.missing = [];
  }
}
