// A file of rules read whole before anything is done with it: operations with their lines, or every mistake with its line. Pure but for
// the name service. Unlike -R it takes lines that begin with "#" for comments, as the original's script ipvsadm-restore does.

import type { IpvsOperation } from '../kernel/ipvs.ts';
import type { NameService } from '../kernel/name-service.ts';
import { formatKernelError } from './kernel-errors.ts';
import { parseCommandLine } from './parse.ts';
import type { RuleTable } from './rule-table.ts';
import { splitLines, splitWords } from './words.ts';

/** Operations that say what a table holds. */
const RULES: ReadonlySet<IpvsOperation['op']> = new Set([
  'NEW_SERVICE',
  'SET_SERVICE',
  'DEL_SERVICE',
  'NEW_DEST',
  'SET_DEST',
  'DEL_DEST',
  'FLUSH',
  'SET_CONFIG',
]);
const ERRNO = { EEXIST: 17, ESRCH: 3, ENOENT: 2 } as const;
/** Larger files are refused: ten times the largest table that anybody has shown us. */
export const MAX_RULE_LINES = 10_000_000;
/** More mistakes than a person reads at once are only counted. */
const MAX_MISTAKES = 20;

/** Reads the rules of `text` (bytes as Latin-1 characters) into `table`; gives a line for each mistake, "NAME:LINE: what". */
export function readRules(text: string, name: string, names: NameService, table: RuleTable): string[] {
  const mistakes: string[] = [];
  let count = 0;
  const say = (line: number, what: string): void => {
    if (++count <= MAX_MISTAKES) mistakes.push(`${name}:${line}: ${what}`);
  };
  for (const line of splitLines([text])) {
    if (line === null || line.text.startsWith('#')) continue;
    if (line.number > MAX_RULE_LINES) {
      say(line.number, `more than ${MAX_RULE_LINES} lines; split the file`);
      break;
    }
    const words = splitWords(line.text, 'ipvsadm');
    if (words.length === 0) continue;
    const request = parseCommandLine(words, 'ipvsadm', names);
    if (request.kind === 'refused') say(line.number, request.text.trim());
    else if (request.kind !== 'operation' || !RULES.has(request.operation.op))
      say(line.number, `"${words[0] ?? ''}" is no rule; only -A -E -D -a -e -d -C and --set are`);
    else {
      const refusal = table.apply(request.operation);
      if (refusal !== null)
        say(line.number, formatKernelError(request.operation.op, ERRNO[refusal], refusal));
    }
  }
  if (count > MAX_MISTAKES) mistakes.push(`${name}: and ${count - MAX_MISTAKES} more`);
  return mistakes;
}
