// `npm run bench -- addresses`: what it costs a node to answer for N service addresses, in several ways, and how the node behaves with each.
// Every measurement (addresses-guest.ts) runs in a guest of its own, and once in an empty namespace of this machine, where only CPU time is
// told: it does not depend on who else needs the machine. All behaviour (addresses-behaviour.ts) is seen in one more guest.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInGuest } from '../lab/boot.ts';
import type { Family } from '../src/model/ip.ts';
import type { Seen } from './addresses-behaviour.ts';
import type { AddressesResult } from './addresses-guest.ts';
import { WAYS, type Way } from './addresses-ways.ts';

type Row = Record<string, string | number>;

/** Everything once, then everything again: a ratio between ways should see the same weather. */
const RUNS = 3;
/** The size that is measured with IPv6 too, and in which ways. */
const IPV6_SIZE = 10_000;
const IPV6_WAYS: ReadonlySet<Way> = new Set(['1 device', '8 devices', '44 devices', 'routes', 'one route']);
const NATIVE_TIMEOUT_MS = 240_000;
const GUEST_TIMEOUT_MS = 420_000;
const MEMORY_MB = 2048;
const BEHAVIOUR_MEMORY_MB = 1024;

interface Cell {
  readonly way: Way;
  readonly count: number;
  readonly family: Family;
}

/** Rows of three tables: times in guests, medians of three with the range of the most important; CPU times natively; behaviour. Throws when a measurement fails. */
export async function benchAddresses(
  counts: readonly number[],
  nodeFlags: readonly string[],
): Promise<Row[]> {
  const cells = counts.flatMap((count) => [
    ...WAYS.map((way): Cell => ({ way, count, family: 'IPv4' })),
    ...(count === IPV6_SIZE ? [...IPV6_WAYS].map((way): Cell => ({ way, count, family: 'IPv6' })) : []),
  ]);
  const results = new Map<Cell, AddressesResult[]>(cells.map((cell) => [cell, []]));
  for (let run = 0; run < RUNS; run++)
    for (const [cell, own] of results) {
      const result = await measure(cell, nodeFlags);
      own.push(result);
      // It takes a quarter of an hour and more.
      process.stderr.write(`${cell.count} ${cell.family}, ${cell.way}: ${round(result.addMs, 0)} ms\n`);
    }
  return [
    ...[...results].map(([cell, own]) => timesRow(cell, own)),
    ...cells.map((cell) => nativeRow(cell, measureNatively(cell, nodeFlags))),
    ...(await behaviourRows()),
  ];
}

/** In a network namespace of its own, which ends with the process. */
function measureNatively({ way, count, family }: Cell, nodeFlags: readonly string[]): AddressesResult {
  const results = mkdtempSync(join(tmpdir(), 'pointsman-bench-'));
  try {
    const entry = fileURLToPath(new URL('./addresses-guest.ts', import.meta.url));
    const args = ['--net', process.execPath, ...nodeFlags, entry, way, String(count), family];
    const done = spawnSync('/usr/bin/unshare', args, {
      encoding: 'utf8',
      timeout: NATIVE_TIMEOUT_MS,
      env: { ...process.env, POINTSMAN_RESULTS: results },
    });
    if (done.status !== 0)
      throw new Error(
        `${way} ${count} ${family} ended with ${done.status ?? done.signal}: ${done.stderr.slice(-1000)}`,
      );
    return JSON.parse(readFileSync(join(results, 'result.json'), 'utf8')) as AddressesResult;
  } finally {
    rmSync(results, { recursive: true });
  }
}

function nativeRow({ way, count, family }: Cell, result: AddressesResult): Row {
  return {
    natively: count,
    family,
    way,
    [`Linux ${release()}: add all CPU ms`]: round(result.addCpuMs, 0),
    'remove all CPU ms': round(result.removeCpuMs, 0),
    'add one ms': round(result.addOneMs, 3),
    'remove one ms': round(result.removeOneMs, 3),
    'connect CPU us': round(result.connectCpuUs, 0),
  };
}

async function runGuest<T>(
  file: string,
  args: readonly string[],
  memoryMb: number,
  nodeFlags: readonly string[],
): Promise<T> {
  const guest = await runInGuest(new URL(file, import.meta.url), args, {
    timeoutMs: GUEST_TIMEOUT_MS,
    memoryMb,
    nodeFlags,
  });
  const result = guest.files.get('result.json');
  if (guest.exitCode !== 0 || result === undefined) {
    const how = `${guest.exitCode ?? 'no exit code'}${guest.timedOut ? ' (time limit)' : ''}`;
    throw new Error(`${file} ${args.join(' ')} ended with ${how}: ${guest.stderr.slice(-1000)}`);
  }
  return JSON.parse(result.toString()) as T;
}

function measure({ way, count, family }: Cell, nodeFlags: readonly string[]): Promise<AddressesResult> {
  return runGuest('./addresses-guest.ts', [way, String(count), family], MEMORY_MB, nodeFlags);
}

function timesRow({ way, count, family }: Cell, runs: readonly AddressesResult[]): Row {
  const values = (name: keyof AddressesResult): number[] =>
    runs.map((run) => run[name] ?? Number.NaN).toSorted((a, b) => a - b);
  const median = (name: keyof AddressesResult, digits: number): number =>
    round(values(name)[Math.floor(runs.length / 2)], digits);
  return {
    addresses: count,
    family,
    way,
    'add all ms': median('addMs', 0),
    range: `${round(values('addMs')[0], 0)} to ${round(values('addMs').at(-1), 0)}`,
    'add one ms': median('addOneMs', 2),
    'remove one ms': median('removeOneMs', 2),
    'list ms': median('listMs', 0),
    'ip list ms': median('ipListMs', 0),
    'remove all ms': median('removeMs', 0),
    'delete devices ms': count > IPV6_SIZE ? '-' : median('deleteDevicesMs', 0),
    'connect CPU us': median('connectCpuUs', 0),
    'kernel MB': median('kernelMb', 1),
  };
}

/** One row for each answer; ways that gave the same one share it. */
async function behaviourRows(): Promise<Row[]> {
  const seen = await runGuest<Record<string, { readonly ipv4: Seen; readonly ipv6: Seen }>>(
    './addresses-behaviour.ts',
    [],
    BEHAVIOUR_MEMORY_MB,
    [],
  );
  const ways = Object.keys(seen);
  return Object.keys(seen[ways[0] ?? '']?.ipv4 ?? {}).flatMap((question) => {
    const answers = Object.groupBy(ways, (way) =>
      JSON.stringify([seen[way]?.ipv4[question], seen[way]?.ipv6[question]]),
    );
    return Object.entries(answers).map(([answer, same = []]) => {
      const [ipv4 = '', ipv6 = ''] = JSON.parse(answer) as string[];
      return { seen: question, ways: same.length === ways.length ? 'all' : same.join('; '), ipv4, ipv6 };
    });
  });
}

function round(value: number | undefined, digits: number): number {
  return Number((value ?? Number.NaN).toFixed(digits));
}
