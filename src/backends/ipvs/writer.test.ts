// The writer of Services on the fake kernel, through the backend: room in sets, excluded networks, families without rules, withheld addresses, and
// what stays of a Service when the kernel refuses a part of it for good.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import {
  change,
  foreignService,
  ip,
  makeBackend,
  NODE,
  plan,
  SETTINGS,
  started,
} from '../../../test/ipvs-plans.ts';
import { frontends } from '../../../test/ipvs-services.ts';
import { HERE, LOAD_BALANCER } from '../../../test/one-service.ts';
import { cidr } from '../../../test/addresses.ts';
import type { ServicePlan } from '../../plan/plan.ts';
import { IpvsBackend } from './backend.ts';
import { SET_NAMES, type SetName } from './sets.ts';

const service = (index: number, endpoint = '10.0.0.1'): ServicePlan =>
  plan(`s${index}`, [{ address: `172.30.0.${index}`, endpoints: [endpoint] }]);
const services = (count: number): ServicePlan[] =>
  Array.from({ length: count }, (_, index) => service(index + 1));

const membersOf = (kernel: FakeIpvsKernel, set: SetName = 'KUBE-CLUSTER-IP'): string[] => [
  ...(kernel.sets.get(set)?.keys() ?? []),
];
const grown = (kernel: FakeIpvsKernel): string[] => kernel.writes.filter((write) => write.startsWith('GROW'));

/** A kernel with the sets of an earlier run, in which KUBE-CLUSTER-IP has room for so many; and a backend at its start. */
async function withRoomFor(maxMembers: number, before?: (kernel: FakeIpvsKernel) => void) {
  const kernel = new FakeIpvsKernel();
  for (const family of NODE.families) for (const set of SET_NAMES) await kernel.createSet(set, family);
  const header = kernel.headers.get('KUBE-CLUSTER-IP');
  if (header !== undefined) kernel.headers.set('KUBE-CLUSTER-IP', { ...header, maxMembers });
  before?.(kernel);
  const made = makeBackend(kernel);
  await made.backend.apply(change([], true));
  kernel.writes = [];
  return made;
}

describe('a set', () => {
  it('is filled to the last place without being replaced', async () => {
    const { kernel, backend } = await withRoomFor(4);
    expect((await backend.apply(change(services(4)))).failed).toEqual([]);
    expect(grown(kernel)).toEqual([]);
  });

  it('is replaced by a larger one before it would overflow, and not again for the next member', async () => {
    const { kernel, backend } = await withRoomFor(4);
    expect((await backend.apply(change(services(5)))).failed).toEqual([]);
    expect(grown(kernel)).toEqual(['GROW KUBE-CLUSTER-IP']);
    expect(kernel.headers.get('KUBE-CLUSTER-IP')?.maxMembers).toBe(8);
    expect(kernel.writes.indexOf('GROW KUBE-CLUSTER-IP')).toBeLessThan(
      kernel.writes.findIndex((write) => write.startsWith('ADD')),
    );
    await backend.apply(change(services(8)));
    expect(grown(kernel)).toHaveLength(1);
    expect(membersOf(kernel)).toHaveLength(8);
    await backend.apply(change(services(9)));
    expect(kernel.headers.get('KUBE-CLUSTER-IP')?.maxMembers).toBe(16);
  });

  it('that cannot grow fails only what does not fit, and says so of the node; a retry puts it right', async () => {
    const { kernel, backend } = await withRoomFor(4);
    kernel.faults.push({ matches: (write) => write.startsWith('GROW'), errno: 'ENOMEM', times: 1 });
    const report = await backend.apply(change(services(6)));
    expect(report.failed).toEqual(['default/s5', 'default/s6']);
    expect(report.nodeFailures).toEqual(['room in set KUBE-CLUSTER-IP']);
    expect(
      backend.failedOperations().map(({ service: of, object, errnoName }) => `${of} ${object} ${errnoName}`),
    ).toEqual([
      'null room in set KUBE-CLUSTER-IP ENOMEM',
      'default/s5 KUBE-CLUSTER-IP 172.30.0.5,tcp:80 IPSET_ERR_HASH_FULL',
      'default/s6 KUBE-CLUSTER-IP 172.30.0.6,tcp:80 IPSET_ERR_HASH_FULL',
    ]);
    expect(membersOf(kernel)).toHaveLength(4);
    expect(await backend.retry(report.failed)).toMatchObject({ failed: [], nodeFailures: [] });
    expect(membersOf(kernel)).toHaveLength(6);
  });

  it('that could not grow is no failure any more once it need not', async () => {
    const { kernel, backend } = await withRoomFor(4);
    kernel.faults.push({ matches: (write) => write.startsWith('GROW'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change(services(5)));
    expect(await backend.apply(change([service(5).key]))).toMatchObject({ failed: [], nodeFailures: [] });
  });

  it('that cannot grow is tried once, however many steps there are, and again at each retry', async () => {
    const { kernel, backend } = await withRoomFor(4);
    const refusal = {
      matches: (write: string) => write.startsWith('GROW'),
      errno: 'ENOMEM',
      times: 1e9,
    } as const;
    kernel.faults.push({ ...refusal });
    const many = Array.from({ length: 300 }, (_, i) =>
      plan(`m${i}`, [{ address: `172.31.${i >> 8}.${i & 255}`, endpoints: ['10.0.0.1'] }]),
    );
    const { failed } = await backend.apply(change(many));
    expect(grown(kernel)).toHaveLength(1);
    await backend.apply(change([plan('m0', [{ address: '172.31.0.0', endpoints: ['10.0.0.2'] }])]));
    expect([failed.length, grown(kernel).length]).toEqual([296, 1]);
    await backend.retry(failed);
    expect(grown(kernel)).toHaveLength(2);
    expect(backend.currentReport().nodeFailures).toEqual(['room in set KUBE-CLUSTER-IP']);
    kernel.faults.length = 0;
    expect(await backend.retry(failed)).toMatchObject({ failed: [], nodeFailures: [] });
  });

  it.each([
    ['that stay in it, too', 1],
    ['whom nobody knows', 0],
  ])('that is full with members of others %s and could not grow does so at a retry', async (_, known) => {
    const others = (kernel: FakeIpvsKernel): void => {
      kernel.table.set('UDP 192.0.2.1:53', {
        service: foreignService('192.0.2.1', 17, 53),
        destinations: new Map(),
      });
      for (const port of [53, 54, 55])
        kernel.sets
          .get('KUBE-CLUSTER-IP')
          ?.set(`192.0.2.1,udp:${port}`, { address: ip('192.0.2.1'), protocol: 17, port });
    };
    const { kernel, backend } = await withRoomFor(4, known === 1 ? others : () => {});
    if (known === 0) others(kernel);
    kernel.faults.push({ matches: (write) => write.startsWith('GROW'), errno: 'ENOMEM', times: 1 });
    const report = await backend.apply(change(services(2)));
    expect([report.failed, report.nodeFailures]).toEqual([['default/s2'], ['room in set KUBE-CLUSTER-IP']]);
    expect((await backend.apply(change([service(3)]))).nodeFailures).toEqual(['room in set KUBE-CLUSTER-IP']);
    const { failed } = backend.currentReport();
    expect(await backend.retry(failed)).toMatchObject({ failed: [], nodeFailures: [] });
    expect(membersOf(kernel)).toHaveLength(6);
  });

  it('that was full with members of others and is not any more is no failure', async () => {
    const { kernel, backend } = await withRoomFor(1);
    kernel.sets
      .get('KUBE-CLUSTER-IP')
      ?.set('192.0.2.1,udp:53', { address: ip('192.0.2.1'), protocol: 17, port: 53 });
    kernel.faults.push({ matches: (write) => write.startsWith('GROW'), errno: 'ENOMEM', times: 1 });
    const { failed, nodeFailures } = await backend.apply(change(services(1)));
    expect([failed, nodeFailures]).toEqual([['default/s1'], ['room in set KUBE-CLUSTER-IP']]);
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    expect(await backend.retry(failed)).toMatchObject({ failed: [], nodeFailures: [] });
    expect(grown(kernel)).toHaveLength(1);
  });

  it('grows for members of others that stay in it, too', async () => {
    const { kernel, backend } = await withRoomFor(4, (fresh) => {
      fresh.table.set('UDP 192.0.2.1:53', {
        service: foreignService('192.0.2.1', 17, 53),
        destinations: new Map(),
      });
      fresh.sets
        .get('KUBE-CLUSTER-IP')
        ?.set('192.0.2.1,udp:53', { address: ip('192.0.2.1'), protocol: 17, port: 53 });
    });
    expect((await backend.apply(change(services(4)))).failed).toEqual([]);
    expect(membersOf(kernel)).toHaveLength(5);
  });

  it('grows for what is added before something else goes', async () => {
    const { kernel, backend } = await withRoomFor(4);
    await backend.apply(change(services(4)));
    const moved = plan('s1', [{ address: '172.30.0.9', endpoints: ['10.0.0.1'] }]);
    expect((await backend.apply(change([moved]))).failed).toEqual([]);
    expect(membersOf(kernel)).toHaveLength(4);
  });

  it('grows for what an earlier run left in it until that is removed', async () => {
    const first = await withRoomFor(4);
    await first.backend.apply(change(services(4)));
    const { kernel, backend } = makeBackend(first.kernel);
    const others = [5, 6, 7].map((index) => service(index));
    expect((await backend.apply(change(others, true))).failed).toEqual([]);
    expect(membersOf(kernel)).toHaveLength(3);
  });
});

describe('what is in an excluded network', () => {
  const settings = { ...SETTINGS, excludeCIDRs: [cidr('172.30.0.0/24')] };
  async function excluding(kernel: FakeIpvsKernel, ...plans: ServicePlan[]) {
    const backend = new IpvsBackend(kernel, NODE.families, settings);
    await backend.apply(change(plans, true));
    kernel.writes = [];
    return backend;
  }
  const WEB = service(1);
  const [ID] = ['TCP 172.30.0.1:80'];

  it('is programmed and follows its endpoints', async () => {
    const kernel = new FakeIpvsKernel();
    const backend = await excluding(kernel, WEB);
    await backend.apply(change([service(1, '10.0.0.2')]));
    expect(kernel.writes).toEqual([
      `NEW_DEST ${ID} -> 10.0.0.2:8080`,
      `SET_DEST ${ID} -> 10.0.0.1:8080`,
      `DEL_DEST ${ID} -> 10.0.0.1:8080`,
    ]);
  });

  it.each([
    [
      'is not deleted with its Service',
      async (kernel: FakeIpvsKernel) => {
        const backend = await excluding(kernel, WEB);
        await backend.apply(change([WEB.key]));
        return backend;
      },
    ],
    [
      'is not deleted when an earlier run left it',
      async (kernel: FakeIpvsKernel) => {
        await makeBackend(kernel).backend.apply(change([WEB], true));
        return excluding(kernel);
      },
    ],
  ])('%s, keeps its mark, and is ours again when a Service wants it', async (_, leave) => {
    const kernel = new FakeIpvsKernel();
    const backend = await leave(kernel);
    expect([...kernel.table.keys()]).toEqual([ID]);
    expect(membersOf(kernel, 'POINTSMAN-VS')).toEqual(['172.30.0.1,tcp:80']);
    expect(membersOf(kernel)).toEqual([]);
    expect([...(kernel.addresses ?? [])]).toEqual([]);
    expect(backend.currentReport()).toMatchObject({ failed: [], leftovers: [], nodeFailures: [] });
    expect((await backend.apply(change([service(1, '10.0.0.2')]))).failed).toEqual([]);
    expect([...(kernel.table.get(ID)?.destinations.keys() ?? [])]).toEqual(['10.0.0.2:8080']);
  });

  it('and was deleted by somebody in the meantime is made again when its Service comes back', async () => {
    const kernel = new FakeIpvsKernel();
    const backend = await excluding(kernel, WEB);
    await backend.apply(change([WEB.key]));
    kernel.table.delete(ID);
    for (let slices = 0; slices < 200 && !(await backend.verifier.checkSlice()); slices++);
    await backend.apply(change([WEB]));
    expect([...kernel.table.keys()]).toEqual([ID]);
  });
});

describe('a family whose rules cannot be written', () => {
  const WEB = service(1);
  const V6 = plan('six', [{ address: 'fd00::50', endpoints: ['fd00:1::1'] }]);
  const refuseRules = (kernel: FakeIpvsKernel, times: number): void =>
    void kernel.faults.push({ matches: (write) => write === 'RESTORE IPv4', errno: 'ENOMEM', times });

  it('keeps what is open, and keeps it up to date; nothing new opens there until a retry', async () => {
    const { kernel, backend } = await started(WEB);
    // A node port needs another rule.
    const nodePort = plan('np', [{ nodePort: 30_080, endpoints: ['10.0.0.1'] }]);
    refuseRules(kernel, 2);
    const report = await backend.apply(change([service(1, '10.0.0.2'), nodePort, service(2), V6]));
    expect(report.failed).toEqual(['default/np', 'default/s2']);
    expect(report.nodeFailures).toEqual(['rules IPv4']);
    expect([...kernel.table.keys()].sort()).toEqual(['TCP 172.30.0.1:80', 'TCP [fd00::50]:80']);
    expect([...(kernel.table.get('TCP 172.30.0.1:80')?.destinations.keys() ?? [])]).toEqual([
      '10.0.0.2:8080',
    ]);
    expect(membersOf(kernel)).toEqual(['172.30.0.1,tcp:80']);
    expect([...(kernel.addresses ?? [])].sort()).toEqual(['172.30.0.1', 'fd00::50']);
    expect(backend.problems().get(nodePort.key)?.[0]).toMatchObject({ reason: 'KernelRefused' });
    expect(await backend.retry(report.failed)).toMatchObject({ failed: [], nodeFailures: [] });
    const clean = makeBackend();
    await clean.backend.apply(change([service(1, '10.0.0.2'), nodePort, service(2), V6], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
  });

  it('removes what goes all the same', async () => {
    const { kernel, backend } = await started(WEB, service(2));
    refuseRules(kernel, 9);
    await backend.apply(change([WEB.key, service(2).key]));
    expect([...kernel.table.keys()]).toEqual([]);
    expect([...(kernel.addresses ?? [])]).toEqual([]);
  });

  it('opens nothing at the very start, and everything at a retry', async () => {
    const { kernel, backend } = makeBackend();
    refuseRules(kernel, 2);
    const report = await backend.apply(change([WEB, V6], true));
    expect(report.failed).toEqual([WEB.key]);
    expect([...kernel.table.keys()]).toEqual(['TCP [fd00::50]:80']);
    expect((await backend.retry(report.failed)).failed).toEqual([]);
    expect([...kernel.table.keys()].sort()).toEqual(['TCP 172.30.0.1:80', 'TCP [fd00::50]:80']);
  });
});

describe('an address', () => {
  const first = plan('a', [{ address: '172.30.0.1', port: 80, endpoints: ['10.0.0.1'] }]);
  const second = plan('b', [{ address: '172.30.0.1', port: 81, endpoints: ['10.0.0.1'] }]);

  it('that was withheld is bound when another Service opens at it', async () => {
    const { kernel, backend } = await started();
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change([first]));
    expect([...(kernel.addresses ?? [])]).toEqual([]);
    await backend.apply(change([second]));
    expect([...(kernel.addresses ?? [])]).toEqual(['172.30.0.1']);
  });

  it('that was refused is bound when another Service opens at it', async () => {
    const { kernel, backend } = await started();
    kernel.faults.push({ matches: (write) => write.startsWith('BIND'), errno: 'ENOMEM', times: 1 });
    expect((await backend.apply(change([first]))).failed).toEqual([first.key]);
    await backend.apply(change([second]));
    expect([...(kernel.addresses ?? [])]).toEqual(['172.30.0.1']);
  });

  it('whose guard was refused is not bound without it for another Service', async () => {
    const { kernel, backend } = await started();
    kernel.faults.push({
      matches: (write) => write.startsWith('ADD KUBE-IPVS-IPS'),
      errno: 'ENOMEM',
      times: 1,
    });
    const { failed } = await backend.apply(change([first]));
    expect([failed, kernel.table.size]).toEqual([[first.key], 0]);
    kernel.onWrite = () => {
      for (const bound of kernel.addresses ?? []) expect(membersOf(kernel, 'KUBE-IPVS-IPS')).toContain(bound);
    };
    await backend.apply(change([second]));
    expect([...(kernel.addresses ?? [])]).toEqual(['172.30.0.1']);
    expect((await backend.retry(failed)).failed).toEqual([]);
  });

  it('that was withheld is forgotten with its Service', async () => {
    const { kernel, backend } = await started();
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change([first]));
    await backend.apply(change([first.key]));
    await backend.apply(change([second]));
    expect([...(kernel.addresses ?? [])]).toEqual(['172.30.0.1']);
    expect(kernel.table.size).toBe(1);
  });
});

describe('a virtual server of which a part is refused for good', () => {
  const ID = 'TCP 172.30.0.1:80';
  const servers = (kernel: FakeIpvsKernel): string[] => [
    ...(kernel.table.get(ID)?.destinations.keys() ?? []),
  ];
  const refuse = (kernel: FakeIpvsKernel, start: string): void =>
    void kernel.faults.push({ matches: (write) => write.startsWith(start), errno: 'ENOMEM', times: 1000 });

  it('loses the servers that are gone although a new one is refused', async () => {
    const { kernel, backend } = await started(service(1));
    refuse(kernel, `NEW_DEST ${ID} -> 10.0.0.9:`);
    const next = plan('s1', [{ address: '172.30.0.1', endpoints: ['10.0.0.9', '10.0.0.2'] }]);
    const { failed } = await backend.apply(change([next]));
    expect(failed).toEqual([next.key]);
    await backend.retry(failed);
    expect(servers(kernel)).toEqual(['10.0.0.2:8080']);
  });

  it('follows its endpoints although its other scheduler is refused', async () => {
    const { kernel, backend } = await started(service(1));
    refuse(kernel, `SET_SERVICE ${ID}`);
    const next = plan('s1', [{ address: '172.30.0.1', scheduler: 'mh', endpoints: ['10.0.0.2'] }]);
    const { failed } = await backend.apply(change([next]));
    expect(failed).toEqual([next.key]);
    await backend.retry(failed);
    expect(servers(kernel)).toEqual(['10.0.0.2:8080']);
  });
});

describe('a restart', () => {
  it('with source ranges that are new restricts before it opens anything', async () => {
    const spec = { type: 'LoadBalancer' };
    const { kernel } = await started(frontends(spec, [HERE], { rest: LOAD_BALANCER }));
    const restricted = frontends({ ...spec, loadBalancerSourceRanges: ['203.0.113.0/24'] }, [HERE], {
      rest: LOAD_BALANCER,
    });
    const { backend } = makeBackend(kernel);
    await backend.apply(change([restricted], true));
    const order = ['ADD KUBE-LOAD-BALANCER-FW', 'ADD KUBE-LOAD-BALANCER-SOURCE-CIDR'].map((start) =>
      kernel.writes.findIndex((write) => write.startsWith(start)),
    );
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order[0]).toBeGreaterThanOrEqual(0);
  });
});
