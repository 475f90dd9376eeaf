// How a node behaves with each way to answer for service addresses, seen by experiment inside a guest: real connections through IPVS, and
// what ip(8), ARP and other programs on the node find. Nothing of the agent runs here. Its result goes as JSON into the results folder.
//   node bench/addresses-behaviour.ts

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tool } from '../lab/agent-process.ts';
import { createTopology, SERVICE_NETWORKS, type Host } from '../lab/topology.ts';
import { Traffic, type Protocol } from '../lab/traffic.ts';

/** What was seen of one way in one family; each value as short as a table's cell. */
export type Seen = Readonly<Record<string, string>>;

type Family = 'ipv4' | 'ipv6';

const PORT = 80;
const OTHER_PORT = 9090;
const BIND_PORT = 9091;
const CONNECT = { timeoutMs: 1500, overallTimeoutMs: 4000, count: 2 } as const;
const FACTS = {
  ipv4: {
    vip: '10.96.8.1',
    second: '10.96.8.2',
    undeclared: '10.96.9.9',
    prefix: 32,
    family: '-4',
    iptables: '/usr/sbin/iptables-legacy',
    setFamily: 'inet',
    unnumbered: '10.77.0.1',
    lan: '192.168.50.11/24',
    route: 'scope host',
  },
  ipv6: {
    vip: 'fd96::8:1',
    second: 'fd96::8:2',
    undeclared: 'fd96::9:9',
    prefix: 128,
    family: '-6',
    iptables: '/usr/sbin/ip6tables-legacy',
    setFamily: 'inet6',
    // Nearer to the service address than to the LAN's, by its ninth bit.
    unnumbered: 'fdc0::1',
    lan: 'fd00:50::11/64',
    route: '',
  },
} as const;

type Ways = Readonly<Record<string, (family: Family) => readonly string[]>>;

/** Lines of `ip -batch` that make the node answer for both service addresses, on devices that do not exist yet. */
const WAYS: Ways = {
  'one device': (family) => [ADD_DEVICE, ...addressLines(family, 'kube-ipvs0')],
  // The addresses stand on a later one, as most do.
  'several devices': (family) => [
    ADD_DEVICE,
    'link add kube-ipvs-1 type dummy',
    ...addressLines(family, 'kube-ipvs-1'),
  ],
  'local routes': (family) => [...ADD_DEVICE_UP, ...routeLines(family, () => '')],
  // As the kernel itself makes them beside addresses; of IPv6 ones it fixes the metric, which nobody else can set.
  'local routes with src': (family) => [
    ...ADD_DEVICE_UP,
    ...routeLines(family, (address) => `proto kernel ${family === 'ipv4' ? `src ${address}` : ''}`),
  ],
  'one route': oneRoute,
  'one route, guarded': oneRoute,
};
const ADD_DEVICE = 'link add kube-ipvs0 type dummy';
const ADD_DEVICE_UP = [ADD_DEVICE, 'link set kube-ipvs0 up'];

function addressLines(family: Family, device: string): string[] {
  const { vip, second, prefix } = FACTS[family];
  return [vip, second].map((address) => `addr add ${address}/${prefix} dev ${device}`);
}

function routeLines(family: Family, more: (address: string) => string): string[] {
  const { vip, second, route } = FACTS[family];
  return [vip, second].map(
    (address) => `route add local ${address} dev kube-ipvs0 table local ${route} ${more(address)}`,
  );
}

function oneRoute(family: Family): readonly string[] {
  return [
    ...ADD_DEVICE_UP,
    `route add local ${SERVICE_NETWORKS[family]} dev kube-ipvs0 table local ${FACTS[family].route}`,
  ];
}

const net = createTopology({ pods: 2, clients: 1 });
writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
writeFileSync('/proc/sys/net/ipv4/vs/conntrack', '1');
const traffic = new Traffic();
const pod = net.host('pod1');
await traffic.serve([
  { at: pod, name: 'pod1', protocol: 'TCP', port: 8080 },
  { at: pod, name: 'pod1', protocol: 'UDP', port: 8080 },
  // A daemon of the node that listens on all addresses.
  { at: net.node, name: 'daemon', protocol: 'TCP', port: OTHER_PORT },
]);
const seen: Record<string, Record<Family, Seen>> = {};
for (const way of Object.keys(WAYS)) {
  seen[way] = { ipv4: await observe(way, 'ipv4'), ipv6: await observe(way, 'ipv6') };
  process.stdout.write(`${Math.round(performance.now())} ms: ${way}\n`);
}
await traffic.close();
net.dispose();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(seen));
process.exit(0);

async function observe(way: string, family: Family): Promise<Seen> {
  const { vip, undeclared, iptables } = FACTS[family];
  const lines = WAYS[way]?.(family) ?? [];
  const isGuarded = way.endsWith('guarded');
  ip(lines);
  writeServices(family);
  // The match on state makes the kernel track connections, without which it passes over the nat table.
  const watched =
    `PREROUTING -t nat -d ${vip} -m conntrack --ctstate NEW -m addrtype --dst-type LOCAL -j RETURN`.split(
      ' ',
    );
  run(iptables, ['-A', ...watched]);
  if (isGuarded) guard(family, '-A');
  const client = net.host('client1');
  const entries: Record<string, string> = {
    'client, TCP': await ask(client, vip, PORT, 'TCP'),
    'client, UDP': await ask(client, vip, PORT, 'UDP'),
    'pod, TCP': await ask(net.host('pod2'), vip, PORT, 'TCP'),
    'node, TCP': await ask(net.node, vip, PORT, 'TCP'),
    'addrtype LOCAL matches': /^\s*[1-9]/m.test(
      run(iptables, ['-t', 'nat', '-L', 'PREROUTING', '-nvx']).split('\n')[2] ?? '',
    )
      ? 'yes'
      : 'no',
    'declared address, port of a daemon of the node': await ask(client, vip, OTHER_PORT, 'TCP'),
    'undeclared address, the same port, from a client': await ask(client, undeclared, OTHER_PORT, 'TCP'),
    'the same from the node': await ask(net.node, undeclared, OTHER_PORT, 'TCP'),
    'answers ARP/NDP for a declared address, arp_ignore 0': await answersNeighbour(family, vip, '0'),
    'the same, arp_ignore 1 (strictARP)': await answersNeighbour(family, vip, '1'),
    'answers ARP/NDP for an undeclared address': await answersNeighbour(family, undeclared, '0'),
    'source of the node towards it': sourceTowards(null, family, vip),
    'a program can bind the address': await bind(vip),
    'addresses on kube-ipvs0, as kube-proxy lists them (of 2)': countLines(
      run('/sbin/ip', ['-o', '-d', FACTS[family].family, 'addr', 'show', 'dev', 'kube-ipvs0'])
        .split('\n')
        .filter((line) => !line.includes('fe80:'))
        .join('\n'),
    ),
    'taken for an address of the node (not on kube-ipvs0)': run('/sbin/ip', ['-o', 'addr'])
      .split('\n')
      .some((line) => line.includes(` ${vip}/`) && !/^\d+: kube-ipvs0 /.test(line))
      ? 'yes'
      : 'no',
  };
  if (isGuarded) guard(family, '-D');
  run(iptables, ['-D', ...watched]);
  entries['the device is set down: still local'] = afterLines(['link set kube-ipvs0 down'], family, vip);
  entries['and up again'] = afterLines(['link set kube-ipvs0 up'], family, vip);
  // IPv6 routes went with the first; what is still there is refused.
  tool('/sbin/ip', ['-force', '-batch', '-'], 20_000, `${lines.join('\n')}\n`);
  Object.assign(entries, takeOver(family));
  for (const device of devicesOf(lines)) ip([`link del ${device}`]);
  entries['the devices are deleted: still local'] = isLocal(family, vip) ? 'yes' : 'no';
  run('/sbin/ipvsadm', ['-C']);
  entries['source where the outgoing device has none, kube-ipvs0 older than eth0'] = sourceOfUnnumbered(
    lines,
    family,
  );
  return entries;
}

function writeServices(family: Family): void {
  const rules = ['-t', '-u'].flatMap((protocol) => [
    `-A ${protocol} ${endpoint(FACTS[family].vip, PORT)} -s rr`,
    `-a ${protocol} ${endpoint(FACTS[family].vip, PORT)} -r ${endpoint(pod[family], 8080)} -m`,
  ]);
  run('/sbin/ipvsadm', ['-R'], `${rules.join('\n')}\n`);
}

/** What is not in the set is refused, for the whole network. */
function guard(family: Family, change: '-A' | '-D'): void {
  const { iptables, setFamily, vip } = FACTS[family];
  const set = `BENCH-${setFamily}`;
  if (change === '-A')
    run('/sbin/ipset', ['restore'], `create ${set} hash:ip family ${setFamily}\nadd ${set} ${vip}\n`);
  run(
    iptables,
    `${change} INPUT -d ${SERVICE_NETWORKS[family]} -m set ! --match-set ${set} dst -j REJECT`.split(' '),
  );
  if (change === '-D') run('/sbin/ipset', ['destroy', set]);
}

/** 'answered, from ADDRESS' or what happened instead. */
async function ask(from: Host, address: string, port: number, protocol: Protocol): Promise<string> {
  const report = await traffic.connect({ from, address, port, protocol, ...CONNECT });
  const sources = Object.keys(report.sources).join(' and ');
  return report.answered === report.count
    ? `answered, from ${sources}`
    : [...new Set(report.sequence)].join(' and ');
}

/** A client that takes the address for one on its own network: whether the node says that it has it. */
async function answersNeighbour(family: Family, address: string, arpIgnore: string): Promise<string> {
  const client = net.host('client1');
  const route = `${address}/${FACTS[family].prefix} dev eth0`;
  writeFileSync('/proc/sys/net/ipv4/conf/all/arp_ignore', arpIgnore);
  ip([`route add ${route}`], 'client1');
  await traffic.connect({
    from: client,
    address,
    port: PORT,
    protocol: 'TCP',
    timeoutMs: 700,
    overallTimeoutMs: 700,
  });
  const entry = run('/sbin/ip', ['-n', 'client1', FACTS[family].family, 'neigh', 'show', 'to', address]);
  ip([`route del ${route}`, 'neigh flush dev eth0'], 'client1');
  writeFileSync('/proc/sys/net/ipv4/conf/all/arp_ignore', '0');
  return entry.includes('lladdr') ? 'yes' : 'no';
}

async function bind(address: string): Promise<string> {
  try {
    await traffic.serve([{ at: net.node, name: 'bound', protocol: 'TCP', port: BIND_PORT, address }]);
  } catch (error) {
    return /E[A-Z]+$/.exec(error instanceof Error ? error.message : '')?.[0] ?? 'no';
  }
  await traffic.stop('bound');
  return 'yes';
}

/** What kube-proxy does: it adds all addresses when it starts on this node, and removes each when its Service goes. */
function takeOver(family: Family): Readonly<Record<string, string>> {
  const { vip, second, prefix } = FACTS[family];
  // What is there already is refused, and kube-proxy goes on.
  for (const address of [vip, second])
    tool('/sbin/ip', ['addr', 'add', `${address}/${prefix}`, 'dev', 'kube-ipvs0']);
  return {
    'kube-proxy adds two as addresses and removes the first: the first is still local': afterLines(
      [`addr del ${vip}/${prefix} dev kube-ipvs0`],
      family,
      vip,
    ),
    'it removes the second and last: the first is still local': afterLines(
      [`addr del ${second}/${prefix} dev kube-ipvs0`],
      family,
      vip,
    ),
  };
}

function afterLines(lines: readonly string[], family: Family, vip: string): string {
  ip(lines);
  return isLocal(family, vip) ? 'yes' : 'no';
}

/**
 * In a namespace where the service device came first: from which address the node talks through a device that has none itself, as the
 * pods' devices of several network plug-ins.
 */
function sourceOfUnnumbered(lines: readonly string[], family: Family): string {
  const { unnumbered, lan } = FACTS[family];
  run('/sbin/ip', ['netns', 'add', 'order']);
  ip(
    [
      ...lines,
      'link add eth0 type dummy',
      'link set eth0 up',
      `addr add ${lan} dev eth0`,
      'link add pod0 type dummy',
      'link set pod0 up',
      `route add ${unnumbered} dev pod0`,
    ],
    'order',
  );
  const source = sourceTowards('order', family, unnumbered);
  run('/sbin/ip', ['netns', 'del', 'order']);
  return source;
}

function sourceTowards(namespace: string | null, family: Family, address: string): string {
  const where = namespace === null ? [] : ['-n', namespace];
  const answer = run('/sbin/ip', [...where, FACTS[family].family, 'route', 'get', address]);
  return / src (\S+)/.exec(answer)?.[1] ?? 'none';
}

function isLocal(family: Family, address: string): boolean {
  const answer = tool('/sbin/ip', [FACTS[family].family, 'route', 'get', address]);
  return answer.code === 0 && answer.stdout.startsWith('local ');
}

function devicesOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => /^link add (\S+)/.exec(line)?.[1] ?? []);
}

function countLines(text: string): string {
  return String(text.split('\n').filter((line) => line !== '').length);
}

function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function ip(lines: readonly string[], namespace?: string): void {
  const where = namespace === undefined ? [] : ['-n', namespace];
  run('/sbin/ip', [...where, '-batch', '-'], `${lines.join('\n')}\n`);
}

function run(path: string, args: readonly string[], stdin = ''): string {
  const { code, stdout, stderr } = tool(path, args, 20_000, stdin);
  if (code !== 0) throw new Error(`${path} ${args.join(' ')} ended with ${code}: ${stderr}${stdin}`);
  return stdout;
}
