// Compares what the original and ours did with one command line, but for the deliberate differences. Pure.

import { isDeepStrictEqual } from 'node:util';
import type { CommandLine, Outcome } from './command-line.ts';
import { DELIBERATE_DIFFERENCES, type Demand } from './deliberate-differences.ts';
import type { TableState } from './table-state.ts';

/** A run and the table it left. */
export interface Run {
  readonly outcome: Outcome;
  readonly table: TableState;
}

/** Whether a deliberate difference lets the tables part here, so that what follows cannot be compared. */
export function mayPart(line: CommandLine, original: Outcome): boolean {
  return DELIBERATE_DIFFERENCES.some(({ holds, demand }) => !demand.table && holds(line, original));
}

const EVERYTHING: Demand = { exitCode: true, stdout: true, stderr: true, table: true };

/**
 * What differs, in a fixed order; empty when both did the same or when the difference is deliberate.
 * `sameTable` says that both read one table: then even the kernel's order has to be the same.
 */
export function compareRuns(
  line: CommandLine,
  original: Run,
  ours: Run,
  sameTable: boolean,
): readonly (keyof Demand)[] {
  const demand =
    DELIBERATE_DIFFERENCES.find(({ holds }) => holds(line, original.outcome))?.demand ?? EVERYTHING;
  const isEqual: Record<keyof Demand, boolean> = {
    exitCode: original.outcome.exitCode === ours.outcome.exitCode,
    stdout:
      original.outcome.stdout === ours.outcome.stdout ||
      (!sameTable && sortBlocks(original.outcome.stdout) === sortBlocks(ours.outcome.stdout)),
    stderr: original.outcome.stderr === ours.outcome.stderr,
    table: isDeepStrictEqual(original.table, ours.table),
  };
  return (['exitCode', 'stdout', 'stderr', 'table'] as const).filter(
    (part) => demand[part] && !isEqual[part],
  );
}

/** A listing with its services in alphabetical order, each with its servers behind it: the kernel's order differs by namespace. */
function sortBlocks(text: string): string {
  return text
    .split(/\n(?=[A-Z]|-A )/)
    .map((block) => block.replace(/\n$/, ''))
    .sort()
    .join('\n');
}

const TIME = /\b\d{2,}:\d\d\b/g;

/**
 * Whether a listing may have been made between two others: the same but for times to live, MM:SS, which run down from the first to the last.
 */
export function isBetween(listing: Outcome, first: Outcome, last: Outcome): boolean {
  const timeless = ({ exitCode, stdout, stderr }: Outcome): unknown => [
    exitCode,
    stdout.replaceAll(TIME, '--:--'),
    stderr,
  ];
  const times = ({ stdout }: Outcome): number[] =>
    (stdout.match(TIME) ?? []).map((time) => {
      const [minutes = 0, seconds = 0] = time.split(':').map(Number);
      return 60 * minutes + seconds;
    });
  const [earliest, latest] = [times(first), times(last)];
  return (
    isDeepStrictEqual(timeless(listing), timeless(first)) &&
    isDeepStrictEqual(timeless(listing), timeless(last)) &&
    times(listing).every((time, i) => (latest[i] ?? 0) <= time && time <= (earliest[i] ?? 0))
  );
}
