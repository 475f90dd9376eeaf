// What an agent tells of its work while it does it: for metrics and health. Types only.

import type { PlanChange } from '../backends/backend.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ServicePlan } from '../plan/plan.ts';

/** How a sync ended that was not given up. */
export interface SyncOutcome {
  /** False: there was nothing to do. */
  readonly hadWork: boolean;
  /** Services that are not fully programmed; they are tried again. */
  readonly failed: readonly ServiceKey[];
  /** True when everything that the sync took in hand, and everything before it, is in the kernel. */
  readonly isClean: boolean;
}

/**
 * Hears what an agent does; each method may be missing. All are called on the path of a change: they must be cheap, must not throw, and what
 * they do changes nothing for the agent.
 */
export interface SyncObserver {
  /** An event was taken into the snapshot; `changed` are the Services of which it changed something that is served, mostly none or one. */
  onEvent?(event: ClusterEvent, changed: readonly ServiceKey[]): void;
  /** A sync is asked for. */
  onQueued?(): void;
  /** A sync begins. */
  onStarted?(): void;
  /** It takes everything in hand that was heard of before; what is heard from here on is for the next one. Not where there is nothing to do. */
  onTaken?(): void;
  /** It hands these plans to the backend: those that changed or must be looked at again, null for those that are gone. */
  onPlanned?(plans: ReadonlyMap<ServiceKey, ServicePlan | null>): void;
  /** The backend has taken this step of the plan in, also where it reported failures of single objects. */
  onApplied?(change: PlanChange): void;
  /** It went through. */
  onSynced?(outcome: SyncOutcome): void;
  /** It was given up: the next one hands everything over again. */
  onFailed?(): void;
  /** Between syncs the backend put something right: only Services of `failed` are still not fully programmed. */
  onMended?(failed: readonly ServiceKey[]): void;
}
