// The frontends of one Service port in one family: at which addresses it answers, whom each sends where, and whose source address is
// replaced. All policy but the choice of endpoints (categorize.ts) and of sources (source-ranges.ts) is decided here. Pure.
// Source: kube-proxy 1.36 (modes iptables and nftables agree on these answers); spec of the service model, 1.2, 1.4 and 1.7.

import type { Endpoint } from '../model/endpoints.ts';
import { compareIp, compareText, familyOf, type Family, type IpAddress } from '../model/ip.ts';
import { packed } from '../model/interner.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { ServicePortRecord } from '../model/service-ports.ts';
import { isLocal, type CategorizedEndpoints, type EndpointPolicy } from './categorize.ts';
import { orderForNode } from './order.ts';
import type {
  AllowedSources,
  Masquerade,
  NodeOptions,
  RealServer,
  Selection,
  TrafficPolicy,
  VirtualServer,
  VirtualServerKind,
} from './plan.ts';
import type { Scheduling } from './scheduling.ts';
import { allowedSources } from './source-ranges.ts';

/** One frozen object for each: tens of thousands of frontends may have no endpoint. */
const NONE: Readonly<Record<TrafficPolicy, Readonly<Record<'reject' | 'drop', Selection>>>> = {
  Cluster: {
    reject: Object.freeze({ policy: 'Cluster', verdict: 'reject' }),
    drop: Object.freeze({ policy: 'Cluster', verdict: 'drop' }),
  },
  Local: {
    reject: Object.freeze({ policy: 'Local', verdict: 'reject' }),
    drop: Object.freeze({ policy: 'Local', verdict: 'drop' }),
  },
};
const NOWHERE: readonly IpAddress[] = Object.freeze([]);

/** What categorizeEndpoints asks about a port of a Service in one family. */
export function endpointPolicy(
  record: ServiceRecord,
  port: ServicePortRecord,
  family: Family,
  node: NodeOptions,
): EndpointPolicy {
  const hasOfFamily = (addresses: readonly IpAddress[]): boolean =>
    addresses.some((one) => familyOf(one) === family);
  return {
    isInternalLocal: record.isInternalLocal,
    isExternalLocal: record.isExternalLocal,
    isExternallyAccessible:
      port.nodePort !== 0 || hasOfFamily(externalIPsOf(record, node)) || hasOfFamily(record.loadBalancerIPs),
  };
}

/**
 * The frontends of a port in a family, in no particular order (see compareFrontends). `chosen` says which endpoints each policy uses.
 *
 * | frontend                                 | pods               | this node          | outside            |
 * |------------------------------------------|--------------------|--------------------|--------------------|
 * | ClusterIP                                | list of internalTrafficPolicy, masqueraded as clusterIpMasquerade says |
 * | the others, externalTrafficPolicy Cluster | cluster, masq.     | cluster, masq.     | cluster, masq.     |
 * | the others, externalTrafficPolicy Local   | cluster            | cluster, masq.     | local              |
 *
 * Who finds its list empty is dropped, or refused when no endpoint can be used anywhere.
 */
export function frontendsOf(
  record: ServiceRecord,
  port: ServicePortRecord,
  family: Family,
  chosen: CategorizedEndpoints,
  scheduling: Scheduling,
  node: NodeOptions,
): VirtualServer[] {
  const select = (policy: TrafficPolicy, usable: readonly Endpoint[]): Selection => {
    if (usable.length === 0) return NONE[policy][chosen.hasAny ? 'drop' : 'reject'];
    return { policy, verdict: 'forward', realServers: realServersOf(usable, node.nodeName) };
  };
  // One object for each list: frontends with the same answer share it.
  const forCluster = select('Cluster', chosen.cluster);
  const forLocal =
    record.isInternalLocal || record.isExternalLocal ? select('Local', chosen.local) : forCluster;
  const frontends: VirtualServer[] = [];
  const add = (
    kind: VirtualServerKind,
    address: IpAddress | null,
    number: number,
    policy: {
      readonly internal: Selection;
      readonly external: Selection;
      readonly masquerade: Masquerade;
      readonly allowedSources: AllowedSources | null;
    },
  ): void => {
    frontends.push({
      kind,
      portName: port.name,
      family,
      protocol: port.protocol,
      address,
      exceptAddresses: NOWHERE,
      port: number,
      scheduler: scheduling.scheduler,
      schedulerFlags: scheduling.schedulerFlags,
      affinitySeconds: record.affinitySeconds,
      ...policy,
    });
  };
  const ofFamily = (address: IpAddress): boolean => familyOf(address) === family;

  const internal = record.isInternalLocal ? forLocal : forCluster;
  const masquerade = clusterIpMasquerade(node, family);
  for (const address of record.clusterIPs.filter(ofFamily))
    add('ClusterIP', address, port.port, {
      internal,
      external: internal,
      masquerade,
      allowedSources: null,
    });
  const outside = {
    // Clients inside the cluster reach external addresses as if the policy were Cluster: they need no way in.
    internal: forCluster,
    external: record.isExternalLocal ? forLocal : forCluster,
    masquerade: record.isExternalLocal ? ('node' as const) : ('all' as const),
    allowedSources: null,
  };
  for (const address of externalIPsOf(record, node).filter(ofFamily))
    add('ExternalIP', address, port.port, outside);
  const restricted = { ...outside, allowedSources: allowedSources(record, family, node) };
  for (const address of record.loadBalancerIPs.filter(ofFamily))
    add('LoadBalancerIP', address, port.port, restricted);
  if (port.nodePort !== 0) add('NodePort', null, port.nodePort, outside);
  return frontends;
}

const KIND_ORDER: Record<VirtualServerKind, number> = {
  ClusterIP: 0,
  ExternalIP: 1,
  LoadBalancerIP: 2,
  NodePort: 3,
};

/** Order of the frontends of one port: kind, family, address. */
export function compareFrontends(a: VirtualServer, b: VirtualServer): number {
  const byKind = KIND_ORDER[a.kind] - KIND_ORDER[b.kind] || compareText(a.family, b.family);
  return byKind !== 0 || a.address === null || b.address === null ? byKind : compareIp(a.address, b.address);
}

function externalIPsOf(record: ServiceRecord, node: NodeOptions): readonly IpAddress[] {
  return node.allowsExternalIPs ? record.externalIPs : NOWHERE;
}

/** Who is masqueraded on the way to a ClusterIP: those whom the detector does not know as pods; without a detector nobody. */
function clusterIpMasquerade(node: NodeOptions, family: Family): Masquerade {
  if (node.masqueradeAll) return 'all';
  const detector = node.localDetector;
  switch (detector.kind) {
    case 'none':
      return 'none';
    case 'cidr':
      return (family === 'IPv4' ? detector.ipv4 : detector.ipv6) === null ? 'none' : 'nonPods';
    case 'bridge':
    case 'interfacePrefix':
      return 'nonPods';
  }
}

function realServersOf(endpoints: readonly Endpoint[], nodeName: string): readonly RealServer[] {
  return packed(
    orderForNode(endpoints, nodeName).map((endpoint) => ({
      address: endpoint.address,
      port: endpoint.port,
      weight: endpoint.weight,
      isLocal: isLocal(endpoint, nodeName),
    })),
  );
}
