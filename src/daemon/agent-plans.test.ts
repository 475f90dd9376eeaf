// What the agent hands to the backend when plans change: owners, annotations, facts of the node.

import { describe, expect, it, vi } from 'vitest';
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
    'SET_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
    'DEL_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
  ]);
  expect(agent.problems()).toEqual([]);
});

describe('a change of the addresses of the node', () => {
  const [OLD, NEW] = [address('192.168.0.2'), address('192.168.0.3')];
  const nodeWith = (...addresses: readonly (typeof OLD)[]): NodeOptions => ({
    ...NODE,
    nodePortAddresses: addresses,
    localAddresses: addresses,
  });
  const CLUSTER_ONLY = Array.from({ length: 20 }, (_, index) => service(`c${index}`, `172.30.1.${index}`));
  const EXTERNAL = service('ext', '172.30.0.51', { externalIPs: [NEW] });
  const LOAD_BALANCER = service('lb', '172.30.0.52', {
    type: 'LoadBalancer',
    ports: [{ port: 80, protocol: 'TCP', nodePort: 30_081 }],
  });
  if (LOAD_BALANCER.type === 'apply')
    Object.assign(LOAD_BALANCER.object, { status: { loadBalancer: { ingress: [{ ip: '198.51.100.9' }] } } });
  const ALL: readonly ClusterEvent[] = [
    ...CLUSTER_ONLY,
    NODE_PORT,
    EXTERNAL,
    LOAD_BALANCER,
    ...['c1', 'np', 'ext', 'lb'].map((name) => slice(name, ['10.0.0.1'])),
  ];

  /** Synced on one node; `handed` hears of every Service that the backend is given from then on. */
  async function synced(node: NodeOptions, events: readonly ClusterEvent[]) {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, node, events);
    await agent.sync('request');
    const handed: string[] = [];
    const apply = backend.apply.bind(backend);
    backend.apply = (change) => {
      handed.push(...change.services.keys());
      return apply(change);
    };
    kernel.writes = [];
    kernel.lists = [];
    return { kernel, agent, handed };
  }

  async function expectAsFromScratch(
    { kernel }: { kernel: FakeIpvsKernel },
    node: NodeOptions,
    events: readonly ClusterEvent[],
  ): Promise<void> {
    expect(kernel.dump()).toBe((await synced(node, events)).kernel.dump());
  }

  it('concerns only Services with node ports, external or load-balancer IPs', async () => {
    const made = await synced(nodeWith(OLD), ALL);
    made.agent.setNode(nodeWith(OLD, NEW));
    await made.agent.sync('request');
    expect(made.handed.sort()).toEqual(['default/ext', 'default/lb', 'default/np']);
    expect(made.kernel.writes.filter((write) => write.includes('172.30.'))).toEqual([]);
    expect(made.kernel.lists).toEqual([]);
    await expectAsFromScratch(made, nodeWith(OLD, NEW), ALL);
  });

  it('takes an external IP off our link when the node has it itself, and puts it back afterwards', async () => {
    const { kernel, agent } = await synced(nodeWith(OLD), ALL);
    expect(kernel.addresses?.has(NEW)).toBe(true);
    agent.setNode(nodeWith(OLD, NEW));
    await agent.sync('request');
    expect(kernel.addresses?.has(NEW)).toBe(false);
    expect(kernel.sets.get('KUBE-IPVS-IPS')?.has(NEW)).toBe(false);
    expect(kernel.table.has(`TCP ${NEW}:80`)).toBe(true);
    agent.setNode(nodeWith(OLD));
    await agent.sync('request');
    expect(kernel.addresses?.has(NEW)).toBe(true);
    expect(kernel.sets.get('KUBE-IPVS-IPS')?.has(NEW)).toBe(true);
  });

  it('hands over what else changed in the same sync', async () => {
    const made = await synced(nodeWith(OLD), ALL);
    const events = [...ALL, gone('c3'), service('c4', '172.30.2.4')];
    made.agent.onEvents(events.slice(-2));
    made.agent.setNode(nodeWith(NEW));
    await made.agent.sync('request');
    expect(made.handed.sort()).toEqual(
      ['default/c3', 'default/c4', 'default/ext', 'default/lb', 'default/np'].sort(),
    );
    await expectAsFromScratch(made, nodeWith(NEW), events);
  });

  it('together with another fact of the node concerns all Services', async () => {
    const made = await synced(nodeWith(OLD), ALL);
    const node: NodeOptions = { ...nodeWith(NEW), scheduler: 'lc' };
    made.agent.setNode(node);
    await made.agent.sync('request');
    expect(made.handed).toHaveLength(23);
    await expectAsFromScratch(made, node, ALL);
  });

  it('back to where it was before the sync is none', async () => {
    const { kernel, agent, handed } = await synced(nodeWith(OLD), ALL);
    agent.setNode(nodeWith(NEW));
    agent.setNode(nodeWith(OLD));
    await agent.sync('request');
    expect([kernel.writes, handed.filter((key) => key.startsWith('default/c'))]).toEqual([[], []]);
  });

  it('is made good by the next sync when the one that brings it ends with an error', async () => {
    const made = await synced(nodeWith(OLD), ALL);
    const broken = vi.spyOn(made.kernel, 'addMembers').mockRejectedValue(new Error('broken'));
    made.agent.setNode(nodeWith(OLD, NEW));
    expect(await made.agent.sync('request')).toEqual({ needsRetry: true });
    broken.mockRestore();
    for (let retries = 0; (await made.agent.sync('retry')).needsRetry && retries < 5; retries++);
    await expectAsFromScratch(made, nodeWith(OLD, NEW), ALL);
  });

  const created = (event: ClusterEvent, day: number): ClusterEvent => {
    const copy = structuredClone(event);
    if (copy.type === 'apply')
      Object.assign(copy.object.metadata ?? {}, { creationTimestamp: `2026-01-0${day}T00:00:00Z` });
    return copy;
  };
  const RIVALS: readonly (readonly [string, ClusterEvent])[] = [
    [
      'an external IP',
      service('rival', '172.30.0.60', { externalIPs: [NEW], ports: [{ port: 30_080, protocol: 'TCP' }] }),
    ],
    ['a cluster IP', service('rival', NEW, { ports: [{ port: 30_080, protocol: 'TCP' }] })],
    [
      'another node port',
      service('rival', '172.30.0.60', {
        type: 'NodePort',
        ports: [{ port: 80, protocol: 'TCP', nodePort: 30_080 }],
      }),
    ],
  ];
  it.each(
    RIVALS.flatMap(([what, rival]) =>
      [1, 3].map((day) => [what, day === 1 ? 'older' : 'younger', rival, day] as const),
    ),
  )(
    'settles who has a node port on a new address, and who has it when the address goes: %s, %s',
    async (_, __, rival, day) => {
      const events = [
        created(NODE_PORT, 2),
        created(rival, day),
        slice('np', ['10.0.0.1']),
        slice('rival', ['10.0.0.2']),
      ];
      const made = await synced(nodeWith(OLD), events);
      for (const node of [nodeWith(OLD, NEW), nodeWith(NEW), nodeWith(), nodeWith(NEW), nodeWith(OLD)]) {
        made.agent.setNode(node);
        await made.agent.sync('request');
        const fresh = await synced(node, events);
        expect(made.kernel.dump()).toBe(fresh.kernel.dump());
        expect(made.agent.problems()).toEqual(fresh.agent.problems());
      }
    },
  );
});
