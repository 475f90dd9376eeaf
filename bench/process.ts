// `npm run bench -- process`: what the whole program costs: how long it takes to start, how large it is, and, in a guest with a real kernel,
// its memory at rest, a scrape of its metrics, and the time from a changed EndpointSlice to a connection that reaches the new pod.
// Starts are measured natively with `plan --from-empty`, which takes the same way as `run` to its first request but needs no IPVS: this
// machine's kernel has none.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInGuest } from '../lab/boot.ts';

type Row = Record<string, string | number>;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RELEASE = join(ROOT, 'dist/release');
const STARTS = 11;
const START_LIMIT_MS = 60_000;
const GUEST_TIMEOUT_MS = 900_000;

/** Rows of the artefacts, then one for each size. Builds the release. */
export async function benchProcess(
  sizes: readonly { readonly services: number; readonly endpoints: number }[],
  nodeFlags: readonly string[],
): Promise<Row[]> {
  const built = spawnSync(process.execPath, [join(ROOT, 'setup/run.mjs'), 'build'], {
    ...{ cwd: ROOT, encoding: 'utf8' },
  });
  if (built.status !== 0) throw new Error(`the release could not be built: ${built.stdout}${built.stderr}`);
  const rows: Row[] = [];
  for (const [name, program, bytes] of artefacts()) rows.push(await measureStarts(name, program, bytes));
  for (const { services, endpoints } of sizes) {
    const guest = await runInGuest(
      new URL('./process-guest.ts', import.meta.url),
      ['process', String(services), String(endpoints)],
      { timeoutMs: GUEST_TIMEOUT_MS, memoryMb: 3072, nodeFlags },
    );
    const json = guest.files.get('result.json');
    if (guest.exitCode !== 0 || json === undefined)
      throw new Error(
        `process ${services}x${endpoints} ended with ${guest.exitCode}: ${guest.stderr.slice(-2000)}`,
      );
    const result = JSON.parse(json.toString()) as Record<string, number>;
    const shown = (name: string, digits = 0): number => Number((result[name] ?? Number.NaN).toFixed(digits));
    rows.push({
      size: `${services}x${endpoints}`,
      'first sync s': Number((shown('firstSyncMs') / 1000).toFixed(1)),
      'idle RSS MB': shown('rssMb'),
      'peak RSS MB': shown('peakMb'),
      'scrape median, max ms': `${shown('scrapeMedianMs', 1)}, ${shown('scrapeMaxMs', 1)}`,
      'scrape kB': Math.round(shown('scrapeBytes') / 1000),
      'change to connection: median, p95 ms': `${shown('changeMedianMs', 1)}, ${shown('changeP95Ms', 1)}`,
    });
  }
  return rows;
}

/** Name, program and bytes of each form of the release, and of what a checkout runs. */
function artefacts(): [name: string, program: string, bytes: number][] {
  const names = readdirSync(RELEASE);
  const standalone = names.find((name) => name.startsWith('pointsman-standalone-'));
  const folder = names.find((name) => !name.includes('standalone') && name.startsWith('pointsman-'));
  if (standalone === undefined || folder === undefined) throw new Error(`no release in ${RELEASE}`);
  return [
    ['checkout, bundled', join(ROOT, 'bin/pointsman'), bytesOf(join(ROOT, 'dist'), ['release'])],
    ['folder', join(RELEASE, folder, 'bin/pointsman'), bytesOf(join(RELEASE, folder))],
    ['single executable', join(RELEASE, standalone), statSync(join(RELEASE, standalone)).size],
  ];
}

function bytesOf(folder: string, without: readonly string[] = []): number {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !without.includes(name))
    .map((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? bytesOf(path) : statSync(path).size;
    })
    .reduce((a, b) => a + b, 0);
}

async function measureStarts(name: string, program: string, bytes: number): Promise<Row> {
  const versions: number[] = [];
  const requests: number[] = [];
  for (let start = 0; start < STARTS; start++) {
    const startMs = performance.now();
    const { status, stderr } = spawnSync(program, ['--version'], { encoding: 'utf8', env: environment() });
    if (status !== 0) throw new Error(`${program} --version: ${stderr}`);
    versions.push(performance.now() - startMs);
    requests.push(await firstConnectionMs(program));
  }
  const median = (values: readonly number[]): number =>
    Math.round([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN);
  return {
    artefact: name,
    MB: Number((bytes / 1e6).toFixed(1)),
    '--version ms': median(versions),
    'to the first request ms': median(requests),
  };
}

/** Node.js beside the folder is the pinned one, found by PATH. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: `${join(process.execPath, '..')}:/usr/bin:/bin`, MALLOC_ARENA_MAX: '1' };
}

/** From the start of the program to its first connection to an API server. */
async function firstConnectionMs(program: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-bench-'));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: '' } }],
    }),
  );
  const startMs = performance.now();
  const child = spawn(
    program,
    ['plan', '--from-empty', '--kubeconfig', kubeconfig, '--hostname-override', 'node-1'],
    { stdio: 'ignore', env: environment() },
  );
  const timer = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
  try {
    return await new Promise<number>((resolve, reject) => {
      server.once('connection', (socket) => {
        socket.on('error', () => {});
        resolve(performance.now() - startMs);
      });
      child.once('exit', (code) =>
        reject(new Error(`${program} ended with ${code} before its first request`)),
      );
    });
  } finally {
    clearTimeout(timer);
    child.removeAllListeners('exit');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
