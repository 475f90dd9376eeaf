// Starts the differential test's guest and turns what it found into text. Used by the fast and the long test, and by hand:
//   node test/ipvsadm/differential.ts SEED LINES SECONDS

import { fileURLToPath } from 'node:url';
import { ipvsKernel } from '../../lab/boot.ts';
import { formatCommandLine } from './command-line.ts';
import type { Difference } from './twins.ts';
import type { DifferentialReport, ReportedDifference } from './twins-guest.ts';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export interface DifferentialOptions {
  readonly seed: number;
  /** It ends with whichever is first. */
  readonly maxLines: number;
  readonly maxSeconds: number;
}

/** Runs the guest. Throws when it did not come to its end. */
export async function runDifferential(options: DifferentialOptions): Promise<DifferentialReport> {
  const { seed, maxLines, maxSeconds } = options;
  const guest = await ipvsKernel.boot({
    program: [
      '/bin/sh',
      path('twins.sh'),
      process.execPath,
      path('twins-guest.ts'),
      ...[seed, maxLines, maxSeconds].map(String),
    ],
  });
  const json = guest.files.get('differential.json');
  if (json === undefined)
    throw new Error(
      `the guest did not finish (exit ${guest.exitCode}, timed out: ${guest.timedOut}):\n${guest.stderr}`,
    );
  return JSON.parse(json.toString()) as DifferentialReport;
}

/** One difference for a person: what to type, and what both gave. */
export function formatDifference({ seed, path, script, difference }: ReportedDifference): string {
  const steps = script.map((line) => `  $ ${line}`).join('\n');
  return `seed ${seed} path ${path}:\n${steps}\n${formatOutcomes(difference)}`;
}

/** The same for a line that was run with connections in the table. */
export function formatDifferenceWithTraffic(difference: Difference): string {
  return `with traffic:\n  $ ${formatCommandLine(difference.line)}\n${formatOutcomes(difference)}`;
}

function formatOutcomes({ differs, original, ours }: Difference): string {
  const lines = [`  differs in ${differs.join(', ')}`];
  for (const part of ['exitCode', 'stdout', 'stderr'] as const) {
    const [theirs, own] = [original.outcome[part], ours.outcome[part]];
    if (theirs === own) lines.push(`  both ${part}: ${show(theirs)}`);
    else lines.push(`  original ${part}: ${show(theirs)}`, `  ours     ${part}: ${show(own)}`);
  }
  if (differs.includes('table'))
    lines.push(
      `  original table: ${JSON.stringify(original.table)}`,
      `  our table:      ${JSON.stringify(ours.table)}`,
    );
  return lines.join('\n');
}

const MAX_SHOWN = 2000;

/** Text as it is, with the bytes that a terminal would hide or change as \\xNN. */
function show(value: string | number): string {
  const text = String(value);
  if (text === '') return '(nothing)';
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
  return cut.replaceAll(
    /[^\x20-\x7e\n]/g,
    (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [seed = 1, maxLines = 300, maxSeconds = 60] = process.argv.slice(2, 5).map(Number);
  const report = await runDifferential({ seed, maxLines, maxSeconds });
  const { differences, withTraffic, ...counts } = report;
  const found = [...differences.map(formatDifference), ...withTraffic.map(formatDifferenceWithTraffic)];
  process.stdout.write(`${JSON.stringify(counts)}\n${found.join('\n\n')}\n`);
}
