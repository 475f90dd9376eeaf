// Cases of the main job, run inside a guest: manifests in, a real IPVS kernel, real connections, and what the ordinary tools show.
// Writes one JSON document; the assertions stand outside, in first-light.test.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentProcess, pointsman, tool, type StatusView } from '../agent-process.ts';
import { placeForeignThings } from '../foreign-things.ts';
import { createTopology, type Host } from '../topology.ts';
import { Traffic, type Protocol } from '../traffic.ts';
import { config, FAMILIES, manifests, PORTS, serviceAddress, withoutEndpoint } from './first-light-input.ts';

const FOLDER = '/run/first-light';
const MANIFESTS = join(FOLDER, 'manifests');
const CONFIG = join(FOLDER, 'config.yaml');
const ARGS = ['--manifests', MANIFESTS, '--config', CONFIG, '--hostname-override', 'node1'];
const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

mkdirSync(MANIFESTS, { recursive: true });
writeFileSync(join(MANIFESTS, 'all.yaml'), manifests());
writeFileSync(CONFIG, config('rr'));

const net = createTopology({ pods: 3, remotePods: 2, clients: 1 });
const [pod1, pod2, caller] = net.pods as [Host, Host, Host];
const [remote1, remote2] = net.remotePods as [Host, Host];
const [client] = net.clients as [Host];
const servers = [pod1, pod2, remote1, remote2];
const traffic = new Traffic();
await traffic.serve(
  servers.flatMap((at) => PROTOCOLS.map((protocol) => ({ at, name: at.name, protocol, port: PORTS.target }))),
);

/** Connections that must be answered, however busy this machine is: a retry of theirs would count at a second server. */
const reach = (options: Parameters<Traffic['connect']>[0]): ReturnType<Traffic['connect']> =>
  traffic.connect({ timeoutMs: 20_000, ...options });

/** Which server answered how many TCP connections of the client outside. */
const countsAt = async (address: string, port: number, count: number): Promise<unknown> =>
  (await reach({ from: client, address, port, protocol: 'TCP', count })).counts;

const results: Record<string, unknown> = {};
const foreign = placeForeignThings();

// Somebody else's virtual servers: one that we do not need, one on a key that we do.
tool('/sbin/ipvsadm', ['-A', '-t', '192.0.2.77:80', '-s', 'wlc']);
tool('/sbin/ipvsadm', ['-A', '-t', `${serviceAddress('foreign', 'IPv4')}:80`, '-s', 'wlc']);
tool('/sbin/ipvsadm', ['-a', '-t', `${serviceAddress('foreign', 'IPv4')}:80`, '-r', '192.0.2.9:80', '-m']);

results.planBefore = pointsman(['plan', ...ARGS, '-o', 'json', '--detailed-exitcode']);
results.once = pointsman(['run', ...ARGS, '--once']);
results.planAfter = pointsman(['plan', ...ARGS, '-o', 'json', '--detailed-exitcode']);
const dump = (): Record<string, string> => ({
  ipvsadm: tool('/sbin/ipvsadm', ['-Ln']).stdout,
  ipvsadmSave: tool('/sbin/ipvsadm', ['-Sn']).stdout,
  ipset: tool('/sbin/ipset', ['save']).stdout,
  iptables: savedRules('/usr/sbin/iptables-legacy-save'),
  ip6tables: savedRules('/usr/sbin/ip6tables-legacy-save'),
  addresses: tool('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']).stdout,
  sysctl: tool('/usr/sbin/sysctl', [
    'net.ipv4.vs.conntrack',
    'net.ipv4.vs.expire_nodest_conn',
    'net.ipv4.vs.expire_quiescent_template',
    'net.ipv4.ip_forward',
  ]).stdout,
});
results.state = dump();

const agent = new AgentProcess(ARGS);
await agent.until('first sync', (status) => status.syncs > 0 && status.problems.length > 0);
results.secondSyncLog = agent.logText;
results.stateAgain = dump();
foreign.placeMore();

results.rr = await countsAt(net.node.ipv4, PORTS.nodePort.TCP, 400);
const matrix: Record<string, unknown> = {};
for (const family of FAMILIES) {
  for (const protocol of PROTOCOLS) {
    for (const from of [client, caller, net.node, pod1]) {
      for (const [kind, address, port] of [
        ['ClusterIP', serviceAddress('web', family), PORTS.service],
        ['NodePort', family === 'IPv4' ? net.node.ipv4 : net.node.ipv6, PORTS.nodePort[protocol]],
      ] as const) {
        // Eight per cell: every one of the four servers is reached twice, the caller itself (hairpin) included when it is one.
        const { answered, counts, sources } = await reach({
          from,
          address,
          port,
          protocol,
          count: 8,
        });
        matrix[`${family} ${protocol} ${kind} from ${from.name}`] = {
          answered,
          counts,
          sources: Object.keys(sources).sort(),
        };
      }
    }
  }
}
results.matrix = matrix;

// An address that appears later gets the NodePorts too, and loses them when it goes.
// Status shows the plan before the kernel has it, so what traffic needs is read from the kernel.
const inKernel = (text: string): boolean => tool('/sbin/ipvsadm', ['-Sn']).stdout.includes(text);
const hasAddress = (text: string) => (status: StatusView) =>
  inKernel(` ${text}`) &&
  status.services.some(({ virtualServers }) =>
    virtualServers.some(({ address }) => address.startsWith(text)),
  );
tool('/usr/sbin/ip', ['addr', 'add', '192.168.50.77/24', 'dev', 'lan0']);
await agent.until('NodePorts on the new address', hasAddress('192.168.50.77:'));
results.newAddress = (
  await reach({
    from: client,
    address: '192.168.50.77',
    port: PORTS.nodePort.TCP,
    protocol: 'TCP',
    count: 4,
  })
).answered;
tool('/usr/sbin/ip', ['addr', 'del', '192.168.50.77/24', 'dev', 'lan0']);
await agent.until('no NodePorts on the address that went', () => !inKernel(' 192.168.50.77:'));

results.tuned = await countsAt(serviceAddress('tuned', 'IPv4'), PORTS.service, 70);
results.affinity = await countsAt(serviceAddress('sticky', 'IPv4'), PORTS.service, 20);
results.noEndpoints = await traffic
  .connect({
    from: client,
    address: serviceAddress('empty', 'IPv4'),
    port: PORTS.service,
    protocol: 'TCP',
    count: 1,
  })
  .then(({ refused }) => refused);
results.undeclaredPort = await traffic
  .connect({ from: client, address: serviceAddress('web', 'IPv4'), port: 9999, protocol: 'TCP', count: 1 })
  .then(({ refused }) => refused);

writeFileSync(CONFIG, config('sh'));
await agent.until(
  'scheduler sh',
  (status) =>
    status.scheduler === 'sh' &&
    inKernel(`-A -t ${net.node.ipv4}:${PORTS.nodePort.TCP} -s sh\n`) &&
    status.services.every(({ service, virtualServers }) =>
      virtualServers.every(({ scheduler }) => scheduler === (service === 'default/tuned' ? 'wrr' : 'sh')),
    ),
);
results.sh = await countsAt(net.node.ipv4, PORTS.nodePort.TCP, 40);
writeFileSync(CONFIG, config('rr'));
await agent.until('scheduler rr', (status) => status.scheduler === 'rr');

writeFileSync(join(MANIFESTS, 'all.yaml'), 'kind: [broken');
await agent.until('the mistake is reported', (status) =>
  status.problems.some(({ object, message }) => `${object}${message}`.includes('all.yaml')),
);
results.brokenLog = agent.logText;
results.stateBroken = tool('/sbin/ipvsadm', ['-Sn']).stdout;

writeFileSync(join(MANIFESTS, 'all.yaml'), withoutEndpoint(manifests(), remote2.ipv4));
await agent.until('one endpoint less', (status) =>
  status.services.some(
    ({ service, virtualServers }) =>
      service === 'default/web' &&
      virtualServers.some(
        ({ address, realServers }) =>
          address.startsWith(serviceAddress('web', 'IPv4')) && realServers.length === 3,
      ),
  ),
);
results.threeServers = await countsAt(serviceAddress('web', 'IPv4'), PORTS.service, 30);

// A kill leaves forwarding as it is; the next agent adopts it.
results.killed = await agent.stop('SIGKILL');
results.afterKill = await countsAt(serviceAddress('web', 'IPv4'), PORTS.service, 30);
results.planAfterKill = pointsman(['plan', ...ARGS, '-o', 'json', '--detailed-exitcode']);

tool('/sbin/ipvsadm', ['-D', '-t', `${serviceAddress('foreign', 'IPv4')}:80`]);
results.onceWithoutForeign = pointsman(['run', ...ARGS, '--once']);
writeFileSync(join(MANIFESTS, 'all.yaml'), '# nothing\n');
// The kernel still remembers the connections from before.
writeFileSync(CONFIG, config('rr', '0s'));
results.onceEmpty = pointsman(['run', ...ARGS, '--once']);
results.stateEmpty = dump();

writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results, null, 1));
await traffic.close();
net.dispose();
process.exit(0);

/** What iptables-save prints, without the time and the counters: those change by themselves. */
function savedRules(path: string): string {
  return tool(path, [])
    .stdout.split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ''))
    .join('\n');
}
