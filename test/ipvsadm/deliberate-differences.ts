// Every way in which `pointsman ipvsadm` may differ from ipvsadm 1.31, each with its reason. What is not here is a defect of ours.
// A difference says for which command lines it holds and what of the run still has to be equal.

import { isUtf8 } from 'node:buffer';
import type { CommandLine, Outcome } from './command-line.ts';

/** What is still compared of a run that differs on purpose. */
export interface Demand {
  readonly exitCode: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** The kernel's table afterwards. */
  readonly table: boolean;
}

export interface DeliberateDifference {
  readonly name: string;
  readonly reason: string;
  /** Whether it explains a difference in this run. `original` is what ipvsadm 1.31 gave. */
  readonly holds: (line: CommandLine, original: Outcome) => boolean;
  readonly demand: Demand;
}

/** How the help of the original goes on after its version. */
const HELP_OF_ORIGINAL = '\nUsage:\n  ipvsadm -A|E ';
/** Exit code of a shell for a program that SIGSEGV ended. */
const SEGMENTATION_FAULT = 139;
const WORDS_OF_OURS = new Set(['diff', 'restore', 'top', 'drain', 'undrain', 'completion']);
const OPTIONS_OF_OURS = /^--(json|compat|merge|keep-port|forward|flags|tun-flags|protocol-service)(=|$)/;

const words = ({ args, stdin }: CommandLine): readonly string[] => [...args, ...(stdin ?? '').split(/\s+/)];

export const DELIBERATE_DIFFERENCES: readonly DeliberateDifference[] = [
  {
    name: 'help',
    reason: 'the text of -h is our own',
    // Also where a line of -R's input asks for it.
    holds: (_line, { stdout }) => stdout.includes(HELP_OF_ORIGINAL),
    demand: { exitCode: true, stdout: false, stderr: true, table: true },
  },
  {
    name: 'crash',
    reason: 'the original ends with a segmentation fault where -b names no flag at all; ours sets none',
    holds: (_line, { exitCode }) => exitCode === SEGMENTATION_FAULT,
    demand: { exitCode: false, stdout: false, stderr: false, table: false },
  },
  {
    name: 'bytes',
    reason: 'text in messages is UTF-8 in Node: other bytes of the standard input come out as U+FFFD',
    holds: ({ stdin }) => stdin !== null && !isUtf8(Buffer.from(stdin, 'latin1')),
    demand: { exitCode: true, stdout: true, stderr: false, table: true },
  },
  {
    name: 'our words',
    reason: 'commands and options that the original does not have, and refuses',
    holds: (line) =>
      WORDS_OF_OURS.has(line.args[0] ?? '') || words(line).some((word) => OPTIONS_OF_OURS.test(word)),
    demand: { exitCode: false, stdout: false, stderr: false, table: false },
  },
];

/** -S and what may stand beside it; a faulty line prints no thresholds and stays as it is. */
const SAVE_LINE = /^([ \t]*(?:ipvsadm[ \t]+)?(?:-Sn*|--save))((?:[ \t]+(?:-n|--numeric))?[ \t\r]*)$/gm;

/**
 * The line as ours has to be called to do what the original does, which ended with `exitCode`: -S also writes thresholds and marks above
 * 2147483647 unless it is told not to, in the standard input of -R, too.
 */
export function asCompatible({ args, stdin }: CommandLine, exitCode: number): CommandLine {
  const [first = '', ...rest] = args;
  const isSave = exitCode === 0 && /^(-S\w*|--save)$/.test(first);
  return {
    args: isSave ? [first, '--compat', ...rest] : args,
    stdin: stdin === null ? null : stdin.replaceAll(SAVE_LINE, '$1 --compat$2'),
  };
}
