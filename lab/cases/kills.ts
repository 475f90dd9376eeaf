// Long cases, run inside a guest: the agent is killed at any moment of its first sync and of changes, again and again; whatever it left, the
// next start ends in the right state. Then a soak of changes while it runs. Results as JSON; assertions in kills.long.test.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentProcess, pointsman, tool } from '../agent-process.ts';

const FOLDER = '/run/kills';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const ARGS = ['--manifests', MANIFESTS, '--config', CONFIG, '--hostname-override', 'node1'];
const SERVICES = 600;
const KILLS = 12;
const SOAK_CHANGES = 60;

/** A small linear congruential generator: the run is the same each time. */
let seed = 20261121;
const random = (below: number): number => {
  seed = (seed * 1103515245 + 12345) % 2147483648;
  return seed % below;
};

function service(index: number, endpoints: number): object[] {
  const address = `10.96.${index >> 8}.${index & 255}`;
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `s${index}`, namespace: 'default' },
      spec: {
        clusterIP: address,
        clusterIPs: [address],
        ipFamilies: ['IPv4'],
        ports: [{ port: 80, protocol: 'TCP' }],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `s${index}-a`,
        namespace: 'default',
        labels: { 'kubernetes.io/service-name': `s${index}` },
      },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
      endpoints: Array.from({ length: endpoints }, (_, i) => ({
        addresses: [`11.${i}.${index >> 8}.${index & 255}`],
        nodeName: i === 0 ? 'node1' : 'node2',
        conditions: { ready: true },
      })),
    },
  ];
}

/** Writes a table in which the Services from `from` on exist, each with 1 to 5 endpoints. */
function writeTable(from: number): void {
  const items = Array.from({ length: SERVICES }, (_, i) => service(from + i, 1 + random(5))).flat();
  writeFileSync(join(MANIFESTS, 'all.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
}

mkdirSync(MANIFESTS, { recursive: true });
writeFileSync(
  CONFIG,
  'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n',
);
tool('/sbin/ipvsadm', ['-A', '-t', '192.0.2.77:80', '-s', 'wlc']);

for (let round = 0; round < KILLS; round++) {
  // Each table shares half of its Services with the one before: every kill leaves things to add, to change and to remove.
  writeTable(1 + round * (SERVICES / 2));
  const agent = new AgentProcess(ARGS);
  await new Promise((resolve) => setTimeout(resolve, 800 + random(2200)));
  await agent.stop('SIGKILL');
}
const once = pointsman(['run', ...ARGS, '--once']);
const planAfterKills = pointsman(['plan', ...ARGS, '-o', 'json', '--detailed-exitcode']);

const agent = new AgentProcess(ARGS);
await agent.until('first sync', (status) => status.isSynced);
let soaked = 0;
for (let change = 0; change < SOAK_CHANGES; change++) {
  writeTable(1 + random(SERVICES));
  soaked++;
  // Some changes come while the one before is being written.
  if (change % 3 !== 0) await agent.until('synced', (status) => status.isSynced);
}
writeTable(1);
const last = await agent.until(
  'the last table',
  (status) => status.isSynced && status.services.some(({ service: name }) => name === 'default/s1'),
  60_000,
);
await agent.stop();
const planAfterSoak = pointsman(['plan', ...ARGS, '-o', 'json', '--detailed-exitcode']);
const virtualServers = tool('/sbin/ipvsadm', ['-Sn'])
  .stdout.split('\n')
  .filter((line) => line.startsWith('-A')).length;
writeFileSync(
  join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'),
  JSON.stringify({
    once,
    planAfterKills,
    planAfterSoak,
    soaked,
    services: last.services.length,
    virtualServers,
  }),
);
process.exit(0);
