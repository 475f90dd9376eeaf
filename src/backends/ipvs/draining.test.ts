// Draining from end to end on the fake kernel: servers and whole virtual servers that go while they have connections.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { change, NODE, plan, SETTINGS } from '../../../test/ipvs-plans.ts';
import { compare, repairsOf } from '../../../test/verified-backend.ts';
import type { ServicePlan } from '../../plan/plan.ts';
import { IpvsBackend } from './backend.ts';
import type { CutConnections } from './drainer.ts';

const VIP = '172.30.0.41';
const ID = `TCP ${VIP}:80`;
const MINUTES = 60_000;

const web = (endpoints: readonly string[], more: object = {}): ServicePlan => ({
  ...plan('web', [{ address: VIP, endpoints, ...more }]),
});

/** A backend on a kernel, with a clock that is moved by hand. */
function start(kernel = new FakeIpvsKernel(), settings: Partial<typeof SETTINGS> = {}) {
  const clock = { nowMs: 0 };
  const cuts: CutConnections[] = [];
  const backend = new IpvsBackend(
    kernel,
    NODE.families,
    { ...SETTINGS, ...settings, now: () => clock.nowMs },
    { onCut: (cut) => cuts.push(cut) },
  );
  const after = async (ms: number): Promise<void> => {
    clock.nowMs += ms;
    await backend.drain();
  };
  return { kernel, backend, clock, cuts, after };
}

async function started(plans: readonly ServicePlan[], settings: Partial<typeof SETTINGS> = {}) {
  const made = start(undefined, settings);
  await made.backend.apply(change(plans, true));
  made.kernel.writes = [];
  return made;
}

/** "10.0.0.1 1" for each server, in order. */
const servers = (kernel: FakeIpvsKernel, id = ID): string[] =>
  [...(kernel.table.get(id)?.destinations.values() ?? [])]
    .map(({ address, weight }) => `${address} ${weight}`)
    .sort();
const connect = (kernel: FakeIpvsKernel, address: string, id = ID): void =>
  void kernel.connections.set(`${id} -> ${address}:8080`, 1);
const disconnect = (kernel: FakeIpvsKernel, address: string, id = ID): void =>
  void kernel.connections.delete(`${id} -> ${address}:8080`);
const membersOf = (kernel: FakeIpvsKernel, set: string): string[] => [
  ...(kernel.sets.get(set)?.keys() ?? []),
];

describe('an endpoint that goes', () => {
  it('takes no new connections, keeps its old ones, and is deleted when the last has ended', async () => {
    const { kernel, backend, after } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.1');
    const { failed } = await backend.apply(change([web(['10.0.0.2'])]));
    expect(failed).toEqual([]);
    expect(servers(kernel)).toEqual(['10.0.0.1 0', '10.0.0.2 1']);
    await after(5000);
    expect(servers(kernel)).toEqual(['10.0.0.1 0', '10.0.0.2 1']);
    disconnect(kernel, '10.0.0.1');
    await after(5000);
    expect(servers(kernel)).toEqual(['10.0.0.2 1']);
    expect([backend.drains.size, backend.drainDueInMs(), kernel.cut]).toEqual([0, null, []]);
  });

  it('without connections is gone with the change', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    await backend.apply(change([web(['10.0.0.2'])]));
    expect(kernel.writes).toEqual([`SET_DEST ${ID} -> 10.0.0.1:8080`, `DEL_DEST ${ID} -> 10.0.0.1:8080`]);
  });

  it('is cut when its time is up, and says so', async () => {
    const { kernel, backend, after, cuts } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.1');
    await backend.apply(change([web(['10.0.0.2'])]));
    await after(15 * MINUTES - 1);
    expect([servers(kernel), cuts]).toEqual([['10.0.0.1 0', '10.0.0.2 1'], []]);
    await after(5000);
    expect(servers(kernel)).toEqual(['10.0.0.2 1']);
    expect(cuts).toEqual([{ object: `${ID} -> 10.0.0.1:8080`, connections: 1, drainedForMs: 904_999 }]);
  });

  it('has the time that its Service or the node gives', async () => {
    const minutes = { ...web(['10.0.0.1']), drainTimeoutSeconds: 120 };
    for (const [settings, service, expected] of [
      [{ drainTimeoutMs: 60_000 }, web(['10.0.0.1']), 60_000],
      [{ drainTimeoutMs: 60_000 }, minutes, 120_000],
      [{}, minutes, 120_000],
    ] as const) {
      const { kernel, backend } = await started([service], settings);
      connect(kernel, '10.0.0.1');
      await backend.apply(change([{ ...service, virtualServers: web([]).virtualServers }]));
      expect([...(backend.drains.of(ID)?.values() ?? [])].map(({ deadlineMs }) => deadlineMs)).toEqual([
        expected,
      ]);
    }
  });

  it.each([
    ['UDP', web(['10.0.0.1'], { protocol: 'UDP' }), web([], { protocol: 'UDP' }), `UDP ${VIP}:80`],
    ['scheduler dh', web(['10.0.0.1'], { scheduler: 'dh' }), web([], { scheduler: 'dh' }), ID],
    [
      'a Service that wants no drain',
      { ...web(['10.0.0.1']), drainTimeoutSeconds: 0 },
      { ...web([]), drainTimeoutSeconds: 0 },
      ID,
    ],
  ])('of %s goes at once', async (_, before, next, id) => {
    const { kernel, backend } = await started([before]);
    connect(kernel, '10.0.0.1', id);
    await backend.apply(change([next]));
    expect(kernel.writes).toEqual([`DEL_DEST ${id} -> 10.0.0.1:8080`]);
  });

  it('and returns serves again in place', async () => {
    const { kernel, backend, after } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.1');
    for (let flap = 0; flap < 10; flap++) {
      await backend.apply(change([web(['10.0.0.2'])]));
      await after(300);
      await backend.apply(change([web(['10.0.0.1', '10.0.0.2'])]));
      await after(300);
    }
    expect(servers(kernel)).toEqual(['10.0.0.1 1', '10.0.0.2 1']);
    expect(new Set(kernel.writes)).toEqual(new Set([`SET_DEST ${ID} -> 10.0.0.1:8080`]));
    expect([kernel.cut, backend.drains.size, backend.drains.endedBy('returned')]).toEqual([[], 0, 10]);
  });

  it('of scheduler sh lets new clients fall back to others while it drains', async () => {
    const flags = (kernel: FakeIpvsKernel): unknown => {
      const service = kernel.table.get(ID)?.service;
      return service !== undefined && 'flags' in service ? service.flags : undefined;
    };
    const { kernel, backend, after } = await started([web(['10.0.0.1', '10.0.0.2'], { scheduler: 'sh' })]);
    connect(kernel, '10.0.0.1');
    expect(flags(kernel)).toBe(0);
    await backend.apply(change([web(['10.0.0.2'], { scheduler: 'sh' })]));
    expect(flags(kernel)).toBe(8);
    expect(kernel.writes).toEqual([`SET_SERVICE ${ID}`, `SET_DEST ${ID} -> 10.0.0.1:8080`]);
    await compare(backend);
    expect(repairsOf(backend)).toEqual([]);
    disconnect(kernel, '10.0.0.1');
    await after(5000);
    expect([flags(kernel), servers(kernel)]).toEqual([0, ['10.0.0.2 1']]);
  });

  it('and cannot be deleted shows, and is tried again', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    kernel.faults.push({ matches: (write) => write.startsWith('DEL_DEST'), errno: 'ENOMEM', times: 1 });
    const { nodeFailures } = await backend.apply(change([web(['10.0.0.2'])]));
    expect(nodeFailures).toEqual([`drained servers of ${ID}`]);
    expect(servers(kernel)).toEqual(['10.0.0.1 0', '10.0.0.2 1']);
    expect((await backend.retry([])).nodeFailures).toEqual([]);
    expect(servers(kernel)).toEqual(['10.0.0.2 1']);
  });

  it('is no drift, but another weight in its drain is', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.1');
    await backend.apply(change([web(['10.0.0.2'])]));
    await compare(backend);
    expect(repairsOf(backend)).toEqual([]);
    const held = kernel.table.get(ID)?.destinations;
    const drained = held?.get('10.0.0.1:8080');
    if (drained !== undefined) held?.set('10.0.0.1:8080', { ...drained, weight: 1 });
    await compare(backend);
    expect(repairsOf(backend)).toEqual([`realServers ${ID} 10.0.0.1:8080 had weight 1 in its drain`]);
    expect(servers(kernel)).toEqual(['10.0.0.1 0', '10.0.0.2 1']);
  });
});

describe('a Service that goes', () => {
  it('stays with its address and its guards, without new connections, until the last has ended', async () => {
    const { kernel, backend, after } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.2');
    await backend.apply(change([web([]).key]));
    expect(servers(kernel)).toEqual(['10.0.0.2 0']);
    expect([...(kernel.addresses ?? [])]).toEqual([VIP]);
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toEqual([`${VIP},tcp:80`]);
    await compare(backend);
    expect(repairsOf(backend)).toEqual([]);
    disconnect(kernel, '10.0.0.2');
    await after(5000);
    expect([kernel.table.size, kernel.addresses?.size, membersOf(kernel, 'KUBE-CLUSTER-IP')]).toEqual([
      0,
      0,
      [],
    ]);
    expect(membersOf(kernel, 'POINTSMAN-VS')).toEqual([]);
    expect(kernel.cut).toEqual([]);
    expect(
      kernel.chain('IPv4', 'nat', 'KUBE-SERVICES').some((rule) => rule.includes('KUBE-CLUSTER-IP')),
    ).toBe(false);
  });

  it('and comes again is as before, with its connections', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1'])]);
    const before = kernel.dump();
    connect(kernel, '10.0.0.1');
    await backend.apply(change([web([]).key]));
    await backend.apply(change([web(['10.0.0.1'])]));
    expect([kernel.dump(), kernel.cut, backend.drains.size]).toEqual([before, [], 0]);
  });

  it('and cannot go when it has drained, because something leads to it, keeps no old server when it comes again', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1'])]);
    kernel.faults.push({ matches: (write) => write.startsWith('DEL KUBE'), errno: 'ENOMEM', times: 1 });
    const { leftovers } = await backend.apply(change([web([]).key]));
    expect([leftovers.includes(ID), servers(kernel)]).toEqual([true, ['10.0.0.1 0']]);
    await backend.apply(change([web([])]));
    expect([servers(kernel), backend.drains.size]).toEqual([[], 0]);
  });

  it('leaves its address to another, whose servers serve while the old ones drain', async () => {
    const { kernel, backend, after } = await started([web(['10.0.0.1'])]);
    connect(kernel, '10.0.0.1');
    await backend.apply(change([web([]).key]));
    const other = plan('other', [{ address: VIP, endpoints: ['10.0.0.9'], scheduler: 'lc' }]);
    await backend.apply(change([other]));
    expect(servers(kernel)).toEqual(['10.0.0.1 0', '10.0.0.9 1']);
    disconnect(kernel, '10.0.0.1');
    await after(5000);
    const clean = await started([other]);
    expect([kernel.dump(), kernel.cut]).toEqual([clean.kernel.dump(), []]);
    await backend.apply(change([other.key]));
    expect([kernel.table.size, kernel.addresses?.size]).toEqual([0, 0]);
  });

  it('that loses one frontend keeps only that one for its connections', async () => {
    const both = plan('web', [
      { address: VIP, endpoints: ['10.0.0.1'] },
      { address: '172.30.0.42', endpoints: ['10.0.0.1'] },
    ]);
    const { kernel, backend, after } = await started([both]);
    connect(kernel, '10.0.0.1', 'TCP 172.30.0.42:80');
    await backend.apply(change([web(['10.0.0.1'])]));
    expect(servers(kernel, 'TCP 172.30.0.42:80')).toEqual(['10.0.0.1 0']);
    disconnect(kernel, '10.0.0.1', 'TCP 172.30.0.42:80');
    await after(5000);
    expect([...kernel.table.keys()]).toEqual([ID]);
  });
});

describe('a virtual server at an address of the node', () => {
  const np = (endpoints: readonly string[]) => plan('np', [{ nodePort: 30_080, endpoints }]);
  const AT = 'TCP 192.168.0.2:30080';
  const elsewhere = { ...NODE, nodePortAddresses: NODE.nodePortAddresses.slice(1) };

  it('goes with the address: another machine may have it now', async () => {
    const { kernel, backend } = await started([np(['10.0.0.1'])]);
    connect(kernel, '10.0.0.1', AT);
    await backend.apply(change([np(['10.0.0.1'])], false, elsewhere));
    expect([kernel.table.has(AT), backend.drains.size]).toEqual([false, 0]);
  });

  it('lingers for its connections when its Service goes, until the address goes, too', async () => {
    const { kernel, backend } = await started([np(['10.0.0.1'])]);
    connect(kernel, '10.0.0.1', AT);
    await backend.apply(change([np([]).key]));
    expect(servers(kernel, AT)).toEqual(['10.0.0.1 0']);
    await backend.apply(change([], false, elsewhere));
    expect([kernel.table.has(AT), backend.drains.size, backend.drainDueInMs()]).toEqual([false, 0, null]);
  });
});

describe('a restart', () => {
  it('goes on with a drain, from the kernel', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.1');
    await backend.apply(change([web(['10.0.0.2'])]));
    kernel.writes = [];
    const again = start(kernel);
    await again.backend.apply(change([web(['10.0.0.2'])], true));
    expect(kernel.writes).toEqual([]);
    expect(again.backend.drains.size).toBe(1);
    disconnect(kernel, '10.0.0.1');
    await again.after(5000);
    expect(servers(kernel)).toEqual(['10.0.0.2 1']);
  });

  it('begins the drains of what went while nobody was there, also of whole Services', async () => {
    const np = plan('np', [
      { address: '172.30.0.42', endpoints: ['10.0.0.5'] },
      { nodePort: 30_080, endpoints: ['10.0.0.5'] },
    ]);
    const { kernel } = await started([web(['10.0.0.1', '10.0.0.2']), np]);
    connect(kernel, '10.0.0.1');
    connect(kernel, '10.0.0.5', 'TCP 192.168.0.2:30080');
    const again = start(kernel);
    await again.backend.apply(change([web(['10.0.0.2'])], true));
    expect(servers(kernel)).toEqual(['10.0.0.1 0', '10.0.0.2 1']);
    expect(servers(kernel, 'TCP 192.168.0.2:30080')).toEqual(['10.0.0.5 0']);
    expect(membersOf(kernel, 'KUBE-NODE-PORT-TCP')).toEqual(['30080']);
    expect([...kernel.table.keys()]).not.toContain('TCP 172.30.0.42:80');
    kernel.connections.clear();
    await again.after(5000);
    const clean = await started([web(['10.0.0.2'])]);
    expect([kernel.dump(), kernel.cut]).toEqual([clean.kernel.dump(), []]);
  });

  it('gives a server of weight 0 that is planned its weight', async () => {
    const { kernel, backend } = await started([web(['10.0.0.1', '10.0.0.2'])]);
    connect(kernel, '10.0.0.1');
    await backend.apply(change([web(['10.0.0.2'])]));
    const again = start(kernel);
    await again.backend.apply(change([web(['10.0.0.1', '10.0.0.2'])], true));
    expect(servers(kernel)).toEqual(['10.0.0.1 1', '10.0.0.2 1']);
    expect(again.backend.drains.size).toBe(0);
  });
});
