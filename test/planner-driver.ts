// A planner with everything that feeds it, as the agent does, and what a listener to its changes has by now.

import type { ServiceKey } from '../src/model/names.ts';
import type { ClusterEvent } from '../src/model/objects.ts';
import { Snapshot, type SnapshotEntry } from '../src/model/snapshot.ts';
import { compile, Planner } from '../src/plan/planner.ts';
import type { ForwardingPlan, NodeOptions, ServicePlan } from '../src/plan/plan.ts';

/** A snapshot that counts how often a Service is asked for, which is how often one is compiled. */
class CountingSnapshot extends Snapshot {
  reads = 0;

  override get(key: ServiceKey): SnapshotEntry | undefined {
    this.reads++;
    return super.get(key);
  }
}

/** See above. */
export class PlannerDriver {
  readonly snapshot = new CountingSnapshot();
  readonly planner: Planner;
  readonly accumulated = new Map<ServiceKey, ServicePlan>();

  constructor(node: NodeOptions) {
    this.planner = new Planner(this.snapshot, node);
  }

  /** One event; the Services that it concerns. */
  apply(event: ClusterEvent): readonly ServiceKey[] {
    const { services } = this.snapshot.apply(event);
    for (const key of services) this.planner.recompile(key);
    return services;
  }

  setNode(node: NodeOptions): void {
    this.planner.setNode(node);
    for (const key of this.snapshot.services()) this.planner.recompile(key);
  }

  takeChanges(): Map<ServiceKey, ServicePlan | null> {
    const changes = this.planner.takeChanges();
    for (const [key, plan] of changes) {
      if (plan === null) this.accumulated.delete(key);
      else this.accumulated.set(key, plan);
    }
    return changes;
  }

  fresh(): ForwardingPlan {
    return compile(this.snapshot, this.planner.node);
  }
}
