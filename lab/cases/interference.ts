// Somebody interferes with a running agent, by the ordinary tools: addresses, the link, rules, sets, switches. Run inside a guest; writes
// how long each took to be right again, and what status and metrics say. The assertions stand outside, in interference.test.ts.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { AGENT_SOCKET, AgentProcess, tool } from '../agent-process.ts';
import { placeForeignThings } from '../foreign-things.ts';
import { createTopology } from '../topology.ts';
import { config, manifests, serviceAddress } from './first-light-input.ts';

const FOLDER = '/run/interference';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const CONNTRACK = '/proc/sys/net/ipv4/vs/conntrack';
/** The cheap checks come every 5 s; the rest is for a busy machine. */
const LIMIT_MS = 300_000;
const POLL_MS = 20;

mkdirSync(MANIFESTS, { recursive: true });
writeFileSync(join(MANIFESTS, 'all.yaml'), manifests());
writeFileSync(CONFIG, config('rr'));
const net = createTopology({ pods: 1 });
const foreign = placeForeignThings();
const agent = new AgentProcess([
  ...['--manifests', MANIFESTS],
  ...['--config', CONFIG, '--hostname-override', 'node1'],
]);
await agent.until('synced', ({ isSynced }) => isSynced);
foreign.placeMore();

const state = (): string =>
  [
    tool('/sbin/ipvsadm', ['-Sn']).stdout,
    tool('/sbin/ipset', ['save', '-sorted']).stdout.replaceAll(/ initval \S+/g, ''),
    ...['/usr/sbin/iptables-legacy-save', '/usr/sbin/ip6tables-legacy-save'].map((save) =>
      tool(save, []).stdout.replaceAll(/^#.*\n| \[\d+:\d+\]$/gm, ''),
    ),
    tool('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0'])
      .stdout.split('\n')
      .map((line) => /inet6? \S+/.exec(line)?.[0] ?? '')
      .filter((line) => !line.includes(' fe80:'))
      .sort()
      .join('\n'),
    readFileSync(CONNTRACK, 'utf8'),
  ].join('\n');

const VIP = serviceAddress('web', 'IPv4');
const iptables = '/usr/sbin/iptables-legacy';
const INTERFERENCES: Readonly<Record<string, () => void>> = {
  'an address': () => void tool('/usr/sbin/ip', ['addr', 'del', `${VIP}/32`, 'dev', 'kube-ipvs0']),
  'the link': () => void tool('/usr/sbin/ip', ['link', 'del', 'kube-ipvs0']),
  'the rules of a chain': () => void tool(iptables, ['-t', 'nat', '-F', 'KUBE-SERVICES']),
  'a rule': () => void tool(iptables, ['-D', 'KUBE-IPVS-FILTER', '1']),
  'a jump': () => void tool(iptables, ['-t', 'nat', '-D', 'POSTROUTING', '1']),
  'members of a set': () => void tool('/sbin/ipset', ['flush', 'KUBE-CLUSTER-IP']),
  'a member too many': () => void tool('/sbin/ipset', ['add', 'KUBE-CLUSTER-IP', '10.96.9.9,tcp:1']),
  'a kernel switch': () => writeFileSync(CONNTRACK, '0'),
};

const before = state();
const results: Record<string, unknown> = {};
const repairedMs: Record<string, number | null> = {};
for (const [what, interfere] of Object.entries(INTERFERENCES)) {
  const { total } = (await agent.until('status', () => true)).repairs;
  interfere();
  const startMs = performance.now();
  await agent.until(`${what}: a repair`, ({ repairs }) => repairs.total > total, LIMIT_MS).catch(() => {});
  let isRight = state() === before;
  while (!isRight && performance.now() - startMs < LIMIT_MS) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    isRight = state() === before;
  }
  repairedMs[what] = isRight ? Math.round(performance.now() - startMs) : null;
}
results.repairedMs = repairedMs;
results.difference = state() === before ? '' : state();

// What others have in these places, and what they do beside us, is none of our business.
tool('/usr/sbin/ip', ['addr', 'add', '192.0.2.7/32', 'dev', 'kube-ipvs0']);
tool(iptables, ['-N', 'OTHERS']);
tool(iptables, ['-I', 'INPUT', '-j', 'OTHERS']);
tool('/sbin/ipvsadm', ['-A', '-t', '192.0.2.7:80', '-s', 'wlc']);
// A check has come by since when it puts right what is ours.
const { total } = (await agent.until('status', () => true)).repairs;
tool('/sbin/ipset', ['flush', 'KUBE-CLUSTER-IP']);
await agent.until('a check since', ({ repairs }) => repairs.total > total, LIMIT_MS);
results.text = tool(new URL('../../bin/pointsman', import.meta.url).pathname, ['status']).stdout;
results.status = await agent.until('status', () => true);
results.metrics = await ask('/metrics');
results.others = [
  tool('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']).stdout.includes('192.0.2.7'),
  tool(iptables, ['-S', 'INPUT']).stdout.includes('OTHERS'),
  tool('/sbin/ipvsadm', ['-Sn']).stdout.includes('192.0.2.7:80'),
];
results.log = agent.logText;
await agent.stop();
net.dispose();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);

function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: AGENT_SOCKET, path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.end();
  });
}
