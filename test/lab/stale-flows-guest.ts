// Inside a guest: UDP clients with a fixed source port, and what becomes of their flows when endpoints and Services go and come. Linux 6.1
// ends connections of removed servers itself a moment later where expire_nodest_conn is on, older kernels do not: so that switch is off
// while the agent writes, and on again before the next packet, unless a case says otherwise. Writes what was seen; the assertions stand
// outside, in stale-flows.test.ts.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tool } from '../../lab/agent-process.ts';
import { createTopology, type Host } from '../../lab/topology.ts';
import { Traffic } from '../../lab/traffic.ts';
import { FlowKeeper, LOOK_AGAIN_MS } from '../../src/backends/flow-keeper.ts';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { ConntrackClient } from '../../src/kernel/conntrack.ts';
import type { ConntrackEntry } from '../../src/kernel/conntrack-codec.ts';
import { nextTurn } from '../../src/kernel/netlink.ts';
import { writeSysctl } from '../../src/kernel/sysctl.ts';
import type { Family } from '../../src/model/ip.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { address } from '../addresses.ts';
import { gone } from '../agent-events.ts';
import { PLAIN_NODE } from '../nodes.ts';
import { NotedAgent } from './noted-agent.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const EXPIRE = 'net/ipv4/vs/expire_nodest_conn';
const TARGET = 8080;
const UDP = 17;
/** For an answer that must come, and for one that must not. */
const ANSWER_MS = 5000;
const SILENCE_MS = 300;

const net = createTopology({ pods: 3, remotePods: 1, clients: 1 });
const [pod1, pod2, caller] = net.pods as [Host, Host, Host];
const [remote] = net.remotePods as [Host];
const [client] = net.clients as [Host];
const traffic = new Traffic();
await traffic.serve(
  [pod1, pod2, remote].map((at) => ({ at, name: at.name, protocol: 'UDP' as const, port: TARGET })),
);

const of = (host: Host, family: Family): string => (family === 'IPv4' ? host.ipv4 : host.ipv6);
const port = await KernelPort.open(FAMILIES);
const conntrack = ConntrackClient.open();
const node = {
  ...PLAIN_NODE,
  nodePortAddresses: FAMILIES.map((family) => address(of(net.node, family))),
  localAddresses: FAMILIES.map((family) => address(of(net.node, family))),
};
const clock = { ms: 0 };
const errors: string[] = [];
const makeKeeper = (): FlowKeeper =>
  new FlowKeeper({ table: conntrack, now: () => clock.ms, onError: (message) => errors.push(message) });
let keeper = makeKeeper();
let agent = new NotedAgent(port, node, keeper);

const clusterIP = (number: number, family: Family): string =>
  family === 'IPv4' ? `10.96.3.${number}` : `fd96::3:${number}`;
const nodePortOf = (number: number): number => 30_000 + number;

/** UDP Service `name` in both families, port 5300, with a node port. */
function service(name: string, number: number): ClusterEvent {
  const spec = {
    type: 'NodePort',
    clusterIP: clusterIP(number, 'IPv4'),
    clusterIPs: FAMILIES.map((family) => clusterIP(number, family)),
    ipFamilies: FAMILIES,
    ports: [{ name: 'udp', port: 5300, protocol: 'UDP', nodePort: nodePortOf(number) }],
  };
  return {
    type: 'apply',
    object: { kind: 'Service', metadata: { namespace: 'default', name }, spec } as never,
  };
}

function slices(name: string, servers: readonly Host[]): ClusterEvent[] {
  return FAMILIES.map((family) => ({
    type: 'apply',
    object: {
      kind: 'EndpointSlice',
      metadata: {
        namespace: 'default',
        name: `${name}-${family.toLowerCase()}`,
        labels: { 'kubernetes.io/service-name': name },
      },
      addressType: family,
      ports: [{ name: 'udp', port: TARGET, protocol: 'UDP' }],
      endpoints: servers.map((host) => ({ addresses: [of(host, family)], conditions: { ready: true } })),
    } as never,
  }));
}

/** A client's flow: who sends from which port to what. */
interface Flow {
  readonly name: string;
  readonly from: Host;
  readonly address: string;
  readonly port: number;
  readonly sourcePort: number;
}

let nextSourcePort = 41_000;

/** The client outside to cluster IP (keeps its source) and node port (is masqueraded), in both families. */
function flowsTo(number: number, from: Host = client): Flow[] {
  return FAMILIES.flatMap((family) => [
    {
      name: `ClusterIP ${family}`,
      from,
      address: clusterIP(number, family),
      port: 5300,
      sourcePort: nextSourcePort++,
    },
    {
      name: `NodePort ${family}`,
      from,
      address: of(net.node, family),
      port: nodePortOf(number),
      sourcePort: nextSourcePort++,
    },
  ]);
}

/** One datagram from the flow's port: the name of the server that answered it, or how it ended. */
async function ask(flow: Flow, timeoutMs = ANSWER_MS): Promise<string> {
  const { from, address: to, port: toPort, sourcePort } = flow;
  const report = await traffic.connect({
    from,
    address: to,
    port: toPort,
    protocol: 'UDP',
    sourcePort,
    timeoutMs,
  });
  return Object.keys(report.counts)[0] ?? (report.refused > 0 ? 'refused' : 'silence');
}

async function askAll(flows: readonly Flow[], timeoutMs = ANSWER_MS): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  for (const flow of flows) answers[flow.name] = await ask(flow, timeoutMs);
  return answers;
}

async function entryOf({ address: to, sourcePort }: Flow): Promise<ConntrackEntry | undefined> {
  const entries = await conntrack.list({
    family: to.includes(':') ? 'IPv6' : 'IPv4',
    original: { destination: address(to), protocol: UDP, sourcePort },
  });
  return entries[0];
}

/** Where conntrack believes that each flow is answered: a host, 'itself' when nobody rewrote it, '' without an entry. */
async function answeredBy(flows: readonly Flow[]): Promise<Record<string, string>> {
  const hosts = [pod1, pod2, remote];
  const found: Record<string, string> = {};
  for (const flow of flows) {
    const entry = await entryOf(flow);
    if (entry === undefined) found[flow.name] = '';
    else if (entry.reply.source === flow.address) found[flow.name] = 'itself';
    else
      found[flow.name] =
        hosts.find((host) => [host.ipv4, host.ipv6].includes(entry.reply.source))?.name ?? '?';
  }
  return found;
}

async function ids(flows: readonly Flow[]): Promise<number[]> {
  const found: number[] = [];
  for (const flow of flows) found.push((await entryOf(flow))?.id ?? 0);
  return found;
}

/** Commits on a kernel that does not end connections of removed servers by itself. */
async function commit(events: readonly ClusterEvent[]): Promise<void> {
  writeSysctl(EXPIRE, '0');
  await agent.commit(events);
  writeSysctl(EXPIRE, '1');
}

/** One pass; how many entries it deleted. */
async function pass(): Promise<number> {
  return (await keeper.pass()).reduce((sum, { deleted }) => sum + deleted, 0);
}

/** Both looks, so that the next case begins with nothing due. */
async function settle(): Promise<void> {
  for (let i = 0; keeper.dueMs !== null && i < 10; i++) {
    clock.ms = Math.max(clock.ms, keeper.dueMs);
    await keeper.pass();
  }
}

type Case = () => Promise<unknown>;
const CASES: Readonly<Record<string, Case>> = {
  /** What the kernel writes into conntrack. */
  async entries() {
    await commit([service('shapes', 1), ...slices('shapes', [pod1])]);
    await settle();
    const seen: Record<string, unknown> = {};
    for (const from of [client, net.node, caller]) {
      const flows = flowsTo(1, from);
      const answers = await askAll(flows);
      const known = await answeredBy(flows);
      const masqueraded: string[] = [];
      for (const flow of flows) {
        const entry = await entryOf(flow);
        if (entry !== undefined && entry.reply.destination !== entry.original.source)
          masqueraded.push(flow.name);
      }
      seen[from.name] = { answers, known, masqueraded };
    }
    await commit([gone('shapes')]);
    await settle();
    return seen;
  },

  async endpointRemoved() {
    await commit([service('moved', 2), ...slices('moved', [pod1])]);
    await settle();
    const flows = flowsTo(2);
    const before = await askAll(flows);
    await commit(slices('moved', [pod1, pod2]));
    const stayed = await pass();
    await commit(slices('moved', [pod2]));
    const known = await answeredBy(flows);
    const deleted = await pass();
    const after = await askAll(flows);
    await settle();
    return { before, stayed, known, deleted, after, knownAfter: await answeredBy(flows) };
  },

  /** The same without a pass: what it is good for. */
  async endpointRemovedWithoutPass() {
    await commit([service('lost', 3), ...slices('lost', [pod1])]);
    await settle();
    const flows = flowsTo(3);
    await askAll(flows);
    await commit(slices('lost', [pod2]));
    const first = await askAll(flows, SILENCE_MS);
    const second = await askAll(flows);
    await settle();
    return { first, second };
  },

  /** No endpoint for a while: the client goes on sending from its port. */
  async noEndpoints() {
    await commit([service('bare', 5), ...slices('bare', [pod1])]);
    await settle();
    const flows = flowsTo(5);
    await askAll(flows);
    await commit(slices('bare', []));
    const deleted = await pass();
    const between = await askAll(flows);
    const known = await answeredBy(flows);
    await commit(slices('bare', [pod2]));
    const after = await askAll(flows);
    await settle();
    return { deleted, between, known, after };
  },

  async serviceDeleted() {
    await commit([service('doomed', 6), ...slices('doomed', [pod1])]);
    await settle();
    const flows = flowsTo(6);
    await askAll(flows);
    await commit([gone('doomed')]);
    const known = await answeredBy(flows);
    const deleted = await pass();
    const knownAfter = await answeredBy(flows);
    const nodePort = await askAll(flows.filter(({ name }) => name.startsWith('NodePort')));
    await settle();
    return { known, deleted, knownAfter, nodePort };
  },

  /** A flow elsewhere, whose port is the number of a node port. */
  async unrelated() {
    await commit([service('other', 7), ...slices('other', [pod1])]);
    await settle();
    await traffic.serve([{ at: net.node2, name: 'elsewhere', protocol: 'UDP', port: nodePortOf(7) }]);
    const flows = FAMILIES.map((family): Flow => ({
      name: family,
      from: caller,
      address: of(net.node2, family),
      port: nodePortOf(7),
      sourcePort: nextSourcePort++,
    }));
    const answers = await askAll(flows);
    const before = await ids(flows);
    await commit(slices('other', [pod2]));
    await settle();
    await commit([gone('other')]);
    await settle();
    return { answers, before, after: await ids(flows) };
  },

  /** Clients ask before the Service is there; its only endpoint is on the other node, so answers need masquerading. */
  async racedAhead() {
    // The way of what no Service has yet: out of this node again.
    for (const [option, to, via] of [
      ['-4', clusterIP(8, 'IPv4'), net.node2.ipv4],
      ['-6', clusterIP(8, 'IPv6'), net.node2.ipv6],
    ] as const)
      tool('/usr/sbin/ip', [option, 'route', 'add', to, 'via', via]);
    const flows = flowsTo(8);
    await askAll(flows, SILENCE_MS);
    const known = await answeredBy(flows);
    await commit([service('late', 8), ...slices('late', [remote])]);
    const before = await askAll(
      flows.filter(({ name }) => name.startsWith('NodePort')),
      SILENCE_MS,
    );
    const deleted = await pass();
    const after = await askAll(flows.filter(({ name }) => name.startsWith('NodePort')));
    const knownAfter = await answeredBy(flows);
    await settle();
    return { known, before, deleted, after, knownAfter };
  },

  /** Flows that a nat rule sent to a pod, as kube-proxy's mode iptables does: IPVS never sees them again. */
  async takenOver() {
    const tables = { IPv4: '/usr/sbin/iptables-legacy', IPv6: '/usr/sbin/ip6tables-legacy' } as const;
    const rule = (action: '-I' | '-D', family: Family): void => {
      const to = family === 'IPv4' ? `${pod1.ipv4}:${TARGET}` : `[${pod1.ipv6}]:${TARGET}`;
      const match = ['-p', 'udp', '-d', clusterIP(9, family), '--dport', '5300'];
      const { code, stderr } = tool(tables[family], [
        ...['-t', 'nat', action, 'PREROUTING', ...match, '-j', 'DNAT', '--to-destination', to],
      ]);
      if (code !== 0) throw new Error(stderr);
    };
    for (const family of FAMILIES) rule('-I', family);
    const flows = flowsTo(9).filter(({ name }) => name.startsWith('ClusterIP'));
    const before = await askAll(flows);
    const idsBefore = await ids(flows);
    for (const family of FAMILIES) rule('-D', family);
    await commit([service('taken', 9), ...slices('taken', [pod1, pod2])]);
    await settle();
    const idsTaken = await ids(flows);
    await commit(slices('taken', [pod2]));
    const withoutPass = await askAll(flows);
    await pass();
    const after = await askAll(flows);
    await settle();
    return { before, keepsEntries: idsBefore.every((id, i) => id === idsTaken[i]), withoutPass, after };
  },

  /** Another agent starts on what this one left. */
  async restart() {
    const events = [service('kept', 10), ...slices('kept', [pod1, pod2])];
    await commit(events);
    await settle();
    const flows = [...flowsTo(10), ...flowsTo(10), ...flowsTo(10, net.node), ...flowsTo(10, caller)];
    for (const flow of flows) await ask(flow);
    const before = await ids(flows);
    // While no agent runs, a client comes to a port that another Service will have.
    const early = flowsTo(11).filter(({ name }) => name.startsWith('NodePort'));
    await askAll(early, SILENCE_MS);
    keeper = makeKeeper();
    agent = new NotedAgent(port, node, keeper);
    await commit([...events, service('early', 11), ...slices('early', [remote])]);
    const deleted = await pass();
    clock.ms += LOOK_AGAIN_MS;
    const deletedAgain = await pass();
    return {
      before,
      after: await ids(flows),
      deleted,
      deletedAgain,
      early: await askAll(early),
      isDue: keeper.dueMs !== null,
    };
  },

  /** Clients that never stop sending while servers come and go: what is left after one look. */
  async underTraffic() {
    const rounds = 10;
    const perPortal = 25;
    await commit([service('busy', 12), ...slices('busy', [pod1])]);
    await settle();
    const flows = flowsTo(12);
    const open = await Promise.all(
      flows.map(({ address: to, port: toPort }) =>
        traffic.open({ from: client, address: to, port: toPort, protocol: 'UDP', count: perPortal }),
      ),
    );
    const count = flows.length * perPortal;
    let isOver = false;
    const sending = open.map(async (connections) => {
      while (!isOver) await connections.echo({ timeoutMs: SILENCE_MS });
    });
    const boundTo = async (server: Host): Promise<number> => {
      let bound = 0;
      for (const flow of flows) {
        const destination = address(flow.address);
        const family = flow.address.includes(':') ? 'IPv6' : 'IPv4';
        const original = { destination, protocol: UDP, destinationPort: flow.port };
        const reply = { source: address(of(server, family)) };
        bound += (await conntrack.list({ family, original, reply })).length;
      }
      return bound;
    };
    const deleted: number[] = [];
    const left: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const [now, before] = round % 2 === 0 ? [pod2, pod1] : [pod1, pod2];
      // Off until the look is over: otherwise IPVS forgets entries together with what it drops.
      writeSysctl(EXPIRE, '0');
      await agent.commit(slices('busy', [now]));
      deleted.push(await pass());
      left.push(await boundTo(before));
      writeSysctl(EXPIRE, '1');
      for (const deadlineMs = performance.now() + ANSWER_MS; (await boundTo(now)) < count; await nextTurn())
        if (performance.now() > deadlineMs) throw new Error(`round ${round}: the flows did not move`);
      await settle();
    }
    isOver = true;
    await Promise.all(sending);
    const last = await Promise.all(open.map((connections) => connections.echo()));
    return { flows: count, deleted, left, last: last.map(({ counts }) => counts) };
  },

  /** With the switch on all the time, as an agent has it, and no pass. The last case: the kernel ends connections some time later. */
  async kernelAlone() {
    await commit([service('alone', 4), ...slices('alone', [pod1])]);
    await settle();
    const flows = flowsTo(4);
    await askAll(flows);
    await agent.commit(slices('alone', [pod2]));
    const answers: Record<string, string[]> = {};
    for (const flow of flows) {
      answers[flow.name] = [];
      for (let i = 0; i < 10 && answers[flow.name]?.at(-1) !== pod2.name; i++)
        answers[flow.name]?.push(await ask(flow, SILENCE_MS));
    }
    await settle();
    return answers;
  },
};

// Rules, hence connection tracking, before the first case.
await commit([service('first', 100), ...slices('first', [pod1])]);
await settle();
const results: Record<string, unknown> = {};
for (const [name, run] of Object.entries(CASES)) {
  results[name] = await run();
  process.stdout.write(`${Math.round(performance.now())} ms: ${name}\n`);
}
results.errors = errors;
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results));
await traffic.close();
port.close();
net.dispose();
process.exit(0);
