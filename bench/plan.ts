// `npm run bench -- plan`: what the service model and the plan cost by themselves. Runs natively and needs no guest: each measurement is a
// process of its own (bench/plan-run.ts) with the agent's heap settings. Medians of several processes, with the range beside them.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

type Row = Record<string, string | number>;

/** A table of Services, each with as many endpoints. */
export interface PlanBenchSize {
  readonly services: number;
  readonly endpoints: number;
}

interface Compiled {
  readonly totalMs: number;
  readonly takingInMs: number;
  readonly compilingMs: number;
  /** CPU time of the main thread: what is left of `totalMs` where nobody else needs the machine. */
  readonly cpuMs: number;
}

interface EventTimes {
  readonly medianUs: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** One event by itself; all others are means of batches. */
  readonly longestUs: number;
}

interface Memory {
  readonly snapshotBytes: number;
  readonly totalBytes: number;
}

/** What bench/plan-run.ts prints; an event's times by kind. */
interface Results {
  readonly compile: Compiled;
  readonly event: Readonly<Record<string, EventTimes>>;
  readonly memory: Memory;
}

const RUN = fileURLToPath(new URL('./plan-run.ts', import.meta.url));
const RUNS: Readonly<Record<keyof Results, number>> = { compile: 5, event: 3, memory: 3 };
const RUN_TIMEOUT_MS = 120_000;
const MEGABYTE = 1e6;
/** What the figures are to stay below. */
const AIM_COMPILE_MS: Readonly<Record<string, number>> = { '44000x1': 1000 };
const AIM_EVENT_US = 200;
const AIM_MEMORY_MB: Readonly<Record<string, number>> = { '20000x8': 120 };

/** Rows of three tables: compiling from objects, one event, memory. Throws when a measurement fails. */
export function benchPlan(sizes: readonly PlanBenchSize[], nodeFlags: readonly string[]): Row[] {
  const runs = <K extends keyof Results>(what: K, size: PlanBenchSize): Results[K][] =>
    Array.from({ length: RUNS[what] }, () => runOnce(what, size, nodeFlags));
  return [
    ...sizes.map((size) => compileRow(size, runs('compile', size))),
    ...eventRows(sizes.map((size) => ({ size, runs: runs('event', size) }))),
    ...sizes.map((size) => {
      const { services } = size;
      const one = runs('memory', { services, endpoints: 1 });
      const eight = runs('memory', { services, endpoints: 8 });
      return memoryRow(size, one, eight, runs('memory', size));
    }),
  ];
}

function runOnce<K extends keyof Results>(
  what: K,
  { services, endpoints }: PlanBenchSize,
  nodeFlags: readonly string[],
): Results[K] {
  const args = [...nodeFlags, '--expose-gc', RUN, what, String(services), String(endpoints)];
  const done = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: RUN_TIMEOUT_MS,
  });
  if (done.error !== undefined) throw done.error;
  if (done.status !== 0)
    throw new Error(`${what} ${services}x${endpoints} ended with ${done.status ?? done.signal}`);
  return JSON.parse(done.stdout) as Results[K];
}

function compileRow(size: PlanBenchSize, runs: readonly Compiled[]): Row {
  const total = spread(runs.map(({ totalMs }) => totalMs));
  const cpu = spread(runs.map(({ cpuMs }) => cpuMs));
  return {
    compile: labelOf(size),
    'total ms': round(total.median),
    range: total.range,
    'aim ms': AIM_COMPILE_MS[labelOf(size)] ?? '-',
    'taking in ms': round(spread(runs.map(({ takingInMs }) => takingInMs)).median),
    'compiling ms': round(spread(runs.map(({ compilingMs }) => compilingMs)).median),
    'CPU ms': round(cpu.median),
    'CPU range': cpu.range,
  };
}

/** The ratio is that of the median to that at the first size. */
function eventRows(
  measured: readonly { readonly size: PlanBenchSize; readonly runs: readonly Results['event'][] }[],
): Row[] {
  const kinds = Object.keys(measured[0]?.runs[0] ?? {});
  return kinds.flatMap((kind) => {
    let atFirstSize: number | null = null;
    return measured.map(({ size, runs }) => {
      const times = (name: keyof EventTimes): ReturnType<typeof spread> =>
        spread(runs.map((run) => run[kind]?.[name] ?? Number.NaN));
      const median = times('medianUs');
      atFirstSize ??= median.median;
      return {
        event: kind,
        size: labelOf(size),
        'median us': round(median.median, 1),
        range: median.range,
        'aim us': AIM_EVENT_US,
        'to first size': round(median.median / atFirstSize, 2),
        'p99 us': round(times('p99Us').median),
        'max us': round(times('maxUs').median),
        'longest single us': round(times('longestUs').median),
      };
    });
  });
}

/** Bytes of a Service and of an endpoint, solved from the runs with one endpoint and with eight. */
function memoryRow(
  size: PlanBenchSize,
  one: readonly Memory[],
  eight: readonly Memory[],
  own: readonly Memory[],
): Row {
  const solve = (name: keyof Memory): { readonly ofService: number; readonly ofEndpoint: number } => {
    const medianOf = (runs: readonly Memory[]): number => spread(runs.map((run) => run[name])).median;
    const ofEndpoint = (medianOf(eight) - medianOf(one)) / (7 * size.services);
    return { ofService: round(medianOf(one) / size.services - ofEndpoint), ofEndpoint: round(ofEndpoint) };
  };
  const megabytes = (name: keyof Memory): ReturnType<typeof spread> =>
    spread(own.map((run) => run[name] / MEGABYTE));
  const total = megabytes('totalBytes');
  return {
    memory: labelOf(size),
    'total MB': round(total.median, 1),
    range: total.range,
    'aim MB': AIM_MEMORY_MB[labelOf(size)] ?? '-',
    'snapshot MB': round(megabytes('snapshotBytes').median, 1),
    'bytes a Service': solve('totalBytes').ofService,
    'bytes an endpoint': solve('totalBytes').ofEndpoint,
    'of those in the snapshot': `${solve('snapshotBytes').ofService}, ${solve('snapshotBytes').ofEndpoint}`,
  };
}

function labelOf({ services, endpoints }: PlanBenchSize): string {
  return `${services}x${endpoints}`;
}

function spread(values: readonly number[]): { readonly median: number; readonly range: string } {
  const sorted = values.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const digits = median < 100 ? 1 : 0;
  const [first, last] = [sorted[0] ?? Number.NaN, sorted.at(-1) ?? Number.NaN];
  return { median, range: `${round(first, digits)} to ${round(last, digits)}` };
}

function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}
