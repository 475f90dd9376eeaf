// Inside a guest: lives one history (histories.ts) on this kernel, through an agent whose port fails as the history says, and looks at
// what it left. Judges nothing.

import type { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import type { NodeOptions } from '../../src/plan/plan.ts';
import type { ToolOutput } from '../golden/kernel-state.ts';
import { startAgent, type StartedAgent } from '../in-memory-agent.ts';
import type { HistoryRun } from './any-way-run.ts';
import { FaultyPort } from './faulty-port.ts';
import { deletionsOf, eventsOf, lastNodeOf, type History } from './histories.ts';
import { readTools } from './kernel-tools.ts';

/** Each of three faults strikes twice at most, so that the seventh try is the last that can fail. */
const MAX_RETRIES = 8;
const MAX_SLICES = 10_000;

/** Syncs until everything is in place; throws with what is refused when it does not come to that. */
export async function settle({ agent, backend }: StartedAgent): Promise<void> {
  let { needsRetry } = await agent.sync('request');
  for (let retry = 0; needsRetry && retry < MAX_RETRIES; retry++)
    ({ needsRetry } = await agent.sync('retry'));
  if (!needsRetry) return;
  const refused = backend.failedOperations().map(({ message }) => message);
  const { lastError, lastReport } = agent.status;
  throw new Error(
    `not in place after ${MAX_RETRIES} retries: ${[lastError, ...refused, JSON.stringify(lastReport)].join('; ')}`,
  );
}

/** Compares the whole table once. */
export async function compareAll({ backend }: StartedAgent): Promise<void> {
  for (let slices = 0; !(await backend.verifier.checkSlice()); slices++)
    if (slices > MAX_SLICES) throw new Error('a cycle of verification does not end');
}

/** What verification put right, as "KIND OBJECT". */
export function repairsOf({ backend }: StartedAgent): string[] {
  return backend.verifier.repairs.last().map(({ kind, object }) => `${kind} ${object}`);
}

/** Lives it. Without `isCleanedByEvents` the Services go at the end by a new agent that knows of none. */
export async function live(
  kernel: KernelPort,
  history: History,
  isCleanedByEvents: boolean,
): Promise<HistoryRun> {
  const port = new FaultyPort(kernel);
  const run: { -readonly [key in keyof HistoryRun]: HistoryRun[key] } = {
    ...{ error: null, strikes: 0, end: null, cleaned: null },
    ...{ writesOfChecks: [], writesOfSecondPass: [], writesOfRestart: [], writesOfCycle: [], repairs: [] },
  };
  try {
    const events = eventsOf(history);
    const node = lastNodeOf(history);
    const started = await liveSteps(port, history);
    run.end = readTools();
    run.writesOfChecks = await writesOf(port, () => started.backend.verifier.checkContainers());
    const repaired = repairsOf(started).length;
    run.writesOfSecondPass = await writesOf(port, () => {
      started.agent.setSettingsChanged();
      return settle(started);
    });
    run.writesOfRestart = await writesOf(port, () => settle(startAgent(port, node, events)));
    run.writesOfCycle = await writesOf(port, () => compareAll(started));
    run.repairs = repairsOf(started).slice(repaired);
    port.setFaults(history.lastFaults);
    run.cleaned = await clean(port, node, isCleanedByEvents ? started : null, events);
  } catch (error) {
    run.error = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  run.strikes = port.strikes;
  return run;
}

/** Goes through the steps; the agent that is left has everything in place. */
async function liveSteps(port: FaultyPort, { node: first, steps }: History): Promise<StartedAgent> {
  const past: ClusterEvent[] = [];
  let node: NodeOptions = first;
  let started = startAgent(port, node, []);
  for (const { events, node: next, faults, isCutShort } of steps) {
    past.push(...events);
    node = next ?? node;
    port.setFaults(faults);
    started.agent.onEvents(events);
    started.agent.setNode(node);
    if (!isCutShort) {
      await settle(started);
      continue;
    }
    await started.agent.sync('request');
    started = startAgent(port, node, past);
  }
  port.setFaults([]);
  await settle(started);
  return started;
}

async function writesOf(port: FaultyPort, act: () => Promise<void>): Promise<string[]> {
  port.writes = [];
  await act();
  return port.writes.slice();
}

async function clean(
  port: FaultyPort,
  node: NodeOptions,
  started: StartedAgent | null,
  events: readonly ClusterEvent[],
): Promise<ToolOutput> {
  started?.agent.onEvents(deletionsOf(events));
  await settle(started ?? startAgent(port, node, []));
  return readTools();
}
