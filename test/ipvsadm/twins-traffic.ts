// Listings of a table with connections: the original and ours print the same namespace, one after the other. Time runs between them, so
// that a line is tried again when they differ; a real difference stays.

import { fileURLToPath } from 'node:url';
import type { CommandLine } from './command-line.ts';
import type { Difference, Twins } from './twins.ts';

const MAX_TRIES = 8;

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
    let result = await twins.runOnOriginals(line);
    for (let tries = 1; result !== 'same' && tries < MAX_TRIES; tries++)
      result = await twins.runOnOriginals(line);
    if (result !== 'same') differences.push(result);
  }
  return differences;
}
