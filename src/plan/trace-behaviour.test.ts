// The oracle's oracle: the rules of traffic policies (specification of the service model, 1.4, 1.5 and 1.7), said once more from the
// Service and its endpoints, as plainly as can be and without any line of the compiler, and held against traces of random packets.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { address, cidr } from '../../test/addresses.ts';
import { clusterEvents, nodeOptions } from '../../test/arbitraries.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { compareText, familyOf } from '../model/ip.ts';
import type { ClusterObject } from '../model/objects.ts';
import { Snapshot } from '../model/snapshot.ts';
import { clientKindOf, selectionFor, type PacketInput } from './clients.ts';
import { compile } from './planner.ts';
import type { NodeOptions } from './plan.ts';
import { tracePacket, type Packet, type Trace } from './trace.ts';

/** An endpoint in the words of the tables. Its address is made from its node and number. */
interface EndpointFacts {
  readonly node: 'node1' | 'node2';
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHint: 'zone-a' | 'zone-b' | null;
  readonly nodeHint: 'node1' | 'node2' | null;
  readonly weight: 0 | 1;
}

/** A case: one Service, its endpoints, and who sends a packet to which of its frontends. */
interface Case {
  readonly endpoints: readonly EndpointFacts[];
  readonly iTP: 'Cluster' | 'Local';
  readonly eTP: 'Cluster' | 'Local';
  readonly ranges: readonly string[] | null;
  readonly frontend: 'ClusterIP' | 'ExternalIP' | 'LoadBalancerIP' | 'NodePort';
  readonly client: 'pod' | 'endpoint' | 'node' | 'outside' | 'stranger';
  readonly hasDetector: boolean;
  readonly masqueradeAll: boolean;
}

const SOURCES: Record<Case['client'], string> = {
  pod: '10.244.1.99',
  endpoint: '10.244.1.1',
  node: '192.168.50.11',
  outside: '203.0.113.7',
  stranger: '203.0.113.200',
};
/** Who is inside each source range, written out. */
const RANGES: Record<string, readonly Case['client'][]> = {
  '203.0.113.0/25': ['outside'],
  '10.244.0.0/16': ['pod', 'endpoint'],
  '192.168.50.0/24': ['node'],
};
const DESTINATIONS: Record<Case['frontend'], readonly [string, number]> = {
  ClusterIP: ['10.96.0.1', 80],
  ExternalIP: ['198.51.100.1', 80],
  LoadBalancerIP: ['198.51.100.9', 80],
  NodePort: ['192.168.50.11', 30_080],
};

const endpointFacts: fc.Arbitrary<EndpointFacts> = fc.record({
  node: fc.constantFrom('node1', 'node2'),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
  zoneHint: fc.constantFrom('zone-a', 'zone-b', 'zone-a', 'zone-b', null),
  nodeHint: fc.constantFrom('node1', 'node2', 'node1', 'node2', null),
  weight: fc.constantFrom(1, 1, 1, 0),
});

const cases: fc.Arbitrary<Case> = fc.record({
  // Hints count only where every ready endpoint has them: none at all, one kind or both.
  endpoints: fc
    .tuple(fc.array(endpointFacts, { maxLength: 5 }), fc.boolean(), fc.boolean())
    .map(([list, hasZones, hasNodes]) =>
      list.map((one) => ({
        ...one,
        zoneHint: hasZones ? one.zoneHint : null,
        nodeHint: hasNodes ? one.nodeHint : null,
      })),
    ),
  iTP: fc.constantFrom('Cluster', 'Local'),
  eTP: fc.constantFrom('Cluster', 'Local'),
  ranges: fc.option(fc.uniqueArray(fc.constantFrom(...Object.keys(RANGES)), { minLength: 1, maxLength: 2 })),
  frontend: fc.constantFrom('ClusterIP', 'ExternalIP', 'LoadBalancerIP', 'NodePort'),
  client: fc.constantFrom('pod', 'endpoint', 'node', 'outside', 'stranger'),
  hasDetector: fc.boolean(),
  masqueradeAll: fc.boolean(),
});

/** The end of a packet: 'reject', 'drop', or each target with a star where it sees the node's address. */
type End = string;

/** 10.244.NODE.NUMBER; the first on node1 is the client 'endpoint'. */
function addressOfEndpoint(endpoints: readonly EndpointFacts[], index: number): string {
  const { node } = endpoints[index]!;
  const before = endpoints.slice(0, index).filter((one) => one.node === node).length;
  return `10.244.${node === 'node1' ? 1 : 2}.${before + 1}`;
}

/** The tables, said once more. */
function expectedEnd(c: Case): End {
  const all = c.endpoints.map((one, index) => ({ ...one, address: addressOfEndpoint(c.endpoints, index) }));
  const ready = all.filter((one) => one.ready);
  const standIns = all.filter((one) => !one.ready && one.serving && one.terminating);

  // 1.5: hints among the ready ones.
  const hintedForNode =
    ready.every((one) => one.nodeHint !== null) && ready.some((one) => one.nodeHint === 'node1');
  const hintedForZone =
    ready.every((one) => one.zoneHint !== null) && ready.some((one) => one.zoneHint === 'zone-a');
  const preferred = hintedForNode
    ? ready.filter((one) => one.nodeHint === 'node1')
    : hintedForZone
      ? ready.filter((one) => one.zoneHint === 'zone-a')
      : ready;

  // 1.4: the two lists, each with its own fallback.
  const cluster = ready.length > 0 ? preferred : standIns;
  const localReady = ready.filter((one) => one.node === 'node1');
  const local = localReady.length > 0 ? localReady : standIns.filter((one) => one.node === 'node1');

  // any VIP, hasAny=false: REJECT
  if (ready.length === 0 && standIns.length === 0) return 'reject';

  // 1.7: source ranges apply to every client of the LB IP, including pods, and to nothing else.
  if (
    c.frontend === 'LoadBalancerIP' &&
    c.ranges !== null &&
    !c.ranges.some((one) => RANGES[one]!.includes(c.client))
  )
    return 'drop';

  const isPod = c.hasDetector && (c.client === 'pod' || c.client === 'endpoint');
  const isThisHost = c.client === 'node';
  let chosen: typeof all;
  let isMasqueraded: boolean;
  if (c.frontend === 'ClusterIP') {
    chosen = c.iTP === 'Local' ? local : cluster;
    isMasqueraded = c.masqueradeAll || (c.hasDetector && !isPod);
  } else if (c.eTP === 'Cluster') {
    chosen = cluster;
    isMasqueraded = true;
  } else if (isPod) {
    chosen = cluster;
    isMasqueraded = false;
  } else if (isThisHost) {
    chosen = cluster;
    isMasqueraded = true;
  } else {
    chosen = local;
    isMasqueraded = false;
  }
  // local empty, hasAny: DROP
  if (chosen.length === 0) return 'drop';

  // A real server of weight 0 takes no new connection.
  const takers = chosen.filter(({ weight }) => weight > 0);
  if (takers.length === 0) return 'reject';
  return takers
    .map((one) => `${one.address}${isMasqueraded || one.address === SOURCES[c.client] ? '*' : ''}`)
    .sort(compareText)
    .join(' ');
}

function endOf({ outcome }: Trace): End {
  if (outcome.verdict !== 'forward') return outcome.verdict;
  return outcome.targets
    .map((target) => `${target.address}${target.isMasqueraded ? '*' : ''}`)
    .sort(compareText)
    .join(' ');
}

/** The objects of a case; endpoints of another weight are in another slice. */
function objectsOf(c: Case): ClusterObject[] {
  const service: ClusterObject = {
    kind: 'Service',
    metadata: { name: 'web' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.1',
      ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
      externalIPs: ['198.51.100.1'],
      internalTrafficPolicy: c.iTP,
      externalTrafficPolicy: c.eTP,
      loadBalancerSourceRanges: c.ranges,
      healthCheckNodePort: 32_000,
    },
    status: { loadBalancer: { ingress: [{ ip: '198.51.100.9' }] } },
  };
  const slices = [0, 1].map((weight): ClusterObject => {
    const endpoints = c.endpoints.flatMap((one, index) => {
      if (one.weight !== weight) return [];
      const { ready, serving, terminating } = one;
      const forZones = one.zoneHint === null ? null : [{ name: one.zoneHint }];
      const forNodes = one.nodeHint === null ? null : [{ name: one.nodeHint }];
      const conditions = { ready, serving, terminating };
      const addresses = [addressOfEndpoint(c.endpoints, index)];
      return [{ addresses, nodeName: one.node, conditions, hints: { forZones, forNodes } }];
    });
    return {
      kind: 'EndpointSlice',
      metadata: {
        name: `web-${weight}`,
        labels: { 'kubernetes.io/service-name': 'web' },
        annotations: { 'pointsman.dev/weight': `${weight}` },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints,
    };
  });
  return [service, ...slices];
}

function traceOf(c: Case): Trace {
  const snapshot = new Snapshot();
  for (const object of objectsOf(c)) snapshot.apply({ type: 'apply', object });
  const node: NodeOptions = {
    ...PLAIN_NODE,
    zone: 'zone-a',
    nodeIPs: [address('192.168.50.11')],
    nodePortAddresses: [address('192.168.50.11')],
    masqueradeAll: c.masqueradeAll,
    localDetector: c.hasDetector
      ? { kind: 'cidr', ipv4: cidr('10.244.0.0/16'), ipv6: null }
      : { kind: 'none' },
  };
  const [destination, port] = DESTINATIONS[c.frontend];
  const input: PacketInput =
    c.client === 'node' ? { from: 'node' } : { from: 'interface', interfaceName: 'eth0' };
  const packet: Packet = {
    source: address(SOURCES[c.client]),
    input,
    destination: address(destination),
    protocol: 'TCP',
    port,
  };
  return tracePacket(compile(snapshot, node), packet);
}

describe('a trace ends where the tables of the specification say', () => {
  test('on random endpoints, policies, settings and clients', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const trace = traceOf(c);
        expect(endOf(trace)).toBe(expectedEnd(c));
        expect(trace.frontend?.kind).toBe(c.frontend);
      }),
      { numRuns: 5000 },
    );
  });

  test('each end is reached often enough to count', () => {
    const ends = fc.sample(cases, { numRuns: 3000, seed: 4 }).map((c) => expectedEnd(c));
    const share = (isOne: (end: End) => boolean): number => ends.filter(isOne).length / ends.length;
    for (const verdict of ['reject', 'drop']) expect(share((end) => end === verdict)).toBeGreaterThan(0.1);
    expect(share((end) => end.includes('*'))).toBeGreaterThan(0.1);
    expect(share((end) => /\d$/.test(end))).toBeGreaterThan(0.1);
  });
});

const packets: fc.Arbitrary<Packet> = fc
  .record({
    source: fc.constantFrom(
      '10.244.1.1',
      '10.244.2.1',
      '203.0.113.7',
      '192.168.50.11',
      '198.51.100.1',
      '2001:db8::1',
    ),
    input: fc.constantFrom<PacketInput>(
      { from: 'node' },
      { from: 'interface', interfaceName: 'cbr0' },
      { from: 'interface', interfaceName: '' },
    ),
    destination: fc.constantFrom(
      '10.96.0.1',
      '10.96.0.2',
      'fd00:10:96::1',
      '198.51.100.1',
      '2001:db8::1',
      '192.168.50.11',
      '192.168.60.11',
      '127.0.0.1',
      '::1',
    ),
    protocol: fc.constantFrom('TCP', 'TCP', 'TCP', 'UDP', 'SCTP'),
    port: fc.constantFrom(80, 53, 443, 30_080, 30_053, 32_000),
  })
  .map((one): Packet => ({ ...one, source: address(one.source), destination: address(one.destination) }));

describe('any packet on any plan', () => {
  test('is followed to an end that agrees with the frontend it meets', () => {
    fc.assert(
      fc.property(
        clusterEvents,
        nodeOptions,
        fc.array(packets, { minLength: 8, maxLength: 8 }),
        (events, node, list) => {
          const snapshot = new Snapshot();
          for (const event of events) snapshot.apply(event);
          const plan = compile(snapshot, node);
          for (const packet of list) checkTrace(tracePacket(plan, packet), packet, node);
        },
      ),
      { numRuns: 500 },
    );
  });

  function checkTrace(
    { client, frontend, service, steps, outcome, leftOut }: Trace,
    packet: Packet,
    node: NodeOptions,
  ): void {
    expect(client).toBe(clientKindOf(packet.source, packet.input, node.localDetector));
    // Steps come in their order, none twice but that of the policy.
    const order = ['client', 'frontend', 'endpoints', 'sources', 'policy', 'masquerade', 'hairpin'];
    const places = steps.map(({ step }) => order.indexOf(step));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    if (frontend === null) {
      expect(outcome).toEqual({ verdict: 'notOurs' });
      return;
    }
    expect(service).not.toBeNull();
    expect(frontend).toMatchObject({
      protocol: packet.protocol,
      port: packet.port,
      family: familyOf(packet.destination),
    });
    if (frontend.address !== null) expect(frontend.address).toBe(packet.destination);

    const selection = selectionFor(frontend, client);
    for (const one of leftOut) expect(one.policy).toBe(selection.policy);
    if (outcome.verdict === 'forward') {
      expect(outcome.targets.length).toBeGreaterThan(0);
      const realServers = selection.verdict === 'forward' ? selection.realServers : [];
      expect(outcome.targets.map(({ isMasqueraded: _isMasqueraded, ...target }) => target)).toEqual(
        realServers.filter(({ weight }) => weight > 0),
      );
    } else if (outcome.verdict === 'reject') {
      const isRejected = selection.verdict === 'reject';
      const isWithoutWeight =
        selection.verdict === 'forward' && selection.realServers.every(({ weight }) => weight === 0);
      expect(isRejected || isWithoutWeight).toBe(true);
    } else {
      expect(outcome.verdict).toBe('drop');
      expect(selection.verdict === 'drop' || frontend.allowedSources !== null).toBe(true);
    }
  }
});
