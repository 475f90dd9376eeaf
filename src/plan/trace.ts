// Follows one packet through a plan: who sends it, which frontend it meets, and whether it is forwarded (to whom, under whose source
// address), refused, dropped, or none of our business, with the reason of each step. The steps below are the rules of the plan in the order
// in which they hold, so this file is their specification, and the oracle that every backend is compared with. Pure.
// Source: spec of the service model, 1.4 to 1.7; kube-proxy 1.36 in modes iptables and nftables.

import { cidrContains, familyOf, type IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Protocol } from '../model/service-ports.ts';
import { clientKindOf, isMasqueraded, selectionFor, type PacketInput } from './clients.ts';
import { addressesOf } from './ownership.ts';
import type {
  ClientKind,
  ForwardingPlan,
  LeftOutEndpoint,
  NodeOptions,
  RealServer,
  ServicePlan,
  TrafficPolicy,
  VirtualServer,
} from './plan.ts';

/** The first packet of a connection. Both addresses are of one family. */
export interface Packet {
  readonly source: IpAddress;
  readonly input: PacketInput;
  readonly destination: IpAddress;
  readonly protocol: Protocol;
  /** Destination port, 1 to 65535. */
  readonly port: number;
}

/** One real server that the packet may go to. */
export interface Target extends RealServer {
  /** True when it sees the node's address instead of the client's. */
  readonly isMasqueraded: boolean;
}

/** Where the packet ends. */
export type Outcome =
  /** At one of these, never empty, which the scheduler chooses. */
  | { readonly verdict: 'forward'; readonly targets: readonly Target[] }
  /** Refused at once (ICMP port unreachable). */
  | { readonly verdict: 'reject' }
  | { readonly verdict: 'drop' }
  /** No Service says anything of it: routing, firewalls and local processes decide. */
  | { readonly verdict: 'notOurs' };

/** One rule that applied, in the order of `step`: client, frontend, endpoints, sources, policy, masquerade, hairpin. */
export type TraceStep =
  | { readonly step: 'client'; readonly reason: 'DetectedPod' | 'ThisNode' | 'Outside' }
  | {
      readonly step: 'frontend';
      readonly reason:
        /** The packet meets `frontend`. */
        | 'Found'
        /** The address belongs to a Service, but not with this port and protocol. */
        | 'OtherPort'
        /** The port is a node port, but node ports do not answer on this address. */
        | 'NotANodePortAddress'
        /** The agent itself answers here, on the health-check port of a Service. */
        | 'HealthCheckNodePort'
        | 'UnknownAddress';
    }
  | { readonly step: 'endpoints'; readonly reason: 'NoneAnywhere' }
  | {
      readonly step: 'sources';
      readonly reason: 'InRange' | 'OwnAddress' | 'NotInRange';
    }
  /** Which list of endpoints counts: that of the policy; under externalTrafficPolicy Local clients inside the cluster use Cluster. */
  | {
      readonly step: 'policy';
      readonly reason: 'Cluster' | 'Local' | 'ShortCircuit' | 'NoLocalEndpoint' | 'NoWeight';
    }
  | {
      readonly step: 'masquerade';
      readonly reason: 'EveryClient' | 'NotAPod' | 'ThisNode' | 'SourceKept';
    }
  /** One of the targets is the sender itself: for it alone the source is replaced. */
  | { readonly step: 'hairpin'; readonly reason: 'SameEndpoint' };

/** The way of a packet. */
export interface Trace {
  readonly packet: Packet;
  readonly client: ClientKind;
  /** The Service whose frontend (or whose address) it is; null when it is nobody's. */
  readonly service: ServiceKey | null;
  /** The frontend that it meets; null when it is not ours. */
  readonly frontend: VirtualServer | null;
  readonly steps: readonly TraceStep[];
  readonly outcome: Outcome;
  /** Endpoints that this packet might go to otherwise, and why it does not. */
  readonly leftOut: readonly LeftOutEndpoint[];
}

/** Follows a packet that reaches this node (or leaves one of its processes). */
export function tracePacket(plan: ForwardingPlan, packet: Packet): Trace {
  const steps: TraceStep[] = [];
  const client = clientKindOf(packet.source, packet.input, plan.node.localDetector);
  steps.push({ step: 'client', reason: REASON_OF_CLIENT[client] });

  const found = findFrontend(plan, packet);
  steps.push({ step: 'frontend', reason: found.reason });
  const { service, frontend } = found;
  const end = (outcome: Outcome, leftOut: readonly LeftOutEndpoint[] = []): Trace => ({
    packet,
    client,
    service: service?.key ?? null,
    frontend,
    steps,
    outcome,
    leftOut,
  });
  if (service === null || frontend === null) return end({ verdict: 'notOurs' });

  // Without any usable endpoint everybody is refused, also those whom source ranges would keep out.
  const selection = selectionFor(frontend, client);
  if (selection.verdict === 'reject') {
    steps.push({ step: 'endpoints', reason: 'NoneAnywhere' });
    return end({ verdict: 'reject' }, leftOutOf(service, frontend, selection.policy));
  }

  // Source ranges come before everything that would let the packet through.
  const sourceReason = checkSource(frontend, packet.source);
  if (sourceReason !== null) steps.push({ step: 'sources', reason: sourceReason });
  if (sourceReason === 'NotInRange') return end({ verdict: 'drop' });

  // Endpoints exist, but a Local policy may leave this client without one: then silence, so that load balancers go elsewhere.
  const leftOut = leftOutOf(service, frontend, selection.policy);
  if (selection.verdict === 'drop') {
    steps.push({ step: 'policy', reason: 'NoLocalEndpoint' });
    return end({ verdict: 'drop' }, leftOut);
  }
  const isShortCircuit = selection.policy !== frontend.external.policy;
  steps.push({ step: 'policy', reason: isShortCircuit ? 'ShortCircuit' : selection.policy });

  // Weight 0 takes no new connections; a virtual server with nothing else refuses them.
  const takers = selection.realServers.filter(({ weight }) => weight > 0);
  if (takers.length === 0) {
    steps.push({ step: 'policy', reason: 'NoWeight' });
    return end({ verdict: 'reject' }, leftOut);
  }

  // The source is replaced by policy, or because an endpoint, on whatever node, would otherwise answer itself past this node.
  const masqueraded = isMasqueraded(frontend.masquerade, client);
  steps.push({
    step: 'masquerade',
    reason: masqueraded ? REASON_OF_MASQUERADE[frontend.masquerade] : 'SourceKept',
  });
  const isHairpin = (server: RealServer): boolean => server.address === packet.source;
  if (!masqueraded && takers.some(isHairpin)) steps.push({ step: 'hairpin', reason: 'SameEndpoint' });
  const targets = takers.map((server) => ({ ...server, isMasqueraded: masqueraded || isHairpin(server) }));
  return end({ verdict: 'forward', targets }, leftOut);
}

const REASON_OF_CLIENT = { pod: 'DetectedPod', node: 'ThisNode', outside: 'Outside' } as const;
const REASON_OF_MASQUERADE = {
  none: 'SourceKept',
  node: 'ThisNode',
  nonPods: 'NotAPod',
  all: 'EveryClient',
} as const;

interface Found {
  readonly service: ServicePlan | null;
  readonly frontend: VirtualServer | null;
  readonly reason: Extract<TraceStep, { readonly step: 'frontend' }>['reason'];
}

/** How much a reason says of a packet that no frontend takes: of several that hold, the last of these is given. */
const NEARNESS: readonly Found['reason'][] = [
  'UnknownAddress',
  'NotANodePortAddress',
  'OtherPort',
  'HealthCheckNodePort',
];

/** The frontend of a destination. Nobody else has the same one: the plan has settled who owns what. */
function findFrontend({ node, services }: ForwardingPlan, packet: Packet): Found {
  let near: Found = { service: null, frontend: null, reason: 'UnknownAddress' };
  const approach = (service: ServicePlan, reason: Found['reason']): void => {
    if (NEARNESS.indexOf(reason) > NEARNESS.indexOf(near.reason)) near = { service, frontend: null, reason };
  };
  for (const service of services.values()) {
    for (const frontend of service.virtualServers) {
      if (frontend.family !== familyOf(packet.destination)) continue;
      const isPort = frontend.protocol === packet.protocol && frontend.port === packet.port;
      const isAddress = answersOn(frontend, packet.destination, node);
      if (isPort && isAddress) return { service, frontend, reason: 'Found' };
      if (isPort && frontend.address === null) approach(service, 'NotANodePortAddress');
      if (isAddress && frontend.address !== null) approach(service, 'OtherPort');
    }
    const isHealthCheck = packet.protocol === 'TCP' && service.healthCheck?.nodePort === packet.port;
    if (isHealthCheck && node.nodePortAddresses.includes(packet.destination))
      approach(service, 'HealthCheckNodePort');
  }
  return near;
}

function answersOn(frontend: VirtualServer, address: IpAddress, node: NodeOptions): boolean {
  if (addressesOf(frontend, node).includes(address)) return true;
  return frontend.kind === 'NodePort' && node.nodePortLoopbacks.some((cidr) => cidrContains(cidr, address));
}

/** null when the frontend restricts nobody. */
function checkSource(
  { allowedSources }: VirtualServer,
  source: IpAddress,
): Extract<TraceStep, { readonly step: 'sources' }>['reason'] | null {
  if (allowedSources === null) return null;
  if (allowedSources.cidrs.some((cidr) => cidrContains(cidr, source))) return 'InRange';
  return allowedSources.ownAddresses.includes(source) ? 'OwnAddress' : 'NotInRange';
}

function leftOutOf(service: ServicePlan, frontend: VirtualServer, policy: TrafficPolicy): LeftOutEndpoint[] {
  return service.leftOut.filter(
    (each) =>
      each.policy === policy &&
      each.portName === frontend.portName &&
      each.protocol === frontend.protocol &&
      familyOf(each.address) === frontend.family,
  );
}
