// Projection of Nodes.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { projectNode } from './node.ts';

test('a node is its zone, its addresses with internal ones first, and one pod CIDR of each family', () => {
  const { record, problems } = projectNode({
    kind: 'Node',
    metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'zone-a' } },
    spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24', 'FD00:10:244:1::/64'] },
    status: {
      addresses: [
        { type: 'ExternalIP', address: '198.51.100.11' },
        { type: 'Hostname', address: 'node1' },
        { type: 'InternalIP', address: '192.168.050.011' },
        { type: 'InternalIP', address: 'fd00:50::11' },
        { type: 'InternalIP', address: '192.168.50.11' },
      ],
    },
  });
  expect(problems).toEqual([]);
  expect(record).toEqual({
    name: 'node1',
    zone: 'zone-a',
    addresses: ['192.168.50.11', 'fd00:50::11', '198.51.100.11'],
    podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'],
  });
});

test.each([
  ['podCIDR alone', { podCIDR: '10.244.1.0/24' }, ['10.244.1.0/24']],
  ['no pod CIDR', {}, []],
  ['the first of a family', { podCIDRs: ['10.244.1.0/24', '10.244.2.0/24'] }, ['10.244.1.0/24']],
])('pod CIDRs: %s', (_name, spec, expected) => {
  expect(projectNode({ metadata: { name: 'node1' }, spec }).record!.podCIDRs).toEqual(expected);
});

test.each([
  ['a name that is none', { metadata: { name: 'Node 1' } }, 'metadata.name', true],
  [
    'an address that is none',
    { metadata: { name: 'node1' }, status: { addresses: [{ type: 'InternalIP', address: 'x' }] } },
    'status.addresses[0].address',
    false,
  ],
  [
    'a zone that is none',
    { metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'a b' } } },
    'metadata.labels[topology.kubernetes.io/zone]',
    false,
  ],
  [
    'a pod CIDR that is none',
    { metadata: { name: 'node1' }, spec: { podCIDRs: ['10.244.1.0'] } },
    'spec.podCIDRs[0]',
    false,
  ],
])('%s is reported', (_name, object, field, isSkipped) => {
  const { record, problems } = projectNode(object);
  expect(problems).toMatchObject([{ field, reason: 'InvalidField' }]);
  expect(record === null).toBe(isSkipped);
});

test('no JSON value makes the projection throw', () => {
  const parts = fc.record({
    metadata: fc.constant({ name: 'node1' }),
    spec: fc.jsonValue(),
    status: fc.jsonValue(),
  });
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), parts), (object) => {
      expect(projectNode(object)).toHaveProperty('problems');
    }),
  );
});
