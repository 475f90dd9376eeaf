// Inside a guest: the release in the place of kube-proxy, as kubeadm and kubeasz start it, against a fake API server over TLS.
//   node drop-in-guest.ts EXECUTABLE LAUNCHER
// Writes what was seen; drop-in.test.ts judges it.

import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { tool, type CommandResult } from '../../lab/agent-process.ts';
import { placeForeignThings } from '../../lab/foreign-things.ts';
import { readSysctl } from '../../src/kernel/sysctl.ts';
import { makeCertificates, serverTls } from '../cluster/certificates.ts';
import { FakeApiServer } from '../cluster/fake-api-server.ts';
import { makeNode, makeService, makeSlice } from '../cluster/make-objects.ts';
import { ask, DropIn, until } from './drop-in-agent.ts';

const [executable = '', launcher = ''] = process.argv.slice(2);
const EXAMPLES = fileURLToPath(new URL('../../examples/config', import.meta.url));
const NODE = 'node-1';
const TOKEN = 'a-token-of-this-test';
const HEALTH_CHECK_PORT = 31_234;
const results: Record<string, unknown> = {};

const example = (name: string): string => readFileSync(join(EXAMPLES, name), 'utf8');
function place(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}
/** The server is in this process, so what may ask it is not waited for synchronously. */
const run = async (program: string, args: readonly string[]): Promise<CommandResult> => {
  const started = new DropIn(program, args);
  const code = await started.over();
  return { code: typeof code === 'number' ? code : 255, stdout: '', stderr: started.log };
};
const sh = (script: string): string => tool('/bin/sh', ['-c', script]).stdout;
const table = (): string[] =>
  sh('ipvsadm -Sn')
    .split('\n')
    .filter((line) => line.includes('10.96.'));
const switches = (): Record<string, string | null> =>
  Object.fromEntries(
    [
      'net/netfilter/nf_conntrack_max',
      'net/netfilter/nf_conntrack_tcp_timeout_established',
      'net/netfilter/nf_conntrack_tcp_timeout_close_wait',
    ].map((path) => [path, readSysctl(path)]),
  );

sh('ip link add lan0 type dummy; ip addr add 192.168.0.2/16 dev lan0; ip link set lan0 up');
const foreign = placeForeignThings();

// A cluster: a Service, and one with a health-check port and endpoints on this node.
const certificates = makeCertificates();
const server = await FakeApiServer.start({ tls: serverTls(certificates), tokens: [TOKEN] });
for (let index = 0; index < 3; index++) server.store.put('nodes', makeNode(index));
for (let index = 0; index < 5; index++) {
  server.store.put('services', makeService(index));
  server.store.put('endpointslices', makeSlice(index, { endpoints: 4, nodes: 3 }));
}
server.store.put(
  'services',
  makeService(5, {
    spec: {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: HEALTH_CHECK_PORT,
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30_080 }],
    },
  }),
);
server.store.put('endpointslices', makeSlice(5, { endpoints: 3, nodes: 3 }));
const events = (): unknown[] => [...server.store.objectsOf('events').values()];
const reasons = (): string[] => (events() as { reason: string }[]).map(({ reason }) => reason);

// As kubeadm: a ConfigMap's two files, the service account's folder, the binary at /usr/local/bin.
const map = parse(example('kubeadm-config-map.yaml')) as { data: Record<string, string> };
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
place(join(ACCOUNT, 'ca.crt'), certificates.ca);
place(join(ACCOUNT, 'token'), TOKEN);
place(
  '/var/lib/kube-proxy/kubeconfig.conf',
  (map.data['kubeconfig.conf'] ?? '').replace(/server: .*/, `server: ${server.url}`),
);
const CONFIG = place('/var/lib/kube-proxy/config.conf', map.data['config.conf'] ?? '');
const AS_KUBEADM = '/usr/local/bin/kube-proxy';
mkdirSync(dirname(AS_KUBEADM), { recursive: true });
symlinkSync(executable, AS_KUBEADM);

let agent = new DropIn(AS_KUBEADM, [`--config=${CONFIG}`, `--hostname-override=${NODE}`]);
const healthz = await agent.healthy();
await agent.until('a Service', () => (table().some((line) => line.includes('10.96.0.6')) ? true : null));
await agent.until('the Event of the start', () => (reasons().includes('Starting') ? true : null));
results.kubeadm = {
  healthz,
  livez: await ask(10_256, '/livez'),
  healthzOverIpv6: (await ask(10_256, '/healthz', '::1')).status,
  other: await ask(10_256, '/nothing'),
  proxyMode: await ask(10_249, '/proxyMode'),
  metricsHealthz: await ask(10_249, '/healthz'),
  configz: await ask(10_249, '/configz'),
  flagz: await ask(10_249, '/flagz'),
  statusz: await ask(10_249, '/statusz'),
  posted: await ask(10_249, '/configz', '127.0.0.1', 'POST'),
  healthCheck: await agent.until('the health-check port', async () => {
    const answer = await ask(HEALTH_CHECK_PORT, '/');
    return answer.status === 0 ? null : answer;
  }),
  virtualServers: table().filter((line) => line.startsWith('-A')).length,
  switches: switches(),
  oomScore: agent.file('oom_score_adj').trim(),
  name: agent.file('comm').trim(),
  events: events(),
  listening: sh("ss -Hltn | awk '{print $4}'").split('\n').filter(Boolean),
};
await ask(10_256, '/healthz');
results.metrics = (await ask(10_249, '/metrics')).body;
results.plan = (
  await run(executable, ['plan', '--config', CONFIG, '--hostname-override', NODE, '--detailed-exitcode'])
).code;
const status = tool(executable, ['status']);
results.status = { code: status.code, headline: status.stdout.split('\n')[0] };
results.second = await run(AS_KUBEADM, [`--config=${CONFIG}`, `--hostname-override=${NODE}`]);

// Node's inspector answers SIGUSR1 where it is not told otherwise.
agent.child.kill('SIGUSR1');
await ask(10_256, '/livez');
results.inspector = sh('ss -Hltn').includes(':9229');

// The file changes: half of it, what does not validate, and what does, through the symlinks of a volume as well.
const whole = map.data['config.conf'] ?? '';
writeFileSync(CONFIG, whole.slice(0, whole.indexOf('ipvs:') + 30));
await agent.until('the Event of the refusal', () =>
  reasons().includes('InvalidConfiguration') ? true : null,
);
results.keptOnHalf = table().every((line) => !line.startsWith('-A') || line.includes('-s rr'));
const metricOf = async (name: string): Promise<string> =>
  (await ask(10_249, '/metrics')).body.split('\n').find((line) => line.startsWith(name)) ?? '';
results.refusals = await metricOf('pointsman_config_reloads_total{result="refused"}');
writeFileSync(
  CONFIG,
  whole
    .replace('scheduler: ""', 'scheduler: wrr')
    .replace('metricsBindAddress: ""', 'metricsBindAddress: 0.0.0.0:11249'),
);
await agent.until('wrr', () =>
  table()
    .filter((line) => line.startsWith('-A'))
    .every((line) => line.includes('-s wrr'))
    ? true
    : null,
);
results.movedMetrics = await agent.until('metrics elsewhere', async () => {
  const [there, before] = await Promise.all([ask(11_249, '/proxyMode'), ask(10_249, '/proxyMode')]);
  return there.status === 200 && before.status === 0 ? there.body : null;
});

// The last local endpoint of the Service with the health-check port goes.
server.store.put('endpointslices', makeSlice(5, { endpoints: 1, nodes: 3, generation: 1 }));
results.withoutLocal = await agent.until('no local endpoint', async () => {
  const answer = await ask(HEALTH_CHECK_PORT, '/');
  return answer.status === 503 ? answer : null;
});
// A node that is about to go takes nothing new.
const node = makeNode(1) as unknown as { spec: Record<string, unknown> };
node.spec['taints'] = [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }];
server.store.put('nodes', node as never);
results.leaving = await agent.until('503', async () => {
  const answer = await ask(10_256, '/healthz');
  return answer.status === 503 ? { ...answer, livez: (await ask(10_256, '/livez')).status } : null;
});
server.store.put('nodes', makeNode(1));
const before = table();
results.kubeadmStopped = await agent.end();
results.keptByStop = before.join('\n') === table().join('\n');
results.kubeadmLog = agent.log;

// As kubeasz: a copy at /opt/kube/bin, the unit's command line; the metrics port is somebody else's for a while.
const unit = /ExecStart=((?:.*\\\n)*.*)/.exec(example('kubeasz-kube-proxy.service'))?.[1] ?? '';
const [program = '', ...args] = unit.replaceAll('\\\n', ' ').trim().split(/\s+/);
mkdirSync(dirname(program), { recursive: true });
copyFileSync(executable, program);
place(
  '/var/lib/kube-proxy/kube-proxy-config.yaml',
  example('kubeasz-kube-proxy-config.yaml').replace('worker-01', NODE),
);
place(
  '/etc/kubernetes/kube-proxy.kubeconfig',
  (map.data['kubeconfig.conf'] ?? '').replace(/server: .*/, `server: ${server.url}`),
);
const squatter = await listenOn(10_249);
agent = new DropIn(program, args);
await agent.healthy();
await agent.logged('Metrics server failed');
squatter.close();
results.kubeasz = {
  proxyMode: await agent.until('metrics', async () => {
    const answer = await ask(10_249, '/proxyMode', '192.168.0.2');
    return answer.status === 200 ? answer.body : null;
  }),
  stopped: await agent.end('SIGINT'),
  log: agent.log,
};

// The same with bindAddressHardFail: it ends.
const again = await listenOn(10_249);
const HARD = place(
  '/var/lib/kube-proxy/hard.conf',
  `${whole.replace('bindAddressHardFail: false', 'bindAddressHardFail: true')}\n`,
);
agent = new DropIn(AS_KUBEADM, [`--config=${HARD}`, `--hostname-override=${NODE}`]);
results.hardFail = { code: await agent.over(), log: agent.log, reasons: reasons() };
again.close();

// Called so, it does what kube-proxy's flags say.
const written = '/tmp/written.yaml';
results.writeConfig = {
  code: tool(AS_KUBEADM, [`--config=${HARD}`, `--write-config-to=${written}`]).code,
  text: readFileSync(written, 'utf8'),
};
results.version = tool(AS_KUBEADM, ['--version']);
results.initOnly = tool(AS_KUBEADM, [`--config=${HARD}`, '--init-only']);
results.unreadable = tool(AS_KUBEADM, ['--config=/nowhere/config.conf']);

// As in the container with few capabilities: the form with a Node.js beside it, started by its name.
place('/var/lib/kube-proxy/config.conf', whole);
const few = `mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; mount -o remount,ro /sys
exec setpriv --bounding-set=-all,+net_admin,+net_raw --inh-caps=-all ${JSON.stringify(launcher)} run --config=${CONFIG} --hostname-override=${NODE}`;
agent = new DropIn('/usr/bin/unshare', ['-m', '/bin/sh', '-ec', few], {
  PATH: `${dirname(process.execPath)}:/usr/sbin:/usr/bin:/sbin:/bin`,
});
await agent.healthy();
const synced = await until('status over the socket', () => {
  const { code, stdout } = tool(executable, ['status', '-o', 'json']);
  return code === 0 ? (JSON.parse(stdout) as Record<string, unknown>) : null;
});
// What somebody breaks is put right with these capabilities, too.
const rules = (): number =>
  sh('iptables-legacy-save -t nat')
    .split('\n')
    .filter((line) => line.startsWith('-A KUBE-SERVICES')).length;
const ruleCount = rules();
sh('iptables-legacy -t nat -F KUBE-SERVICES');
const repaired = await agent.until('the rules again', () => (rules() === ruleCount ? ruleCount : null));
results.fewCapabilities = {
  isSynced: synced['isSynced'],
  repaired,
  stopped: await agent.end(),
  log: agent.log,
};

await server.close();
certificates.remove();
foreign.placeMore();
writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const taken = createServer((socket) => socket.destroy());
    taken.once('error', reject);
    taken.listen(port, '0.0.0.0', () => resolve(taken));
  });
}
