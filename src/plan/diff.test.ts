// Differences between plans; complete, because carrying them out on the old plan gives the new one.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { clusterEvents, nodeOptions } from '../../test/arbitraries.ts';
import { compareText } from '../model/ip.ts';
import { serviceKey } from '../model/names.ts';
import { Snapshot } from '../model/snapshot.ts';
import { compile } from './compile.ts';
import { diffPlans, diffService, virtualServerId, type RealServerChange, type ServiceDiff } from './diff.ts';
import type { ForwardingPlan, RealServer, Selection, ServicePlan, VirtualServer } from './plan.ts';

const KEY = serviceKey('default', 'web');

function server(text: string, weight = 1): RealServer {
  return { address: address(text), port: 8080, weight, isLocal: false };
}

function forward(...realServers: RealServer[]): Selection {
  return { verdict: 'forward', realServers };
}

function virtualServer(changes: Partial<VirtualServer> = {}): VirtualServer {
  const selection = forward(server('10.244.1.1'), server('10.244.1.2'));
  return {
    kind: 'ClusterIP',
    portName: 'http',
    family: 'IPv4',
    protocol: 'TCP',
    address: address('10.96.0.1'),
    port: 80,
    scheduler: 'rr',
    affinitySeconds: 0,
    internal: selection,
    external: selection,
    masquerade: 'none',
    sourceRanges: null,
    ...changes,
  };
}

function plan(...virtualServers: VirtualServer[]): ServicePlan {
  return { key: KEY, createdAtMs: 0, isCritical: false, virtualServers, localEndpoints: [], problems: [] };
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
    });
    expect(diffService(web, undefined)).toEqual({
      key: KEY,
      change: 'removed',
      virtualServers: [{ change: 'removed', ...change }],
      localEndpoints: [],
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
    const diff = diffService(plan(virtualServer()), plan(virtualServer({ external: { verdict: 'drop' } })));
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
    });
  });

  test.each([
    ['ClusterIP TCP 10.96.0.1:80', {}],
    [
      'ExternalIP UDP [2001:db8::1]:80',
      { kind: 'ExternalIP', protocol: 'UDP', family: 'IPv6', address: address('2001:db8::1') },
    ],
    ['NodePort TCP IPv6 *:30080', { kind: 'NodePort', family: 'IPv6', address: null, port: 30_080 }],
  ] as const)('a virtual server is named %s', (expected, changes) => {
    expect(virtualServerId(virtualServer(changes))).toBe(expected);
  });
});

/** What a plan does, without the order in which it is added and without problems. */
function canonical(plans: ForwardingPlan['services']): unknown {
  const id = (one: { address: string; port: number; protocol?: string }): string =>
    `${one.protocol} ${one.address} ${one.port}`;
  const selection = (one: Selection): Selection =>
    one.verdict === 'forward'
      ? forward(...one.realServers.toSorted((a, b) => compareText(id(a), id(b))))
      : one;
  return [...plans.values()]
    .map(({ key, virtualServers, localEndpoints }) => ({
      key,
      virtualServers: virtualServers
        .map((one) => ({ ...one, internal: selection(one.internal), external: selection(one.external) }))
        .sort((a, b) => compareText(virtualServerId(a), virtualServerId(b))),
      localEndpoints: localEndpoints.toSorted((a, b) => compareText(id(a), id(b))),
    }))
    .sort((a, b) => compareText(a.key, b.key));
}

/** Carries the differences out on a plan: the other half of the property below. */
function applyDiff(before: ServicePlan | undefined, diff: ServiceDiff): ServicePlan | undefined {
  if (diff.change === 'removed') return undefined;
  const virtualServers = new Map((before?.virtualServers ?? []).map((one) => [virtualServerId(one), one]));
  for (const change of diff.virtualServers) {
    if (change.change === 'added') virtualServers.set(change.id, change.virtualServer);
    else if (change.change === 'removed') virtualServers.delete(change.id);
    else {
      const old = virtualServers.get(change.id)!;
      const settings = Object.fromEntries(change.settings.map(({ field, after }) => [field, after]));
      const selection = (clients: 'internal' | 'external'): Selection => {
        const verdict = (settings[clients] ?? old[clients].verdict) as Selection['verdict'];
        return verdict === 'forward'
          ? forward(...applyRealServers(old[clients], clients, change.realServers))
          : { verdict };
      };
      virtualServers.set(change.id, {
        ...old,
        ...settings,
        internal: selection('internal'),
        external: selection('external'),
      });
    }
  }
  const local = new Map((before?.localEndpoints ?? []).map((one) => [JSON.stringify(one), one]));
  for (const { change, localEndpoint } of diff.localEndpoints) {
    if (change === 'added') local.set(JSON.stringify(localEndpoint), localEndpoint);
    else local.delete(JSON.stringify(localEndpoint));
  }
  return { ...plan(...virtualServers.values()), key: diff.key, localEndpoints: [...local.values()] };
}

function applyRealServers(
  old: Selection,
  clients: 'internal' | 'external',
  changes: readonly RealServerChange[],
): RealServer[] {
  const id = (one: RealServer): string => `${one.address} ${one.port}`;
  const servers = new Map(old.verdict === 'forward' ? old.realServers.map((one) => [id(one), one]) : []);
  for (const change of changes) {
    if (change.clients !== 'all' && change.clients !== clients) continue;
    if (change.change === 'removed') servers.delete(id(change.realServer));
    else if (change.change === 'added') servers.set(id(change.realServer), change.realServer);
    else servers.set(id(change.after), change.after);
  }
  return [...servers.values()];
}

test('the old plan and the differences give the new plan', () => {
  fc.assert(
    fc.property(
      clusterEvents,
      clusterEvents,
      nodeOptions,
      nodeOptions,
      (first, second, options, laterOptions) => {
        const snapshot = new Snapshot();
        for (const event of first) snapshot.apply(event);
        const before = compile(snapshot, options);
        for (const event of second) snapshot.apply(event);
        const after = compile(snapshot, laterOptions);
        const diff = diffPlans(before, after);
        const result = new Map(before.services);
        for (const one of diff.services) {
          const next = applyDiff(result.get(one.key), one);
          if (next === undefined) result.delete(one.key);
          else result.set(one.key, next);
        }
        expect(canonical(result)).toEqual(canonical(after.services));
        expect(diffPlans(after, after)).toEqual({ node: [], services: [] });
      },
    ),
    { numRuns: 500 },
  );
});

test('settings of the node are compared by name', () => {
  const options = fc.sample(nodeOptions, 1)[0]!;
  const before = { node: { ...options, scheduler: 'rr', zone: 'zone-a' }, services: new Map() };
  const after = { node: { ...before.node, scheduler: 'wlc' }, services: new Map() };
  expect(diffPlans(before, after).node).toEqual([{ field: 'scheduler', before: 'rr', after: 'wlc' }]);
  expect(diffPlans(undefined, after).node).toEqual([]);
});
