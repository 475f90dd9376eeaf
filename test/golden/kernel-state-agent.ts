// Golden cases on the fake kernel: agent, compiler and backend with the settings of the case's own configuration.
// Takes a case, gives kernels and states; compares nothing.

import { IpvsBackend } from '../../src/backends/ipvs/backend.ts';
import type { Config } from '../../src/config/config.ts';
import { ipvsSettings } from '../../src/daemon/settings.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { startAgent, type StartedAgent } from '../in-memory-agent.ts';
import type { GoldenCase } from './cases.ts';

/** An agent of a case with nothing written yet. */
export function startCase(
  golden: GoldenCase,
  kernel: FakeIpvsKernel,
  events: readonly ClusterEvent[] = golden.stages[0]?.events ?? [],
): StartedAgent {
  // Node1's options are those of the case's own Node, whatever of its objects the agent is given.
  const snapshot = new Snapshot();
  for (const event of golden.stages[0]?.events ?? []) snapshot.apply(event);
  const started = startAgent(kernel, golden.nodeOptions(snapshot), events);
  configure(started.backend, golden.config);
  return started;
}

/** Nothing is written before the first sync, so settings given here hold from the beginning. */
export function configure(backend: IpvsBackend, config: Config): void {
  backend.configure(ipvsSettings(config, { now: () => 0, pace: () => Promise.resolve() }));
}

/** One sync that has to go through. */
export async function syncWhole({ agent, log }: StartedAgent): Promise<void> {
  const { needsRetry } = await agent.sync('request');
  if (needsRetry) throw new Error(`the sync failed:\n${log.join('\n')}`);
}

/** The kernel of a case after its first `stages` stages, each followed by a sync. */
export async function kernelAfter(golden: GoldenCase, stages: number): Promise<FakeIpvsKernel> {
  const kernel = new FakeIpvsKernel();
  const started = startCase(golden, kernel);
  await syncWhole(started);
  for (const { events } of golden.stages.slice(1, stages)) {
    started.agent.onEvents(events);
    await syncWhole(started);
  }
  return kernel;
}
