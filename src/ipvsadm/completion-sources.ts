// What all completion scripts need of the situations: values by switch, the verbs, and how much of a table is read. Pure.

import type { Situation, ValueSource } from './completion-model.ts';

/** Saved rules beyond this are not looked at: completion has to answer while somebody waits. */
export const MAX_RULES_READ = 50_000;
/** Nobody looks through more. */
export const MAX_VALUES = 1000;

/** The verbs among the situations. */
export function verbNames(situations: readonly Situation[]): string[] {
  return situations.filter(({ spellings }) => !spellings[0]?.startsWith('-')).map(({ name }) => name);
}

/** Which switches of which command or verb have which values; those with the same stand together. */
export function groupSources(
  situations: readonly Situation[],
): Map<string, { keys: string[]; source: ValueSource }> {
  const groups = new Map<string, { keys: string[]; source: ValueSource }>();
  const add = (key: string, source: ValueSource): void => {
    if (source === 'none') return;
    const name = String(source);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, { keys: [key], source });
    else group.keys.push(key);
  };
  for (const { name, values, offers } of situations) {
    add(`${name} `, values);
    for (const { id, values: ofOption } of offers) add(`${name} ${id}`, ofOption);
  }
  return groups;
}
