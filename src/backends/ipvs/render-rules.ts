// The iptables rules of the IPVS backend as text, chain by chain, in the spelling in which iptables-save prints them: so that
// what is wanted and what is there compare as strings. Pure. Every word of a rule is a constant of this file, a number, a canonical
// CIDR or an interface name that was checked: nothing that a Service's editor can write comes here.
// Source: kube-proxy 1.36, mode ipvs.

import type { Family } from '../../model/ip.ts';
import type { AddressKey } from '../../kernel/ipvs-codec.ts';
import type { LocalDetector } from '../../plan/plan.ts';
import { kernelSetName, SETS, type SetName } from './sets.ts';

export type Table = 'nat' | 'filter';

/** What the rules depend on, besides which sets have members. */
export interface RuleOptions {
  readonly family: Family;
  /** The mark of packets to masquerade, one bit: 1 << iptables.masqueradeBit. */
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  readonly localDetector: LocalDetector;
  /** iptables 1.6.2 and later know MASQUERADE --random-fully. */
  readonly hasRandomFully: boolean;
  /** Virtual servers that processes of this node are kept from, in the order of the rules. */
  readonly closedToNode: readonly AddressKey[];
}

export interface Chain {
  readonly table: Table;
  readonly name: string;
  /** Rules without their "-A CHAIN " beginning, in order. */
  readonly rules: readonly string[];
}

/** A rule in a built-in chain that leads into one of ours. */
export interface Jump {
  readonly table: Table;
  readonly from: string;
  /** The rule without its "-A CHAIN " beginning. */
  readonly rule: string;
}

/** All of our rules of one family. */
export interface RuleSet {
  readonly chains: readonly Chain[];
  /** In the order in which missing ones are inserted at the head, each before the ones inserted earlier. */
  readonly jumps: readonly Jump[];
}

const JUMPS: readonly (readonly [Table, string, string, string])[] = [
  ['nat', 'OUTPUT', 'KUBE-SERVICES', 'kubernetes service portals'],
  ['nat', 'PREROUTING', 'KUBE-SERVICES', 'kubernetes service portals'],
  ['nat', 'POSTROUTING', 'KUBE-POSTROUTING', 'kubernetes postrouting rules'],
  ['filter', 'FORWARD', 'KUBE-FORWARD', 'kubernetes forwarding rules'],
  ['filter', 'INPUT', 'KUBE-NODE-PORT', 'kubernetes health check rules'],
  ['filter', 'INPUT', 'KUBE-PROXY-FIREWALL', 'kube-proxy firewall rules'],
  ['filter', 'FORWARD', 'KUBE-PROXY-FIREWALL', 'kube-proxy firewall rules'],
  ['filter', 'INPUT', 'KUBE-IPVS-FILTER', 'kubernetes ipvs access filter'],
  ['filter', 'OUTPUT', 'KUBE-IPVS-OUT-FILTER', 'kubernetes ipvs access filter'],
];

/** A comment match as iptables-save prints it; all comments are constants that hold a blank, which is when it quotes. */
function quoted(comment: string): string {
  return `-m comment --comment "${comment.replaceAll(/['"\\]/g, '\\$&')}"`;
}

/**
 * The rules for a node on which exactly the sets of `nonEmpty` have members. Chains come in the order in which kube-proxy
 * ensures them; the result is the same for the same input.
 */
export function renderRules(options: RuleOptions, nonEmpty: ReadonlySet<SetName>): RuleSet {
  const rules = new RuleWriter(options.family, nonEmpty);
  const nat = (name: string, lines: readonly string[]): Chain => ({ table: 'nat', name, rules: lines });
  const filter = (name: string, lines: readonly string[]): Chain => ({ table: 'filter', name, rules: lines });
  return {
    chains: [
      nat('KUBE-SERVICES', servicesChain(options, rules)),
      nat('KUBE-POSTROUTING', postroutingChain(options, rules)),
      nat('KUBE-NODE-PORT', nodePortChain(rules)),
      nat('KUBE-LOAD-BALANCER', [
        ...rules.ifAny('KUBE-LOAD-BALANCER-LOCAL', 'dst,dst', '-j RETURN'),
        '-j KUBE-MARK-MASQ',
      ]),
      nat('KUBE-MARK-MASQ', [`-j MARK --set-xmark ${mark(options)}/${mark(options)}`]),
      filter('KUBE-FORWARD', [
        `${quoted('kubernetes forwarding rules')} -m mark --mark ${mark(options)}/${mark(options)} -j ACCEPT`,
        `${quoted('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      ]),
      filter('KUBE-NODE-PORT', [rules.always('KUBE-HEALTH-CHECK-NODE-PORT', 'dst', '-j ACCEPT')]),
      filter(
        'KUBE-PROXY-FIREWALL',
        rules.ifAny('KUBE-LOAD-BALANCER-FW', 'dst,dst', '-j KUBE-SOURCE-RANGES-FIREWALL'),
      ),
      filter('KUBE-SOURCE-RANGES-FIREWALL', [
        ...rules.ifAny('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src', '-j RETURN'),
        ...rules.ifAny('KUBE-LOAD-BALANCER-SOURCE-IP', 'dst,dst,src', '-j RETURN'),
        '-j DROP',
      ]),
      filter('KUBE-IPVS-FILTER', ipvsFilterChain(options, rules)),
      filter('KUBE-IPVS-OUT-FILTER', options.closedToNode.map(closedToNodeRule)),
    ],
    jumps: JUMPS.map(([table, from, to, comment]) => ({ table, from, rule: `${quoted(comment)} -j ${to}` })),
  };
}

/** A process of this node that connects to a virtual server has its address as its source. */
function closedToNodeRule({ family, address, protocol, port }: AddressKey): string {
  const source = `${address}/${family === 'IPv4' ? 32 : 128}`;
  return `-s ${source} -m ipvs --vproto ${protocol} --vaddr ${address} --vport ${port} -j DROP`;
}

function mark(options: RuleOptions): string {
  return `0x${options.masqueradeMark.toString(16)}`;
}

/** Writes rules that match a set; `tail` is what comes behind the match. */
class RuleWriter {
  private readonly family: Family;
  private readonly nonEmpty: ReadonlySet<SetName>;

  constructor(family: Family, nonEmpty: ReadonlySet<SetName>) {
    this.family = family;
    this.nonEmpty = nonEmpty;
  }

  match(set: SetName, directions: string): string {
    return `-m set --match-set ${kernelSetName(set, this.family)} ${directions}`;
  }

  always(set: SetName, directions: string, tail: string, head = ''): string {
    const comment = SETS[set].comment === '' ? '' : `${quoted(SETS[set].comment)} `;
    return `${head}${comment}${this.match(set, directions)} ${tail}`;
  }

  /** The rule, or none when the set is empty. */
  ifAny(set: SetName, directions: string, tail: string, head = ''): string[] {
    return this.has(set) ? [this.always(set, directions, tail, head)] : [];
  }

  has(set: SetName): boolean {
    return this.nonEmpty.has(set);
  }
}

function servicesChain(options: RuleOptions, rules: RuleWriter): string[] {
  const notBridged = '-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT';
  const toLocal = '-m addrtype --dst-type LOCAL -j ACCEPT';
  return [
    `-s ${options.family === 'IPv4' ? '127.0.0.0/8' : '::1/128'} -j RETURN`,
    ...rules.ifAny('KUBE-LOAD-BALANCER', 'dst,dst', '-j KUBE-LOAD-BALANCER'),
    ...clusterIpMasquerade(options, rules),
    ...rules.ifAny('KUBE-EXTERNAL-IP', 'dst,dst', '-j KUBE-MARK-MASQ'),
    ...rules.ifAny('KUBE-EXTERNAL-IP', 'dst,dst', notBridged),
    ...rules.ifAny('KUBE-EXTERNAL-IP', 'dst,dst', toLocal),
    ...rules.ifAny('KUBE-EXTERNAL-IP-LOCAL', 'dst,dst', notBridged),
    ...rules.ifAny('KUBE-EXTERNAL-IP-LOCAL', 'dst,dst', toLocal),
    '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
    // These two must stay last: they end the walk for what the rules above only marked.
    ...(rules.has('KUBE-CLUSTER-IP') ? [`${rules.match('KUBE-CLUSTER-IP', 'dst,dst')} -j ACCEPT`] : []),
    ...(rules.has('KUBE-LOAD-BALANCER') ? [`${rules.match('KUBE-LOAD-BALANCER', 'dst,dst')} -j ACCEPT`] : []),
  ];
}

function clusterIpMasquerade(options: RuleOptions, rules: RuleWriter): string[] {
  const notLocal = notLocalMatch(options);
  if (options.masqueradeAll) return rules.ifAny('KUBE-CLUSTER-IP', 'dst,dst', '-j KUBE-MARK-MASQ');
  if (notLocal !== null)
    return rules.ifAny('KUBE-CLUSTER-IP', 'dst,dst', '-j KUBE-MARK-MASQ', `${notLocal} `);
  // Without a detector only the host itself is known: its packets to a ClusterIP bear a ClusterIP as their source.
  return rules.ifAny('KUBE-CLUSTER-IP', 'src,dst', '-j KUBE-MARK-MASQ');
}

/** The match for sources that are not pods of the cluster, or null when this family has no detector. */
function notLocalMatch(options: RuleOptions): string | null {
  const detector = options.localDetector;
  switch (detector.kind) {
    case 'none':
      return null;
    case 'cidr': {
      const cidr = options.family === 'IPv4' ? detector.ipv4 : detector.ipv6;
      return cidr === null ? null : `! -s ${cidr}`;
    }
    case 'bridge':
      return `! -i ${detector.interfaceName}`;
    case 'interfacePrefix':
      return `! -i ${detector.prefix}+`;
  }
}

function postroutingChain(options: RuleOptions, rules: RuleWriter): string[] {
  const m = mark(options);
  return [
    ...rules.ifAny('KUBE-LOOP-BACK', 'dst,dst,src', '-j MASQUERADE'),
    `-m mark ! --mark ${m}/${m} -j RETURN`,
    // Clears the mark, so that a packet that goes around again is not masqueraded twice.
    `-j MARK --set-xmark ${m}/0x0`,
    `${quoted('kubernetes service traffic requiring SNAT')} -j MASQUERADE${options.hasRandomFully ? ' --random-fully' : ''}`,
  ];
}

function nodePortChain(rules: RuleWriter): string[] {
  const pairs: readonly (readonly [string, SetName, SetName, string])[] = [
    ['tcp', 'KUBE-NODE-PORT-LOCAL-TCP', 'KUBE-NODE-PORT-TCP', 'dst'],
    ['udp', 'KUBE-NODE-PORT-LOCAL-UDP', 'KUBE-NODE-PORT-UDP', 'dst'],
    ['sctp', 'KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'KUBE-NODE-PORT-SCTP-HASH', 'dst,dst'],
  ];
  return pairs.flatMap(([protocol, local, all, directions]) => [
    ...rules.ifAny(local, directions, '-j RETURN', `-p ${protocol} `),
    ...rules.ifAny(all, directions, '-j KUBE-MARK-MASQ', `-p ${protocol} `),
  ]);
}

/** Keeps services that listen on all of the host's addresses from being reached through a Service's address. */
function ipvsFilterChain(options: RuleOptions, rules: RuleWriter): string[] {
  const known: readonly (readonly [SetName, string])[] = [
    ['KUBE-LOAD-BALANCER', 'dst,dst'],
    ['KUBE-CLUSTER-IP', 'dst,dst'],
    ['KUBE-EXTERNAL-IP', 'dst,dst'],
    ['KUBE-EXTERNAL-IP-LOCAL', 'dst,dst'],
    ['KUBE-HEALTH-CHECK-NODE-PORT', 'dst'],
  ];
  const reject = options.family === 'IPv4' ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
  return [
    ...known.map(([set, directions]) => `${rules.match(set, directions)} -j RETURN`),
    `-m conntrack --ctstate NEW ${rules.match('KUBE-IPVS-IPS', 'dst')} -j REJECT --reject-with ${reject}`,
  ];
}
