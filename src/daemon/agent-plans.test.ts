// What the agent hands to the backend when plans change: owners, annotations, facts of the node.

import { expect, it } from 'vitest';
import { address } from '../../test/addresses.ts';
import { gone, NODE, service, slice } from '../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { startAgent } from '../../test/in-memory-agent.ts';
import type { Backend } from '../backends/backend.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { Agent } from './agent.ts';

const NODE_PORT = service('np', '172.30.0.50', {
  type: 'NodePort',
  ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
});

it('renders Services anew whose plan is the same on the other addresses of a node', async () => {
  const kernel = new FakeIpvsKernel();
  const { agent } = startAgent(kernel, NODE, [NODE_PORT]);
  await agent.sync('request');
  agent.setNode({ ...NODE, nodePortAddresses: [address('192.168.0.3')] });
  await agent.sync('request');
  expect([...kernel.table.keys()].sort()).toEqual(['TCP 172.30.0.50:80', 'TCP 192.168.0.3:30080']);
});

it('follows annotations, and says where it can do so only roughly', async () => {
  const kernel = new FakeIpvsKernel();
  const web = service('web', '172.30.0.41');
  const annotate = (annotations: object): ClusterEvent => {
    if (web.type === 'apply') Object.assign(web.object.metadata ?? {}, { annotations });
    return structuredClone(web);
  };
  const { agent } = startAgent(kernel, NODE, [annotate({ 'service.cilium.io/lb-algorithm': 'maglev' })]);
  const scheduler = (): string | undefined => kernel.table.get('TCP 172.30.0.41:80')?.service.scheduler;
  await agent.sync('request');
  expect(scheduler()).toBe('mh');
  expect(agent.problems()).toMatchObject([{ object: 'Service default/web', reason: 'Approximated' }]);
  agent.onEvents([annotate({ 'pointsman.dev/scheduler': 'wlc' })]);
  await agent.sync('request');
  expect(scheduler()).toBe('wlc');
  expect(agent.problems()).toEqual([]);
});

it('hands over plans for one node at a time, also when it changes while they are compiled', async () => {
  const other: NodeOptions = { ...NODE, scheduler: 'sh' };
  const handed: string[] = [];
  const backend: Backend = {
    probe: () => Promise.resolve({ isUsable: true, missing: [] }),
    apply: ({ node, services }) => {
      for (const [key, plan] of services)
        handed.push(`${key} ${plan?.virtualServers[0]?.scheduler} for ${node.scheduler}`);
      return Promise.resolve({ operations: 0, failed: [], leftovers: [], nodeFailures: [], durationMs: 0 });
    },
    retry: () => Promise.reject(new Error('nothing failed')),
    problems: () => new Map(),
  };
  let paces = 0;
  const agent: Agent = new Agent({
    backend,
    log: { info: () => {}, warn: () => {}, error: () => {}, verbose: () => {} },
    node: NODE,
    pace: () => {
      if (++paces === 1) agent.setNode(other);
      return Promise.resolve();
    },
    onDirty: () => {},
  });
  const names = Array.from({ length: 40 }, (_, index) => `s${index + 10}`);
  agent.onEvents(names.map((name, index) => service(name, `172.30.1.${index}`)));
  agent.setComplete();
  await agent.sync('request');
  expect(paces).toBeGreaterThan(1);
  expect(handed.sort()).toEqual(names.map((name) => `default/${name} rr for rr`));
  handed.length = 0;
  await agent.sync('request');
  expect(handed.sort()).toEqual(names.map((name) => `default/${name} sh for sh`));
});

it('gives a contested address to the older Service, reports the other, and passes it on in place', async () => {
  const kernel = new FakeIpvsKernel();
  const created = (event: ClusterEvent, creationTimestamp: string): ClusterEvent => {
    if (event.type === 'apply') Object.assign(event.object.metadata ?? {}, { creationTimestamp });
    return event;
  };
  const young = created(service('aa', '172.30.0.41'), '2026-02-01T00:00:00Z');
  const old = created(service('zz', '172.30.0.41'), '2026-01-01T00:00:00Z');
  const { agent } = startAgent(kernel, NODE, [
    young,
    slice('aa', ['10.0.0.1']),
    old,
    slice('zz', ['10.0.0.2']),
  ]);
  await agent.sync('request');
  const servers = (): string[] => [...(kernel.table.get('TCP 172.30.0.41:80')?.destinations.keys() ?? [])];
  expect(servers()).toEqual(['10.0.0.2:8080']);
  expect(agent.problems()).toMatchObject([{ object: 'Service default/aa', reason: 'AddressConflict' }]);
  kernel.writes = [];
  agent.onEvents([gone('zz')]);
  await agent.sync('request');
  expect(servers()).toEqual(['10.0.0.1:8080']);
  expect(kernel.writes.filter((write) => / 172\.30\.0\.41:80/.test(write))).toEqual([
    'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
    'DEL_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
  ]);
  expect(agent.problems()).toEqual([]);
});
