// In the guest: traffic of two Services by way of the real IPVS, as metrics, before and after some connections. Prints one JSON object.

import { createTopology, type Host } from '../../lab/topology.ts';
import { Traffic } from '../../lab/traffic.ts';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { ServiceTraffic } from '../../src/daemon/service-traffic.ts';
import type { Family } from '../../src/model/ip.ts';
import { address } from '../addresses.ts';
import { service, slice } from '../agent-events.ts';
import { startAgent } from '../in-memory-agent.ts';
import { PLAIN_NODE } from '../nodes.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
/** Far more than the two seconds after which the kernel counts anew. */
const PATIENCE_MS = 120_000;
const CONNECTIONS = 7;

const net = createTopology({ pods: 1, clients: 1 });
const [pod] = net.pods as [Host];
const [client] = net.clients as [Host];
const traffic = new Traffic();
await traffic.serve([{ at: pod, name: pod.name, protocol: 'TCP', port: 8080 }]);
const port = await KernelPort.open(FAMILIES);
const node = {
  ...PLAIN_NODE,
  nodePortAddresses: [address(net.node.ipv4)],
  localAddresses: [address(net.node.ipv4)],
};
const nodePort = { type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30_080 }] };
const { agent, backend } = startAgent(port, node, [
  service('web', '10.96.3.1', nodePort),
  slice('web', [pod.ipv4]),
  service('idle', '10.96.3.2'),
  slice('idle', [pod.ipv4]),
]);
const { needsRetry } = await agent.sync('request');
if (needsRetry) throw new Error(`not all is programmed: ${JSON.stringify(backend.failedOperations())}`);

const errors: string[] = [];
let nowMs = 0;
const ofServices = new ServiceTraffic({
  settings: () => ({ isOn: true, maxServices: 10 }),
  serviceKeys: () => agent.serviceKeys(),
  virtualServersOf: (key) => backend.virtualServersOf(key),
  readPieces: () => port.countedServicePieces(),
  hasCounters: () => port.sysctl('net/ipv4/vs/run_estimation') !== '0',
  isSyncing: () => agent.status.isPending,
  pace: () => Promise.resolve(),
  now: () => (nowMs += 60_000),
  onError: (message) => errors.push(message),
});

/** "connections default web": 7, ... */
async function read(): Promise<Record<string, number>> {
  const values: Record<string, number> = {};
  for (const { name, type, samples } of await ofServices.collect())
    if (type === 'counter')
      for (const { labels, value } of samples)
        values[[name.replace(/^pointsman_service_|_total$/g, ''), ...Object.values(labels)].join(' ')] =
          value;
  return values;
}

const first = await read();
for (const [to, toPort, count] of [
  ['10.96.3.1', 80, CONNECTIONS - 2],
  [net.node.ipv4, 30_080, 2],
] as const)
  await traffic.connect({ from: client, address: to, port: toPort, protocol: 'TCP', count });
const endMs = performance.now() + PATIENCE_MS;
let last = await read();
while (last['connections default web'] !== CONNECTIONS && performance.now() < endMs) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  last = await read();
}
console.log(JSON.stringify({ first, last, errors }));
await traffic.close();
port.close();
net.dispose();
process.exit(0);
