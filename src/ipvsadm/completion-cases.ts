// The tables as branches of a `case` command, for bash and zsh. Pure. Source: bash(1) and zshmisc(1), Compound Commands.

import { SCHEDULER_FLAG_NAMES } from './grammar.ts';
import { completionAlphabets, type Offer, type Situation } from './completion-model.ts';
import { groupSources } from './completion-sources.ts';

/** A word of bash and zsh that stands for exactly this text. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The branches of all switches of all alphabets. */
export function formatAlphabets(): string {
  return completionAlphabets()
    .flatMap(({ name, switches }) => {
      const byId = Map.groupBy(switches, ({ id }) => id);
      return [...byId].map(([id, all]) => {
        const spellings = new Set(all.flatMap((each) => each.spellings));
        const patterns = [...spellings].map((spelling) => `'${name} ${spelling}'`).join(' | ');
        return `    ${patterns}) id=${id} takes=${all[0]?.takes ?? 'nothing'} ;;`;
      });
    })
    .join('\n');
}

/** The branch of what goes with one command or verb. */
export function formatOffers({ name, offers }: Situation): string {
  return `    ${name})\n${offers.map((each) => `      ${formatOffer(each)}`).join('\n')}\n      ;;`;
}

function formatOffer({ help, needs, spellings, hiddenBy }: Offer): string {
  return `_pointsman_ipvsadm_offer ${quote(help)} ${quote(needs ?? '')} ${spellings.join(' ')} . ${hiddenBy.join(' ')}`;
}

/** The branches of where values come from. */
export function formatSources(situations: readonly Situation[]): string {
  return [...groupSources(situations).values()]
    .map(({ keys, source }) => {
      const patterns = keys.map((key) => `'${key}'`).join(' | ');
      return typeof source === 'string'
        ? `    ${patterns}) origin=${source} ;;`
        : `    ${patterns}) values=(${source.map(quote).join(' ')}) ;;`;
    })
    .join('\n');
}

/** The branches of the flags by scheduler: those of its own, or for a scheduler without its own the plain ones. */
export function formatSchedulerFlags(): string {
  const { '': plain, ...byScheduler } = SCHEDULER_FLAG_NAMES;
  const own = Object.entries(byScheduler).map(
    ([scheduler, names]) => `    ${scheduler}) values=(${names.join(' ')}) ;;`,
  );
  return [...own, `    *) values=(${(plain ?? []).join(' ')}) ;;`].join('\n');
}
