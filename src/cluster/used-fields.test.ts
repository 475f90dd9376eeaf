// The reduced object means the same to every projection, and holds nothing else. Which fields the projections ask for is watched while they
// ask, so that a field that is read one day and not kept here fails a test, and so does one that is kept and not read.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { serviceObject, sliceObject } from '../../test/arbitraries.ts';
import { plainService, plainSlice } from '../../test/objects.ts';
import { nodeObject, oddly } from '../../test/cluster/odd-objects.ts';
import { projectEndpointSlice } from '../model/endpoint-slice.ts';
import { member } from '../model/fields.ts';
import { projectNode } from '../model/node.ts';
import type { ClusterObject } from '../model/objects.ts';
import { projectService } from '../model/service.ts';
import { Snapshot } from '../model/snapshot.ts';
import { usedFields } from './used-fields.ts';

const SECRET = 'hunter2';
const project = { Service: projectService, EndpointSlice: projectEndpointSlice, Node: projectNode };
const reduce = (object: unknown): ClusterObject | null => usedFields(object as ClusterObject);

const plainNode = (rest: object = {}): object => ({ kind: 'Node', metadata: { name: 'node1' }, ...rest });
const anyObject = fc.oneof(serviceObject, sliceObject, nodeObject);

describe('means the same', () => {
  test.each([
    [
      'a Service',
      plainService({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 }),
    ],
    [
      'affinity',
      plainService({
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      }),
    ],
    ['a list where text should be', plainService({ clusterIP: [SECRET], type: { a: SECRET } })],
    ['text where a list should be', plainService({ ports: 'x', externalIPs: 7, clusterIPs: true })],
    [
      'a list longer than its limit',
      plainService({ clusterIPs: ['10.96.0.1', 'fd00::1', 'rubbish', 'more'] }),
    ],
    [
      'an unknown annotation of ours',
      plainService({}, { metadata: { name: 'web', annotations: { 'pointsman.dev/shceduler': 'rr' } } }),
    ],
    [
      'a slice with hints',
      plainSlice({
        endpoints: [
          { addresses: ['10.0.0.1'], hints: { forZones: [{ name: 'a' }, { name: '!' }], forNodes: 3 } },
        ],
      }),
    ],
    [
      'a slice of a headless Service',
      plainSlice({ metadata: { name: 'x', labels: { 'service.kubernetes.io/headless': SECRET } } }),
    ],
    [
      'a Service of another proxy',
      plainService(
        {},
        { metadata: { name: 'web', labels: { 'service.kubernetes.io/service-proxy-name': SECRET } } },
      ),
    ],
    [
      'an unknown annotation of ours with a value',
      plainService({}, { metadata: { name: 'web', annotations: { 'pointsman.dev/token': SECRET } } }),
    ],
    [
      'labels and times that say nothing',
      plainService(
        {},
        { metadata: { name: 'web', creationTimestamp: SECRET, labels: { 'k8s-app': SECRET } } },
      ),
    ],
    [
      'a second address of an endpoint, a time that is none, and hints beyond the limit',
      plainSlice({
        metadata: {
          name: 'web-1',
          labels: { 'kubernetes.io/service-name': 'web' },
          annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': SECRET },
        },
        endpoints: [
          {
            addresses: ['10.0.0.1', SECRET],
            hints: { forZones: [...Array.from({ length: 64 }, () => ({ name: 'a' })), { name: SECRET }] },
          },
        ],
      }),
    ],
    ['clusterIPs beyond the limit', plainService({ clusterIPs: ['10.96.0.1', 'fd00::1', SECRET] })],
    [
      'addresses of a Node beyond the limit',
      plainNode({
        status: {
          addresses: Array.from({ length: 1001 }, (_, index) => ({
            type: 'InternalIP',
            address: index < 1000 ? `10.0.${index >> 8}.${index & 255}` : SECRET,
          })),
        },
      }),
    ],
    [
      'a Node that is being deleted and has the taint of one that is about to be',
      plainNode({
        metadata: { name: 'node1', deletionTimestamp: '2026-01-01T00:00:00Z' },
        spec: {
          taints: [
            { key: SECRET, value: SECRET },
            { key: 'ToBeDeletedByClusterAutoscaler', value: SECRET },
          ],
        },
      }),
    ],
    [
      'a Node with taints and a time of deletion that say nothing',
      plainNode({
        metadata: { name: 'node1', deletionTimestamp: SECRET },
        spec: { taints: [{ key: SECRET }, SECRET] },
      }),
    ],
    ['a Node without name', plainNode({ metadata: null })],
    [
      'a Node',
      plainNode({
        spec: { podCIDR: '10.0.0.0/24' },
        status: {
          addresses: [
            { type: 'Hostname', address: SECRET },
            { type: 'InternalIP', address: 'x' },
          ],
        },
      }),
    ],
  ])('%s', (_, object) => {
    expectSame(object);
    expect(JSON.stringify(reduce(object))).not.toContain(SECRET);
  });

  test('whatever the object is, also written as JSON and read again', () => {
    fc.assert(
      fc.property(oddly(anyObject), (object) => expectSame(object)),
      { numRuns: 2000 },
    );
  });

  test('an object of another kind is none', () => {
    expect(
      [null, 'x', {}, { kind: 'Secret' }, { kind: 'toString' }, { kind: ['Service'] }].map(reduce),
    ).toEqual(Array.from({ length: 6 }, () => null));
  });

  test('the object stays as it was, and no part of it is in the reduced one', () => {
    const object = plainSlice({});
    const before = JSON.stringify(object);
    const text = JSON.stringify(reduce(object));
    const kept = reduce(object);
    expect(JSON.stringify(object)).toBe(before);
    (object as { endpoints: { addresses: string[] }[] }).endpoints[0]?.addresses.fill('changed');
    expect(JSON.stringify(kept)).toBe(text);
  });
});

function expectSame(object: unknown): void {
  const kind = member(object, 'kind') as ClusterObject['kind'];
  const written = JSON.parse(JSON.stringify(reduce(object))) as unknown;
  const original = project[kind](object);
  expect(project[kind](reduce(object))).toEqual(original);
  expect(project[kind](written)).toEqual(original);
  const [one, other] = [new Snapshot(), new Snapshot()];
  one.apply({ type: 'apply', object: object as ClusterObject });
  other.apply({ type: 'apply', object: written as ClusterObject });
  expect(other).toEqual(one);
}

/** Paths such as spec.ports.[].port that are asked for, there or not, until the object is in a snapshot. */
function asked(object: unknown, paths: Set<string>): void {
  const watch = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const at = (key: string | symbol): string | null => {
      if (typeof key === 'symbol') return null;
      if (Array.isArray(value)) return /^\d+$/.test(key) ? `${path}\0[]` : null;
      return path === '' ? key : `${path}\0${key}`;
    };
    let listed = 0;
    return new Proxy(value, {
      // Object.keys asks for the descriptor of each: who goes through all names reads none in particular.
      ownKeys: (target) => {
        const keys = Reflect.ownKeys(target);
        listed = keys.length;
        return keys;
      },
      get: (target, key) => {
        const found: unknown = Reflect.get(target, key);
        const here = at(key);
        if (here === null || typeof found === 'function') return found;
        paths.add(here);
        return watch(found, here);
      },
      // Object.hasOwn asks for it, also when there is none.
      getOwnPropertyDescriptor: (target, key) => {
        const here = listed > 0 ? null : at(key);
        listed = Math.max(0, listed - 1);
        if (here !== null) paths.add(here);
        return Reflect.getOwnPropertyDescriptor(target, key);
      },
    });
  };
  const watched = watch(object, '') as ClusterObject;
  project[watched.kind](watched);
  new Snapshot().apply({ type: 'apply', object: watched });
}

/** Values that a field keeps where it does not keep all. */
const KEPT_VALUES: Readonly<Record<string, unknown>> = {
  'metadata\0creationTimestamp': '2026-01-01T00:00:00Z',
  'metadata\0annotations\0endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z',
  'metadata\0labels\0k8s-app': 'kube-dns',
  'status\0addresses\0[]\0type': 'InternalIP',
  'metadata\0deletionTimestamp': '2026-01-01T00:00:00Z',
  'spec\0taints\0[]\0key': 'ToBeDeletedByClusterAutoscaler',
};

/** Of the API and of its neighbours; nothing reads them. */
const FOREIGN_NAMES = [
  ...[
    'managedFields',
    'kubectl.kubernetes.io/last-applied-configuration',
    'ownerReferences',
    'uid',
    'resourceVersion',
  ],
  ...[
    'selector',
    'externalName',
    'targetPort',
    'appProtocol',
    'loadBalancerIP',
    'loadBalancerClass',
    'hostname',
  ],
  ...['targetRef', 'zone', 'deprecatedTopology', 'nodeInfo', 'images', 'providerID', 'configSource'],
  ...['env', 'password', '__proto__', 'constructor'],
];

function withValue(object: object, path: string, value: unknown): unknown {
  const [first = '', ...rest] = path.split('\0');
  const inner = (before: unknown): unknown =>
    rest.length === 0
      ? value
      : withValue(typeof before === 'object' ? (before ?? {}) : {}, rest.join('\0'), value);
  if (first === '[]') return [inner(Array.isArray(object) ? (object as unknown[])[0] : {})];
  return { ...object, [first]: inner(member(object, first)) };
}

function at(object: unknown, path: string): unknown {
  let value = object;
  for (const key of path.split('\0'))
    value = key === '[]' && Array.isArray(value) ? (value as unknown[])[0] : member(value, key);
  return value;
}

describe('keeps what is asked for, and nothing else', () => {
  const bases = { Service: plainService({}), EndpointSlice: plainSlice({}), Node: plainNode() };
  const paths = { Service: new Set<string>(), EndpointSlice: new Set<string>(), Node: new Set<string>() };
  const withAffinity = plainService({
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
  }) as ClusterObject;
  for (const object of [withAffinity, ...fc.sample(oddly(anyObject), { numRuns: 3000, seed: 7 })])
    asked(object, paths[object.kind]);
  const leaves = Object.entries(paths).flatMap(([kind, set]) =>
    [...set]
      .filter((path) => path !== 'kind' && ![...set].some((other) => other.startsWith(`${path}\0`)))
      .map((path) => [path.replaceAll('\0', '.'), kind as ClusterObject['kind'], path] as const),
  );

  test('the watch sees the fields', () => {
    expect(leaves.length).toBeGreaterThan(40);
    expect([...paths.Service]).toContain('metadata\0annotations\0pointsman.dev/drain-timeout');
    expect([...paths.EndpointSlice]).toContain('endpoints\0[]\0hints\0forNodes\0[]\0name');
    expect([...paths.Node]).toContain('spec\0podCIDRs\0[]');
  });

  test.each(leaves)('%s of a %s', (_, kind, path) => {
    let object = withValue(bases[kind], path, KEPT_VALUES[path] ?? 'kept') as object;
    if (path === 'status\0addresses\0[]\0address')
      object = withValue(object, 'status\0addresses\0[]\0type', 'InternalIP') as object;
    const isMark = path.endsWith('service-proxy-name') || path.endsWith('headless');
    expect(at(reduce(object), path)).toBe(isMark ? '' : (KEPT_VALUES[path] ?? 'kept'));
  });

  test('every field that is not read is gone, wherever it stands', () => {
    for (const [kind, set] of Object.entries(paths))
      for (const around of new Set([...set].map((path) => path.split('\0').slice(0, -1).join('\0')))) {
        const names = new Set([...FOREIGN_NAMES, ...Object.values(paths).flatMap((set) => lastNames(set))]);
        for (const name of names) {
          const path = around === '' ? name : `${around}\0${name}`;
          if (set.has(path)) continue;
          const object = withValue(bases[kind as ClusterObject['kind']], path, SECRET);
          expect(JSON.stringify(reduce(object)), path).not.toContain(SECRET);
        }
      }
  });

  const lastNames = (set: ReadonlySet<string>): string[] =>
    [...set].map((path) => path.split('\0').at(-1) ?? '');

  test('what stands where nothing is read is gone: text, lists and objects, under any name', () => {
    const place = fc.constantFrom(
      ...Object.entries(paths).flatMap(([kind, set]) => [...set].map((path) => [kind, path] as const)),
    );
    const name = fc.oneof(
      fc.constantFrom(
        ...new Set(Object.values(paths).flatMap((set) => [...set].flatMap((path) => path.split('\0')))),
      ),
      fc.constantFrom(...FOREIGN_NAMES),
      fc.string(),
    );
    const leak = fc.constantFrom(SECRET, [SECRET], { [SECRET]: 1 }, { deep: [{ er: SECRET }] });
    fc.assert(
      fc.property(place, name, leak, ([kind, path], name, leak) => {
        fc.pre(!name.startsWith('pointsman.dev/'));
        const around = path.split('\0').slice(0, -1).join('\0');
        const inside = around === '' ? name : `${around}\0${name}`;
        const base = bases[kind as ClusterObject['kind']];
        const isRead = paths[kind as ClusterObject['kind']].has(inside);
        const objects = [
          isRead ? base : withValue(base, inside, leak),
          withValue(base, path, { [name]: leak }),
          withValue(base, path, [[leak], { [`x-${name}`]: leak }]),
        ];
        for (const object of objects) {
          if (member(object, 'kind') !== kind) continue;
          if (isReadInside(kind, path, name)) continue;
          expect(JSON.stringify(reduce(object))).not.toContain(SECRET);
        }
      }),
      { numRuns: 3000 },
    );

    function isReadInside(kind: string, path: string, name: string): boolean {
      const set = paths[kind as ClusterObject['kind']];
      return set.has(`${path}\0${name}`) || set.has(`${path}\0[]\0${name}`);
    }
  });
});
