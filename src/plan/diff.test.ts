// Differences between plans: what is named a change of a Service, of its virtual servers and of the node. That they are complete is a property
// in diff-complete.test.ts.

import { describe, expect, test } from 'vitest';
import { address, cidr } from '../../test/addresses.ts';
import { emptyPlan, PLAIN_NODE } from '../../test/nodes.ts';
import { serviceKey } from '../model/names.ts';
import { diffPlans, diffService } from './diff.ts';
import type { ForwardingPlan, RealServer, Selection, ServicePlan, VirtualServer } from './plan.ts';

const KEY = serviceKey('default', 'web');

function server(text: string, weight = 1): RealServer {
  return { address: address(text), port: 8080, weight, isLocal: false };
}

function forward(...realServers: RealServer[]): Selection {
  return { policy: 'Cluster', verdict: 'forward', realServers };
}

function virtualServer(changes: Partial<VirtualServer> = {}): VirtualServer {
  const selection = forward(server('10.244.1.1'), server('10.244.1.2'));
  return {
    kind: 'ClusterIP',
    portName: 'http',
    family: 'IPv4',
    protocol: 'TCP',
    address: address('10.96.0.1'),
    exceptAddresses: [],
    port: 80,
    scheduler: 'rr',
    schedulerFlags: [],
    affinitySeconds: 0,
    internal: selection,
    external: selection,
    masquerade: 'none',
    allowedSources: null,
    ...changes,
  };
}

function plan(...virtualServers: VirtualServer[]): ServicePlan {
  return { ...emptyPlan(KEY), virtualServers };
}

describe('diffService', () => {
  test('nothing changes between equal plans, or plans that differ in the order of adding only', () => {
    expect(diffService(undefined, undefined)).toBeNull();
    expect(diffService(plan(virtualServer()), plan(virtualServer()))).toBeNull();
    const turned = forward(server('10.244.1.2'), server('10.244.1.1'));
    expect(
      diffService(plan(virtualServer()), plan(virtualServer({ internal: turned, external: turned }))),
    ).toBeNull();
  });

  test('a Service comes and goes with all of its virtual servers', () => {
    const web = plan(virtualServer());
    const change = { id: 'ClusterIP TCP 10.96.0.1:80', virtualServer: web.virtualServers[0] };
    expect(diffService(undefined, web)).toEqual({
      key: KEY,
      change: 'added',
      virtualServers: [{ change: 'added', ...change }],
      localEndpoints: [],
      healthCheck: null,
    });
    expect(diffService(web, undefined)).toEqual({
      key: KEY,
      change: 'removed',
      virtualServers: [{ change: 'removed', ...change }],
      localEndpoints: [],
      healthCheck: null,
    });
  });

  test('settings and real servers are told apart, real servers in the order of addresses', () => {
    const next = forward(server('10.244.1.10'), server('10.244.1.2', 0), server('10.244.1.9'));
    const diff = diffService(
      plan(virtualServer()),
      plan(virtualServer({ scheduler: 'wlc', affinitySeconds: 60, internal: next, external: next })),
    );
    expect(diff!.virtualServers).toEqual([
      {
        change: 'changed',
        id: 'ClusterIP TCP 10.96.0.1:80',
        settings: [
          { field: 'scheduler', before: 'rr', after: 'wlc' },
          { field: 'affinitySeconds', before: 0, after: 60 },
        ],
        realServers: [
          { change: 'removed', clients: 'all', realServer: server('10.244.1.1') },
          { change: 'changed', clients: 'all', before: server('10.244.1.2'), after: server('10.244.1.2', 0) },
          { change: 'added', clients: 'all', realServer: server('10.244.1.9') },
          { change: 'added', clients: 'all', realServer: server('10.244.1.10') },
        ],
      },
    ]);
  });

  test('classes of clients are told apart where the answer differs', () => {
    const diff = diffService(
      plan(virtualServer()),
      plan(virtualServer({ external: { policy: 'Local', verdict: 'drop' } })),
    );
    expect(diff!.virtualServers).toMatchObject([
      {
        settings: [{ field: 'external', before: 'forward', after: 'drop' }],
        realServers: [
          { change: 'removed', clients: 'external', realServer: { address: '10.244.1.1' } },
          { change: 'removed', clients: 'external', realServer: { address: '10.244.1.2' } },
        ],
      },
    ]);
  });

  test('local endpoints come and go', () => {
    const localEndpoint = {
      family: 'IPv4',
      protocol: 'TCP',
      address: address('10.244.1.1'),
      port: 8080,
    } as const;
    const diff = diffService(plan(), { ...plan(), localEndpoints: [localEndpoint] });
    expect(diff).toEqual({
      key: KEY,
      change: 'changed',
      virtualServers: [],
      localEndpoints: [{ change: 'added', localEndpoint }],
      healthCheck: null,
    });
    expect(diffService({ ...plan(), localEndpoints: [localEndpoint] }, plan())).toMatchObject({
      change: 'changed',
      localEndpoints: [{ change: 'removed', localEndpoint }],
    });
  });

  test('local endpoints that come or go are in the order of address, port and protocol', () => {
    const local = (
      text: string,
      port: number,
      protocol: 'TCP' | 'UDP',
    ): ServicePlan['localEndpoints'][number] => ({
      family: 'IPv4',
      protocol,
      address: address(text),
      port,
    });
    const sorted = [
      local('10.244.1.9', 80, 'TCP'),
      local('10.244.1.10', 9, 'TCP'),
      local('10.244.1.10', 80, 'TCP'),
      local('10.244.1.10', 80, 'UDP'),
    ];
    const diff = diffService(plan(), { ...plan(), localEndpoints: sorted.toReversed() });
    expect(diff!.localEndpoints.map(({ localEndpoint }) => localEndpoint)).toEqual(sorted);
  });

  test('a health check comes, changes and goes', () => {
    const withCheck = (count: number): ServicePlan => ({
      ...plan(),
      healthCheck: { nodePort: 32_000, localEndpoints: { IPv4: count, IPv6: 0 } },
    });
    const change = (before: ServicePlan | undefined, after: ServicePlan | undefined): unknown =>
      diffService(before, after)?.healthCheck;
    const [one, two] = [withCheck(1), withCheck(2)];
    expect(diffService(one, two)).toEqual({
      key: KEY,
      change: 'changed',
      virtualServers: [],
      localEndpoints: [],
      healthCheck: { before: one.healthCheck, after: two.healthCheck },
    });
    expect(change(plan(), one)).toEqual({ before: null, after: one.healthCheck });
    expect(change(one, plan())).toEqual({ before: one.healthCheck, after: null });
    expect(change(undefined, one)).toEqual({ before: null, after: one.healthCheck });
    expect(change(one, undefined)).toEqual({ before: one.healthCheck, after: null });
    expect(diffService(one, withCheck(1))).toBeNull();
  });

  test.each<[string, Partial<VirtualServer>, Partial<VirtualServer>]>([
    ['portName', { portName: 'http' }, { portName: 'web' }],
    ['exceptAddresses', {}, { exceptAddresses: [address('192.168.50.11')] }],
    ['scheduler', { scheduler: 'rr' }, { scheduler: 'mh' }],
    ['schedulerFlags', { schedulerFlags: ['flag-2'] }, { schedulerFlags: ['flag-1', 'flag-2'] }],
    ['affinitySeconds', {}, { affinitySeconds: 10_800 }],
    ['masquerade', { masquerade: 'all' }, { masquerade: 'node' }],
    [
      'allowedSources',
      { allowedSources: null },
      { allowedSources: { cidrs: [cidr('203.0.113.0/24')], ownAddresses: [] } },
    ],
  ])('another value of %s is a change of that setting', (field, before, after) => {
    const [old, next] = [virtualServer(before), virtualServer(after)];
    const name = field as keyof VirtualServer;
    expect(diffService(plan(old), plan(next))!.virtualServers).toEqual([
      {
        change: 'changed',
        id: 'ClusterIP TCP 10.96.0.1:80',
        settings: [{ field, before: old[name], after: next[name] }],
        realServers: [],
      },
    ]);
  });

  test('both classes of clients get the same under two policies: each real server is named once', () => {
    const servers = [server('10.244.1.1'), server('10.244.1.2')];
    const local: Selection = { policy: 'Local', verdict: 'forward', realServers: servers };
    const before = plan(virtualServer({ internal: forward(...servers), external: local }));
    const less = servers.slice(0, 1);
    const after = plan(
      virtualServer({ internal: forward(...less), external: { ...local, realServers: less } }),
    );
    expect(diffService(before, after)!.virtualServers).toMatchObject([
      { settings: [], realServers: [{ change: 'removed', clients: 'all', realServer: servers[1] }] },
    ]);
    expect(diffService(plan(virtualServer({ internal: local, external: local })), before)).toBeNull();
  });

  test('classes of clients that are told apart on one side are told apart in the change', () => {
    const servers = [server('10.244.1.1'), server('10.244.1.2')];
    const before = plan(virtualServer({ internal: forward(...servers), external: forward(...servers) }));
    const after = plan(virtualServer({ internal: forward(...servers), external: forward(servers[0]!) }));
    expect(diffService(before, after)!.virtualServers).toMatchObject([
      { settings: [], realServers: [{ change: 'removed', clients: 'external', realServer: servers[1] }] },
    ]);
    expect(diffService(after, before)!.virtualServers).toMatchObject([
      { settings: [], realServers: [{ change: 'added', clients: 'external', realServer: servers[1] }] },
    ]);
    const drop = virtualServer({ internal: { policy: 'Local', verdict: 'drop' } });
    const reject = virtualServer({ internal: { policy: 'Local', verdict: 'reject' } });
    expect(diffService(plan(drop), plan(reject))!.virtualServers).toMatchObject([
      { settings: [{ field: 'internal', before: 'drop', after: 'reject' }], realServers: [] },
    ]);
  });

  test('virtual servers are in the order of their names', () => {
    const ports = [443, 80, 8080].map((port) => virtualServer({ port }));
    const ids = (list: VirtualServer[]): string[] =>
      diffService(plan(), plan(...list))!.virtualServers.map(({ id }) => id);
    expect(ids(ports)).toEqual(ids(ports.toReversed()));
    expect(ids(ports)[0]).toBe('ClusterIP TCP 10.96.0.1:443');
  });
});

describe('diffPlans', () => {
  const whole = (services: readonly ServicePlan[], node = PLAIN_NODE): ForwardingPlan => ({
    node,
    services: new Map(services.map((one) => [one.key, one])),
  });
  const named = (name: string, ...virtualServers: VirtualServer[]): ServicePlan => ({
    ...emptyPlan(serviceKey('default', name)),
    virtualServers,
  });

  test('settings of the node are compared by name', () => {
    const before = whole([]);
    const after = whole([], { ...PLAIN_NODE, zone: 'zone-a', scheduler: 'wlc', nodeIPs: [] });
    expect(diffPlans(before, after)).toEqual({
      node: [
        { field: 'scheduler', before: 'rr', after: 'wlc' },
        { field: 'zone', before: '', after: 'zone-a' },
      ],
      services: [],
    });
    expect(diffPlans(undefined, after)).toEqual({ node: [], services: [] });
  });

  test('Services that differ are named, sorted by key', () => {
    const before = whole([named('d'), named('b', virtualServer()), named('c', virtualServer())]);
    const after = whole([
      named('c', virtualServer({ scheduler: 'wlc' })),
      named('b', virtualServer()),
      named('a'),
    ]);
    const changes = (one: ForwardingPlan | undefined, other: ForwardingPlan): string[] =>
      diffPlans(one, other).services.map(({ key, change }) => `${key} ${change}`);
    expect(changes(before, after)).toEqual(['default/a added', 'default/c changed', 'default/d removed']);
    expect(changes(undefined, before)).toEqual(['default/b added', 'default/c added', 'default/d added']);
  });
});
