// What each frontend does under each policy, and the properties of plans over random clusters.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clusterEvents, nodeOptions, serviceObject, sliceObject } from '../../test/arbitraries.ts';
import { projectEndpointSlice } from '../model/endpoints.ts';
import { compareText, parseCidr, parseIp, type Cidr } from '../model/ip.ts';
import { isPortName, parseServiceKey, type ServiceKey } from '../model/names.ts';
import type { ClusterObject } from '../model/objects.ts';
import { projectService } from '../model/service.ts';
import { Snapshot } from '../model/snapshot.ts';
import { compile, compileService, MANY_ENDPOINTS_PER_PORT, MAX_VIRTUAL_SERVERS } from './compile.ts';
import { virtualServerId } from './diff.ts';
import type { LocalDetector, NodeOptions, Selection, ServicePlan, VirtualServer } from './plan.ts';

const OPTIONS: NodeOptions = {
  nodeName: 'node1',
  zone: 'zone-a',
  families: ['IPv4', 'IPv6'],
  nodePortAddresses: [],
  scheduler: 'rr',
  masqueradeAll: false,
  localDetector: { kind: 'none' },
};
const CLUSTER_CIDR: LocalDetector = { kind: 'cidr', ipv4: parseCidr('10.244.0.0/16') as Cidr, ipv6: null };

const HERE = { addresses: ['10.244.1.5'], nodeName: 'node1' };
const THERE = { addresses: ['10.244.2.5'], nodeName: 'node2' };
const DEAD = { ready: false, serving: false };

/** The plan of one Service with one slice. */
function plan(
  spec: object,
  endpoints: readonly object[],
  options: Partial<NodeOptions> = {},
  rest: object = {},
): ServicePlan {
  const ports = [{ name: 'http', port: 80, nodePort: 30_080 }];
  const object = { metadata: { name: 'web' }, spec: { clusterIP: '10.96.0.1', ports, ...spec }, ...rest };
  const slice = {
    metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints,
  };
  return compileService(projectService(object).record!, [projectEndpointSlice(slice).record!], {
    ...OPTIONS,
    ...options,
  });
}

/** "reject", "drop", or the addresses of the real servers in text order. */
function answer(selection: Selection): string {
  if (selection.verdict !== 'forward') return selection.verdict;
  return selection.realServers
    .map(({ address, port }) => `${address}:${port}`)
    .sort(compareText)
    .join(' ');
}

/** One line for each frontend: what it is, and who gets what. */
function lines({ virtualServers }: ServicePlan): string[] {
  return virtualServers.map(
    (one) =>
      `${virtualServerId(one)} ${one.masquerade} in[${answer(one.internal)}] out[${answer(one.external)}]`,
  );
}

const LOAD_BALANCER = { status: { loadBalancer: { ingress: [{ ip: '198.51.100.9' }] } } };

describe('what each frontend does under each policy', () => {
  const both = '10.244.1.5:8080 10.244.2.5:8080';
  const here = '10.244.1.5:8080';
  const all = { type: 'LoadBalancer', externalIPs: ['198.51.100.1'], healthCheckNodePort: 32_000 };
  /** Expected answers: [cluster IP, everything else inside, everything else outside, masquerade]. */
  test.each([
    ['Cluster, Cluster', {}, [HERE, THERE], [both, both, both, 'all']],
    ['external Local', { externalTrafficPolicy: 'Local' }, [HERE, THERE], [both, both, here, 'none']],
    ['internal Local', { internalTrafficPolicy: 'Local' }, [HERE, THERE], [here, both, both, 'all']],
    [
      'both Local',
      { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' },
      [HERE, THERE],
      [here, both, here, 'none'],
    ],
    [
      'both Local, none here',
      { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' },
      [THERE],
      ['drop', '10.244.2.5:8080', 'drop', 'none'],
    ],
    [
      'external Local, none anywhere',
      { externalTrafficPolicy: 'Local' },
      [{ ...HERE, conditions: DEAD }],
      ['reject', 'reject', 'reject', 'none'],
    ],
    [
      'internal Local, none anywhere',
      { internalTrafficPolicy: 'Local' },
      [],
      ['reject', 'reject', 'reject', 'all'],
    ],
  ])('%s', (_name, spec, endpoints, [clusterIP, inside, outside, masquerade]) => {
    expect(lines(plan({ ...all, ...spec }, endpoints, {}, LOAD_BALANCER))).toEqual([
      `ClusterIP TCP 10.96.0.1:80 none in[${clusterIP}] out[${clusterIP}]`,
      `ExternalIP TCP 198.51.100.1:80 ${masquerade} in[${inside}] out[${outside}]`,
      `LoadBalancerIP TCP 198.51.100.9:80 ${masquerade} in[${inside}] out[${outside}]`,
      `NodePort TCP IPv4 *:30080 ${masquerade} in[${inside}] out[${outside}]`,
    ]);
  });

  test('internal Local of a Service without a way in drops where no endpoint is here', () => {
    const ports = [{ name: 'http', port: 80 }];
    expect(lines(plan({ internalTrafficPolicy: 'Local', ports }, [THERE]))).toEqual([
      'ClusterIP TCP 10.96.0.1:80 none in[drop] out[drop]',
    ]);
  });

  test('frontends with the same answer share it', () => {
    const { virtualServers } = plan(all, [HERE, THERE], {}, LOAD_BALANCER);
    expect(new Set(virtualServers.flatMap(({ internal, external }) => [internal, external])).size).toBe(1);
  });
});

describe('masquerading on the way to a cluster IP', () => {
  test.each<[string, Partial<NodeOptions>, string, string]>([
    ['no detector', {}, '10.96.0.1', 'none'],
    ['a CIDR', { localDetector: CLUSTER_CIDR }, '10.96.0.1', 'nonLocal'],
    ['a CIDR of the other family', { localDetector: CLUSTER_CIDR }, 'fd00:10:96::1', 'none'],
    ['a bridge', { localDetector: { kind: 'bridge', interfaceName: 'cbr0' } }, 'fd00:10:96::1', 'nonLocal'],
    [
      'an interface prefix',
      { localDetector: { kind: 'interfacePrefix', prefix: 'cali' } },
      '10.96.0.1',
      'nonLocal',
    ],
    ['masqueradeAll', { masqueradeAll: true, localDetector: CLUSTER_CIDR }, '10.96.0.1', 'all'],
  ])('%s', (_name, options, clusterIP, expected) => {
    expect(plan({ clusterIP }, [], options).virtualServers[0]!.masquerade).toBe(expected);
  });
});

describe('families', () => {
  const dual = { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'], externalIPs: ['198.51.100.1', '2001:db8::1'] };
  const ids = (compiled: ServicePlan): string[] => compiled.virtualServers.map(virtualServerId);

  test('each family has its own frontends, sorted by kind, then family', () => {
    expect(ids(plan(dual, []))).toEqual([
      'ClusterIP TCP 10.96.0.1:80',
      'ClusterIP TCP [fd00:10:96::1]:80',
      'ExternalIP TCP 198.51.100.1:80',
      'ExternalIP TCP [2001:db8::1]:80',
      'NodePort TCP IPv4 *:30080',
      'NodePort TCP IPv6 *:30080',
    ]);
  });

  test('a family that the node does not forward is left out without a problem', () => {
    const compiled = plan(dual, [], { families: ['IPv6'] });
    expect(ids(compiled)).toEqual([
      'ClusterIP TCP [fd00:10:96::1]:80',
      'ExternalIP TCP [2001:db8::1]:80',
      'NodePort TCP IPv6 *:30080',
    ]);
    expect(compiled.problems).toEqual([]);
  });

  test('a family without a cluster IP has no frontends at all', () => {
    expect(ids(plan({ externalIPs: ['2001:db8::1'] }, []))).toEqual([
      'ClusterIP TCP 10.96.0.1:80',
      'NodePort TCP IPv4 *:30080',
    ]);
  });

  test('source ranges restrict load-balancer IPs only, each family by its own', () => {
    const spec = { ...dual, type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.0/25'] };
    const ingress = [{ ip: '198.51.100.9' }, { ip: '2001:db8::9' }];
    const { virtualServers } = plan(spec, [], {}, { status: { loadBalancer: { ingress } } });
    const restricted = virtualServers.filter(({ sourceRanges }) => sourceRanges !== null);
    expect(restricted.map((one) => [virtualServerId(one), one.sourceRanges])).toEqual([
      ['LoadBalancerIP TCP 198.51.100.9:80', ['203.0.113.0/25']],
      ['LoadBalancerIP TCP [2001:db8::9]:80', []],
    ]);
  });
});

test('ports meet slices by name and protocol, whatever the numbers', () => {
  const ports = [
    { name: 'dns', protocol: 'UDP', port: 53 },
    { name: 'http', port: 80 },
    { name: 'other', port: 81 },
  ];
  expect(lines(plan({ ports }, [HERE]))).toEqual([
    'ClusterIP UDP 10.96.0.1:53 none in[reject] out[reject]',
    'ClusterIP TCP 10.96.0.1:80 none in[10.244.1.5:8080] out[10.244.1.5:8080]',
    'ClusterIP TCP 10.96.0.1:81 none in[reject] out[reject]',
  ]);
});

test('affinity and scheduler stand on every frontend', () => {
  const { virtualServers } = plan({ sessionAffinity: 'ClientIP' }, [HERE], { scheduler: 'wlc' });
  expect(virtualServers.map(({ affinitySeconds, scheduler }) => [affinitySeconds, scheduler])).toEqual([
    [10_800, 'wlc'],
    [10_800, 'wlc'],
  ]);
});

test('local endpoints are those of this node, ready or not, each once', () => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'http', protocol: 'UDP', port: 80 },
  ];
  const endpoints = [
    { ...HERE, conditions: DEAD },
    THERE,
    { addresses: ['10.244.1.6'], nodeName: 'node1' },
    HERE,
  ];
  const compiled = plan({ ports }, endpoints);
  expect(
    compiled.localEndpoints.map(({ protocol, address, port }) => `${protocol} ${address} ${port}`),
  ).toEqual(['TCP 10.244.1.5 8080', 'TCP 10.244.1.6 8080']);
  expect(plan({ ports }, endpoints, { nodeName: '' }).localEndpoints).toEqual([]);
});

test('real servers begin at another pod on another node', () => {
  const endpoints = Array.from({ length: 8 }, (_, index) => ({
    addresses: [`10.244.2.${index + 1}`],
    nodeName: 'other',
  }));
  const firsts = new Set<string>();
  for (let node = 0; node < 64; node++) {
    const { internal } = plan({}, endpoints, { nodeName: `worker-${node}` }).virtualServers[0]!;
    if (internal.verdict === 'forward') firsts.add(internal.realServers[0]!.address);
  }
  expect(firsts.size).toBe(8);
});

describe('limits', () => {
  test('a Service with 10,000 endpoints is served whole, with a warning', () => {
    const endpoints = Array.from({ length: 10_000 }, (_, i) => ({
      addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
    }));
    const { virtualServers, problems } = plan({}, endpoints);
    const { internal } = virtualServers[0]!;
    expect(internal.verdict === 'forward' && internal.realServers.length).toBe(10_000);
    expect(problems).toMatchObject([
      {
        reason: 'LimitExceeded',
        message: 'port 80 TCP has 10000 IPv4 endpoints: all are used, but changes are slow',
      },
    ]);
    expect(plan({}, endpoints.slice(0, MANY_ENDPOINTS_PER_PORT)).problems).toEqual([]);
  });

  test('ports times addresses are bounded', () => {
    const ports = Array.from({ length: 1000 }, (_, index) => ({ name: `p${index}`, port: index + 1 }));
    const externalIPs = Array.from({ length: 100 }, (_, index) => `198.51.100.${index + 1}`);
    const { virtualServers, problems } = plan({ ports, externalIPs }, []);
    expect(virtualServers).toHaveLength(Math.floor(MAX_VIRTUAL_SERVERS / 101) * 101);
    expect(problems).toMatchObject([{ reason: 'LimitExceeded', field: 'spec.ports' }]);
  });
});

describe('compile', () => {
  test('puts critical Services first, then all others, each by key', () => {
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
    expect([...compile(snapshot, OPTIONS).services.keys()]).toEqual([
      'default/kubernetes',
      'kube-system/dns',
      'app/z',
      'zoo/a',
    ]);
  });

  test('gives the same plan for the same facts, in whatever order they came', () => {
    fc.assert(
      fc.property(
        clusterEvents.chain((events) => {
          const applied = events.filter((event) => event.type === 'apply');
          const last = [
            ...new Map(
              applied.map((event) => [JSON.stringify([event.object.kind, event.object.metadata]), event]),
            ).values(),
          ];
          const byName = [
            ...new Map(
              last.map((event) => [
                `${event.object.kind} ${event.object.metadata!.namespace}/${event.object.metadata!.name}`,
                event,
              ]),
            ).values(),
          ];
          return fc.tuple(fc.constant(byName), fc.shuffledSubarray(byName, { minLength: byName.length }));
        }),
        nodeOptions,
        ([events, shuffled], options) => {
          const [a, b] = [new Snapshot(), new Snapshot()];
          for (const event of events) a.apply(event);
          for (const event of shuffled) b.apply(event);
          expect(JSON.stringify([...compile(b, options).services])).toBe(
            JSON.stringify([...compile(a, options).services]),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test('gives what compiling only the changed Services gives', () => {
    fc.assert(
      fc.property(clusterEvents, nodeOptions, (events, options) => {
        const snapshot = new Snapshot();
        const plans = new Map<ServiceKey, ServicePlan>();
        for (const event of events) {
          for (const key of snapshot.apply(event).services) {
            const entry = snapshot.get(key);
            if (entry === undefined) plans.delete(key);
            else plans.set(key, compileService(entry.service, entry.slices, options));
          }
        }
        expect(plans).toEqual(compile(snapshot, options).services);
      }),
      { numRuns: 300 },
    );
  });
});

/** Replaces the text at `index` (counting all texts of the object) by another. */
function poison(object: ClusterObject, index: number, text: string): ClusterObject {
  let at = 0;
  return JSON.parse(JSON.stringify(object), (key, value: unknown) =>
    typeof value === 'string' && key !== 'kind' && at++ === index ? text : value,
  ) as ClusterObject;
}

function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsOf) : [];
}

const CONSTANTS = new Set<string>([
  'ClusterIP',
  'ExternalIP',
  'LoadBalancerIP',
  'NodePort',
  'IPv4',
  'IPv6',
  'TCP',
  'UDP',
  'SCTP',
  'rr',
  'forward',
  'reject',
  'drop',
  'none',
  'nonLocal',
  'all',
]);

test('no text of an object reaches a plan unless it is a canonical address, a valid name or of a closed set', () => {
  const text = fc.oneof(
    fc.constantFrom(
      'a; reboot',
      '$(reboot)',
      '-j ACCEPT',
      'x\ny',
      '10.0.0.1 -j DROP',
      '010.1.1.1',
      '::FFFF:10.9.9.9',
      'IPv7',
      '../x',
      '',
    ),
    fc.string(),
  );
  fc.assert(
    fc.property(
      serviceObject,
      sliceObject,
      fc.nat(30),
      fc.nat(30),
      text,
      nodeOptions,
      (service, slice, i, j, nasty, options) => {
        const snapshot = new Snapshot();
        snapshot.apply({ type: 'apply', object: poison(service, i, nasty) });
        snapshot.apply({ type: 'apply', object: poison(slice, j, nasty) });
        for (const compiled of compile(snapshot, options).services.values()) {
          for (const one of textsOf(compiled)) {
            const isSafe =
              CONSTANTS.has(one) ||
              parseIp(one) === one ||
              parseCidr(one) === one ||
              isPortName(one) ||
              parseServiceKey(one) === one;
            expect(isSafe, JSON.stringify(one)).toBe(true);
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('a plan obeys its own contract on random clusters', () => {
  const check = (one: VirtualServer): void => {
    for (const selection of [one.internal, one.external]) {
      if (selection.verdict !== 'forward') continue;
      const ids = selection.realServers.map(({ address, port }) => `${address} ${port}`);
      expect(ids.length).toBeGreaterThan(0);
      expect(new Set(ids).size).toBe(ids.length);
    }
    expect(one.address === null).toBe(one.kind === 'NodePort');
    if (one.kind !== 'LoadBalancerIP') expect(one.sourceRanges).toBeNull();
  };
  fc.assert(
    fc.property(clusterEvents, nodeOptions, (events, options) => {
      const snapshot = new Snapshot();
      for (const event of events) snapshot.apply(event);
      for (const { virtualServers } of compile(snapshot, options).services.values()) {
        virtualServers.forEach(check);
        // Inside a Service, no two frontends claim the same address, port and protocol.
        const claims = virtualServers.map(
          ({ protocol, family, address, port }) => `${protocol} ${family} ${address} ${port}`,
        );
        expect(new Set(claims).size).toBe(claims.length);
        expect(virtualServers.every(({ family }) => options.families.includes(family))).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});
