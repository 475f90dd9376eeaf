// The frontend cases, run inside a guest: `pointsman run --once` with each configuration, and after each the connections of its cells.
// Writes what was seen; the assertions stand outside, in frontends.test.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pointsman, tool } from '../agent-process.ts';
import { placeForeignThings } from '../foreign-things.ts';
import { createTopology, SERVICE_NETWORKS } from '../topology.ts';
import { Traffic } from '../traffic.ts';
import { answerText, cellsOf, VARIANTS, type Cell } from './frontends-cells.ts';
import {
  addressOf,
  config,
  EXTERNAL_NETWORKS,
  FAMILIES,
  HOSTS,
  manifests,
  PORTS,
  PROTOCOLS,
  type Kind,
} from './frontends-services.ts';

const FOLDER = '/run/frontends';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const ARGS = ['--manifests', MANIFESTS, '--config', CONFIG, '--hostname-override', 'node1'];
/** Long, because a busy machine must not turn a slow answer into none; after the first that does not come shorter, so that a run ends. */
const ANSWER_TIMEOUT_MS = { first: 20_000, later: 1000 };
/**
 * A TCP client takes an ICMP error that arrives while it is still in connect(2), as over veth, only for a hint, and is refused at its second
 * SYN, a second later. Whoever says nothing is waited for so long that this would be seen.
 */
const WAIT_MS = { refusal: 20_000, nothing: 3000 };
mkdirSync(MANIFESTS, { recursive: true });
writeFileSync(join(MANIFESTS, 'all.yaml'), manifests());

const net = createTopology({ pods: 4, remotePods: 2, clients: 2 });
run('/bin/sh', ['-ec', [...switchAsSwitch(), ...routes(), ...closedPorts()].join('\n')]);
say('networks stand');
const traffic = new Traffic();
await traffic.serve([
  ...['pod1', 'remote1'].flatMap((name) =>
    PROTOCOLS.map((protocol) => ({ at: net.host(name), name, protocol, port: PORTS.target })),
  ),
  ...PROTOCOLS.map((protocol) => ({ at: net.node, name: 'host', protocol, port: PORTS.undeclared })),
  ...[PORTS.healthCheck, PORTS.closed].map(
    (port) => ({ at: net.node, name: 'host', protocol: 'TCP', port }) as const,
  ),
]);

const results: Record<string, unknown> = {};
placeForeignThings();
for (const variant of VARIANTS) {
  writeFileSync(CONFIG, config(variant));
  const once = pointsman(['run', ...ARGS, '--once']);
  say(`${variant}: programmed`);
  const rules = ['iptables', 'ip6tables'].map((name) => run(`/usr/sbin/${name}-legacy-save`, []));
  if (variant === 'detector') {
    results.sets = run('/sbin/ipset', ['save']);
    results.addresses = run('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']);
    results.planAfter = pointsman(['plan', ...ARGS, '-o', 'json', '--detailed-exitcode']);
    say('planned again');
    await listenOnServiceAddresses();
  }
  const seen: Record<string, readonly string[]> = {};
  const lanes = FAMILIES.flatMap((family) =>
    PROTOCOLS.map((protocol) => ({
      lane: `${family} ${protocol}`,
      cells: cellsOf(variant, family, protocol),
    })),
  );
  // Cells of one family and protocol share virtual servers, whose rr goes around once per cell: one after the other. Others do not.
  await Promise.all(
    lanes.map(async ({ lane, cells }) => {
      let timeoutMs = ANSWER_TIMEOUT_MS.first;
      for (const cell of cells.filter(({ awaits }) => awaits === 'answer')) {
        const answers = await ask(cell, timeoutMs);
        if (answers.includes('timedOut')) timeoutMs = ANSWER_TIMEOUT_MS.later;
        seen[`${lane} ${cell.name}`] = answers;
      }
    }),
  );
  say(`${variant}: asked who answers`);
  // No rr counts here, so all wait together.
  await Promise.all(
    lanes.flatMap(({ lane, cells }) =>
      cells.map(async (cell) => {
        if (cell.awaits !== 'answer') seen[`${lane} ${cell.name}`] = await ask(cell, WAIT_MS[cell.awaits]);
      }),
    ),
  );
  say(`${variant}: asked who does not`);
  results[variant] = { once, rules, seen };
}
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results, null, 1));
await traffic.close();
net.dispose();
process.exit(0);

async function ask({ from, address, port, protocol, count }: Cell, timeoutMs: number): Promise<string[]> {
  const { attempts } = await traffic.connect({
    from: net.host(from),
    address,
    port,
    protocol,
    count,
    // One at a time: the second connection of an affinity cell finds the template of the first.
    concurrency: 1,
    timeoutMs,
  });
  return attempts
    .map(({ server, sourceAddress, outcome }) => answerText(server, sourceAddress, outcome))
    .sort();
}

/** Programs of the host that listen on a Service's own addresses, too: being refused is then the filter's doing. */
async function listenOnServiceAddresses(): Promise<void> {
  const kinds: readonly Kind[] = ['ClusterIP', 'ExternalIP', 'LoadBalancerIP'];
  await traffic.serve(
    kinds.flatMap((kind) =>
      FAMILIES.flatMap((family) =>
        (['UDP', 'SCTP'] as const).map((protocol) => ({
          at: net.node,
          name: 'hidden',
          protocol,
          port: PORTS.undeclared,
          address: addressOf('both', kind, family),
        })),
      ),
    ),
  );
}

/**
 * The LAN is a bridge of this node's kernel, but stands for a switch of its own: packets between others are no matter of this node's rules.
 * They become one as soon as a rule with `-m physdev` (the ones about external IPs) makes the kernel load br_netfilter.
 */
function switchAsSwitch(): string[] {
  return [
    'modprobe br_netfilter',
    ...['iptables', 'ip6tables'].map((tables) => `echo 0 >/proc/sys/net/bridge/bridge-nf-call-${tables}`),
  ];
}

/**
 * Clients reach external addresses through this node. The other node has all of the Services' addresses for itself, as a node of a
 * cluster does, except for remote2, whose way leads here.
 */
function routes(): string[] {
  const networks = {
    IPv4: [SERVICE_NETWORKS.ipv4, EXTERNAL_NETWORKS.IPv4],
    IPv6: [SERVICE_NETWORKS.ipv6, EXTERNAL_NETWORKS.IPv6],
  };
  return FAMILIES.flatMap((family) => {
    const ip = family === 'IPv4' ? 'ip -4' : 'ip -6';
    const node = HOSTS.node1[family];
    return [
      ...['client1', 'client2'].map(
        (name) => `${ip} -n ${name} route add ${EXTERNAL_NETWORKS[family]} via ${node}`,
      ),
      `${ip} -n node2 rule add from ${HOSTS.remote2[family]} lookup 100`,
      ...networks[family].flatMap((network) => [
        `${ip} -n node2 route add ${network} via ${node} table 100`,
        `${ip} -n node2 route add local ${network} dev lo table main`,
      ]),
    ];
  });
}

/** A firewall of the host's own that closes the health-check port and its neighbour. */
function closedPorts(): string[] {
  return ['iptables-legacy', 'ip6tables-legacy'].map(
    (tables) => `${tables} -A INPUT -p tcp --dport ${PORTS.healthCheck}:${PORTS.closed} -j DROP`,
  );
}

/** Where the time went, for the message of a run that does not finish. */
function say(text: string): void {
  process.stdout.write(`${Math.round(performance.now())} ms: ${text}\n`);
}

function run(path: string, args: readonly string[]): string {
  const { code, stdout, stderr } = tool(path, args);
  if (code !== 0) throw new Error(`${path} ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}
