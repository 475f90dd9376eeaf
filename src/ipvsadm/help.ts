// What -h and -v print. The text is ours; the version line is the original's, because scripts look for it. Pure.

import { COMMAND_SWITCHES, OPTION_SWITCHES, OUR_SWITCHES, type Switch } from './grammar.ts';
import { VERB_USAGES, type VerbUsage } from './verb-usages.ts';

/** The first line of -h and the whole of -v. */
const VERSION_LINE = 'ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)';

const NAME_COLUMNS = 40;

/** What a command line prints that asks about the program itself. */
export function formatAbout(what: 'help' | 'version'): string {
  return what === 'help' ? formatHelp() : `${VERSION_LINE}\n`;
}

function formatHelp(): string {
  return [
    VERSION_LINE,
    'Usage:',
    '  ipvsadm COMMAND [OPTION...]     options in any order; short ones in one word, the command first: -Ln',
    '  ipvsadm VERB ...                what ipvsadm 1.31 does not have',
    '',
    'Commands:',
    ...COMMAND_SWITCHES.map(formatSwitch),
    '',
    'A service is -t, -u, --sctp-service ADDRESS:PORT or -f MARK [-6]; IPv6 as [ADDRESS]:PORT.',
    '',
    'Options:',
    ...OPTION_SWITCHES.map(formatSwitch),
    '',
    'Options that ipvsadm 1.31 does not have:',
    ...OUR_SWITCHES.map(formatSwitch),
    '',
    'Verbs (VERB --help shows their options):',
    ...VERB_USAGES.map(({ usage, help }) => `${`  ${usage}`.padEnd(NAME_COLUMNS)} ${help}`),
    '',
    'Exit codes: 0 good, 1 a list failed, 2 usage, 4 "diff" found differences, 255 the kernel refused.',
    'See pointsman-ipvsadm(8) and docs/ipvsadm.md.',
    '',
  ].join('\n');
}

/** The text of `VERB --help`. */
export function formatVerbHelp({ usage, help, options }: VerbUsage): string {
  const lines = options.map(({ long, short, value, help: text }) =>
    formatSwitch({
      long,
      ...(short === undefined ? {} : { short }),
      takes: value === undefined ? 'nothing' : 'value',
      ...(value === undefined ? {} : { value }),
      help: text,
    }),
  );
  return [`Usage: ipvsadm ${usage}`, help, ...(lines.length > 0 ? ['', ...lines] : []), ''].join('\n');
}

function formatSwitch({ long, short, takes, value, help }: Switch): string {
  const names = short === undefined ? `    --${long}` : `-${short}, --${long}`;
  const shown = value === undefined ? '' : takes === 'optional' ? ` [${value}]` : ` ${value}`;
  return `${`  ${names}${shown}`.padEnd(NAME_COLUMNS)} ${help}`;
}
