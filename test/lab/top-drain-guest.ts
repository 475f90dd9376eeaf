// `top`, `drain` and `undrain` on a real kernel with real connections, run inside a guest. What happens while a command waits is done in
// its wait, so that nothing depends on the clock. Writes one JSON document; the assertions stand outside, in top-drain.test.ts.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createTopology, type Host } from '../../lab/topology.ts';
import { Traffic, type OpenConnections } from '../../lab/traffic.ts';
import { DEFAULT_DRAIN_OPTIONS, drainCommand, type DrainOptions } from '../../src/ipvsadm/drain.ts';
import { undrainCommand } from '../../src/ipvsadm/drain-undo.ts';
import type { IpvsadmIo } from '../../src/ipvsadm/io.ts';
import { DEFAULT_TOP_OPTIONS, topCommand } from '../../src/ipvsadm/top.ts';
import { RATE_WINDOW_MS } from '../../src/ipvsadm/top-rates.ts';
import { IpvsClient, type IpvsOperation } from '../../src/kernel/ipvs.ts';
import { SERVICE_FLAG, type IpvsDestination, type ServiceKey } from '../../src/kernel/ipvs-codec.ts';
import { systemNames } from '../../src/kernel/name-service.ts';
import { FakeIpvsTable, realServer, serviceKey } from '../fake-ipvs-table.ts';
import { REFUSALS, TRAFFIC } from './top-drain-cases.ts';

/** Where a drain would wait for ever it ends by this, and the test fails. */
const SAFETY_DEADLINE_MS = 20_000;
const WAIT_MS = 20;
const WEB = serviceKey('10.96.0.10', 80);
const STICKY = serviceKey('10.96.0.11', 80);
const DNS = serviceKey('10.96.0.12', 53, 17);
const WEIGHT = 3;

const net = createTopology({ pods: 2, clients: 1 });
const [pod1, pod2] = net.pods as [Host, Host];
const [client] = net.clients as [Host];
const traffic = new Traffic();
const kernel = IpvsClient.open();
setSwitch('ipv4/ip_forward', '1');
for (const address of ['10.96.0.10', '10.96.0.11', '10.96.0.12']) bindLocal(address);
await traffic.serve(
  [pod1, pod2].flatMap((at) => [
    { at, name: at.name, protocol: 'TCP' as const, port: 8080 },
    { at, name: at.name, protocol: 'UDP' as const, port: 8053 },
  ]),
);
const server1 = realServer(pod1.ipv4, 8080, { weight: WEIGHT, upperThreshold: 1000, lowerThreshold: 10 });
await build(WEB, [server1, realServer(pod2.ipv4, 8080)]);
await build(STICKY, [realServer(pod1.ipv4, 8080), realServer(pod2.ipv4, 8080)], SERVICE_FLAG.PERSISTENT);
await build(DNS, [realServer(pod1.ipv4, 8053), realServer(pod2.ipv4, 8053)]);

const results: Record<string, unknown> = {};
results.rates = await ratesOfTraffic();
results.frozen = await ratesWithoutEstimation();
results.drain = await drainWithHeldConnection();
results.deadline = await drainToItsDeadline();
results.remove = await drainAndRemove();
results.sticky = await drainSticky();
results.udp = await drainUdp();
results.refusals = await compareRefusals();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results));
await traffic.close();
process.exit(0);

function setSwitch(name: string, value: string): void {
  writeFileSync(`/proc/sys/net/${name}`, value);
}

/** The guest's own, so that IPVS sees what comes for it. */
function bindLocal(address: string): void {
  const args = ['addr', 'add', `${address}/32`, 'dev', 'lo'];
  const done = spawnSync('/usr/sbin/ip', args, { encoding: 'utf8', timeout: 120_000 });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr}`);
}

async function build(key: ServiceKey, servers: readonly IpvsDestination[], flags = 0): Promise<void> {
  const service = {
    ...key,
    scheduler: 'rr',
    flags,
    timeoutSeconds: flags === 0 ? 0 : 300,
    netmask: 0xffffffff,
  };
  const failures = await kernel.apply([
    { op: 'NEW_SERVICE', service },
    ...servers.map((destination): IpvsOperation => ({ op: 'NEW_DEST', service: key, destination })),
  ]);
  if (failures[0] !== undefined) throw failures[0].error;
}

interface Run {
  readonly io: IpvsadmIo;
  stdout: string;
  stderr: string;
}

/** The real world, but that `during[n]` is done in wait n. */
function makeRun(during: readonly (() => Promise<void>)[]): Run {
  let waits = 0;
  const io: IpvsadmIo = {
    out: (text) => void (run.stdout += text),
    err: (text) => void (run.stderr += text),
    program: 'ipvsadm',
    stdin: () => [],
    readFile: (path) => readFileSync(path, 'latin1'),
    openTable: () => IpvsClient.open(),
    readConnections: () => readFileSync('/proc/net/ip_vs_conn', 'latin1'),
    names: systemNames,
    nowMs: () => performance.now(),
    wait: async () => {
      await during[waits++]?.();
      await pause(WAIT_MS);
    },
    terminal: () => null,
    signal: new AbortController().signal,
  };
  const run: Run = { io, stdout: '', stderr: '' };
  return run;
}

function counters(): number[] {
  const stats = kernel.service(WEB, true)?.stats;
  if (stats === null || stats === undefined) throw new Error('the service is gone');
  const { connections, inPackets, outPackets, inBytes, outBytes } = stats;
  return [connections, inPackets, outPackets, inBytes, outBytes].map(Number);
}

/** Of the web service: connections, packets and bytes of both directions. */
async function ratesOfTraffic(): Promise<unknown> {
  // Both readings are above 0 then.
  await connect(TRAFFIC / 4);
  await counted(TRAFFIC / 4);
  const before = counters();
  const run = makeRun([
    async () => {
      await connect(TRAFFIC);
      await counted(TRAFFIC + TRAFFIC / 4);
    },
  ]);
  const options = { ...DEFAULT_TOP_OPTIONS, isNumeric: true, isJson: true, sort: 'address' } as const;
  const exitCode = await topCommand(options, run.io);
  return { exitCode, before, after: counters(), output: JSON.parse(run.stdout) as unknown };
}

/** While the kernel does not bring its counters up to date, the total is still known. */
async function ratesWithoutEstimation(): Promise<unknown> {
  setSwitch('ipv4/vs/run_estimation', '0');
  const before = counters();
  const run = makeRun([
    async () => {
      await connect(TRAFFIC);
      await pause(RATE_WINDOW_MS);
    },
  ]);
  const options = { ...DEFAULT_TOP_OPTIONS, isNumeric: true, isJson: true, sort: 'address' } as const;
  const exitCode = await topCommand(options, run.io);
  const after = counters();
  setSwitch('ipv4/vs/run_estimation', '1');
  return { exitCode, before, after, output: JSON.parse(run.stdout) as unknown, stderr: run.stderr };
}

async function connect(count: number): Promise<void> {
  const done = await traffic.connect({
    from: client,
    address: '10.96.0.10',
    port: 80,
    protocol: 'TCP',
    count,
  });
  if (done.answered !== count) throw new Error(`${done.answered} of ${count} connections were answered`);
}

/** The kernel counts every two seconds, and the last packets of closed connections come a moment later. */
async function counted(connections: number): Promise<void> {
  await until(async () => counters()[0] === connections && (await connectionsAt(server1)).active === 0);
  let last = '';
  await until(async () => {
    const text = JSON.stringify(counters());
    const isStill = text === last;
    last = text;
    await pause(RATE_WINDOW_MS * 1.2);
    return isStill;
  });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + 10_000; performance.now() < endMs;) {
    if (await condition()) return;
    await pause(WAIT_MS);
  }
  throw new Error('what was waited for did not come');
}

async function connectionsAt(
  { address, port }: IpvsDestination,
  key = WEB,
): Promise<{ active: number; weight: number | null }> {
  const found = (await kernel.destinations(key)).find(
    (each) => each.address === address && each.port === port,
  );
  return { active: found?.activeConnections ?? 0, weight: found?.weight ?? null };
}

function drain(run: Run, options: Partial<DrainOptions> = {}): Promise<number> {
  const all: DrainOptions = {
    ...DEFAULT_DRAIN_OPTIONS,
    deadlineMs: SAFETY_DEADLINE_MS,
    intervalMs: 100,
    service: WEB,
    address: server1.address,
    port: 8080,
    ...options,
  };
  return drainCommand(all, run.io);
}

/** One connection at each server. */
function hold(): Promise<OpenConnections> {
  return traffic.open({ from: client, address: '10.96.0.10', port: 80, protocol: 'TCP', count: 2 });
}

async function drainWithHeldConnection(): Promise<unknown> {
  const held = await hold();
  const seen: Record<string, unknown> = { held: held.report.counts };
  const run = makeRun([
    async () => {
      const fresh = await traffic.connect({
        from: client,
        address: '10.96.0.10',
        port: 80,
        protocol: 'TCP',
        count: 6,
      });
      seen.whileDraining = fresh.counts;
      seen.echo = (await held.echo()).counts;
      seen.kernel = (await kernel.destinations(WEB)).find(({ address }) => address === server1.address);
    },
    async () => {},
    async () => {
      seen.textWhileHeld = run.stdout;
      await held.close();
    },
  ]);
  seen.exitCode = await drain(run);
  seen.stdout = run.stdout;
  seen.stderr = run.stderr;
  seen.file = readFileSync('/run/pointsman/ipvsadm-drains.json', 'utf8');
  const undo = makeRun([]);
  const choice = { service: WEB, address: server1.address, port: 8080 };
  seen.undoExitCode = await undrainCommand({ ...choice, weight: null, isJson: false }, undo.io);
  seen.undoText = undo.stdout + undo.stderr;
  seen.kernelAfter = (await kernel.destinations(WEB)).find(({ address }) => address === server1.address);
  const fresh = await traffic.connect({
    from: client,
    address: '10.96.0.10',
    port: 80,
    protocol: 'TCP',
    count: 6,
  });
  seen.afterUndo = fresh.counts;
  return seen;
}

async function drainToItsDeadline(): Promise<unknown> {
  const held = await hold();
  const run = makeRun([]);
  const exitCode = await drain(run, { deadlineMs: 300, removes: true });
  const result = {
    exitCode,
    stdout: run.stdout,
    echo: (await held.echo()).counts,
    weight: (await connectionsAt(server1)).weight,
  };
  await held.close();
  return result;
}

async function drainAndRemove(): Promise<unknown> {
  const held = await hold();
  const run = makeRun([async () => {}, () => held.close()]);
  const exitCode = await drain(run, { removes: true, service: null });
  return { exitCode, stdout: run.stdout, weight: (await connectionsAt(server1)).weight };
}

async function drainSticky(): Promise<unknown> {
  setSwitch('ipv4/vs/expire_quiescent_template', '0');
  const { sequence } = await traffic.connect({
    from: client,
    address: '10.96.0.11',
    port: 80,
    protocol: 'TCP',
  });
  const address = sequence[0] === 'pod1' ? pod1.ipv4 : pod2.ipv4;
  const options = { service: STICKY, address: realServer(address, 8080).address };
  const waiting = makeRun([]);
  const keptExitCode = await drain(waiting, { ...options, deadlineMs: 300 });
  const kept = await traffic.connect({ from: client, address: '10.96.0.11', port: 80, protocol: 'TCP' });
  setSwitch('ipv4/vs/expire_quiescent_template', '1');
  const expiring = makeRun([]);
  const expiredExitCode = await drain(expiring, options);
  const moved = await traffic.connect({ from: client, address: '10.96.0.11', port: 80, protocol: 'TCP' });
  return {
    keptExitCode,
    keptNote: waiting.stderr,
    keepsComing: kept.sequence[0] === sequence[0],
    expiredExitCode,
    expiredNote: expiring.stderr,
    moves: moved.sequence[0] !== sequence[0],
  };
}

async function drainUdp(): Promise<unknown> {
  const { sequence } = await traffic.connect({
    from: client,
    address: '10.96.0.12',
    port: 53,
    protocol: 'UDP',
  });
  const { address } = realServer(sequence[0] === 'pod1' ? pod1.ipv4 : pod2.ipv4, 8053);
  const run = makeRun([]);
  const exitCode = await drain(run, { service: DNS, address, port: null, deadlineMs: 200 });
  return { answered: sequence[0], exitCode, stdout: run.stdout, stderr: run.stderr };
}

/** What the stand-in of the unit tests refuses beside what this kernel refuses. */
async function compareRefusals(): Promise<unknown> {
  const outcomes: Record<string, unknown> = {};
  for (const [name, table] of Object.entries({ kernel, fake: new FakeIpvsTable() })) {
    const errnos: (string | null)[] = [];
    for (const { operation } of REFUSALS) {
      const [failure] = await table.apply([operation]);
      errnos.push(failure?.error.errnoName ?? null);
    }
    outcomes[name] = errnos;
  }
  return outcomes;
}
