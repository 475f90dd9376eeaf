// The flags that the program takes under the name kube-proxy and as "run".

import { FLAGS } from '../../src/config/flags.ts';

/** Without the dashes. */
export const PROXY_FLAGS: ReadonlySet<string> = new Set(FLAGS.keys());

/** The names of the flags of a command line: "--a=b --c d -v=4" has a, c and v. */
export function flagNames(words: readonly string[]): string[] {
  return words.flatMap((word) => /^--?([a-z][a-z0-9-]*)(=|$)/.exec(word)?.[1] ?? []);
}
