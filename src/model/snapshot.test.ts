// What events change, and the three guarantees of the snapshot as properties over random histories.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clusterEvents } from '../../test/arbitraries.ts';
import { compareText } from './ip.ts';
import { serviceKey } from './names.ts';
import type { ClusterEvent, ClusterObject } from './objects.ts';
import { Snapshot } from './snapshot.ts';

const WEB = serviceKey('default', 'web');
const NO_CHANGE = { services: [], isNodeChanged: false };

function service(spec: object = {}, metadata: object = {}): ClusterObject {
  return {
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', ...metadata },
    spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }], ...spec },
  };
}

function slice(name: string, addresses: readonly string[], metadata: object = {}): ClusterObject {
  return {
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' }, ...metadata },
    addressType: 'IPv4',
    ports: [{ port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  };
}

function node(zone: string): ClusterObject {
  return { kind: 'Node', metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': zone } } };
}

const apply = (object: ClusterObject): ClusterEvent => ({ type: 'apply', object });
const remove = (kind: ClusterObject['kind'], name: string, namespace = 'default'): ClusterEvent => ({
  type: 'delete',
  kind,
  namespace,
  name,
});

function snapshotOf(...events: ClusterEvent[]): Snapshot {
  const snapshot = new Snapshot();
  for (const event of events) snapshot.apply(event);
  return snapshot;
}

/** Everything a snapshot says, in one order. */
function contents(snapshot: Snapshot): unknown {
  const services = [...snapshot.services()].sort(compareText).map((key) => [key, snapshot.get(key)]);
  const nodes = [...snapshot.nodes()].sort((a, b) => compareText(a.name, b.name));
  return { services, nodes, problems: snapshot.problems() };
}

describe('what an event changes', () => {
  const web = apply(service());
  const one = apply(slice('web-1', ['10.244.1.1']));
  test.each<[string, ClusterEvent[], ClusterEvent, object]>([
    ['a new Service', [], web, { services: [WEB] }],
    ['the same Service again', [web], apply(service()), {}],
    [
      'a Service with another annotation',
      [web],
      apply(service({}, { annotations: { note: 'x' }, labels: { app: 'web' } })),
      {},
    ],
    ['a Service with another port', [web], apply(service({ ports: [{ port: 81 }] })), { services: [WEB] }],
    ['a Service that becomes headless', [web], apply(service({ clusterIP: 'None' })), { services: [WEB] }],
    ['a headless Service', [], apply(service({ clusterIP: 'None' })), {}],
    ['a Service that goes', [web], remove('Service', 'web'), { services: [WEB] }],
    ['an unknown Service that goes', [], remove('Service', 'web'), {}],
    ['a Service of another namespace that goes', [web], remove('Service', 'web', 'test'), {}],
    ['a slice before its Service', [], one, {}],
    ['a Service after its slice', [one], web, { services: [WEB] }],
    ['a new slice', [web], one, { services: [WEB] }],
    ['the same slice again', [web, one], apply(slice('web-1', ['10.244.1.1'])), {}],
    [
      'a slice with a newer trigger time',
      [web, one],
      apply(
        slice('web-1', ['10.244.1.1'], {
          annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' },
        }),
      ),
      {},
    ],
    ['a slice with another endpoint', [web, one], apply(slice('web-1', ['10.244.1.2'])), { services: [WEB] }],
    ['a slice that goes', [web, one], remove('EndpointSlice', 'web-1'), { services: [WEB] }],
    ['an unknown slice that goes', [web], remove('EndpointSlice', 'web-1'), {}],
    [
      'a slice that cannot be read',
      [web, one],
      apply({ ...slice('web-1', []), addressType: 'FQDN' } as ClusterObject),
      { services: [WEB] },
    ],
    ['a new node', [], apply(node('zone-a')), { isNodeChanged: true }],
    ['the same node again', [apply(node('zone-a'))], apply(node('zone-a')), {}],
    ['a node in another zone', [apply(node('zone-a'))], apply(node('zone-b')), { isNodeChanged: true }],
    ['a node that goes', [apply(node('zone-a'))], remove('Node', 'node1', ''), { isNodeChanged: true }],
    ['an unknown node that goes', [], remove('Node', 'node1', ''), {}],
    ['an object of another kind', [], apply({ kind: 'ConfigMap' } as unknown as ClusterObject), {}],
  ])('%s', (_name, before, event, expected) => {
    expect(snapshotOf(...before).apply(event)).toEqual({ ...NO_CHANGE, ...expected });
  });

  test('a slice that came twice goes at once', () => {
    const snapshot = snapshotOf(web, one, one);
    expect(snapshot.apply(remove('EndpointSlice', 'web-1')).services).toEqual([WEB]);
    expect(snapshot.get(WEB)!.slices).toEqual([]);
  });

  test('a deleted object of another kind takes nothing of the same name along', () => {
    const snapshot = snapshotOf(web, one);
    expect(snapshot.apply(remove('Pod' as ClusterObject['kind'], 'web-1'))).toEqual(NO_CHANGE);
    expect(snapshot.get(WEB)!.slices).toHaveLength(1);
  });

  test('a slice that is labelled anew changes both Services', () => {
    const snapshot = snapshotOf(
      apply(service()),
      apply(service({ clusterIP: '10.96.0.2' }, { name: 'api' })),
      apply(slice('x-1', ['10.244.1.1'])),
    );
    const moved = snapshot.apply(
      apply(slice('x-1', ['10.244.1.1'], { labels: { 'kubernetes.io/service-name': 'api' } })),
    );
    expect(moved.services).toEqual([WEB, 'default/api']);
    expect(snapshot.get(WEB)!.slices).toEqual([]);
    expect(snapshot.get(serviceKey('default', 'api'))!.slices).toHaveLength(1);
  });

  test('slices stay when their Service goes and comes back', () => {
    const snapshot = snapshotOf(
      apply(service()),
      apply(slice('web-1', ['10.244.1.1'])),
      remove('Service', 'web'),
    );
    expect(snapshot.get(WEB)).toBeUndefined();
    expect([...snapshot.services()]).toEqual([]);
    snapshot.apply(apply(service()));
    expect(snapshot.get(WEB)!.slices.map(({ name }) => name)).toEqual(['web-1']);
  });

  test('a namespace that is not given is default', () => {
    const snapshot = snapshotOf(
      apply(service({}, { namespace: null })),
      apply(slice('web-1', ['10.244.1.1'], { namespace: '' })),
    );
    expect(snapshot.get(WEB)!.slices).toHaveLength(1);
    expect(snapshot.apply(remove('Service', 'web', '')).services).toEqual([WEB]);
  });
});

test('a node is found by its name as long as it is there', () => {
  const snapshot = snapshotOf(apply(node('zone-a')));
  expect(snapshot.node('node1')).toMatchObject({ name: 'node1', zone: 'zone-a' });
  expect(snapshot.node('node2')).toBeUndefined();
  snapshot.apply(remove('Node', 'node1', ''));
  expect(snapshot.node('node1')).toBeUndefined();
});

describe('problems', () => {
  test('are those of the last version of each object', () => {
    const snapshot = snapshotOf(
      apply(service({ ports: [] })),
      apply({ kind: 'Service', metadata: { name: 'A b' } }),
    );
    expect(snapshot.problems().map(({ object, field }) => `${object} ${field}`)).toEqual([
      'Service ? metadata.name',
      'Service default/web spec.ports',
    ]);
    snapshot.apply(apply(service()));
    snapshot.apply(remove('Service', 'A b', ''));
    expect(snapshot.problems()).toEqual([]);
  });

  test('come from objects of each kind', () => {
    const snapshot = snapshotOf(
      apply(service({ ports: [] })),
      apply({ ...slice('web-1', []), addressType: 'FQDN' } as ClusterObject),
      apply(node('a b')),
    );
    expect(snapshot.problems().map(({ object }) => object)).toEqual([
      'EndpointSlice default/web-1',
      'Node node1',
      'Service default/web',
    ]);
  });

  test('of an object without namespace are those of its next version in default', () => {
    const snapshot = snapshotOf(apply(service({ ports: [] }, { namespace: undefined })));
    expect(snapshot.problems()).toHaveLength(1);
    snapshot.apply(apply(service()));
    expect(snapshot.problems()).toEqual([]);
  });

  test.each([
    ['names that are none', [{ name: 'A' }, { name: 'B' }], 2],
    ['no name and a name that is no text', [{ name: '' }, { name: 5 }], 2],
    [
      'names that differ in their first 256 characters',
      [{ name: 'A'.repeat(255) }, { name: 'A'.repeat(256) }],
      2,
    ],
    ['names that differ only behind them', [{ name: 'A'.repeat(256) }, { name: 'A'.repeat(257) }], 1],
  ])('of objects with %s: %j', (_case, all, count) => {
    const snapshot = snapshotOf(
      ...all.map((metadata) => apply({ kind: 'Service', metadata } as ClusterObject)),
    );
    expect(snapshot.problems()).toHaveLength(count);
  });

  test('an object with an invalid namespace changes nothing of others', () => {
    const snapshot = snapshotOf(
      apply(service({}, { namespace: 'null' })),
      apply(slice('web-1', ['10.244.1.1'], { namespace: 'null' })),
    );
    expect(snapshot.apply(apply(service({ clusterIP: 'None' }, { namespace: 'a/b' })))).toEqual(NO_CHANGE);
    expect(snapshot.apply(remove('Service', 'web', 'a/b'))).toEqual(NO_CHANGE);
    expect(snapshot.apply(remove('EndpointSlice', 'web-1', 'a/b'))).toEqual(NO_CHANGE);
    expect([...snapshot.services()]).toEqual(['null/web']);
    expect(snapshot.get(serviceKey('null', 'web'))!.slices).toHaveLength(1);
  });

  test('an object whose name is no text changes nothing of others', () => {
    const snapshot = snapshotOf(apply(service()));
    const impostor = service({ clusterIP: 'None' }, { name: ['web'] });
    expect(snapshot.apply(apply(impostor))).toEqual(NO_CHANGE);
    expect([...snapshot.services()]).toEqual([WEB]);
  });
});

/** "kind namespace/name" of the object that an event is about. */
function subject(event: ClusterEvent): string {
  const { kind, namespace, name } =
    event.type === 'delete'
      ? event
      : {
          kind: event.object.kind,
          namespace: event.object.metadata!.namespace,
          name: event.object.metadata!.name,
        };
  return `${kind} ${namespace ?? ''}/${name}`;
}

test('only the last event of each object counts, in whatever order the objects come', () => {
  fc.assert(
    fc.property(
      clusterEvents.chain((events) => {
        const last = [...new Map(events.map((event) => [subject(event), event])).values()];
        return fc.tuple(fc.constant(events), fc.shuffledSubarray(last, { minLength: last.length }));
      }),
      ([events, last]) => {
        expect(contents(snapshotOf(...last))).toEqual(contents(snapshotOf(...events)));
      },
    ),
    { numRuns: 500 },
  );
});

test('an event reports exactly the Services and nodes that changed, and repeated nothing', () => {
  fc.assert(
    fc.property(clusterEvents, (events) => {
      const snapshot = new Snapshot();
      for (const event of events) {
        const before = new Map([...snapshot.services()].map((key) => [key, snapshot.get(key)]));
        const nodes = [...snapshot.nodes()];
        const { services, isNodeChanged } = snapshot.apply(event);
        const keys = new Set([...before.keys(), ...snapshot.services()]);
        const changed = [...keys].filter((key) => {
          const [old, next] = [before.get(key), snapshot.get(key)];
          return old?.service !== next?.service || old?.slices !== next?.slices;
        });
        expect(services.toSorted(compareText)).toEqual(changed.sort(compareText));
        expect(isNodeChanged).toBe(JSON.stringify([...snapshot.nodes()]) !== JSON.stringify(nodes));
        expect(snapshot.apply(event)).toEqual(NO_CHANGE);
      }
    }),
    { numRuns: 500 },
  );
});

test('arbitrary JSON under a known kind does not make it throw', () => {
  const kind = fc.constantFrom('Service', 'EndpointSlice', 'Node', 'Pod');
  fc.assert(
    fc.property(
      fc.record({ kind, metadata: fc.jsonValue(), spec: fc.jsonValue(), endpoints: fc.jsonValue() }),
      (object) => {
        const snapshot = snapshotOf(apply(object as unknown as ClusterObject));
        expect([...snapshot.services()]).toEqual([]);
      },
    ),
  );
});
