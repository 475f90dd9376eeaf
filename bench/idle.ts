// What the real agent costs when nothing happens: runs `pointsman run` on manifests of the given size inside a guest, waits for the
// first sync, then reads its CPU time a minute apart.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { askAgent } from '../src/http/agent-socket.ts';
import { benchService, benchSlice, BENCH_NODE } from './objects.ts';

const services = Number(process.argv[3]);
const endpoints = Number(process.argv[4]);
const SOCKET = '/run/pointsman-bench/agent.sock';
const FOLDER = '/tmp/pointsman-bench-manifests';
const MEASURED_MS = 60_000;
const FIRST_SYNC_LIMIT_MS = 300_000;
/** USER_HZ, which /proc/PID/stat counts in. */
const TICKS_PER_SECOND = 100;

mkdirSync(FOLDER, { recursive: true });
const items = Array.from({ length: services }, (_, i) => [benchService(i), benchSlice(i, endpoints)]).flat();
writeFileSync(join(FOLDER, 'all.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
writeFileSync(
  '/tmp/pointsman-bench.yaml',
  'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n',
);

const startMs = performance.now();
const agent = spawn(
  fileURLToPath(new URL('../bin/pointsman', import.meta.url)),
  [
    ...[
      'run',
      '--manifests',
      FOLDER,
      '--config',
      '/tmp/pointsman-bench.yaml',
      '--hostname-override',
      BENCH_NODE,
      '--socket',
      SOCKET,
    ],
  ],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);

async function isSynced(): Promise<boolean> {
  try {
    return ((await askAgent(SOCKET, '/status?service=none/none')) as { isSynced: boolean }).isSynced;
  } catch {
    return false;
  }
}

function cpuSeconds(): number {
  // Field 14 and 15 (utime, stime) behind the name in parentheses.
  const fields = readFileSync(`/proc/${agent.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

while (!(await isSynced())) {
  if (performance.now() - startMs > FIRST_SYNC_LIMIT_MS || agent.exitCode !== null)
    throw new Error('the agent did not sync');
  await wait(500);
}
const firstSyncSeconds = (performance.now() - startMs) / 1000;
// What the first sync left to do (garbage, notifications of its own addresses) is not idling.
await wait(5000);
const before = cpuSeconds();
await wait(MEASURED_MS);
const cpuSecondsPerMinute = (cpuSeconds() - before) * (60_000 / MEASURED_MS);
const rssMb =
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
writeFileSync(
  join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'),
  JSON.stringify({ cpuSecondsPerMinute, rssMb, firstSyncSeconds }),
);
agent.kill('SIGTERM');
process.exit(0);
