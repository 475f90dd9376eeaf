// The ipsets of the IPVS backend: kube-proxy's names, types and comments, and our own set of owned virtual servers.
// Pure data. Names are an interface: rules refer to them, kube-proxy finds them again, people look them up.
// Source: kube-proxy 1.36, mode ipvs (its recorded state is in test/golden).

import type { Family } from '../../model/ip.ts';

/**
 * What a member does to packets, which decides when it is written (phases.ts):
 *  guard   shuts, marks for masquerading, or says whose something is: before what it guards comes, after that went;
 *  pass    lets packets through to a virtual server: after the servers are there, before they go;
 *  unmark  exempts clients of policy Local from masquerading: only while all servers of the frontend are local.
 */
export type SetRole = 'guard' | 'pass' | 'unmark';

export type SetType = 'hash:ip' | 'hash:ip,port' | 'hash:ip,port,ip' | 'hash:ip,port,net' | 'bitmap:port';

interface SetDefinition {
  readonly type: SetType;
  readonly role: SetRole;
  /** Text of the iptables comment on rules that match the set; '' where no rule of its own has one. */
  readonly comment: string;
}

/** Every set by its IPv4 name. */
export const SETS = {
  'KUBE-LOOP-BACK': {
    type: 'hash:ip,port,ip',
    role: 'guard',
    comment: 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose',
  },
  'KUBE-CLUSTER-IP': {
    type: 'hash:ip,port',
    role: 'pass',
    comment: 'Kubernetes service cluster ip + port for masquerade purpose',
  },
  'KUBE-EXTERNAL-IP': {
    type: 'hash:ip,port',
    role: 'pass',
    comment: 'Kubernetes service external ip + port for masquerade and filter purpose',
  },
  'KUBE-EXTERNAL-IP-LOCAL': {
    type: 'hash:ip,port',
    role: 'pass',
    comment: 'Kubernetes service external ip + port with externalTrafficPolicy=local',
  },
  'KUBE-LOAD-BALANCER': { type: 'hash:ip,port', role: 'pass', comment: 'Kubernetes service lb portal' },
  'KUBE-LOAD-BALANCER-FW': {
    type: 'hash:ip,port',
    role: 'guard',
    comment: 'Kubernetes service load balancer ip + port for load balancer with sourceRange',
  },
  'KUBE-LOAD-BALANCER-LOCAL': {
    type: 'hash:ip,port',
    role: 'unmark',
    comment: 'Kubernetes service load balancer ip + port with externalTrafficPolicy=local',
  },
  'KUBE-LOAD-BALANCER-SOURCE-IP': {
    type: 'hash:ip,port,ip',
    role: 'pass',
    comment: 'Kubernetes service load balancer ip + port + source IP for packet filter purpose',
  },
  'KUBE-LOAD-BALANCER-SOURCE-CIDR': {
    type: 'hash:ip,port,net',
    role: 'pass',
    comment: 'Kubernetes service load balancer ip + port + source cidr for packet filter purpose',
  },
  'KUBE-NODE-PORT-TCP': {
    type: 'bitmap:port',
    role: 'guard',
    comment: 'Kubernetes nodeport TCP port for masquerade purpose',
  },
  'KUBE-NODE-PORT-LOCAL-TCP': {
    type: 'bitmap:port',
    role: 'unmark',
    comment: 'Kubernetes nodeport TCP port with externalTrafficPolicy=local',
  },
  'KUBE-NODE-PORT-UDP': {
    type: 'bitmap:port',
    role: 'guard',
    comment: 'Kubernetes nodeport UDP port for masquerade purpose',
  },
  'KUBE-NODE-PORT-LOCAL-UDP': {
    type: 'bitmap:port',
    role: 'unmark',
    comment: 'Kubernetes nodeport UDP port with externalTrafficPolicy=local',
  },
  'KUBE-NODE-PORT-SCTP-HASH': {
    type: 'hash:ip,port',
    role: 'guard',
    comment: "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
  },
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH': {
    type: 'hash:ip,port',
    role: 'unmark',
    comment: "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
  },
  'KUBE-HEALTH-CHECK-NODE-PORT': {
    type: 'bitmap:port',
    role: 'pass',
    comment: 'Kubernetes health check node port',
  },
  'KUBE-IPVS-IPS': { type: 'hash:ip', role: 'guard', comment: '' },
  // The virtual servers that we made. It lives in the kernel with them, so it survives the agent and dies with the node; what is
  // not in it is somebody else's and is left alone.
  'POINTSMAN-VS': { type: 'hash:ip,port', role: 'guard', comment: '' },
} as const satisfies Record<string, SetDefinition>;

export type SetName = keyof typeof SETS;

export const SET_NAMES = Object.keys(SETS) as readonly SetName[];

/** The name of the copy while a set is replaced by a larger one. One that is there at any other time is a left-over, which nothing uses. */
export const TEMPORARY_SET = 'POINTSMAN-TMP';

/** The IP protocols of the sets that hold ports of virtual servers alone: TCP and UDP. */
export const PORT_SET_PROTOCOLS: Partial<Record<SetName, number>> = {
  'KUBE-NODE-PORT-TCP': 6,
  'KUBE-NODE-PORT-LOCAL-TCP': 6,
  'KUBE-NODE-PORT-UDP': 17,
  'KUBE-NODE-PORT-LOCAL-UDP': 17,
};

/** ipset names have at most 31 characters (IPSET_MAXNAMELEN - 1). */
const MAX_SET_NAME_CHARACTERS = 31;

/** kube-proxy's parameters, so that a set made by either is right for the other. */
export const HASH_SIZE = 1024;
const MAX_MEMBERS = 65536;
/** Our own set holds a member per virtual server, NodePorts times node addresses included. */
const MAX_OWNED = 1 << 20;

/** How many members a set of ours has room for when it is made. */
export function maxMembersOf(set: SetName): number {
  return set === 'POINTSMAN-VS' ? MAX_OWNED : MAX_MEMBERS;
}

const IPV6_NAMES = Object.fromEntries(SET_NAMES.map((set) => [set, ipv6Name(set)])) as Record<
  SetName,
  string
>;

/** The name of a set in the kernel: the IPv6 one has its prefix changed and is cut to fit, as kube-proxy does it. */
export function kernelSetName(set: SetName, family: Family): string {
  return family === 'IPv4' ? set : IPV6_NAMES[set];
}

function ipv6Name(set: SetName): string {
  const name = set.startsWith('KUBE-')
    ? `KUBE-6-${set.slice('KUBE-'.length)}`
    : `POINTSMAN-6-${set.slice('POINTSMAN-'.length)}`;
  return name.slice(0, MAX_SET_NAME_CHARACTERS);
}
