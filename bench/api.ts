// `npm run bench -- api`: an agent that follows an API server, without a kernel: how long the first lists take, what is kept, the memory of
// the whole process, and the CPU of watch events. Natively; the server (test/cluster/serve.ts) and each agent are processes of their own,
// the agent bundled and started as bin/pointsman starts it.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Answering } from './answering.ts';

type Row = Record<string, string | number>;

interface Rested {
  readonly listMs: number;
  readonly syncMs: number;
  readonly startCpuMs: number;
  readonly peakKb: number;
  readonly settledKb: number;
  readonly heapBytes: number;
}

interface Followed {
  readonly cpuMs: number;
  readonly peakKb: number;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RUNS = 3;
const EVENTS = 1000;
const WARM_UP_EVENTS = 2000;

/** Rows for each size; throws when a process fails. */
export async function benchApi(
  sizes: readonly { readonly services: number; readonly endpoints: number }[],
  nodeFlags: readonly string[],
): Promise<Row[]> {
  const folder = mkdtempSync(join(ROOT, 'bench-api-'));
  try {
    const program = bundle(folder);
    const rows: Row[] = [];
    const empty = await heapOf(program, nodeFlags, { services: 1, endpoints: 1 });
    for (const size of sizes) rows.push(await measure(program, nodeFlags, size, empty));
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Inside of the checkout, because koffi is found from there. */
function bundle(folder: string): string {
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      join(ROOT, 'node_modules/rolldown/bin/cli.mjs'),
      fileURLToPath(new URL('./api-run.ts', import.meta.url)),
      ...['--platform=node', '--external=koffi', '--format=esm', '--no-code-splitting'],
      ...[`--dir=${join(folder, 'bench')}`, '--entry-file-names=api-run.mjs'],
    ],
    { cwd: ROOT, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`the bench could not be bundled: ${stderr}`);
  return join(folder, 'bench/api-run.mjs');
}

interface Size {
  readonly services: number;
  readonly endpoints: number;
}

async function withServer<T>(
  { services, endpoints }: Size,
  use: (server: Answering, url: string) => Promise<T>,
): Promise<T> {
  const server = new Answering([
    join(ROOT, 'test/cluster/serve.ts'),
    ...['--services', String(services), '--endpoints', String(endpoints)],
  ]);
  try {
    const { url } = (await server.next()) as { url: string };
    return await use(server, url);
  } finally {
    server.say('{"do":"quit"}');
    await server.end();
  }
}

/** What is on the heap when it has come to rest: of the facts alone, and of the whole agent. */
async function heapOf(
  program: string,
  nodeFlags: readonly string[],
  size: Size,
): Promise<Record<'facts' | 'agent', number>> {
  return withServer(size, async (_, url) => {
    const heaps = { facts: 0, agent: 0 };
    for (const what of ['facts', 'agent'] as const) {
      const agent = new Answering([...nodeFlags, '--expose-gc', program, what, url]);
      heaps[what] = ((await agent.next()) as Rested).heapBytes;
      await agent.end();
    }
    return heaps;
  });
}

async function measure(
  program: string,
  nodeFlags: readonly string[],
  size: Size,
  empty: Record<'facts' | 'agent', number>,
): Promise<Row> {
  const full = await heapOf(program, nodeFlags, size);
  const runs = await withServer(size, async (server, url) => {
    const runs: { readonly rested: Rested; readonly followed: Followed }[] = [];
    for (let run = 0; run < RUNS; run++) {
      const agent = new Answering([...nodeFlags, program, 'agent', url]);
      const rested = (await agent.next()) as Rested;
      let followed: Followed = { cpuMs: 0, peakKb: 0 };
      for (const count of [WARM_UP_EVENTS, EVENTS]) {
        server.say(JSON.stringify({ do: 'churn', count }));
        const { version } = (await server.next()) as { version: number };
        agent.say(String(version));
        followed = (await agent.next()) as Followed;
      }
      await agent.end();
      runs.push({ rested, followed });
    }
    return runs;
  });
  const median = (of: (run: (typeof runs)[number]) => number, digits = 0): number =>
    Number((runs.map(of).sort((a, b) => a - b)[Math.floor(RUNS / 2)] ?? Number.NaN).toFixed(digits));
  const perService = (what: 'facts' | 'agent'): number =>
    Math.round((full[what] - empty[what]) / size.services);
  return {
    slices: `${size.services}x${size.endpoints}`,
    'list s': median(({ rested }) => rested.listMs / 1000, 2),
    'first sync s': median(({ rested }) => rested.syncMs / 1000, 2),
    'CPU until then s': median(({ rested }) => rested.startCpuMs / 1000, 2),
    'bytes a Service and slice, facts': perService('facts'),
    'bytes a Service and slice, agent': perService('agent'),
    'peak RSS MB': median(({ rested, followed }) => Math.max(rested.peakKb, followed.peakKb) / 1024),
    'settled RSS MB': median(({ rested }) => rested.settledKb / 1024),
    'CPU ms per 1,000 events': median(({ followed }) => followed.cpuMs),
  };
}
