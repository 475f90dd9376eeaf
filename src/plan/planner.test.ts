// The plan that is kept up to date: who owns what as Services come and go, other facts of the node, and the order of Services. What holds for
// any sequence of events is in planner-random.test.ts.

import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { PlannerDriver } from '../../test/planner-driver.ts';
import { serviceKey, type ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { Snapshot } from '../model/snapshot.ts';
import { compile } from './planner.ts';
import type { NodeOptions } from './plan.ts';

/** An event with a Service of that name at that address, port 80, created on that day of January. */
function service(name: string, clusterIP: string, day: number, more: object = {}): ClusterEvent {
  const creationTimestamp = `2026-01-0${day}T00:00:00Z`;
  const spec = { clusterIP, ports: [{ port: 80 }], ...more };
  return {
    type: 'apply',
    object: { kind: 'Service', metadata: { name, namespace: 'default', creationTimestamp }, spec },
  };
}

function gone(name: string): ClusterEvent {
  return { type: 'delete', kind: 'Service', namespace: 'default', name };
}

const [A, B, C] = ['a', 'b', 'c'].map((name) => serviceKey('default', name)) as [
  ServiceKey,
  ServiceKey,
  ServiceKey,
];

/** Who serves and who lost, as "a: ClusterIP..." lines. */
function lostOf(driver: PlannerDriver): string[] {
  return [...driver.planner.plan().services.values()].map(
    ({ key, virtualServers, lost }) =>
      `${key.split('/')[1]} has ${virtualServers.length}${lost.map(({ owner }) => `, lost one to ${owner}`).join('')}`,
  );
}

describe('an address that several Services claim', () => {
  function contested(): PlannerDriver {
    const driver = new PlannerDriver(PLAIN_NODE);
    for (const event of [
      service('c', '10.96.0.1', 3),
      service('b', '10.96.0.1', 2),
      service('a', '10.96.0.1', 1),
    ]) {
      driver.apply(event);
    }
    driver.takeChanges();
    return driver;
  }

  test('goes to the oldest, and the others know to whom', () => {
    expect(lostOf(contested())).toEqual([
      'a has 1',
      'b has 0, lost one to default/a',
      'c has 0, lost one to default/a',
    ]);
  });

  test('goes to the next oldest when its owner goes; also the third learns who owns it by then', () => {
    const driver = contested();
    driver.apply(gone('a'));
    expect([...driver.takeChanges().keys()].sort()).toEqual([A, B, C]);
    expect(lostOf(driver)).toEqual(['b has 1', 'c has 0, lost one to default/b']);
    expect(driver.planner.problems()).toMatchObject([
      { object: 'Service default/c', reason: 'AddressConflict' },
    ]);
  });

  test('goes to the next oldest when its owner takes another', () => {
    const driver = contested();
    driver.apply(service('a', '10.96.0.9', 1));
    expect([...driver.takeChanges().keys()].sort()).toEqual([A, B, C]);
    expect(lostOf(driver)).toEqual(['a has 1', 'b has 1', 'c has 0, lost one to default/b']);
  });

  test('comes back to an older Service that appears later', () => {
    const driver = contested();
    driver.apply(gone('a'));
    driver.takeChanges();
    driver.apply(service('a', '10.96.0.1', 1));
    expect([...driver.takeChanges().keys()].sort()).toEqual([A, B, C]);
    expect(lostOf(driver)).toEqual(lostOf(contested()));
  });

  test('an owner that goes and comes back between two looks has changed nothing', () => {
    const driver = contested();
    driver.apply(gone('a'));
    driver.apply(service('a', '10.96.0.1', 1));
    expect(driver.takeChanges()).toEqual(new Map());
  });

  test('a change of somebody who owns nothing of it concerns nobody else', () => {
    const driver = contested();
    driver.apply(gone('c'));
    expect([...driver.takeChanges()]).toEqual([[C, null]]);
    expect(driver.planner.problems()).toMatchObject([{ object: 'Service default/b' }]);
  });

  test('a fourth learns who owns it by then, also after one of the losers has gone elsewhere', () => {
    const driver = contested();
    driver.apply(service('d', '10.96.0.1', 4));
    driver.apply(service('b', '10.96.0.2', 2));
    driver.takeChanges();
    driver.apply(gone('a'));
    driver.takeChanges();
    expect(lostOf(driver)).toEqual(['b has 1', 'c has 1', 'd has 0, lost one to default/c']);
  });

  test('somebody who lost once and has gone elsewhere is as free as if that had never been', () => {
    const driver = contested();
    driver.apply(service('b', '10.96.0.2', 2));
    driver.takeChanges();
    driver.apply(service('z', '10.96.0.2', 1));
    driver.takeChanges();
    expect(lostOf(driver)).toEqual([
      'a has 1',
      'b has 0, lost one to default/z',
      'c has 0, lost one to default/a',
      'z has 1',
    ]);
    expect(driver.planner.get(B)!.lost).toMatchObject([{ id: 'ClusterIP TCP 10.96.0.2:80' }]);
  });

  describe('only those are looked at again', () => {
    /** Who was settled since the last look. */
    const settled = (driver: PlannerDriver): string[] =>
      [...driver.planner.settleChanges()].map(([key]) => key.split('/')[1]!);

    test('to whom a change of the owner matters', () => {
      const driver = contested();
      driver.apply(service('b', '10.96.0.2', 2));
      driver.takeChanges();
      driver.apply(gone('a'));
      expect(settled(driver)).toEqual(['a', 'c']);
    });

    test('not those who lost to an owner that changes in other ways', () => {
      const driver = contested();
      driver.apply(service('a', '10.96.0.1', 1, { sessionAffinity: 'ClientIP' }));
      expect(settled(driver)).toEqual(['a']);
    });

    test('not those who are gone', () => {
      const driver = contested();
      driver.apply(gone('c'));
      driver.takeChanges();
      driver.apply(gone('a'));
      expect(settled(driver)).toEqual(['a', 'b']);
      driver.apply(gone('b'));
      expect(settled(driver)).toEqual(['b']);
    });

    test('each once, also where it changes itself', () => {
      const driver = contested();
      driver.apply(gone('a'));
      driver.apply(service('c', '10.96.0.1', 3, { sessionAffinity: 'ClientIP' }));
      expect(settled(driver)).toEqual(['a', 'c', 'b']);
    });
  });

  test('a Service that comes and goes between two looks was never there', () => {
    const driver = new PlannerDriver(PLAIN_NODE);
    driver.apply(service('a', '10.96.0.1', 1));
    driver.apply(gone('a'));
    expect(driver.takeChanges()).toEqual(new Map());
    expect(driver.planner.size).toBe(0);
  });

  test('a problem is gone with its cause', () => {
    const driver = contested();
    driver.apply(service('b', '10.96.0.2', 2));
    driver.apply(service('c', '10.96.0.3', 3));
    driver.takeChanges();
    expect(driver.planner.problems()).toEqual([]);
    expect(lostOf(driver)).toEqual(['a has 1', 'b has 1', 'c has 1']);
  });
});

test('settled one at a time, each Service that may have changed is named once; undefined where its plan is the same', () => {
  const driver = new PlannerDriver(PLAIN_NODE);
  for (const name of ['a', 'b', 'c']) driver.apply(service(name, '10.96.0.1', 1));
  driver.apply(service('d', '10.96.0.4', 1));
  driver.takeChanges();
  driver.apply(gone('a'));
  driver.planner.recompile(serviceKey('default', 'd'));
  driver.apply(service('e', '10.96.0.5', 1));
  const settled = [...driver.planner.settleChanges()];
  expect(
    settled.map(([key, plan]) => `${key} ${plan === null ? 'gone' : plan?.virtualServers.length}`),
  ).toEqual(['default/a gone', 'default/d undefined', 'default/e 1', 'default/b 1', 'default/c 0']);
  for (const [key, plan] of settled) if (plan) expect(driver.planner.get(key)).toBe(plan);
  expect([...driver.planner.settleChanges()]).toEqual([]);
});

test('all plans can be gone through', () => {
  const driver = new PlannerDriver(PLAIN_NODE);
  driver.apply(service('a', '10.96.0.1', 1));
  driver.apply(service('b', '10.96.0.2', 1));
  driver.takeChanges();
  expect([...driver.planner.values()]).toEqual([driver.planner.get(A), driver.planner.get(B)]);
  expect([...driver.planner.keys()]).toEqual([A, B]);
});

test('critical Services stand first in a plan, then all others, each by key', () => {
  const snapshot = new Snapshot();
  const add = (namespace: string, name: string, labels: Record<string, string> = {}): void => {
    const spec = { clusterIP: '10.96.0.1', ports: [{ port: 80 }] };
    snapshot.apply({
      type: 'apply',
      object: { kind: 'Service', metadata: { name, namespace, labels }, spec },
    });
  };
  add('zoo', 'a');
  add('kube-system', 'dns', { 'k8s-app': 'kube-dns' });
  add('app', 'z');
  add('default', 'kubernetes');
  expect([...compile(snapshot, PLAIN_NODE).services.keys()]).toEqual([
    'default/kubernetes',
    'kube-system/dns',
    'app/z',
    'zoo/a',
  ]);
});

test('other facts of the node are in the plans after every Service was compiled anew', () => {
  const driver = new PlannerDriver(PLAIN_NODE);
  driver.apply(service('a', '10.96.0.1', 1));
  driver.takeChanges();
  expect(driver.planner.node).toBe(PLAIN_NODE);
  const node: NodeOptions = { ...PLAIN_NODE, scheduler: 'lc' };
  driver.setNode(node);
  expect(driver.takeChanges().get(A)?.virtualServers[0]?.scheduler).toBe('lc');
  expect(driver.planner.plan().node).toBe(node);
});

describe('the Services for which the addresses of the node matter', () => {
  const node: NodeOptions = { ...PLAIN_NODE, nodePortAddresses: [address('192.168.50.11')] };
  const nodePort = { type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] };
  const status = (ip: string): object => ({ status: { loadBalancer: { ingress: [{ ip }] } } });
  /** Names of those that a planner with only these events names. */
  function usersOf(...events: readonly ClusterEvent[]): string[] {
    const driver = new PlannerDriver(node);
    for (const event of events) driver.apply(event);
    driver.takeChanges();
    return [...driver.planner.usersOfAddresses()].map((key) => key.split('/')[1]!).sort();
  }
  const withStatus = (event: ClusterEvent, ip: string): ClusterEvent => {
    if (event.type === 'apply') Object.assign(event.object, status(ip));
    return event;
  };

  test.each<[string, ClusterEvent, boolean]>([
    ['a cluster IP alone', service('a', '10.96.0.1', 1), false],
    ['no address at all', service('a', 'None', 1), false],
    ['a node port', service('a', '10.96.0.1', 1, nodePort), true],
    ['an external IP', service('a', '10.96.0.1', 1, { externalIPs: ['198.51.100.7'] }), true],
    [
      'a load-balancer IP',
      withStatus(
        service('a', '10.96.0.1', 1, { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false }),
        '198.51.100.9',
      ),
      true,
    ],
    [
      'a health-check port',
      withStatus(
        service('a', '10.96.0.1', 1, {
          type: 'LoadBalancer',
          externalTrafficPolicy: 'Local',
          healthCheckNodePort: 32_000,
        }),
        '198.51.100.9',
      ),
      true,
    ],
  ])('with %s: %s', (_, event, isUser) => {
    expect(usersOf(event)).toEqual(isUser ? ['a'] : []);
  });

  test('are also those that lost all of it to others, and may win it back', () => {
    expect(
      usersOf(
        service('a', '10.96.0.1', 1, nodePort),
        service('b', '10.96.0.2', 2, nodePort),
        service('c', '10.96.0.3', 3),
        service('d', '10.96.0.4', 4, { externalIPs: ['10.96.0.3'] }),
      ),
    ).toEqual(['a', 'b', 'd']);
  });

  test('are those of the last settled plans', () => {
    const driver = new PlannerDriver(node);
    driver.apply(service('a', '10.96.0.1', 1, nodePort));
    driver.takeChanges();
    driver.apply(service('a', '10.96.0.1', 1));
    driver.apply(service('b', '10.96.0.2', 1, nodePort));
    driver.takeChanges();
    expect([...driver.planner.usersOfAddresses()]).toEqual([B]);
    driver.apply(gone('b'));
    driver.takeChanges();
    expect([...driver.planner.usersOfAddresses()]).toEqual([]);
  });

  test('are all whose plans differ on a node with other addresses', () => {
    const events = [
      service('a', '10.96.0.1', 1, nodePort),
      service('b', '10.96.0.2', 2, { externalIPs: ['192.168.50.12'], ports: [{ port: 30_080 }] }),
      service('c', '10.96.0.3', 3),
    ];
    const driver = new PlannerDriver(node);
    for (const event of events) driver.apply(event);
    driver.takeChanges();
    const other: NodeOptions = {
      ...node,
      nodePortAddresses: [address('192.168.50.12')],
      localAddresses: [address('192.168.50.12')],
    };
    driver.planner.setNode(other);
    for (const key of [...driver.planner.usersOfAddresses()]) driver.planner.recompile(key);
    driver.planner.takeChanges();
    expect(driver.planner.plan()).toEqual(compile(driver.snapshot, other));
  });
});
