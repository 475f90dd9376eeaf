// Inside a guest: lives random histories with failures on this kernel, then interferes with what an agent holds by the ordinary tools.
// Arguments: how many histories, and a seed other than that of the tests. Writes what was seen; any-way-cases.ts judges it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { PointsmanError } from '../../src/model/errors.ts';
import { writeSysctl } from '../../src/kernel/sysctl.ts';
import type { IpAddress } from '../../src/model/ip.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { configure } from '../golden/kernel-state-agent.ts';
import { startAgent, type StartedAgent } from '../in-memory-agent.ts';
import type { HistoryRun, InterferenceRun, Results } from './any-way-run.ts';
import { FaultyPort, type Fault } from './faulty-port.ts';
import { deletionsOf, histories } from './histories.ts';
import { INTERFERENCES } from './interference-cases.ts';
import { CASE, EVENTS, MAKE_OTHERS, type Interference, type Reaction } from './interference.ts';
import { readTools, shell, wipeKernel } from './kernel-tools.ts';
import { compareAll, live, repairsOf, settle } from './live-history.ts';

const MAX_RETRIES = 8;
/** As on a node on which no proxy ran: every switch that we need is to be written. */
const SWITCHES = ['net/ipv4/vs/conntrack', 'net/ipv4/vs/expire_nodest_conn', 'net/ipv4/ip_forward'];

const [count = '0', seed] = process.argv.slice(2);

async function liveAll(kernel: KernelPort): Promise<HistoryRun[]> {
  const wanted = histories(Number(count), seed === undefined ? undefined : Number(seed));
  const runs: HistoryRun[] = [];
  let isClean = false;
  for (const [index, history] of wanted.entries()) {
    // Every other one begins with nothing, the others with the empty sets and chains of the one before.
    if (index % 2 === 0 || !isClean) {
      wipeKernel();
      for (const path of SWITCHES) writeSysctl(path, '0');
    }
    const run = await live(kernel, history, index % 4 < 2);
    runs.push(run);
    isClean = run.error === null;
  }
  return runs;
}

async function react({ backend }: StartedAgent, reaction: Reaction): Promise<void> {
  const { verifier } = backend;
  switch (reaction.by) {
    case 'containers':
      return verifier.checkContainers();
    case 'addresses':
      for (const address of reaction.addresses)
        if (!verifier.suspectAddress(address as IpAddress))
          throw new Error(`${address} is not known as ours`);
      return verifier.repairSuspects();
    case 'all addresses':
      verifier.suspectAllAddresses();
      return verifier.repairSuspects();
    case 'cycle':
      return compareAll({ backend } as StartedAgent);
  }
}

/** The same with failures on the way, and what the daemon does about those. */
async function reactWithFaults(
  port: FaultyPort,
  started: StartedAgent,
  reaction: Reaction,
  faults: readonly Fault[],
): Promise<void> {
  const { agent, backend } = started;
  port.setFaults(faults);
  try {
    await react(started, reaction);
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
  }
  for (let retry = 0; agent.noteReport(backend.currentReport()) && retry < MAX_RETRIES; retry++)
    await agent.sync('retry');
  port.setFaults([]);
  await compareAll(started);
}

async function interfere(
  port: FaultyPort,
  started: StartedAgent,
  { name, script, reaction, afterwards, faults }: Interference,
): Promise<InterferenceRun> {
  const run: { -readonly [key in keyof InterferenceRun]: InterferenceRun[key] } = {
    ...{ name, error: null, repaired: null, repairs: [] },
  };
  try {
    const { repairs } = started.backend.verifier;
    const before = repairs.total;
    shell(script);
    if (faults === undefined) await react(started, reaction);
    else await reactWithFaults(port, started, reaction, faults);
    // What turned out to be there and not planned drains first; it has no connections.
    await started.backend.drain();
    if (afterwards !== undefined) shell(afterwards);
    run.repaired = readTools();
    run.repairs = repairsOf(started).slice(before - repairs.total);
    if (repairs.total === before) run.repairs = [];
  } catch (error) {
    run.error = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return run;
}

async function interfereAll(kernel: KernelPort): Promise<Results['interference']> {
  wipeKernel();
  shell(MAKE_OTHERS);
  const port = new FaultyPort(kernel);
  const snapshot = new Snapshot();
  for (const event of EVENTS) snapshot.apply(event);
  const started = startAgent(port, CASE.nodeOptions(snapshot), EVENTS);
  configure(started.backend, CASE.config);
  await settle(started);
  const before = readTools();
  const runs: InterferenceRun[] = [];
  for (const each of INTERFERENCES) runs.push(await interfere(port, started, each));
  port.writes = [];
  await compareAll(started);
  const writesAtEnd = port.writes.slice();
  started.agent.onEvents(deletionsOf(EVENTS));
  await settle(started);
  return { before, runs, writesAtEnd, cleaned: readTools(), error: null };
}

async function main(): Promise<Results> {
  const kernel = await KernelPort.open(['IPv4', 'IPv6']);
  const runs = await liveAll(kernel);
  const nothing = { before: null, runs: [], writesAtEnd: [], cleaned: null };
  const interference = await interfereAll(kernel).catch((error: unknown) => ({
    ...nothing,
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }));
  kernel.close();
  return { histories: runs, interference };
}

writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(await main()));
process.exit(0);
