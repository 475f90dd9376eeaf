// Servers and Services that go while clients are connected, run inside a guest with a running agent. At the end the clients break their
// connections off and it waits for TCP, which takes the kernel 10 s; with the argument "orderly" they close them, and it waits for all, which
// takes it 2 minutes. Writes what was seen; the assertions stand outside, in draining.test.ts and draining.long.test.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentProcess, tool, type StatusView } from '../agent-process.ts';
import { placeForeignThings } from '../foreign-things.ts';
import { rollingRestart } from './rolling-restart.ts';
import { createTopology, type Host } from '../topology.ts';
import { Traffic, type ConnectOptions, type OpenConnections } from '../traffic.ts';
import {
  addressesOf,
  PORT,
  removeService,
  serversOf,
  writeService,
  type CaseService,
} from './draining-input.ts';

const FOLDER = '/run/draining';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const ARGS = ['--manifests', MANIFESTS, '--config', CONFIG, '--hostname-override', 'node1'];
/** Then there are more restarts, too. */
const isOrderly = process.argv[2] === 'orderly';
const FLAPS = 10;
const SOURCES = 24;
const FAMILIES = ['ipv4', 'ipv6'] as const;

const SERVICES = {
  web: { name: 'web', number: 1, protocols: ['TCP', 'SCTP'] },
  short: {
    ...{ name: 'short', number: 2, protocols: ['TCP'] },
    annotations: { 'pointsman.dev/drain-timeout': '2s' },
  },
  deleted: { name: 'deleted', number: 3, protocols: ['TCP'] },
  deletedSctp: { name: 'deleted-sctp', number: 9, protocols: ['SCTP'] },
  flapping: { name: 'flapping', number: 4, protocols: ['TCP'] },
  hashed: {
    ...{ name: 'hashed', number: 5, protocols: ['TCP'] },
    annotations: { 'pointsman.dev/scheduler': 'sh' },
  },
  sticky: { name: 'sticky', number: 6, protocols: ['TCP'], sessionAffinity: 'ClientIP' },
  reused: { name: 'reused', number: 7, protocols: ['TCP'] },
  datagrams: { name: 'datagrams', number: 8, protocols: ['UDP'] },
} as const satisfies Record<string, CaseService>;

/** Its drains are short, so that the pods of a rolling restart end while others still leave. */
const ROLLING: CaseService = {
  ...{ name: 'rolling', number: 20, protocols: ['TCP'] },
  annotations: { 'pointsman.dev/drain-timeout': '2s' },
};

mkdirSync(MANIFESTS, { recursive: true });
writeFileSync(
  CONFIG,
  `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
clusterCIDR: 10.244.0.0/16,fd00:10:244::/48
ipvs: {scheduler: rr}
`,
);
const foreign = placeForeignThings();
const net = createTopology({ pods: 8, remotePods: 8, clients: 1 });
const [client] = net.clients as [Host];
const all = [...net.pods.slice(0, 2), ...net.remotePods.slice(0, 2)];
// pod1 leaves.
const staying = all.slice(1);
const traffic = new Traffic();
await traffic.serve(serversOf(Object.values(SERVICES), all));
const agent = new AgentProcess(ARGS);
for (const service of Object.values(SERVICES)) writeService(MANIFESTS, service, { ready: all });

/** Ways to a Service: one for each of its protocols and each family. */
function waysTo(service: CaseService): Pick<ConnectOptions, 'from' | 'address' | 'port' | 'protocol'>[] {
  return service.protocols.flatMap((protocol) =>
    FAMILIES.map((family) => ({
      ...{ from: client, port: PORT, protocol },
      address: addressesOf(service)[family],
    })),
  );
}

const drainsOf = ({ draining }: StatusView, service: CaseService): number =>
  draining.servers.filter(({ virtualServer }) =>
    FAMILIES.some((family) => virtualServer.includes(addressesOf(service)[family])),
  ).length;
const virtualServersOf = (
  { services }: StatusView,
  { name }: CaseService,
): StatusView['services'][number]['virtualServers'] =>
  services.find(({ service }) => service === `default/${name}`)?.virtualServers ?? [];
const serves = (status: StatusView, service: CaseService, servers: number): boolean => {
  const virtualServers = virtualServersOf(status, service);
  return (
    virtualServers.length === service.protocols.length * FAMILIES.length &&
    virtualServers.every(
      ({ realServers }) => realServers.filter(({ state }) => state === 'serving').length === servers,
    )
  );
};

/** Takes pod1 out of a Service; when it resolves, that is in force: every virtual server of it drains. */
async function leave(service: CaseService): Promise<void> {
  writeService(MANIFESTS, service, { ready: staying });
  await agent.until(
    `${service.name} drains`,
    (status) => drainsOf(status, service) === waysTo(service).length,
  );
}

const connected: OpenConnections[] = [];
const results: Record<string, unknown> = {};

/** Connections that stay open until the end. */
async function open(way: ConnectOptions, count = 1): Promise<OpenConnections> {
  // One after the other, so that round robin gives each server the same number.
  const opened = await traffic.open({ ...way, count, concurrency: 1 });
  connected.push(opened);
  return opened;
}
const openAll = (service: CaseService, count: number): Promise<OpenConnections[]> =>
  Promise.all(waysTo(service).map((way) => open(way, count)));

const first = await agent.until('all Services', (status) =>
  Object.values(SERVICES).every((service) => serves(status, service, all.length)),
);
results.services = first.services.length;
foreign.placeMore();

// An endpoint leaves, while clients talk to it over both protocols and families.
const talking = await openAll(SERVICES.web, 8);
await leave(SERVICES.web);
results.web = await Promise.all(
  talking.map(async (opened, i) => {
    const kept = await opened.echo();
    const fresh = await traffic.connect({ ...waysTo(SERVICES.web)[i]!, count: 12 });
    const again = await opened.echo();
    return {
      before: opened.report.sequence,
      kept: [kept.sequence, again.sequence],
      fresh: fresh.counts,
      answered: fresh.answered,
    };
  }),
);

// Its time is up.
const cut = await openAll(SERVICES.short, 4);
await leave(SERVICES.short);
results.beforeDeadline = await Promise.all(cut.map(async (opened) => (await opened.echo()).sequence));
await agent.until('the deadline', ({ draining }) => draining.ended.deadline === 2);
results.short = await Promise.all(
  cut.map(async (opened) => ({
    before: opened.report.sequence,
    after: (await opened.echo()).sequence,
  })),
);

// Whole Services are deleted.
const deleted = [SERVICES.deleted, SERVICES.deletedSctp];
const orphaned = await Promise.all(
  deleted.flatMap((service) => waysTo(service)).map(async (way) => ({ way, opened: await open(way, 8) })),
);
for (const service of deleted) removeService(MANIFESTS, service);
await agent.until('the deleted Services linger', (status) =>
  deleted.every((service) => drainsOf(status, service) === 2 * all.length),
);
results.deleted = await Promise.all(
  orphaned.map(async ({ way, opened }) => {
    const kept = await opened.echo();
    // SCTP does not take "port unreachable" for an answer (sctp_v4_err), so it waits.
    const fresh = await traffic.connect({
      ...way,
      count: 4,
      timeoutMs: way.protocol === 'SCTP' ? 500 : 5000,
    });
    return {
      protocol: way.protocol,
      before: opened.report.sequence,
      kept: kept.sequence,
      fresh: fresh.sequence,
    };
  }),
);

// An endpoint that comes and goes.
const throughFlaps = await openAll(SERVICES.flapping, 4);
const echoes: (readonly string[])[] = [];
for (let flap = 0; flap < FLAPS; flap++) {
  await leave(SERVICES.flapping);
  for (const opened of throughFlaps) echoes.push((await opened.echo()).sequence);
  writeService(MANIFESTS, SERVICES.flapping, { ready: all });
  await agent.until('it is back', (status) => serves(status, SERVICES.flapping, all.length));
}
results.flapping = {
  before: throughFlaps.map((opened) => opened.report.sequence),
  echoes,
  returned: (await agent.until('status', () => true)).draining.ended.returned,
  afterwards: (await traffic.connect({ ...waysTo(SERVICES.flapping)[0]!, count: 8, concurrency: 1 })).counts,
};

// Scheduler sh: of many clients some belong to the server that leaves.
const sources = Array.from({ length: SOURCES }, (_, i) => `192.168.50.${150 + i}`);
for (const source of sources)
  tool('/usr/sbin/ip', ['-n', client.name, 'addr', 'add', `${source}/24`, 'dev', 'eth0']);
const hashedWay = waysTo(SERVICES.hashed)[0]!;
const hashed: OpenConnections[] = [];
for (const sourceAddress of sources) hashed.push(await open({ ...hashedWay, sourceAddress }));
const hashedBefore = hashed.flatMap(({ report }) => report.sequence);
// Of IPv6 nobody is connected, so its server goes at once.
writeService(MANIFESTS, SERVICES.hashed, { ready: staying });
await agent.until('sh drains', (status) => drainsOf(status, SERVICES.hashed) > 0);
const whileDraining: string[] = [];
for (const sourceAddress of sources)
  whileDraining.push(...(await traffic.connect({ ...hashedWay, sourceAddress })).sequence);
results.hashed = {
  before: hashedBefore,
  whileDraining,
  kept: (await Promise.all(hashed.map((opened) => opened.echo()))).flatMap(({ sequence }) => sequence),
};

// Session affinity, and its server leaves.
const stickyWay = waysTo(SERVICES.sticky)[0]!;
const bound = await open(stickyWay, 4);
const [boundTo = ''] = bound.report.sequence;
writeService(MANIFESTS, SERVICES.sticky, { ready: all.filter(({ name }) => name !== boundTo) });
await agent.until('the sticky one drains', (status) => drainsOf(status, SERVICES.sticky) > 0);
results.sticky = {
  before: bound.report.sequence,
  kept: (await bound.echo()).sequence,
  fresh: (await traffic.connect({ ...stickyWay, count: 8 })).sequence,
};

// A client that uses its port again while the server of its last connection drains.
const portAgain = { ...waysTo(SERVICES.reused)[0]!, sourcePort: 4711 };
const [lastServer = ''] = (await traffic.connect(portAgain)).sequence;
writeService(MANIFESTS, SERVICES.reused, { ready: all.filter(({ name }) => name !== lastServer) });
await agent.until('the one of the port drains', (status) => drainsOf(status, SERVICES.reused) > 0);
results.reused = { lastServer, next: (await traffic.connect(portAgain)).sequence };

// UDP waits for nobody.
const talker = { ...waysTo(SERVICES.datagrams)[0]!, sourcePort: 4712 };
await traffic.connect(talker);
writeService(MANIFESTS, SERVICES.datagrams, { ready: staying });
const withoutUdp = await agent.until('UDP', (status) => serves(status, SERVICES.datagrams, staying.length));
results.udp = virtualServersOf(withoutUdp, SERVICES.datagrams).map(({ realServers }) =>
  realServers.map(({ address, weight }) => `${address} ${weight}`),
);
results.udpDrains = drainsOf(withoutUdp, SERVICES.datagrams);

// All clients leave, and with them what was kept for them.
const closedAtMs = performance.now();
for (const opened of connected) await (isOrderly ? opened.close() : opened.abort());

// Meanwhile all pods of another Service are replaced, half of them here, half on the other node.
results.rolling = await rollingRestart({
  ...{ agent, traffic, client, folder: MANIFESTS, service: ROLLING },
  hosts: net.pods.flatMap((pod, i) => [pod, net.remotePods[i]!]),
  restarts: isOrderly ? 6 : 1,
});

const waits = ({ virtualServer }: { virtualServer: string }): boolean =>
  !isOrderly &&
  (virtualServer.startsWith('SCTP') || virtualServer.includes(addressesOf(SERVICES.reused).ipv4));
const drained = await agent.until('nothing drains', ({ draining }) => draining.servers.every(waits), 200_000);
results.drainedAfterMs = performance.now() - closedAtMs;
results.ended = drained.draining.ended;
const gone = isOrderly ? deleted : [SERVICES.deleted];
const kernel = [
  tool('/sbin/ipvsadm', ['-Sn']),
  tool('/sbin/ipset', ['save']),
  tool('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']),
].flatMap(({ stdout }) => stdout.split('\n'));
results.leftOfDeleted = gone
  .flatMap((service) => Object.values(addressesOf(service)))
  .flatMap((address) => kernel.filter((line) => namesAddress(line, address)));
results.tcpServersOfWeb = kernel
  .filter((line) => line.startsWith('-a -t') && namesAddress(line, addressesOf(SERVICES.web).ipv4))
  .map((line) => line.split(' ')[4]);
results.stopped = await agent.stop();
results.log = agent.logText;
await traffic.close();
net.dispose();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);

/** True for a line of ipvsadm, ipset or ip with this address and not one that only begins like it. */
function namesAddress(line: string, address: string): boolean {
  const [before, after = ''] = line.split(address);
  return before !== line && !/^[\da-f]/.test(after);
}
