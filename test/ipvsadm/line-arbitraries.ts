// Command lines as words: every command with its options in any form and order, some with one change that makes them nearly valid, some
// nonsense. Services and servers stand as places in a pool, which script-arbitrary.ts fills.

import * as fc from 'fast-check';
import { ipv4Endpoint, ipv6Endpoint } from './endpoint-arbitraries.ts';
import * as value from './value-arbitraries.ts';
import { mostly, pick } from './value-arbitraries.ts';

/** A word, or a place for the pool's n-th service or server. */
export type Word =
  | string
  | { readonly service: number }
  /** Of the service's family, or of the other. */
  | { readonly server: number; readonly isForeign: boolean };
export type Words = readonly Word[];

/** Services, and servers, in a script's pool. */
export const POOL = 3;

/** An option's value in one of the forms that popt reads. */
function option(names: readonly string[], text: fc.Arbitrary<string>): fc.Arbitrary<Words> {
  const form = fc.nat(11);
  return fc.tuple(fc.constantFrom(...names), text, form).map(([name, content, shape]) => {
    const isLong = name.startsWith('--');
    if (shape === 11) return [isLong ? `${name}=${content}` : `${name}${content}`];
    if (shape === 10) return [`${name}=${content}`];
    return [name, content];
  });
}

/** One of these words. */
export const flag = (...names: readonly string[]): fc.Arbitrary<Words> =>
  fc.constantFrom(...names).map((name) => [name]);

/** What names a service. */
export const serviceText: fc.Arbitrary<Words> = fc.oneof(
  { arbitrary: option(['-t', '-t', '--tcp-service'], ipv4Endpoint), weight: 8 },
  { arbitrary: option(['-u', '-u', '--udp-service'], ipv4Endpoint), weight: 4 },
  { arbitrary: option(['--sctp-service'], ipv4Endpoint), weight: 2 },
  { arbitrary: option(['-t', '-u', '--sctp-service'], ipv6Endpoint), weight: 5 },
  { arbitrary: option(['-f', '-f', '--fwmark-service'], value.fwmark), weight: 3 },
  {
    arbitrary: fc
      .tuple(option(['-f', '--fwmark-service'], value.fwmark), flag('-6', '-6', '--ipv6'))
      .map((parts) => parts.flat()),
    weight: 2,
  },
);

/** Places in the pool, the first most often. */
const place = fc.constantFrom(0, 0, 0, 0, 1, 1, 2);
const theService: fc.Arbitrary<Words> = mostly(
  place.map((service): Words => [{ service }]),
  fc.constant<Words>([]),
  30,
);
const theServer: fc.Arbitrary<Words> = mostly(
  fc
    .tuple(pick('-r', '-r', '-r', '--real-server'), place, mostly(fc.constant(false), fc.constant(true), 12))
    .map(([name, server, isForeign]): Words => [name, { server, isForeign }]),
  fc.constant<Words>([]),
  30,
);

const serviceSettings: readonly fc.Arbitrary<Words>[] = [
  option(['-s', '-s', '--scheduler'], value.scheduler),
  option(['-p', '-p', '--persistent'], value.timeoutSeconds),
  flag('-p', '--persistent'),
  option(['-M', '--netmask'], value.netmask),
  option(['--pe'], mostly(pick('sip'), pick('nope', '', 'averyveryverylongengine', 'SIP'), 6)),
  flag('-o', '--ops'),
  option(['-b', '--sched-flags'], value.schedulerFlags),
];
const tunnel: fc.Arbitrary<Words> = fc.oneof(
  { arbitrary: pick('ipip').map((type): Words => ['-i', '--tun-type', type]), weight: 2 },
  {
    arbitrary: fc
      .tuple(
        option(['--tun-type'], mostly(pick('gue', 'gre', 'ipip'), pick('bogus', '', 'GUE', 'gue '))),
        fc.option(option(['--tun-port'], value.number(['6080', '4754'], ['1', '65535', '65536', '0'])), {
          nil: [],
        }),
        fc.subarray(['--tun-nocsum', '--tun-csum', '--tun-remcsum'], { maxLength: 2 }),
        mostly(pick('-i', '--ipip'), pick('-g', '-m', '--tun-csum')),
      )
      .map(([type, port, checksums, method]) => [method, ...type, ...port, ...checksums]),
    weight: 4,
  },
);
const serverSettings: readonly fc.Arbitrary<Words>[] = [
  flag('-m', '-m', '--masquerading', '-g', '--gatewaying', '-i', '--ipip'),
  flag('-m', '-m', '-m'),
  option(['-w', '--weight'], value.number(['0', '1', '5', '100'], ['65535', '65536', '2147483647'])),
  option(['-x', '--u-threshold'], value.number(['0', '100', '1000'], ['65535', '65536', '2147483647'])),
  option(['-y', '--l-threshold'], value.number(['0', '5', '50'], ['65535', '65536', '2147483647'])),
  tunnel,
];
const daemonSettings: readonly fc.Arbitrary<Words>[] = [
  option(['--mcast-interface'], value.interfaceName),
  option(['--syncid'], value.number(['0', '5', '255'], ['256'])),
  option(['--sync-maxlen'], value.number(['1000', '1400'], ['1', '65507', '65508', '0'])),
  option(['--mcast-group'], value.multicastGroup),
  option(['--mcast-port'], value.number(['8848', '999'], ['1', '65535', '65536', '0'])),
  option(['--mcast-ttl'], value.number(['1', '7'], ['255', '256', '0'])),
];
const listStyles: readonly fc.Arbitrary<Words>[] = [
  flag('-n', '-n', '--numeric'),
  flag('-n', '--numeric'),
  flag('--stats'),
  flag('--rate'),
  flag('--thresholds'),
  flag('--persistent-conn'),
  flag('--tun-info'),
  flag('--nosort', '--sort'),
  flag('--exact', '-X'),
];

/** Some of the settings, in any order; each at most once. */
function some(settings: readonly fc.Arbitrary<Words>[], maxCount: number): fc.Arbitrary<readonly Words[]> {
  return fc
    .shuffledSubarray(
      settings.map((_, index) => index),
      { maxLength: maxCount },
    )
    .chain((indexes) => fc.tuple(...indexes.map((index) => settings[index] ?? fc.constant<Words>([]))));
}

/** A command, then its groups of words in any order. */
function command(
  names: readonly string[],
  ...groups: readonly fc.Arbitrary<readonly Words[]>[]
): fc.Arbitrary<Words> {
  return fc
    .tuple(fc.constantFrom(...names), fc.tuple(...groups), fc.integer({ min: 0, max: 5 }))
    .map(([name, parts, turn]) => {
      const words = parts.flat();
      // Mostly as a person types it; -6, -M and -r read what stands before them.
      const at = turn === 5 ? 1 : 0;
      return [name, ...[...words.slice(at), ...words.slice(0, at)].flat()];
    });
}

const one = (words: fc.Arbitrary<Words>): fc.Arbitrary<readonly Words[]> => words.map((each) => [each]);

const addService = command(['-A', '-A', '-A', '--add-service'], one(theService), some(serviceSettings, 4));
const editService = command(['-E', '-E', '--edit-service'], one(theService), some(serviceSettings, 4));
const addServer = command(
  ['-a', '-a', '-a', '--add-server'],
  one(theService),
  one(theServer),
  some(serverSettings, 3),
);
const editServer = command(
  ['-e', '-e', '--edit-server'],
  one(theService),
  one(theServer),
  some(serverSettings, 3),
);
const list = command(
  ['-L', '-l', '--list', '-Ln', '-Ln', '-ln', '-LnX'],
  some(listStyles, 3),
  fc.oneof(
    { arbitrary: fc.constant<readonly Words[]>([]), weight: 5 },
    { arbitrary: one(theService), weight: 3 },
    { arbitrary: one(flag('--timeout', '--daemon', '-c', '--connection')), weight: 2 },
  ),
);
const start = command(['--start-daemon'], one(flag('master', 'backup')), some(daemonSettings, 4));
const startOnSync = command(
  ['--start-daemon'],
  one(flag('master', 'backup')),
  fc.constant([['--mcast-interface', 'sync0']]),
  some(daemonSettings.slice(1), 3),
);
const anyWord: fc.Arbitrary<Words> = fc.oneof(
  ...[...serviceSettings, ...serverSettings, ...daemonSettings, ...listStyles],
  theService,
  theServer,
  flag('-A', '-D', '-L', '--set', '-R', '--zero', '--clear', '-C', '--start-daemon', '-h', '-v', '-S', '-a'),
  value.oddWord.map((word): Words => [word]),
);
/** Words of any kind in any order. */
export const nonsense: fc.Arbitrary<Words> = fc.array(anyWord, { maxLength: 5 }).map((words) => words.flat());

const simpleLine: fc.Arbitrary<Words> = fc.oneof(
  { arbitrary: addService, weight: 22 },
  { arbitrary: addServer, weight: 26 },
  { arbitrary: editService, weight: 8 },
  { arbitrary: editServer, weight: 8 },
  { arbitrary: command(['-d', '-d', '--delete-server'], one(theService), one(theServer)), weight: 4 },
  { arbitrary: command(['-D', '-D', '--delete-service'], one(theService)), weight: 3 },
  { arbitrary: list, weight: 14 },
  {
    arbitrary: command(['-S', '-Sn', '--save'], some([flag('-n', '--numeric')], 1)),
    weight: 6,
  },
  { arbitrary: command(['-Z', '--zero'], one(fc.oneof(theService, fc.constant<Words>([])))), weight: 3 },
  { arbitrary: flag('-C', '--clear'), weight: 1 },
  {
    arbitrary: fc
      .array(value.timeoutSeconds, { minLength: 3, maxLength: 3 })
      .map((seconds): Words => ['--set', ...seconds]),
    weight: 3,
  },
  {
    arbitrary: fc
      .array(value.timeoutSeconds, { maxLength: 4 })
      .map((seconds): Words => ['--set', ...seconds]),
    weight: 1,
  },
  { arbitrary: startOnSync, weight: 3 },
  { arbitrary: start, weight: 3 },
  {
    arbitrary: command(
      ['--stop-daemon'],
      one(mostly(flag('master', 'backup'), flag('both', '', 'MASTER', '-c'))),
      some(daemonSettings.slice(1, 2), 1),
    ),
    weight: 4,
  },
  { arbitrary: flag('-v', '--version', '-h', '--help'), weight: 1 },
  { arbitrary: fc.constant<Words>([]), weight: 1 },
  { arbitrary: nonsense, weight: 5 },
);

/** One change of a good line. */
type Mutation = (words: Words) => Words;
const at = (words: Words, n: number): number => (words.length === 0 ? 0 : n % words.length);
const mutation: fc.Arbitrary<Mutation> = fc
  .tuple(fc.nat(6), fc.nat(20), fc.nat(20), anyWord, value.oddWord)
  .map(([kind, n, m, extra, odd]): Mutation => {
    return (words) => {
      const [i, j] = [at(words, n), at(words, m)];
      const word = words[i] ?? '';
      switch (kind) {
        case 0: // a word missing
          return words.toSpliced(i, 1);
        case 1: // a word twice
          return words.toSpliced(i, 0, word);
        case 2: // two words in the other's place
          return words.with(i, words[j] ?? '').with(j, word);
        case 3: // an option too many
          return words.toSpliced(i + 1, 0, ...extra);
        case 4: // another word
          return words.with(i, odd);
        case 5: // something left over
          return [...words, odd];
        default: // an option again
          return [...words, ...words.slice(i, i + 2)];
      }
    };
  })
  .map((change) => (words) => (words.length === 0 ? words : change(words)));

/** A line: good, or with one change. */
export const lineWords: fc.Arbitrary<Words> = fc.oneof(
  { arbitrary: simpleLine, weight: 7 },
  { arbitrary: fc.tuple(simpleLine, mutation).map(([words, change]) => change(words)), weight: 3 },
);
