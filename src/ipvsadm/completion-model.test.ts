// What completion offers, held against the parser: an option is offered exactly where the parser takes it.

import { describe, expect, it } from 'vitest';
import { completionAlphabets, completionSituations, COMMANDS, type Offer } from './completion-model.ts';
import { COMMAND_SWITCHES, OPTION_SWITCHES, OUR_SWITCHES } from './grammar.ts';
import { parseCommandLine } from './parse.ts';
import { VERB_USAGES } from './verb-usages.ts';

const NO_NAMES = {
  addressOfHost: () => null,
  hostOfAddress: () => null,
  portOfService: () => null,
  serviceOfPort: () => null,
};
const situations = completionSituations();
const offersOf = (name: string): readonly Offer[] =>
  situations.find((each) => each.name === name)?.offers ?? [];

/** A value that the parser takes, where the first word of the offer's values is none. */
const VALUES: Readonly<Record<string, string>> = {
  'tcp-service': '10.0.0.1:80',
  'udp-service': '10.0.0.1:80',
  'sctp-service': '10.0.0.1:80',
  'protocol-service': '47,10.0.0.1:80',
  'fwmark-service': '7',
  'real-server': '10.0.0.2:80',
  netmask: '255.255.255.0',
  'sched-flags': 'flag-1',
  'tun-type': 'ipip',
  'mcast-interface': 'eth0',
  'mcast-group': '224.0.0.1',
};

/** Complete lines; every switch is tried behind each. */
const LINES: readonly string[] = [
  '--add-service --tcp-service=10.0.0.1:80',
  '--add-service --udp-service=10.0.0.1:80',
  '--add-service --udp-service=10.0.0.1:80 --ops',
  '--add-service --fwmark-service=7',
  '--add-service --fwmark-service=7 --scheduler=rr --persistent',
  '--edit-service --tcp-service=10.0.0.1:80',
  '--edit-service --sctp-service=10.0.0.1:80',
  '--delete-service --tcp-service=10.0.0.1:80',
  '--clear',
  '--list',
  '--list --connection',
  '--list --timeout',
  '--list --daemon',
  '--list --tcp-service=10.0.0.1:80',
  '--list --stats',
  '--list --rate --numeric',
  '--list --thresholds',
  '--list --persistent-conn',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --masquerading',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --ipip',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --ipip --tun-type=ipip',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --ipip --tun-type=gre',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --ipip --tun-type=gre --tun-csum',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --ipip --tun-type=gue --tun-port=5',
  '--add-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --ipip --tun-type=gue --tun-port=5 --tun-nocsum',
  '--edit-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80 --forward=local',
  '--edit-server --fwmark-service=7 --real-server=10.0.0.2:80 --ipip',
  '--delete-server --tcp-service=10.0.0.1:80 --real-server=10.0.0.2:80',
  '--set 1 2 3',
  '--start-daemon=master',
  '--start-daemon=backup --syncid=1',
  '--stop-daemon=master',
  '--restore',
  '--save',
  '--save --numeric --compat',
  '--zero',
  '--zero --udp-service=10.0.0.1:80',
];

/** Taken everywhere or twice, to no effect. */
function isIdle(id: string, command: string, used: readonly string[]): boolean {
  return (
    id === 'sort' ||
    (id === 'syncid' && command === '--list') ||
    (id === 'ipv6' && used.includes('ipv6')) ||
    (id === 'nosort' && used.includes('sort'))
  );
}

function isParsed(args: readonly string[]): boolean {
  return parseCommandLine(args, 'ipvsadm', NO_NAMES).kind !== 'refused';
}

function usedIn(args: readonly string[]): string[] {
  return args.flatMap((word) => {
    const [id = '', value] = word.replace(/^--/, '').split('=');
    return value === undefined ? [id] : [id, `${id}=${value}`];
  });
}

describe.each(LINES)('behind "%s"', (line) => {
  const args = line.split(' ');
  const [command = ''] = args;
  const name = command.split('=')[0] ?? '';
  const used = usedIn(args.slice(1));
  const offered = offersOf(name).filter(
    ({ needs, hiddenBy }) =>
      (needs === null || used.includes(needs)) && !hiddenBy.some((each) => used.includes(each)),
  );

  it('every option is offered that the parser takes, and no other', () => {
    expect(isParsed(args)).toBe(true);
    const taken = [...OPTION_SWITCHES, ...OUR_SWITCHES].filter(({ long, takes }) => {
      if (isIdle(long, name, used)) return false;
      const value = VALUES[long] ?? firstWord(long) ?? '5';
      return isParsed([...args, takes === 'nothing' ? `--${long}` : `--${long}=${value}`]);
    });
    const ids = offered.map(({ id }) => id).filter((id) => !isIdle(id, name, used));
    expect(ids.sort()).toEqual(taken.map(({ long }) => long).sort());
  });

  function firstWord(long: string): string | undefined {
    const values = offersOf(name).find(({ id }) => id === long)?.values;
    return typeof values === 'object' ? values[0] : undefined;
  }
});

describe('the situations', () => {
  it('are all commands and all verbs, with every spelling', () => {
    const spellings = situations.flatMap((each) => each.spellings);
    const expected = COMMAND_SWITCHES.flatMap(({ long, short }) => [
      `--${long}`,
      ...(short === undefined ? [] : [`-${short}`]),
    ]);
    expect([...spellings].sort()).toEqual(
      [...new Set([...expected, ...VERB_USAGES.map(({ verb }) => verb)])].sort(),
    );
  });

  it('offer every option somewhere', () => {
    const offered = new Set(situations.flatMap(({ offers }) => offers.map(({ id }) => id)));
    for (const { long } of [...OPTION_SWITCHES, ...OUR_SWITCHES]) expect(offered).toContain(long);
  });

  it('name values only where something is known of them', () => {
    const known = situations.flatMap(({ name, values, offers }) => [
      ...(values === 'none' ? [] : [`${name}: ${String(values)}`]),
      ...offers
        .filter((each) => typeof each.values === 'object')
        .map((each) => `${name} ${each.id}: ${String(each.values)}`),
    ]);
    expect(known).toContain('--start-daemon: master,backup');
    expect(known).toContain('completion: bash,zsh,fish');
    expect(known).toContain('diff: file');
    expect(known).toContain('restore: file');
    expect(known).toContain('--add-server tun-type: ipip,gue,gre');
    expect(known).toContain('--add-server forward: local,bypass');
    expect(known).toContain('top sort: cps,inpps,outpps,inbps,outbps,active,inactive,address');
    expect(known.filter((each) => each.startsWith('--restore'))).toEqual([]);
  });

  it.each([
    ['--add-service', 'tcp-service', 'none'],
    ['--edit-service', 'tcp-service', 'services'],
    ['--add-server', 'udp-service', 'services'],
    ['--add-server', 'real-server', 'none'],
    ['--edit-server', 'real-server', 'servers'],
    ['--delete-server', 'real-server', 'servers'],
    ['drain', 'real-server', 'servers'],
    ['--zero', 'fwmark-service', 'services'],
  ])('%s --%s takes %s', (name, option, source) => {
    expect(offersOf(name).find(({ id }) => id === option)?.values).toBe(source);
  });
});

describe('the alphabets', () => {
  it('are one for all commands and one for each verb, and nothing is in one twice', () => {
    const alphabets = completionAlphabets();
    expect(alphabets.map(({ name }) => name)).toEqual([COMMANDS, ...VERB_USAGES.map(({ verb }) => verb)]);
    for (const { switches } of alphabets) {
      const meanings = new Map<string, string>();
      for (const { id, spellings } of switches) {
        for (const spelling of spellings) {
          expect(meanings.get(spelling) ?? id).toBe(id);
          meanings.set(spelling, id);
        }
      }
    }
  });
});
