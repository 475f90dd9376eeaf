// `npm run bench -- flows`: what it costs to find the stale flows of UDP clients, by the number of tracked flows: one portal by a question of
// its own, and all of UDP. Runs natively, each measurement in a network namespace of its own (bench/flows-run.ts).

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const RUN = fileURLToPath(new URL('./flows-run.ts', import.meta.url));
const RUN_TIMEOUT_MS = 120_000;

/** A row for each number of entries. Needs root. Throws when a measurement fails. */
export function benchFlows(
  entries: readonly number[],
  nodeFlags: readonly string[],
): Record<string, number>[] {
  return entries.map((count) => {
    const args = ['-n', process.execPath, ...nodeFlags, RUN, String(count)];
    const output = execFileSync('unshare', args, { encoding: 'utf8', timeout: RUN_TIMEOUT_MS });
    const result = JSON.parse(output) as Readonly<Record<string, number>>;
    const of = (name: string): number => Number((result[name] ?? Number.NaN).toFixed(1));
    return {
      entries: count,
      buckets: of('buckets'),
      'one portal ms': of('oneMs'),
      'all of UDP ms': of('allMs'),
      'cross at portals': Number(((result.allMs ?? Number.NaN) / (result.oneMs ?? 1)).toFixed(1)),
      'pass over 2,000 portals ms': of('passMs'),
      deleted: of('deleted'),
      'loop max ms': of('loopMaxMs'),
    };
  });
}
