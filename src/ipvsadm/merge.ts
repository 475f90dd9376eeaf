// `diff FILE` and `restore [--merge] [FILE]`: a file of rules beside the kernel's table. A file with a mistake changes nothing.

import { diffTables, operationsOf, type Difference } from './difference.ts';
import { EndpointFormatter } from './endpoint-text.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { formatJson } from './json.ts';
import { formatKernelError } from './kernel-errors.ts';
import { EXIT } from './refusal.ts';
import { readRules } from './rule-file.ts';
import { RuleTable, serverKey } from './rule-table.ts';
import { formatAddServer, formatAddService } from './saving.ts';
import { loadTable } from './table.ts';
import { formatServiceKey } from '../kernel/ipvs-codec.ts';
import { formatOperationObject } from '../kernel/ipvs.ts';

export interface MergeOptions {
  /** A path, or "-" for standard input. */
  readonly file: string;
  readonly isJson: boolean;
  /** Compare with what -R would leave on top of the table, instead of with the file alone. */
  readonly isAppend: boolean;
}

/** Prints what would change; resolves to 0 when nothing, 4 when something, 2 for a file with mistakes. */
export async function diffCommand(options: MergeOptions, table: IpvsTable, io: IpvsadmIo): Promise<number> {
  const differences = await findDifferences(options, table, io);
  if (differences === null) return EXIT.USAGE;
  if (options.isJson)
    io.out(
      formatJson({ differences: differences.map(jsonOf), operations: operationsOf(differences).length }),
    );
  else io.out(differences.map(formatDifference).join(''));
  return differences.length === 0 ? EXIT.GOOD : EXIT.CHANGES;
}

/** Makes the table equal to the file and says how much it took; resolves to 0, 1 when the kernel refused, 2 for mistakes in the file. */
export async function mergeCommand(options: MergeOptions, table: IpvsTable, io: IpvsadmIo): Promise<number> {
  const differences = await findDifferences(options, table, io);
  if (differences === null) return EXIT.USAGE;
  const operations = operationsOf(differences);
  const failures = await table.apply(operations);
  for (const { operation, error } of failures) {
    const reason = formatKernelError(operation.op, error.errno, error.errnoName);
    io.err(`${formatOperationObject(operation)}: ${reason}\n`);
  }
  const done = operations.length - failures.length;
  if (options.isJson) io.out(formatJson({ operations: operations.length, failed: failures.length }));
  else io.err(`${done} of ${operations.length} changes made\n`);
  return failures.length === 0 ? EXIT.GOOD : EXIT.FAILED_LIST;
}

/** A file's content, or all of standard input for "-"; null when it cannot be read, which is said then. */
export function readInput(file: string, io: IpvsadmIo): string | null {
  try {
    return file === '-' ? [...io.stdin()].join('') : io.readFile(file);
  } catch (error) {
    io.err(`${file}: ${(error as Error).message}; give a readable file of rules, or - for standard input\n`);
    return null;
  }
}

async function findDifferences(
  { file, isAppend }: MergeOptions,
  table: IpvsTable,
  io: IpvsadmIo,
): Promise<Difference[] | null> {
  const text = readInput(file, io);
  if (text === null) return null;
  const name = file === '-' ? 'stdin' : file;
  const current = await observe(table);
  const wanted = isAppend ? current.copy() : new RuleTable();
  const mistakes = readRules(text, name, io.names, wanted);
  if (mistakes.length > 0) {
    io.err(mistakes.map((each) => `${each}\n`).join(''));
    return null;
  }
  return diffTables(current, wanted, table.timeouts());
}

/** The kernel's table in the form that rules are compared in, sorted as listings are not: in the kernel's own order. */
async function observe(table: IpvsTable): Promise<RuleTable> {
  const rules = new RuleTable();
  for await (const { service, destinations } of loadTable(table))
    rules.entries.set(formatServiceKey(service), {
      service,
      servers: new Map(destinations.map((each) => [serverKey(each), each])),
    });
  return rules;
}

const numbers = new EndpointFormatter(null);

/** "- RULE" and "+ RULE" lines, the rules as -S writes them. */
function formatDifference(difference: Difference): string {
  const [before, after] = rulesOf(difference);
  return `${before === null ? '' : `- ${before}`}${after === null ? '' : `+ ${after}`}`;
}

function rulesOf(difference: Difference): [before: string | null, after: string | null] {
  switch (difference.what) {
    case 'timeouts': {
      const line = ({ tcpSeconds, tcpFinSeconds, udpSeconds }: (typeof difference)['after']): string =>
        `--set ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}\n`;
      return [line(difference.before), line(difference.after)];
    }
    case 'service': {
      const line = (service: (typeof difference)['after']): string | null =>
        service === undefined ? null : formatAddService(service, numbers, false);
      return [line(difference.before), line(difference.after)];
    }
    case 'server': {
      const line = (server: (typeof difference)['after']): string | null =>
        server === undefined ? null : formatAddServer(difference.service, server, numbers, false);
      return [line(difference.before), line(difference.after)];
    }
  }
}

function jsonOf(difference: Difference): Record<string, unknown> {
  const [before, after] = rulesOf(difference);
  return { what: difference.what, before: before?.trimEnd() ?? null, after: after?.trimEnd() ?? null };
}
