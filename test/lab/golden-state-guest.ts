// Inside a guest: every golden case that expects a kernel state, stage after stage, on this kernel; what the tools print after each stage
// is written out. The assertions stand outside, in golden-state.test.ts.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { readCase } from '../golden/cases.ts';
import { configure, syncWhole } from '../golden/kernel-state-agent.ts';
import type { ToolOutput } from '../golden/kernel-state.ts';
import { startAgent, type StartedAgent } from '../in-memory-agent.ts';
import type { GoldenRun } from './golden-state-run.ts';
import { readTools, wipeKernel } from './kernel-tools.ts';
import { FaultyPort } from './faulty-port.ts';

async function run(name: string, port: FaultyPort): Promise<GoldenRun> {
  const golden = readCase(name);
  const [first, ...later] = golden.stages;
  const snapshot = new Snapshot();
  for (const event of first?.events ?? []) snapshot.apply(event);
  const start = async (events: Parameters<typeof startAgent>[2]): Promise<StartedAgent> => {
    const started = startAgent(port, golden.nodeOptions(snapshot), events);
    configure(started.backend, golden.config);
    await syncWhole(started);
    return started;
  };
  wipeKernel();
  const stages: ToolOutput[] = [];
  const started = await start(first?.events ?? []);
  stages.push(readTools());
  for (const { events } of later) {
    started.agent.onEvents(events);
    await syncWhole(started);
    stages.push(readTools());
  }
  port.writes = [];
  await start(golden.stages.flatMap(({ events }) => events));
  return { stages, writesOfSecondStart: port.writes };
}

const runs: Record<string, GoldenRun> = {};
const port = await KernelPort.open(['IPv4', 'IPv6']);
for (const name of process.argv.slice(2)) {
  try {
    runs[name] = await run(name, new FaultyPort(port));
  } catch (error) {
    runs[name] = { error: error instanceof Error ? (error.stack ?? '') : String(error) };
  }
}
port.close();
writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(runs));
process.exit(0);
