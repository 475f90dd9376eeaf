// Verification of the sets on the fake kernel: members one by one in the comparison of the whole table, and by their number in the cheap checks.

import { describe, expect, it, vi } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import {
  change,
  foreignService,
  ip,
  makeBackend,
  plan,
  SETTINGS,
  started,
} from '../../../test/ipvs-plans.ts';
import { frontends } from '../../../test/ipvs-services.ts';
import { HERE, LOAD_BALANCER } from '../../../test/one-service.ts';
import { compare, repairsOf, verified } from '../../../test/verified-backend.ts';
import { PointsmanError } from '../../model/errors.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { ServicePlan } from '../../plan/plan.ts';
import type { IpvsBackend } from './backend.ts';
import { kernelSetName, maxMembersOf, SET_NAMES, type SetName } from './sets.ts';

const WEB = plan('web', [{ address: '172.30.0.41', endpoints: ['10.0.0.1'] }, { nodePort: 30_080 }]);
/** Members in every set of IPv4 for TCP. */
const OPEN = frontends(
  {
    type: 'LoadBalancer',
    externalIPs: ['198.51.100.7'],
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32_000,
    loadBalancerSourceRanges: ['203.0.113.0/24'],
  },
  [HERE],
  { rest: LOAD_BALANCER, name: 'open' },
);
const CLUSTER = frontends({ externalIPs: ['198.51.100.8'], clusterIP: '10.96.0.2' }, [HERE], {
  name: 'cluster',
});

const membersOf = (kernel: FakeIpvsKernel, set: SetName): string[] => [
  ...(kernel.sets.get(kernelSetName(set, 'IPv4'))?.keys() ?? []),
];

/** The two ways in which a wrong set is found. */
const WAYS: readonly (readonly [string, (backend: IpvsBackend) => Promise<unknown>])[] = [
  ['the comparison', compare],
  ['the cheap check', ({ verifier }) => verifier.checkContainers()],
];

/** A kernel whose next listings of a set are not true. */
class LyingSets extends FakeIpvsKernel {
  lies: ((members: SetMember[]) => SetMember[])[] = [];

  override async setMembers(...[set, family]: Parameters<FakeIpvsKernel['setMembers']>) {
    const members = await super.setMembers(set, family);
    const lie = set === 'KUBE-CLUSTER-IP' && family === 'IPv4' ? this.lies.shift() : undefined;
    return members === null || lie === undefined ? members : lie(members);
  }
}

describe('a listing that is not true', () => {
  const extra: SetMember = { address: ip('10.9.9.9'), port: 9, protocol: 6 };

  it('makes no repair of a member that it misses', async () => {
    const { kernel, backend } = await verified([WEB], new LyingSets());
    kernel.lies = [(members) => members.slice(1)];
    await compare(backend);
    expect([repairsOf(backend), backend.verifier.repairs.total]).toEqual([[], 0]);
  });

  it('deletes no member that a second one does not show', async () => {
    const { kernel, backend } = await verified([WEB], new LyingSets());
    kernel.lies = [(members) => [...members, extra]];
    await compare(backend);
    expect([kernel.writes, repairsOf(backend)]).toEqual([[], []]);
  });

  it('deletes what both show', async () => {
    const { kernel, backend } = await verified([WEB], new LyingSets());
    const both = (members: SetMember[]): SetMember[] => [...members, extra];
    kernel.lies = [both, both];
    await compare(backend);
    expect(kernel.writes).toEqual(['DEL KUBE-CLUSTER-IP 10.9.9.9,tcp:9']);
  });
});

it('gives the loop a turn within a set, however many members it has', async () => {
  const plans = Array.from({ length: 2000 }, (_, i) =>
    plan(`s${i}`, [{ address: `172.30.${i >> 8}.${i & 255}`, endpoints: ['10.0.0.1'] }]),
  );
  const { kernel, backend } = await verified(plans, new FakeIpvsKernel());
  let paces = 0;
  backend.configure({ ...SETTINGS, pace: async () => void paces++ });
  kernel.sets.get('KUBE-CLUSTER-IP')?.delete('172.30.0.1,tcp:80');
  await backend.verifier.checkContainers();
  expect(paces).toBeGreaterThan(10);
});

describe.each(WAYS)('%s', (_, check) => {
  it.each(SET_NAMES)('puts back a member of %s, and takes away one too many', async (set) => {
    const { kernel, backend } = await started(OPEN, CLUSTER, WEB);
    const wanted = kernel.dump();
    const members = kernel.sets.get(set);
    const [first] = members ?? [];
    // SCTP has no frontend here: such a set only gets a member too many.
    if (first !== undefined) {
      members?.delete(first[0]);
      await check(backend);
      expect(kernel.dump()).toBe(wanted);
      expect(repairsOf(backend)).toEqual([`member ${set} ${first[0]} was missing`]);
    }
    members?.set('10.9.9.9', { address: ip('10.9.9.9'), port: 9, protocol: 6 });
    await check(backend);
    expect(kernel.writes.at(-1)).toMatch(new RegExp(`^DEL ${set} `));
    expect(repairsOf(backend).at(-1)).toMatch(/was there and is not planned$/);
  });

  it.each(SET_NAMES)('makes a set again that is gone, with its members: %s', async (set) => {
    const { kernel, backend } = await started(OPEN, CLUSTER, WEB);
    const wanted = kernel.dump();
    kernel.sets.delete(set);
    kernel.headers.delete(set);
    await check(backend);
    expect(kernel.dump()).toBe(wanted);
    expect(kernel.sets.has(set)).toBe(true);
    expect(repairsOf(backend)).toEqual([`set ${set} was missing, with all its members`]);
  });

  it('puts right what is broken again and again, and counts it each time', async () => {
    const { kernel, backend } = await started(WEB);
    for (let round = 1; round <= 3; round++) {
      kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
      await check(backend);
      expect(membersOf(kernel, 'KUBE-CLUSTER-IP'), `round ${round}`).toEqual(['172.30.0.41,tcp:80']);
      expect(backend.verifier.repairs.count('member')).toBe(round);
    }
  });

  it('makes a set again as often as it goes', async () => {
    const { kernel, backend } = await started(WEB);
    for (let round = 1; round <= 2; round++) {
      kernel.sets.delete('KUBE-CLUSTER-IP');
      kernel.headers.delete('KUBE-CLUSTER-IP');
      await check(backend);
      expect(membersOf(kernel, 'KUBE-CLUSTER-IP'), `round ${round}`).toEqual(['172.30.0.41,tcp:80']);
    }
  });

  it('never opens a load-balancer IP to others than its sources on the way', async () => {
    const { kernel, backend } = await started(OPEN);
    for (const set of SET_NAMES) kernel.sets.get(set)?.clear();
    kernel.onWrite = () => {
      const isOpen = membersOf(kernel, 'KUBE-LOAD-BALANCER').length > 0;
      const isRestricted = membersOf(kernel, 'KUBE-LOAD-BALANCER-FW').length > 0;
      expect(isOpen && !isRestricted, kernel.writes.at(-1) ?? '').toBe(false);
    };
    await check(backend);
    expect(membersOf(kernel, 'KUBE-LOAD-BALANCER')).toHaveLength(1);
  });

  it('does not add the members of a Service that fails: some are withheld on purpose', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    const other = plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.1'] }]);
    expect((await backend.apply(change([other]))).failed).toEqual([other.key]);
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    await check(backend);
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toEqual(['172.30.0.41,tcp:80']);
    expect(backend.verifier.repairs.total).toBe(1);
    expect((await backend.retry([other.key])).failed).toEqual([]);
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toEqual(['172.30.0.41,tcp:80', '172.30.0.42,tcp:80']);
  });

  it('leaves to the retry what could not be removed', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.faults.push({
      matches: (write) => write.startsWith('DEL KUBE-CLUSTER-IP'),
      errno: 'ENOMEM',
      times: 1,
    });
    const { leftovers } = await backend.apply(change([WEB.key]));
    expect(leftovers).toContain('KUBE-CLUSTER-IP 172.30.0.41,tcp:80');
    kernel.writes = [];
    await check(backend);
    expect(kernel.writes).toEqual([]);
    expect((await backend.retry([])).leftovers).toEqual([]);
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toEqual([]);
  });

  it('leaves the members that another proxy had put there before we came', async () => {
    const { kernel } = await started();
    kernel.table.set('UDP 192.0.2.1:53', {
      service: foreignService('192.0.2.1', 17, 53),
      destinations: new Map(),
    });
    kernel.sets
      .get('KUBE-CLUSTER-IP')
      ?.set('192.0.2.1,udp:53', { address: ip('192.0.2.1'), protocol: 17, port: 53 });
    const { backend } = makeBackend(kernel);
    await backend.apply(change([WEB], true));
    kernel.writes = [];
    await check(backend);
    expect(kernel.writes).toEqual([]);
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toContain('192.0.2.1,udp:53');
  });

  it('tells the node of a member that is refused', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    kernel.faults.push({ matches: (write) => write.startsWith('ADD'), errno: 'ENOMEM', times: 1 });
    await check(backend);
    expect(backend.currentReport()).toMatchObject({
      failed: [],
      nodeFailures: ['KUBE-CLUSTER-IP 172.30.0.41,tcp:80'],
    });
  });

  it('counts a repair when it went through, not each attempt', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    kernel.faults.push({ matches: (write) => write.startsWith('ADD'), errno: 'ENOMEM', times: 2 });
    for (const total of [0, 0, 1, 1]) {
      await check(backend);
      expect(backend.verifier.repairs.total).toBe(total);
    }
  });

  it('keeps a load-balancer IP shut while its restriction is refused', async () => {
    const { kernel, backend } = await started(OPEN);
    const wanted = kernel.dump();
    for (const set of ['KUBE-LOAD-BALANCER', 'KUBE-LOAD-BALANCER-FW'] as const) kernel.sets.get(set)?.clear();
    kernel.faults.push({
      matches: (write) => write.startsWith('ADD KUBE-LOAD-BALANCER-FW'),
      errno: 'ENOMEM',
      times: 1,
    });
    await check(backend);
    expect(membersOf(kernel, 'KUBE-LOAD-BALANCER')).toEqual([]);
    await backend.verifier.repairSuspects();
    await check(backend);
    expect(kernel.dump()).toBe(wanted);
  });

  it('goes on with everything else when a set cannot be made', async () => {
    const { kernel, backend } = await started(OPEN, WEB);
    kernel.sets.delete('KUBE-LOOP-BACK');
    kernel.headers.delete('KUBE-LOOP-BACK');
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    kernel.changeRules('IPv4', 'nat', (chains) => chains.delete('KUBE-SERVICES'));
    kernel.faults.push({ matches: (write) => write.startsWith('CREATE'), errno: 'ENOMEM', times: 100 });
    await Promise.resolve(check(backend)).catch(() => {});
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toHaveLength(2);
    expect(kernel.chain('IPv4', 'nat', 'KUBE-SERVICES')).not.toEqual([]);
  });

  it('hides no refusal behind a listing that fails', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    kernel.faults.push({ matches: (write) => write.startsWith('ADD'), errno: 'ENOMEM', times: 1 });
    await check(backend);
    const broken = vi
      .spyOn(kernel, 'setMembers')
      .mockRejectedValue(new PointsmanError('KERNEL_REFUSED', 'busy'));
    await backend.verifier.repairSuspects().catch(() => {});
    expect(backend.currentReport().nodeFailures).not.toEqual([]);
    broken.mockRestore();
    await backend.verifier.repairSuspects();
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toHaveLength(1);
    expect(backend.currentReport().nodeFailures).toEqual([]);
  });

  it('hides no refusal behind another repair that succeeds', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    kernel.sets.get('KUBE-IPVS-IPS')?.clear();
    kernel.faults.push({
      matches: (write) => write.startsWith('ADD KUBE-CLUSTER-IP'),
      errno: 'ENOMEM',
      times: 1,
    });
    await check(backend);
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toEqual([]);
    expect(backend.currentReport().nodeFailures).toEqual(['KUBE-CLUSTER-IP 172.30.0.41,tcp:80']);
  });
});

describe('the cheap check', () => {
  it('compares no members while all numbers are right', async () => {
    const { kernel, backend } = await started(OPEN, CLUSTER, WEB);
    await backend.verifier.checkContainers();
    expect(kernel.lists).toEqual(['set headers']);
    expect(kernel.writes).toEqual([]);
  });

  it('does not repeat a comparison that could not help', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change([plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.1'] }])]));
    kernel.lists = [];
    for (let round = 0; round < 3; round++) await backend.verifier.checkContainers();
    expect(kernel.lists.filter((list) => list === 'set KUBE-CLUSTER-IP')).toHaveLength(1);
    expect(kernel.writes.filter((write) => write.startsWith('DEL'))).toEqual([]);
  });

  it('does not miss the members of others when they take them away themselves', async () => {
    const { kernel } = await started();
    kernel.table.set('UDP 192.0.2.1:53', {
      service: foreignService('192.0.2.1', 17, 53),
      destinations: new Map(),
    });
    const members = kernel.sets.get('KUBE-CLUSTER-IP');
    members?.set('192.0.2.1,udp:53', { address: ip('192.0.2.1'), protocol: 17, port: 53 });
    const { backend } = makeBackend(kernel);
    await backend.apply(change([WEB], true));
    kernel.lists = [];
    await backend.verifier.checkContainers();
    expect(kernel.lists).toEqual(['set headers']);
    members?.delete('192.0.2.1,udp:53');
    kernel.lists = [];
    kernel.writes = [];
    for (let round = 0; round < 4; round++) await backend.verifier.checkContainers();
    expect(kernel.writes).toEqual([]);
    expect(kernel.lists.filter((list) => list === 'set KUBE-CLUSTER-IP').length).toBeLessThanOrEqual(1);
  });

  it('compares again when somebody changes a set that could not be put right', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change([plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.1'] }])]));
    await backend.verifier.checkContainers();
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    await backend.verifier.checkContainers();
    expect(membersOf(kernel, 'KUBE-CLUSTER-IP')).toEqual(['172.30.0.41,tcp:80']);
  });
});

describe('the cheap check beside a Service that fails', () => {
  it('puts right what is broken again and again', async () => {
    const { kernel, backend } = await started(WEB);
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change([plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.1'] }])]));
    for (let round = 1; round <= 3; round++) {
      for (const set of ['KUBE-CLUSTER-IP', 'KUBE-NODE-PORT-TCP'] as const) kernel.sets.get(set)?.clear();
      await backend.verifier.checkContainers();
      expect(membersOf(kernel, 'KUBE-NODE-PORT-TCP'), `round ${round}`).toEqual(['30080']);
      expect(membersOf(kernel, 'KUBE-CLUSTER-IP'), `round ${round}`).toEqual(['172.30.0.41,tcp:80']);
    }
  });
});

describe('a set that was made again', () => {
  it('has room for all of its members, however many', async () => {
    const size = maxMembersOf('KUBE-LOOP-BACK') + 10;
    const localEndpoints = Array.from({ length: size }, (_, index) => ({
      family: 'IPv4' as const,
      protocol: 'TCP' as const,
      address: ip(`10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`),
      port: 8080,
    }));
    const large: ServicePlan = { ...WEB, localEndpoints };
    const { kernel, backend } = await started(large);
    expect(membersOf(kernel, 'KUBE-LOOP-BACK')).toHaveLength(size);
    kernel.sets.delete('KUBE-LOOP-BACK');
    kernel.headers.delete('KUBE-LOOP-BACK');
    await backend.verifier.checkContainers();
    expect(membersOf(kernel, 'KUBE-LOOP-BACK')).toHaveLength(size);
    expect(backend.currentReport().nodeFailures).toEqual([]);
  });
});
