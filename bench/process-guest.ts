// The whole agent as a process, on a real kernel, following a fake API server: node bench/process-guest.ts _ SERVICES ENDPOINTS
// Measures its memory at rest, what a scrape of its metrics costs, and how long a changed EndpointSlice takes until a connection reaches the
// new pod. Inside a guest; the result goes as JSON into the results folder.

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createTopology } from '../lab/topology.ts';
import { parseAnswer } from '../lab/traffic-wire.ts';
import { Traffic } from '../lab/traffic.ts';
import { askAgent } from '../src/http/agent-socket.ts';
import { Answering } from './answering.ts';
import { benchService, benchSlice } from './objects.ts';

const services = Number(process.argv[3]);
const endpoints = Number(process.argv[4]);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const POINTSMAN = join(ROOT, 'bin/pointsman');
const CONFIG = '/tmp/pointsman-bench.yaml';
const SOCKET = '/run/pointsman/agent.sock';
const METRICS = { host: '127.0.0.1', port: 10_249, path: '/metrics' };
const NODE_NAME = 'node-1';
/** ClusterIPs of the server's Services are in 10.96.0.0/16 and above, that of the measured one is far from them. */
const MEASURED = 0x80_0000;
const ROUNDS = 41;
const SCRAPES = 21;
/** After the first sync: garbage is collected and pages are given back meanwhile. */
const REST_MS = 20_000;
const LIMIT_MS = 400_000;
const ANSWER_LIMIT_MS = 30_000;

const net = createTopology({ pods: 2 });
const [pod1, pod2] = net.pods;
if (pod1 === undefined || pod2 === undefined) throw new Error('the topology has no pods');
const traffic = new Traffic();
await traffic.serve([pod1, pod2].map((at) => ({ name: at.name, at, protocol: 'TCP' as const, port: 8080 })));

const server = new Answering([
  join(ROOT, 'test/cluster/serve.ts'),
  ...['--services', String(services), '--endpoints', String(endpoints)],
]);
const { url } = (await server.next()) as { url: string };
const put = async (resource: string, object: object): Promise<void> => {
  server.say(JSON.stringify({ do: 'put', resource, object }));
  await server.next();
};
const service = benchService(MEASURED);
const ADDRESS = (service as { spec: { clusterIP: string } }).spec.clusterIP;
const sliceWith = (address: string): object => {
  const slice = benchSlice(MEASURED, 1);
  return { ...slice, endpoints: [{ addresses: [address], conditions: { ready: true, serving: true } }] };
};
await put('services', service);
await put('endpointslices', sliceWith(pod1.ipv4));
writeFileSync(
  CONFIG,
  'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nclientConnection: {qps: 50, burst: 100}\n',
);

const startMs = performance.now();
const agent = spawn(
  POINTSMAN,
  ['run', '--config', CONFIG, '--master', url, '--hostname-override', NODE_NAME],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);

while (!(await isSynced())) {
  if (performance.now() - startMs > LIMIT_MS || agent.exitCode !== null)
    throw new Error('the agent did not sync');
  await wait(500);
}
const firstSyncMs = performance.now() - startMs;
await wait(REST_MS);
const rssMb = memoryMb('VmRSS');
const scrapes: number[] = [];
let scrapeBytes = 0;
for (let scrape = 0; scrape < SCRAPES; scrape++) {
  const startedMs = performance.now();
  scrapeBytes = await scrapeOnce();
  scrapes.push(performance.now() - startedMs);
}

const changes: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const pod = round % 2 === 0 ? pod2 : pod1;
  const startedMs = performance.now();
  await put('endpointslices', sliceWith(pod.ipv4));
  while ((await whoAnswers()) !== pod.name)
    if (performance.now() - startedMs > ANSWER_LIMIT_MS) throw new Error(`${pod.name} was never reached`);
  changes.push(performance.now() - startedMs);
  // The agent is idle when the next one comes.
  await wait(100);
}
const peakMb = memoryMb('VmHWM');
agent.kill('SIGTERM');
await new Promise((resolve) => agent.once('exit', resolve));
server.say('{"do":"quit"}');
await server.end();
await traffic.close();
writeFileSync(
  join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'),
  JSON.stringify({
    ...{ firstSyncMs, rssMb, peakMb, scrapeBytes },
    ...{ scrapeMedianMs: quantile(scrapes, 0.5), scrapeMaxMs: quantile(scrapes, 1) },
    ...{ changeMedianMs: quantile(changes, 0.5), changeP95Ms: quantile(changes, 0.95) },
  }),
);
process.exit(0);

async function isSynced(): Promise<boolean> {
  try {
    return ((await askAgent(SOCKET, '/status?service=none/none')) as { isSynced: boolean }).isSynced;
  } catch {
    return false;
  }
}

function memoryMb(field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
}

function scrapeOnce(): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...METRICS, agent: false }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () =>
        response.statusCode === 200 ? resolve(bytes) : reject(new Error(`${response.statusCode}`)),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** The name of the server that a new connection reaches; '' when it reaches none. */
function whoAnswers(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: ADDRESS, port: 80 });
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.includes('\n')) return;
      resolve(parseAnswer(text.split('\n')[0] ?? '')?.server ?? '');
      // By RST, so that neither a drain nor a port waits for it.
      socket.resetAndDestroy();
    });
    socket.on('error', () => resolve(''));
    socket.on('close', () => resolve(''));
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
