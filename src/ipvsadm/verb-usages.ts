// The verbs that ipvsadm 1.31 does not have, with their options: the table that their command lines are read by, and that help,
// completion and the manual page are made from. Data only.

export interface VerbOption {
  /** Long name, without the dashes. */
  readonly long: string;
  readonly short?: string;
  /** What the value is called; without it the option takes none. */
  readonly value?: string;
  readonly help: string;
}

export interface VerbUsage {
  readonly verb: string;
  readonly usage: string;
  readonly help: string;
  readonly options: readonly VerbOption[];
}

const JSON_OPTION: VerbOption = { long: 'json', help: 'print JSON' };
const NUMERIC_OPTION: VerbOption = { long: 'numeric', short: 'n', help: 'addresses and ports as numbers' };

/** How a server is named: as in the rest of the command; without a service it is meant in every one. */
const SERVER_OPTIONS: readonly VerbOption[] = [
  { long: 'tcp-service', short: 't', value: 'ADDRESS:PORT', help: 'only in this virtual service over TCP' },
  { long: 'udp-service', short: 'u', value: 'ADDRESS:PORT', help: 'only in this virtual service over UDP' },
  { long: 'sctp-service', value: 'ADDRESS:PORT', help: 'only in this virtual service over SCTP' },
  {
    long: 'fwmark-service',
    short: 'f',
    value: 'MARK',
    help: 'only in this virtual service by firewall mark',
  },
  { long: 'ipv6', short: '6', help: 'the firewall mark is for IPv6' },
  {
    long: 'real-server',
    short: 'r',
    value: 'ADDRESS[:PORT]',
    help: 'the server; without a port all of its ports',
  },
];

export const VERB_USAGES: readonly VerbUsage[] = [
  {
    verb: 'diff',
    usage: 'diff FILE',
    help: 'what differs from the rules in a file; exit 4 when something does',
    options: [
      { long: 'append', help: 'compare with what -R would add, instead of with the file alone' },
      JSON_OPTION,
    ],
  },
  {
    verb: 'restore',
    usage: 'restore [--merge] [FILE]',
    help: 'like -R; --merge makes the table equal to the file',
    options: [
      { long: 'merge', help: 'only the difference; nothing is torn down that stays' },
      { long: 'json', help: 'with --merge: print JSON' },
    ],
  },
  {
    verb: 'top',
    usage: 'top [OPTION...] [FILTER]',
    help: 'live rates per virtual service and real server',
    options: [
      { long: 'interval', short: 'i', value: 'DURATION', help: 'between two reads, default 1s' },
      { long: 'iterations', value: 'N', help: 'how often; default without end, under a pipe once' },
      { long: 'sort', short: 's', value: 'COLUMN', help: 'order of the services, default cps' },
      { long: 'limit', value: 'N', help: 'lines; default what the terminal holds, under a pipe all' },
      { long: 'no-servers', help: 'virtual services only' },
      NUMERIC_OPTION,
      JSON_OPTION,
    ],
  },
  {
    verb: 'drain',
    usage: 'drain [SERVICE] -r SERVER',
    help: 'weight 0, and wait until its connections have ended',
    options: [
      ...SERVER_OPTIONS,
      { long: 'deadline', value: 'DURATION', help: 'longest wait; default none' },
      { long: 'interval', value: 'DURATION', help: 'between two looks, default 1s' },
      { long: 'remove', help: 'delete the server once it is drained' },
      { long: 'no-wait', help: 'set the weight and be done' },
      { long: 'ignore-persistent', help: 'do not wait for clients that persistence still sends' },
      JSON_OPTION,
    ],
  },
  {
    verb: 'undrain',
    usage: 'undrain [SERVICE] -r SERVER',
    help: 'give a drained server its weight back',
    options: [
      ...SERVER_OPTIONS,
      { long: 'weight', short: 'w', value: 'N', help: 'default what drain remembered, else 1' },
      JSON_OPTION,
    ],
  },
  {
    verb: 'completion',
    usage: 'completion bash|zsh|fish',
    help: 'print completion for a shell',
    options: [],
  },
];
