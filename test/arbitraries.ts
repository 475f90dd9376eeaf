// Random clusters for property tests: few names and addresses, so that they meet and contest each other; many fields, some of them wrong.

import fc from 'fast-check';
import type { ClusterEvent, ClusterObject } from '../src/model/objects.ts';
import type { NodeOptions } from '../src/plan/plan.ts';
import { address, cidr, NODE1, NODE2 } from './addresses.ts';

/** Nine times the first, once any of the others: what is rare in life is rare here too, so that objects meet. */
const mostly = <T>(usual: fc.Arbitrary<T>, ...rare: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: fc.constantFrom(...rare) });
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> =>
  mostly<T | null | undefined>(arbitrary, null, undefined);

// Three usual names: the third is who must learn that what it lost to the first belongs to the second.
const serviceName = mostly(fc.constantFrom('web', 'web', 'api', 'shop'), 'kubernetes', 'dns');
const namespace = mostly(fc.constant('default'), 'test');
const sliceName = fc.constantFrom('slice-1', 'slice-2', 'slice-3');
const port = {
  name: optional(mostly(fc.constant('http'), 'metrics', '')),
  protocol: optional(mostly(fc.constant('TCP'), 'UDP', 'SCTP')),
};
const policy = optional(fc.constantFrom('Cluster', 'Local'));
const vip = mostly(
  fc.constantFrom(
    '10.96.0.1',
    '198.51.100.1',
    '198.51.100.002',
    '2001:DB8::1',
    '2001:db8:0::2',
    // Of the node on which tests stand: its node ports answer there, too.
    '192.168.50.11',
  ),
  'rubbish',
  '',
  '127.0.0.1',
);

/** Services of every type, mostly valid. They contest cluster IPs, external ones, node ports, and node ports on addresses of the node. */
export const serviceObject: fc.Arbitrary<ClusterObject> = fc.record({
  kind: fc.constant('Service' as const),
  metadata: fc.record({
    name: serviceName,
    namespace,
    labels: optional(
      mostly<Record<string, string>>(
        fc.constantFrom<Record<string, string>>({ 'k8s-app': 'kube-dns' }, { app: 'web' }),
        {
          'service.kubernetes.io/service-proxy-name': '',
        },
      ),
    ),
    annotations: optional(
      fc.constantFrom<Record<string, string>>(
        {},
        { 'pointsman.dev/scheduler': 'mh' },
        { 'pointsman.dev/scheduler': 'sh', 'pointsman.dev/scheduler-flags': 'sh-port, sh-fallback' },
        { 'service.cilium.io/lb-algorithm': 'random' },
      ),
    ),
    creationTimestamp: optional(
      fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z', 'yesterday'),
    ),
  }),
  spec: fc.record({
    type: optional(mostly(fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer'), 'ExternalName', 'Magic')),
    clusterIP: mostly(fc.constantFrom('10.96.0.1', '10.96.0.2', 'fd00:10:96::1'), 'None', ''),
    clusterIPs: fc.constantFrom(
      null,
      undefined,
      ['10.96.0.1', 'fd00:10:96::1'],
      ['fd00:10:96::2', '10.96.0.2'],
    ),
    ports: mostly<object[] | null>(
      fc.array(
        fc.record({
          ...port,
          port: mostly(fc.constantFrom(80, 53, 443, 30_080), 0, 70_000),
          nodePort: optional(fc.constantFrom(0, 30_080, 30_053)),
        }),
        { minLength: 1, maxLength: 4 },
      ),
      [],
      null,
    ) as fc.Arbitrary<never>,
    externalIPs: optional(fc.array(vip, { maxLength: 3 })),
    externalTrafficPolicy: policy,
    internalTrafficPolicy: policy,
    loadBalancerSourceRanges: optional(
      fc.array(
        fc.constantFrom(
          '203.0.113.0/25',
          ' 203.0.113.128/25',
          '192.168.50.0/24',
          '::/0',
          '2001:db8::/32',
          'rubbish',
        ),
        { maxLength: 2 },
      ),
    ),
    healthCheckNodePort: optional(fc.constantFrom(0, 32_000)),
    sessionAffinity: optional(mostly(fc.constantFrom('None', 'ClientIP'), 'Cookie')),
  }),
  status: optional(
    fc.record({
      loadBalancer: fc.record({
        ingress: fc.array(
          fc.record({ ip: optional(vip), ipMode: optional(fc.constantFrom('VIP', 'VIP', 'Proxy')) }),
          { maxLength: 2 },
        ),
      }),
    }),
  ),
});

const condition = optional(fc.constantFrom(true, true, false));
const hints = fc.oneof(
  fc.constant(null),
  fc.record({
    forZones: optional(
      fc.array(fc.record({ name: fc.constantFrom('zone-a', 'zone-b') }), { minLength: 1, maxLength: 2 }),
    ),
    forNodes: fc.oneof(
      fc.constant(null),
      fc.array(fc.record({ name: fc.constantFrom(NODE1, NODE2) }), { maxLength: 1 }),
    ),
  }),
);

/** EndpointSlices that meet the Services above. */
export const sliceObject: fc.Arbitrary<ClusterObject> = fc
  .tuple(mostly(fc.constantFrom('IPv4', 'IPv4', 'IPv6'), 'FQDN'), fc.boolean())
  .chain(([addressType, hasHints]) => {
    const host = fc.tuple(fc.constantFrom(1, 2), fc.integer({ min: 1, max: 6 }));
    const prefix = addressType === 'IPv6' ? 'fd00:10:244::' : '10.244.';
    const usual = host.map(
      ([node, number]) => `${prefix}${node}${addressType === 'IPv6' ? ':' : '.'}${number}`,
    );
    return fc.record({
      kind: fc.constant('EndpointSlice' as const),
      metadata: fc.record({
        name: sliceName,
        namespace,
        labels: serviceName.map((name) => ({ 'kubernetes.io/service-name': name })),
        annotations: mostly<Record<string, string> | null>(
          fc.constant(null),
          { 'pointsman.dev/weight': '0' },
          { 'pointsman.dev/weight': '3' },
          { 'service.cilium.io/weight': '50' },
        ),
      }),
      addressType: fc.constant(addressType),
      ports: fc.array(fc.record({ ...port, port: mostly(fc.constantFrom(8080, 8081), 0) }), {
        minLength: 1,
        maxLength: 3,
      }),
      endpoints: fc.array(
        fc.record({
          addresses: fc.array(mostly(usual, '127.0.0.1', 'rubbish', '10.244.1.001', 'fd00::1'), {
            minLength: 1,
            maxLength: 2,
          }),
          nodeName: optional(fc.constantFrom(NODE1, NODE2)),
          conditions: optional(fc.record({ ready: condition, serving: condition, terminating: condition })),
          // Hints count only where every endpoint has them.
          hints: hasHints ? hints : fc.constant(null),
        }),
        { maxLength: 6 },
      ),
    });
  });

const nodeObject: fc.Arbitrary<ClusterObject> = fc.record({
  kind: fc.constant('Node' as const),
  metadata: fc.record({
    name: fc.constantFrom(NODE1, NODE2),
    labels: fc.constantFrom(
      { 'topology.kubernetes.io/zone': 'zone-a' },
      { 'topology.kubernetes.io/zone': 'zone-b' },
      null,
    ),
  }),
  status: fc.record({
    addresses: fc.array(fc.record({ type: fc.constant('InternalIP'), address: vip }), { maxLength: 2 }),
  }),
});

const applyEvent = fc
  .oneof({ weight: 4, arbitrary: serviceObject }, { weight: 4, arbitrary: sliceObject }, nodeObject)
  .map((object): ClusterEvent => ({ type: 'apply', object }));

const deleteEvent: fc.Arbitrary<ClusterEvent> = fc.oneof(
  fc.record({
    type: fc.constant('delete' as const),
    kind: fc.constant('Service' as const),
    namespace,
    name: serviceName,
  }),
  fc.record({
    type: fc.constant('delete' as const),
    kind: fc.constant('EndpointSlice' as const),
    namespace,
    name: sliceName,
  }),
  fc.constant({ type: 'delete' as const, kind: 'Node' as const, namespace: '', name: NODE1 }),
);

/** A history of a small cluster. */
export const clusterEvents: fc.Arbitrary<ClusterEvent[]> = fc.array(
  fc.oneof({ weight: 6, arbitrary: applyEvent }, { weight: 1, arbitrary: deleteEvent }),
  { maxLength: 24, size: 'max' },
);

/** Settings of the node on which tests stand. */
export const nodeOptions: fc.Arbitrary<NodeOptions> = fc.record({
  nodeName: fc.constantFrom(NODE1, NODE1, ''),
  zone: fc.constantFrom('zone-a', 'zone-b', ''),
  families: fc.constantFrom<NodeOptions['families']>(['IPv4'], ['IPv6'], ['IPv4', 'IPv6'], ['IPv4', 'IPv6']),
  nodeIPs: fc.constantFrom([], [address('192.168.50.11'), address('2001:db8::1')]),
  nodePortAddresses: fc.constantFrom(
    [],
    [address('192.168.50.11'), address('198.51.100.1')],
    [address('192.168.50.11'), address('192.168.60.11'), address('2001:db8::1')],
  ),
  nodePortLoopbacks: fc.constantFrom([], [cidr('127.0.0.0/8')]),
  localAddresses: fc.constantFrom([], [address('192.168.50.11'), address('198.51.100.1')]),
  allowsExternalIPs: mostly(fc.constant(true), false),
  otherFamilySourceRanges: fc.constantFrom('Allow', 'Deny'),
  scheduler: fc.constantFrom('rr', 'wrr', 'mh'),
  missingSchedulers: fc.constantFrom<NodeOptions['missingSchedulers']>([], [], ['sh']),
  masqueradeAll: fc.boolean(),
  localDetector: fc.constantFrom<NodeOptions['localDetector']>(
    { kind: 'none' },
    { kind: 'bridge', interfaceName: 'cbr0' },
    { kind: 'cidr', ipv4: cidr('10.244.0.0/16'), ipv6: null },
  ),
});
