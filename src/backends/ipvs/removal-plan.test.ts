// Whose is whose, as tables: what leaves with each owner, in which order, and what stays with which reason.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { address, cidr } from '../../../test/addresses.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { ForwardingMethod, ServiceKey } from '../../kernel/ipvs-codec.ts';
import type { Family } from '../../model/ip.ts';
import { objectsOf, type Removal } from '../removal.ts';
import type { InventoryService, InventorySet, IpvsInventory } from './inventory.ts';
import type { Owner } from './provenance.ts';
import { planIpvsRemoval, type IpvsRemovalPlan } from './removal-plan.ts';
import { kernelSetName, SET_NAMES, SETS, type SetName } from './sets.ts';

const TCP = 6;
const plain = { scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0xffffffff } as const;

function familyOfText(text: string): Family {
  return text.includes(':') ? 'IPv6' : 'IPv4';
}

/** "10.96.0.1 443" with servers "10.244.1.5 6443"; TCP. */
function server(
  at: string,
  destinations: readonly string[] = [],
  forwarding: ForwardingMethod = 'masquerade',
): InventoryService {
  const [ip = '', port] = at.split(' ');
  const key: ServiceKey = {
    family: familyOfText(ip),
    protocol: TCP,
    address: address(ip),
    port: Number(port),
  };
  return {
    service: { ...key, ...plain },
    destinations: destinations.map((each) => {
      const [to = '', toPort] = each.split(' ');
      return { address: address(to), port: Number(toPort), forwarding };
    }),
  };
}

const portal = (at: string): SetMember => {
  const [ip = '', port] = at.split(' ');
  return { address: address(ip), protocol: TCP, port: Number(port) };
};

/** All 18 sets of a family, with these members. */
function sets(family: Family, members: Partial<Record<SetName, readonly SetMember[]>>): InventorySet[] {
  return SET_NAMES.filter((set) => set !== 'POINTSMAN-VS' || members[set] !== undefined).map((set) => ({
    name: kernelSetName(set, family),
    type: SETS[set].type,
    family: SETS[set].type === 'bitmap:port' ? null : family,
    members: members[set] ?? [],
  }));
}

function inventory(
  parts: Partial<IpvsInventory> & { readonly bound?: readonly string[]; readonly node?: readonly string[] },
): IpvsInventory {
  const { bound, node, ...rest } = parts;
  const addresses = (bound ?? []).map((each) => {
    const [ip = '', prefix] = each.split('/');
    const prefixLength = prefix === undefined ? (ip.includes(':') ? 128 : 32) : Number(prefix);
    return { address: address(ip), prefixLength };
  });
  return {
    services: [],
    sets: [],
    link: bound === undefined ? null : { name: 'kube-ipvs0', kind: 'dummy', addresses },
    nodeAddresses: new Set((node ?? []).map(address)),
    ...rest,
  };
}

const plan = (
  from: IpvsInventory,
  owners: readonly Owner[] = ['pointsman'],
  excludeCIDRs: readonly string[] = [],
): IpvsRemovalPlan =>
  planIpvsRemoval(from, { owners: new Set(owners), excludeCIDRs: excludeCIDRs.map(cidr) });

const words = (removals: readonly Removal[]): string[] =>
  removals.flatMap(objectsOf).map(({ kind, object }) => `${kind} ${object}`);
const keptOf = ({ kept }: IpvsRemovalPlan): string[] => kept.map(({ kind, object }) => `${kind} ${object}`);

/** One Service of ours: a cluster IP and a NodePort. */
const OURS = inventory({
  services: [
    server('10.96.0.1 443', ['10.244.1.5 6443']),
    server('192.168.50.11 30443', ['10.244.1.5 6443']),
  ],
  sets: sets('IPv4', {
    'POINTSMAN-VS': [portal('10.96.0.1 443'), portal('192.168.50.11 30443')],
    'KUBE-CLUSTER-IP': [portal('10.96.0.1 443')],
    'KUBE-NODE-PORT-TCP': [{ port: 30443 }],
    'KUBE-IPVS-IPS': [{ address: address('10.96.0.1') }],
    'KUBE-LOOP-BACK': [{ ...portal('10.244.1.5 6443'), address2: address('10.244.1.5') }],
    'KUBE-HEALTH-CHECK-NODE-PORT': [{ port: 31234 }],
  }),
  bound: ['10.96.0.1'],
  node: ['192.168.50.11'],
});

describe('what is ours', () => {
  it('goes in the reverse of the order of opening', () => {
    const { removals, sets: gone, link, kept, layoutStays } = plan(OURS);
    expect(words(removals)).toEqual([
      'address 10.96.0.1',
      'member KUBE-CLUSTER-IP 10.96.0.1,tcp:443',
      'member KUBE-HEALTH-CHECK-NODE-PORT 31234',
      'virtualServer TCP 10.96.0.1:443',
      'virtualServer TCP 192.168.50.11:30443',
    ]);
    expect(gone).toHaveLength(18);
    expect([words(link), kept, layoutStays.size]).toEqual([['link kube-ipvs0'], [], 0]);
  });

  it('is only what has a mark; sets and rules go all the same when no one on kube-ipvs0 needs them', () => {
    const result = plan({ ...OURS, services: [...OURS.services, server('192.0.2.7 80')] });
    expect(words(result.removals)).toHaveLength(5);
    expect(keptOf(result)).toEqual(['virtualServer TCP 192.0.2.7:80']);
    expect(result.sets).toHaveLength(18);
  });

  it('leaves sets, rules, link and the members that it needs to a virtual server of others on kube-ipvs0', () => {
    const result = plan({
      ...OURS,
      services: [
        ...OURS.services,
        server('10.96.0.1 80', ['10.244.1.5 6443']),
        server('192.168.50.12 30443'),
      ],
    });
    expect(words([...result.removals, ...result.sets, ...result.link])).toEqual([
      'member KUBE-CLUSTER-IP 10.96.0.1,tcp:443',
      'virtualServer TCP 10.96.0.1:443',
      'virtualServer TCP 192.168.50.11:30443',
      'set POINTSMAN-VS',
    ]);
    expect([...result.layoutStays]).toContain('IPv4');
    expect(keptOf(result)).toEqual([
      'virtualServer TCP 10.96.0.1:80',
      'virtualServer TCP 192.168.50.12:30443',
      'rules rules and sets of mode ipvs, IPv4',
      'address 10.96.0.1',
    ]);
  });

  it('takes the guards of its own from sets that stay, behind its virtual servers', () => {
    const other = server('10.96.0.9 80', ['10.244.1.9 80']);
    const result = plan({
      ...OURS,
      services: [...OURS.services, other],
      link: inventory({ bound: ['10.96.0.1', '10.96.0.9'] }).link,
    });
    expect(words(result.removals)).toEqual([
      'address 10.96.0.1',
      'member KUBE-CLUSTER-IP 10.96.0.1,tcp:443',
      'virtualServer TCP 10.96.0.1:443',
      'virtualServer TCP 192.168.50.11:30443',
      'member KUBE-LOOP-BACK 10.244.1.5,tcp:6443,10.244.1.5',
      'member KUBE-NODE-PORT-TCP 30443',
      'member KUBE-IPVS-IPS 10.96.0.1',
    ]);
  });

  it('goes to its end when a clean-up was cut short: marks and KUBE-IPVS-IPS tell of what is left', () => {
    const left = plan({ ...OURS, services: [], link: inventory({ bound: ['10.96.0.1'] }).link });
    expect(words(left.removals)).toContain('address 10.96.0.1');
    const beside = plan({
      ...OURS,
      services: [server('10.96.0.9 80')],
      link: inventory({ bound: ['10.96.0.1', '10.96.0.9'] }).link,
    });
    expect(words(beside.removals)).toEqual([
      'address 10.96.0.1',
      'member KUBE-CLUSTER-IP 10.96.0.1,tcp:443',
      'member KUBE-NODE-PORT-TCP 30443',
      'member KUBE-IPVS-IPS 10.96.0.1',
    ]);
  });

  it('is one family apart from the other', () => {
    const result = plan({
      ...OURS,
      services: [...OURS.services, server('fd96::9 80')],
      sets: [...OURS.sets, ...sets('IPv6', { 'POINTSMAN-VS': [] })],
      link: inventory({ bound: ['10.96.0.1', 'fd96::9'] }).link,
    });
    expect([...result.layoutStays]).toEqual(['IPv6']);
    expect(result.sets.map(({ name }) => name).filter((name) => name.includes('-6-'))).toEqual([
      'POINTSMAN-6-VS',
    ]);
    expect(result.sets).toHaveLength(19);
    expect(result.link).toEqual([]);
  });
});

it('another proxy loses nothing to a clean-up of ours, where we never were: not in the family that it has no Service of either', () => {
  const theirs = inventory({
    services: [server('10.96.0.1 443')],
    sets: [...sets('IPv4', {}), ...sets('IPv6', {})],
    bound: ['10.96.0.1'],
  });
  const result = plan(theirs);
  expect([result.removals, result.sets, result.link]).toEqual([[], [], []]);
  expect([...result.layoutStays]).toEqual(['IPv4', 'IPv6']);
  expect(plan(theirs, ['kube-proxy']).sets).toHaveLength(34);
});

describe('kube-ipvs0', () => {
  it.each([
    [
      'an address that nobody of ours knows',
      { bound: ['10.99.0.1'] },
      ['address 10.99.0.1', 'link kube-ipvs0'],
    ],
    [
      'an address of ours with a network',
      { bound: ['10.96.0.1/24'], services: OURS.services, sets: OURS.sets },
      ['address 10.96.0.1', 'link kube-ipvs0'],
    ],
    [
      'a link of another kind',
      { link: { name: 'kube-ipvs0', kind: 'bridge', addresses: [] } },
      ['link kube-ipvs0'],
    ],
  ])('stays with %s', (_what, parts, kept) => {
    const result = plan(inventory(parts));
    expect([result.link, keptOf(result)]).toEqual([[], kept]);
  });

  it('goes when nothing is on it, whoever made it, and is no matter when it does not exist', () => {
    expect(words(plan(inventory({ bound: [] })).link)).toEqual(['link kube-ipvs0']);
    expect(plan(inventory({})).link).toEqual([]);
  });
});

describe('sets', () => {
  it.each([
    ['another type', { name: 'KUBE-CLUSTER-IP', type: 'hash:net', family: 'IPv4', members: [] }],
    ['another family', { name: 'KUBE-CLUSTER-IP', type: 'hash:ip,port', family: 'IPv6', members: [] }],
  ] as const)('of our name but %s stay', (_what, set) => {
    const result = plan(inventory({ sets: [set] }));
    expect([result.sets, keptOf(result)]).toEqual([[], ['set KUBE-CLUSTER-IP']]);
  });

  it('that were left over while another was replaced go with ours', () => {
    const left = inventory({
      sets: [{ name: 'POINTSMAN-TMP', type: 'hash:ip', family: 'IPv4', members: [] }],
    });
    expect(words(plan(left).sets)).toEqual(['set POINTSMAN-TMP']);
    expect(words(plan(left, ['kube-proxy']).sets)).toEqual([]);
  });
});

describe("what is kube-proxy's", () => {
  const node = ['192.168.50.11'];
  it.each([
    ['on kube-ipvs0', server('10.96.0.1 443'), true],
    [
      'on kube-ipvs0, with other than masqueraded servers',
      server('10.96.0.1 443', ['10.0.0.1 1'], 'directRoute'),
      true,
    ],
    ['a NodePort with masqueraded servers', server('192.168.50.11 30000', ['10.0.0.1 1']), true],
    ['the last NodePort, without servers', server('192.168.50.11 32767'), true],
    [
      'a NodePort with a server that is not masqueraded',
      server('192.168.50.11 30000', ['10.0.0.1 1'], 'tunnel'),
      false,
    ],
    ['below the NodePorts', server('192.168.50.11 29999'), false],
    ['above the NodePorts', server('192.168.50.11 32768'), false],
    ['a NodePort elsewhere', server('192.168.50.12 30000'), false],
    [
      'a firewall mark',
      { service: { family: 'IPv4', fwmark: 7, ...plain }, destinations: [] } as const,
      false,
    ],
  ])('%s: %#', (_what, service, leaves) => {
    const from = inventory({ services: [service], bound: ['10.96.0.1'], node });
    const result = plan(from, ['kube-proxy']);
    const gone = result.removals.filter(({ kind }) => kind === 'virtualServer');
    expect([gone.length, result.kept.some(({ kind }) => kind === 'virtualServer')]).toEqual([
      leaves ? 1 : 0,
      !leaves,
    ]);
  });

  it('is not what excludeCIDRs names, nor the address and rules that it needs', () => {
    const from = inventory({
      services: [server('10.96.0.1 443'), server('10.97.0.1 443')],
      sets: sets('IPv4', { 'KUBE-IPVS-IPS': [{ address: address('10.96.0.1') }] }),
      bound: ['10.96.0.1', '10.97.0.1'],
    });
    const result = plan(from, ['kube-proxy'], ['10.97.0.0/16', 'fd00::/8']);
    expect(words([...result.removals, ...result.sets, ...result.link])).toEqual([
      'address 10.96.0.1',
      'virtualServer TCP 10.96.0.1:443',
      'member KUBE-IPVS-IPS 10.96.0.1',
    ]);
  });

  it('is nothing of ours, even when we have no Service', () => {
    const ours = plan(OURS, ['kube-proxy']);
    expect([ours.removals, ours.sets, ours.link]).toEqual([[], [], []]);
    const empty = inventory({ sets: sets('IPv4', { 'POINTSMAN-VS': [] }), bound: [] });
    const result = plan(empty, ['kube-proxy']);
    expect([result.sets, result.link, [...result.layoutStays]]).toEqual([[], [], ['IPv4', 'IPv6']]);
  });

  it('goes with ours when both leave', () => {
    const both = {
      ...OURS,
      services: [...OURS.services, server('10.96.0.1 80'), server('192.168.50.11 30080')],
    };
    const result = plan(both, ['pointsman', 'kube-proxy']);
    expect([result.kept, result.sets.length, result.link.length]).toEqual([[], 18, 1]);
    expect(result.removals.filter(({ kind }) => kind === 'virtualServer')).toHaveLength(4);
  });
});

it('whatever is there: nothing that stays loses its address, its members or its guards, and nothing is removed twice', () => {
  const place = fc.record({
    ip: fc.constantFrom('10.96.0.1', '10.96.0.2', '10.96.0.3', '192.168.50.11', '192.0.2.7'),
    port: fc.constantFrom(80, 443, 30080),
    isMarked: fc.boolean(),
    isExcluded: fc.boolean(),
  });
  const owners = fc.subarray<Owner>(['pointsman', 'kube-proxy'], { minLength: 1 });
  fc.assert(
    fc.property(
      fc.uniqueArray(place, { selector: ({ ip, port }) => `${ip} ${port}` }),
      owners,
      (places, who) => {
        const services = places.map(({ ip, port }) => server(`${ip} ${port}`));
        const members = places.map(({ ip, port }) => portal(`${ip} ${port}`));
        const from = inventory({
          services,
          sets: sets('IPv4', {
            'POINTSMAN-VS': members.filter((_, i) => places[i]?.isMarked === true),
            'KUBE-CLUSTER-IP': members,
            'KUBE-IPVS-IPS': ['10.96.0.1', '10.96.0.2'].map((ip) => ({ address: address(ip) })),
          }),
          bound: ['10.96.0.1', '10.96.0.2', '10.96.0.3'],
          node: ['192.168.50.11'],
        });
        const excluded = places.filter(({ isExcluded }) => isExcluded).map(({ ip }) => `${ip}/32`);
        const result = plan(from, who, excluded);
        const gone = words([...result.removals, ...result.sets, ...result.link]);
        expect(new Set(gone).size).toBe(gone.length);
        const staying = places.filter(({ ip, port }) => !gone.includes(`virtualServer TCP ${ip}:${port}`));
        for (const { ip, port } of staying) {
          expect(gone).not.toContain(`address ${ip}`);
          if (!ip.startsWith('10.96.')) continue;
          expect(gone).not.toContain(`member KUBE-CLUSTER-IP ${ip},tcp:${port}`);
          expect(gone).not.toContain(`member KUBE-IPVS-IPS ${ip}`);
          for (const unwanted of ['set KUBE-CLUSTER-IP', 'set KUBE-IPVS-IPS', 'link kube-ipvs0'])
            expect(gone).not.toContain(unwanted);
        }
      },
    ),
  );
});
