// `npm run bench -- ipvsadm`: our ipvsadm, bundled, beside the original: one command's start on this machine and in a guest, a restore and a
// listing of a large table in the guest. Both restore the same rules, each into a network namespace of its own, and list the same table.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ipvsKernel } from '../lab/boot.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OURS = `${ROOT}bin/pointsman-ipvsadm`;
const ORIGINAL = '/sbin/ipvsadm';
const GUEST_SCRIPT = fileURLToPath(new URL('ipvsadm-guest.sh', import.meta.url));
const GUEST_TIMEOUT_MS = 590_000;
const HOST_RUNS = 21;
const GUEST_RUNS = 3;
const MEMORY_MB = 3072;

/** One row per measurement: medians in ms, ours and the original's, and how many times ours fits into the original's. */
export async function benchIpvsadm(
  services: number,
  servers: number,
): Promise<Record<string, string | number>[]> {
  const env = { ...process.env, POINTSMAN_FROM_SOURCE: '' };
  const built = spawnSync(process.execPath, [`${ROOT}setup/run.mjs`, 'build'], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the build failed: ${built.stdout}${built.stderr}`);
  return [...startsOnThisMachine(env), ...(await inGuest(services, servers))];
}

/** In turns, so that all meet the same weather. */
function startsOnThisMachine(env: NodeJS.ProcessEnv): Record<string, string | number>[] {
  return ['-v', '-h'].map((option) => {
    const ours: number[] = [];
    const source: number[] = [];
    const original: number[] = [];
    for (let run = 0; run < HOST_RUNS; run++) {
      ours.push(timeOf(OURS, option, env));
      source.push(timeOf(OURS, option, { ...env, POINTSMAN_FROM_SOURCE: '1' }));
      original.push(timeOf(ORIGINAL, option, env));
    }
    return {
      ...row(`this machine: start ${option}`, ours, original),
      'ours from source ms': medianOf(source),
    };
  });
}

function timeOf(program: string, option: string, env: NodeJS.ProcessEnv): number {
  const startMs = performance.now();
  spawnSync(program, [option], { env, stdio: 'ignore', timeout: 30_000 });
  return performance.now() - startMs;
}

async function inGuest(services: number, servers: number): Promise<Record<string, string | number>[]> {
  const guest = await ipvsKernel.boot({
    program: ['/bin/bash', GUEST_SCRIPT, OURS, String(services), String(servers), String(GUEST_RUNS)],
    timeoutMs: GUEST_TIMEOUT_MS,
    memoryMb: MEMORY_MB,
  });
  if (guest.exitCode !== 0)
    throw new Error(
      `the guest ended with ${guest.exitCode ?? 'no exit code'}${guest.timedOut ? ' (time limit)' : ''}: ${guest.stderr.slice(-1000)}`,
    );
  const times = new Map<string, number[]>();
  for (const line of guest.stdout.trim().split('\n')) {
    const [name = '', , ms] = line.split(' ');
    times.set(name, [...(times.get(name) ?? []), Number(ms)]);
  }
  const of = (name: string): number[] => times.get(name) ?? [];
  const size = `${services}x${servers}`;
  return [
    row('guest: start -v', of('start-ours'), of('start-original')),
    row(`guest: -R ${size}`, of('restore-ours'), of('restore-original')),
    row(`guest: -Ln ${size}`, of('list-ours'), of('list-original')),
  ];
}

function row(
  what: string,
  ours: readonly number[],
  original: readonly number[],
): Record<string, string | number> {
  return {
    what,
    'ours ms': medianOf(ours),
    'ours of runs': rangeOf(ours),
    'original ms': medianOf(original),
    'original of runs': rangeOf(original),
    'original/ours': Number((medianOf(original) / medianOf(ours)).toFixed(2)),
    'ours from source ms': '-',
  };
}

function medianOf(values: readonly number[]): number {
  return Math.round(values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN);
}

function rangeOf(values: readonly number[]): string {
  return `${Math.round(Math.min(...values))} to ${Math.round(Math.max(...values))} (${values.length})`;
}
