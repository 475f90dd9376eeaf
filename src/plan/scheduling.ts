// The scheduler of a Service's virtual servers: what its annotations ask, else what the node says. Pure.
// Source: kube-proxy 1.36, mode ipvs (mh gets its port flag); ipvsadm -b for the names of flags.

import type { Endpoint } from '../model/endpoints.ts';
import type { Problem } from '../model/problem.ts';
import {
  honoursWeights,
  SCHEDULER_FLAG_NAMES,
  type Scheduler,
  type SchedulerFlag,
} from '../model/schedulers.ts';
import type { NodeOptions } from './plan.ts';
import type { ServiceRecord } from '../model/service.ts';

/** A scheduler and its flags, as VirtualServer has them. */
export interface Scheduling {
  readonly scheduler: Scheduler;
  readonly schedulerFlags: readonly SchedulerFlag[];
}

const NO_FLAGS: readonly SchedulerFlag[] = Object.freeze([]);
/** Without the port in its hash, mh would send all connections of a client to one server; kube-proxy never uses it without. */
const MH_FLAGS: readonly SchedulerFlag[] = Object.freeze(['flag-2']);

/**
 * The scheduling of a Service: what it wishes, or the node's when it wishes nothing or what this kernel does not have. A flag whose name belongs to
 * another scheduler is left out. What is not as wished is reported.
 */
export function schedulingOf(
  { key, schedulerWish }: Pick<ServiceRecord, 'key' | 'schedulerWish'>,
  node: Pick<NodeOptions, 'scheduler' | 'missingSchedulers'>,
  problems: Problem[],
): Scheduling {
  const wish = schedulerWish.scheduler;
  const isMissing = wish !== null && node.missingSchedulers.includes(wish);
  const scheduler = wish === null || isMissing ? node.scheduler : wish;
  if (isMissing) {
    problems.push({
      object: `Service ${key}`,
      field: schedulerWish.schedulerField,
      reason: 'Approximated',
      message: `this node's kernel has no scheduler ${wish}; ${scheduler} is used`,
      remedy: `load the module ip_vs_${wish} on the node and restart the agent, or name another scheduler`,
    });
  }
  if (schedulerWish.flags === null)
    return { scheduler, schedulerFlags: scheduler === 'mh' ? MH_FLAGS : NO_FLAGS };
  const flags = new Set<SchedulerFlag>();
  for (const name of schedulerWish.flags) {
    const known = SCHEDULER_FLAG_NAMES[name];
    if (known.scheduler === null || known.scheduler === scheduler) flags.add(known.flag);
    else {
      problems.push({
        object: `Service ${key}`,
        field: schedulerWish.flagsField,
        reason: 'InvalidField',
        message: `${name} is a flag of scheduler ${known.scheduler}, but ${scheduler} is used: it is left out`,
        remedy: `name scheduler ${known.scheduler}, or remove the flag`,
      });
    }
  }
  return { scheduler, schedulerFlags: flags.size === 0 ? NO_FLAGS : [...flags].sort() };
}

/** What to tell whoever gave weights that the scheduler does not look at; null when there is nothing to say. */
export function unusedWeightsProblem(
  { key, schedulerWish }: Pick<ServiceRecord, 'key' | 'schedulerWish'>,
  scheduler: Scheduler,
  endpoints: readonly Endpoint[],
): Problem | null {
  if (honoursWeights(scheduler)) return null;
  const first = endpoints.find(({ weight }) => weight > 0)?.weight;
  if (endpoints.every(({ weight }) => weight === 0 || weight === first)) return null;
  return {
    object: `Service ${key}`,
    field: schedulerWish.schedulerField || 'metadata.annotations[pointsman.dev/scheduler]',
    reason: 'Approximated',
    message: `its EndpointSlices have different weights, but scheduler ${scheduler} uses all endpoints alike`,
    remedy: 'use wrr, wlc, sh or mh',
  };
}
