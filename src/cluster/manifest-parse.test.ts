// Manifests: kinds and lists, every rule of the API as a table of broken objects, and properties over hostile ones: what is accepted
// projects without complaint, and no text gets through that is more than a plain token.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_DOCUMENT_LIMITS, DocumentError } from '../files/document.ts';
import { projectEndpointSlice } from '../model/endpoint-slice.ts';
import { projectNode } from '../model/node.ts';
import { projectService } from '../model/service.ts';
import { parseManifest, type ManifestFile } from './manifest-parse.ts';
import { formatManifestProblem } from './manifest-problem.ts';

const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: { clusterIP: '10.96.0.10', ports: [{ port: 80 }] },
};
const SLICE = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [{ port: 8080 }],
  endpoints: [{ addresses: ['10.0.0.1'] }],
};
const NODE = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1' },
  spec: { podCIDR: '10.244.0.0/24' },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
};

const parse = (value: unknown): ManifestFile => parseManifest(JSON.stringify(value), 'x.json');
const idsOf = (file: ManifestFile): string[] => file.objects.map(({ id }) => id);
const linesOf = (file: ManifestFile): string[] => file.problems.map(formatManifestProblem);

/** A copy with the value at a path ("spec.ports.0.port") replaced; undefined removes it. */
function change(object: object, path: string, value: unknown): object {
  const copy = structuredClone(object) as Record<string, unknown>;
  const names = path.split('.');
  const last = names.pop() ?? '';
  const target = names.reduce((part, name) => (part[name] ??= {}) as Record<string, unknown>, copy);
  target[last] = value;
  return copy;
}

describe('what a file may hold', () => {
  test('several documents, lists and kinds, namespaces filled in', () => {
    const text = [SERVICE, { apiVersion: 'v1', kind: 'List', items: [SLICE, NODE] }]
      .map((value) => JSON.stringify(value))
      .join('\n---\n');
    const file = parseManifest(`# comment\n---\n${text}\n---\n`, 'x.yaml');
    expect(idsOf(file)).toEqual(['Service default/web', 'EndpointSlice default/web-1', 'Node node1']);
    expect(file.problems).toEqual([]);
    expect(file.objects[0]?.object.metadata).toEqual({ name: 'web', namespace: 'default' });
    expect(file.objects[2]?.object.metadata).toEqual({ name: 'node1' });
  });

  test.each([
    ['v1', 'ServiceList', SERVICE, 'Service default/web'],
    ['discovery.k8s.io/v1', 'EndpointSliceList', SLICE, 'EndpointSlice default/web-1'],
    ['v1', 'NodeList', NODE, 'Node node1'],
  ])('a %s %s, whose items need no kind', (apiVersion, kind, { apiVersion: _a, kind: _k, ...item }, id) => {
    expect(idsOf(parse({ apiVersion, kind, items: [item] }))).toEqual([id]);
    expect(idsOf(parse({ apiVersion, kind, items: null }))).toEqual([]);
  });

  test.each([
    ['empty', ''],
    ['comments only', '# nothing\n---\n# here\n'],
    ['blanks', ' \n\n'],
  ])('nothing: %s', (_name, text) => {
    for (const name of ['x.yaml', 'x.json'])
      if (name === 'x.yaml' || text.trim() === '') expect(idsOf(parseManifest(text, name))).toEqual([]);
  });

  test('other kinds are passed over with a warning that says where', () => {
    const file = parseManifest(
      'apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: Endpoints\n---\napiVersion: serving.knative.dev/v1\nkind: Service\n',
      'x.yaml',
    );
    expect(file.problems).toEqual([]);
    expect(file.warnings.map(formatManifestProblem)).toEqual([
      'x.yaml:2:7: kind "Deployment" of "apps/v1" is passed over; only Service, EndpointSlice and Node are read',
      'x.yaml:5:7: kind "Endpoints" of "v1" is passed over; write an EndpointSlice (discovery.k8s.io/v1) instead',
      'x.yaml:8:7: kind "Service" of "serving.knative.dev/v1" is passed over; only Service of v1 is read',
    ]);
  });

  test('unknown fields are warned of with the nearest known one', () => {
    const file = parse(change(SERVICE, 'spec.sesionAffinity', 'ClientIP'));
    expect(idsOf(file)).toEqual(['Service default/web']);
    expect(file.warnings[0]).toMatchObject({
      field: 'spec.sesionAffinity',
      remedy: 'did you mean sessionAffinity?',
    });
  });

  test.each<[name: string, text: string, line: number, column: number]>([
    ['a broken document', 'apiVersion: v1\nkind: [', 2, 8],
    ['tabs', 'apiVersion: v1\nspec:\n\tports: []', 3, 1],
    ['a document that is no object', 'hello', 1, 1],
    ['no kind', 'apiVersion: v1\nmetadata: {name: a}', 1, 1],
    ['no apiVersion', 'kind: Service', 1, 1],
    ['a kind that is no text', 'apiVersion: v1\nkind: [a]', 2, 7],
    ['items that are no list', 'apiVersion: v1\nkind: List\nitems: 3', 3, 8],
    ['an item that is no object', 'apiVersion: v1\nkind: List\nitems:\n- 3', 4, 3],
    ['a duplicate key', 'apiVersion: v1\nkind: Service\nkind: Node', 3, 1],
  ])('refused as a whole: %s', (_name, text, line, column) => {
    const read = (): ManifestFile => parseManifest(`${JSON.stringify(SERVICE)}\n---\n${text}`, 'x.yaml');
    expect(read).toThrow(DocumentError);
    expect(read).toThrow(expect.objectContaining({ position: { line: line + 2, column } }));
  });
});

describe('the rules of the API', () => {
  const title = (kind: string, path: string, value: unknown): string =>
    `${kind} ${path} = ${JSON.stringify(value)?.slice(0, 60)}`;
  const service = (path: string, value: unknown): [string, unknown, string] => [
    title('Service', path, value),
    change(SERVICE, path, value),
    path,
  ];
  const slice = (path: string, value: unknown): [string, unknown, string] => [
    title('EndpointSlice', path, value),
    change(SLICE, path, value),
    path,
  ];
  const node = (path: string, value: unknown): [string, unknown, string] => [
    title('Node', path, value),
    change(NODE, path, value),
    path,
  ];
  const two = (first: object, second: object): object[] => [
    { name: 'a', port: 80, ...first },
    { name: 'b', port: 81, ...second },
  ];

  test.each([
    ...[
      '',
      'Web',
      'we b',
      'web\n',
      'a"b',
      '-a',
      'a-',
      'a.b',
      'a'.repeat(64),
      'web -j ACCEPT',
      '../etc',
      'C:\\web',
      7,
      null,
      undefined,
    ].map((name) => service('metadata.name', name)),
    ...['Default', 'a/b', 'kube system', 5].map((namespace) => service('metadata.namespace', namespace)),
    service('metadata', 'web'),
    service('metadata.labels', { 'a b': 'c' }),
    service('metadata.labels', { a: 'c d' }),
    service('metadata.labels', { a: 1 }),
    service('metadata.labels', { 'x/y/z': 'c' }),
    service('metadata.annotations', ['a']),
    service('metadata.creationTimestamp', 'yesterday'),
    service('spec', 'x'),
    service('spec.type', 'clusterip'),
    ...[
      undefined,
      null,
      '',
      'none',
      '10.96.0',
      '10.96.0.10/32',
      '10.96.0.10 ',
      '0.0.0.0',
      '127.0.0.1',
      '224.0.0.1',
      'fe80::1',
      42,
    ].map((address) => service('spec.clusterIP', address)),
    service('spec.clusterIPs', ['10.96.0.11']),
    service('spec.clusterIPs', ['10.96.0.10', '10.96.0.11']),
    service('spec.clusterIPs', ['10.96.0.10', 'fd00::1', 'fd00::2']),
    service('spec.clusterIPs', '10.96.0.10'),
    service('spec.ipFamilies', ['IPv6']),
    service('spec.ipFamilies', ['ipv4']),
    service('spec.ipFamilyPolicy', 'Both'),
    ...[undefined, [], {}, [null, 3], 'x'].map((ports) => service('spec.ports', ports)),
    ...[0, 65_536, -1, 80.5, '80', true, undefined, Number.MAX_VALUE].map((port) =>
      service('spec.ports.0.port', port),
    ),
    ...['tcp', 'ICMP', 'TCP ', 6].map((protocol) => service('spec.ports.0.protocol', protocol)),
    ...['HTTP', 'a b', 'x\ny', 'a'.repeat(64), '--dport', 1].map((name) =>
      service('spec.ports.0.name', name),
    ),
    service('spec.ports', two({ name: '' }, {})),
    service('spec.ports', two({}, { name: 'a' })),
    service('spec.ports', two({}, { port: 80 })),
    service('spec.ports.0.nodePort', 30_000),
    service('spec.ports.0.targetPort', 'a b'),
    service('spec.ports.0.targetPort', 70_000),
    service('spec.externalIPs', ['169.254.169.254']),
    service('spec.externalIPs', ['1.2.3.4 -j ACCEPT']),
    service('spec.externalTrafficPolicy', 'Local'),
    service('spec.internalTrafficPolicy', 'local'),
    service('spec.loadBalancerSourceRanges', ['10.0.0.0/8']),
    service('spec.healthCheckNodePort', 30_000),
    service('spec.sessionAffinity', 'Cookie'),
    service('spec.sessionAffinityConfig', { clientIP: { timeoutSeconds: 100 } }),
    service('spec.selector', { a: 'b c' }),
    service('status.loadBalancer', { ingress: [{ ip: '1.2.3' }] }),
    service('status.loadBalancer', { ingress: [{ ip: '1.2.3.4', ipMode: 'vip' }] }),
    ...['', 'Web', 'a_b', 'a..b', 'a'.repeat(254)].map((name) => slice('metadata.name', name)),
    slice('metadata.labels', {}),
    slice('metadata.labels', { 'kubernetes.io/service-name': 'a.b' }),
    ...[undefined, 'ipv4', 4].map((type) => slice('addressType', type)),
    ...[[], undefined, ['10.0.0.256'], ['fd00::1'], ['127.0.0.1'], ['169.254.1.1'], 'x', [null]].map(
      (addresses) => slice('endpoints.0.addresses', addresses),
    ),
    slice('endpoints', 'x'),
    slice('endpoints', ['x']),
    slice(
      'endpoints',
      Array.from({ length: 10_001 }, () => ({ addresses: ['10.0.0.1'] })),
    ),
    slice('endpoints.0.conditions', { ready: 'true' }),
    slice('endpoints.0.nodeName', 'node 1'),
    slice('endpoints.0.hints', { forZones: [{}] }),
    slice('endpoints.0.hints', { forZones: Array.from({ length: 9 }, () => ({ name: 'a' })) }),
    ...[0, 65_536, '8080', undefined].map((port) => slice('ports.0.port', port)),
    slice('ports', [{ port: 1 }, { port: 2 }]),
    ...['', 'Node', 'a b', 'a_b'].map((name) => node('metadata.name', name)),
    node('spec.podCIDR', '10.244.0.0'),
    node('spec.podCIDRs', ['10.244.1.0/24']),
    node('spec.podCIDRs', ['10.244.0.0/24', '10.245.0.0/24']),
    node('status.addresses', [{ type: 'InternalIP', address: 'node1' }]),
    node('status.addresses', [{ address: '192.0.2.1' }]),
  ])('refuse %s', (_name, value, path) => {
    const file = parse({
      apiVersion: 'v1',
      kind: 'List',
      items: [value, { ...NODE, metadata: { name: 'good' } }],
    });
    expect(idsOf(file)).toEqual(['Node good']);
    const [problem] = file.problems;
    // The field told is the one that was changed, or a part of it.
    const [top, second] = path.split('.');
    expect(problem?.field.startsWith(second === undefined ? (top ?? '') : `${top}`)).toBe(true);
    expect(problem).toMatchObject({
      file: 'x.json',
      line: 1,
      message: expect.stringMatching(/./),
      remedy: expect.stringMatching(/./),
    });
    expect(linesOf(file).every((line) => /^[\x20-\x7e]+$/.test(line))).toBe(true);
  });

  const loadBalancer = { ...SERVICE, spec: { ...SERVICE.spec, type: 'LoadBalancer' } };
  test.each<[name: string, value: unknown]>([
    [
      'a headless Service without ports',
      change(change(SERVICE, 'spec.clusterIP', 'None'), 'spec.ports', undefined),
    ],
    ['an ExternalName', { ...SERVICE, spec: { type: 'ExternalName', externalName: 'example.com' } }],
    [
      'both families',
      change(change(SERVICE, 'spec.clusterIPs', ['10.96.0.10', 'fd00::10']), 'spec.ipFamilies', [
        'IPv4',
        'IPv6',
      ]),
    ],
    ['an octet with leading zeros', change(SERVICE, 'spec.clusterIP', '172.30.0.041')],
    ['a name that begins with a digit', change(SERVICE, 'metadata.name', '0web')],
    [
      'the same port with two protocols',
      change(SERVICE, 'spec.ports', two({ port: 53 }, { port: 53, protocol: 'UDP' })),
    ],
    ['node ports', change(change(SERVICE, 'spec.type', 'NodePort'), 'spec.ports.0.nodePort', 1)],
    ['source ranges with blanks', change(loadBalancer, 'spec.loadBalancerSourceRanges', [' 10.0.0.0/8 '])],
    ['nulls everywhere', change(change(SERVICE, 'metadata.labels', null), 'spec.externalIPs', null)],
    ['a slice for every port', change(SLICE, 'endpoints', null)],
    [
      'a slice of host names',
      change(change(SLICE, 'addressType', 'FQDN'), 'endpoints.0.addresses', ['a.example']),
    ],
    [
      '10,000 endpoints',
      change(
        SLICE,
        'endpoints',
        Array.from({ length: 10_000 }, (_, i) => ({ addresses: [`10.1.${i >> 8}.${i & 255}`] })),
      ),
    ],
    ['a node without addresses', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1' } }],
  ])('accept %s', (_name, value) => {
    const file = parse(value);
    expect(linesOf(file)).toEqual([]);
    expect(file.objects).toHaveLength(1);
  });

  test('say line and column of the offending field, in YAML and in JSON', () => {
    const yaml =
      'apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  clusterIP: 10.96.0.1\n  ports:\n  - port: 70000\n';
    expect(linesOf(parseManifest(yaml, 'x.yaml'))).toEqual([
      'x.yaml:8:11: Service default/web: spec.ports[0].port: 70000 is not valid; use a whole number from 1 to 65535',
    ]);
    const json =
      '{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},\n "spec":{"clusterIP":"10.96.0.1",\n  "ports":[{"port": 0}]}}';
    expect(linesOf(parseManifest(json, 'x.json'))).toEqual([
      'x.json:3:21: Service default/web: spec.ports[0].port: 0 is not valid; use a whole number from 1 to 65535',
    ]);
  });

  test('tell which objects are left out, by name or at least by kind', () => {
    const file = parse({
      apiVersion: 'v1',
      kind: 'List',
      items: [change(SERVICE, 'spec.ports', []), change(NODE, 'metadata.name', 'A'), SLICE, SLICE],
    });
    expect([...file.refusedIds]).toEqual(['Service default/web']);
    expect([...file.unnamedKinds]).toEqual(['Node']);
    expect(idsOf(file)).toEqual(['EndpointSlice default/web-1']);
    expect(linesOf(file).at(-1)).toMatch(/the same object stands further up/);
  });

  test('list at most a hundred problems of one file', () => {
    const items = Array.from({ length: 500 }, (_, i) => change(SERVICE, 'metadata.name', `Bad${i}`));
    expect(parse({ apiVersion: 'v1', kind: 'List', items }).problems).toHaveLength(101);
  });
});

describe('for any input', () => {
  const evil = fc.oneof(
    fc.constantFrom(
      '-j ACCEPT',
      'a\nCOMMIT',
      '"',
      "'",
      'a b',
      '--',
      '../..',
      '$(id)',
      '`id`',
      'a;b',
      '\0',
      '__proto__',
      'constructor',
      '10.0.0.1\n',
      '10.0.0.1/8 -j',
      '::1%eth0',
      'tcp',
      '١٢',
      'é',
      '\u2028',
    ),
    fc.string(),
    fc.string({ unit: 'binary' }),
  );
  const nearly = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    fc.oneof(
      { weight: 100, arbitrary: good },
      { weight: 1, arbitrary: fc.oneof(evil, fc.jsonValue({ maxDepth: 2 })) },
    );
  const pick = (...values: unknown[]): fc.Arbitrary<unknown> => nearly(fc.constantFrom(...values));
  const metadata = (labels: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    nearly(
      fc.record(
        {
          name: pick('web', 'db', 'a-1'),
          namespace: pick('default', 'prod', ''),
          labels,
          annotations: nearly(fc.dictionary(evil, evil, { maxKeys: 1 })),
        },
        { requiredKeys: ['name'] },
      ),
    );
  const port = fc.record(
    {
      name: pick('http', 'dns', ''),
      protocol: pick('TCP', 'UDP', 'SCTP', null),
      port: pick(80, 443, 53),
      nodePort: pick(0, 30_001),
      targetPort: pick(8080, 'http'),
    },
    { requiredKeys: ['port'] },
  );
  const service = fc.record({
    apiVersion: fc.constant('v1'),
    kind: fc.constant('Service'),
    metadata: metadata(nearly(fc.constant({ 'k8s-app': 'kube-dns' }))),
    spec: nearly(
      fc.record(
        {
          type: pick('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
          clusterIP: pick('10.96.0.1', 'fd00::1', 'None', '010.096.0.1'),
          ipFamilies: pick(null, []),
          ports: nearly(fc.array(port, { maxLength: 2 })),
          externalIPs: nearly(fc.array(pick('203.0.113.1', '2001:db8::1'), { maxLength: 2 })),
          loadBalancerSourceRanges: nearly(fc.array(pick('10.0.0.0/8', ' 2001:db8::/32'), { maxLength: 2 })),
          externalTrafficPolicy: pick('Cluster', 'Local'),
          internalTrafficPolicy: pick('Cluster', 'Local'),
          sessionAffinity: pick('None', 'ClientIP'),
        },
        { requiredKeys: ['clusterIP', 'ports'] },
      ),
    ),
    status: nearly(
      fc.record({
        loadBalancer: nearly(
          fc.record({
            ingress: nearly(fc.array(fc.record({ ip: pick('192.0.2.7', '') }), { maxLength: 1 })),
          }),
        ),
      }),
    ),
  });
  const slice = fc.record({
    apiVersion: fc.constant('discovery.k8s.io/v1'),
    kind: fc.constant('EndpointSlice'),
    metadata: metadata(nearly(fc.record({ 'kubernetes.io/service-name': pick('web', 'db') }))),
    addressType: pick('IPv4', 'IPv6'),
    ports: nearly(fc.array(port, { maxLength: 2 })),
    endpoints: nearly(
      fc.array(
        fc.record(
          {
            addresses: nearly(fc.array(pick('10.0.0.1', 'fd00::7'), { minLength: 1, maxLength: 1 })),
            nodeName: pick('n1', null),
            conditions: pick({ ready: true }, null),
            hints: pick({ forZones: [{ name: 'z1' }] }, null),
          },
          { requiredKeys: ['addresses'] },
        ),
        { maxLength: 2 },
      ),
    ),
  });
  const node = fc.record({
    apiVersion: fc.constant('v1'),
    kind: fc.constant('Node'),
    metadata: metadata(nearly(fc.record({ 'topology.kubernetes.io/zone': pick('z1') }))),
    spec: nearly(fc.record({ podCIDR: pick('10.244.0.0/24') })),
    status: nearly(
      fc.record({
        addresses: nearly(
          fc.array(fc.record({ type: pick('InternalIP', 'Hostname'), address: pick('192.0.2.1') }), {
            maxLength: 2,
          }),
        ),
      }),
    ),
  });

  function textsIn(value: unknown): string[] {
    if (typeof value === 'string') return [value];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
  }

  test('what is accepted projects without complaint, and every text that gets through is a plain token', () => {
    const accepted = { Service: 0, EndpointSlice: 0, Node: 0 };
    fc.assert(
      fc.property(fc.oneof(service, slice, node), (value) => {
        const [object] = parse(value).objects;
        if (object === undefined) return;
        accepted[object.kind]++;
        const project = { Service: projectService, EndpointSlice: projectEndpointSlice, Node: projectNode }[
          object.kind
        ];
        const { record, problems } = project(object.object);
        // Nobody allocates a health-check port for a manifest: the model points that out, and the API does not forbid it.
        expect(problems.filter(({ field }) => field !== 'spec.healthCheckNodePort')).toEqual([]);
        for (const text of [...textsIn(record), object.id.replace(' ', ':'), object.name, object.namespace])
          expect(text).toMatch(/^(?:[A-Za-z0-9:][A-Za-z0-9:./_-]*)?$/);
      }),
      { numRuns: 3000 },
    );
    expect(Math.min(...Object.values(accepted))).toBeGreaterThan(20);
  });

  test('no manifest text makes it throw anything but DocumentError', () => {
    const good = [SERVICE, SLICE, NODE].map((value) => JSON.stringify(value));
    const fragment = fc.oneof(
      fc.constantFrom(
        ...good,
        '---\n',
        'apiVersion: v1\n',
        'kind: Service\n',
        'kind: List\n',
        'items:\n',
        '- ',
        '  ',
        '\t',
        '{',
        '}',
        '[',
        ']',
        ':',
        '"',
        '&a ',
        '*a',
        '<<: *a\n',
        '__proto__: ',
        'metadata:\n',
        '\r\n',
        '\ufeff',
        '#',
      ),
      evil,
    );
    const limits = { ...DEFAULT_DOCUMENT_LIMITS, maxValues: 10_000 };
    fc.assert(
      fc.property(
        fc.array(fragment, { maxLength: 20 }),
        fc.constantFrom('x.yaml', 'x.json'),
        (parts, name) => {
          try {
            const { problems, warnings } = parseManifest(parts.join(''), name, limits);
            for (const problem of [...problems, ...warnings])
              expect(formatManifestProblem(problem)).toMatch(/^[\x20-\x7e]+$/);
          } catch (error) {
            expect(error).toBeInstanceOf(DocumentError);
            expect((error as DocumentError).message).toMatch(/^[\x20-\x7e]+$/);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('a manifest cut anywhere is refused as a whole', () => {
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [SERVICE, SLICE, NODE] }, null, 1);
    expect(parseManifest(text, 'x.json').objects).toHaveLength(3);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: text.length - 1 }), (length) => {
        for (const name of ['x.yaml', 'x.json'])
          expect(() => parseManifest(text.slice(0, length), name)).toThrow(DocumentError);
      }),
    );
  });
});
