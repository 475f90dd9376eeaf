// One measurement of an agent that follows an API server, in a process of its own: node [--expose-gc] api-run.ts agent|facts URL
//   agent  everything but the kernel: facts, plans, backend, on a port that writes nothing
//   facts  client, reflectors and snapshot alone
// Prints a line of JSON when the first sync is done and it has come to rest, and another one for each line of standard input, which is the
// resourceVersion of the last of some changes: what these took. Ends with standard input.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { IpvsBackend } from '../src/backends/ipvs/backend.ts';
import { defaultConfig } from '../src/config/load.ts';
import { Agent } from '../src/daemon/agent.ts';
import { chooseSource } from '../src/daemon/facts-origin.ts';
import { Facts } from '../src/daemon/facts.ts';
import type { Log } from '../src/daemon/log.ts';
import { NODE_TIMERS } from '../src/daemon/node-timers.ts';
import { makePacer } from '../src/daemon/pacer.ts';
import { ipvsSettings, nodeOptionsFrom } from '../src/daemon/settings.ts';
import { SyncLoop } from '../src/daemon/sync-loop.ts';
import { nextTurn } from '../src/kernel/netlink.ts';
import { Snapshot } from '../src/model/snapshot.ts';
import { SILENT_PORT } from './silent-port.ts';

const NODE_NAME = 'node-1';
/** Garbage is collected and pages are given back meanwhile. */
const REST_MS = 10_000;
const [what = '', url = ''] = process.argv.slice(2);

const config = { ...defaultConfig(), clientConnection: { ...defaultConfig().clientConnection, qps: -1 } };
const complain = (line: string): void => void process.stderr.write(`${line}\n`);
const log: Log = { info: () => {}, warn: complain, error: complain, verbose: () => {} };
const families = ['IPv4', 'IPv6'] as const;
const node = nodeOptionsFrom(config, {
  ...{ nodeName: NODE_NAME, families, node: undefined, localAddresses: [] },
});
const pace = makePacer(() => performance.now(), nextTurn);

interface Taker {
  take(...facts: Parameters<Agent['onEvents']>): void;
  complete(): Promise<void>;
  idle(): Promise<void>;
}

function makeTaker(): Taker {
  if (what === 'facts') {
    const snapshot = new Snapshot();
    return {
      take: (events) => {
        for (const event of events) snapshot.apply(event);
      },
      ...{ complete: async () => {}, idle: async () => {} },
    };
  }
  const settings = ipvsSettings(config, { now: () => performance.now(), pace });
  const backend = new IpvsBackend(SILENT_PORT, families, settings);
  const agent = new Agent({ backend, log, node, pace, onDirty: () => loop.request() });
  const loop = new SyncLoop((reason) => agent.sync(reason), complainOf, {
    ...{ minIntervalMs: 0, retryInitialMs: 1000, retryMaxMs: 30_000, timers: NODE_TIMERS },
  });
  return {
    take: (events, more) => agent.onEvents(events, more),
    complete: async () => {
      agent.setComplete();
      await loop.idle();
      if (agent.status.lastError !== '') throw new Error(agent.status.lastError);
    },
    idle: () => loop.idle(),
  };
}

const complainOf = (error: unknown): void => complain(String(error));

/** In kB. */
function memory(field: 'VmHWM' | 'VmRSS'): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

const cpuMs = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};

const taker = makeTaker();
const facts = new Facts({
  source: chooseSource({ master: url }, config, {
    ...{ asker: 'agent', hasConfigFile: false, env: {}, onVoid: () => {} },
  }),
  ...{ config, nodeName: NODE_NAME, record: undefined, log, timers: NODE_TIMERS },
  onFacts: (events, _, __, more) => taker.take(events, more),
});
const version = (): number =>
  Math.max(...Object.values(facts.status.kinds ?? {}).map(({ resourceVersion }) => Number(resourceVersion)));

const startMs = performance.now();
await facts.readAll();
const listMs = performance.now() - startMs;
await taker.complete();
const syncMs = performance.now() - startMs - listMs;
const startCpuMs = cpuMs();
await wait(REST_MS);
globalThis.gc?.();
process.stdout.write(
  `${JSON.stringify({
    ...{ listMs, syncMs, startCpuMs, peakKb: memory('VmHWM'), settledKb: memory('VmRSS') },
    heapBytes: process.memoryUsage().heapUsed,
  })}\n`,
);
let before = process.cpuUsage();
for await (const line of createInterface({ input: process.stdin })) {
  while (version() < Number(line)) await wait(5);
  await taker.idle();
  process.stdout.write(`${JSON.stringify({ cpuMs: cpuMs(before), peakKb: memory('VmHWM') })}\n`);
  before = process.cpuUsage();
}
process.exit(0);
