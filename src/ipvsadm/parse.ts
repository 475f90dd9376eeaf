// A command line to a request, or to the refusal that the original prints. The order of checks is the original's, because it decides
// which of several mistakes is told. Pure but for the name service. Source: ipvsadm 1.31 by behaviour (test/ipvsadm).

import type { NameService } from '../kernel/name-service.ts';
import {
  COMMAND_SWITCHES,
  COMBINATIONS,
  MAX_TIMEOUT_SECONDS,
  OPTION_SWITCHES,
  OUR_SWITCHES,
  type CommandName,
} from './grammar.ts';
import { checkCombination } from './combination.ts';
import { Popt, indexSwitches, type Found } from './popt.ts';
import { fail, Refused } from './refusal.ts';
import { Entry, type DaemonEntry } from './entry.ts';
import type { Refusal, Request } from './request.ts';
import { parseNumber } from './values.ts';
import { buildRequest } from './build.ts';

const SWITCHES = indexSwitches([...COMMAND_SWITCHES, ...OPTION_SWITCHES, ...OUR_SWITCHES]);

const COMMAND_OF_SWITCH: Readonly<Record<string, CommandName>> = {
  'add-service': 'add-service',
  'edit-service': 'edit-service',
  'delete-service': 'delete-service',
  clear: 'flush',
  restore: 'restore',
  save: 'save',
  'add-server': 'add-server',
  'edit-server': 'edit-server',
  'delete-server': 'delete-server',
  list: 'list',
  zero: 'zero',
  set: 'set',
  'start-daemon': 'start-daemon',
  'stop-daemon': 'stop-daemon',
};

/**
 * Reads one command line, without the program's name. `program` is that name, for messages. No argument at all asks for the list.
 */
export function parseCommandLine(
  args: readonly string[],
  program: string,
  names: NameService,
): Request | Refusal {
  try {
    return parse(args, program, names);
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}

function parse(args: readonly string[], program: string, names: NameService): Request {
  const popt = new Popt(args, SWITCHES);
  const first = popt.next();
  if (first === 'end' || 'error' in first) throw tryHelp(program);
  if (first.switch.long === 'help') return { kind: 'help' };
  if (first.switch.long === 'version') return { kind: 'version' };
  const command = COMMAND_OF_SWITCH[first.switch.long];
  if (command === undefined) throw tryHelp(program);
  const entry = new Entry(command, names);
  if (first.value !== null) entry.daemon.role = parseRole(command, first.value);
  for (;;) {
    const step = popt.next();
    if (step === 'end') break;
    if ('error' in step)
      throw new Refused(`${step.argument}: ${step.error}`, { exitCode: 255, endsRestore: false });
    takeOption(entry, step);
  }
  takeLeftovers(entry, popt.leftovers);
  entry.finishSchedulerFlags();
  checkCombination(COMBINATIONS[command], entry.options, `the '${command}' command`);
  return buildRequest(entry);
}

/** What the original says of a first argument that is no command. */
export function tryHelp(program: string): Refused {
  return new Refused(`Try \`${program} -h' or '${program} --help' for more information.`, {
    exitCode: 255,
    endsRestore: true,
  });
}

function parseRole(command: CommandName, text: string): DaemonEntry['role'] {
  if (text === 'master' || text === 'backup') return text;
  throw fail(
    command === 'start-daemon'
      ? 'illegal start-daemon parameter specified'
      : 'illegal start_daemon specified',
  );
}

function takeOption(entry: Entry, found: Found): void {
  const take = TAKERS[found.switch.long];
  if (take === undefined || COMMAND_OF_SWITCH[found.switch.long] !== undefined)
    throw fail(`invalid option \`${found.argument}'`);
  take(entry, found.value ?? '', found.value !== null);
}

/** What each switch does, by its long name. */
const TAKERS: Readonly<Record<string, (entry: Entry, value: string, hasValue: boolean) => void>> = {
  'tcp-service': (entry, value) => entry.setService(6, value),
  'udp-service': (entry, value) => entry.setService(17, value),
  'sctp-service': (entry, value) => entry.setService(132, value),
  'protocol-service': (entry, value) => entry.setOtherService(value),
  'fwmark-service': (entry, value) => entry.setFwmark(value),
  ipv6: (entry) => entry.setIpv6(),
  scheduler: (entry, value) => entry.setScheduler(value),
  persistent: (entry, value, hasValue) => entry.setPersistent(hasValue ? value : null),
  netmask: (entry, value) => entry.setNetmask(value),
  pe: (entry, value) => entry.setPersistenceEngine(value),
  ops: (entry) => entry.setOnePacket(),
  'sched-flags': (entry, value) => entry.setSchedulerFlags(value),
  flags: (entry, value) => entry.setFlags(value),
  'real-server': (entry, value) => entry.setServer(value),
  gatewaying: (entry) => entry.setForwarding('directRoute'),
  ipip: (entry) => entry.setForwarding('tunnel'),
  masquerading: (entry) => entry.setForwarding('masquerade'),
  forward: (entry, value) => entry.setOtherForwarding(value),
  'keep-port': (entry) => entry.setKeepPort(),
  weight: (entry, value) => entry.setWeight(value),
  'u-threshold': (entry, value) => entry.setThreshold('upper', value),
  'l-threshold': (entry, value) => entry.setThreshold('lower', value),
  'tun-type': (entry, value) => entry.setTunnelType(value),
  'tun-port': (entry, value) => entry.setTunnelPort(value),
  'tun-nocsum': (entry) => entry.setTunnelChecksum('tun-nocsum'),
  'tun-csum': (entry) => entry.setTunnelChecksum('tun-csum'),
  'tun-remcsum': (entry) => entry.setTunnelChecksum('tun-remcsum'),
  'tun-flags': (entry, value) => entry.setTunnelFlags(value),
  'mcast-interface': (entry, value) => entry.setMulticastInterface(value),
  'mcast-group': (entry, value) => entry.setMulticastGroup(value),
  'mcast-port': (entry, value) => entry.setMulticastNumber('mcast-port', value),
  'mcast-ttl': (entry, value) => entry.setMulticastNumber('mcast-ttl', value),
  'sync-maxlen': (entry, value) => entry.setMulticastNumber('sync-maxlen', value),
  syncid: (entry, value) => entry.setMulticastNumber('syncid', value),
  numeric: (entry) => entry.mark('numeric'),
  connection: (entry) => entry.mark('connection'),
  timeout: (entry) => entry.mark('timeout'),
  daemon: (entry) => entry.mark('daemon'),
  stats: (entry) => entry.mark('stats'),
  rate: (entry) => entry.mark('rate'),
  thresholds: (entry) => entry.mark('thresholds'),
  'persistent-conn': (entry) => entry.mark('persistent-conn'),
  'tun-info': (entry) => entry.mark('tun-info'),
  nosort: (entry) => entry.mark('nosort'),
  sort: () => {},
  exact: (entry) => entry.mark('exact'),
  json: (entry) => entry.markOurs('json', ['list']),
  compat: (entry) => entry.markOurs('compat', ['save']),
};

function takeLeftovers(entry: Entry, words: readonly string[]): void {
  let rest = words;
  if (entry.command === 'set') {
    const [tcp, tcpFin, udp] = words;
    if (tcp === undefined || tcpFin === undefined || udp === undefined)
      throw fail('--set option requires 3 timeout values');
    entry.timeouts = {
      tcpSeconds: parseTimeout(tcp, 0),
      tcpFinSeconds: parseTimeout(tcpFin, 0),
      udpSeconds: parseTimeout(udp, 0),
    };
    rest = words.slice(3);
  }
  if (rest[0] !== undefined) throw fail(`unexpected argument ${rest[0]}`);
}

function parseTimeout(text: string, min: number): number {
  const seconds = parseNumber(text, min, MAX_TIMEOUT_SECONDS);
  if (seconds === null) throw fail(`invalid timeout value \`${text}' specified`);
  return seconds;
}
