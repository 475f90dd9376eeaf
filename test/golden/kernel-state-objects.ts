// Objects of the API and agents on prepared kernels, for tests of what an agent writes. The node is that of the case ipvs-nothing
// (192.168.0.2, fd00:192:168::2, pods 10.0.0.0/8 and fd00:10::/32); Services are in 172.30.0.0/16 and fd00:172:30::/48.

import { parseConfig } from '../../src/config/parse.ts';
import type { ClusterEvent, ClusterObject } from '../../src/model/objects.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import type { StartedAgent } from '../in-memory-agent.ts';
import { readCase } from './cases.ts';
import { configure, startCase, syncWhole } from './kernel-state-agent.ts';

const NOTHING = readCase('ipvs-nothing');
const NODE_EVENTS = NOTHING.stages[0]?.events ?? [];

/** Service default/NAME comes, or changes to this. */
export function service(name: string, spec: object, ingress: readonly string[] = []): ClusterEvent {
  const status = { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } };
  return apply({ kind: 'Service', metadata: { name, namespace: 'default' }, spec, status });
}

/** A slice of Service default/NAME with endpoints on node1 (those of 10.0.1.x) and node2. */
export function slice(name: string, ports: readonly object[], addresses: readonly string[]): ClusterEvent {
  const isIpv6 = addresses.some((address) => address.includes(':'));
  return apply({
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${isIpv6 ? 6 : 4}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: isIpv6 ? 'IPv6' : 'IPv4',
    ports,
    endpoints: addresses.map((address) => ({
      addresses: [address],
      nodeName: address.startsWith('10.0.1.') ? 'node1' : 'node2',
    })),
  });
}

/** Service default/NAME goes. */
export function deletion(name: string): ClusterEvent {
  return { type: 'delete', kind: 'Service', namespace: 'default', name };
}

function apply(object: object): ClusterEvent {
  return { type: 'apply', object: object as ClusterObject };
}

/** An agent that has synced these objects; `kernel.writes` has what that took. `config` is what follows its kind and mode. */
export async function run(
  kernel: FakeIpvsKernel,
  events: readonly ClusterEvent[],
  config = '',
): Promise<StartedAgent> {
  kernel.writes = [];
  const started = startCase(NOTHING, kernel, [...NODE_EVENTS, ...events]);
  if (config !== '') {
    const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n';
    configure(started.backend, parseConfig(head + config, 'test').config);
  }
  await syncWhole(started);
  return started;
}

/** A kernel in which an agent of ours has run with these objects. */
export async function leftBy(...events: readonly ClusterEvent[]): Promise<FakeIpvsKernel> {
  const kernel = new FakeIpvsKernel();
  await run(kernel, events);
  kernel.writes = [];
  return kernel;
}
