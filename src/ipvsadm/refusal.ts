// How a command line is refused: the text for standard error, the exit code, and whether a restore ends there. Pure.

import type { Refusal } from './request.ts';

/** Exit codes of the original. */
export const EXIT = { GOOD: 0, FAILED_LIST: 1, USAGE: 2, CHANGES: 4, FAILED: 255 } as const;

/** Thrown while a command line is read; `parseCommandLine` turns it into its refusal. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(text: string, { exitCode, endsRestore }: { exitCode: number; endsRestore: boolean }) {
    super(text);
    this.refusal = { kind: 'refused', text: `${text}\n`, exitCode, endsRestore };
  }
}

/** A mistake in the command line: exit 2, and -R ends. */
export function fail(text: string): Refused {
  return new Refused(text, { exitCode: EXIT.USAGE, endsRestore: true });
}
