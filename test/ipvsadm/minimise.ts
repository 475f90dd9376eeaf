// Makes a script that shows a difference short: drops lines, then words, as long as it still shows one. fast-check's own shrinking takes many
// more runs, because its tree follows how a script was made. Generic; knows nothing of the kernel.

import type { CommandLine } from './command-line.ts';
import type { Script } from './script-arbitrary.ts';

/** The shortest script that could be found before `isLate`; `shows` runs one. */
export async function minimise(
  script: Script,
  shows: (script: Script) => Promise<boolean>,
  isLate: () => boolean,
): Promise<Script> {
  let best = script;
  const tryOut = async (candidate: Script): Promise<boolean> => {
    if (isLate() || !(await shows(candidate))) return false;
    best = candidate;
    return true;
  };
  // From the end: what the last line does not need goes first.
  for (let i = best.length - 2; i >= 0; i--) await tryOut(best.toSpliced(i, 1));
  for (let i = best.length - 1; i >= 0; i--) {
    const line = best[i];
    if (line === undefined) continue;
    for (const shorter of shorterLines(line)) {
      const current = best[i];
      if (current === undefined) break;
      const next = shorter(current);
      if (next !== null) await tryOut(best.with(i, next));
    }
  }
  return best;
}

/**
 * Ways to shorten a line, from its end: so places before the one that goes stay the same. Each is given the line as it is by then, and gives
 * null when there is nothing at its place any more.
 */
function shorterLines({ args, stdin }: CommandLine): readonly ((line: CommandLine) => CommandLine | null)[] {
  const inputLines = (stdin ?? '').split('\n').map((_, n) => n);
  const withoutInputLine = inputLines.toReversed().map((n) => (line: CommandLine) => {
    const lines = (line.stdin ?? '').split('\n');
    return lines.length === 1 || n >= lines.length
      ? null
      : { ...line, stdin: lines.toSpliced(n, 1).join('\n') };
  });
  const places = args.map((_, n) => n).slice(1);
  const withoutWords = [2, 1].flatMap((count) =>
    places.toReversed().map((n) => (line: CommandLine) => {
      return n + count > line.args.length ? null : { ...line, args: line.args.toSpliced(n, count) };
    }),
  );
  return stdin === null ? withoutWords : [...withoutInputLine, ...withoutWords];
}
