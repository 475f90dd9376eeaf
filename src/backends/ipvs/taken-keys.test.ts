// Virtual servers that somebody else turns out to have: theirs stay whole, and what we had written for ours goes.

import { describe, expect, it } from 'vitest';
import type { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { change, foreignService, ip, plan, started } from '../../../test/ipvs-plans.ts';
import { compare, repairsOf } from '../../../test/verified-backend.ts';

const ADDRESS = '172.30.0.2';
const KEY = `TCP ${ADDRESS}:80`;
const A = plan('a', [{ address: '172.30.0.1', endpoints: ['10.0.0.1'] }]);
const B = plan('b', [{ address: ADDRESS, endpoints: ['10.0.0.1'] }]);
const B_LATER = plan('b', [{ address: ADDRESS, endpoints: ['10.0.0.2'] }]);

/** Another proxy beside us makes the virtual server, and of what belongs to it so much. */
function takeKey(kernel: FakeIpvsKernel, ...rest: readonly ('address' | 'mark' | 'guard' | 'pass')[]): void {
  const address = ip(ADDRESS);
  kernel.table.set(KEY, { service: foreignService(ADDRESS, 6, 80), destinations: new Map() });
  if (rest.includes('address')) kernel.addresses?.add(address);
  if (rest.includes('guard')) kernel.sets.get('KUBE-IPVS-IPS')?.set(ADDRESS, { address });
  for (const [part, set] of [
    ['pass', 'KUBE-CLUSTER-IP'],
    ['mark', 'POINTSMAN-VS'],
  ] as const)
    if (rest.includes(part))
      kernel.sets.get(set)?.set(`${ADDRESS},tcp:80`, { address, protocol: 6, port: 80 });
}

/** What the kernel has of it. */
function held(kernel: FakeIpvsKernel): string[] {
  const has = (set: string, member: string): boolean => kernel.sets.get(set)?.has(member) === true;
  return [
    ...(kernel.addresses?.has(ip(ADDRESS)) ? ['address'] : []),
    ...(has('KUBE-IPVS-IPS', ADDRESS) ? ['guard'] : []),
    ...(has('POINTSMAN-VS', `${ADDRESS},tcp:80`) ? ['mark'] : []),
    ...(has('KUBE-CLUSTER-IP', `${ADDRESS},tcp:80`) ? ['pass'] : []),
  ];
}

describe('a virtual server that somebody else turns out to have', () => {
  it('keeps its address and its members', async () => {
    const { kernel, backend } = await started(A);
    takeKey(kernel, 'address', 'guard', 'pass');
    const { failed } = await backend.apply(change([B]));
    expect(held(kernel)).toEqual(['address', 'guard', 'pass']);
    expect(kernel.writes).toEqual([
      ...[`ADD POINTSMAN-VS ${ADDRESS},tcp:80`, `ADD KUBE-IPVS-IPS ${ADDRESS}`, `NEW_SERVICE ${KEY}`],
      `DEL POINTSMAN-VS ${ADDRESS},tcp:80`,
    ]);
    expect([...backend.problems().values()].flat().map(({ reason }) => reason)).toHaveLength(1);
    expect(failed).toEqual([B.key]);
  });

  it('loses nothing to verification', async () => {
    const { kernel, backend } = await started(A);
    takeKey(kernel, 'address', 'guard', 'pass');
    await backend.apply(change([B]));
    kernel.writes = [];
    await backend.verifier.checkContainers();
    await compare(backend);
    expect([kernel.writes, repairsOf(backend)]).toEqual([[], []]);
    kernel.lists = [];
    await backend.verifier.checkContainers();
    expect(kernel.lists).toEqual(['set headers']);
  });

  it('gets nothing of ours: what we had written for ours is removed', async () => {
    const { kernel, backend } = await started(A);
    takeKey(kernel);
    await backend.apply(change([B]));
    expect(held(kernel)).toEqual([]);
    await backend.verifier.checkContainers();
    kernel.lists = [];
    await backend.verifier.checkContainers();
    expect(kernel.lists).toEqual(['set headers']);
  });

  it('never keeps a mark of ownership, which would make it ours after a restart', async () => {
    const { kernel, backend } = await started(A);
    takeKey(kernel, 'address', 'mark');
    await backend.apply(change([B]));
    expect(held(kernel)).toEqual(['address']);
  });

  it('stays whole while our Service changes, is retried and goes', async () => {
    const { kernel, backend } = await started(A);
    takeKey(kernel, 'address', 'guard', 'pass');
    await backend.apply(change([B]));
    await backend.retry([B.key]);
    await backend.apply(change([B_LATER]));
    await backend.apply(change([B.key]));
    await compare(backend);
    expect([held(kernel), kernel.table.get(KEY)?.destinations.size]).toEqual([
      ['address', 'guard', 'pass'],
      0,
    ]);
  });

  it('becomes ours when it is gone, with all that belongs to it', async () => {
    const { kernel, backend } = await started(A);
    takeKey(kernel, 'address', 'guard', 'pass');
    await backend.apply(change([B]));
    kernel.table.delete(KEY);
    expect((await backend.retry([B.key])).failed).toEqual([]);
    expect(held(kernel)).toEqual(['address', 'guard', 'mark', 'pass']);
    await backend.apply(change([B.key]));
    expect([held(kernel), [...kernel.table.keys()]]).toEqual([[], ['TCP 172.30.0.1:80']]);
    await backend.verifier.checkContainers();
    expect(repairsOf(backend)).toEqual([]);
  });
});
