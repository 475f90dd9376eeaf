// Builds the lab's networks in the namespace this process runs in: this node with a LAN and pods, a second node with pods,
// and external clients. It makes interfaces, addresses, routes and IPv6 forwarding only; no service rules, no ip_forward.
// It must not start a process per step: a process start costs 65 ms in the guest. Sources: ip(8), ip-netns(8), ip-sysctl.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import {
  BRIDGE,
  namespaceLines,
  netnsPath,
  node,
  node2,
  nodeLines,
  removalLines,
} from './topology-commands.ts';

export { POD_NETWORKS, SERVICE_NETWORKS } from './topology-commands.ts';

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

const MAX_HOSTS = 64;
const BUILD_TIMEOUT_MS = 300_000;
const SYSCTL = '/proc/sys/net';
const IPV6_FORWARDING = 'ipv6/conf/all/forwarding';
// Without these a node answers six unreachable ports and is then silent, and tests would see 'timedOut' for 'refused'.
const ICMP_UNLIMITED: Readonly<Record<string, string>> = {
  'ipv4/icmp_ratemask': '0',
  'ipv6/icmp/ratemask': '0',
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
    // -force goes on after a failed line: of a build that stopped half-way some parts do not exist.
    const removal = { namespace: null, lines: removalLines(pods, clients, remotePods) };
    runScript(ipBatch(removal, ['-force'], '2>/dev/null || true'), [removal]);
    for (const [name, value] of sysctlsBefore) writeFileSync(`${SYSCTL}/${name}`, value);
  };

  try {
    const batches: Batch[] = [
      { namespace: null, lines: nodeLines(pods, clients, remotePods) },
      ...namespaces.map((host) => ({ namespace: host.name, lines: namespaceLines(host, pods, remotePods) })),
    ];
    const settings = Object.entries({ 'ipv4/ip_forward': '1', [IPV6_FORWARDING]: '1', ...ICMP_UNLIMITED });
    const lines = [
      ...batches.map((batch, index) => ipBatch(batch, [], `|| { echo "batch ${index}" >&2; exit 1; }`)),
      `nsenter --net=${node2.netnsPath} sh -e <<'EOF'`,
      ...settings.map(([name, value]) => `echo ${value} >${SYSCTL}/${name}`),
      'EOF',
    ];
    runScript(lines.join('\n'), batches);
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

interface Batch {
  /** null: the one of this process. */
  readonly namespace: string | null;
  readonly lines: readonly string[];
}

/** One process reads all lines; `after` is what the shell does next on the same command line. */
function ipBatch(batch: Batch, flags: readonly string[], after: string): string {
  const options = [...(batch.namespace === null ? [] : ['-n', batch.namespace]), ...flags, '-batch', '-'];
  return `ip ${options.join(' ')} <<'EOF' ${after}\n${batch.lines.join('\n')}\nEOF`;
}

function runScript(script: string, batches: readonly Batch[]): void {
  const run = spawnSync('sh', ['-s'], { input: script, encoding: 'utf8', timeout: BUILD_TIMEOUT_MS });
  if (run.error !== undefined) throw new Error('The topology needs a shell and ip(8)', { cause: run.error });
  if (run.status === 0) return;
  const batch = batches[Number(/^batch (\d+)$/m.exec(run.stderr)?.[1])];
  const line = batch?.lines[Number(/^Command failed -:(\d+)$/m.exec(run.stderr)?.[1]) - 1];
  const where = batch === undefined ? '' : ` in ${batch.namespace ?? 'the own namespace'}`;
  const step = line === undefined ? '' : `: ip ${line}`;
  throw new Error(`Building the topology failed${where}${step}: ${run.stderr.trim().replaceAll('\n', '; ')}`);
}
