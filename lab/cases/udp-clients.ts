// A running agent and UDP clients that keep their source port, run inside a guest: Services that come after their clients, and a restart.
// Writes what was seen; the assertions stand outside, in udp-clients.test.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { AgentProcess } from '../agent-process.ts';
import { placeForeignThings } from '../foreign-things.ts';
import { createTopology, type Host } from '../topology.ts';
import { Traffic } from '../traffic.ts';
import { config, manifests, PORTS, withoutEndpoint } from './first-light-input.ts';

const FOLDER = '/run/udp-clients';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const CLIENTS = 8;
const FIRST_PORT = 41_000;
const LIMIT_MS = 300_000;

mkdirSync(MANIFESTS, { recursive: true });
writeFileSync(join(MANIFESTS, 'all.yaml'), '# nothing\n');
writeFileSync(CONFIG, config('rr'));
const net = createTopology({ pods: 2, remotePods: 2, clients: 1 });
const [client] = net.clients as [Host];
const traffic = new Traffic();
await traffic.serve(
  [...net.pods, ...net.remotePods].map((at) => ({
    at,
    name: at.name,
    protocol: 'UDP' as const,
    port: PORTS.target,
  })),
);

/** One datagram to the node port from each of the clients' ports: who answered, or how it ended. */
async function askAll(timeoutMs: number): Promise<string[]> {
  const answers: string[] = [];
  for (const address of [net.node.ipv4, net.node.ipv6]) {
    for (let i = 0; i < CLIENTS; i++) {
      const port = PORTS.nodePort.UDP;
      const sourcePort = FIRST_PORT + i;
      const report = await traffic.connect({
        from: client,
        address,
        port,
        protocol: 'UDP',
        sourcePort,
        timeoutMs,
      });
      answers.push(Object.keys(report.counts)[0] ?? (report.refused > 0 ? 'refused' : 'silence'));
    }
  }
  return answers;
}

function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: '/run/pointsman/agent.sock', path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** By family, what the agent counted. */
async function deleted(): Promise<number[]> {
  const found = [
    ...(await ask('/metrics')).matchAll(/^pointsman_conntrack_entries_deleted_total\{.*\} (\d+)$/gm),
  ];
  return found.map(([, count]) => Number(count));
}

async function untilDeleted(isEnough: (counts: number[]) => boolean): Promise<number[]> {
  for (const deadlineMs = performance.now() + LIMIT_MS; ;) {
    const counts = await deleted();
    if (isEnough(counts) || performance.now() > deadlineMs) return counts;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const args = ['--manifests', MANIFESTS, '--config', CONFIG, '--hostname-override', 'node1'];
const results: Record<string, unknown> = {};
const foreign = placeForeignThings();
let agent = new AgentProcess(args);
await agent.until('synced', ({ isSynced }) => isSynced);
foreign.placeMore();
// Rules, hence connection tracking, before the first client.
writeFileSync(
  join(MANIFESTS, 'all.yaml'),
  manifests()
    .split('---\n')
    .filter((text) => !text.includes('name: web'))
    .join('---\n'),
);
await agent.until('the other Services', ({ services }) => services.length > 0);
results.early = await askAll(300);
writeFileSync(join(MANIFESTS, 'all.yaml'), manifests());
results.deleted = await untilDeleted((counts) => counts.every((count) => count >= CLIENTS));
results.served = await askAll(5000);

writeFileSync(
  join(MANIFESTS, 'all.yaml'),
  withoutEndpoint(withoutEndpoint(manifests(), '10.244.1.11'), 'fd00:10:244:1::11'),
);
await agent.until('one endpoint less', (status) =>
  status.services.some(
    ({ service, virtualServers }) =>
      service === 'default/web' && virtualServers.every(({ realServers }) => realServers.length === 3),
  ),
);
// The switch ends what is left of IPVS; a datagram that comes before may be lost.
results.moved = [await askAll(300), await askAll(5000)];

await agent.stop('SIGKILL');
agent = new AgentProcess(args);
await agent.until('synced again', ({ isSynced }) => isSynced);
results.again = await askAll(5000);
results.deletedAgain = await deleted();
results.log = agent.logText;
await agent.stop();
await traffic.close();
net.dispose();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);
