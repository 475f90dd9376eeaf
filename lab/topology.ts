// Builds the lab's networks in the namespace this process runs in: this node with a LAN and pods, a second node with pods,
// and external clients. It makes interfaces, addresses, routes and IPv6 forwarding only; no service rules, no ip_forward.
// It must not start a process per step: a process start costs 65 ms in the guest. Sources: ip(8), ip-netns(8), ip-sysctl.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

/** A place that traffic starts or ends at. */
export interface Host {
  readonly name: string;
  /** The namespace's path ('/run/netns/pod1'), or null for the namespace this process runs in. */
  readonly netnsPath: string | null;
  readonly ipv4: string;
  /** In the canonical text form of RFC 5952. */
  readonly ipv6: string;
}

/** What to build besides the two nodes. Counts are 0 to 64 and default to 0. */
export interface TopologyOptions {
  /** Pods of this node. */
  readonly pods?: number;
  /** Pods of node2. */
  readonly remotePods?: number;
  /** Clients on the LAN, outside the cluster. */
  readonly clients?: number;
  /** Turns on net.ipv6.conf.all.forwarding of this node (default true). ip_forward is the agent's work and stays as it is. */
  readonly ipv6Forwarding?: boolean;
}

/** What createTopology built. */
export interface Topology {
  /** This node, 'node1'. */
  readonly node: Host;
  /** The other node, 'node2'; it forwards. */
  readonly node2: Host;
  /** 'pod1', 'pod2', ... on this node. */
  readonly pods: readonly Host[];
  /** 'remote1', 'remote2', ... on node2. */
  readonly remotePods: readonly Host[];
  /** 'client1', 'client2', ... on the LAN; they reach the service networks through this node and know no pod. */
  readonly clients: readonly Host[];
  /** The host with that name; throws for an unknown one. */
  host(name: string): Host;
  /** Removes all of it and puts IPv6 forwarding back. Calling it again does nothing. */
  dispose(): void;
}

/** The networks that clients route to this node. */
export const SERVICE_NETWORKS = { ipv4: '10.96.0.0/12', ipv6: 'fd96::/108' } as const;

/** The pods' networks: of this node and of node2. */
export const POD_NETWORKS = {
  node1: { ipv4: '10.244.1.0/24', ipv6: 'fd00:10:244:1::/64' },
  node2: { ipv4: '10.244.2.0/24', ipv6: 'fd00:10:244:2::/64' },
} as const;

const MAX_HOSTS = 64;
const BUILD_TIMEOUT_MS = 30_000;
const SYSCTL = '/proc/sys/net';
const IPV6_FORWARDING = 'ipv6/conf/all/forwarding';
// Without these a node answers six unreachable ports and is then silent, and tests would see 'timedOut' for 'refused'.
const ICMP_UNLIMITED: Readonly<Record<string, string>> = {
  'ipv4/icmp_ratemask': '0',
  'ipv6/icmp/ratemask': '0',
};
const BRIDGE = 'lan0';

const node: Host = { name: 'node1', netnsPath: null, ipv4: '192.168.50.11', ipv6: 'fd00:50::11' };
const node2: Host = {
  name: 'node2',
  netnsPath: netnsPath('node2'),
  ipv4: '192.168.50.12',
  ipv6: 'fd00:50::12',
};

/**
 * Builds the topology; when it returns, all addresses are usable (no duplicate address detection runs). Needs root. Throws
 * without touching anything when one stands already, or parts of one. When a step fails, what was built is removed and the
 * error names the step.
 */
export function createTopology(options: TopologyOptions = {}): Topology {
  const pods = hosts('pod', options.pods, '10.244.1', 'fd00:10:244:1', 11);
  const remotePods = hosts('remote', options.remotePods, '10.244.2', 'fd00:10:244:2', 11);
  const clients = hosts('client', options.clients, '192.168.50', 'fd00:50', 100);
  const all = [node, node2, ...pods, ...remotePods, ...clients];
  const namespaces = [node2, ...pods, ...remotePods, ...clients];

  const inTheWay = namespaces.find((namespace) => existsSync(netnsPath(namespace.name)))?.name;
  if (inTheWay !== undefined || networkInterfaces()[BRIDGE] !== undefined) {
    throw new Error(`${inTheWay ?? BRIDGE} exists already: dispose of the earlier topology first`);
  }

  const sysctls = {
    ...ICMP_UNLIMITED,
    ...(options.ipv6Forwarding === false ? {} : { [IPV6_FORWARDING]: '1' }),
  };
  const sysctlsBefore = Object.keys(sysctls).map(
    (name) => [name, readFileSync(`${SYSCTL}/${name}`, 'ascii')] as const,
  );
  let isBuilt = true;
  const dispose = (): void => {
    if (!isBuilt) return;
    isBuilt = false;
    // The node's ends of the veths go first: a namespace that a thread or socket still uses would keep its end, and so both.
    const links = [BRIDGE, ...[node2, ...clients].map(lanPort), ...pods.map(podPort)];
    const lines = [
      ...links.map((link) => `link del dev ${link}`),
      ...namespaces.map((namespace) => `netns del ${namespace.name}`),
    ];
    // -force goes on after a failed line: of a build that stopped half-way some of them do not exist.
    runScript(`{ ${ipBatch(['-force'], lines)}\n} 2>/dev/null || true`);
    for (const [name, value] of sysctlsBefore) writeFileSync(`${SYSCTL}/${name}`, value);
  };

  try {
    runScript(
      [
        'set -e',
        ipBatch([], nodeLines(pods, clients, remotePods)),
        ...namespaces.map((namespace) =>
          ipBatch(['-n', namespace.name], namespaceLines(namespace, pods, remotePods)),
        ),
        `nsenter --net=${node2.netnsPath} sh -s <<'EOF'`,
        'set -e',
        ...Object.entries({ 'ipv4/ip_forward': '1', [IPV6_FORWARDING]: '1', ...ICMP_UNLIMITED }).map(
          ([name, value]) => `echo ${value} >${SYSCTL}/${name}`,
        ),
        'EOF',
      ].join('\n'),
    );
    for (const [name, value] of Object.entries(sysctls)) writeFileSync(`${SYSCTL}/${name}`, `${value}\n`);
  } catch (error) {
    dispose();
    throw error;
  }

  return {
    node,
    node2,
    pods,
    remotePods,
    clients,
    host(name) {
      const found = all.find((host) => host.name === name);
      if (found === undefined)
        throw new Error(`The topology has no host ${name}; it has ${all.map((h) => h.name).join(', ')}`);
      return found;
    },
    dispose,
  };
}

function netnsPath(name: string): string {
  return `/run/netns/${name}`;
}

function lanPort(host: Host): string {
  return `lan-${host.name}`;
}

function podPort(host: Host): string {
  return `veth-${host.name}`;
}

function hosts(kind: string, count = 0, ipv4Prefix: string, ipv6Prefix: string, first: number): Host[] {
  if (!Number.isInteger(count) || count < 0 || count > MAX_HOSTS) {
    throw new RangeError(`A topology has 0 to ${MAX_HOSTS} of ${kind}, not ${count}`);
  }
  return Array.from({ length: count }, (_, index) => ({
    name: `${kind}${index + 1}`,
    netnsPath: netnsPath(`${kind}${index + 1}`),
    ipv4: `${ipv4Prefix}.${first + index}`,
    // Decimal digits read as hexadecimal, so that the last parts of both addresses look the same.
    ipv6: `${ipv6Prefix}::${first + index}`,
  }));
}

/** What `ip -batch` reads for the namespace of this process, with all namespaces and all veths. */
function nodeLines(pods: readonly Host[], clients: readonly Host[], remotePods: readonly Host[]): string[] {
  const lines = [node2, ...pods, ...remotePods, ...clients].map((namespace) => `netns add ${namespace.name}`);
  lines.push(
    'link set dev lo up',
    `link add ${BRIDGE} type bridge`,
    ...ipv6Ready(BRIDGE, 'fe80::11'),
    `addr add ${node.ipv4}/24 dev ${BRIDGE}`,
    `addr add ${node.ipv6}/64 dev ${BRIDGE} nodad`,
  );
  for (const host of [node2, ...clients]) {
    lines.push(
      `link add ${lanPort(host)} type veth peer name eth0 netns ${host.name}`,
      `link set dev ${lanPort(host)} master ${BRIDGE} addrgenmode none`,
      `link set dev ${lanPort(host)} up`,
    );
  }
  for (const pod of pods) {
    lines.push(
      `link add ${podPort(pod)} type veth peer name eth0 netns ${pod.name}`,
      ...gatewayLines(podPort(pod), pod, '10.244.1.1', 'fd00:10:244:1::1'),
    );
  }
  lines.push(
    `route add ${POD_NETWORKS.node2.ipv4} via ${node2.ipv4}`,
    `route add ${POD_NETWORKS.node2.ipv6} via ${node2.ipv6}`,
  );
  return lines;
}

/** What `ip -n NAMESPACE -batch` reads for one of the other namespaces. */
function namespaceLines(host: Host, pods: readonly Host[], remotePods: readonly Host[]): string[] {
  const isPod = pods.includes(host) || remotePods.includes(host);
  const lines = ['link set dev lo up', ...ipv6Ready('eth0', 'fe80::2')];
  if (isPod) {
    const gateway = pods.includes(host) ? '10.244.1.1' : '10.244.2.1';
    lines.push(
      `addr add ${host.ipv4}/32 dev eth0`,
      `addr add ${host.ipv6}/128 dev eth0 nodad`,
      `route add ${gateway}/32 dev eth0`,
      `route add default via ${gateway} dev eth0`,
      'route add default via fe80::1 dev eth0',
    );
    return lines;
  }
  lines.splice(1, lines.length, ...ipv6Ready('eth0', `fe80::${host.ipv6.slice('fd00:50::'.length)}`));
  lines.push(`addr add ${host.ipv4}/24 dev eth0`, `addr add ${host.ipv6}/64 dev eth0 nodad`);
  if (host !== node2) {
    lines.push(
      `route add ${SERVICE_NETWORKS.ipv4} via ${node.ipv4}`,
      `route add ${SERVICE_NETWORKS.ipv6} via ${node.ipv6}`,
    );
    return lines;
  }
  lines.push(
    `route add ${POD_NETWORKS.node1.ipv4} via ${node.ipv4}`,
    `route add ${POD_NETWORKS.node1.ipv6} via ${node.ipv6}`,
  );
  for (const pod of remotePods) {
    lines.push(
      `link add ${podPort(pod)} type veth peer name eth0 netns ${pod.name}`,
      ...gatewayLines(podPort(pod), pod, '10.244.2.1', 'fd00:10:244:2::1'),
    );
  }
  return lines;
}

/** A node's end of a pod's veth: the gateway's addresses and a route to this pod alone, so that pods meet in the node's stack. */
function gatewayLines(link: string, pod: Host, ipv4: string, ipv6: string): string[] {
  return [
    ...ipv6Ready(link, 'fe80::1'),
    `addr add ${ipv4}/32 dev ${link}`,
    `addr add ${ipv6}/128 dev ${link} nodad`,
    `route add ${pod.ipv4}/32 dev ${link}`,
    `route add ${pod.ipv6}/128 dev ${link}`,
  ];
}

/** Takes a link up with a link-local address that is usable at once; the kernel's own one would be tentative for a second. */
function ipv6Ready(link: string, linkLocal: string): string[] {
  return [
    // Two lines, because the kernel takes a link up before it reads addrgenmode of the same request.
    `link set dev ${link} addrgenmode none`,
    `link set dev ${link} up`,
    `addr add ${linkLocal}/64 dev ${link} nodad`,
  ];
}

function ipBatch(flags: readonly string[], lines: readonly string[]): string {
  return `ip ${[...flags, '-batch', '-'].join(' ')} <<'EOF'\n${lines.join('\n')}\nEOF`;
}

function runScript(script: string): void {
  const run = spawnSync('sh', ['-s'], { input: script, encoding: 'utf8', timeout: BUILD_TIMEOUT_MS });
  if (run.error !== undefined) throw new Error('The topology needs a shell and ip(8)', { cause: run.error });
  if (run.status !== 0) throw new Error(`Building the topology failed (is this root?): ${run.stderr.trim()}`);
}
