// What changes of objects change in the plan: which Services are touched, which of their plans differ, and what the lists are before and
// after.

import { describe, expect, test } from 'vitest';
import type { ClusterEvent } from '../../src/model/objects.ts';
import type { ServiceKey } from '../../src/model/names.ts';
import { compile } from '../../src/plan/planner.ts';
import type { ForwardingPlan, Selection } from '../../src/plan/plan.ts';
import { PLAIN_NODE } from '../nodes.ts';
import {
  BOTH,
  OTHERS,
  remove,
  service,
  SWAPPED,
  UDP_PORTS,
  WEB,
  web1,
  web2,
  web3,
  web9,
  World,
} from './changes-world.ts';

/** "1.1:8080 2.1:8080 | reject": the endpoints of each port of the one Service, sorted, without the "10.244." of all of them. */
function listsOf(plan: ForwardingPlan): string {
  const all = [...plan.services.values()].flatMap(({ virtualServers }) => virtualServers);
  return all.map(({ internal }) => textOf(internal)).join(' | ');
}

function textOf(selection: Selection): string {
  if (selection.verdict !== 'forward') return selection.verdict;
  const texts = selection.realServers.map(({ address, port }) => `${address.replace('10.244.', '')}:${port}`);
  return texts.sort().join(' ');
}

describe('Services', () => {
  const four = [
    service('svc1', { clusterIP: '10.96.0.1', ports: UDP_PORTS }),
    service('svc2', { clusterIP: '10.96.0.2', type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }),
    service(
      'svc3',
      { clusterIP: '10.96.0.3', type: 'LoadBalancer', ports: [{ port: 80 }] },
      { loadBalancer: { ingress: [{ ip: '198.51.100.3' }] } },
    ),
    service(
      'svc4',
      {
        clusterIP: '10.96.0.4',
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 32345,
        ports: [{ port: 80 }],
      },
      { loadBalancer: { ingress: [{ ip: '198.51.100.4' }] } },
    ),
  ];

  test('four that come are four changes; so are one that changes and three that go', () => {
    const world = new World();
    expect(world.sync(...four).changed).toHaveLength(4);
    expect(world.healthPorts()).toEqual(['default/svc4 32345']);
    const second = world.sync(
      service('svc1', { clusterIP: '10.96.0.1', ports: [{ name: 'p', port: 1235, protocol: 'UDP' }] }),
      remove('Service', 'svc2'),
      remove('Service', 'svc3'),
      remove('Service', 'svc4'),
    );
    expect(second.changed).toHaveLength(4);
    expect(world.healthPorts()).toEqual([]);
    expect(world.planner.size).toBe(1);
  });

  test('from ClusterIP to a load balancer with policy Local, the same again, and back: 1, 1, 0 and 1 changes', () => {
    const world = new World();
    const ports = [{ name: 'p', port: 80 }];
    const plain = service('web', { clusterIP: '10.96.0.1', ports });
    const local = service(
      'web',
      {
        type: 'LoadBalancer',
        clusterIP: '10.96.0.1',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 32345,
        ports,
      },
      { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } },
    );
    const seen = [plain, local, local, plain].map((event) => [
      world.sync(event).changed.length,
      world.healthPorts().length,
    ]);
    expect(seen).toEqual([
      [1, 0],
      [1, 1],
      [0, 1],
      [1, 0],
    ]);
  });

  test('one that comes and goes before the sync leaves nothing behind', () => {
    const world = new World();
    world.feed(WEB);
    expect(world.sync(remove('Service', 'web'))).toEqual({ touched: ['default/web'], changed: [] });
    expect(world.planner.size).toBe(0);
    expect(world.planner.plan().services.size).toBe(0);
  });

  test('an object without content changes nothing', () => {
    const world = new World();
    const kinds = ['Service', 'EndpointSlice', 'Node'] as const;
    expect(world.sync(...kinds.map((kind): ClusterEvent => ({ type: 'apply', object: { kind } })))).toEqual({
      touched: [],
      changed: [],
    });
  });

  test('a change and its reverse before the sync are no change', () => {
    const world = new World();
    world.sync(WEB);
    world.feed(service('web', { clusterIP: '10.96.0.1', ports: [{ name: 'p', port: 80 }] }));
    expect(world.sync(WEB).changed).toEqual([]);
  });
});

describe('slices', () => {
  const one = web1('1.1 2.1', BOTH);

  /** As kube-proxy, but where a note says why not. */
  test.each<[title: string, event: ClusterEvent, isTouched: boolean, isChanged: boolean]>([
    ['the same again changes nothing', one, false, false],
    // Only the order of text differs, which forwards alike: kube-proxy writes its rules anew.
    ['ports in another order touch the Service and change no plan', web1('1.1 2.1', SWAPPED), true, false],
    ['endpoints in another order touch the Service and change no plan', web1('2.1 1.1', BOTH), true, false],
    // kube-proxy compares whole objects; a version of an object alone forwards nothing else.
    [
      'another resourceVersion, label or trigger time changes nothing',
      web1('1.1 2.1', BOTH, {
        metadata: {
          name: 'web-1',
          namespace: 'default',
          labels: { 'kubernetes.io/service-name': 'web', other: 'label' },
          annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-11-21T00:00:00Z' },
          resourceVersion: '2',
        },
      }),
      false,
      false,
    ],
    ['an endpoint more', web1('1.1 1.2 2.1', BOTH), true, true],
    ['a port less', web1('1.1 2.1'), true, true],
    ['a slice more with other endpoints', web2('1.3'), true, true],
    ['a slice less', remove('EndpointSlice', 'web-1'), true, true],
    ['a slice that was never there and goes', remove('EndpointSlice', 'web-9'), false, false],
    [
      'host names are none of ours: a slice that holds nothing usable is as none',
      web9('', [['p', 8080]], { addressType: 'FQDN', endpoints: [{ addresses: ['example.org'] }] }),
      false,
      false,
    ],
    [
      'a slice of the other family changes no plan of a Service without it',
      web9('', [['p', 8080]], { addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] }),
      true,
      false,
    ],
    [
      'a slice of another Service',
      web9('1.9', [['p', 8080]], {
        metadata: { name: 'web-9', labels: { 'kubernetes.io/service-name': 'other' } },
      }),
      false,
      false,
    ],
  ])('%s', (_, event, isTouched, isChanged) => {
    const world = new World();
    world.sync(WEB, one);
    const expected = (is: boolean): string[] => (is ? ['default/web'] : []);
    expect(world.sync(event)).toEqual({ touched: expected(isTouched), changed: expected(isChanged) });
    expect(world.sync(event)).toEqual({ touched: [], changed: [] });
  });

  test.each<
    [title: string, before: readonly ClusterEvent[], after: readonly ClusterEvent[], from: string, to: string]
  >([
    ['nothing stays nothing', [], [], 'reject | reject', 'reject | reject'],
    [
      'the same again',
      [web1('1.1 2.1')],
      [web1('1.1 2.1')],
      '1.1:8080 2.1:8080 | reject',
      '1.1:8080 2.1:8080 | reject',
    ],
    ['the first slice comes', [], [web1('1.1')], 'reject | reject', '1.1:8080 | reject'],
    [
      'the only slice goes',
      [web1('1.1')],
      [remove('EndpointSlice', 'web-1')],
      '1.1:8080 | reject',
      'reject | reject',
    ],
    [
      'addresses come, for both ports',
      [web1('1.1', BOTH)],
      [web1('1.1 2.1', BOTH)],
      '1.1:8080 | 1.1:8081',
      '1.1:8080 2.1:8080 | 1.1:8081 2.1:8081',
    ],
    ['an address goes', [web1('1.1 2.1')], [web1('2.1')], '1.1:8080 2.1:8080 | reject', '2.1:8080 | reject'],
    ['a port comes', [web1('1.1')], [web1('1.1', BOTH)], '1.1:8080 | reject', '1.1:8080 | 1.1:8081'],
    ['a port goes', [web1('1.1', BOTH)], [web1('1.1')], '1.1:8080 | 1.1:8081', '1.1:8080 | reject'],
    ['a second slice comes', [web1('1.1')], [web2('2.1')], '1.1:8080 | reject', '1.1:8080 2.1:8080 | reject'],
    [
      'one of two slices goes, the other stays',
      [web1('1.1'), web2('2.1')],
      [remove('EndpointSlice', 'web-1')],
      '1.1:8080 2.1:8080 | reject',
      '2.1:8080 | reject',
    ],
    [
      'a port has another name',
      [web1('1.1')],
      [web1('1.1', [['q', 8080]])],
      '1.1:8080 | reject',
      'reject | 1.1:8080',
    ],
    [
      'a port has another number',
      [web1('1.1')],
      [web1('1.1', [['p', 9090]])],
      '1.1:8080 | reject',
      '1.1:9090 | reject',
    ],
    [
      'a port has another protocol',
      [web1('1.1')],
      [web1('1.1', [['p', 8080, 'TCP']])],
      '1.1:8080 | reject',
      'reject | reject',
    ],
    [
      'an empty slice gets its first address',
      [web1('')],
      [web1('1.1')],
      'reject | reject',
      '1.1:8080 | reject',
    ],
    [
      'a ready one terminates and is the only one: it stands in',
      [web1('1.1')],
      [web1('1.1T')],
      '1.1:8080 | reject',
      '1.1:8080 | reject',
    ],
    [
      'a ready one terminates beside another',
      [web1('1.1 2.1')],
      [web1('1.1T 2.1')],
      '1.1:8080 2.1:8080 | reject',
      '2.1:8080 | reject',
    ],
    ['the last terminating one goes', [web1('1.1T')], [web1('')], '1.1:8080 | reject', 'reject | reject'],
    [
      'all are ready, then none',
      [web1('1.1 2.1')],
      [web1('1.1N 2.1N')],
      '1.1:8080 2.1:8080 | reject',
      'reject | reject',
    ],
    [
      'none is ready, then all',
      [web1('1.1N 2.1N')],
      [web1('1.1 2.1')],
      'reject | reject',
      '1.1:8080 2.1:8080 | reject',
    ],
    [
      'some are ready, then more',
      [web1('1.1 2.1N')],
      [web1('1.1 2.1')],
      '1.1:8080 | reject',
      '1.1:8080 2.1:8080 | reject',
    ],
    [
      'some are ready, then those terminate',
      [web1('1.1 2.1N')],
      [web1('1.1T 2.1N')],
      '1.1:8080 | reject',
      '1.1:8080 | reject',
    ],
    [
      'much at once: one slice goes, one changes, one comes',
      [web1('1.1 2.1'), web2('1.2', [['q', 8081]])],
      [remove('EndpointSlice', 'web-1'), web2('1.2 3.2', OTHERS), web3('2.3')],
      '1.1:8080 2.1:8080 | 1.2:8081',
      '1.2:8080 2.3:8080 3.2:8080 | 1.2:8082 3.2:8082',
    ],
  ])('%s', (_, before, after, from, to) => {
    const world = new World();
    world.sync(WEB, ...before);
    expect(listsOf(world.planner.plan())).toBe(from);
    world.sync(...after);
    expect(listsOf(world.planner.plan())).toBe(to);
    expect(world.planner.plan()).toEqual(compile(world.snapshot, PLAIN_NODE));
  });

  test('a ready endpoint that begins to terminate changes what is left out', () => {
    const world = new World();
    world.sync(WEB, web1('1.1 2.1'));
    expect(world.sync(web1('1.1T 2.1')).changed).toEqual(['default/web']);
    expect(world.planner.get('default/web' as ServiceKey)?.leftOut).toMatchObject([
      { address: '10.244.1.1', policy: 'Cluster', reason: 'Terminating' },
    ]);
  });

  test('when Service and slices are gone nothing is kept of them', () => {
    const world = new World();
    world.sync(WEB, web1('1.1'), web2('2.1'));
    world.sync(remove('EndpointSlice', 'web-1'), remove('EndpointSlice', 'web-2'), remove('Service', 'web'));
    // The interner is a cache of texts with a bound of its own.
    const kept = [world.snapshot, world.planner].flatMap((owner) =>
      Object.entries(owner).flatMap(([name, value]) =>
        (value instanceof Map || value instanceof Set) && value.size > 0 ? [name] : [],
      ),
    );
    expect(kept).toEqual([]);
  });

  test('neither the objects nor what the snapshot made of them are written to', () => {
    const world = new World();
    const events = [WEB, web1('1.1 2.1T'), web2('1.1T')];
    for (const event of events) world.feed(deepFrozen(structuredClone(event)));
    const entry = world.snapshot.get('default/web' as ServiceKey);
    deepFrozen(entry);
    expect(listsOf(compile(world.snapshot, deepFrozen(structuredClone(PLAIN_NODE))))).toBe(
      '1.1:8080 | reject',
    );
  });
});

/** The value, in which every write throws from here on. */
function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFrozen(member);
  }
  return value;
}
