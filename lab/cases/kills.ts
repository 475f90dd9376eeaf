// The agent is killed again and again, run inside a guest: at any moment of its start and of changes, with clients that stay connected, and
// while it is down the facts change. After each start the kernel is compared with the facts. Then an upgrade, under steady new connections, and
// with the argument "long" more of all, and a soak of changes. Results as JSON; assertions in kills.test.ts and kills.long.test.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentProcess, pointsman, tool, type StatusView } from '../agent-process.ts';
import { isForeignLine, placeForeignThings } from '../foreign-things.ts';
import { createTopology, type Host } from '../topology.ts';
import { Traffic, type OpenConnections, type TrafficReport } from '../traffic.ts';
import {
  addressesOf,
  PORT,
  removeService,
  serversOf,
  targetPortOf,
  writeService,
  writeServices,
  type CaseEntry,
  type CaseService,
} from './draining-input.ts';
import type { Check } from './kills-results.ts';

const isLong = process.argv[2] === 'long';
const KILLS = isLong ? 200 : 12;
/** Of each protocol and family to each of the three Services with clients. */
const CONNECTIONS_PER_WAY = isLong ? 42 : 5;
/** Others, without clients: they make syncs long enough to be killed in. */
const OTHERS = isLong ? 100 : 20;
const SOAK_CHANGES = isLong ? 60 : 0;
/** Every so often a fresh plan is made and every connection is used; in any case after the last kill. */
const THOROUGH_EVERY = isLong ? 10 : KILLS;
const LIMIT_MS = 300_000;

const FOLDER = '/run/kills';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const ARGS = ['--manifests', MANIFESTS, '--config', CONFIG, '--hostname-override', 'node1'];
const PROTOCOLS = ['TCP', 'SCTP'] as const;
const STEADY: CaseService = { name: 'steady', number: 1, protocols: PROTOCOLS };
const MOVING: CaseService = { name: 'moving', number: 2, protocols: PROTOCOLS };
const DELETED: CaseService = { name: 'deleted', number: 3, protocols: PROTOCOLS };

/** A small linear congruential generator: the run is the same each time. */
let seed = 20261121;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
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
const net = createTopology({ pods: 2, remotePods: 2, clients: 1 });
const [client] = net.clients as [Host];
const all = [...net.pods, ...net.remotePods];
const traffic = new Traffic();
await traffic.serve(serversOf([STEADY, MOVING, DELETED], all));

/** What is in the manifests, by the name of the Service. */
const facts = new Map<string, CaseEntry>();
let firstOther = 10;

function write(entry: CaseEntry): void {
  writeService(MANIFESTS, entry.service, entry.endpoints);
  facts.set(entry.service.name, entry);
}

function someHosts(): Host[] {
  const some = all.filter(() => random(2) === 0);
  return some.length === 0 ? [all[random(all.length)]!] : some;
}

/** Half of the other Services go, as many new ones come, all get new endpoints; servers leave or return, and a Service with clients goes or comes. */
function change(): void {
  for (const name of [...facts.keys()]) if (name.startsWith('other')) facts.delete(name);
  firstOther = 10 + ((firstOther - 10 + OTHERS / 2) % 9000);
  const others = Array.from({ length: OTHERS }, (_, i): CaseEntry => {
    const number = firstOther + i;
    const ready = Array.from({ length: 1 + random(5) }, (_, n) => ({
      ...{ name: `remote-${n}`, netnsPath: null },
      ipv4: `11.${n}.${number >> 8}.${number & 255}`,
      ipv6: `fd11::${n + 1}:${number.toString(16)}`,
    }));
    return { service: { name: `other${number}`, number, protocols: ['TCP'] }, endpoints: { ready } };
  });
  writeServices(MANIFESTS, 'others', others);
  for (const entry of others) facts.set(entry.service.name, entry);
  const ready = someHosts();
  write({
    service: MOVING,
    endpoints: { ready, terminating: someHosts().filter((host) => !ready.includes(host)) },
  });
  if (random(2) === 0) write({ service: DELETED, endpoints: { ready: all } });
  else {
    removeService(MANIFESTS, DELETED);
    facts.delete(DELETED.name);
  }
}

/** The agent says that it is where the facts are. */
function follows({ isSynced, services }: StatusView): boolean {
  const serving = new Map(
    services.map(({ service, virtualServers }) => [
      service,
      virtualServers.map(({ realServers }) => realServers.filter(({ state }) => state === 'serving').length),
    ]),
  );
  return (
    isSynced &&
    [...facts.values()].every(({ service, endpoints }) => {
      const counts = serving.get(`default/${service.name}`) ?? [];
      return (
        counts.length === 2 * service.protocols.length &&
        counts.every((count) => count === endpoints.ready.length)
      );
    })
  );
}

/** The table as ipvsadm -Sn should show it, without servers that drain. */
function expectedTable(): Set<string> {
  const lines: string[] = [];
  for (const { service, endpoints } of facts.values()) {
    const { ipv4, ipv6 } = addressesOf(service);
    const target = targetPortOf(service);
    for (const option of service.protocols.map((protocol) =>
      protocol === 'TCP' ? '-t' : '--sctp-service',
    )) {
      lines.push(`-A ${option} ${ipv4}:${PORT} -s rr`, `-A ${option} [${ipv6}]:${PORT} -s rr`);
      for (const host of endpoints.ready)
        lines.push(
          `-a ${option} ${ipv4}:${PORT} -r ${host.ipv4}:${target} -m -w 1`,
          `-a ${option} [${ipv6}]:${PORT} -r [${host.ipv6}]:${target} -m -w 1`,
        );
    }
  }
  return new Set(lines);
}

/** How the kernel's table differs from the facts, and which servers there drain without the agent's knowledge. */
function compare({ draining }: StatusView): Omit<Check, 'kill'> {
  const expected = expectedTable();
  const found = readTable();
  // ipvsadm reads virtual servers first and their servers afterwards: what is deleted in between is seen in half, and only once.
  const again = new Set(readTable());
  const drains = found.filter((line) => line.endsWith(' -w 0'));
  // A virtual server that lingers has servers that drain, and none else.
  const lingers = (line: string): boolean =>
    line.startsWith('-A') && drains.some((drain) => drain.split(' ')[2] === line.split(' ')[2]);
  const known = new Set(
    draining.servers.map(({ virtualServer, address }) => `${virtualServer.split(' ')[1]} ${address}`),
  );
  return {
    missing: [...expected].filter((line) => !found.includes(line)),
    extra: found.filter(
      (line) => !expected.has(line) && !drains.includes(line) && !lingers(line) && again.has(line),
    ),
    drains: drains.length,
    unknownDrains: drains.filter((line) => {
      const [, , portal, , server] = line.split(' ');
      return !known.has(`${portal} ${server}`);
    }),
  };
}

/** Without what is others'. */
const readTable = (): string[] =>
  tool('/sbin/ipvsadm', ['-Sn'])
    .stdout.split('\n')
    .filter((line) => line !== '' && !isForeignLine(line));
const changesOfPlan = (): unknown[] =>
  (JSON.parse(pointsman(['plan', ...ARGS, '-o', 'json']).stdout) as { changes: unknown[] }).changes;
const state = (): string =>
  [
    tool('/sbin/ipvsadm', ['-Sn']),
    tool('/sbin/ipset', ['save']),
    tool('/usr/sbin/iptables-legacy-save', []),
    tool('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']),
  ]
    .map(({ stdout }) => stdout.replaceAll(/^#.*$|\[\d+:\d+\]/gm, ''))
    .join('\n');

write({ service: STEADY, endpoints: { ready: all } });
change();
write({ service: MOVING, endpoints: { ready: all } });
write({ service: DELETED, endpoints: { ready: all } });
let agent = new AgentProcess(ARGS);
await agent.until('all Services', follows, LIMIT_MS);
foreign.placeMore();
const connected: OpenConnections[] = [];
for (const service of [STEADY, MOVING, DELETED])
  for (const address of Object.values(addressesOf(service)))
    for (const protocol of PROTOCOLS)
      connected.push(
        await traffic.open({
          from: client,
          address,
          port: PORT,
          protocol,
          count: CONNECTIONS_PER_WAY,
        }),
      );
/** Connections that did not answer from where they were made. */
async function lost(): Promise<number> {
  let count = 0;
  for (const opened of connected) {
    const { sequence } = await opened.echo({ timeoutMs: 60_000 });
    count += sequence.filter((server, i) => server !== opened.report.sequence[i]).length;
  }
  return count;
}

// The first stop is an orderly one, which also leaves compiled code for the starts that follow: they take two thirds of the time.
await agent.stop();
agent = new AgentProcess(ARGS);
/** Waits for the first look at all servers that drain: those without connections, of which a fresh plan would tell, are gone then. */
async function settled(): Promise<void> {
  await agent.until(
    'only servers with connections drain',
    ({ draining }) => draining.servers.every((each) => each.activeConnections + each.inactiveConnections > 0),
    5 * LIMIT_MS,
  );
}

const checks: Check[] = [];
/** Kills that came before the first sync was done, and those in the middle of changes. */
const killed = { starting: 0, changing: 0 };
for (let kill = 0; kill < KILLS; kill++) {
  if (kill % 2 === 1) {
    await new Promise((resolve) => setTimeout(resolve, random(2000)));
    killed.starting++;
  } else {
    const status = await agent.until(`the facts after ${kill} kills`, follows, LIMIT_MS);
    const isThorough = kill > 0 && kill % THOROUGH_EVERY === 0;
    if (isThorough) await settled();
    checks.push({
      ...{ kill, ...compare(status) },
      ...(isThorough ? { plan: changesOfPlan(), lost: await lost() } : {}),
    });
    change();
    await new Promise((resolve) => setTimeout(resolve, random(150)));
    killed.changing++;
  }
  await agent.stop('SIGKILL');
  if (kill % 2 === 0) change();
  agent = new AgentProcess(ARGS);
}
const status = await agent.until('the facts after the last kill', follows, LIMIT_MS);
await settled();
checks.push({ kill: KILLS, ...compare(status), plan: changesOfPlan(), lost: await lost() });

// An upgrade: the new agent waits, the old one stops, and clients come and go all the time.
await settled();
const before = state();
let isOver = false;
const steadily = (async (): Promise<TrafficReport[]> => {
  const reports: TrafficReport[] = [];
  while (!isOver) {
    for (const address of Object.values(addressesOf(STEADY)))
      reports.push(
        await traffic.connect({
          from: client,
          address,
          port: PORT,
          protocol: 'TCP',
          count: 20,
          timeoutMs: 20_000,
        }),
      );
    // The agent is to get some of the one CPU.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return reports;
})();
const next = new AgentProcess(ARGS);
await next.logged('waiting for its end', LIMIT_MS);
const oldCode = await agent.stop();
agent = next;
await agent.until('the new agent', follows, LIMIT_MS);
isOver = true;
const reports = await steadily;
const upgrade = {
  oldCode,
  isUnchanged: state() === before,
  connections: reports.reduce((sum, { count }) => sum + count, 0),
  answered: reports.reduce((sum, { answered }) => sum + answered, 0),
  lost: await lost(),
};

// A soak: some changes come while the one before is being written.
for (let soaked = 0; soaked < SOAK_CHANGES; soaked++) {
  change();
  if (soaked % 3 !== 0) await agent.until('the facts of the soak', follows, LIMIT_MS);
}
if (isLong) {
  const last = await agent.until('the last facts', follows, LIMIT_MS);
  await settled();
  checks.push({ kill: KILLS, ...compare(last), plan: changesOfPlan(), lost: await lost() });
}
const stopped = await agent.stop();
await traffic.close();
net.dispose();
writeFileSync(
  join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'),
  JSON.stringify({
    ...{ checks, killed, upgrade, stopped },
    connections: connected.reduce((sum, { report }) => sum + report.answered, 0),
  }),
);
process.exit(0);
