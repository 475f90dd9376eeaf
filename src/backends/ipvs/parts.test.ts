import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { change, ip, makeBackend, plan } from '../../../test/ipvs-plans.ts';
import { LB, NODE_PORT, OTHER, SIBLING, VIP, virtualServer } from '../../../test/ipvs-steps.ts';
import { serviceKey } from '../../model/names.ts';
import { makeMember, type DesiredVirtualServer } from './desired.ts';
import { emptyDelta, Ledger, type LedgerDelta } from './ledger.ts';
import { Parts, type Part } from './parts.ts';

/** At the address of NODE_PORT, on another port. */
const NEIGHBOUR = virtualServer(NODE_PORT.service.address, 30_081, ['KUBE-NODE-PORT-TCP']);
const ALL = [LB, SIBLING, OTHER, NODE_PORT, NEIGHBOUR];
const HAIRPIN = makeMember('KUBE-LOOP-BACK', 'IPv4', {
  ...{ address: ip('10.244.1.5'), protocol: 6, port: 8080, address2: ip('10.244.1.5') },
});

/** What it takes to remove, or to add, these virtual servers. */
function workOf(virtualServers: readonly DesiredVirtualServer[], isRemoval = true): LedgerDelta {
  const delta = emptyDelta();
  const members = isRemoval ? delta.removeMembers : delta.addMembers;
  const addresses = isRemoval ? delta.removeAddresses : delta.addAddresses;
  for (const each of virtualServers) {
    for (const member of each.members) members.set(member.id, member);
    if (each.isBound) addresses.add(each.service.address);
  }
  return delta;
}

const removalOf = (virtualServers: readonly DesiredVirtualServer[], ledger = new Ledger()): Parts =>
  new Parts({ delta: workOf(virtualServers), deleted: virtualServers.map(({ service }) => service) }, ledger);

const textOf = ({ delta, deleted }: Part): string[] =>
  [
    ...[...delta.addMembers.keys()].map((id) => `+${id}`),
    ...[...delta.removeMembers.keys()].map((id) => `-${id}`),
    ...[...delta.addAddresses].map((address) => `+${address}`),
    ...[...delta.removeAddresses].map((address) => `-${address}`),
    ...deleted.map(({ address, port }) => `-${address}:${port}`),
  ].sort();

function rest(parts: Parts): Part[] {
  const found: Part[] = [];
  for (let part = parts.takeNext(); part !== null; part = parts.takeNext()) found.push(part);
  return found;
}

describe('the part about a frontend', () => {
  it.each([
    ['an address that goes has all at it', [LB], [LB, SIBLING]],
    ['a port of the node has its mark', [NODE_PORT], [NODE_PORT]],
    ['another port of the node has nothing of it', [NEIGHBOUR], [NEIGHBOUR]],
    ['several frontends has all of theirs', [OTHER, NODE_PORT], [OTHER, NODE_PORT]],
  ])('%s', (_, about, expected) => {
    const whole = { delta: workOf(expected), deleted: expected.map(({ service }) => service), wanted: [] };
    expect(textOf(removalOf(ALL).takeAbout(about))).toEqual(textOf(whole));
  });

  it('has no more than its portal when its address stays', () => {
    const delta = workOf([]);
    for (const each of [...LB.members, ...SIBLING.members])
      if (each.set !== 'KUBE-IPVS-IPS') delta.removeMembers.set(each.id, each);
    const part = new Parts({ delta, deleted: [LB.service, SIBLING.service] }, new Ledger()).takeAbout([
      SIBLING,
    ]);
    expect(textOf(part)).toEqual([
      `-${VIP}:81`,
      `-KUBE-LOAD-BALANCER ${VIP},tcp:81`,
      `-POINTSMAN-VS ${VIP},tcp:81`,
    ]);
  });

  it('removes nothing that became wanted since', () => {
    const ledger = new Ledger();
    const parts = removalOf([LB, SIBLING], ledger);
    ledger.claim({ key: serviceKey('default', 'web'), virtualServers: [LB], members: [] });
    ledger.settle(serviceKey('default', 'web'), { virtualServers: [LB], members: [] }, emptyDelta());
    expect(textOf(parts.takeAbout([LB]))).toEqual([
      `-${VIP}:81`,
      `-KUBE-LOAD-BALANCER ${VIP},tcp:81`,
      `-POINTSMAN-VS ${VIP},tcp:81`,
    ]);
  });
});

it('hairpin entries come first and go last', () => {
  const many = Array.from({ length: 600 }, (_, i) =>
    virtualServer(ip(`198.51.100.${i % 250}`), 1000 + i, ['KUBE-LOAD-BALANCER']),
  );
  for (const isRemoval of [true, false]) {
    const delta = workOf(many, isRemoval);
    const members = isRemoval ? delta.removeMembers : delta.addMembers;
    members.set(HAIRPIN.id, HAIRPIN);
    const parts = rest(new Parts({ delta, deleted: [] }, new Ledger()));
    const places = parts.flatMap((part, i) =>
      part.delta.addMembers.has(HAIRPIN.id) || part.delta.removeMembers.has(HAIRPIN.id) ? [i] : [],
    );
    expect([parts.length > 1, places]).toEqual([true, [isRemoval ? parts.length - 1 : 0]]);
  }
});

it('all parts together are the whole, each thing once, and none is large', () => {
  const servers = fc.uniqueArray(
    fc.tuple(fc.integer({ min: 1, max: 250 }), fc.integer({ min: 1, max: 9999 }), fc.boolean()),
    { maxLength: 1500, minLength: 500, selector: ([address, port]) => `${address} ${port}` },
  );
  fc.assert(
    fc.property(servers, fc.boolean(), (all, isRemoval) => {
      const virtualServers = all.map(([octet, port, isNodePort]) =>
        isNodePort
          ? virtualServer(NODE_PORT.service.address, port, ['KUBE-NODE-PORT-TCP'])
          : virtualServer(ip(`198.51.100.${octet}`), port, ['KUBE-LOAD-BALANCER', 'KUBE-LOAD-BALANCER-FW']),
      );
      const deleted = isRemoval ? virtualServers.map(({ service }) => service) : [];
      const parts = rest(new Parts({ delta: workOf(virtualServers, isRemoval), deleted }, new Ledger()));
      const whole = textOf({ delta: workOf(virtualServers, isRemoval), deleted, wanted: [] });
      expect(parts.flatMap(textOf).sort()).toEqual(whole);
      expect(Math.max(...parts.map((part) => textOf(part).length))).toBeLessThan(1300);
    }),
    { numRuns: 20 },
  );
});

describe('a step of the backend has a bounded size', () => {
  const MOST = 1100;
  const PLANS = Array.from({ length: 3000 }, (_, i) =>
    plan(`s${i}`, [{ address: `172.30.${i >> 8}.${i & 255}`, protocol: 'UDP', endpoints: ['10.0.0.1'] }]),
  );

  class Counting extends FakeIpvsKernel {
    most = 0;
    private count(changes: readonly { readonly members: readonly unknown[] }[]): void {
      this.most = Math.max(
        this.most,
        changes.reduce((sum, { members }) => sum + members.length, 0),
      );
    }
    override addMembers(...[changes]: Parameters<FakeIpvsKernel['addMembers']>) {
      this.count(changes);
      return super.addMembers(changes);
    }
    override deleteMembers(...[changes]: Parameters<FakeIpvsKernel['deleteMembers']>) {
      this.count(changes);
      return super.deleteMembers(changes);
    }
    override unbind(...[addresses]: Parameters<FakeIpvsKernel['unbind']>) {
      this.most = Math.max(this.most, addresses.length);
      return super.unbind(addresses);
    }
  }

  async function withPlans(): Promise<Counting> {
    const kernel = new Counting();
    await makeBackend(kernel).backend.apply(change(PLANS, true));
    return kernel;
  }

  it('when what an earlier run left is removed, and at the retry of that', async () => {
    const kernel = await withPlans();
    kernel.faults.push({ matches: (write) => write.startsWith('UNBIND'), errno: 'ENOMEM', times: 3000 });
    const { backend } = makeBackend(kernel);
    expect((await backend.apply(change([], true))).leftovers).not.toEqual([]);
    expect((await backend.retry([])).leftovers).toEqual([]);
    expect([kernel.table.size, kernel.addresses?.size, kernel.most < MOST]).toEqual([0, 0, true]);
  });

  it('when verification puts back all members', async () => {
    const kernel = await withPlans();
    const { backend } = makeBackend(kernel);
    await backend.apply(change(PLANS, true));
    const wanted = kernel.dump();
    for (const set of kernel.sets.values()) set.clear();
    kernel.most = 0;
    await backend.verifier.checkContainers();
    expect([kernel.dump() === wanted, kernel.most > 0, kernel.most < MOST]).toEqual([true, true, true]);
    expect(backend.currentReport()).toMatchObject({ failed: [], nodeFailures: [] });
  });
});
