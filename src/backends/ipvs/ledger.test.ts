// The bookkeeping between plan and kernel: ledger, left-overs and the difference of virtual servers, on the same values.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../model/ip.ts';
import { serviceKey } from '../../model/names.ts';
import type { RealServer } from '../../plan/plan.ts';
import { makeMember, type DesiredService, type DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer } from './diff.ts';
import { emptyDelta, Ledger, type LedgerDelta } from './ledger.ts';
import { Leftovers } from './leftovers.ts';
import { EMPTY_KERNEL, RecordingPort } from './recording-port.ts';
import { SET_NAMES } from './sets.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const VIP = ip('172.30.0.41');

function virtualServer(
  port: number,
  servers: readonly string[] = [],
  more: Partial<DesiredVirtualServer['service']> = {},
): DesiredVirtualServer {
  const realServers: RealServer[] = servers.map((text) => {
    const [address = '', weight = '1'] = text.split(' ');
    return { address: ip(address), port: 8080, weight: Number(weight), isLocal: false };
  });
  return {
    id: `TCP ${VIP}:${port}`,
    service: {
      family: 'IPv4',
      protocol: 6,
      address: VIP,
      port,
      scheduler: 'rr',
      flags: 0,
      timeoutSeconds: 0,
      netmask: 0xffffffff,
      ...more,
    },
    realServers,
    isBound: true,
    isClosedToNode: false,
    members: [
      makeMember('KUBE-IPVS-IPS', 'IPv4', { address: VIP }),
      makeMember('KUBE-CLUSTER-IP', 'IPv4', { address: VIP, protocol: 6, port }),
    ],
  };
}

const desired = (name: string, ...virtualServers: DesiredVirtualServer[]): DesiredService => ({
  key: serviceKey('default', name),
  virtualServers,
  members: [],
});

function show(delta: LedgerDelta): string[] {
  return [
    ...[...delta.addMembers.keys()].map((id) => `+${id}`),
    ...[...delta.addAddresses].map((address) => `+${address}`),
    ...[...delta.removeMembers.keys()].map((id) => `-${id}`),
    ...[...delta.removeAddresses].map((address) => `-${address}`),
  ];
}

describe('the ledger', () => {
  function settled(...services: DesiredService[]): Ledger {
    const ledger = new Ledger();
    for (const each of services) {
      ledger.claim(each);
      ledger.settle(
        each.key,
        ledger.restrict(each, () => false),
        emptyDelta(),
      );
    }
    return ledger;
  }
  function settle(ledger: Ledger, key: DesiredService['key'], next: DesiredService | null): string[] {
    const delta = emptyDelta();
    if (next !== null) ledger.claim(next);
    ledger.settle(key, next === null ? null : ledger.restrict(next, () => false), delta);
    return show(delta);
  }

  it('keeps what two Services share until the last one goes', () => {
    const [a, b] = [desired('a', virtualServer(80)), desired('b', virtualServer(81))];
    const ledger = settled(a, b);
    expect(settle(ledger, a.key, null)).toEqual([`-KUBE-CLUSTER-IP ${VIP},tcp:80`]);
    expect(settle(ledger, b.key, null)).toEqual([
      `-KUBE-IPVS-IPS ${VIP}`,
      `-KUBE-CLUSTER-IP ${VIP},tcp:81`,
      `-${VIP}`,
    ]);
    expect(ledger.nonEmptySets('IPv4').size).toBe(0);
  });

  it('never takes out in between what both the old and the new state of a Service need', () => {
    const ledger = settled(desired('a', virtualServer(80)));
    expect(settle(ledger, desired('a').key, desired('a', virtualServer(80), virtualServer(81)))).toEqual([
      `+KUBE-CLUSTER-IP ${VIP},tcp:81`,
    ]);
  });

  it('gives a virtual server to one claimant only, and says who is concerned', () => {
    const ledger = new Ledger();
    const [old, young] = [desired('old', virtualServer(80)), desired('young', virtualServer(80))];
    expect(ledger.claim(young)).toEqual([]);
    expect(ledger.claim(old)).toEqual([young.key]);
    expect(ledger.ownerOf(`TCP ${VIP}:80`)).toBe(old.key);
    expect(ledger.restrict(young, () => false).virtualServers).toEqual([]);
    expect(ledger.withdraw(old.key)).toEqual([young.key]);
    expect(ledger.ownerOf(`TCP ${VIP}:80`)).toBe(young.key);
  });

  it('leaves out what belongs to somebody outside', () => {
    const service = desired('a', virtualServer(80), virtualServer(81));
    const ledger = settled(service);
    expect(ledger.restrict(service, (id) => id.endsWith(':80')).virtualServers.map(({ id }) => id)).toEqual([
      `TCP ${VIP}:81`,
    ]);
    expect(ledger.restrict(service, () => false)).toBe(service);
  });
});

describe('what the ledger counts', () => {
  const hairpin = makeMember('KUBE-LOOP-BACK', 'IPv4', {
    address: ip('10.0.0.1'),
    protocol: 6,
    port: 8080,
    address2: ip('10.0.0.1'),
  });
  const six = makeMember('KUBE-LOOP-BACK', 'IPv6', {
    address: ip('fd00::1'),
    protocol: 6,
    port: 8080,
    address2: ip('fd00::1'),
  });
  const service = (name: string, ...virtualServers: DesiredVirtualServer[]): DesiredService => ({
    ...desired(name, ...virtualServers),
    members: [hairpin, six],
  });
  const settle = (ledger: Ledger, each: DesiredService): void => ledger.settle(each.key, each, emptyDelta());

  it('are virtual and real servers together, of every Service', () => {
    const ledger = new Ledger();
    settle(ledger, service('a', virtualServer(80, ['10.0.0.1', '10.0.0.2']), virtualServer(81)));
    settle(ledger, service('b', virtualServer(82, ['10.0.0.1'])));
    expect(ledger.objectCount).toBe(6);
    settle(ledger, service('a', virtualServer(80)));
    expect(ledger.objectCount).toBe(3);
    ledger.settle(serviceKey('default', 'b'), null, emptyDelta());
    expect(ledger.objectCount).toBe(1);
  });

  it('are members of each set, those that are shared once', () => {
    const ledger = new Ledger();
    settle(ledger, service('a', virtualServer(80)));
    settle(ledger, service('b', virtualServer(81)));
    expect([ledger.setSize('KUBE-LOOP-BACK', 'IPv4'), ledger.setSize('KUBE-LOOP-BACK', 'IPv6')]).toEqual([
      1, 1,
    ]);
    expect([ledger.setSize('KUBE-CLUSTER-IP', 'IPv4'), ledger.setSize('KUBE-CLUSTER-IP', 'IPv6')]).toEqual([
      2, 0,
    ]);
    expect([...ledger.nonEmptySets('IPv6')]).toEqual(['KUBE-LOOP-BACK']);
    expect([
      ledger.hasMember(hairpin.id),
      ledger.hasMember('KUBE-LOOP-BACK 10.0.0.2,tcp:8080,10.0.0.2'),
    ]).toEqual([...[true, false]]);
    expect([[...ledger.addresses()], ledger.hasAddress(VIP)]).toEqual([[VIP], true]);
  });

  it('are members of the Services that are asked for', () => {
    const ledger = new Ledger();
    settle(ledger, service('a', virtualServer(80)));
    settle(ledger, service('b', virtualServer(81)));
    const portals = (isWanted: (key: string) => boolean): string[] =>
      [...ledger.membersOf('KUBE-CLUSTER-IP', 'IPv4', isWanted)].map(({ id }) => id);
    expect(portals(() => true)).toEqual([80, 81].map((port) => `KUBE-CLUSTER-IP ${VIP},tcp:${port}`));
    expect(portals((key) => key === 'default/b')).toEqual([`KUBE-CLUSTER-IP ${VIP},tcp:81`]);
    expect([...ledger.membersOf('KUBE-CLUSTER-IP', 'IPv6', () => true)]).toEqual([]);
    expect([...ledger.membersOf('KUBE-LOOP-BACK', 'IPv6', () => true)].map(({ id }) => id)).toEqual([
      six.id,
      six.id,
    ]);
  });

  it('are virtual servers that are closed to the node, as long as a Service wants them so', () => {
    const ledger = new Ledger();
    const closed = { ...virtualServer(80), isClosedToNode: true };
    settle(ledger, service('a', closed));
    const list = ledger.closedToNode('IPv4', []);
    expect(list.map(({ port }) => port)).toEqual([80]);
    settle(ledger, service('a', closed, virtualServer(81)));
    expect(ledger.closedToNode('IPv4', [])).toBe(list);
    settle(ledger, service('a', virtualServer(80)));
    expect(ledger.closedToNode('IPv4', [])).toEqual([]);
  });

  it('equals what the deltas of any sequence of steps add up to', () => {
    const ports = fc.uniqueArray(fc.integer({ min: 80, max: 83 }), { maxLength: 4 });
    const change_ = fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      ports: fc.option(ports),
      ends: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change_, { maxLength: 20 }), (changes) => {
        const ledger = new Ledger();
        const [members, addresses] = [new Set<string>(), new Set<string>()];
        let delta = emptyDelta();
        for (const { name, ports: open, ends } of [...changes, { name: 'a', ports: null, ends: true }]) {
          const next = open === null ? null : service(name, ...open.map((port) => virtualServer(port)));
          ledger.settle(serviceKey('default', name), next, delta);
          if (!ends) continue;
          for (const id of delta.addMembers.keys()) expect(members.has(id)).toBe(false);
          for (const id of delta.removeMembers.keys()) expect(members.delete(id)).toBe(true);
          for (const id of delta.addMembers.keys()) members.add(id);
          for (const each of delta.removeAddresses) expect(addresses.delete(each)).toBe(true);
          for (const each of delta.addAddresses) addresses.add(each);
          delta = emptyDelta();
        }
        expect([...ledger.addresses()].sort()).toEqual([...addresses].sort());
        const counted = SET_NAMES.flatMap((set) =>
          (['IPv4', 'IPv6'] as const).map((family) => ledger.setSize(set, family)),
        );
        expect(counted.reduce((sum, size) => sum + size, 0)).toBe(members.size);
        for (const id of members) expect(ledger.hasMember(id)).toBe(true);
      }),
    );
  });
});

describe('what is left over', () => {
  it('is handed out once, without what has become wanted again', () => {
    const leftovers = new Leftovers();
    const { members, service } = virtualServer(80);
    const delta = emptyDelta();
    for (const member of members) delta.removeMembers.set(member.id, member);
    delta.removeAddresses.add(VIP);
    leftovers.addStep(delta, [service]);
    expect(leftovers.list()).toEqual(
      [VIP, `KUBE-CLUSTER-IP ${VIP},tcp:80`, `KUBE-IPVS-IPS ${VIP}`, `TCP ${VIP}:80`].sort(),
    );
    const ledger = new Ledger();
    const other = desired('b', virtualServer(81));
    ledger.claim(other);
    ledger.settle(other.key, other, emptyDelta());
    const taken = leftovers.take(ledger);
    expect(show(taken.delta)).toEqual([`-KUBE-CLUSTER-IP ${VIP},tcp:80`]);
    expect(taken.deleted).toEqual([service]);
    expect(leftovers.list()).toEqual([]);
  });
});

describe('the difference of two virtual servers', () => {
  it.each<[string, DesiredVirtualServer | null, DesiredVirtualServer, string[]]>([
    [
      'none before',
      null,
      virtualServer(80, ['10.0.0.1']),
      ['virtualServer add rr', 'realServer add 10.0.0.1'],
    ],
    ['nothing', virtualServer(80, ['10.0.0.1', '10.0.0.2']), virtualServer(80, ['10.0.0.2', '10.0.0.1']), []],
    [
      'servers',
      virtualServer(80, ['10.0.0.1', '10.0.0.2']),
      virtualServer(80, ['10.0.0.2', '10.0.0.3']),
      ['realServer add 10.0.0.3', 'realServer delete 10.0.0.1'],
    ],
    [
      'weight',
      virtualServer(80, ['10.0.0.1']),
      virtualServer(80, ['10.0.0.1 0']),
      ['realServer change 10.0.0.1'],
    ],
    ['scheduler', virtualServer(80), virtualServer(80, [], { scheduler: 'sh' }), ['virtualServer change sh']],
    [
      'affinity',
      virtualServer(80),
      virtualServer(80, [], { flags: 1, timeoutSeconds: 60 }),
      ['virtualServer change rr persistent 60'],
    ],
    [
      'flags alone',
      virtualServer(80),
      virtualServer(80, [], { flags: 0x10 }),
      ['virtualServer change rr flag-2'],
    ],
    [
      'netmask alone',
      virtualServer(80),
      virtualServer(80, [], { netmask: 0xffffff00 }),
      ['virtualServer change rr'],
    ],
  ])('is by %s what has to be written, in its order', async (_, before, after, expected) => {
    const applied =
      before === null ? undefined : { service: before.service, destinations: before.realServers };
    const { service, add, remove } = diffVirtualServer(applied, after);
    const port = new RecordingPort(EMPTY_KERNEL);
    await port.applyIpvs([...(service === null ? [] : [service]), ...add, ...remove]);
    const lines = port.writes.map(({ kind, action, object, detail }) =>
      kind === 'virtualServer'
        ? `${kind} ${action} ${detail}`
        : `${kind} ${action} ${object.replace(/^.* -> (.*):8080$/, '$1')}`,
    );
    expect(lines).toEqual(expected);
  });
});
