// Which options a command or a tunnel's type needs, allows and refuses. Pure; the tables are in grammar.ts.

import { OPTIONS, type Combination, type OptionName } from './grammar.ts';
import { fail } from './refusal.ts';

/** Refuses, in the original's order of options, what `combination` lacks or does not allow. */
export function checkCombination(
  combination: Combination,
  options: readonly OptionName[],
  what: string,
): void {
  if (isAllowed(combination, options)) return;
  const { required = [], optional = [], oneOf = [] } = combination;
  let chosen: OptionName | undefined;
  for (const name of OPTIONS) {
    if (!options.includes(name)) {
      if (required.includes(name)) throw fail(`You need to supply the '${name}' option for ${what}`);
    } else if (oneOf.includes(name)) {
      if (chosen !== undefined)
        throw fail(`The option '${name}' conflicts with the '${chosen}' option in ${what}`);
      chosen = name;
    } else if (!required.includes(name) && !optional.includes(name)) {
      throw fail(`Illegal '${name}' option with ${what}`);
    }
  }
}

/** The same question without the order of complaints: a few look-ups, for the many lines that have nothing to complain of. */
function isAllowed(
  { required = [], optional = [], oneOf = [] }: Combination,
  options: readonly OptionName[],
): boolean {
  let chosen = 0;
  for (const name of options) {
    if (oneOf.includes(name)) chosen++;
    else if (!required.includes(name) && !optional.includes(name)) return false;
  }
  return chosen <= 1 && required.every((name) => options.includes(name));
}
