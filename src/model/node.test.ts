// Projection of Nodes.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { projectNode } from './node.ts';
import { formatProblem } from './problem.ts';

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
    isLeaving: false,
  });
});

test.each<[string, object, object, boolean]>([
  ['a time of deletion', { deletionTimestamp: '2026-11-21T05:19:32Z' }, {}, true],
  ['no time of deletion', { deletionTimestamp: null }, {}, false],
  ['a time that is none', { deletionTimestamp: 'soon' }, {}, false],
  [
    'the taint of the autoscaler',
    {},
    { taints: [{ key: 'a' }, { key: 'ToBeDeletedByClusterAutoscaler' }] },
    true,
  ],
  [
    'another taint',
    {},
    { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] },
    false,
  ],
  ['its taint as a value', {}, { taints: [{ key: 'a', value: 'ToBeDeletedByClusterAutoscaler' }] }, false],
  ['taints that are no list', {}, { taints: 'ToBeDeletedByClusterAutoscaler' }, false],
  ['taints that are no objects', {}, { taints: ['ToBeDeletedByClusterAutoscaler', null] }, false],
])('isLeaving: %s', (_name, metadata, spec, expected) => {
  const { record, problems } = projectNode({ metadata: { name: 'node1', ...metadata }, spec });
  expect(record!.isLeaving).toBe(expected);
  expect(problems).toEqual([]);
});

test.each([
  ['podCIDR alone', { podCIDR: '10.244.1.0/24' }, ['10.244.1.0/24']],
  ['no pod CIDR', {}, []],
  ['the first of a family', { podCIDRs: ['10.244.1.0/24', '10.244.2.0/24'] }, ['10.244.1.0/24']],
])('pod CIDRs: %s', (_name, spec, expected) => {
  expect(projectNode({ metadata: { name: 'node1' }, spec }).record!.podCIDRs).toEqual(expected);
});

test('a node of which nothing is known but its name has no zone, no address and no pod CIDR', () => {
  expect(projectNode({ metadata: { name: 'node1' } })).toEqual({
    record: { name: 'node1', zone: '', addresses: [], podCIDRs: [], isLeaving: false },
    problems: [],
  });
});

const ADDRESS_LINE = 'it is left out; write an IPv4 or IPv6 address';
const CIDR_LINE = 'it is left out; write address/prefix, as in 10.244.1.0/24';
const ZONE = 'topology.kubernetes.io/zone';
const GOOD = { type: 'InternalIP', address: '192.168.50.11' };

test.each([
  [
    'an address that is none',
    { status: { addresses: [{ type: 'InternalIP', address: 'x' }, GOOD] } },
    [`status.addresses[0].address: "x" is not valid: ${ADDRESS_LINE}`],
  ],
  [
    'an address that is no text',
    { status: { addresses: [GOOD, { type: 'ExternalIP', address: 5 }] } },
    [`status.addresses[1].address: 5 is not valid: ${ADDRESS_LINE}`],
  ],
  [
    'addresses that are no list',
    { status: { addresses: 'x' } },
    ['status.addresses: "x" is not valid: it must be a list and is ignored; write it as a list'],
  ],
  [
    'a zone that is none',
    { metadata: { name: 'node1', labels: { [ZONE]: 'a b' } } },
    [
      `metadata.labels[${ZONE}]: "a b" is not valid: the node counts as without zone; use a valid label value`,
    ],
  ],
  [
    'a zone that is no text',
    { metadata: { name: 'node1', labels: { [ZONE]: ['a'] } } },
    [
      `metadata.labels[${ZONE}]: a list is not valid: the node counts as without zone; use a valid label value`,
    ],
  ],
  [
    'pod CIDRs that are none',
    { spec: { podCIDRs: ['10.244.1.0', 5] } },
    [
      `spec.podCIDRs[0]: "10.244.1.0" is not valid: ${CIDR_LINE}`,
      `spec.podCIDRs[1]: 5 is not valid: ${CIDR_LINE}`,
    ],
  ],
  [
    'a single pod CIDR that is none',
    { spec: { podCIDR: '10.244.1.0' } },
    [`spec.podCIDR: "10.244.1.0" is not valid: ${CIDR_LINE}`],
  ],
  [
    'pod CIDRs that are no list',
    { spec: { podCIDRs: 'x' } },
    ['spec.podCIDRs: "x" is not valid: it must be a list and is ignored; write it as a list'],
  ],
])('%s: it is reported and the rest of the node is kept', (_name, object, lines) => {
  const { record, problems } = projectNode({ metadata: { name: 'node1' }, ...object });
  expect(problems.map(formatProblem)).toEqual(lines.map((line) => `Node node1: ${line}`));
  const hasAddress = JSON.stringify(object).includes(GOOD.address);
  expect(record).toEqual({
    name: 'node1',
    zone: '',
    addresses: hasAddress ? [GOOD.address] : [],
    podCIDRs: [],
    isLeaving: false,
  });
});

test.each([
  ['a name that is none', { name: 'Node 1' }, '"Node 1"'],
  ['a name that is no text', { name: ['node1'] }, 'a list'],
  ['no name', {}, 'null'],
])('%s: the node is skipped', (_name, metadata, shown) => {
  const { record, problems } = projectNode({ metadata });
  expect(record).toBeNull();
  expect(problems.map(formatProblem)).toEqual([
    `Node ?: metadata.name: ${shown} is not valid: the Node is skipped; give it a DNS name in lower case`,
  ]);
});

test('more than 1,000 addresses are cut off with a problem', () => {
  const addresses = Array.from({ length: 1001 }, (_, i) => ({
    type: 'InternalIP',
    address: `10.0.${i >> 8}.${i & 255}`,
  }));
  const { record, problems } = projectNode({ metadata: { name: 'node1' }, status: { addresses } });
  expect(record!.addresses).toHaveLength(1000);
  expect(problems).toMatchObject([{ field: 'status.addresses', reason: 'LimitExceeded' }]);
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
