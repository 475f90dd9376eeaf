// The flags of kube-proxy as the command line gives them: texts by name, not read yet. How a command line becomes this is in cli/go-flags.ts;
// what the texts mean for the configuration is in overlay.ts. Pure.

import { quote } from '../model/fields.ts';
import { PointsmanError } from '../model/errors.ts';

/** Flags of one command line. */
export interface GivenFlags {
  /** Texts by the flag's name ("ipvs-scheduler"), in the order given; never an empty list. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  /** What is odd about how they are written; one line each. */
  readonly warnings: readonly string[];
}

/** A command line without any. */
export const NO_FLAGS: GivenFlags = { texts: new Map(), warnings: [] };

/** The text of a flag, the last one when it is repeated; undefined when it is not given. */
export function textOf(flags: GivenFlags, name: string): string | undefined {
  return flags.texts.get(name)?.at(-1);
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** What Go's strconv.ParseBool reads; undefined for anything else. */
export function parseGoBool(text: string): boolean | undefined {
  if (TRUE.has(text)) return true;
  return FALSE.has(text) ? false : undefined;
}

/** Whether a boolean flag is given and true. Throws USAGE for a text that is neither true nor false. */
export function isOn(flags: GivenFlags, name: string): boolean {
  const text = textOf(flags, name);
  if (text === undefined) return false;
  const value = parseGoBool(text);
  if (value === undefined)
    throw new PointsmanError('USAGE', `--${name}: ${quote(text)} is not valid; write true or false`);
  return value;
}

/** -v as a number, 0 when it is not given. Throws USAGE. */
export function verbosityOf(flags: GivenFlags): number {
  const text = textOf(flags, 'v') ?? '0';
  if (!/^\d{1,9}$/.test(text))
    throw new PointsmanError('USAGE', `-v takes a number from 0 on, not ${quote(text)}`);
  return Number(text);
}
