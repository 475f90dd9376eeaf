// Turns recorded scheduler experiments into steps that repeat them, each with what it must show. Pure; a kind of experiment that has
// no way of being repeated here is an error, so that none is left out unseen. What the recordings do not say (thresholds, which -S
// leaves out; the weight before an edit; two port ranges) comes from test/fixtures/schedulers/README.md.

import type { RecordedExperiment, RecordedRun } from './schedulers-recordings.ts';

/** One connection: the last parts of both addresses, and the port when it matters. */
export interface Connection {
  /** Of 172.30.0.0/24, 2 to 21. */
  readonly client: number;
  readonly address: string;
  /** null: any that no other connection has. */
  readonly sourcePort: number | null;
}

/** What to do. Each step gives one text, which must be `expected`. */
export type Step = { readonly expected: string } & (
  | { readonly kind: 'apply'; readonly rules: string }
  | { readonly kind: 'sysctl'; readonly name: string; readonly value: string }
  /** Gives the mark to TCP connections to port 80 of 10.96.0.0/24, and no other mark to anything. */
  | { readonly kind: 'mark'; readonly mark: number }
  /** Connects one after the other and gives a recorded sequence, one word per group. */
  | {
      readonly kind: 'connect';
      /** `label` is the number in front of the word, '' for a word without one. */
      readonly groups: readonly { readonly label: string; readonly connections: readonly Connection[] }[];
      /** True: all stay open to the end of the step, which adds how many the kernel counts as active then. */
      readonly areHeld: boolean;
    }
  /** The rows of one virtual server as `ipvsadm -Ln` prints them, once no connection is active. */
  | { readonly kind: 'table'; readonly service: string }
  /** The connections of one client to one virtual address: states and servers, sorted. */
  | { readonly kind: 'connections'; readonly client: string; readonly virtualAddress: string }
);

/** One experiment, or one way of reading it. */
export interface Repetition {
  readonly name: string;
  readonly steps: readonly Step[];
}

const ONE_CLIENT = 2;
const APPLIED = 'exit 0';
const RUNNING_ADDRESS = '10.96.1.66:80';
const RUNNING_ADDRESS_2 = '10.96.1.166:80';

/** How the connections of each kind of experiment are made: by title. */
const MANNERS: Readonly<Record<string, 'sequential' | 'held'>> = {
  'equal weights, sequential closed connections': 'sequential',
  'weights 1 2 3, sequential, each closed before the next': 'sequential',
  'weights 1 2 3, connections held open': 'held',
  'weights 3 3 1 2, held': 'held',
  'first server weight 0, held': 'held',
  'all weights 0': 'sequential',
  'no destination at all': 'sequential',
  'upper threshold 2 on s1, held': 'held',
  '12 held connections: refused once all overloaded': 'held',
  '20 client addresses, port varies': 'sequential',
  'same again (stability)': 'sequential',
  'weights 1 2 3: 20 client addresses': 'sequential',
  'one client address, 10 source ports': 'sequential',
  's1 weight 0: 20 client addresses, no flags': 'sequential',
  's1 removed: 20 client addresses': 'sequential',
  'fallback: 20 client addresses': 'sequential',
  '4 servers: 20 client addresses': 'sequential',
  'sh-port: one client address, 20 source ports': 'sequential',
  'mh-port: one client address, 20 source ports': 'sequential',
  '24 VIPs one client': 'sequential',
  '24 VIPs again': 'sequential',
  'persistent: 6 clients x 3': 'sequential',
  's1 weight 0 now (persistence template still points at it)': 'sequential',
  'rr: add a 4th server while running': 'sequential',
  'twos equal': 'sequential',
  'twos 1 2 3': 'sequential',
};

/** The first of twenty consecutive source ports, where the server depends on them. */
const FIRST_SOURCE_PORTS: Readonly<Record<string, number>> = { 'sh-port': 38_847, 'mh-port': 39_994 };

/** Ports that connections without a port of their own must not take. */
export const RESERVED_SOURCE_PORTS = { first: 38_000, last: 41_000 } as const;

/** All steps for these experiments, which are all of some files in their order. Throws for a title of no known kind. */
export function repetitionsOf(experiments: readonly RecordedExperiment[]): Repetition[] {
  return experiments.flatMap((experiment, index) => {
    const manner = MANNERS[experiment.title];
    if (manner === undefined) throw new Error(`${nameOf(experiment)}: no way to repeat this kind is known`);
    if (experiment.title.startsWith('rr: add')) return addedWhileRunning(experiment);
    if (experiment.setup?.startsWith('twos') === true) return [unknownScheduler(experiment, index)];
    const earlier = experiments.slice(0, index).filter(({ file }) => file === experiment.file);
    const standing = earlier.findLast(({ rules }) => rules.length > 0);
    const isSameAgain = standing?.rules.join('\n') === experiment.rules.join('\n');
    const rules = experiment.rules.length > 0 ? experiment.rules : (standing?.rules ?? []);
    const service = serviceOf(rules);
    const steps = isSameAgain || experiment.rules.length === 0 ? [] : setUp(experiment, service);
    if (experiment.title.startsWith('s1 weight 0 now')) steps.push(apply([weightZero(service)]));
    for (const run of experiment.runs) {
      const [name = '', value = ''] = run.sysctl?.split(' = ') ?? [];
      if (run.sysctl !== null) steps.push({ kind: 'sysctl', name, value, expected: value });
      steps.push(connect(run, service, rules, manner === 'held'));
    }
    if (experiment.after !== null)
      steps.push({ kind: 'table', service: service.listed, expected: experiment.after });
    if (experiment.connections.length > 0) steps.push(connectionsOfOneClient(experiment, service));
    return [{ name: nameOf(experiment), steps }];
  });
}

function nameOf({ file, title, setup }: RecordedExperiment): string {
  return `${file}: ${title}${setup === null ? '' : ` (${setup.trim()})`}`;
}

interface Service {
  /** '-t 10.96.1.72:80' or '-f 7'. */
  readonly flags: string;
  /** How -Ln begins its row. */
  readonly listed: string;
  /** The virtual address of connection number `index` of 1 to 24; a firewall mark's service has many. */
  readonly address: (index: number) => string;
  readonly mark: number | null;
}

function serviceOf(rules: readonly string[]): Service {
  const [, kind, key = ''] = /^-A (-[tf]) (\S+)/.exec(rules[0] ?? '') ?? [];
  if (kind === '-f') {
    const address = (index: number): string => `10.96.0.${index}`;
    return { flags: `-f ${key}`, listed: `FWM  ${key} `, address, mark: Number(key) };
  }
  if (kind !== '-t') throw new Error(`no virtual server in ${JSON.stringify(rules[0])}`);
  const address = (): string => key.replace(/:80$/, '');
  return { flags: `-t ${key}`, listed: `TCP  ${key} `, address, mark: null };
}

function apply(rules: readonly string[]): Step {
  return { kind: 'apply', rules: `${rules.join('\n')}\n`, expected: APPLIED };
}

function server(number: number): string {
  return `172.31.${number}.2:8080`;
}

function weightZero(service: Service): string {
  return `-e ${service.flags} -r ${server(1)} -m -w 0`;
}

/** The recorded lines, with what they do not show made good in the order in which it was done. */
function setUp({ rules, setup }: RecordedExperiment, service: Service): Step[] {
  const steps: Step[] =
    service.mark === null ? [] : [{ kind: 'mark', mark: service.mark, expected: String(service.mark) }];
  const said = setup ?? '';
  const isServer1 = (line: string): boolean => line.includes(` -r ${server(1)} `);
  if (said.endsWith('first server u-threshold 2'))
    steps.push(apply(rules.map((line) => (isServer1(line) ? `${line} -x 2` : line))));
  else if (said.endsWith('both u=4 l=2'))
    steps.push(apply(rules.map((line) => (line.startsWith('-a') ? `${line} -x 4 -y 2` : line))));
  else if (/s1 weight (set to )?0$/.test(said)) {
    // Hash tables are filled by the weight a server came with.
    steps.push(apply(rules.map((line) => (isServer1(line) ? line.replace(/ -w 0$/, ' -w 1') : line))));
    steps.push(apply([weightZero(service)]));
  } else if (said.endsWith('s1 removed')) {
    const [first = '', ...others] = rules;
    steps.push(apply([first, `-a ${service.flags} -r ${server(1)} -m -w 1`, ...others]));
    steps.push(apply([`-d ${service.flags} -r ${server(1)}`]));
  } else steps.push(apply(rules));
  return steps;
}

/** The connections behind a recorded sequence. */
function connect(run: RecordedRun, service: Service, rules: readonly string[], areHeld: boolean): Step {
  const [, flag = ''] = / -b (\S+)/.exec(rules[0] ?? '') ?? [];
  const firstPort = FIRST_SOURCE_PORTS[flag];
  const words = run.sequence.split(' ');
  const groups = words.map((word, index) => {
    const [, label = '', outcomes = ''] = /^(?:(\d+):)?(.*)$/.exec(word) ?? [];
    const isClient = label !== '' && service.mark === null;
    const connection = {
      client: isClient ? Number(label) : ONE_CLIENT,
      address: service.address(Number(label)),
      sourcePort: firstPort === undefined ? null : firstPort + index,
    };
    return { label, connections: outcomes.split('/').map(() => connection) };
  });
  const answered = words.filter((word) => word !== 'ECONNREFUSED').length;
  const expected = areHeld ? `${run.sequence} active ${answered}` : run.sequence;
  return { kind: 'connect', groups, areHeld, expected };
}

/** The recorded listing is cut off at twenty lines of all experiments; one client's connections are in it as a whole. */
function connectionsOfOneClient({ connections }: RecordedExperiment, service: Service): Step {
  const persistent = connections.find((line) => / \d+\.\d+\.\d+\.\d+:0 /.test(line)) ?? '';
  const [, ofClient = ''] = /(\d+\.\d+\.\d+\.\d+):0 /.exec(persistent) ?? [];
  const virtualAddress = service.flags.slice('-t '.length);
  const expected = connectionStates(connections, ofClient, virtualAddress);
  return { kind: 'connections', client: ofClient, virtualAddress, expected };
}

/** States and servers of the lines of `ipvsadm -Lcn` with this client and virtual address, without times and ports. */
export function connectionStates(lines: readonly string[], ofClient: string, virtualAddress: string): string {
  return lines
    .map((line) => line.split(/\s+/))
    .filter((words) => words[3]?.startsWith(`${ofClient}:`) === true && words[4] === virtualAddress)
    .map(
      ([, , state, source, , destination]) =>
        `${state}${source?.endsWith(':0') ? ' template' : ''} ${destination}`,
    )
    .sort()
    .join(', ');
}

/** The recording does not say how the third row lost s2; both ways must give it. */
function addedWhileRunning(experiment: RecordedExperiment): Repetition[] {
  const ways = [
    ['s2 deleted', RUNNING_ADDRESS, '-d', ''],
    ["s2's weight 0", RUNNING_ADDRESS_2, '-e', ' -m -w 0'],
  ] as const;
  return ways.map(([title, address, verb, rest]) => {
    const rules = [
      `-A -t ${address} -s rr`,
      ...[1, 2, 3].map((number) => `-a -t ${address} -r ${server(number)} -m -w 1`),
    ];
    const changes = [
      rules,
      [`-a -t ${address} -r ${server(4)} -m -w 1`],
      [`${verb} -t ${address} -r ${server(2)}${rest}`],
    ];
    const steps = experiment.runs.flatMap((run, index) => [
      apply(changes[index] ?? []),
      connect(run, serviceOf(rules), rules, false),
    ]);
    return { name: `${nameOf(experiment)}, then ${title}`, steps };
  });
}

/** The kernel has no such scheduler: the service cannot be added, and what was recorded are refusals and a table without it. */
function unknownScheduler(experiment: RecordedExperiment, index: number): Repetition {
  const [scheduler] = experiment.setup?.split(' ') ?? [];
  const rules = [`-A -t 10.96.2.${index}:80 -s ${scheduler}`];
  const service = serviceOf(rules);
  return {
    name: nameOf(experiment),
    steps: [
      { ...apply(rules), expected: 'exit 255 Scheduler or persistence engine not found' },
      ...experiment.runs.map((run) => connect(run, service, rules, false)),
      { kind: 'table', service: service.listed, expected: experiment.after ?? '' },
    ],
  };
}
