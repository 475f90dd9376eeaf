// Who owns an address, port and protocol that several virtual servers ask for, and what is left of the plans of the others. That nobody ever
// shares one is a property in plan-contract.test.ts.

import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { planOf } from '../../test/one-service.ts';
import { serviceKey } from '../model/names.ts';
import { Snapshot } from '../model/snapshot.ts';
import { addressesOf, claimsOf, restrictToOwned, virtualServerId } from './ownership.ts';
import { compile } from './planner.ts';
import type { NodeOptions, ServicePlan, VirtualServer } from './plan.ts';

const NODE: NodeOptions = {
  ...PLAIN_NODE,
  nodePortAddresses: [address('192.168.50.11'), address('192.168.60.11'), address('fd00:50::11')],
};

/** A Service: its name and the day in January on which it was made, and what it says of itself. */
interface Claimant {
  readonly name: string;
  readonly day: number;
  readonly spec: object;
  readonly ingress?: string;
}

/** The plan of several Services, and one line for each virtual server that one has or lost. */
function settle(claimants: readonly Claimant[], node = NODE): Record<string, string[]> {
  const snapshot = new Snapshot();
  for (const { name, day, spec, ingress } of claimants) {
    const [namespace, ownName] = name.includes('/') ? name.split('/') : ['default', name];
    snapshot.apply({
      type: 'apply',
      object: {
        kind: 'Service',
        metadata: { name: ownName!, namespace: namespace!, creationTimestamp: `2026-01-0${day}T00:00:00Z` },
        spec: { ports: [{ port: 80 }], ...spec },
        status: { loadBalancer: { ingress: ingress === undefined ? [] : [{ ip: ingress }] } },
      },
    });
  }
  const lines: Record<string, string[]> = {};
  for (const [key, { virtualServers, lost, healthCheck }] of compile(snapshot, node).services) {
    const asked = snapshot.get(key)!.service.healthCheckNodePort;
    lines[key.replace('default/', '')] = [
      ...virtualServers.map((one) => {
        const except = one.exceptAddresses.length === 0 ? '' : ` but on ${one.exceptAddresses.join(' ')}`;
        return virtualServerId(one) + except;
      }),
      ...lost.map(
        ({ id, addresses, owner }) =>
          `LOST ${id}${addresses.length === 0 ? '' : ` on ${addresses.join(' ')}`} to ${owner.replace('default/', '')}`,
      ),
      ...(asked === 0
        ? []
        : [healthCheck === null ? 'no health check' : `health check ${healthCheck.nodePort}`]),
    ];
  }
  return lines;
}

describe('names and claims', () => {
  const all = (): readonly VirtualServer[] =>
    planOf({ externalIPs: ['2001:db8::1'], clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] }).virtualServers;

  test('a virtual server is named by kind, protocol, address and port; a node port by its family', () => {
    expect(all().map(virtualServerId)).toEqual([
      'ClusterIP TCP 10.96.0.1:80',
      'ClusterIP TCP [fd00:10:96::1]:80',
      'ExternalIP TCP [2001:db8::1]:80',
      'NodePort TCP IPv4 *:30080',
      'NodePort TCP IPv6 *:30080',
    ]);
  });

  test('a node port answers on the addresses of its family, but for those that belong to others', () => {
    const addresses = all().map((one) => addressesOf(one, NODE).join(' '));
    expect(addresses).toEqual([
      '10.96.0.1',
      'fd00:10:96::1',
      '2001:db8::1',
      '192.168.50.11 192.168.60.11',
      'fd00:50::11',
    ]);
    const restricted = { ...all()[3]!, exceptAddresses: [address('192.168.50.11')] };
    expect(addressesOf(restricted, NODE)).toEqual(['192.168.60.11']);
  });

  test('a Service claims each address, port and protocol, and node ports themselves', () => {
    expect(claimsOf(planOf({}), NODE)).toEqual([
      'TCP 10.96.0.1:80',
      'TCP IPv4 *:30080',
      'TCP 192.168.50.11:30080',
      'TCP 192.168.60.11:30080',
    ]);
  });
});

describe('of two Services that claim one address and port', () => {
  const spec = { clusterIP: '10.96.0.1' };
  const id = 'ClusterIP TCP 10.96.0.1:80';

  test('the older one owns it', () => {
    expect(
      settle([
        { name: 'a', day: 2, spec },
        { name: 'z', day: 1, spec },
      ]),
    ).toEqual({
      a: [`LOST ${id} to z`],
      z: [id],
    });
  });

  test('of equal age, the first by namespace owns it', () => {
    expect(
      settle([
        { name: 'b/a', day: 1, spec },
        { name: 'a/z', day: 1, spec },
      ]),
    ).toEqual({
      'a/z': [id],
      'b/a': [`LOST ${id} to a/z`],
    });
  });

  test('of equal age and namespace, the first by name owns it', () => {
    expect(
      settle([
        { name: 'b', day: 1, spec },
        { name: 'a', day: 1, spec },
      ]),
    ).toEqual({
      a: [id],
      b: [`LOST ${id} to a`],
    });
  });

  test('other ports and protocols of an address are nobody else’s business', () => {
    const ports = [
      { name: 'x', port: 81 },
      { name: 'y', port: 80, protocol: 'UDP' },
    ];
    expect(
      settle([
        { name: 'a', day: 1, spec },
        { name: 'b', day: 2, spec: { ...spec, ports } },
      ]),
    ).toEqual({
      a: [id],
      b: ['ClusterIP TCP 10.96.0.1:81', 'ClusterIP UDP 10.96.0.1:80'],
    });
  });
});

describe('kinds against each other', () => {
  const other = { clusterIP: '10.96.0.2' };
  test.each<[string, Claimant, Claimant, string[], string[]]>([
    [
      'ClusterIP against ExternalIP of a younger Service',
      { name: 'a', day: 1, spec: { clusterIP: '10.96.0.1' } },
      { name: 'b', day: 2, spec: { ...other, externalIPs: ['10.96.0.1'] } },
      ['ClusterIP TCP 10.96.0.1:80'],
      ['ClusterIP TCP 10.96.0.2:80', 'LOST ExternalIP TCP 10.96.0.1:80 to a'],
    ],
    [
      'ClusterIP against ExternalIP of an older Service: no kind is better than another',
      { name: 'a', day: 2, spec: { clusterIP: '10.96.0.1' } },
      { name: 'b', day: 1, spec: { ...other, externalIPs: ['10.96.0.1'] } },
      ['LOST ClusterIP TCP 10.96.0.1:80 to b'],
      ['ClusterIP TCP 10.96.0.2:80', 'ExternalIP TCP 10.96.0.1:80'],
    ],
    [
      'ExternalIP against LoadBalancerIP',
      { name: 'a', day: 1, spec: { clusterIP: '10.96.0.1', externalIPs: ['198.51.100.9'] } },
      { name: 'b', day: 2, spec: other, ingress: '198.51.100.9' },
      ['ClusterIP TCP 10.96.0.1:80', 'ExternalIP TCP 198.51.100.9:80'],
      ['ClusterIP TCP 10.96.0.2:80', 'LOST LoadBalancerIP TCP 198.51.100.9:80 to a'],
    ],
    [
      'NodePort against NodePort: all of it',
      { name: 'a', day: 1, spec: { clusterIP: '10.96.0.1', ports: [{ port: 80, nodePort: 30_080 }] } },
      { name: 'b', day: 2, spec: { ...other, ports: [{ port: 80, nodePort: 30_080 }] } },
      ['ClusterIP TCP 10.96.0.1:80', 'NodePort TCP IPv4 *:30080'],
      ['ClusterIP TCP 10.96.0.2:80', 'LOST NodePort TCP IPv4 *:30080 to a'],
    ],
    [
      'NodePort against an older ExternalIP on one node address: that address only',
      {
        name: 'a',
        day: 1,
        spec: { clusterIP: '10.96.0.1', ports: [{ port: 30_080 }], externalIPs: ['192.168.60.11'] },
      },
      { name: 'b', day: 2, spec: { ...other, ports: [{ port: 80, nodePort: 30_080 }] } },
      ['ClusterIP TCP 10.96.0.1:30080', 'ExternalIP TCP 192.168.60.11:30080'],
      [
        'ClusterIP TCP 10.96.0.2:80',
        'NodePort TCP IPv4 *:30080 but on 192.168.60.11',
        'LOST NodePort TCP IPv4 *:30080 on 192.168.60.11 to a',
      ],
    ],
    [
      'NodePort against a younger ExternalIP on a node address',
      {
        name: 'a',
        day: 2,
        spec: { clusterIP: '10.96.0.1', ports: [{ port: 30_080 }], externalIPs: ['192.168.60.11'] },
      },
      { name: 'b', day: 1, spec: { ...other, ports: [{ port: 80, nodePort: 30_080 }] } },
      ['ClusterIP TCP 10.96.0.1:30080', 'LOST ExternalIP TCP 192.168.60.11:30080 to b'],
      ['ClusterIP TCP 10.96.0.2:80', 'NodePort TCP IPv4 *:30080'],
    ],
    [
      'NodePort against an older LoadBalancerIP on all node addresses but the IPv6 one',
      {
        name: 'a',
        day: 1,
        spec: { clusterIP: '10.96.0.1', ports: [{ port: 30_080 }], externalIPs: ['192.168.60.11'] },
        ingress: '192.168.50.11',
      },
      {
        name: 'b',
        day: 2,
        spec: { clusterIPs: ['10.96.0.2', 'fd00:10:96::2'], ports: [{ port: 80, nodePort: 30_080 }] },
      },
      [
        'ClusterIP TCP 10.96.0.1:30080',
        'ExternalIP TCP 192.168.60.11:30080',
        'LoadBalancerIP TCP 192.168.50.11:30080',
      ],
      [
        'ClusterIP TCP 10.96.0.2:80',
        'ClusterIP TCP [fd00:10:96::2]:80',
        'NodePort TCP IPv4 *:30080 but on 192.168.50.11 192.168.60.11',
        'NodePort TCP IPv6 *:30080',
        'LOST NodePort TCP IPv4 *:30080 on 192.168.50.11 192.168.60.11 to a',
      ],
    ],
    [
      'NodePort of another protocol',
      { name: 'a', day: 1, spec: { clusterIP: '10.96.0.1', ports: [{ port: 80, nodePort: 30_080 }] } },
      {
        name: 'b',
        day: 2,
        spec: { ...other, ports: [{ port: 80, protocol: 'UDP', nodePort: 30_080 }] },
      },
      ['ClusterIP TCP 10.96.0.1:80', 'NodePort TCP IPv4 *:30080'],
      ['ClusterIP UDP 10.96.0.2:80', 'NodePort UDP IPv4 *:30080'],
    ],
  ])('%s', (_name, a, b, ofA, ofB) => {
    expect(settle([a, b])).toEqual({ a: ofA, b: ofB });
    expect(settle([b, a])).toEqual({ a: ofA, b: ofB });
  });

  test('a node port that loses addresses to two Services says to whom each went', () => {
    const ports = [{ port: 30_080 }];
    const lines = settle([
      { name: 'a', day: 1, spec: { clusterIP: '10.96.0.1', ports, externalIPs: ['192.168.60.11'] } },
      { name: 'b', day: 2, spec: { clusterIP: '10.96.0.2', ports, externalIPs: ['192.168.50.11'] } },
      {
        name: 'c',
        day: 3,
        spec: { ...other, clusterIP: '10.96.0.3', ports: [{ port: 80, nodePort: 30_080 }] },
      },
    ]);
    expect(lines['c']).toEqual([
      'ClusterIP TCP 10.96.0.3:80',
      'NodePort TCP IPv4 *:30080 but on 192.168.50.11 192.168.60.11',
      'LOST NodePort TCP IPv4 *:30080 on 192.168.50.11 to b',
      'LOST NodePort TCP IPv4 *:30080 on 192.168.60.11 to a',
    ]);
  });
});

describe('a health-check port is a node port of the agent', () => {
  const local = (clusterIP: string, more: object = {}): object => ({
    type: 'LoadBalancer',
    clusterIP,
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32_000,
    ...more,
  });
  const nodePort = { type: 'NodePort', clusterIP: '10.96.0.8', ports: [{ port: 80, nodePort: 32_000 }] };

  test('the older of two Services has it', () => {
    const lines = settle([
      { name: 'b', day: 1, spec: local('10.96.0.2') },
      { name: 'a', day: 2, spec: local('10.96.0.1') },
    ]);
    expect(lines).toEqual({
      a: ['ClusterIP TCP 10.96.0.1:80', 'LOST HealthCheckNodePort TCP *:32000 to b', 'no health check'],
      b: ['ClusterIP TCP 10.96.0.2:80', 'health check 32000'],
    });
  });

  test('a node port of an older Service takes it, one of a younger one does not get it', () => {
    const older = settle([
      { name: 'np', day: 1, spec: nodePort },
      { name: 'lb', day: 2, spec: local('10.96.0.1') },
    ]);
    expect(older['lb']).toContain('LOST HealthCheckNodePort TCP *:32000 to np');
    expect(older['np']).toContain('NodePort TCP IPv4 *:32000');
    const younger = settle([
      { name: 'np', day: 2, spec: nodePort },
      { name: 'lb', day: 1, spec: local('10.96.0.1') },
    ]);
    expect(younger['lb']).toContain('health check 32000');
    expect(younger['np']).toContain('LOST NodePort TCP IPv4 *:32000 to lb');
  });

  test('over UDP the same number is another port', () => {
    const ports = [{ port: 80, nodePort: 32_000, protocol: 'UDP' }];
    const lines = settle([
      { name: 'np', day: 1, spec: { ...nodePort, ports } },
      { name: 'lb', day: 2, spec: local('10.96.0.1') },
    ]);
    expect(lines['lb']).toContain('health check 32000');
  });

  test('an IPv6 node port of an older Service takes it as well', () => {
    const lines = settle([
      { name: 'np', day: 1, spec: { ...nodePort, clusterIP: 'fd00:10:96::8' } },
      { name: 'lb', day: 2, spec: local('10.96.0.1') },
    ]);
    expect(lines['lb']).toContain('no health check');
  });
});

describe('within one Service', () => {
  const spec = {
    clusterIP: '10.96.0.1',
    ports: [
      { name: 'a', port: 80, nodePort: 30_080 },
      { name: 'b', port: 30_080 },
    ],
    externalIPs: ['192.168.60.11'],
  };

  test('its NodePort stands back behind its own external IP on a node address, without a word', () => {
    expect(settle([{ name: 'a', day: 1, spec }])).toEqual({
      a: [
        'ClusterIP TCP 10.96.0.1:80',
        'ExternalIP TCP 192.168.60.11:80',
        'NodePort TCP IPv4 *:30080 but on 192.168.60.11',
        'ClusterIP TCP 10.96.0.1:30080',
        'ExternalIP TCP 192.168.60.11:30080',
      ],
    });
  });

  test('its NodePort names the owner of an address that both it and its external IP lost', () => {
    const older = { clusterIP: '10.96.0.9', ports: [{ port: 30_080 }], externalIPs: ['192.168.60.11'] };
    const lines = settle([
      { name: 'a', day: 2, spec },
      { name: 'o', day: 1, spec: older },
    ]);
    expect(lines['a']!.filter((line) => line.startsWith('LOST'))).toEqual([
      'LOST NodePort TCP IPv4 *:30080 on 192.168.60.11 to o',
      'LOST ExternalIP TCP 192.168.60.11:30080 to o',
    ]);
  });
});

describe('restrictToOwned', () => {
  const KEY = serviceKey('default', 'web');
  const OTHER = serviceKey('default', 'other');

  test('gives the same object back when the Service owns everything', () => {
    const plan = planOf({});
    expect(restrictToOwned(plan, NODE, () => KEY)).toBe(plan);
    // A claim that nobody has made is nobody else's.
    expect(restrictToOwned(plan, NODE, () => undefined)).toBe(plan);
  });

  test('adds a problem for each loss to those the plan has', () => {
    const plan: ServicePlan = {
      ...planOf({}),
      problems: [
        { object: 'Service default/web', field: 'x', reason: 'InvalidField', message: 'y', remedy: 'z' },
      ],
    };
    const isLost = (claim: string): boolean => claim.includes('10.96.0.1') || claim.includes('192.168.');
    const { problems, ...rest } = restrictToOwned(plan, NODE, (claim) => (isLost(claim) ? OTHER : KEY));
    expect(problems).toEqual([
      plan.problems[0],
      {
        object: 'Service default/web',
        field: '',
        reason: 'AddressConflict',
        message:
          'ClusterIP TCP 10.96.0.1:80 belongs to Service default/other, which is older (with equal age: first by name); this Service does not get it',
        remedy: 'give one of the two another address or port',
      },
      {
        object: 'Service default/web',
        field: '',
        reason: 'AddressConflict',
        message:
          'NodePort TCP IPv4 *:30080 on 192.168.50.11, 192.168.60.11 belongs to Service default/other, which is older (with equal age: first by name); this Service does not get it',
        remedy: 'give one of the two another address or port',
      },
    ]);
    expect(rest.virtualServers).toEqual([
      { ...plan.virtualServers[1], exceptAddresses: ['192.168.50.11', '192.168.60.11'] },
    ]);
    expect(rest.localEndpoints).toBe(plan.localEndpoints);
  });
});
