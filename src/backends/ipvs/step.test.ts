// One step that adds and changes, on the fake kernel: its order, what a refusal withholds, and what it has no influence on.

import { describe, expect, it } from 'vitest';
import type { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import {
  kernelWith,
  LB,
  NODE_PORT,
  OTHER,
  refuse,
  run,
  SIBLING,
  stateOf,
  stepBetween,
  VIP,
  virtualServer,
} from '../../../test/ipvs-steps.ts';
import { runStep } from './step.ts';

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
    expect([...outcome.failedVirtualServers].map(([id, { message }]) => [id, message])).toEqual([
      [two.id, expect.stringContaining('ENOMEM')],
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
    const step = stepBetween([SIBLING], [LB, OTHER]);
    await runStep(kernel, step, async () => void written.push(kernel.writes.length));
    const kinds = written.map((at) => kernel.writes[at]?.replace(/ .*/, ''));
    expect(kinds).toEqual(['ADD', 'NEW_SERVICE', 'NEW_DEST', 'ADD', 'BIND', 'DEL', 'DEL_SERVICE', 'DEL']);
    const back: number[] = [];
    kernel.writes = [];
    await runStep(kernel, stepBetween([OTHER], []), async () => void back.push(kernel.writes.length));
    expect(back.map((at) => kernel.writes[at]?.replace(/ .*/, ''))).toEqual([
      'UNBIND',
      'DEL',
      'DEL_SERVICE',
      'DEL',
    ]);
  });
});
