// Nodes, and objects of which any part is replaced by something else or has something beside it, for properties of what reads objects.

import fc from 'fast-check';
import type { ClusterObject } from '../../src/model/objects.ts';

/** Nodes, mostly valid. */
export const nodeObject: fc.Arbitrary<ClusterObject> = fc.record({
  kind: fc.constant('Node' as const),
  metadata: fc.record({
    name: fc.constantFrom('node1', 'node2', 'Node 3'),
    labels: fc.constantFrom(
      { 'topology.kubernetes.io/zone': 'zone-a' },
      { 'topology.kubernetes.io/zone': '!' },
      null,
    ),
    deletionTimestamp: fc.constantFrom(undefined, null, '2026-01-01T00:00:00Z', 'soon'),
  }),
  spec: fc.record(
    {
      taints: fc.constantFrom(
        [{ key: 'node.kubernetes.io/unschedulable' }, { key: 'ToBeDeletedByClusterAutoscaler' }],
        [],
        'rubbish',
      ),
      podCIDR: fc.constantFrom('10.244.1.0/24', 'rubbish', null),
      podCIDRs: fc.constantFrom(['10.244.1.0/24', 'fd00:10:244::/64'], ['rubbish'], [], 'rubbish'),
    },
    { requiredKeys: [] },
  ),
  status: fc.record({
    addresses: fc.array(
      fc.record({
        type: fc.constantFrom('InternalIP', 'ExternalIP', 'Hostname'),
        address: fc.constantFrom('192.168.50.11', '2001:db8::1', 'node1', ''),
      }),
      { maxLength: 3 },
    ),
  }),
}) as fc.Arbitrary<ClusterObject>;

/** Names that mean something somewhere. */
const NAMES = [
  'pointsman.dev/scheduler',
  'pointsman.dev/scheduler-flags',
  'pointsman.dev/drain-timeout',
  'pointsman.dev/weight',
  'pointsman.dev/unknown',
  'kube-router.io/service.scheduler',
  'kube-router.io/service.schedflags',
  'service.cilium.io/lb-algorithm',
  'service.cilium.io/weight',
  'endpoints.kubernetes.io/last-change-trigger-time',
  'kubectl.kubernetes.io/last-applied-configuration',
  'k8s-app',
  'service.kubernetes.io/headless',
  'labels',
  'annotations',
  'sessionAffinityConfig',
  'clientIP',
  'timeoutSeconds',
  'forZones',
  'name',
  '__proto__',
];
const value: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom('rr', 'none', '2', ' 15m ', 'kube-dns', '2026-01-01T00:00:00Z', '', 7, true, null, [], {}),
  fc.constantFrom('\u001B[31mred', '\uD800', 'x'.repeat(1000)),
  fc.jsonValue(),
);

/** Changes: at a place that is chosen by numbers, something else, or something more. */
const change = fc.record({
  way: fc.array(fc.nat({ max: 30 }), { maxLength: 6 }),
  name: fc.constantFrom(null, ...NAMES),
  value,
});

/** The objects, as they are or with a few changes; their kind stays. */
export function oddly(objects: fc.Arbitrary<ClusterObject>): fc.Arbitrary<ClusterObject> {
  return fc.tuple(objects, fc.array(change, { maxLength: 3 })).map(([object, changes]) => {
    let changed = object;
    for (const { way, name, value } of changes)
      changed = { ...(changeAt(changed, way, name, value) as object), kind: object.kind } as ClusterObject;
    return changed;
  });
}

function changeAt(object: unknown, way: readonly number[], name: string | null, value: unknown): unknown {
  if (typeof object !== 'object' || object === null) return value;
  const keys = Object.keys(object);
  const [first, ...rest] = way;
  if (first === undefined || keys.length === 0) {
    if (Array.isArray(object)) return [...(object as unknown[]), value];
    return name === null ? value : Object.fromEntries([...Object.entries(object), [name, value]]);
  }
  const key = keys[first % keys.length] as string;
  const inner = changeAt((object as Record<string, unknown>)[key], rest, name, value);
  if (Array.isArray(object))
    return (object as unknown[]).map((item, index) => (String(index) === key ? inner : item));
  return Object.fromEntries(Object.entries(object).map(([each, old]) => [each, each === key ? inner : old]));
}
