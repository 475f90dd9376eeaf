// The tables as branches of a `switch` command of fish, which print what they stand for. Pure. Source: fish's documentation of `switch`.

import { SCHEDULER_FLAG_NAMES } from './grammar.ts';
import { completionAlphabets, type Situation } from './completion-model.ts';
import { groupSources } from './completion-sources.ts';

/** A word of fish that stands for exactly this text. */
export function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}

function formatCase(patterns: readonly string[], lines: readonly string[]): string {
  return `        case ${patterns.map(quote).join(' ')}\n${lines.map((line) => `            printf '%s\\n' ${line}`).join('\n')}`;
}

/** The branches of all switches of all alphabets. */
export function formatAlphabets(): string {
  return completionAlphabets()
    .flatMap(({ name, switches }) =>
      [...Map.groupBy(switches, ({ id }) => id)].map(([id, all]) =>
        formatCase(
          [...new Set(all.flatMap(({ spellings }) => spellings))].map((spelling) => `${name} ${spelling}`),
          [`${id} ${all[0]?.takes ?? 'nothing'}`],
        ),
      ),
    )
    .join('\n');
}

/** The branch of what goes with one command or verb. */
export function formatOffers({ name, offers }: Situation): string {
  return formatCase(
    [name],
    offers.map(({ needs, hiddenBy, spellings, help }) =>
      quote(`${needs ?? ''}|${hiddenBy.join(' ')}|${spellings.join(' ')}|${help}`),
    ),
  );
}

/** The branches of where values come from. */
export function formatSources(situations: readonly Situation[]): string {
  return [...groupSources(situations).values()]
    .map(({ keys, source }) =>
      formatCase(keys, [typeof source === 'string' ? source : ['words', ...source].map(quote).join(' ')]),
    )
    .join('\n');
}

/** The branches of the flags by scheduler. */
export function formatSchedulerFlags(): string {
  const { '': plain, ...byScheduler } = SCHEDULER_FLAG_NAMES;
  const own = Object.entries(byScheduler).map(([scheduler, names]) =>
    formatCase([scheduler], [names.join(' ')]),
  );
  return [...own, `        case '*'\n            printf '%s\\n' ${(plain ?? []).join(' ')}`].join('\n');
}
