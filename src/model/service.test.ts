// Projection of Services: the rules of kube-proxy's tracker tests, defaults, and every kind of bad field. No JSON value may throw.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { serviceObject } from '../../test/arbitraries.ts';
import { formatProblem } from './problem.ts';
import { projectService, sourceRangesOf, type ServiceRecord } from './service.ts';

const PORT = { name: 'http', port: 80 };

/** A minimal valid Service with changes to its spec. */
function service(spec: object, rest: object = {}): object {
  return {
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: { clusterIP: '10.96.0.1', ports: [PORT], ...spec },
    ...rest,
  };
}

function recordOf(object: object): ServiceRecord {
  const { record, problems } = projectService(object);
  expect(problems.map(formatProblem)).toEqual([]);
  expect(record).not.toBeNull();
  return record!;
}

test('a minimal Service has the defaults of the API', () => {
  expect(recordOf(service({}))).toEqual({
    key: 'default/web',
    createdAtMs: 0,
    isCritical: false,
    type: 'ClusterIP',
    ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: 0 }],
    clusterIPs: ['10.96.0.1'],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: null,
    affinitySeconds: 0,
    isExternalLocal: false,
    isInternalLocal: false,
    healthCheckNodePort: 0,
  });
});

describe('Services that yield no entries, without a problem', () => {
  test.each([
    ['headless', service({ clusterIP: 'None' })],
    ['headless by the list alone', service({ clusterIP: undefined, clusterIPs: ['None'] })],
    ['headless without ports', service({ clusterIP: 'None', ports: [] })],
    ['ExternalName with a cluster IP filled in', service({ type: 'ExternalName' })],
    [
      'served by another proxy',
      service(
        {},
        { metadata: { name: 'web', labels: { 'service.kubernetes.io/service-proxy-name': 'other' } } },
      ),
    ],
    [
      'labelled for another proxy with an empty value',
      service({}, { metadata: { name: 'web', labels: { 'service.kubernetes.io/service-proxy-name': '' } } }),
    ],
  ])('%s', (_name, object) => {
    expect(projectService(object)).toEqual({ record: null, problems: [] });
  });
});

describe('cluster IPs by family', () => {
  test.each([
    ['old style, IPv4', { clusterIP: '10.96.0.1' }, ['10.96.0.1']],
    ['old style, IPv6', { clusterIP: 'fd00:10:96::1' }, ['fd00:10:96::1']],
    [
      'single stack',
      { ipFamilies: ['IPv6'], clusterIP: 'fd00:10:96::1', clusterIPs: ['fd00:10:96::1'] },
      ['fd00:10:96::1'],
    ],
    ['families without the list', { ipFamilies: ['IPv4'], clusterIP: '10.96.0.1' }, ['10.96.0.1']],
    [
      'dual stack',
      { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] },
      ['10.96.0.1', 'fd00:10:96::1'],
    ],
    [
      'dual stack, IPv6 first',
      {
        ipFamilies: ['IPv6', 'IPv4'],
        clusterIP: 'fd00:10:96::1',
        clusterIPs: ['fd00:10:96::1', '10.96.0.1'],
      },
      ['fd00:10:96::1', '10.96.0.1'],
    ],
    ['list without families', { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] }, ['10.96.0.1', 'fd00:10:96::1']],
    ['leading zeros', { clusterIP: '010.096.000.001' }, ['10.96.0.1']],
  ])('%s', (_name, spec, expected) => {
    expect(recordOf(service(spec)).clusterIPs).toEqual(expected);
  });
});

describe('addresses for outside', () => {
  test('externalIPs are canonical, without repetition; blanks are passed over', () => {
    const record = recordOf(
      service({ externalIPs: ['198.51.100.007', '', '  ', '2001:DB8::50', '198.51.100.7'] }),
    );
    expect(record.externalIPs).toEqual(['198.51.100.7', '2001:db8::50']);
  });

  test.each([
    ['no ipMode', { ip: '198.51.100.1' }, ['198.51.100.1']],
    ['ipMode VIP', { ip: '198.51.100.1', ipMode: 'VIP' }, ['198.51.100.1']],
    ['ipMode Proxy', { ip: '198.51.100.1', ipMode: 'Proxy' }, []],
    ['host name only', { hostname: 'lb.example' }, []],
  ])('load-balancer ingress: %s', (_name, ingress, expected) => {
    const record = recordOf(service({}, { status: { loadBalancer: { ingress: [ingress] } } }));
    expect(record.loadBalancerIPs).toEqual(expected);
  });

  test('an address that is given twice counts once: as cluster IP, then as load-balancer IP, then as external IP', () => {
    const ingress = [{ ip: '198.51.100.1' }, { ip: '10.96.0.1' }];
    const record = recordOf(
      service(
        { externalIPs: ['198.51.100.1', '198.51.100.2', '10.96.0.1'] },
        { status: { loadBalancer: { ingress } } },
      ),
    );
    expect(record).toMatchObject({
      clusterIPs: ['10.96.0.1'],
      loadBalancerIPs: ['198.51.100.1'],
      externalIPs: ['198.51.100.2'],
    });
  });
});

describe('loadBalancerSourceRanges', () => {
  test.each([
    ['none given', undefined, null, null],
    ['an empty list', [], null, null],
    ['blanks only', ['', ' '], null, null],
    ['one range is trimmed and made canonical', [' 203.0.113.001/025 '], ['203.0.113.0/25'], []],
    ['ranges of both families', ['203.0.113.0/25', '2001:db8::/32'], ['203.0.113.0/25'], ['2001:db8::/32']],
    [
      'a range of everything opens its family',
      ['203.0.113.0/25', '0.0.0.0/0', '2001:db8::/32'],
      null,
      ['2001:db8::/32'],
    ],
    ['ranges of the other family admit nobody of this one', ['2001:db8::/32'], [], ['2001:db8::/32']],
  ])('%s', (_name, loadBalancerSourceRanges, ipv4, ipv6) => {
    const record = recordOf(service({ loadBalancerSourceRanges }));
    expect(sourceRangesOf(record, 'IPv4')).toEqual(ipv4);
    expect(sourceRangesOf(record, 'IPv6')).toEqual(ipv6);
  });

  test.each([
    ['a range that cannot be read', ['203.0.113.0']],
    ['a text instead of a list', '203.0.113.0/24'],
    ['a list of numbers', [24]],
  ])('%s admits nobody, and is reported', (_name, loadBalancerSourceRanges) => {
    const { record, problems } = projectService(service({ loadBalancerSourceRanges }));
    expect(sourceRangesOf(record!, 'IPv4')).toEqual([]);
    expect(problems).toHaveLength(1);
  });
});

describe('policies', () => {
  test.each([
    ['LoadBalancer', { type: 'LoadBalancer', healthCheckNodePort: 32_000 }, true, 32_000],
    ['NodePort', { type: 'NodePort', healthCheckNodePort: 32_000 }, true, 0],
    [
      'ClusterIP with an external IP',
      { externalIPs: ['198.51.100.1'], healthCheckNodePort: 32_000 },
      true,
      0,
    ],
    ['ClusterIP alone', {}, false, 0],
  ])('externalTrafficPolicy Local counts for %s', (_name, spec, isExternalLocal, healthCheckNodePort) => {
    expect(recordOf(service({ externalTrafficPolicy: 'Local', ...spec }))).toMatchObject({
      isExternalLocal,
      healthCheckNodePort,
    });
  });

  test('internalTrafficPolicy Local counts for every type', () => {
    expect(recordOf(service({ internalTrafficPolicy: 'Local' })).isInternalLocal).toBe(true);
    expect(recordOf(service({ internalTrafficPolicy: null })).isInternalLocal).toBe(false);
  });

  test.each([
    ['none', {}, 0],
    ['None', { sessionAffinity: 'None', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }, 0],
    ['ClientIP without a timeout', { sessionAffinity: 'ClientIP' }, 10_800],
    [
      'ClientIP with null in the way',
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: null } },
      10_800,
    ],
    [
      'ClientIP with an empty timeout',
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: '' } } },
      10_800,
    ],
    [
      'ClientIP with a timeout',
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } },
      60,
    ],
  ])('session affinity: %s', (_name, spec, expected) => {
    expect(recordOf(service(spec)).affinitySeconds).toBe(expected);
  });

  test.each([
    ['default/kubernetes', { name: 'kubernetes' }, true],
    ['kubernetes elsewhere', { name: 'kubernetes', namespace: 'test' }, false],
    [
      'cluster DNS by its label',
      { name: 'coredns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } },
      true,
    ],
    ['kube-dns by its name only', { name: 'kube-dns', namespace: 'kube-system' }, false],
  ])('critical: %s', (_name, metadata, expected) => {
    expect(recordOf(service({}, { metadata })).isCritical).toBe(expected);
  });
});

test('creationTimestamp is read as milliseconds', () => {
  const metadata = { name: 'web', creationTimestamp: '2026-01-01T00:00:00Z' };
  expect(recordOf(service({}, { metadata })).createdAtMs).toBe(Date.UTC(2026, 0, 1));
});

describe('a bad field is reported and the rest goes on', () => {
  const two = (second: object): object[] => [PORT, { name: 'x', port: 81, ...second }];
  test.each([
    [
      'a port of zero',
      { ports: two({ port: 0 }) },
      'spec.ports[1].port: 0 is not valid: the port is left out; use a whole number from 1 to 65535',
    ],
    [
      'a port as text',
      { ports: two({ port: '81' }) },
      'spec.ports[1].port: "81" is not valid: the port is left out; use a whole number from 1 to 65535',
    ],
    [
      'a port that is missing',
      { ports: two({ port: null }) },
      'spec.ports[1].port: null is not valid: the port is left out; use a whole number from 1 to 65535',
    ],
    [
      'an unknown protocol',
      { ports: two({ protocol: 'QUIC' }) },
      'spec.ports[1].protocol: "QUIC" is not valid: the port is left out; use one of TCP, UDP, SCTP',
    ],
    [
      'a port name that is none',
      { ports: two({ name: 'a b; reboot' }) },
      'spec.ports[1].name: "a b; reboot" is not valid: the port is left out; use lower-case letters, digits and hyphens, at most 63',
    ],
    [
      'a name taken',
      { ports: two({ name: 'http' }) },
      'spec.ports[1].name: an earlier port has the same name and protocol: this one is left out; make each name unique',
    ],
    [
      'a port taken',
      { ports: two({ port: 80 }) },
      'spec.ports[1].port: an earlier port has the same port and protocol: this one is left out; make each port unique',
    ],
    [
      'an external IP that is none',
      { externalIPs: ['web'] },
      'spec.externalIPs[0]: "web" is not valid: the address is left out; write an IPv4 or IPv6 address',
    ],
    [
      'an external IP on loopback',
      { externalIPs: ['127.0.0.1'] },
      'spec.externalIPs[0]: "127.0.0.1" is not valid: the address is left out; use an address that may be routed',
    ],
    [
      "an external IP of a cloud's metadata server",
      { externalIPs: ['169.254.169.254'] },
      'spec.externalIPs[0]: "169.254.169.254" is not valid: the address is left out; use an address that may be routed',
    ],
    [
      'a list that is none',
      { externalIPs: { a: 1 } },
      'spec.externalIPs: an object is not valid: it must be a list and is ignored; write it as a list',
    ],
    [
      'an unknown policy',
      { internalTrafficPolicy: 'local' },
      'spec.internalTrafficPolicy: "local" is not valid: it is read as Cluster; use one of Cluster, Local',
    ],
    [
      'an unknown type',
      { type: 'Magic' },
      'spec.type: "Magic" is not valid: it is read as ClusterIP; use one of ClusterIP, NodePort, LoadBalancer',
    ],
    [
      'a timeout out of range',
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } },
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 is not valid: 10800 is used; use a whole number from 1 to 86400',
    ],
    [
      'a second cluster IP of a family',
      { clusterIPs: ['10.96.0.1', '10.96.0.2'] },
      'spec.clusterIPs[1]: 10.96.0.2 is a second IPv4 address: it is left out; give one cluster IP of each family',
    ],
    [
      'a cluster IP of the wrong family',
      { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'], ipFamilies: ['IPv4'] },
      'spec.clusterIPs[1]: fd00:10:96::1 is not of the family in spec.ipFamilies[1]: it is left out; make both lists agree',
    ],
  ])('%s', (_name, spec, expected) => {
    const { record, problems } = projectService(service(spec));
    expect(problems.map(formatProblem)).toEqual([`Service default/web: ${expected}`]);
    expect(record!.ports).toEqual([{ name: 'http', protocol: 'TCP', port: 80, nodePort: 0 }]);
    expect(record!.clusterIPs).toEqual(['10.96.0.1']);
  });

  test('a node port taken is left out, its port stays', () => {
    const ports = [
      { ...PORT, nodePort: 30_080 },
      { name: 'x', port: 81, nodePort: 30_080 },
    ];
    const { record, problems } = projectService(service({ type: 'NodePort', ports }));
    expect(record!.ports.map(({ nodePort }) => nodePort)).toEqual([30_080, 0]);
    expect(problems).toMatchObject([{ field: 'spec.ports[1].nodePort', reason: 'InvalidField' }]);
  });

  test('ports without a node port do not collide', () => {
    expect(
      recordOf(service({ ports: [PORT, { name: 'x', port: 81 }, { name: 'y', port: 82 }] })).ports,
    ).toHaveLength(3);
  });
});

describe('a Service that cannot be served at all is reported', () => {
  test.each([
    ['no ports', service({ ports: [] }), 'spec.ports'],
    ['ports that are null', service({ ports: null }), 'spec.ports'],
    ['no cluster IP', service({ clusterIP: '' }), 'spec.clusterIP'],
    ['a cluster IP that is none', service({ clusterIP: '10.96.0' }), 'spec.clusterIP'],
    ['an unspecified cluster IP', service({ clusterIP: '0.0.0.0' }), 'spec.clusterIP'],
    ['no name', service({}, { metadata: { namespace: 'default' } }), 'metadata.name'],
    ['a name with a blank', service({}, { metadata: { name: 'a b' } }), 'metadata.name'],
    [
      'a namespace with a slash',
      service({}, { metadata: { name: 'web', namespace: 'a/b' } }),
      'metadata.namespace',
    ],
  ])('%s', (_name, object, field) => {
    const { record, problems } = projectService(object);
    expect(record).toBeNull();
    expect(problems).toMatchObject([{ field, reason: 'InvalidField' }]);
  });
});

test('problems of one object are bounded, and show no control characters', () => {
  const ports = [
    PORT,
    ...Array.from({ length: 1000 }, () => ({ name: `\u001B[31m${'x'.repeat(500)}`, port: 1 })),
  ];
  const { problems } = projectService(service({ ports }));
  expect(problems).toHaveLength(17);
  expect(problems.at(-1)!.message).toBe('984 more problems are not listed');
  for (const problem of problems) expect(formatProblem(problem)).toMatch(/^[\x20-\x7e]{1,300}$/);
});

test('no JSON value makes the projection throw', () => {
  const spec = fc.dictionary(
    fc.constantFrom(
      'type',
      'clusterIP',
      'clusterIPs',
      'ipFamilies',
      'ports',
      'externalIPs',
      'loadBalancerSourceRanges',
      'sessionAffinity',
      'sessionAffinityConfig',
    ),
    fc.jsonValue(),
  );
  const any = fc.oneof(
    fc.jsonValue(),
    fc.record({
      kind: fc.constant('Service'),
      metadata: fc.jsonValue(),
      spec: fc.jsonValue(),
      status: fc.jsonValue(),
    }),
    spec.map(service),
  );
  fc.assert(
    fc.property(any, (object) => {
      const { problems } = projectService(object);
      for (const problem of problems) expect(formatProblem(problem)).not.toContain('\n');
    }),
    { numRuns: 2000 },
  );
});

test('the projection keeps the object as it was', () => {
  fc.assert(
    fc.property(serviceObject, (object) => {
      const before = JSON.stringify(object);
      projectService(object);
      expect(JSON.stringify(object)).toBe(before);
    }),
  );
});
