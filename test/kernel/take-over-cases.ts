// Cases for taking over rules on this machine's kernel, run by runInNamespace in a fresh network namespace: kube-proxy's recorded rules of modes
// iptables and nftables translate real connections, our rules of mode ipvs come beside them, then theirs go. There is no IPVS here:
// a server on the Service's own address stands for it, so it shows who serves a connection.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { renderSetAside } from '../../src/backends/iptables/set-aside.ts';
import { renderRules } from '../../src/backends/ipvs/render-rules.ts';
import { renderRestore } from '../../src/backends/ipvs/rules.ts';
import { planTakeOver } from '../../src/daemon/cleanup-plan.ts';
import { KernelCleanupPort } from '../../src/daemon/cleanup-port.ts';
import { carryOut } from '../../src/daemon/cleanup-run.ts';
import { objectsOf } from '../../src/backends/removal.ts';
import { Iptables, type IptablesFlavour } from '../../src/kernel/iptables.ts';
import { formatRule, parseTables } from '../../src/kernel/iptables-text.ts';
import { serveCases } from './in-namespace.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/kube-proxy/01-clusterip');
const SERVICE = { host: '10.96.10.10', port: 80 };
const LIMIT_MS = 60_000;

function shell(script: string, input = ''): string {
  return execFileSync('sh', ['-ec', script], { encoding: 'utf8', input, timeout: 120_000 });
}

/** Says its name to whoever connects, and again for whatever it gets. */
function serve(name: string, host: string, port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(name));
    socket.write(name);
  });
  return new Promise((resolve) => server.listen({ host, port }, resolve));
}

function answer(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const end = (said: string): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => {});
      resolve(said);
    };
    const timer = setTimeout(() => end('timed out'), LIMIT_MS);
    socket.once('data', (data) => end(data.toString()));
    socket.once('error', (error) => end(error.message));
    socket.once('close', () => end('closed'));
  });
}

/** Who serves a new connection. */
async function ask(): Promise<string> {
  const socket = connect(SERVICE);
  const said = await answer(socket);
  socket.destroy();
  return said;
}

/** New connections one after the other until told to stop; the servers in order, each run of the same once. */
function askSteadily(): () => Promise<{ readonly count: number; readonly servers: string[] }> {
  let isOver = false;
  let count = 0;
  const servers: string[] = [];
  const done = (async () => {
    while (!isOver) {
      const said = await ask();
      count++;
      if (servers.at(-1) !== said) servers.push(said);
    }
  })();
  return async () => {
    isOver = true;
    await done;
    return { count, servers };
  };
}

const saved = async (tool: Iptables): Promise<Map<string, Map<string, string[]>>> =>
  new Map(
    [...parseTables(await tool.save())].map(([table, chains]) => [
      table,
      new Map([...chains].map(([name, { rules }]) => [name, rules.map(formatRule)])),
    ]),
  );

async function takeOver(theirs: IptablesFlavour | 'nftables', ours: IptablesFlavour): Promise<unknown> {
  shell('ip link set lo up');
  for (const address of ['10.244.1.5', '10.244.2.5', '10.244.2.6', '192.168.50.11'])
    shell(`ip addr add ${address}/32 dev lo`);
  shell('ip route add 10.96.0.0/16 dev lo');
  const others = `*nat\n:OTHERS - [0:0]\n-A OUTPUT -j OTHERS\nCOMMIT\n`;
  shell(`iptables-${ours}-restore --noflush`, others);
  if (theirs === 'nftables') shell(`nft -f ${join(FIXTURES, 'nftables/nft-ruleset.txt')}`);
  else {
    const text = readFileSync(join(FIXTURES, `iptables-${theirs}/iptables-save.txt`), 'utf8');
    shell(`iptables-${theirs}-restore --noflush`, text.replaceAll(/-m nfacct --nfacct-name {2}\w+ /g, ''));
  }
  for (const address of ['10.244.1.5', '10.244.2.5', '10.244.2.6']) await serve('pod', address, 8080);
  const tool = await Iptables.open('IPv4', { flavour: ours });
  const held = connect(SERVICE);
  const heldBy = await answer(held);
  const stop = askSteadily();

  // What the agent does: aside, then our sets and rules, a virtual server, the members that let through, the address.
  shell(
    'ipset create KUBE-IPVS-IPS hash:ip; ipset create KUBE-CLUSTER-IP hash:ip,port; ipset create KUBE-LOOP-BACK hash:ip,port,ip',
  );
  for (const set of ['KUBE-LOAD-BALANCER', 'KUBE-EXTERNAL-IP', 'KUBE-EXTERNAL-IP-LOCAL'])
    shell(`ipset create ${set} hash:ip,port`);
  shell('ipset create KUBE-HEALTH-CHECK-NODE-PORT bitmap:port range 0-65535');
  const aside = renderSetAside(await saved(tool), 'KUBE-IPVS-IPS');
  if (aside !== '') await tool.restore(aside);
  const wanted = renderRules(
    {
      family: 'IPv4',
      masqueradeMark: 0x4000,
      masqueradeAll: false,
      localDetector: { kind: 'cidr', ipv4: '10.244.0.0/16', ipv6: null } as never,
      hasRandomFully: true,
      closedToNode: [],
    },
    new Set(['KUBE-CLUSTER-IP']),
  );
  const known = new Map(
    [...(await saved(tool))].flatMap(([table, chains]) =>
      [...chains].map(([name, rules]) => [`${table} ${name}`, rules] as const),
    ),
  );
  await tool.restore(renderRestore(wanted, known));
  shell('ipset add KUBE-IPVS-IPS 10.96.10.10; ipset add KUBE-CLUSTER-IP 10.96.10.10,tcp:80');
  shell('ip addr add 10.96.10.10/32 dev lo');
  await serve('ours', SERVICE.host, SERVICE.port);
  const whileBoth = await ask();

  const port = await KernelCleanupPort.open(['IPv4']);
  const plan = planTakeOver(await port.readRules());
  const { failed } = await carryOut(plan, port);
  const after = await ask();
  const rate = await stop();
  held.write('x');
  const heldAfter = await answer(held);
  held.destroy();
  const again = planTakeOver(await port.readRules());
  port.close();
  const left = await saved(tool);
  const chains = [...left].flatMap(([table, names]) =>
    [...names.keys()]
      .filter((name) => /^(?:KUBE|POINTSMAN|OTHERS)/.test(name))
      .map((name) => `${table} ${name}`),
  );
  const ofOurs = wanted.chains.map(({ table, name }) => `${table} ${name}`);
  return {
    heldBy,
    isSetAside: aside !== '',
    whileBoth,
    kinds: [...new Set(plan.removals.flatMap(objectsOf).map(({ kind }) => kind))],
    failed,
    after,
    servers: rate.servers,
    hasAsked: rate.count > 0,
    heldAfter,
    again: again.removals,
    // kubelet's.
    others: chains.filter((each) => !ofOurs.includes(each)),
    missing: ofOurs.filter((each) => !chains.includes(each)),
    jumps: wanted.jumps.filter(({ table, from, rule }) => !left.get(table)?.get(from)?.includes(rule)),
  };
}

await serveCases({
  legacy: () => takeOver('legacy', 'legacy'),
  nft: () => takeOver('nft', 'nft'),
  nftBesideLegacy: () => takeOver('nft', 'legacy'),
  nftablesBesideNft: () => takeOver('nftables', 'nft'),
  nftablesBesideLegacy: () => takeOver('nftables', 'legacy'),
});
process.exit(0);
