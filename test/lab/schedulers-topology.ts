// The networks that the scheduler experiments were recorded in, built in the namespace this process runs in, which is the director:
// a client with twenty addresses, four servers behind it, and the virtual addresses as its own. It makes interfaces, addresses, routes
// and switches only. Source: the addresses in test/fixtures/schedulers/*.txt.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Host } from '../../lab/topology.ts';

const BUILD_TIMEOUT_MS = 300_000;
const SERVERS = 4;
const FIRST_CLIENT = 2;
const LAST_CLIENT = 21;

/** Where the connections come from; its addresses are clientAddress(2) to clientAddress(21). */
export const client: Host = host('client', clientAddress(FIRST_CLIENT));

/** 's1' to 's4', in this order, at 172.31.1.2 to 172.31.4.2. */
export const servers: readonly Host[] = Array.from({ length: SERVERS }, (_, index) =>
  host(`s${index + 1}`, `172.31.${index + 1}.2`),
);

/** The client's address whose last part is `number`, 2 to 21, as the recordings number them. */
export function clientAddress(number: number): string {
  return `172.30.0.${number}`;
}

/** Builds it all; throws with what ip(8) printed. There is no way back: it ends with the guest. */
export function buildDirector(): void {
  const clientAddresses = Array.from({ length: LAST_CLIENT - FIRST_CLIENT + 1 }, (_, index) =>
    clientAddress(FIRST_CLIENT + index),
  );
  const batches: readonly (readonly [flags: string, lines: readonly string[]])[] = [
    [
      '',
      [
        ...linkLines(client, '172.30.0.1'),
        ...servers.flatMap((server, index) => linkLines(server, `172.31.${index + 1}.1`)),
        // Every virtual address is the director's own, as IPVS needs it, without an interface for each.
        'route add local 10.96.0.0/16 dev lo',
      ],
    ],
    ['-n client', hostLines(clientAddresses, '172.30.0.1')],
    ...servers.map(
      (server, index) => [`-n ${server.name}`, hostLines([server.ipv4], `172.31.${index + 1}.1`)] as const,
    ),
  ];
  const script = [
    ...batches.map(([flags, lines]) => batch(`ip ${flags}`, lines)),
    batch('tc', slowIcmpLines),
  ];
  const run = spawnSync('sh', ['-e'], {
    input: script.join('\n'),
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
  });
  if (run.status !== 0) throw new Error(`building the director failed: ${run.error ?? run.stderr}`);
  setSwitch('net.ipv4.ip_forward', '1');
  // Else the director answers a few refused connections and is silent to the next, and a refusal looks like a lost packet.
  setSwitch('net.ipv4.icmp_ratelimit', '0');
  setSwitch('net.ipv4.icmp_ratemask', '0');
}

// In one kernel the ICMP error is back before connect(2) has let go of its socket, which then only notes it and waits a second for its
// next SYN. A millisecond later it ends the connection at once, as over a wire. Source: tc-prio(8), tc-netem(8), tc-u32(8).
const slowIcmpLines: readonly string[] = [
  'qdisc add dev to-client root handle 1: prio',
  'qdisc add dev to-client parent 1:3 handle 30: netem delay 1ms',
  'filter add dev to-client parent 1: protocol ip u32 match ip protocol 1 0xff flowid 1:3',
];

/** Sets the sysctl `name`, as in 'net.ipv4.ip_forward'. */
export function setSwitch(name: string, value: string): void {
  writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, value);
}

function batch(tool: string, lines: readonly string[]): string {
  return `${tool} -batch - <<'EOF'\n${lines.join('\n')}\nEOF`;
}

function host(name: string, ipv4: string): Host {
  return { name, netnsPath: `/run/netns/${name}`, ipv4, ipv6: '::1' };
}

/** The director's end of the link to a host. */
function linkLines({ name }: Host, ipv4: string): string[] {
  return [
    `netns add ${name}`,
    `link add to-${name} type veth peer name eth0 netns ${name}`,
    `addr add ${ipv4}/24 dev to-${name}`,
    `link set dev to-${name} up`,
  ];
}

function hostLines(addresses: readonly string[], gateway: string): string[] {
  return [
    'link set dev lo up',
    'link set dev eth0 up',
    ...addresses.map((address) => `addr add ${address}/24 dev eth0`),
    `route add default via ${gateway}`,
  ];
}
