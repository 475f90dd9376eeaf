// The command line of ipvsadm 1.31 as tables: commands, options, which go together, and their names in messages. Parsing, help,
// completion and the manual page's test read them. Data only. Source: ipvsadm(8), measured with ipvsadm 1.31 (test/ipvsadm).

import { FLAG_NAMES_BY_SCHEDULER } from '../model/schedulers.ts';

/** Commands in the original's order; the name is the one in its messages. */
export const COMMANDS = [
  'add-service',
  'edit-service',
  'delete-service',
  'flush',
  'list',
  'add-server',
  'delete-server',
  'edit-server',
  'set',
  'start-daemon',
  'stop-daemon',
  'restore',
  'save',
  'zero',
] as const;
export type CommandName = (typeof COMMANDS)[number];

/** Options in the original's order, which decides what is complained of first; the name is the one in its messages. */
export const OPTIONS = [
  'numeric',
  'connection',
  'service-address',
  'scheduler',
  'persistent',
  'netmask',
  'real-server',
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'mcast-interface',
  'timeout',
  'daemon',
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'syncid',
  'exact',
  'ops',
  'pe',
  'sched-flags',
  'mcast-group',
  'mcast-port',
  'mcast-ttl',
  'sync-maxlen',
  'tun-info',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
] as const;
export type OptionName = (typeof OPTIONS)[number];

/** Whether a switch takes a value: never, always, or only one that does not begin with "-". */
export type Takes = 'nothing' | 'value' | 'optional';

/** One switch of the command line. */
export interface Switch {
  /** Without the dashes; also the switch's identity, but for -l, which is another name of --list. */
  readonly long: string;
  /** One letter, without the dash. */
  readonly short?: string;
  readonly takes: Takes;
  /** What help, completion and manual call the value. */
  readonly value?: string;
  readonly help: string;
  /** Set for what ipvsadm 1.31 does not have. */
  readonly isOurs?: boolean;
}

/** Switches that are commands; the first argument must be one of them. */
export const COMMAND_SWITCHES: readonly Switch[] = [
  { long: 'add-service', short: 'A', takes: 'nothing', help: 'add a virtual service' },
  { long: 'edit-service', short: 'E', takes: 'nothing', help: 'replace the settings of a virtual service' },
  {
    long: 'delete-service',
    short: 'D',
    takes: 'nothing',
    help: 'delete a virtual service and its real servers',
  },
  { long: 'clear', short: 'C', takes: 'nothing', help: 'delete all virtual services' },
  { long: 'restore', short: 'R', takes: 'nothing', help: 'read rules from standard input' },
  { long: 'save', short: 'S', takes: 'nothing', help: 'print the table as rules for -R' },
  { long: 'add-server', short: 'a', takes: 'nothing', help: 'add a real server' },
  { long: 'edit-server', short: 'e', takes: 'nothing', help: 'replace the settings of a real server' },
  { long: 'delete-server', short: 'd', takes: 'nothing', help: 'delete a real server' },
  { long: 'list', short: 'L', takes: 'nothing', help: 'list the table, connections, timeouts or daemons' },
  { long: 'list', short: 'l', takes: 'nothing', help: 'the same as -L' },
  { long: 'zero', short: 'Z', takes: 'nothing', help: 'set the counters to zero, of all or of one service' },
  { long: 'set', takes: 'nothing', value: 'TCP TCPFIN UDP', help: 'set the timeouts in seconds, 0 = keep' },
  { long: 'start-daemon', takes: 'value', value: 'master|backup', help: 'start connection synchronisation' },
  { long: 'stop-daemon', takes: 'value', value: 'master|backup', help: 'stop connection synchronisation' },
  { long: 'help', short: 'h', takes: 'nothing', help: 'print this text' },
  { long: 'version', short: 'v', takes: 'nothing', help: 'print the version' },
];

/** The other switches, by kind. */
export const OPTION_SWITCHES: readonly Switch[] = [
  {
    long: 'tcp-service',
    short: 't',
    takes: 'value',
    value: 'ADDRESS[:PORT]',
    help: 'virtual service over TCP',
  },
  {
    long: 'udp-service',
    short: 'u',
    takes: 'value',
    value: 'ADDRESS[:PORT]',
    help: 'virtual service over UDP',
  },
  { long: 'sctp-service', takes: 'value', value: 'ADDRESS[:PORT]', help: 'virtual service over SCTP' },
  {
    long: 'fwmark-service',
    short: 'f',
    takes: 'value',
    value: 'MARK',
    help: 'virtual service by firewall mark',
  },
  { long: 'ipv6', short: '6', takes: 'nothing', help: 'the mark before it is for IPv6' },
  {
    long: 'scheduler',
    short: 's',
    takes: 'value',
    value: 'NAME',
    help: 'scheduler of the service, default wlc',
  },
  {
    long: 'persistent',
    short: 'p',
    takes: 'optional',
    value: 'SECONDS',
    help: 'a client stays with its server, default 360 s',
  },
  { long: 'netmask', short: 'M', takes: 'value', value: 'MASK', help: 'clients that count as one for -p' },
  { long: 'pe', takes: 'value', value: 'NAME', help: 'persistence engine' },
  { long: 'ops', short: 'o', takes: 'nothing', help: 'schedule each UDP packet on its own' },
  {
    long: 'sched-flags',
    short: 'b',
    takes: 'value',
    value: 'FLAGS',
    help: 'flags of the scheduler, with commas',
  },
  { long: 'real-server', short: 'r', takes: 'value', value: 'ADDRESS[:PORT]', help: 'the real server' },
  { long: 'gatewaying', short: 'g', takes: 'nothing', help: 'direct routing, the default' },
  { long: 'ipip', short: 'i', takes: 'nothing', help: 'tunnelling' },
  { long: 'masquerading', short: 'm', takes: 'nothing', help: 'masquerading (NAT)' },
  { long: 'tun-type', takes: 'value', value: 'ipip|gue|gre', help: 'kind of tunnel, default ipip' },
  { long: 'tun-port', takes: 'value', value: 'PORT', help: 'port of a gue tunnel' },
  { long: 'tun-nocsum', takes: 'nothing', help: 'gue and gre: no checksum' },
  { long: 'tun-csum', takes: 'nothing', help: 'gue and gre: with checksum' },
  { long: 'tun-remcsum', takes: 'nothing', help: 'gue: remote checksum offload' },
  {
    long: 'weight',
    short: 'w',
    takes: 'value',
    value: 'N',
    help: 'weight, default 1; 0 takes no new connections',
  },
  { long: 'u-threshold', short: 'x', takes: 'value', value: 'N', help: 'most connections, 0 = no limit' },
  { long: 'l-threshold', short: 'y', takes: 'value', value: 'N', help: 'takes new ones again below this' },
  { long: 'numeric', short: 'n', takes: 'nothing', help: 'print addresses and ports as numbers' },
  { long: 'connection', short: 'c', takes: 'nothing', help: 'list connections' },
  { long: 'timeout', takes: 'nothing', help: 'list the timeouts' },
  { long: 'daemon', takes: 'nothing', help: 'list the synchronisation daemons' },
  { long: 'stats', takes: 'nothing', help: 'list with counters' },
  { long: 'rate', takes: 'nothing', help: 'list with rates per second' },
  { long: 'thresholds', takes: 'nothing', help: 'list with thresholds' },
  { long: 'persistent-conn', takes: 'nothing', help: 'list with persistent connections' },
  { long: 'tun-info', takes: 'nothing', help: 'list with tunnels' },
  { long: 'nosort', takes: 'nothing', help: "list in the kernel's order" },
  { long: 'sort', takes: 'nothing', help: 'list in order, the default' },
  { long: 'exact', short: 'X', takes: 'nothing', help: 'print large numbers in full' },
  { long: 'syncid', takes: 'value', value: 'N', help: 'id of the daemon, 0 to 255, default 0' },
  { long: 'sync-maxlen', takes: 'value', value: 'BYTES', help: 'longest message of the daemon' },
  { long: 'mcast-interface', takes: 'value', value: 'NAME', help: "the daemon's interface, default eth0" },
  { long: 'mcast-group', takes: 'value', value: 'ADDRESS', help: "the daemon's group, default 224.0.0.81" },
  { long: 'mcast-port', takes: 'value', value: 'PORT', help: "the daemon's port, default 8848" },
  { long: 'mcast-ttl', takes: 'value', value: 'N', help: "the daemon's time to live, default 1" },
];

/** Switches that the original does not have. */
export const OUR_SWITCHES: readonly Switch[] = [
  { long: 'json', takes: 'nothing', help: 'with -L: print JSON', isOurs: true },
  { long: 'compat', takes: 'nothing', help: 'with -S: print what ipvsadm 1.31 prints', isOurs: true },
  { long: 'keep-port', takes: 'nothing', help: 'keep the port of a server behind -g or -i', isOurs: true },
  {
    long: 'forward',
    takes: 'value',
    value: 'local|bypass',
    help: 'a forwarding method that only other programs set',
    isOurs: true,
  },
  { long: 'flags', takes: 'value', value: 'N', help: 'all flags of a service as one number', isOurs: true },
  { long: 'tun-flags', takes: 'value', value: 'N', help: 'flags of a tunnel as one number', isOurs: true },
  {
    long: 'protocol-service',
    takes: 'value',
    value: 'N,ADDRESS:PORT',
    help: 'virtual service over another protocol',
    isOurs: true,
  },
];

export type OurOptionName = 'json' | 'compat' | 'keep-port' | 'forward' | 'flags' | 'tun-flags';

const SERVICE_SETTINGS: readonly OptionName[] = [
  'scheduler',
  'persistent',
  'netmask',
  'ops',
  'pe',
  'sched-flags',
];
const SERVER_SETTINGS: readonly OptionName[] = [
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
];
const LIST_STYLES: readonly OptionName[] = [
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'exact',
  'tun-info',
];

/** What a command needs, may have, and may have only one of; every other option is refused. */
export interface Combination {
  readonly required?: readonly OptionName[];
  readonly optional?: readonly OptionName[];
  readonly oneOf?: readonly OptionName[];
}

export const COMBINATIONS: Readonly<Record<CommandName, Combination>> = {
  'add-service': { required: ['service-address'], optional: SERVICE_SETTINGS },
  'edit-service': { required: ['service-address'], optional: SERVICE_SETTINGS },
  'delete-service': { required: ['service-address'] },
  flush: {},
  list: {
    // The original takes --syncid here and does nothing with it.
    optional: ['numeric', 'syncid', ...LIST_STYLES],
    oneOf: ['connection', 'service-address', 'timeout', 'daemon'],
  },
  'add-server': { required: ['service-address', 'real-server'], optional: SERVER_SETTINGS },
  'delete-server': { required: ['service-address', 'real-server'] },
  'edit-server': { required: ['service-address', 'real-server'], optional: SERVER_SETTINGS },
  set: {},
  'start-daemon': {
    optional: ['mcast-interface', 'syncid', 'mcast-group', 'mcast-port', 'mcast-ttl', 'sync-maxlen'],
  },
  'stop-daemon': { optional: ['syncid'] },
  restore: {},
  save: { optional: ['numeric'] },
  zero: { optional: ['service-address'] },
};

/** The same for a tunnel's type. */
export const TUNNEL_COMBINATIONS: Readonly<Record<'ipip' | 'gue' | 'gre', Combination>> = {
  ipip: { optional: ['tun-type'] },
  gue: {
    required: ['tun-type', 'tun-port'],
    oneOf: ['tun-nocsum', 'tun-csum', 'tun-remcsum'],
  },
  gre: { required: ['tun-type'], oneOf: ['tun-nocsum', 'tun-csum'] },
};

/** Flags of -b by scheduler flag bit (1 to 3). */
export const SCHEDULER_FLAG_NAMES: Readonly<Record<string, readonly [string, string, string]>> =
  FLAG_NAMES_BY_SCHEDULER;

/** Largest timeout in seconds: 31 days. */
export const MAX_TIMEOUT_SECONDS = 31 * 24 * 60 * 60;
export const DEFAULT_SCHEDULER = 'wlc';
export const DEFAULT_PERSISTENCE_SECONDS = 360;
export const DEFAULT_MULTICAST_INTERFACE = 'eth0';
