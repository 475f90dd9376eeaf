// An agent on the fake kernel, with the log as text: for tests that need all parts between objects and kernel but no kernel.

import type { PlanChange } from '../src/backends/backend.ts';
import { IpvsBackend } from '../src/backends/ipvs/backend.ts';
import type { IpvsKernelPort } from '../src/backends/ipvs/port.ts';
import { Agent } from '../src/daemon/agent.ts';
import { openLog } from '../src/daemon/log.ts';
import type { SyncObserver } from '../src/daemon/sync-observer.ts';
import type { ClusterEvent } from '../src/model/objects.ts';
import type { NodeOptions } from '../src/plan/plan.ts';

/** What startAgent made. */
export interface StartedAgent {
  readonly agent: Agent;
  readonly backend: IpvsBackend;
  /** Lines of the log without time and pid: `I "Synced" services=1`. */
  readonly log: string[];
  /** How often a sync was asked for. */
  readonly dirty: { count: number };
  /** Steps of the plan that the backend has taken in. */
  readonly applied: PlanChange[];
  /** The backend's clock, which stands still unless it is moved. */
  readonly clock: { nowMs: number };
}

/** An agent that has taken in `events`, complete, with no sync done. */
export function startAgent(
  port: IpvsKernelPort,
  node: NodeOptions,
  events: readonly ClusterEvent[],
  observers: readonly SyncObserver[] = [],
): StartedAgent {
  const made = makeAgent(port, node, observers);
  made.agent.onEvents(events);
  made.agent.setComplete();
  return made;
}

/** An agent that knows nothing yet. */
export function makeAgent(
  port: IpvsKernelPort,
  node: NodeOptions,
  observers: readonly SyncObserver[] = [],
): StartedAgent {
  const log: string[] = [];
  const dirty = { count: 0 };
  const applied: PlanChange[] = [];
  const clock = { nowMs: 0 };
  const backend = new IpvsBackend(port, node.families, {
    strictArp: false,
    timeouts: {},
    masqueradeMark: 0x4000,
    excludeCIDRs: [],
    now: () => clock.nowMs,
    pace: () => Promise.resolve(),
  });
  const agent = new Agent({
    backend,
    node,
    log: openLog({
      write: (line) => log.push(line.replace(/^(.)\S+ \S+ +\d+ [^\]]+\]/, '$1')),
      now: () => new Date(0),
      pid: 1,
    }),
    pace: () => Promise.resolve(),
    onDirty: () => void dirty.count++,
    observers: [{ onApplied: (change) => void applied.push(change) }, ...observers],
  });
  return { agent, backend, log, dirty, applied, clock };
}
