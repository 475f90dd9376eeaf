// Projection of Services, by the rows of the service model: 1.1 (filters), 1.2 (which Services become table entries, fields per entry), and
// scenarios 6.1. Row by row elsewhere: its ports in service-ports.test.ts,
// addresses in service-addresses.test.ts, annotations in annotations.test.ts, any
// JSON value in hostile-objects.test.ts. What is derived of a record
// (ExternallyAccessible, UsesClusterEndpoints, UsesLocalEndpoints) is decided in plan/: categorize.test.ts and compile.test.ts.

import { describe, expect, test } from 'vitest';
import { plainService } from '../../test/objects.ts';
import { problemLines } from '../../test/problems.ts';
import { projectService, type ServiceRecord } from './service.ts';

const PORT = { name: 'http', port: 80 };
const HTTP = { name: 'http', protocol: 'TCP', port: 80, nodePort: 0 };
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';

const affinity = (timeoutSeconds: unknown, sessionAffinity = 'ClientIP'): object => ({
  sessionAffinity,
  sessionAffinityConfig: { clientIP: { timeoutSeconds } },
});

function recordOf(object: unknown): ServiceRecord {
  const { record, problems } = projectService(object);
  expect(problemLines(problems)).toEqual([]);
  expect(record).not.toBeNull();
  return record!;
}

const DEFAULTS = {
  key: 'default/web',
  createdAtMs: 0,
  isCritical: false,
  type: 'ClusterIP',
  ports: [HTTP],
  clusterIPs: ['10.96.0.1'],
  externalIPs: [],
  loadBalancerIPs: [],
  loadBalancerSourceRanges: null,
  affinitySeconds: 0,
  isExternalLocal: false,
  isInternalLocal: false,
  healthCheckNodePort: 0,
  schedulerWish: { scheduler: null, schedulerField: '', flags: null, flagsField: '' },
  drainTimeoutSeconds: null,
};

describe('1.1 label and field filters: a Service yields nothing, without a problem', () => {
  test.each([
    [
      `label ${PROXY_NAME}`,
      plainService({}, { metadata: { name: 'web', labels: { [PROXY_NAME]: 'other' } } }),
    ],
    [
      `label ${PROXY_NAME} with an empty value`,
      plainService({}, { metadata: { name: 'web', labels: { [PROXY_NAME]: '' } } }),
    ],
    [
      `label ${PROXY_NAME} without a value`,
      plainService({}, { metadata: { name: 'web', labels: { [PROXY_NAME]: null } } }),
    ],
    ['clusterIP None (headless)', plainService({ clusterIP: 'None' })],
    ['headless by clusterIPs alone', plainService({ clusterIP: undefined, clusterIPs: ['None'] })],
    [
      'headless with an empty clusterIP beside the list',
      plainService({ clusterIP: '', clusterIPs: ['None'] }),
    ],
    ['headless UDP', plainService({ clusterIP: 'None', ports: [{ port: 53, protocol: 'UDP' }] })],
    ['headless SCTP', plainService({ clusterIP: 'None', ports: [{ port: 9, protocol: 'SCTP' }] })],
    ['headless without ports', plainService({ clusterIP: 'None', ports: [] })],
    ['1.2 rule 2: ExternalName with a cluster IP filled in', plainService({ type: 'ExternalName' })],
    [
      '1.2 rule 2: ExternalName with nothing else',
      plainService({ type: 'ExternalName', clusterIP: '', ports: null }),
    ],
  ])('%s', (_row, object) => {
    expect(projectService(object)).toEqual({ record: null, problems: [] });
  });

  test.each(['ClusterIP', 'NodePort', 'LoadBalancer'])('type %s is kept', (type) => {
    expect(recordOf(plainService({ type })).type).toBe(type);
  });
});

describe('1.2 a Service that cannot be served is reported', () => {
  const NO_IP = 'no cluster IP is given: the Service is skipped; give it one, or None for a headless Service';
  const NAME = 'is not valid: the Service is skipped; use lower-case letters, digits and hyphens, at most 63';
  const NO_PORTS = 'spec.ports: it has no ports: the Service is skipped; give it at least one port';
  test.each<[string, object, ...string[]]>([
    ['rule 1: empty clusterIP', plainService({ clusterIP: '' }), `default/web: spec.clusterIP: ${NO_IP}`],
    ['rule 1: clusterIP null', plainService({ clusterIP: null }), `default/web: spec.clusterIP: ${NO_IP}`],
    [
      'no spec',
      { metadata: { name: 'web' }, spec: null },
      `default/web: spec.clusterIP: ${NO_IP}`,
      `default/web: ${NO_PORTS}`,
    ],
    ['no ports', plainService({ ports: [] }), `default/web: ${NO_PORTS}`],
    ['ports null', plainService({ ports: null }), `default/web: ${NO_PORTS}`],
    [
      'no port that can be read',
      plainService({ ports: [80] }),
      'default/web: spec.ports[0].port: null is not valid: the port is left out; use a whole number from 1 to 65535',
    ],
    ['no metadata', { spec: {} }, `?: metadata.name: null ${NAME}`],
    ['no name', plainService({}, { metadata: { namespace: 'default' } }), `?: metadata.name: null ${NAME}`],
    ['a name with a dot', plainService({}, { metadata: { name: 'a.b' } }), `?: metadata.name: "a.b" ${NAME}`],
    ['a name that is a number', plainService({}, { metadata: { name: 1 } }), `?: metadata.name: 1 ${NAME}`],
    [
      'a namespace with a slash',
      plainService({}, { metadata: { name: 'web', namespace: 'a/b' } }),
      `?: metadata.namespace: "a/b" ${NAME}`,
    ],
    [
      'a namespace that is a list, and no name',
      plainService({}, { metadata: { namespace: ['a'] } }),
      `?: metadata.namespace: a list ${NAME}`,
    ],
  ])('%s', (_row, object, ...lines) => {
    const { record, problems } = projectService(object);
    expect(record).toBeNull();
    expect(problemLines(problems)).toEqual(lines.map((line) => `Service ${line}`));
    expect(new Set(problems.map(({ reason }) => reason))).toEqual(new Set(['InvalidField']));
  });
});

describe('absent, null and "" mean the default of every field', () => {
  test('a minimal Service has the defaults of the API', () => {
    expect(recordOf(plainService({}))).toEqual(DEFAULTS);
  });

  const spec = [
    ...['type', 'clusterIPs', 'ipFamilies', 'externalIPs', 'externalTrafficPolicy', 'internalTrafficPolicy'],
    ...['loadBalancerSourceRanges', 'healthCheckNodePort', 'sessionAffinity', 'sessionAffinityConfig'],
  ];
  const portFields = ['protocol', 'nodePort', 'targetPort', 'appProtocol'];
  for (const [what, empty] of [
    ['undefined', undefined],
    ['null', null],
    ['""', ''],
  ] as const) {
    test.each(spec)(`spec.%s ${what}`, (field) => {
      expect(recordOf(plainService({ [field]: empty }))).toEqual(DEFAULTS);
    });
    test.each(portFields)(`spec.ports[0].%s ${what}`, (field) => {
      expect(recordOf(plainService({ ports: [{ ...PORT, [field]: empty }] }))).toEqual(DEFAULTS);
    });
    test.each<[string, object, object, object?]>([
      ['spec.ports[0].name', { ports: [{ port: 80, name: empty }] }, { ports: [{ ...HTTP, name: '' }] }],
      ['metadata.namespace', {}, {}, { metadata: { name: 'web', namespace: empty } }],
      ['metadata.labels', {}, {}, { metadata: { name: 'web', labels: empty } }],
      ['metadata.annotations', {}, {}, { metadata: { name: 'web', annotations: empty } }],
      ['metadata.creationTimestamp', {}, {}, { metadata: { name: 'web', creationTimestamp: empty } }],
      ['status', {}, {}, { status: empty }],
      ['status.loadBalancer', {}, {}, { status: { loadBalancer: empty } }],
      ['status.loadBalancer.ingress', {}, {}, { status: { loadBalancer: { ingress: empty } } }],
    ])(`%s ${what}`, (_field, changed, expected, rest = {}) => {
      expect(recordOf(plainService(changed, rest))).toEqual({ ...DEFAULTS, ...expected });
    });
  }
});

describe('1.2 fields per entry', () => {
  test.each([
    ['None: 0, whatever the timeout', affinity(60, 'None'), 0],
    ['ClientIP: the timeout', affinity(60), 60],
    ['the shortest timeout', affinity(1), 1],
    ['the longest timeout', affinity(86_400), 86_400],
    ['no timeout: 10800', affinity(undefined), 10_800],
    ['timeout null: 10800', affinity(null), 10_800],
    ['timeout "": 10800', affinity(''), 10_800],
    ['no config: 10800', { sessionAffinity: 'ClientIP' }, 10_800],
    [
      'clientIP null: 10800',
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: null } },
      10_800,
    ],
  ])('sessionAffinityType and stickyMaxAgeSeconds: %s', (_row, spec, expected) => {
    expect(recordOf(plainService(spec)).affinitySeconds).toBe(expected);
  });

  const external = { externalIPs: ['198.51.100.1'] };
  test.each([
    ['LoadBalancer', { type: 'LoadBalancer', healthCheckNodePort: 32_000 }, true, 32_000],
    ['NodePort', { type: 'NodePort', healthCheckNodePort: 32_000 }, true, 0],
    ['ClusterIP with an external IP', { ...external, healthCheckNodePort: 32_000 }, true, 0],
    ['ClusterIP with an external IP that is its cluster IP', { externalIPs: ['10.96.0.1'] }, true, 0],
    ['ClusterIP alone: not', { healthCheckNodePort: 32_000 }, false, 0],
  ])(
    'externalPolicyLocal and healthCheckNodePort: %s',
    (_row, spec, isExternalLocal, healthCheckNodePort) => {
      expect(recordOf(plainService({ externalTrafficPolicy: 'Local', ...spec }))).toMatchObject({
        isExternalLocal,
        healthCheckNodePort,
      });
      const cluster = plainService({ ...spec, externalTrafficPolicy: 'Cluster' });
      expect(recordOf(cluster)).toMatchObject({ isExternalLocal: false, healthCheckNodePort: 0 });
    },
  );

  test.each([0, null, undefined])(
    'healthCheckNodePort: %s is reported and means none',
    (healthCheckNodePort) => {
      const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort };
      const { record, problems } = projectService(plainService(spec));
      expect(record).toEqual({ ...DEFAULTS, type: 'LoadBalancer', isExternalLocal: true });
      expect(problemLines(problems)).toEqual([
        'Service default/web: spec.healthCheckNodePort: there is none: load balancers cannot check this Service; a cluster allocates one; give it in a manifest if a load balancer checks this node',
      ]);
      expect(problems[0]!.reason).toBe('InvalidField');
    },
  );

  test.each([
    ['Local', true],
    ['Cluster', false],
    [null, false],
  ])('internalPolicyLocal: %s', (internalTrafficPolicy, expected) => {
    for (const type of ['ClusterIP', 'NodePort', 'LoadBalancer'])
      expect(recordOf(plainService({ type, internalTrafficPolicy })).isInternalLocal).toBe(expected);
  });

  test.each([
    ['default/kubernetes', { name: 'kubernetes' }, true],
    ['kubernetes elsewhere', { name: 'kubernetes', namespace: 'test' }, false],
    ['cluster DNS by its label', { name: 'coredns', labels: { 'k8s-app': 'kube-dns' } }, true],
    ['another label', { name: 'coredns', labels: { 'k8s-app': 'dns' } }, false],
    ['kube-dns by its name only', { name: 'kube-dns', namespace: 'kube-system' }, false],
  ])('critical: %s', (_row, metadata, expected) => {
    expect(recordOf(plainService({}, { metadata })).isCritical).toBe(expected);
  });

  test('creationTimestamp is read as milliseconds', () => {
    const metadata = { name: 'web', creationTimestamp: '2026-01-01T00:00:00Z' };
    expect(recordOf(plainService({}, { metadata })).createdAtMs).toBe(Date.UTC(2026, 0, 1));
  });

  test('annotations are read: what they ask of the scheduler', () => {
    const annotations = { 'pointsman.dev/scheduler': 'sh', 'pointsman.dev/scheduler-flags': 'sh-port' };
    const { schedulerWish } = recordOf(plainService({}, { metadata: { name: 'web', annotations } }));
    expect(schedulerWish).toMatchObject({ scheduler: 'sh', flags: ['sh-port'] });
  });

  test('an address that is given twice counts once: as cluster IP, then as load-balancer IP, then as external IP', () => {
    const ingress = [{ ip: '198.51.100.1' }, { ip: '10.96.0.1' }];
    const externalIPs = ['198.51.100.1', '198.51.100.2', '10.96.0.1'];
    expect(recordOf(plainService({ externalIPs }, { status: { loadBalancer: { ingress } } }))).toMatchObject({
      clusterIPs: ['10.96.0.1'],
      loadBalancerIPs: ['198.51.100.1'],
      externalIPs: ['198.51.100.2'],
    });
  });
});

describe('a bad field is reported and the rest goes on', () => {
  const NODE_PORT = 'is not valid: it is ignored; use a whole number from 0 to 65535';
  const TIMEOUT = 'is not valid: 10800 is used; use a whole number from 1 to 86400';
  const POLICY = 'is not valid: it is read as Cluster; use one of Cluster, Local';
  const TIMEOUT_FIELD = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  test.each<[object, object, string]>([
    [{ internalTrafficPolicy: 'local' }, {}, `spec.internalTrafficPolicy: "local" ${POLICY}`],
    [
      { externalTrafficPolicy: 1, type: 'NodePort' },
      { type: 'NodePort' },
      `spec.externalTrafficPolicy: 1 ${POLICY}`,
    ],
    [
      { type: 'Magic' },
      {},
      'spec.type: "Magic" is not valid: it is read as ClusterIP; use one of ClusterIP, NodePort, LoadBalancer',
    ],
    [
      { sessionAffinity: 'Cookie' },
      {},
      'spec.sessionAffinity: "Cookie" is not valid: it is read as None; use one of None, ClientIP',
    ],
    [affinity(86_401), { affinitySeconds: 10_800 }, `${TIMEOUT_FIELD}: 86401 ${TIMEOUT}`],
    [affinity(0), { affinitySeconds: 10_800 }, `${TIMEOUT_FIELD}: 0 ${TIMEOUT}`],
    [affinity('60'), { affinitySeconds: 10_800 }, `${TIMEOUT_FIELD}: "60" ${TIMEOUT}`],
  ])('%o', (spec, expected, line) => {
    const { record, problems } = projectService(plainService(spec));
    expect(problemLines(problems)).toEqual([`Service default/web: ${line}`]);
    expect(problems[0]!.reason).toBe('InvalidField');
    expect(record).toEqual({ ...DEFAULTS, ...expected });
  });

  test('a health-check port that is none is reported, as is what follows', () => {
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 65_536 };
    expect(problemLines(projectService(plainService(spec)).problems)).toEqual([
      `Service default/web: spec.healthCheckNodePort: 65536 ${NODE_PORT}`,
      expect.stringContaining('spec.healthCheckNodePort: there is none'),
    ]);
  });

  test('problems of one object are bounded, and show no control characters', () => {
    const name = `\u001B[31m${'x'.repeat(500)}`;
    const ports = [PORT, ...Array.from({ length: 1000 }, () => ({ name, port: 1 }))];
    const { problems } = projectService(plainService({ ports }));
    expect(problemLines(problems)).toHaveLength(17);
    expect(problems.at(-1)!.message).toBe('984 more problems are not listed');
  });
});
