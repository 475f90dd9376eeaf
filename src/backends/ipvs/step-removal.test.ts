// One step that removes, on the fake kernel: its order, and what stays when something is refused.

import { describe, expect, it } from 'vitest';
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
} from '../../../test/ipvs-steps.ts';
import { makeMember } from './desired.ts';

const SIBLING_STATE = [
  ...['virtual server', '10.244.1.5:8080'],
  ...['POINTSMAN-VS', 'KUBE-IPVS-IPS', 'KUBE-LOAD-BALANCER', 'address'],
];

describe('a frontend that goes', () => {
  it('loses its address first, then what let packets through, then its servers, and its guards last', async () => {
    const kernel = await kernelWith(LB);
    const outcome = await run(kernel, stepBetween([LB], []));
    expect(outcome.operations).toBe(7);
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
    expect(outcome.keptMembers.map(({ set }) => set).filter((set) => set !== 'KUBE-IPVS-IPS')).toEqual(
      guards,
    );
  });

  it('at a node port is still masqueraded as before when it cannot be deleted', async () => {
    const kernel = await kernelWith(NODE_PORT);
    refuse(kernel, `DEL_SERVICE ${NODE_PORT.id}`);
    const outcome = await run(kernel, stepBetween([NODE_PORT], []));
    expect(stateOf(kernel, NODE_PORT)).toEqual([
      ...['virtual server', '10.244.1.5:8080'],
      ...['POINTSMAN-VS', 'KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'],
    ]);
    expect(outcome.keptMembers.map(({ set }) => set)).toEqual([
      ...['POINTSMAN-VS', 'KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'],
    ]);
  });

  it('at a node port that cannot be deleted keeps nothing of another protocol at the same port', async () => {
    const udp = makeMember('KUBE-NODE-PORT-UDP', 'IPv4', { port: 30_080 });
    const both = { ...NODE_PORT, members: [...NODE_PORT.members, udp] };
    const kernel = await kernelWith(both);
    refuse(kernel, `DEL_SERVICE ${NODE_PORT.id}`);
    const { keptMembers } = await run(kernel, stepBetween([both], []));
    expect(keptMembers.map(({ set }) => set)).not.toContain('KUBE-NODE-PORT-UDP');
    expect(kernel.sets.get('KUBE-NODE-PORT-UDP')?.size).toBe(0);
  });

  it('and is gone already is no failure', async () => {
    const kernel = await kernelWith(LB);
    kernel.table.delete(LB.id);
    kernel.addresses?.clear();
    kernel.sets.get('KUBE-LOAD-BALANCER')?.clear();
    const outcome = await run(kernel, stepBetween([LB], []));
    expect([outcome.failedVirtualServers.size, outcome.keptMembers, outcome.keptServices]).toEqual([
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
