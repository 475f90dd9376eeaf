// Listings of a table with connections: the original and ours print the same namespace, one after the other. Time runs between them, so
// that a line is tried again when they differ; ours may then stand between two of the original's. A real difference stays.

import { fileURLToPath } from 'node:url';
import type { CommandLine } from './command-line.ts';
import type { Difference, Twins } from './twins.ts';
import { isBetween } from './verdict.ts';

const MAX_TRIES = 12;

const LINES: readonly CommandLine[] = [
  '-Lnc',
  '-Lc',
  '-L -c -n --exact',
  '-Lnc --nosort',
  '-Lnc --persistent-conn',
  '-Lc --persistent-conn',
  '-Ln',
  '-L',
  '-Ln --stats',
  '-L --stats',
  '-Ln --stats --exact',
  '-Ln --rate',
  '-Ln --rate --exact',
  '-Ln --persistent-conn',
  '-Ln --thresholds',
  '-Ln --tun-info',
  '-Ln --nosort',
  '-Ln --stats -t 10.255.0.1:80',
  '-Ln --rate -u [fd00:255::1]:53',
  '-Z -u 10.255.0.1:53',
  '-Ln --stats',
  '-Z',
  '-Ln --stats',
  '-S',
].map((text) => ({ args: text.split(' '), stdin: null }));

/** Makes the connections and compares the listings. */
export async function compareWithTraffic(twins: Twins): Promise<readonly Difference[]> {
  await twins.reset();
  await twins.runInOriginals(`bash ${fileURLToPath(new URL('twins-traffic.sh', import.meta.url))}`);
  const differences: Difference[] = [];
  for (const line of LINES) {
    const difference = await compareInTime(twins, line);
    if (difference !== null) differences.push(difference);
  }
  return differences;
}

async function compareInTime(twins: Twins, line: CommandLine): Promise<Difference | null> {
  let before: Difference | null = null;
  for (let tries = 1; tries <= MAX_TRIES; tries++) {
    const result = await twins.runOnOriginals(line);
    if (result === 'same') return null;
    if (before !== null && isBetween(before.ours.outcome, before.original.outcome, result.original.outcome))
      return null;
    before = result;
  }
  return before;
}
