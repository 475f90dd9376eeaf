import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { change, foreignService, ip, makeBackend, plan } from '../../../test/ipvs-plans.ts';
import { frontends } from '../../../test/ipvs-services.ts';
import { HERE } from '../../../test/one-service.ts';
import { compare } from '../../../test/verified-backend.ts';
import { serviceKey } from '../../model/names.ts';
import { makeMember } from './desired.ts';
import { KeptMembers } from './kept-members.ts';

const LB_IP = '198.51.100.9';
const portal = (address: string) =>
  makeMember('KUBE-LOAD-BALANCER', 'IPv4', { address: ip(address), protocol: 6, port: 80 });

/** A kernel with rules and sets of ours, a virtual server of somebody else, and a load-balancer portal that is nobody's. */
async function besideOthers(): Promise<FakeIpvsKernel> {
  const kernel = new FakeIpvsKernel();
  await makeBackend(kernel).backend.apply(change([], true));
  kernel.table.set('TCP 203.0.113.7:80', {
    service: foreignService('203.0.113.7', 6, 80),
    destinations: new Map(),
  });
  const { member } = portal(LB_IP);
  kernel.sets.get('KUBE-LOAD-BALANCER')?.set(`${LB_IP},tcp:80`, member);
  return kernel;
}

const rulesOf = (kernel: FakeIpvsKernel): string[] =>
  kernel.chain('IPv4', 'nat', 'KUBE-SERVICES').filter((rule) => rule.includes('LOAD-BALANCER'));

describe('a member that others put into a set of ours', () => {
  it('stays, and so do the rules of its set', async () => {
    const kernel = await besideOthers();
    const { backend } = makeBackend(kernel);
    await backend.apply(change([], true));
    await compare(backend);
    expect([...(kernel.sets.get('KUBE-LOAD-BALANCER')?.keys() ?? [])]).toEqual([`${LB_IP},tcp:80`]);
    expect(rulesOf(kernel)).not.toEqual([]);
  });

  it('is forgotten with the Service that needed it: the rules of its set go with it', async () => {
    const kernel = await besideOthers();
    const { backend } = makeBackend(kernel);
    await backend.apply(change([], true));
    const rest = { status: { loadBalancer: { ingress: [{ ip: LB_IP }] } } };
    await backend.apply(change([frontends({ type: 'LoadBalancer' }, [HERE], { rest })]));
    await backend.apply(change([serviceKey('default', 'web')]));
    expect([...(kernel.sets.get('KUBE-LOAD-BALANCER')?.keys() ?? [])]).toEqual([]);
    expect(rulesOf(kernel)).toEqual([]);
  });

  it('is forgotten when those who put it took it away: its set is read once for it', async () => {
    const kernel = await besideOthers();
    const { backend } = makeBackend(kernel);
    await backend.apply(change([], true));
    kernel.sets.get('KUBE-LOAD-BALANCER')?.clear();
    kernel.lists = [];
    for (let i = 0; i < 3; i++) await backend.verifier.checkContainers();
    expect(kernel.lists.filter((list) => list === 'set KUBE-LOAD-BALANCER')).toHaveLength(1);
    await backend.apply(change([plan('web', [{ address: '172.30.0.1', endpoints: ['10.0.0.1'] }])]));
    expect(rulesOf(kernel)).toEqual([]);
  });
});

it('counts by set and family, each member once', () => {
  const kept = new KeptMembers();
  const v6 = makeMember('KUBE-LOAD-BALANCER', 'IPv6', { address: ip('fd00::1'), protocol: 6, port: 80 });
  for (const each of [portal(LB_IP), portal('198.51.100.10'), v6, portal(LB_IP)]) kept.add(each);
  expect([kept.count('KUBE-LOAD-BALANCER', 'IPv4'), kept.count('KUBE-LOAD-BALANCER', 'IPv6')]).toEqual([
    2, 1,
  ]);
  expect([kept.setsOf('IPv4'), kept.count('KUBE-CLUSTER-IP', 'IPv4')]).toEqual([['KUBE-LOAD-BALANCER'], 0]);
  kept.delete(portal(LB_IP));
  kept.delete(portal(LB_IP));
  expect([kept.has(portal(LB_IP)), kept.has(portal('198.51.100.10'))]).toEqual([false, true]);
  kept.retain('KUBE-LOAD-BALANCER', 'IPv6', () => false);
  expect([kept.setsOf('IPv6'), kept.setsOf('IPv4')]).toEqual([[], ['KUBE-LOAD-BALANCER']]);
  kept.clear();
  expect(kept.setsOf('IPv4')).toEqual([]);
});
