// What completion offers where, worked out from the tables of the command line: commands and verbs, the options that go with each, what
// hides an option (another of its kind, a conflict), and where its values come from. No shell is known here. Pure.

import { SCHEDULERS } from '../model/schedulers.ts';
import {
  COMBINATIONS,
  COMMAND_SWITCHES,
  OPTION_SWITCHES,
  OUR_SWITCHES,
  TUNNEL_COMBINATIONS,
  type Combination,
  type CommandName,
  type OptionName,
  type Switch,
  type Takes,
} from './grammar.ts';
import { TOP_SORTS } from './top-rows.ts';
import { VERB_USAGES, type VerbOption, type VerbUsage } from './verb-usages.ts';

/** Where the values of an option, or the words of a verb, come from. */
export type ValueSource =
  | 'none'
  | 'file'
  /** Virtual services of the table, of the kind that the option names. */
  | 'services'
  /** Real servers of the service on the line, of every service without one. */
  | 'servers'
  /** Names by scheduler, with commas. */
  | 'scheduler-flags'
  | 'interfaces'
  /** These words. */
  | readonly string[];

/** A switch that a command or verb takes. */
export interface Offer {
  /** The long name, without dashes: what `needs` and `hiddenBy` of others speak of. */
  readonly id: string;
  /** "-t", "--tcp-service". */
  readonly spellings: readonly string[];
  readonly help: string;
  /** Offered only behind this switch. */
  readonly needs: string | null;
  /** Not offered beside any of these; "tun-type=gre" means the switch with that value. */
  readonly hiddenBy: readonly string[];
  readonly values: ValueSource;
}

/** What may follow a command or a verb. */
export interface Situation {
  /** "--add-service" or the verb: -R and the verb restore are two. */
  readonly name: string;
  readonly spellings: readonly string[];
  readonly help: string;
  readonly offers: readonly Offer[];
  /** Of the command's own value (--start-daemon master), or of the verb's words. */
  readonly values: ValueSource;
}

/** How switches are read: those of all commands share one alphabet, each verb has its own. */
export interface Alphabet {
  /** COMMANDS or the verb. */
  readonly name: string;
  readonly switches: readonly { id: string; spellings: readonly string[]; takes: Takes }[];
}

/** Name of the alphabet that all commands share; no verb is called so. */
export const COMMANDS = 'commands';

/** Programs that the scripts complete; the last with "ipvsadm" as its first word. */
export const PROGRAM_NAMES = ['ipvsadm', 'pointsman-ipvsadm', 'pointsman'] as const;

/** Options of services with what names each in saved rules. */
export const SERVICE_SPELLINGS: Readonly<Record<string, string>> = {
  'tcp-service': '-t',
  'udp-service': '-u',
  'sctp-service': '--sctp-service',
  'fwmark-service': '-f',
  'protocol-service': '--protocol-service',
};

/** Switches of several names that the original knows under one. */
const OPTION_OF_SWITCH: Readonly<Record<string, OptionName>> = {
  ...Object.fromEntries(Object.keys(SERVICE_SPELLINGS).map((long) => [long, 'service-address'])),
  gatewaying: 'forwarding-method',
  ipip: 'forwarding-method',
  masquerading: 'forwarding-method',
  forward: 'forwarding-method',
};

/** Switches that stand for no option of COMBINATIONS, with the commands they are for. */
const COMMANDS_OF_SWITCH: Readonly<Record<string, readonly CommandName[]>> = {
  sort: ['list'],
  json: ['list'],
  compat: ['save'],
  flags: ['add-service', 'edit-service'],
  'keep-port': ['add-server', 'edit-server'],
  'tun-flags': ['add-server', 'edit-server'],
};

const NEEDS: Readonly<Record<string, string>> = {
  ipv6: 'fwmark-service',
  'tun-type': 'ipip',
  'tun-port': 'tun-type',
  'tun-nocsum': 'tun-type',
  'tun-csum': 'tun-type',
  'tun-remcsum': 'tun-type',
  'tun-flags': 'ipip',
};

/** Pairs that are refused beside what COMBINATIONS says. */
const CONFLICTS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ['connection', 'timeout', 'daemon'],
    ['stats', 'rate', 'thresholds'],
  ],
  [['timeout', 'daemon'], ['persistent-conn']],
  [['ops'], ['tcp-service', 'sctp-service']],
  [['sort'], ['nosort']],
];

/** Takes an option that does nothing: not worth offering. */
const IDLE: Readonly<Partial<Record<CommandName, readonly OptionName[]>>> = { list: ['syncid'] };

/** The kernel has one persistence engine. */
const PERSISTENCE_ENGINES = ['sip'] as const;

/** Commands whose service does not have to be there, and whose server does not. */
const NEW_SERVICE: ReadonlySet<string> = new Set(['add-service']);
const NEW_SERVER: ReadonlySet<string> = new Set(['add-server']);

/** Every command, in the order of the tables, then every verb. */
export function completionSituations(): readonly Situation[] {
  const commands = new Map<string, Situation>();
  for (const { long, short, value, help } of COMMAND_SWITCHES) {
    const spellings = spellingsOf({ long, short });
    const before = commands.get(long);
    if (before !== undefined) {
      const more = spellings.filter((each) => !before.spellings.includes(each));
      commands.set(long, { ...before, spellings: [...before.spellings, ...more] });
      continue;
    }
    commands.set(long, {
      name: `--${long}`,
      spellings,
      help,
      offers: offersOfCommand(long),
      values: wordsOf(value) ?? 'none',
    });
  }
  return [...commands.values(), ...VERB_USAGES.map(situationOfVerb)];
}

/** The alphabet of the commands first, then those of the verbs. */
export function completionAlphabets(): readonly Alphabet[] {
  const all = [...COMMAND_SWITCHES, ...OPTION_SWITCHES, ...OUR_SWITCHES];
  return [
    {
      name: COMMANDS,
      switches: all.map((each) => ({ id: each.long, spellings: spellingsOf(each), takes: each.takes })),
    },
    ...VERB_USAGES.map(({ verb, options }) => ({
      name: verb,
      switches: options.map((each) => ({
        id: each.long,
        spellings: spellingsOf(each),
        takes: each.value === undefined ? ('nothing' as const) : ('value' as const),
      })),
    })),
  ];
}

function spellingsOf({
  long,
  short,
}: {
  readonly long: string;
  readonly short?: string | undefined;
}): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), `--${long}`];
}

/** "master|backup" as words; null for what a value is merely called ("ADDRESS[:PORT]"). */
function wordsOf(value: string | undefined): readonly string[] | null {
  const words = value?.split('|') ?? [];
  return words.length > 1 && words.every((word) => /^[a-z0-9-]+$/.test(word)) ? words : null;
}

function offersOfCommand(long: string): readonly Offer[] {
  const command = commandOf(long);
  if (command === null) return [];
  const combination = COMBINATIONS[command];
  const offered = [...OPTION_SWITCHES, ...OUR_SWITCHES].filter((each) => isTaken(each, command, combination));
  return offered.map((each) => ({
    id: each.long,
    spellings: spellingsOf(each),
    help: each.help,
    needs: NEEDS[each.long] ?? null,
    hiddenBy: [
      ...new Set(
        [...offered.filter((other) => hides(other, each, combination)), each].map((other) => other.long),
      ),
      ...tunnelTypesWithout(each),
    ],
    values: valuesOf(each, command),
  }));
}

/** The command of a command switch; null for -h and -v, which take nothing. */
function commandOf(long: string): CommandName | null {
  if (long === 'clear') return 'flush';
  return long in COMBINATIONS ? (long as CommandName) : null;
}

function optionOf({ long }: Switch): OptionName {
  return OPTION_OF_SWITCH[long] ?? (long as OptionName);
}

function isTaken(each: Switch, command: CommandName, { required, optional, oneOf }: Combination): boolean {
  const commands = COMMANDS_OF_SWITCH[each.long];
  if (commands !== undefined) return commands.includes(command);
  const option = each.long === 'ipv6' ? 'service-address' : optionOf(each);
  if (IDLE[command]?.includes(option) === true) return false;
  return [required, optional, oneOf].some((names) => names?.includes(option));
}

function hides(other: Switch, each: Switch, { oneOf = [] }: Combination): boolean {
  if (other.long === 'ipv6' || each.long === 'ipv6') return other === each;
  const [a, b] = [optionOf(other), optionOf(each)];
  if (a === b || (oneOf.includes(a) && oneOf.includes(b))) return true;
  const checksums = TUNNEL_COMBINATIONS.gue.oneOf ?? [];
  if (checksums.includes(a) && checksums.includes(b)) return true;
  return CONFLICTS.some(
    ([left, right]) =>
      (left.includes(other.long) && right.includes(each.long)) ||
      (right.includes(other.long) && left.includes(each.long)),
  );
}

function tunnelTypesWithout(each: Switch): string[] {
  if (NEEDS[each.long] !== 'tun-type') return [];
  const option = optionOf(each);
  return Object.entries(TUNNEL_COMBINATIONS)
    .filter(([, { required, optional, oneOf }]) =>
      [required, optional, oneOf].every((names) => names?.includes(option) !== true),
    )
    .map(([type]) => `tun-type=${type}`);
}

function valuesOf(
  { long, value }: { readonly long: string; readonly value?: string | undefined },
  name: string,
): ValueSource {
  if (long in SERVICE_SPELLINGS) return NEW_SERVICE.has(name) ? 'none' : 'services';
  if (long === 'real-server') return NEW_SERVER.has(name) ? 'none' : 'servers';
  if (long === 'scheduler') return SCHEDULERS;
  if (long === 'sched-flags') return 'scheduler-flags';
  if (long === 'pe') return PERSISTENCE_ENGINES;
  if (long === 'mcast-interface') return 'interfaces';
  if (name === 'top' && long === 'sort') return TOP_SORTS;
  return wordsOf(value) ?? 'none';
}

function situationOfVerb({ verb, usage, help, options }: VerbUsage): Situation {
  const words = usage.split(' ').slice(1);
  const choice = words.map(wordsOf).find((each) => each !== null);
  return {
    name: verb,
    spellings: [verb],
    help,
    offers: options.map((each) => ({
      id: each.long,
      spellings: spellingsOf(each),
      help: each.help,
      needs: NEEDS[each.long] ?? null,
      hiddenBy: hidersInVerb(each, options),
      values: valuesOf(each, verb),
    })),
    values: choice ?? (words.some((word) => /^\[?FILE\]?$/.test(word)) ? 'file' : 'none'),
  };
}

function hidersInVerb({ long }: VerbOption, options: readonly VerbOption[]): string[] {
  if (!(long in SERVICE_SPELLINGS)) return [long];
  return options.map((each) => each.long).filter((each) => each in SERVICE_SPELLINGS);
}
