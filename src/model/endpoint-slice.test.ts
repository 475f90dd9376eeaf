// Projection of EndpointSlices, by the rows of the service model: 1.1 (filter), 1.3 (which slices count), and scenarios 6.2. Elsewhere: ports
// and endpoints in slice-endpoints.test.ts, the merge in endpoints.test.ts, when a slice counts as changed in snapshot.test.ts, any JSON
// value in hostile-objects.test.ts.

import { describe, expect, test } from 'vitest';
import { plainSlice } from '../../test/objects.ts';
import { DEFAULTS, endpoint, PORTS, readSlice } from '../../test/slices.ts';
import { problemLines } from '../../test/problems.ts';
import {
  MAX_ENDPOINTS_PER_SLICE,
  MAX_PORTS_PER_SLICE,
  projectEndpointSlice,
  sliceIdentity,
} from './endpoint-slice.ts';
import { Interner } from './interner.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';
const LABELS = { [SERVICE_NAME]: 'web' };
describe('1.1 label filter', () => {
  test.each(['', 'true', null])(
    'slices labelled service.kubernetes.io/headless=%j are passed over',
    (value) => {
      const labels = { ...LABELS, 'service.kubernetes.io/headless': value };
      expect(readSlice({ metadata: { name: 'web-1', labels } })).toEqual({ record: null, lines: [] });
    },
  );
});

describe('1.3 which slices count', () => {
  test('a slice belongs to the Service of its namespace and its label', () => {
    const { record } = readSlice({ metadata: { name: 'any.name', namespace: 'test', labels: LABELS } });
    expect(record).toMatchObject({ name: 'any.name', serviceKey: 'test/web' });
  });

  const LABEL = `default/web-1: metadata.labels[${SERVICE_NAME}]`;
  const SKIPPED = 'is not valid: the slice is skipped;';
  const named = (metadata: object): object => ({ metadata: { name: 'web-1', labels: LABELS, ...metadata } });
  test.each<[string, object, string]>([
    ['no label', named({ labels: {} }), `${LABEL}: null ${SKIPPED} label it with the name of its Service`],
    ['no labels', named({ labels: null }), `${LABEL}: null ${SKIPPED} label it with the name of its Service`],
    [
      'an empty label',
      named({ labels: { [SERVICE_NAME]: '' } }),
      `${LABEL}: "" ${SKIPPED} label it with the name of its Service`,
    ],
    [
      'a label that is no name',
      named({ labels: { [SERVICE_NAME]: 'a/b' } }),
      `${LABEL}: "a/b" ${SKIPPED} label it with the name of its Service`,
    ],
    ['no name', named({ name: '' }), `?: metadata.name: "" ${SKIPPED} give it a DNS name in lower case`],
    ['no metadata', { metadata: null }, `?: metadata.name: null ${SKIPPED} give it a DNS name in lower case`],
    [
      'a name that is none',
      named({ name: 'A b' }),
      `?: metadata.name: "A b" ${SKIPPED} give it a DNS name in lower case`,
    ],
    [
      'a namespace that is none',
      named({ namespace: 'a.b', name: '' }),
      `?: metadata.namespace: "a.b" ${SKIPPED} give it a DNS name in lower case`,
    ],
    [
      'no label and no addressType: only the first is said',
      { ...named({ labels: {} }), addressType: null },
      `${LABEL}: null ${SKIPPED} label it with the name of its Service`,
    ],
    [
      'addressType FQDN',
      { addressType: 'FQDN' },
      'default/web-1: addressType: slices of host names are skipped; list addresses in slices of type IPv4 or IPv6',
    ],
    [
      'addressType missing',
      { addressType: null },
      `default/web-1: addressType: null ${SKIPPED} use IPv4 or IPv6`,
    ],
    [
      'addressType unknown',
      { addressType: 'ipv4' },
      `default/web-1: addressType: "ipv4" ${SKIPPED} use IPv4 or IPv6`,
    ],
  ])('%s: ignored and reported', (_row, rest, line) => {
    const { record, problems } = projectEndpointSlice(plainSlice(rest));
    expect(record).toBeNull();
    expect(problemLines(problems)).toEqual([`EndpointSlice ${line}`]);
    expect(problems[0]!.reason).toBe(line.includes('host names') ? 'UnsupportedField' : 'InvalidField');
  });

  test.each([
    ['namespace and name', { name: 'web-1', namespace: 'test' }, 'test/web-1'],
    ['the namespace is default where none is given', { name: 'web.1' }, 'default/web.1'],
    ['none without a name', { namespace: 'test' }, null],
    ['none with a name that is none', { name: 'web_1' }, null],
    ['none with a namespace that is none', { name: 'web-1', namespace: 'a.b' }, null],
  ])('identity: %s', (_row, metadata, expected) => {
    expect(sliceIdentity({ metadata })).toBe(expected);
  });
});

describe('absent, null and "" mean the default of every field', () => {
  test('a minimal slice', () => {
    expect(readSlice({})).toEqual({ record: DEFAULTS, lines: [] });
  });

  for (const [what, empty] of [
    ['undefined', undefined],
    ['null', null],
    ['""', ''],
  ] as const) {
    test.each<[string, object, object]>([
      ['metadata.namespace', { metadata: { name: 'web-1', labels: LABELS, namespace: empty } }, {}],
      ['metadata.annotations', { metadata: { name: 'web-1', labels: LABELS, annotations: empty } }, {}],
      ['ports', { ports: empty }, { ports: [] }],
      [
        'ports[0].name',
        { ports: [{ name: empty, port: 1 }] },
        { ports: [{ name: '', protocol: 'TCP', port: 1 }] },
      ],
      ['ports[0].protocol', { ports: [{ ...PORTS[0], protocol: empty }] }, {}],
      ['endpoints', { endpoints: empty }, { endpoints: [] }],
      ['endpoints[0].nodeName', endpoint({ nodeName: empty }), {}],
      ['endpoints[0].conditions', endpoint({ conditions: empty }), {}],
      ['endpoints[0].conditions.ready', endpoint({ conditions: { ready: empty } }), {}],
      ['endpoints[0].conditions.serving', endpoint({ conditions: { serving: empty } }), {}],
      ['endpoints[0].conditions.terminating', endpoint({ conditions: { terminating: empty } }), {}],
      ['endpoints[0].hints', endpoint({ hints: empty }), {}],
      ['endpoints[0].hints.forZones', endpoint({ hints: { forZones: empty } }), {}],
      ['endpoints[0].hints.forNodes', endpoint({ hints: { forNodes: empty } }), {}],
    ])(`%s ${what}`, (_field, rest, expected) => {
      expect(readSlice(rest)).toEqual({ record: { ...DEFAULTS, ...expected }, lines: [] });
    });
  }
});

describe('the rest of a slice', () => {
  const annotated = (annotations: object): object => ({
    metadata: { name: 'web-1', labels: LABELS, annotations },
  });

  test('1.9 the trigger time is read', () => {
    const at = { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00.123456789Z' };
    expect(readSlice(annotated(at)).record!.triggeredAtMs).toBe(Date.UTC(2026, 0, 1, 0, 0, 0, 123));
    const never = { 'endpoints.kubernetes.io/last-change-trigger-time': 'yesterday' };
    expect(readSlice(annotated(never))).toEqual({ record: DEFAULTS, lines: [] });
  });

  test('the weight is read of its annotations, and reported when it is none', () => {
    expect(readSlice(annotated({ 'pointsman.dev/weight': '7' })).record!.weight).toEqual({
      value: 7,
      usual: 1,
    });
    const { record, lines } = readSlice(annotated({ 'pointsman.dev/weight': 'x' }));
    expect(record).toEqual(DEFAULTS);
    expect(lines).toHaveLength(1);
  });

  test('endpoints and ports beyond the limits are left out and reported once', () => {
    const endpoints = Array.from({ length: MAX_ENDPOINTS_PER_SLICE + 1 }, (_, i) => ({
      addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
    }));
    const ports = Array.from({ length: MAX_PORTS_PER_SLICE + 1 }, (_, i) => ({ name: `p${i}`, port: i + 1 }));
    const { record, problems } = projectEndpointSlice(plainSlice({ endpoints, ports }));
    expect([record!.endpoints.length, record!.ports.length]).toEqual([10_000, 20_000]);
    expect(problems.map(({ field, reason }) => `${field} ${reason}`)).toEqual([
      'ports LimitExceeded',
      'endpoints LimitExceeded',
    ]);
  });

  test('an interner makes repeated texts and lists one, and changes nothing', () => {
    const full = plainSlice(
      endpoint({ nodeName: 'node1', hints: { forZones: [{ name: 'a' }], forNodes: [{ name: 'n' }] } }),
    );
    const seen: string[] = [];
    const interner = new (class extends Interner {
      override text(value: string): string {
        seen.push(value);
        return super.text(value);
      }
    })();
    const [a, b] = [
      projectEndpointSlice(full, interner).record!,
      projectEndpointSlice(full, interner).record!,
    ];
    expect(a.endpoints[0]!.zoneHints).toBe(b.endpoints[0]!.zoneHints);
    expect(a.endpoints[0]!.nodeHints).toBe(b.endpoints[0]!.nodeHints);
    expect(seen).toEqual(expect.arrayContaining(['http', 'node1']));
    expect(projectEndpointSlice(full).record).toEqual(a);
  });

  test('endpoints without hints share one list', () => {
    const hints = { forZones: [], forNodes: [{ name: '' }] };
    const { record } = readSlice({
      endpoints: [{ addresses: ['10.244.1.1'] }, { addresses: ['10.244.1.2'], hints }],
    });
    const [none, empty] = record!.endpoints;
    for (const list of [none!.nodeHints, empty!.zoneHints, empty!.nodeHints])
      expect(list).toBe(none!.zoneHints);
  });
});
