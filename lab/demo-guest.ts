// The demo inside the guest: a node with pods, a second node, a client outside; the agent on examples/hello; real connections.

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AgentProcess, tool } from './agent-process.ts';
import { createTopology } from './topology.ts';
import { Traffic, type TrafficReport } from './traffic.ts';

const EXAMPLE = fileURLToPath(new URL('../examples/hello', import.meta.url));
/** A copy in the guest's memory, since the demo edits it as a user would. */
const FOLDER = '/run/hello';
const CONFIG = `${FOLDER}/config.yaml`;
const HELLO = `${FOLDER}/manifests/hello.yaml`;

const startMs = performance.now();
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const step = (title: string): void =>
  say(`\n== ${title}  [${((performance.now() - startMs) / 1000).toFixed(1)} s]`);

cpSync(EXAMPLE, FOLDER, { recursive: true });
const net = createTopology({ pods: 4, remotePods: 1, clients: 1 });
const traffic = new Traffic();
const [pod1, pod2, pod3, caller] = net.pods;
const [remote1] = net.remotePods;
const [client] = net.clients;
if (!pod1 || !pod2 || !pod3 || !caller || !remote1 || !client) throw new Error('the topology is incomplete');
await traffic.serve([
  ...[pod1, pod2, pod3, remote1].map((at) => ({ at, name: at.name, protocol: 'TCP', port: 8080 }) as const),
  ...[pod1, remote1].flatMap((at) =>
    (['UDP', 'TCP'] as const).map((protocol) => ({ at, name: at.name, protocol, port: 53 })),
  ),
]);

step('The agent starts on examples/hello: pointsman run --manifests manifests --config config.yaml');
const agent = new AgentProcess([
  '--manifests',
  `${FOLDER}/manifests`,
  '--config',
  CONFIG,
  '--hostname-override',
  'node1',
]);
await agent.until('first sync', (status) => status.isSynced && status.services.length === 2);
say(agent.logText.trimEnd());

step('The kernel, as ipvsadm -Ln prints it');
say(tool('/sbin/ipvsadm', ['-Ln']).stdout.trimEnd());

step('Connections under rr');
await show(`400 from a client outside to NodePort ${net.node.ipv4}:30080/TCP`, {
  from: client,
  address: net.node.ipv4,
  port: 30080,
  protocol: 'TCP',
  count: 400,
});
await show('400 from a pod to ClusterIP 10.96.50.10:8080/TCP', {
  from: caller,
  address: '10.96.50.10',
  port: 8080,
  protocol: 'TCP',
  count: 400,
});
await show('20 from a pod to itself through the Service (hairpin)', {
  from: pod1,
  address: '10.96.50.10',
  port: 8080,
  protocol: 'TCP',
  count: 20,
});
await show('100 queries from a pod to DNS 10.96.0.10:53/UDP', {
  from: caller,
  address: '10.96.0.10',
  port: 53,
  protocol: 'UDP',
  count: 100,
});
await show('100 from a pod to DNS 10.96.0.10:53/TCP', {
  from: caller,
  address: '10.96.0.10',
  port: 53,
  protocol: 'TCP',
  count: 100,
});

step('In config.yaml the scheduler becomes sh (source hashing); the agent is not restarted');
writeFileSync(CONFIG, readFileSync(CONFIG, 'utf8').replace('scheduler: rr', 'scheduler: sh'));
await agent.until(
  'scheduler sh',
  (status) =>
    status.isSynced &&
    status.services.every(({ virtualServers }) =>
      virtualServers.every(({ scheduler }) => scheduler === 'sh'),
    ),
);
await show('40 from the same client: one server answers all', {
  from: client,
  address: net.node.ipv4,
  port: 30080,
  protocol: 'TCP',
  count: 40,
});

step('Back to rr; then the endpoint 10.244.1.12 (pod2) goes while a pod keeps connecting');
writeFileSync(CONFIG, readFileSync(CONFIG, 'utf8').replace('scheduler: sh', 'scheduler: rr'));
await agent.until('scheduler rr', (status) => status.isSynced && status.scheduler === 'rr');
const going = traffic.connect({
  from: caller,
  address: '10.96.50.10',
  port: 8080,
  protocol: 'TCP',
  count: 600,
  concurrency: 4,
});
writeFileSync(
  HELLO,
  readFileSync(HELLO, 'utf8')
    .split('\n')
    .filter((line) => !line.includes('10.244.1.12'))
    .join('\n'),
);
// The fourth drains: what it has of old connections ends by itself.
await agent.until('three serving real servers', (status) =>
  status.services.some(
    ({ service, virtualServers }) =>
      service === 'default/hello' &&
      virtualServers.every(
        ({ realServers }) => realServers.filter(({ state }) => state === 'serving').length === 3,
      ),
  ),
);
const during = await going;
say(describe('600 while it went', during));
const after = await show('100 after it went', {
  from: caller,
  address: '10.96.50.10',
  port: 8080,
  protocol: 'TCP',
  count: 100,
});

step('pointsman status');
say(tool(fileURLToPath(new URL('../bin/pointsman', import.meta.url)), ['status']).stdout.trimEnd());

await agent.stop();
await traffic.close();
net.dispose();
const isGood =
  during.answered === during.count && after.answered === after.count && after.counts.pod2 === undefined;
say(
  `\n${isGood ? 'Every connection was answered.' : 'Some connections failed: see above.'} Done in ${((performance.now() - startMs) / 1000).toFixed(1)} s.`,
);
process.exit(isGood ? 0 : 1);

async function show(title: string, options: Parameters<Traffic['connect']>[0]): Promise<TrafficReport> {
  const report = await traffic.connect(options);
  say(describe(title, report));
  return report;
}

function describe(
  title: string,
  { counts, sources, answered, count, latencyMs, refused, reset, timedOut }: TrafficReport,
): string {
  const servers = Object.entries(counts)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, times]) => `${name} ${times}`)
    .join(', ');
  const failed =
    answered === count ? '' : `; FAILED: ${refused} refused, ${reset} reset, ${timedOut} timed out`;
  const from = Object.keys(sources).slice(0, 3).join(', ');
  return `  ${title}:\n      answered by ${servers}; servers saw ${from}; p50 ${latencyMs?.p50.toFixed(1) ?? '-'} ms${failed}`;
}
