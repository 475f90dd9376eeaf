// One step of writing on the fake kernel: what a refusal withholds, what it leaves in place, and what it has no influence on.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { ip } from '../../../test/ipvs-plans.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import { serviceKey } from '../../model/names.ts';
import { makeMember, type DesiredMember, type DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer, isEmptyDiff, type VirtualServerDiff } from './diff.ts';
import { emptyDelta, Ledger } from './ledger.ts';
import { SET_NAMES, type SetName } from './sets.ts';
import { runStep, type Step, type StepOutcome } from './step.ts';

const VIP = ip('198.51.100.9');
const NODE_ADDRESS = ip('192.168.50.11');
const pace = (): Promise<void> => Promise.resolve();

/** A virtual server with its mark and, where it is bound, the guard of its address. */
function virtualServer(
  address: DesiredVirtualServer['service']['address'],
  port: number,
  sets: readonly SetName[],
  servers: readonly string[] = ['10.244.1.5'],
): DesiredVirtualServer {
  const isBound = address !== NODE_ADDRESS;
  const portal: SetMember = { address, protocol: 6, port };
  const memberOf = (set: SetName): DesiredMember => {
    if (set === 'KUBE-IPVS-IPS') return makeMember(set, 'IPv4', { address });
    if (set.startsWith('KUBE-NODE-PORT')) return makeMember(set, 'IPv4', { port });
    if (set === 'KUBE-LOAD-BALANCER-SOURCE-CIDR')
      return makeMember(set, 'IPv4', { ...portal, address2: ip('203.0.113.0'), prefixLength2: 24 });
    return makeMember(set, 'IPv4', portal);
  };
  return {
    id: `TCP ${address}:${port}`,
    service: {
      family: 'IPv4',
      ...{ protocol: 6, address, port, scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0xffffffff },
    },
    realServers: servers.map((each) => ({ address: ip(each), port: 8080, weight: 1, isLocal: true })),
    isBound,
    isClosedToNode: false,
    members: [...(['POINTSMAN-VS'] as const), ...(isBound ? (['KUBE-IPVS-IPS'] as const) : []), ...sets].map(
      memberOf,
    ),
  };
}

const LB = virtualServer(VIP, 80, [
  'KUBE-LOAD-BALANCER',
  'KUBE-LOAD-BALANCER-FW',
  'KUBE-LOAD-BALANCER-SOURCE-CIDR',
]);
/** At the same address. */
const SIBLING = virtualServer(VIP, 81, ['KUBE-LOAD-BALANCER']);
const NODE_PORT = virtualServer(NODE_ADDRESS, 30_080, ['KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP']);
const OTHER = virtualServer(ip('198.51.100.10'), 80, ['KUBE-LOAD-BALANCER']);

/** The work that leads from one list of virtual servers to another. */
function stepBetween(
  before: readonly DesiredVirtualServer[],
  after: readonly DesiredVirtualServer[],
  shut: Step['shut'] = new Set(),
): Step {
  const key = serviceKey('default', 'web');
  const ledger = new Ledger();
  ledger.settle(key, { virtualServers: before, members: [] }, emptyDelta());
  const delta = emptyDelta();
  ledger.settle(key, { virtualServers: after, members: [] }, delta);
  const changed = new Map<string, VirtualServerDiff>();
  for (const each of after) {
    const old = before.find(({ id }) => id === each.id);
    const diff = diffVirtualServer(
      old === undefined ? undefined : { service: old.service, destinations: old.realServers },
      each,
    );
    if (!isEmptyDiff(diff)) changed.set(each.id, diff);
  }
  const deleted = before
    .filter(({ id }) => !after.some((each) => each.id === id))
    .map(({ service }) => service);
  const addressUsers: Step['addressUsers'] = (address) => ledger.addressUsers(address);
  return { delta, wanted: after, changed, deleted, shut, isRepair: false, addressUsers };
}

/** A kernel that holds these virtual servers with everything that belongs to them. */
async function kernelWith(...present: readonly DesiredVirtualServer[]): Promise<FakeIpvsKernel> {
  const kernel = new FakeIpvsKernel();
  for (const set of SET_NAMES) await kernel.createSet(set, 'IPv4');
  await kernel.createLink();
  await runStep(kernel, stepBetween([], present), pace);
  kernel.writes = [];
  return kernel;
}

function refuse(kernel: FakeIpvsKernel, write: string, errno: 'ENOMEM' | 'EEXIST' = 'ENOMEM'): void {
  kernel.faults.push({ matches: (each) => each === write, errno, times: 1 });
}

const run = (kernel: FakeIpvsKernel, step: Step): Promise<StepOutcome> => runStep(kernel, step, pace);

/** What the kernel holds of an address and port: "VS, server, KUBE-LOAD-BALANCER, ..., address". */
function stateOf(kernel: FakeIpvsKernel, { id, service, members, isBound }: DesiredVirtualServer): string[] {
  const found = kernel.table.get(id);
  return [
    ...(found === undefined ? [] : ['virtual server']),
    ...(found?.destinations.keys() ?? []),
    ...members
      .filter((member) => kernel.sets.get(member.set)?.has(member.id.split(' ')[1] ?? ''))
      .map(({ set }) => set),
    ...(isBound && kernel.addresses?.has(service.address) ? ['address'] : []),
  ];
}

const SIBLING_STATE = [
  ...['virtual server', '10.244.1.5:8080'],
  ...['POINTSMAN-VS', 'KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER', 'address'],
];

describe('a new frontend', () => {
  it('has its guards first, then its servers, then what lets packets through, and its address last', async () => {
    const kernel = await kernelWith();
    const outcome = await run(kernel, stepBetween([], [LB]));
    expect(kernel.writes).toEqual([
      'ADD POINTSMAN-VS 198.51.100.9,tcp:80',
      'ADD KUBE-IPVS-IPS 198.51.100.9',
      'ADD KUBE-LOAD-BALANCER-FW 198.51.100.9,tcp:80',
      'NEW_SERVICE TCP 198.51.100.9:80',
      'NEW_DEST TCP 198.51.100.9:80 -> 10.244.1.5:8080',
      'ADD KUBE-LOAD-BALANCER 198.51.100.9,tcp:80',
      'ADD KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.9,tcp:80,203.0.113.0/24',
      'BIND 198.51.100.9',
    ]);
    expect(outcome.operations).toBe(kernel.writes.length);
    expect(outcome.presentAddresses).toEqual([]);
  });

  it('says which of its addresses were there already', async () => {
    const kernel = await kernelWith();
    kernel.addresses?.add(VIP);
    expect((await run(kernel, stepBetween([], [LB, OTHER]))).presentAddresses).toEqual([VIP]);
  });

  it.each([
    ['its mark is', 'ADD POINTSMAN-VS 198.51.100.9,tcp:80', ['KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER-FW']],
    [
      'its restriction is',
      'ADD KUBE-LOAD-BALANCER-FW 198.51.100.9,tcp:80',
      ['POINTSMAN-VS', 'KUBE-IPVS-IPS'],
    ],
    [
      'the virtual server is',
      'NEW_SERVICE TCP 198.51.100.9:80',
      ['POINTSMAN-VS', 'KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER-FW'],
    ],
  ])('stays shut when %s refused; another at the same address opens', async (_, refused, left) => {
    const alone = await kernelWith();
    refuse(alone, refused);
    const outcome = await run(alone, stepBetween([], [LB]));
    expect(stateOf(alone, LB)).toEqual(left);
    expect([...outcome.shut]).toEqual([LB.id]);
    expect(outcome.shutAddresses).toEqual([VIP]);

    const both = await kernelWith();
    refuse(both, refused);
    const { shut, shutAddresses } = await run(both, stepBetween([], [LB, SIBLING]));
    expect(stateOf(both, LB)).toEqual([...left, 'address']);
    expect(stateOf(both, SIBLING)).toEqual(SIBLING_STATE);
    expect([[...shut], shutAddresses]).toEqual([[LB.id], []]);
  });

  it('stays shut with all others at its address when the guard of the address is refused', async () => {
    const kernel = await kernelWith();
    refuse(kernel, 'ADD KUBE-IPVS-IPS 198.51.100.9');
    const outcome = await run(kernel, stepBetween([], [LB, SIBLING, OTHER]));
    expect([...outcome.shut]).toEqual([LB.id, SIBLING.id]);
    expect(kernel.table.size).toBe(1);
    expect([...(kernel.addresses ?? [])]).toEqual([OTHER.service.address]);
    expect(outcome.failedMembers.map(({ member }) => member)).toEqual([{ address: VIP }]);
  });

  it('stays shut when it is told to, because its rules are missing', async () => {
    const kernel = await kernelWith();
    const outcome = await run(kernel, stepBetween([], [LB, SIBLING], new Set([LB.id])));
    expect(stateOf(kernel, LB)).toEqual([
      'POINTSMAN-VS',
      'KUBE-IPVS-IPS',
      'KUBE-LOAD-BALANCER-FW',
      'address',
    ]);
    expect(stateOf(kernel, SIBLING)).toEqual(SIBLING_STATE);
    expect(outcome.failedVirtualServers.size).toBe(0);
  });

  it('at a node port stays shut when what marks its packets is refused', async () => {
    const kernel = await kernelWith();
    refuse(kernel, 'ADD KUBE-NODE-PORT-TCP 30080');
    await run(kernel, stepBetween([], [NODE_PORT]));
    expect(kernel.table.size).toBe(0);
  });

  it('opens with the servers it got when one of them is refused', async () => {
    const kernel = await kernelWith();
    const two = virtualServer(VIP, 80, ['KUBE-LOAD-BALANCER'], ['10.244.1.5', '10.244.1.6']);
    refuse(kernel, `NEW_DEST ${two.id} -> 10.244.1.5:8080`);
    const outcome = await run(kernel, stepBetween([], [two]));
    expect(stateOf(kernel, two)).toEqual([
      ...['virtual server', '10.244.1.6:8080'],
      ...['POINTSMAN-VS', 'KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER', 'address'],
    ]);
    expect([...outcome.failedVirtualServers].map(([id, { errnoName }]) => `${id} ${errnoName}`)).toEqual([
      `${two.id} ENOMEM`,
    ]);
  });

  it('that somebody else made at the same moment gets none of our servers', async () => {
    const kernel = await kernelWith();
    kernel.table.set(LB.id, { service: LB.service, destinations: new Map() });
    const outcome = await run(kernel, stepBetween([], [LB]));
    expect(kernel.table.get(LB.id)?.destinations.size).toBe(0);
    expect(outcome.failedVirtualServers.get(LB.id)).toMatchObject({
      operation: 'NEW_SERVICE',
      errnoName: 'EEXIST',
    });
    expect(kernel.addresses?.size).toBe(0);
  });

  it('of which a pass is refused has all the rest', async () => {
    const kernel = await kernelWith();
    refuse(kernel, 'ADD KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.9,tcp:80,203.0.113.0/24');
    const outcome = await run(kernel, stepBetween([], [LB]));
    expect(stateOf(kernel, LB)).toContain('KUBE-LOAD-BALANCER');
    expect(outcome.failedMembers).toHaveLength(1);
    expect(outcome.shut.size).toBe(0);
  });

  it('of which the address is refused has all the rest', async () => {
    const kernel = await kernelWith();
    refuse(kernel, 'BIND 198.51.100.9');
    const outcome = await run(kernel, stepBetween([], [LB]));
    expect(stateOf(kernel, LB)).toContain('KUBE-LOAD-BALANCER');
    expect(outcome.failedAddresses.map(({ address }) => address)).toEqual([VIP]);
  });
});

describe('a frontend that is open', () => {
  const grown = virtualServer(VIP, 80, ['KUBE-LOAD-BALANCER', 'KUBE-LOAD-BALANCER-FW'], ['10.244.1.6']);
  const open = virtualServer(VIP, 80, ['KUBE-LOAD-BALANCER']);

  it('gets new servers before it loses old ones', async () => {
    const kernel = await kernelWith(open);
    await run(kernel, stepBetween([open], [grown]));
    expect(kernel.writes).toEqual([
      'ADD KUBE-LOAD-BALANCER-FW 198.51.100.9,tcp:80',
      `NEW_DEST ${open.id} -> 10.244.1.6:8080`,
      `DEL_DEST ${open.id} -> 10.244.1.5:8080`,
    ]);
  });

  it('follows its endpoints although a guard that it needs from now on is refused', async () => {
    const kernel = await kernelWith(open);
    refuse(kernel, 'ADD KUBE-LOAD-BALANCER-FW 198.51.100.9,tcp:80');
    await run(kernel, stepBetween([open], [grown]));
    expect([...(kernel.table.get(open.id)?.destinations.keys() ?? [])]).toEqual(['10.244.1.6:8080']);
    expect(stateOf(kernel, open)).toContain('address');
  });

  it('follows its endpoints when it is told to stay shut', async () => {
    const kernel = await kernelWith(open);
    await run(kernel, stepBetween([open], [grown], new Set([open.id])));
    expect([...(kernel.table.get(open.id)?.destinations.keys() ?? [])]).toEqual(['10.244.1.6:8080']);
  });

  it.each([
    [
      'the server is gone',
      'ENOENT',
      (kernel: FakeIpvsKernel) => kernel.table.get(open.id)?.destinations.clear(),
    ],
    ['the virtual server is gone', 'ESRCH', (kernel: FakeIpvsKernel) => kernel.table.delete(open.id)],
  ])('loses a server without complaint when %s already (%s)', async (_, __, break_) => {
    const kernel = await kernelWith(open);
    break_(kernel);
    const outcome = await run(
      kernel,
      stepBetween([open], [virtualServer(VIP, 80, ['KUBE-LOAD-BALANCER'], [])]),
    );
    expect(kernel.writes).toEqual([`DEL_DEST ${open.id} -> 10.244.1.5:8080`]);
    expect(outcome.failedVirtualServers.size).toBe(0);
  });
});

describe('a frontend that goes', () => {
  it('loses its address first, then what let packets through, then its servers, and its guards last', async () => {
    const kernel = await kernelWith(LB);
    await run(kernel, stepBetween([LB], []));
    expect(kernel.writes).toEqual([
      'UNBIND 198.51.100.9',
      'DEL KUBE-LOAD-BALANCER 198.51.100.9,tcp:80',
      'DEL KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.9,tcp:80,203.0.113.0/24',
      'DEL_SERVICE TCP 198.51.100.9:80',
      'DEL POINTSMAN-VS 198.51.100.9,tcp:80',
      'DEL KUBE-IPVS-IPS 198.51.100.9',
      'DEL KUBE-LOAD-BALANCER-FW 198.51.100.9,tcp:80',
    ]);
    expect(kernel.dump()).toBe('');
  });

  const guards = ['POINTSMAN-VS', 'KUBE-LOAD-BALANCER-FW'];
  it.each([
    [
      'its address cannot be unbound',
      'UNBIND 198.51.100.9',
      ['POINTSMAN-VS', 'KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER-FW', 'address'],
      true,
    ],
    [
      'what lets packets through cannot be removed',
      'DEL KUBE-LOAD-BALANCER 198.51.100.9,tcp:80',
      ['POINTSMAN-VS', 'KUBE-LOAD-BALANCER', 'KUBE-LOAD-BALANCER-FW'],
      true,
    ],
    [
      'a source cannot be removed',
      'DEL KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.9,tcp:80,203.0.113.0/24',
      ['POINTSMAN-VS', 'KUBE-LOAD-BALANCER-FW', 'KUBE-LOAD-BALANCER-SOURCE-CIDR'],
      true,
    ],
    ['it cannot be deleted itself', 'DEL_SERVICE TCP 198.51.100.9:80', guards, false],
  ])('stays with its guards when %s', async (_, refused, left, isKept) => {
    const kernel = await kernelWith(LB, OTHER);
    refuse(kernel, refused);
    const outcome = await run(kernel, stepBetween([LB, OTHER], []));
    expect(stateOf(kernel, LB).filter((each) => each !== '10.244.1.5:8080')).toEqual([
      'virtual server',
      ...left,
    ]);
    expect(stateOf(kernel, OTHER)).toEqual([]);
    expect(outcome.keptServices.map(({ address }) => address)).toEqual(isKept ? [VIP] : []);
    expect(outcome.keptGuards.map(({ set }) => set).filter((set) => set !== 'KUBE-IPVS-IPS')).toEqual(guards);
  });

  it('at a node port is still masqueraded as before when it cannot be deleted', async () => {
    const kernel = await kernelWith(NODE_PORT);
    refuse(kernel, `DEL_SERVICE ${NODE_PORT.id}`);
    const outcome = await run(kernel, stepBetween([NODE_PORT], []));
    expect(stateOf(kernel, NODE_PORT)).toEqual([
      ...['virtual server', '10.244.1.5:8080'],
      ...['POINTSMAN-VS', 'KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'],
    ]);
    expect(outcome.keptGuards.map(({ set }) => set)).toEqual([
      ...['POINTSMAN-VS', 'KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'],
    ]);
  });

  it('and is gone already is no failure', async () => {
    const kernel = await kernelWith(LB);
    kernel.table.delete(LB.id);
    kernel.addresses?.clear();
    kernel.sets.get('KUBE-LOAD-BALANCER')?.clear();
    const outcome = await run(kernel, stepBetween([LB], []));
    expect([outcome.failedVirtualServers.size, outcome.keptGuards, outcome.keptServices]).toEqual([
      0,
      [],
      [],
    ]);
    expect(kernel.dump()).toBe('');
  });

  it('keeps nothing of another one at the same address from going on', async () => {
    const kernel = await kernelWith(LB, SIBLING);
    await run(kernel, stepBetween([LB, SIBLING], [SIBLING]));
    expect(stateOf(kernel, SIBLING)).toEqual(SIBLING_STATE);
    expect(stateOf(kernel, LB)).toEqual(['KUBE-IPVS-IPS', 'address']);
  });
});

describe('a step', () => {
  it('ends where an answer is lost: nothing opens on an unknown outcome', async () => {
    const kernel = await kernelWith();
    kernel.losesNextAnswer = true;
    await expect(run(kernel, stepBetween([], [LB]))).rejects.toMatchObject({ code: 'KERNEL_OVERRUN' });
    expect(stateOf(kernel, LB)).toEqual([
      ...['virtual server', 'POINTSMAN-VS', 'KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER-FW'],
    ]);
  });

  it('without work asks the kernel for nothing', async () => {
    const kernel = await kernelWith(LB);
    expect((await run(kernel, stepBetween([LB], [LB]))).operations).toBe(0);
    expect(kernel.writes).toEqual([]);
  });

  it('gives others a turn before each request', async () => {
    const kernel = await kernelWith(SIBLING);
    const written: number[] = [];
    const step = stepBetween([SIBLING], [LB]);
    await runStep(kernel, step, async () => void written.push(kernel.writes.length));
    // Guards; virtual server; server; passes; [the address stays]; pass; deletion; guards.
    expect(written).toEqual([0, 2, 3, 4, 6, 7, 8]);
  });
});
