// Inside a guest: an agent that follows an API server on a real kernel, while that server is away at its start, later, and when the agent is
// killed. Writes what was seen; the assertions stand outside, in api.test.ts.

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AgentProcess, pointsman, tool, type StatusView } from '../../lab/agent-process.ts';
import { isForeignLine, placeForeignThings } from '../../lab/foreign-things.ts';
import { FakeApiServer } from '../cluster/fake-api-server.ts';
import { fillStore, makeService, makeSlice } from '../cluster/make-objects.ts';

const POINTSMAN = fileURLToPath(new URL('../../bin/pointsman', import.meta.url));
const FOLDER = '/run/api';
const RECORDING = join(FOLDER, 'recording');
const COUNT = 20;
const LIMIT_MS = 300_000;

mkdirSync(FOLDER, { recursive: true });
for (const line of ['link add lan0 type dummy', 'addr add 192.168.0.2/24 dev lan0', 'link set lan0 up'])
  tool('/usr/sbin/ip', line.split(' '));
const foreign = placeForeignThings();
const server = await FakeApiServer.start();
fillStore(server.store, { count: COUNT, endpoints: 4 });
const CONFIG = join(FOLDER, 'config.yaml');
const KUBECONFIG = join(FOLDER, 'kubeconfig');
writeFileSync(
  CONFIG,
  `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
clientConnection: {kubeconfig: ${KUBECONFIG}, qps: 50, burst: 100}
`,
);
const ARGS = ['--config', CONFIG, '--hostname-override', 'node-1'];

const table = (): string[] =>
  tool('/sbin/ipvsadm', ['-Sn'])
    .stdout.split('\n')
    .filter((line) => line !== '' && !isForeignLine(line));
const services = (): number => table().filter((line) => line.startsWith('-A')).length;
const follows = (count: number) => (status: StatusView) =>
  status.isSynced && status.services.length === count && services() === count;
const results: Record<string, unknown> = {};

// Neither the server nor the kubeconfig is there.
await server.goAway();
let agent = new AgentProcess([...ARGS, '--record', RECORDING]);
const waiting = await agent.until('waiting', ({ facts }) => facts !== null && facts.trouble !== '', LIMIT_MS);
results.waiting = { facts: waiting.facts, isSynced: waiting.isSynced, written: table() };
const status = pointsman(['status']);
results.headline = { code: status.code, line: status.stdout.split('\n')[0] };

// The kubeconfig comes, then the server.
const config = {
  ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
  clusters: [{ name: 'c', cluster: { server: server.url } }],
  contexts: [{ name: 'c', context: { cluster: 'c', user: '' } }],
};
writeFileSync(KUBECONFIG, JSON.stringify(config));
await agent.until(
  'the server is missed',
  ({ facts }) => facts?.trouble.includes(server.url) === true,
  LIMIT_MS,
);
await server.comeBack();
const first = await agent.until('all Services', follows(COUNT), LIMIT_MS);
results.first = { facts: first.facts, servers: table().filter((line) => line.startsWith('-a')).length };
foreign.placeMore();

// The server is away while things change there; nothing goes meanwhile.
await server.goAway();
await agent.until('it is away', ({ facts }) => facts?.trouble !== '', LIMIT_MS);
const before = table();
for (const { key } of [...server.store.entries('services')].slice(0, 5)) server.store.delete('services', key);
results.keptWhileAway = before.join('\n') === table().join('\n') && services() === COUNT;
server.store.put('services', makeService(500));
server.store.put('endpointslices', makeSlice(500, { endpoints: 4 }));
await server.comeBack();
await agent.until('what changed meanwhile', follows(COUNT - 4), LIMIT_MS);
// A killed agent loses what it learned within the last second.
const recorded = first.facts?.recording?.events ?? 0;
await agent.until('it is recorded', ({ facts }) => (facts?.recording?.events ?? 0) >= recorded + 7, LIMIT_MS);

// Killed, and started while the server is away.
await server.goAway();
await agent.stop('SIGKILL');
const killed = table();
agent = new AgentProcess(ARGS);
await agent.until('waiting again', ({ facts }) => facts !== null && facts.trouble !== '', LIMIT_MS);
results.keptWhenKilled = killed.join('\n') === table().join('\n');
await server.comeBack();
await agent.until('it follows again', follows(COUNT - 4), LIMIT_MS);
results.keptAfterwards = [...killed].sort().join('\n') === table().sort().join('\n');
// The server runs in this process, so it must not wait for the program synchronously.
const plan = async (source: readonly string[]): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(POINTSMAN, ['plan', ...source, '-o', 'json']);
  return (JSON.parse(stdout) as { changes: unknown }).changes;
};
results.plan = await plan(ARGS);
// The killed agent's recording has all that it knew.
results.planOfRecording = await plan(['--replay', RECORDING, '--hostname-override', 'node-1']);
results.stopped = await agent.stop();
results.log = agent.logText;
results.requests = server.count();
await server.close();
writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);
