// The guest's program of the differential test. Arguments: SEED MAX_LINES MAX_SECONDS. Generates scripts, runs them on the twins,
// shrinks what differs, and writes differential.json: what ran, and up to MAX_DIFFERENCES different differences.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import * as fc from 'fast-check';
import { formatCommandLine } from './command-line.ts';
import { runInProcess } from './in-process.ts';
import { minimise } from './minimise.ts';
import { script, type Script } from './script-arbitrary.ts';
import { compareWithTraffic } from './twins-traffic.ts';
import { Twins, type Difference } from './twins.ts';

/** What a run of the guest found. */
export interface DifferentialReport {
  readonly lines: number;
  readonly scripts: number;
  readonly seconds: number;
  /** How often the original ended with which code. */
  readonly exitCodes: Readonly<Record<string, number>>;
  readonly differences: readonly ReportedDifference[];
  /** Of listings with connections in the table. */
  readonly withTraffic: readonly Difference[];
}

export interface ReportedDifference {
  readonly seed: number;
  readonly path: string;
  /** The shrunk script up to the line that differs, as one types it. */
  readonly script: readonly string[];
  readonly difference: Difference;
}

const MAX_DIFFERENCES = 25;
const SCRIPTS_PER_ROUND = 20;
/** Shortening may not eat the time of the rest. */
const MINIMISE_MS = 10_000;

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: process.argv.slice(2) });
  worker.ref();
} else {
  const [seed = 1, maxLines = 0, maxSeconds = 0] = (workerData as string[]).map(Number);
  const report = await explore(seed, maxLines, maxSeconds);
  writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '.', 'differential.json'), JSON.stringify(report));
  process.exit(0);
}

/** Runs rounds of scripts until the lines or the seconds are used up. */
async function explore(seed: number, maxLines: number, maxSeconds: number): Promise<DifferentialReport> {
  const startMs = performance.now();
  const twins = new Twins(runInProcess);
  const differences: ReportedDifference[] = [];
  const known = new Set<string>();
  let scripts = 0;
  const seconds = (): number => (performance.now() - startMs) / 1000;
  const isOver = (): boolean => seconds() > maxSeconds || twins.lines >= maxLines;

  /** The first difference that is not known yet. */
  const firstDifference = async (lines: Script): Promise<Found | null> => {
    scripts++;
    await twins.reset();
    for (const [index, line] of lines.entries()) {
      const difference = await twins.run(line);
      if (difference === 'same') continue;
      if (difference === 'parted') return null;
      // What follows a known one may only follow from it.
      return known.has(signature(difference)) ? null : { script: lines.slice(0, index + 1), difference };
    }
    return null;
  };

  for (let round = seed; !isOver() && differences.length < MAX_DIFFERENCES; round++) {
    let found = null as Found | null;
    const property = fc.asyncProperty(script, async (lines) => {
      if (isOver()) return;
      found = await firstDifference(lines);
      if (found !== null) throw new Error('differs');
    });
    const parameters = { seed: round, numRuns: SCRIPTS_PER_ROUND, endOnFailure: true };
    const { counterexamplePath } = await fc.check(property, parameters);
    if (found === null) continue;
    const shown = signature(found.difference);
    const endMs = performance.now() + MINIMISE_MS;
    await minimise(
      found.script,
      async (shorter) => {
        const again = await firstDifference(shorter);
        if (again === null || signature(again.difference) !== shown) return false;
        found = again;
        return true;
      },
      () => performance.now() > endMs,
    );
    known.add(shown);
    differences.push({
      seed: round,
      path: counterexamplePath ?? '',
      script: found.script.map(formatCommandLine),
      difference: found.difference,
    });
  }
  const withTraffic = await compareWithTraffic(twins);
  twins.close();
  return {
    lines: twins.lines,
    scripts,
    seconds: seconds(),
    exitCodes: Object.fromEntries(twins.exitCodes),
    differences,
    withTraffic,
  };
}

interface Found {
  readonly script: Script;
  readonly difference: Difference;
}

/** Differences with the same signature are taken for one. */
function signature({ line, differs, original, ours }: Difference): string {
  const plain = (text: string): string => text.split('\n', 1).join('').replaceAll(/\d+/g, '0').slice(0, 120);
  const command = differs.includes('stdout') || differs.includes('table') ? line.args[0]?.slice(0, 3) : '';
  const stderr = differs.includes('stderr')
    ? [original, ours].map(({ outcome }) => plain(outcome.stderr))
    : [];
  return JSON.stringify([differs, command, stderr]);
}
