// The lab's own test, run inside a guest: its networks and its traffic with nothing of Pointsman between them, only the kernel's IPVS
// as Debian's ipvsadm sets it up, with masquerading (-m). Writes what was seen; the assertions stand outside, in masquerading.test.ts.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tool } from '../agent-process.ts';
import { createTopology } from '../topology.ts';
import { Traffic } from '../traffic.ts';
import { cellName, CELLS, CONNECTIONS, PORTS, SERVICES } from './masquerading-cells.ts';

const PROTOCOLS = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as const;
const NAMES = Object.keys(SERVICES) as (keyof typeof SERVICES)[];

const net = createTopology({ pods: 5, remotePods: 2, clients: 1 });
writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
const addresses = NAMES.flatMap((name) => [
  `ip addr add ${SERVICES[name].ipv4}/32 dev lo`,
  `ip addr add ${SERVICES[name].ipv6}/128 dev lo nodad`,
]);
const rules = NAMES.flatMap((name) =>
  (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
    (['ipv4', 'ipv6'] as const).flatMap((family) => {
      const key = `${PROTOCOLS[protocol]} ${endpoint(SERVICES[name][family], PORTS.service)}`;
      return [
        `ipvsadm -A ${key} -s rr`,
        ...SERVICES[name].servers.map(
          (server) => `ipvsadm -a ${key} -r ${endpoint(net.host(server)[family], PORTS.target)} -m`,
        ),
      ];
    }),
  ),
);
// One shell for all: it starts a process much faster than Node does.
run('/bin/sh', ['-ec', [...addresses, ...rules].join('\n')]);

const traffic = new Traffic();
await traffic.serve(
  [...net.pods.slice(0, 4), ...net.remotePods].flatMap((at) =>
    (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({
      at,
      name: at.name,
      protocol,
      port: PORTS.target,
    })),
  ),
);
const seen: Record<string, unknown> = {};
for (const cell of CELLS) {
  const { counts, sources, count, answered } = await traffic.connect({
    from: net.host(cell.from),
    address: SERVICES[cell.service][cell.family],
    port: PORTS.service,
    protocol: cell.protocol,
    count: CONNECTIONS,
    // Long, because a busy machine must not turn a slow connection into a lost one, and ended, so that all cells are seen even if all fail.
    timeoutMs: 5000,
    overallTimeoutMs: 5000,
  });
  seen[cellName(cell)] = { counts, sources, count, answered };
  // Where the time went, for the message of a run that does not finish.
  process.stdout.write(`${Math.round(performance.now())} ms: ${cellName(cell)}\n`);
}
const saved = run('/sbin/ipvsadm', ['-Sn']);
await traffic.close();
net.dispose();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify({ seen, saved }));
process.exit(0);

function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function run(path: string, args: readonly string[]): string {
  const { code, stdout, stderr } = tool(path, args);
  if (code !== 0) throw new Error(`${path} ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}
