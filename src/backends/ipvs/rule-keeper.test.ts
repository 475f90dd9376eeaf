// Rules that cannot be written: what stays shut, and what goes on. Source ranges without this node need a match that kernels may lack.

import { describe, expect, it } from 'vitest';
import { gone, NODE, service, slice } from '../../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { startAgent } from '../../../test/in-memory-agent.ts';
import type { ClusterEvent } from '../../model/objects.ts';

const VIP = '198.51.100.7';
const OUT_FILTER = `-s ${VIP}/32 -m ipvs --vproto 6 --vaddr ${VIP} --vport 80 -j DROP`;

function loadBalancer(ranges: readonly string[]): ClusterEvent {
  const event = service('lb', '10.96.0.7', { type: 'LoadBalancer', loadBalancerSourceRanges: ranges });
  if (event.type === 'apply')
    Object.assign(event.object, { status: { loadBalancer: { ingress: [{ ip: VIP }] } } });
  return event;
}

const RESTRICTED = loadBalancer(['203.0.113.0/24']);
const PLAIN = [service('web', '10.96.0.1'), slice('web', ['10.0.0.1']), slice('lb', ['10.0.0.2'])];

function start(kernel: FakeIpvsKernel, events: readonly ClusterEvent[]) {
  return startAgent(kernel, NODE, events);
}

const restores = (kernel: FakeIpvsKernel): string[] =>
  kernel.writes.filter((write) => write.startsWith('RESTORE'));

describe('on a kernel without the match "ipvs"', () => {
  it('only the virtual server that needs it stays shut, and everything else is programmed', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.lacksIpvsMatch = true;
    const { agent, backend } = start(kernel, [...PLAIN, RESTRICTED]);
    expect(await agent.sync('request')).toEqual({ needsRetry: true });
    expect([...kernel.table.keys()].sort()).toEqual(['TCP 10.96.0.1:80', 'TCP 10.96.0.7:80']);
    expect([...(kernel.addresses ?? [])].sort()).toEqual(['10.96.0.1', '10.96.0.7']);
    expect(kernel.sets.get('KUBE-LOAD-BALANCER')?.size).toBe(0);
    expect(kernel.chain('IPv4', 'filter', 'KUBE-SOURCE-RANGES-FIREWALL')).not.toEqual([]);
    expect(backend.currentReport()).toMatchObject({ failed: ['default/lb'], nodeFailures: [] });
    expect(backend.failedOperations().map(({ object, message }) => `${object}: ${message}`)).toEqual([
      `TCP ${VIP}:80: not opened, because source ranges without this node need the kernel's match "ipvs" (module xt_ipvs): iptables-restore: No chain/target/match by that name`,
    ]);
  });

  it('is not asked again at each change, but at each retry, and the virtual server opens once it can', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.lacksIpvsMatch = true;
    const { agent, backend } = start(kernel, [...PLAIN, RESTRICTED]);
    await agent.sync('request');
    kernel.writes = [];
    agent.onEvents([slice('web', ['10.0.0.1', '10.0.0.3'])]);
    await agent.sync('request');
    expect(restores(kernel)).toEqual([]);
    await agent.sync('retry');
    expect(restores(kernel)).toEqual(['RESTORE IPv4']);
    kernel.lacksIpvsMatch = false;
    expect(await agent.sync('retry')).toEqual({ needsRetry: false });
    expect(kernel.chain('IPv4', 'filter', 'KUBE-IPVS-OUT-FILTER')).toEqual([OUT_FILTER]);
    expect(kernel.table.has(`TCP ${VIP}:80`)).toBe(true);
    expect(backend.failedOperations()).toEqual([]);
  });

  it('a virtual server that is open when its ranges come stays open, says so, and is shut to all outside them', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.lacksIpvsMatch = true;
    const { agent, backend } = start(kernel, [...PLAIN, loadBalancer([])]);
    expect(await agent.sync('request')).toEqual({ needsRetry: false });
    agent.onEvents([RESTRICTED]);
    await agent.sync('request');
    expect([...(kernel.sets.get('KUBE-LOAD-BALANCER-FW')?.keys() ?? [])]).toEqual([`${VIP},tcp:80`]);
    expect(backend.failedOperations()[0]?.message).toContain('processes of this node can use it, because');
    agent.onEvents([gone('lb')]);
    await agent.sync('request');
    expect(backend.currentReport()).toMatchObject({ failed: [], leftovers: [], nodeFailures: [] });
  });
});

it('never writes the rules without those for this node where the kernel has had them', async () => {
  const kernel = new FakeIpvsKernel();
  const { agent, backend } = start(kernel, [...PLAIN, RESTRICTED]);
  await agent.sync('request');
  kernel.faults.push({ matches: (write) => write === 'RESTORE IPv4', errno: 'ENOMEM', times: 2 });
  // Both times in the change: before it and after it. The first NodePort needs rules that are not there yet.
  agent.onEvents([
    service('np', '10.96.0.9', { type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }] }),
  ]);
  await agent.sync('request');
  expect(backend.currentReport().nodeFailures).toEqual(['rules IPv4']);
  expect(kernel.chain('IPv4', 'filter', 'KUBE-IPVS-OUT-FILTER')).toEqual([OUT_FILTER]);
  expect(await agent.sync('retry')).toEqual({ needsRetry: false });
  expect(kernel.table.has('TCP 192.168.0.2:30080')).toBe(true);
});
