// The interface of all backends: what the daemon asks of whatever forwards packets on this node.

import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import type { NodeOptions, ServicePlan } from '../plan/plan.ts';

/** A step from one plan to the next: only what changed. */
export interface PlanChange {
  readonly node: NodeOptions;
  /** The new plan of each changed Service, null for one that is gone. */
  readonly services: ReadonlyMap<ServiceKey, ServicePlan | null>;
  /** True when `services` holds everything there is: what the kernel has of ours beyond it is removed. */
  readonly isComplete: boolean;
}

/** What one apply did. */
export interface ApplyReport {
  /** Requests to the kernel: IPVS operations, set members, addresses, and one per iptables-restore and sysctl write. */
  readonly operations: number;
  /** Services that are not fully programmed: apply them again later (`retry`). Sorted. */
  readonly failed: readonly ServiceKey[];
  /** Objects that no Service wants any more and that could not be removed; `retry` tries again. Sorted. */
  readonly leftovers: readonly string[];
  /** What failed and concerns no single Service (rules of a family, a set that cannot grow); `retry` tries again. Sorted. */
  readonly nodeFailures: readonly string[];
  readonly durationMs: number;
}

export interface Backend {
  /** Brings the kernel to the changed plan. Failures of single objects are in the report and in `problems`; throws only when nothing can go on. */
  apply(change: PlanChange): Promise<ApplyReport>;
  /** Reads again what the kernel holds for these Services and repairs it. */
  retry(keys: Iterable<ServiceKey>): Promise<ApplyReport>;
  /** What is wrong at present, by Service. */
  problems(): ReadonlyMap<ServiceKey, readonly Problem[]>;
}
