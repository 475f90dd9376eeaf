// In the guest: more portals than a set has room for, through the agent on the real kernel. Prints one JSON object.

import { execFileSync } from 'node:child_process';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { PLAIN_NODE } from '../nodes.ts';
import { gone, service } from '../agent-events.ts';
import { startAgent } from '../in-memory-agent.ts';
import { compareAll, repairsOf, settle } from './live-history.ts';

const SERVICES = 700;
const PORTS = 100;

const clusterIp = (index: number): string => `10.96.${index >> 8}.${index & 255}`;
const ports = Array.from({ length: PORTS }, (_, index) => ({
  name: `p${index}`,
  protocol: 'TCP',
  port: 1000 + index,
}));
const services = Array.from({ length: SERVICES }, (_, index) =>
  service(`s${index}`, clusterIp(index + 1), { ports }),
);

/** "hash:ip,port 65536 70000": type, room and members of KUBE-CLUSTER-IP as ipset tells. */
function header(): string {
  const text = execFileSync('/sbin/ipset', ['list', '-terse', 'KUBE-CLUSTER-IP'], { encoding: 'utf8' });
  const of = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? '';
  return [of(/Type: (\S+)/), of(/maxelem (\d+)/), of(/entries: (\d+)/)].join(' ');
}

const others = (): string =>
  execFileSync('/sbin/ipset', ['list', '-name'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => name.includes('TMP'))
    .join();

const port = await KernelPort.open(['IPv4', 'IPv6']);
const first = startAgent(port, PLAIN_NODE, services.slice(0, 600));
await settle(first);
const before = header();
first.agent.onEvents(services.slice(600));
await settle(first);
const after = header();
const rules = execFileSync('/usr/sbin/iptables-legacy-save', ['-t', 'nat'], { encoding: 'utf8' });

const second = startAgent(port, PLAIN_NODE, services);
await settle(second);
const operations = second.agent.status.lastReport?.operations;
await compareAll(second);
const repairs = repairsOf(second);
second.agent.onEvents(services.map((_, index) => gone(`s${index}`)));
await settle(second);

process.stdout.write(
  JSON.stringify({
    ...{ before, after, operations, repairs },
    isMatched: rules.includes('--match-set KUBE-CLUSTER-IP dst,dst'),
    emptied: header(),
    others: others(),
    failures: second.backend.failedOperations(),
  }),
);
port.close();
process.exit(0);
