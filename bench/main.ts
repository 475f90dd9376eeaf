// `npm run bench -- first-sync | one-change | idle | verify | ipvsadm | plan | addresses | flows | api | process [-o json] [--sizes 1000x10,5000x8]`: what README's
// figures come from. Each measurement runs in a guest of its own, so that none sees what another left in the kernel; those of the plan
// and of the API need no kernel, those of flows run on this machine's.

import { cpus, totalmem } from 'node:os';
import { runInGuest } from '../lab/boot.ts';

interface Size {
  readonly services: number;
  readonly endpoints: number;
}

type Result = Readonly<Record<string, number>>;

const DEFAULT_SIZES: Readonly<Record<string, string>> = {
  // 44000x1 is a command of its own: on a busy machine its addresses alone take the kernel minutes, six times over.
  'first-sync': '1000x10,5000x8,20000x8',
  'one-change': '1000x8,20000x8',
  idle: '5000x8',
  verify: '5000x8,20000x8,44000x1',
  ipvsadm: '10000x10',
  plan: '5000x8,44000x1,20000x8',
  api: '10000x10,10000x100',
  process: '100x10,1000x10,5000x8',
  // Of these only the first number counts.
  addresses: '1000x1,10000x1,44000x1',
  // Of these, too.
  flows: '1000x1,10000x1,50000x1',
};
const GUEST_TIMEOUT_MS = 540_000;
/** What bin/pointsman starts the agent with. */
const AGENT_NODE_FLAGS = ['--max-semi-space-size=4'];
const RUNS = 3;
const MEMORY_MB = 3072;
/** kube-proxy 1.36 in the same kind of guest, measured earlier with the same shape of Services. */
const KUBE_PROXY_MS: Readonly<Record<string, number>> = { '1000x10': 142_000, '5000x8': 1_500_000 };

async function main(): Promise<void> {
  const [name = '', ...options] = process.argv.slice(2);
  const defaultSizes = DEFAULT_SIZES[name];
  if (defaultSizes === undefined) {
    process.stderr.write(
      `error: no such bench: "${name}"; there are ${Object.keys(DEFAULT_SIZES).join(', ')}\n`,
    );
    process.exitCode = 2;
    return;
  }
  const sizes = parseSizes(optionOf(options, '--sizes') ?? defaultSizes);
  const rows: Record<string, string | number>[] = [];
  // All sizes at once: they are compared.
  if (name === 'plan') rows.push(...(await import('./plan.ts')).benchPlan(sizes, AGENT_NODE_FLAGS));
  else if (name === 'api') rows.push(...(await (await import('./api.ts')).benchApi(sizes, AGENT_NODE_FLAGS)));
  else if (name === 'flows')
    rows.push(
      ...(await import('./flows.ts')).benchFlows(
        sizes.map(({ services }) => services),
        AGENT_NODE_FLAGS,
      ),
    );
  else if (name === 'addresses') rows.push(...(await addresses(sizes)));
  else if (name === 'process')
    rows.push(...(await (await import('./process.ts')).benchProcess(sizes, AGENT_NODE_FLAGS)));
  else for (const size of sizes) rows.push(...[await BENCHES[name as keyof typeof BENCHES](size)].flat());
  const machine = {
    cpu: cpus()[0]?.model ?? '',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    guest: ['plan', 'flows', 'api'].includes(name) ? null : 'user-mode Linux 6.1, one CPU',
    node: process.version,
  };
  if (optionOf(options, '-o') === 'json')
    process.stdout.write(`${JSON.stringify({ bench: name, machine, rows }, null, 2)}\n`);
  else
    process.stdout.write(
      `${name} ${machine.guest === null ? 'natively' : `on ${machine.guest}`}, ${machine.cores} x ${machine.cpu}, Node ${machine.node}\n\n${formatTables(rows)}`,
    );
}

function optionOf(options: readonly string[], name: string): string | undefined {
  const at = options.indexOf(name);
  return at === -1 ? undefined : options[at + 1];
}

function parseSizes(text: string): Size[] {
  return text.split(',').map((each) => {
    const match = /^(\d{1,6})x(\d{1,4})$/.exec(each);
    if (match === null) throw new Error(`a size is SERVICESxENDPOINTS, not "${each}"`);
    return { services: Number(match[1]), endpoints: Number(match[2]) };
  });
}

async function measure(what: string, { services, endpoints }: Size): Promise<Result> {
  const entry = new URL(what === 'idle' ? './idle.ts' : './guest.ts', import.meta.url);
  const guest = await runInGuest(entry, [what, String(services), String(endpoints)], {
    timeoutMs: GUEST_TIMEOUT_MS,
    memoryMb: MEMORY_MB,
    nodeFlags: AGENT_NODE_FLAGS,
  });
  const result = guest.files.get('result.json');
  if (guest.exitCode !== 0 || result === undefined) {
    throw new Error(
      `${what} ${services}x${endpoints} ended with ${guest.exitCode ?? 'no exit code'}${guest.timedOut ? ' (time limit)' : ''}: ${guest.stderr.slice(-1000)}`,
    );
  }
  return JSON.parse(result.toString()) as Result;
}

const round = (value: number | undefined, digits = 0): number =>
  Number((value ?? Number.NaN).toFixed(digits));

async function firstSync(size: Size): Promise<Record<string, string | number>> {
  const label = `${size.services}x${size.endpoints}`;
  // In pairs, and the median pair counts: these machines are shared, and a ratio within a pair sees the same weather.
  const pairs: { readonly bare: Result; readonly ours: Result; readonly ratio: number }[] = [];
  for (let run = 0; run < RUNS; run++) {
    const bare = await measure('bare', size);
    const ours = await measure('ours', size);
    pairs.push({ bare, ours, ratio: (ours.totalMs ?? 0) / (bare.totalMs ?? 1) });
  }
  pairs.sort((a, b) => a.ratio - b.ratio);
  const median = pairs[Math.floor(RUNS / 2)];
  if (median === undefined) throw new Error('no run was made');
  const { bare, ours, ratio } = median;
  // The tools take minutes at the largest size and say nothing new there.
  const tools = size.services <= 5000 ? await measure('tools', size) : null;
  return {
    size: label,
    operations: round(ours.operations),
    'ours ms': round(ours.totalMs),
    'bare ms': round(bare.totalMs),
    'ours/bare': round(ratio, 2),
    'of runs': pairs.map((pair) => round(pair.ratio, 2)).join(' '),
    'ours: taking in + sync ms': `${round(ours.takenInMs)}+${round(ours.syncMs)}`,
    'bare ipvs+sets+addresses ms': `${round(bare.ipvsMs)}+${round(bare.setsMs)}+${round(bare.addressesMs)}`,
    'ipvsadm -R + ipset restore ms': tools === null ? '-' : round(tools.totalMs),
    'kube-proxy 1.36 ms': KUBE_PROXY_MS[label] ?? '-',
    'page faults x us': `${round(ours.pageFaults)} x ${round(ours.pageFaultUs)}`,
    'peak RSS MB': round(ours.peakRssMb),
    'loop p99 ms': round(ours.loopP99Ms, 1),
    'loop max ms': round(ours.loopMaxMs, 1),
  };
}

async function oneChange(size: Size): Promise<Record<string, string | number>> {
  const result = await measure('one-change', size);
  return {
    size: `${size.services}x${size.endpoints}`,
    'median ms': round(result.medianMs, 2),
    'p99 ms': round(result.p99Ms, 2),
    'max ms': round(result.maxMs, 2),
    'most operations': round(result.operations),
  };
}

/** The share is of one core when the comparison is spread over ten minutes, and for the checks when they come every five seconds. */
async function verify(size: Size): Promise<Record<string, string | number>> {
  const result = await measure('verify', size);
  return {
    size: `${size.services}x${size.endpoints}`,
    slices: round(result.slices),
    'work s': round((result.workMs ?? 0) / 1000, 2),
    'cpu s': round((result.cpuMs ?? 0) / 1000, 2),
    '% of a core': round((result.workMs ?? 0) / 6000, 2),
    'slice median, max ms': `${round(result.sliceMedianMs, 1)}, ${round(result.sliceMaxMs, 1)}`,
    'check ms': round(result.checkMedianMs, 2),
    'checks % of a core': round((result.checkMedianMs ?? 0) / 50, 2),
    repairs: round(result.repairs),
  };
}

async function idle(size: Size): Promise<Record<string, string | number>> {
  const result = await measure('idle', size);
  return {
    size: `${size.services}x${size.endpoints}`,
    'cpu s a minute': round(result.cpuSecondsPerMinute, 3),
    'RSS MB': round(result.rssMb),
    'first sync s': round(result.firstSyncSeconds, 1),
  };
}

async function ipvsadm({ services, endpoints }: Size): Promise<Record<string, string | number>[]> {
  const { benchIpvsadm } = await import('./ipvsadm.ts');
  return benchIpvsadm(services, endpoints);
}

async function addresses(sizes: readonly Size[]): Promise<Record<string, string | number>[]> {
  const { benchAddresses } = await import('./addresses.ts');
  return benchAddresses(
    sizes.map(({ services }) => services),
    AGENT_NODE_FLAGS,
  );
}

const BENCHES = { 'first-sync': firstSync, 'one-change': oneChange, idle, verify, ipvsadm };

/** Rows with the same columns make a table. */
function formatTables(rows: readonly Readonly<Record<string, string | number>>[]): string {
  return Object.values(Object.groupBy(rows, (row) => Object.keys(row).join()))
    .map((table) => formatRows(table ?? []))
    .join('\n');
}

function formatRows(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const cells = [
    names,
    ...rows.map((row) =>
      names.map((name) =>
        typeof row[name] === 'number' ? row[name].toLocaleString('en-US') : String(row[name]),
      ),
    ),
  ];
  const widths = names.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  return cells.map((row) => `${row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  ')}\n`).join('');
}

await main();
