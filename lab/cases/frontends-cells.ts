// The frontend cases as a table: who asks which frontend, which servers answer with which source in sight, and the rule that says so.
// The expectations are kube-proxy's in IPVS mode, peculiarities included, not what was once seen. Data only; nothing runs here.
// Source: kube-proxy 1.36, mode ipvs (chains, sets and choice of real servers); Kubernetes' traffic policies where it follows them.

import type { Protocol } from '../traffic.ts';
import {
  addressOf,
  FAMILIES,
  HOSTS,
  portOf,
  PORTS,
  PROTOCOLS,
  type Family,
  type HostName,
  type Kind,
  type ServiceName,
} from './frontends-services.ts';

/**
 * The source that a server sees. client: the address that the client asked with; of this node itself that is the frontend's, because
 * every frontend's address is one of its own. node: this node's address towards the server (masqueraded).
 */
type Source = 'client' | 'node';
type Answers = Readonly<Partial<Record<'pod1' | 'remote1' | 'host', Source>>>;

/**
 * An object: each server named answers one of as many connections. sticky: all of several connections are answered by the same of them.
 * noServer: refused, since the virtual server has no real server. rejected: refused by a rule. silent: neither an answer nor an error.
 */
type Expectation = Answers | { readonly sticky: Answers } | 'noServer' | 'rejected' | 'silent';

interface Row {
  readonly service: ServiceName;
  readonly kind: Kind;
  readonly from: readonly HostName[];
  readonly expect: Expectation;
  readonly why: string;
  /** Default: the frontend's own. */
  readonly port?: number;
  /** Default: both. */
  readonly families?: readonly Family[];
  /** Default: all three. */
  readonly protocols?: readonly Protocol[];
}

/** The configurations that the node runs with, one after the other. */
export const VARIANTS = ['detector', 'masqueradeAll', 'noDetector'] as const;
export type Variant = (typeof VARIANTS)[number];

const INSIDE: readonly HostName[] = ['pod3', 'remote2'];
const OUTSIDE: readonly HostName[] = ['client1', 'client2'];
const EVERYBODY: readonly HostName[] = ['pod3', 'remote2', 'node1', 'client1'];
const MASQUERADED: Answers = { pod1: 'node', remote1: 'node' };
const KEPT: Answers = { pod1: 'client', remote1: 'client' };

const row = (
  service: ServiceName,
  kind: Kind,
  from: readonly HostName[],
  expect: Expectation,
  why: string,
  narrowed: Pick<Row, 'port' | 'families' | 'protocols'> = {},
): Row => ({ service, kind, from, expect, why, ...narrowed });

// A server on the other node answers the LAN and its own pods past this node, so who is not masqueraded and is not behind this node gets
// no answer from it. Where that would only show the lab's routes, the Service has this node's server alone.
const ROWS: Readonly<Record<Variant, readonly Row[]>> = {
  detector: [
    // ClusterIP
    row('both', 'ClusterIP', ['pod3'], KEPT, 'the detector knows the pod: not marked'),
    row('near', 'ClusterIP', ['remote2'], { pod1: 'client' }, 'the detector knows pods of all nodes'),
    row('both', 'ClusterIP', ['node1', 'client1'], MASQUERADED, 'not a pod: marked'),
    row('local', 'ClusterIP', ['pod3'], KEPT, 'externalTrafficPolicy says nothing of ClusterIPs'),
    row('local', 'ClusterIP', ['client1'], MASQUERADED, 'neither does it for clients outside'),
    row('inner', 'ClusterIP', INSIDE, { pod1: 'client' }, 'iTP Local: only local servers'),
    row('inner', 'ClusterIP', ['node1', 'client1'], { pod1: 'node' }, 'iTP Local, not a pod'),
    row('innerfar', 'ClusterIP', EVERYBODY, 'noServer', 'iTP Local without local servers: no real server'),
    row(
      'openfar',
      'ClusterIP',
      ['pod3'],
      { remote1: 'client' },
      'iTP Local falls back when reachable outside',
    ),
    row('openfar', 'ClusterIP', ['node1', 'client1'], { remote1: 'node' }, 'the same, not a pod'),
    row('sticky', 'ClusterIP', ['pod3'], { sticky: KEPT }, 'ClientIP affinity'),
    row('sticky', 'ClusterIP', ['client1', 'node1'], { sticky: MASQUERADED }, 'ClientIP affinity'),
    // Hairpin
    row('both', 'ClusterIP', ['pod1'], { pod1: 'node', remote1: 'client' }, 'KUBE-LOOP-BACK'),
    row('local', 'LoadBalancerIP', ['pod1'], { pod1: 'node' }, 'KUBE-LOOP-BACK, whatever the frontend'),
    row('local', 'NodePort', ['pod1'], { pod1: 'node' }, 'KUBE-LOOP-BACK, whatever the frontend'),
    // Policy Cluster from outside: everybody is marked.
    row('both', 'ExternalIP', EVERYBODY, MASQUERADED, 'KUBE-EXTERNAL-IP is marked for everybody'),
    row('own', 'OwnAddress', EVERYBODY, MASQUERADED, 'an external IP needs no link of its own'),
    row('both', 'LoadBalancerIP', EVERYBODY, MASQUERADED, 'KUBE-LOAD-BALANCER is marked for everybody'),
    row('both', 'NodePort', EVERYBODY, MASQUERADED, 'KUBE-NODE-PORT is marked for everybody'),
    row('openfar', 'NodePort', EVERYBODY, { remote1: 'node' }, 'iTP Local says nothing of NodePorts'),
    row('sticky', 'NodePort', ['client1'], { sticky: MASQUERADED }, 'ClientIP affinity'),
    // Policy Local with a local server: local servers only, and nobody is marked.
    ...(['ExternalIP', 'LoadBalancerIP', 'NodePort'] as const).flatMap((kind) => [
      row('local', kind, OUTSIDE, { pod1: 'client' }, 'eTP Local keeps the source'),
      row('local', kind, INSIDE, { pod1: 'client' }, 'eTP Local has one list for everybody'),
      row('local', kind, ['node1'], { pod1: 'client' }, 'eTP Local marks not even this node'),
    ]),
    row('ownlocal', 'OwnAddress', EVERYBODY, { pod1: 'client' }, 'eTP Local on an address of this node'),
    // Policy Local without a local server: the other nodes' servers, not masqueraded, so that answers pass this node by.
    ...(['ExternalIP', 'LoadBalancerIP', 'NodePort'] as const).flatMap((kind) => [
      row('far', kind, ['client1', 'remote2'], 'silent', 'eTP Local: answers of the other node are lost'),
      row('far', kind, ['pod3'], { remote1: 'client' }, 'answers to pods of this node come back'),
    ]),
    row('far', 'NodePort', ['node1'], { remote1: 'client' }, "this node's own address leads back to it"),
    row('far', 'ExternalIP', ['node1'], 'silent', 'the other node takes the VIP for its own'),
    row('far', 'LoadBalancerIP', ['node1'], 'silent', 'the other node takes the VIP for its own'),
    row(
      'far',
      'ClusterIP',
      ['pod3'],
      { remote1: 'client' },
      'externalTrafficPolicy says nothing of ClusterIPs',
    ),
    // Source ranges
    row('ranged', 'LoadBalancerIP', ['client1', 'pod3'], MASQUERADED, 'in KUBE-LOAD-BALANCER-SOURCE-CIDR'),
    row('ranged', 'LoadBalancerIP', ['client2', 'pod4', 'remote2'], 'silent', 'in no range: dropped'),
    row('ranged', 'LoadBalancerIP', ['node1'], 'silent', 'KUBE-IPVS-OUT-FILTER: this node is in no range'),
    row('ranged', 'NodePort', ['client2', 'node1'], MASQUERADED, 'ranges hold for load-balancer IPs only'),
    row('ranged', 'ClusterIP', ['client2', 'node1'], MASQUERADED, 'ranges hold for load-balancer IPs only'),
    row('rangednode', 'LoadBalancerIP', ['node1'], MASQUERADED, 'the node IP is in a range'),
    row('rangednode', 'LoadBalancerIP', ['client1', 'pod3'], 'silent', 'the range is of the node alone'),
    row('rangedlocal', 'LoadBalancerIP', ['client1'], { pod1: 'client' }, 'in a range, and eTP Local'),
    row('rangedlocal', 'LoadBalancerIP', ['client2', 'pod3', 'node1'], 'silent', 'in no range: dropped'),
    row('rangedipv4', 'LoadBalancerIP', ['client2', 'node1'], 'silent', 'in no range', {
      families: ['IPv4'],
    }),
    row(
      'rangedipv4',
      'LoadBalancerIP',
      ['client2', 'node1'],
      MASQUERADED,
      'ranges of only the other family restrict nobody',
      { families: ['IPv6'] },
    ),
    // Nobody there
    ...(['ClusterIP', 'ExternalIP', 'LoadBalancerIP', 'NodePort'] as const).map((kind) =>
      row('empty', kind, EVERYBODY, 'noServer', 'a virtual server without real servers'),
    ),
    ...(['ClusterIP', 'ExternalIP', 'LoadBalancerIP'] as const).map((kind) =>
      row('both', kind, ['pod3', 'node1', 'client1'], 'rejected', 'KUBE-IPVS-FILTER: an undeclared port', {
        port: PORTS.undeclared,
      }),
    ),
    row(
      'both',
      'NodePort',
      ['pod3', 'client1'],
      { host: 'client' },
      "the node's own service beside NodePorts",
      {
        port: PORTS.undeclared,
      },
    ),
    // Health checks
    row('local', 'NodePort', ['client1'], { host: 'client' }, 'KUBE-HEALTH-CHECK-NODE-PORT is accepted', {
      port: PORTS.healthCheck,
      protocols: ['TCP'],
    }),
    row('local', 'NodePort', ['client1'], 'silent', 'the host closed the port, and no Service opens it', {
      port: PORTS.closed,
      protocols: ['TCP'],
    }),
    row(
      'local',
      'LoadBalancerIP',
      ['client1'],
      { host: 'client' },
      'a health-check port is open on VIPs, too',
      {
        port: PORTS.healthCheck,
        protocols: ['TCP'],
      },
    ),
    // NodePort sets of TCP and UDP hold ports without addresses.
    row('clash', 'ClusterIP', ['pod3'], MASQUERADED, 'its port is a NodePort of another Service: marked', {
      protocols: ['TCP'],
    }),
    row('clash', 'ClusterIP', ['pod3'], KEPT, 'its port is a NodePort of another protocol', {
      protocols: ['UDP', 'SCTP'],
    }),
  ],
  masqueradeAll: [
    row('both', 'ClusterIP', ['pod3', 'pod1', 'node1', 'client1'], MASQUERADED, 'masqueradeAll'),
    row('both', 'ClusterIP', ['remote2'], MASQUERADED, 'masqueradeAll, also for pods of other nodes'),
    row('inner', 'ClusterIP', ['pod3'], { pod1: 'node' }, 'masqueradeAll'),
  ],
  noDetector: [
    row('both', 'ClusterIP', ['pod3'], KEPT, 'no detector: nobody is marked'),
    row('near', 'ClusterIP', ['client1', 'remote2'], { pod1: 'client' }, 'not even clients outside'),
    row('both', 'ClusterIP', ['node1'], MASQUERADED, 'but this node: its source is a ClusterIP (src,dst)'),
    row('both', 'ClusterIP', ['pod1'], { pod1: 'node', remote1: 'client' }, 'KUBE-LOOP-BACK'),
  ],
};

/** One row in one family and protocol, from one client. */
export interface Cell {
  readonly name: string;
  readonly from: HostName;
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
  /** How many connections to make. */
  readonly count: number;
  /** What is to come back: nothing means that waiting long is in vain. */
  readonly awaits: 'answer' | 'refusal' | 'nothing';
  /** What may be seen: sorted answers as answerText() writes them; one of these lists. */
  readonly expected: readonly (readonly string[])[];
  readonly why: string;
}

/** All cells of a variant. Those of one family and protocol share virtual servers, and so their order matters to rr. */
export function cellsOf(variant: Variant, family: Family, protocol: Protocol): Cell[] {
  return ROWS[variant]
    .filter(
      ({ families = FAMILIES, protocols = PROTOCOLS }) =>
        families.includes(family) && protocols.includes(protocol),
    )
    .flatMap((row) => row.from.map((from) => cellOf(row, from, family, protocol)));
}

/** "pod1 saw 10.244.1.13", or the outcome of an attempt that nobody answered. */
export function answerText(server: string | null, source: string | null, outcome: string): string {
  return server === null ? outcome : `${server} saw ${source}`;
}

const STICKY_CONNECTIONS = 4;

function cellOf(row: Row, from: HostName, family: Family, protocol: Protocol): Cell {
  const address = addressOf(row.service, row.kind, family);
  const port = row.port ?? portOf(row.service, row.kind, protocol);
  const frontend = `${row.kind} of ${row.service}${row.port === undefined ? '' : ` port ${row.port}`}`;
  const texts = (answers: Answers): string[] =>
    Object.entries(answers).map(([server, source]) =>
      answerText(server, sourceAddress(source, server, from, address, family), ''),
    );
  const shared = { name: `${frontend} from ${from}`, from, protocol, address, port, why: row.why };
  if (typeof row.expect === 'string') {
    const outcome = row.expect === 'silent' ? 'timedOut' : refusal(row.expect, from, protocol);
    const awaits = outcome === 'timedOut' ? 'nothing' : 'refusal';
    return { ...shared, count: 1, awaits, expected: [[outcome]] };
  }
  if ('sticky' in row.expect) {
    const expected = texts(row.expect.sticky).map((text) =>
      Array.from({ length: STICKY_CONNECTIONS }, () => text),
    );
    return { ...shared, count: STICKY_CONNECTIONS, awaits: 'answer', expected };
  }
  const expected = texts(row.expect).sort();
  return { ...shared, count: expected.length, awaits: 'answer', expected: [expected] };
}

/**
 * What a client makes of an ICMP port unreachable. SCTP takes it for a passing trouble and tries again (net/sctp/input.c,
 * sctp_v4_err()). This node's own datagrams without a real server do not even leave: sendto(2) says so.
 */
function refusal(by: 'noServer' | 'rejected', from: HostName, protocol: Protocol): string {
  if (protocol === 'SCTP') return 'timedOut';
  return by === 'noServer' && from === 'node1' && protocol === 'UDP' ? 'EPERM' : 'refused';
}

/** This node's addresses on the links to its own pods and to the LAN, behind which the other node is. */
const TOWARDS = {
  pod1: { IPv4: '10.244.1.1', IPv6: 'fd00:10:244:1::1' },
  remote1: HOSTS.node1,
} as const;

function sourceAddress(
  source: Source,
  server: string,
  from: HostName,
  frontend: string,
  family: Family,
): string {
  if (source === 'node') return TOWARDS[server === 'remote1' ? 'remote1' : 'pod1'][family];
  return from === 'node1' ? frontend : HOSTS[from][family];
}
