// What a bench runs inside a guest: one measurement, whose result goes as JSON into the results folder.
//   node bench/guest.ts ours|bare|tools|one-change|verify SERVICES ENDPOINTS [BATCH_BYTES]

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { IpvsBackend } from '../src/backends/ipvs/backend.ts';
import { KernelPort } from '../src/backends/ipvs/kernel-port.ts';
import type { IpvsKernelPort } from '../src/backends/ipvs/port.ts';
import { EMPTY_KERNEL, RecordingPort } from '../src/backends/ipvs/recording-port.ts';
import { Agent } from '../src/daemon/agent.ts';
import { openLog } from '../src/daemon/log.ts';
import { makePacer } from '../src/daemon/pacer.ts';
import { nextTurn } from '../src/kernel/netlink.ts';
import type { ClusterEvent } from '../src/model/objects.ts';
import { measureBare } from './bare.ts';
import { BENCH_NODE_OPTIONS, benchEvents, benchSlice } from './objects.ts';

const [what = '', servicesText = '', endpointsText = '', batchText = ''] = process.argv.slice(2);
const services = Number(servicesText);
const endpoints = Number(endpointsText);
const pace = makePacer(() => performance.now(), nextTurn);
const ONE_CHANGE_ROUNDS = 400;
const CHECK_ROUNDS = 21;
/** A prime, so that the rounds go all over the table. */
const STRIDE = 7919;
/** Objects in a page of a list, as API servers give them. */
const PAGE_EVENTS = 500;
const CALIBRATION_BYTES = 32 << 20;

function makeAgent(port: IpvsKernelPort): Agent {
  return makeParts(port).agent;
}

function makeParts(port: IpvsKernelPort): { agent: Agent; backend: IpvsBackend } {
  const settings = {
    strictArp: false,
    timeouts: {},
    masqueradeMark: 0x4000,
    excludeCIDRs: [],
    now: () => performance.now(),
    pace,
  };
  const log = openLog({
    write: (line) => process.stderr.write(`${line}\n`),
    now: () => new Date(),
    pid: process.pid,
  });
  const backend = new IpvsBackend(port, ['IPv4', 'IPv6'], settings);
  const agent = new Agent({
    backend,
    log,
    node: BENCH_NODE_OPTIONS,
    pace,
    onDirty: () => {},
  });
  return { agent, backend };
}

async function sync(agent: Agent): Promise<void> {
  agent.setComplete();
  const { needsRetry } = await agent.sync('request');
  if (needsRetry)
    throw new Error(
      `not everything was programmed: ${agent.problems()[0]?.message ?? agent.status.lastError}`,
    );
}

/**
 * From parsed objects to kernel state. The objects come in pages, as a source hands them over, and are made outside the measured time;
 * nothing of ours keeps them.
 */
async function measureOurs(): Promise<object> {
  const port = await KernelPort.open(
    ['IPv4', 'IPv6'],
    batchText === '' ? {} : { batchBytes: Number(batchText) },
  );
  const agent = makeAgent(port);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const faultsBefore = process.resourceUsage().minorPageFault;
  let takenInMs = 0;
  for (const page of pagesOf(benchEvents(services, endpoints))) {
    const startMs = performance.now();
    agent.onEvents(page);
    takenInMs += performance.now() - startMs;
    await nextTurn();
  }
  delay.enable();
  const startMs = performance.now();
  await sync(agent);
  const syncMs = performance.now() - startMs;
  delay.disable();
  const peakRssMb = process.resourceUsage().maxRSS / 1024;
  const pageFaults = process.resourceUsage().minorPageFault - faultsBefore;
  return {
    totalMs: takenInMs + syncMs,
    pageFaults,
    pageFaultUs: pageFaultCostUs(),
    takenInMs,
    syncMs,
    operations: agent.status.lastReport?.operations,
    peakRssMb,
    loopP99Ms: delay.percentile(99) / 1e6,
    loopMaxMs: delay.max / 1e6,
  };
}

/**
 * What this guest takes to give a process one more page, in microseconds. In user-mode Linux it is tens of times what it is on a real
 * kernel and differs from machine to machine, so it stands beside the figures that it weighs on.
 */
function pageFaultCostUs(): number {
  const before = process.resourceUsage().minorPageFault;
  const startMs = performance.now();
  Buffer.allocUnsafeSlow(CALIBRATION_BYTES).fill(1);
  const elapsedMs = performance.now() - startMs;
  return (elapsedMs * 1000) / Math.max(1, process.resourceUsage().minorPageFault - before);
}

function* pagesOf<T>(values: Iterable<T>): Generator<T[]> {
  let page: T[] = [];
  for (const value of values) {
    page.push(value);
    if (page.length < PAGE_EVENTS) continue;
    yield page;
    page = [];
  }
  yield page;
}

/** The same writes, recorded beforehand. */
async function record(): Promise<RecordingPort> {
  const recorder = new RecordingPort(EMPTY_KERNEL);
  const agent = makeAgent(recorder);
  agent.onEvents([...benchEvents(services, endpoints)]);
  await sync(agent);
  return recorder;
}

/** ipvsadm -R, ipset restore and ip -batch with the same content. */
async function measureTools(): Promise<object> {
  const { writes } = await record();
  const ipvsadm: string[] = [];
  const ipset: string[] = [];
  const ip: string[] = [];
  for (const { kind, object, detail } of writes) {
    const [, portal = '', , server = ''] = object.split(' ');
    if (kind === 'virtualServer') ipvsadm.push(`-A -t ${portal} -s ${detail}`);
    if (kind === 'realServer') ipvsadm.push(`-a -t ${portal} -r ${server} -m -w 1`);
    if (kind === 'member') ipset.push(`add ${object}`);
    if (kind === 'address') ip.push(`addr add ${object}/32 dev kube-ipvs0`);
  }
  const port = await KernelPort.open(['IPv4', 'IPv6']);
  await port.createLink();
  for (const set of new Set(
    writes.filter(({ kind }) => kind === 'member').map(({ object }) => object.split(' ')[0] ?? ''),
  ))
    await port.createSet(set as never, 'IPv4');
  const timed = (name: string, args: readonly string[], lines: readonly string[]): number => {
    const startMs = performance.now();
    const done = spawnSync(name, args, { input: `${lines.join('\n')}\n`, maxBuffer: 1 << 26 });
    if (done.status !== 0) throw new Error(`${name}: ${done.stderr.toString().slice(0, 500)}`);
    return performance.now() - startMs;
  };
  const ipvsadmMs = timed('/sbin/ipvsadm', ['-R'], ipvsadm);
  const ipsetMs = timed('/sbin/ipset', ['restore'], ipset);
  const ipMs = timed('/sbin/ip', ['-batch', '-'], ip);
  return { ipvsadmMs, ipsetMs, ipMs, totalMs: ipvsadmMs + ipsetMs };
}

/** One endpoint more, one less, at a table of this size: from the event to the kernel's acknowledgement. */
async function measureOneChange(): Promise<object> {
  const agent = makeAgent(await KernelPort.open(['IPv4', 'IPv6']));
  agent.onEvents([...benchEvents(services, endpoints)]);
  await sync(agent);
  const times: number[] = [];
  const operations: number[] = [];
  for (let round = 0; round < ONE_CHANGE_ROUNDS; round++) {
    // One round adds an endpoint to a Service, the next takes it away again.
    const isAdding = round % 2 === 0;
    const index = ((isAdding ? round : round - 1) * STRIDE) % services;
    const event: ClusterEvent = {
      type: 'apply',
      object: benchSlice(index, isAdding ? endpoints + 1 : endpoints, endpoints + 1),
    };
    const startMs = performance.now();
    agent.onEvents([event]);
    await agent.sync('request');
    times.push(performance.now() - startMs);
    operations.push(agent.status.lastReport?.operations ?? 0);
    await nextTurn();
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { medianMs: at(0.5), p99Ms: at(0.99), maxMs: at(1), operations: Math.max(...operations) };
}

/** One comparison of the whole table with the kernel, without the pauses between its slices, and the checks that run every few seconds. */
async function measureVerify(): Promise<object> {
  const { agent, backend } = makeParts(await KernelPort.open(['IPv4', 'IPv6']));
  agent.onEvents([...benchEvents(services, endpoints)]);
  await sync(agent);
  const slicesMs: number[] = [];
  const cpuBefore = process.cpuUsage();
  for (let isDone = false; !isDone;) {
    const startMs = performance.now();
    isDone = await backend.verifier.checkSlice();
    slicesMs.push(performance.now() - startMs);
    await nextTurn();
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const checksMs: number[] = [];
  for (let round = 0; round < CHECK_ROUNDS; round++) {
    const startMs = performance.now();
    await backend.verifier.checkContainers();
    checksMs.push(performance.now() - startMs);
    await nextTurn();
  }
  slicesMs.sort((a, b) => a - b);
  checksMs.sort((a, b) => a - b);
  return {
    slices: slicesMs.length,
    workMs: slicesMs.reduce((sum, each) => sum + each, 0),
    cpuMs: (user + system) / 1000,
    sliceMedianMs: slicesMs[slicesMs.length >> 1],
    sliceMaxMs: slicesMs.at(-1),
    checkMedianMs: checksMs[checksMs.length >> 1],
    repairs: backend.verifier.repairs.total,
  };
}

const measurements: Record<string, () => Promise<object>> = {
  ours: measureOurs,
  bare: async () => measureBare(services, endpoints),
  tools: measureTools,
  'one-change': measureOneChange,
  verify: measureVerify,
};
const measure = measurements[what];
if (measure === undefined) throw new Error(`no such measurement: ${what}`);
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(await measure()));
process.exit(0);
