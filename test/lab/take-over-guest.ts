// Inside a guest: kube-proxy's recorded states of modes ipvs and iptables taken over by a starting agent, under connections that are held
// open and others that keep coming; then given back to what a kube-proxy does at its first sync, and cleaned up. Arguments: "MODE CASE" each.
// Writes what was seen; the assertions stand outside, in take-over.test.ts.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentProcess, pointsman, type CommandResult } from '../../lab/agent-process.ts';
import { placeForeignThings } from '../../lab/foreign-things.ts';
import { createTopology, type Host } from '../../lab/topology.ts';
import { Traffic, type OpenConnections, type TrafficReport } from '../../lab/traffic.ts';
import { parseKernelState } from '../golden/kernel-state.ts';
import { readTools, shell, wipeKernel } from './kernel-tools.ts';
import { firstSync } from './kube-proxy-model.ts';
import {
  restoreIptablesMode,
  restoreIpvsMode,
  writeRecordedObjects,
  type RecordedCase,
} from './recorded-proxy.ts';

const FOLDER = '/run/take-over';
const net = createTopology({ pods: 2, remotePods: 1, clients: 2 });
const [pod, caller] = net.pods as [Host, Host];
const [remote] = net.remotePods as [Host];
const [client, apiServer] = net.clients as [Host, Host];

/** A frontend of the recorded Services. */
interface Frontend {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Who may reach it, besides the client outside. */
  readonly from: readonly Host[];
}
const NEAR = [caller, net.node];
const tcp = (address: string, port: number, from: readonly Host[] = NEAR): Frontend => ({
  address,
  port,
  protocol: 'TCP',
  from,
});
const udp = (address: string, port: number): Frontend => ({ address, port, protocol: 'UDP', from: NEAR });
const FRONTENDS: Readonly<Record<RecordedCase, readonly Frontend[]>> = {
  '01-clusterip': [tcp('10.96.10.10', 80), tcp('10.96.0.1', 443), udp('10.96.10.10', 53)],
  '02-nodeport-lb-local': [
    tcp('10.96.20.1', 80),
    tcp('192.168.50.11', 30080),
    // Its source ranges have neither pods nor cluster IPs.
    tcp('203.0.113.200', 80, []),
    tcp('203.0.113.202', 443),
    tcp('192.168.50.11', 30091),
    udp('10.96.20.1', 81),
    udp('192.168.50.11', 30081),
  ],
  '03-affinity-external-dual': [
    tcp('10.96.30.1', 80),
    tcp('192.168.50.11', 30100),
    tcp('198.51.100.50', 80),
    tcp('198.51.100.51', 8000),
    tcp('fd00:10:96::3:1', 80),
    tcp('fd00:50::11', 30100),
    tcp('2001:db8::50', 80),
  ],
};

/** The recorded endpoints are further addresses of a pod here and one there. */
const LOCAL = ['10.244.1.5', '10.244.1.6', '10.244.1.9', '10.244.1.10', 'fd00:10:244:1::9'];
const REMOTE = ['10.244.2.5', '10.244.2.6', '10.244.2.7', '10.244.2.9', '10.244.2.10', 'fd00:10:244:2::9'];
const plain = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;
const extra = (at: Host, addresses: readonly string[]): string =>
  addresses
    .map((each) => `ip -n ${at.name} addr add ${plain(each)} dev eth0 ${each.includes(':') ? 'nodad' : ''}`)
    .join('\n');
shell(`
  ${extra(pod, LOCAL)}
  ${extra(remote, REMOTE)}
  ${LOCAL.map((each) => `ip route add ${plain(each)} dev veth-${pod.name}`).join('\n')}
  ${REMOTE.map((each) => `ip -n node2 route add ${plain(each)} dev veth-${remote.name}`).join('\n')}
  ip -n ${apiServer.name} addr add 192.168.50.10/24 dev eth0
  ${['198.51.100.0/24', '203.0.113.0/24'].map((each) => `ip -n ${client.name} route add ${each} via ${net.node.ipv4}`).join('\n')}
  ${['fd00:10:96::/64', '2001:db8::/64'].map((each) => `ip -n ${client.name} route add ${each} via ${net.node.ipv6}`).join('\n')}
  ip -n ${apiServer.name} route add 10.244.0.0/16 via ${net.node.ipv4}
  ip route add default via ${net.node2.ipv4}
  ip -6 route add default via ${net.node2.ipv6}
  echo 1 > /proc/sys/net/ipv4/ip_forward`);
const traffic = new Traffic();
await traffic.serve([
  ...[pod, remote].flatMap((at) =>
    [8080, 8443, 8000].map((port) => ({ at, name: at.name, protocol: 'TCP' as const, port })),
  ),
  ...LOCAL.concat(REMOTE)
    .filter((each) => !each.includes(':'))
    .flatMap((address) =>
      [5353, 8081].map((port) => ({
        at: LOCAL.includes(address) ? pod : remote,
        name: LOCAL.includes(address) ? pod.name : remote.name,
        protocol: 'UDP' as const,
        port,
        address,
      })),
    ),
  { at: apiServer, name: 'api', protocol: 'TCP', port: 6443 },
]);

/** Long, because a busy machine must not turn a slow answer into none. */
const ANSWER_MS = 60_000;
const LIMIT_MS = 400_000;
/** Between two connections of a client to a frontend: the guest has one CPU, and the agent needs it, too. */
const PAUSE_MS = 500;
/** Made by each client after the take-over, before it counts as over. */
const ATTEMPTS_AFTER = 2;

/** New connections to every frontend at a steady rate, from each of its clients, until told to stop. */
class Steady {
  private isOver = false;
  private readonly lanes: { attempts: number }[] = [];
  private readonly done: Promise<unknown>;
  count = 0;
  slowestMs = 0;
  readonly failures: string[] = [];

  constructor(frontends: readonly Frontend[]) {
    this.done = Promise.all(
      frontends.flatMap((frontend) =>
        [client, ...frontend.from].map((from) => this.keepAsking(frontend, from)),
      ),
    );
  }

  private async keepAsking({ address, port, protocol }: Frontend, from: Host): Promise<void> {
    const lane = { attempts: 0 };
    this.lanes.push(lane);
    while (!this.isOver) {
      const startMs = Math.round(performance.now());
      const { attempts } = await traffic.connect({ from, address, port, protocol, timeoutMs: ANSWER_MS });
      for (const { outcome, latencyMs } of attempts) {
        this.count++;
        lane.attempts++;
        this.slowestMs = Math.max(this.slowestMs, latencyMs);
        if (outcome !== 'answered')
          this.failures.push(
            `${from.name} ${protocol} ${address}:${port} ${outcome}, begun at ${startMs} ms`,
          );
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Ends when each client has made some more. */
  async stop(): Promise<{ count: number; slowestMs: number; failures: string[] }> {
    const enough = this.lanes.map(({ attempts }) => attempts + ATTEMPTS_AFTER);
    while (this.lanes.some(({ attempts }, i) => attempts < (enough[i] ?? 0)))
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    this.isOver = true;
    await this.done;
    const { count, slowestMs, failures } = this;
    return { count, slowestMs: Math.round(slowestMs), failures };
  }
}

/** "all of 4", or what else became of them. */
const brief = ({ count, answered, errors, refused, reset, timedOut }: TrafficReport): string =>
  answered === count
    ? `all of ${count}`
    : JSON.stringify({ count, answered, errors, refused, reset, timedOut });

interface Held {
  readonly frontend: string;
  readonly open: OpenConnections;
}

async function hold(name: RecordedCase): Promise<Held[]> {
  const held: Held[] = [];
  for (const { address, port, protocol, from } of FRONTENDS[name])
    for (const host of [client, ...from])
      held.push({
        frontend: `${host.name} ${protocol} ${address}:${port}`,
        open: await traffic.open({ from: host, address, port, protocol, count: 4, timeoutMs: ANSWER_MS }),
      });
  return held;
}

async function echoAll(held: readonly Held[]): Promise<Record<string, string>> {
  const echoed: Record<string, string> = {};
  for (const { frontend, open } of held) echoed[frontend] = brief(await open.echo({ timeoutMs: ANSWER_MS }));
  return echoed;
}

const planOf = (args: readonly string[]): CommandResult =>
  pointsman(['plan', ...args, '--detailed-exitcode']);

async function takeOver(name: RecordedCase, mode: string): Promise<Record<string, unknown>> {
  wipeKernel();
  shell(
    "printf '*mangle\\nCOMMIT\\n' | iptables-legacy-restore; printf '*mangle\\nCOMMIT\\n' | ip6tables-legacy-restore",
  );
  const empty = readTools();
  const foreign = placeForeignThings();
  const args = writeRecordedObjects(name, FOLDER);
  (mode === 'ipvs' ? restoreIpvsMode : restoreIptablesMode)(name);
  if (mode === 'ipvs') shell('echo 1 > /proc/sys/net/ipv4/vs/conntrack');
  const recorded = readTools();
  const held = await hold(name);
  const opened = Object.fromEntries(held.map(({ frontend, open }) => [frontend, brief(open.report)]));
  const preview = planOf(args);
  const isUntouched =
    JSON.stringify(parseKernelState(readTools())) === JSON.stringify(parseKernelState(recorded));

  const steady = new Steady(FRONTENDS[name]);
  const startMs = performance.now();
  const agent = new AgentProcess([...args, '-v', '2']);
  try {
    await agent.until('synced', ({ isSynced }) => isSynced, LIMIT_MS);
    foreign.placeMore();
    // Not by its status, which costs the agent the time that it needs.
    const limit = performance.now() + LIMIT_MS;
    while (mode !== 'ipvs' && !agent.logText.includes('Removed the rules') && performance.now() < limit)
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  } catch (error) {
    await agent.stop('SIGKILL');
    throw error;
  }
  const tookMs = Math.round(performance.now() - startMs);
  const rate = await steady.stop();
  const echoed = await echoAll(held);
  const status = await agent.until('status', () => true);
  const plan = planOf(args);
  await agent.stop();
  // kube-proxy would delete virtual servers of others.
  foreign.takeAway();
  const taken = readTools();

  // Back, on the state that we leave, without a step between; then there again.
  const back = mode === 'ipvs' ? firstSync(name) : null;
  const given = readTools();
  const echoedBack = back === null ? null : await echoAll(held);
  for (const { open } of held) await open.close();
  const again = back === null ? null : pointsman(['run', ...args, '--once']);
  const cleanup = pointsman(['cleanup']);
  return {
    ...{
      opened,
      preview,
      isUntouched,
      tookMs,
      rate,
      echoed,
      plan,
      taken,
      back,
      given,
      echoedBack,
      again,
      cleanup,
    },
    ...{
      takeOver: status.takeOver,
      problems: status.problems,
      log: agent.logText,
      empty,
      cleaned: readTools(),
    },
  };
}

// Each new connection leaves an entry for two minutes; a full table would drop packets.
shell('modprobe nf_conntrack; echo 262144 > /proc/sys/net/netfilter/nf_conntrack_max');
const results: Record<string, unknown> = {};
for (const wanted of process.argv.slice(2)) {
  const [mode, name] = wanted.split(' ') as [string, RecordedCase];
  const startMs = performance.now();
  try {
    results[wanted] = await takeOver(name, mode);
  } catch (error) {
    results[wanted] = { error: error instanceof Error ? (error.stack ?? '') : String(error) };
  }
  process.stdout.write(`${wanted}: ${Math.round(performance.now() - startMs)} ms\n`);
}
writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);
