// One Service's plan as desired IPVS state, in the shape that kube-proxy gives it: virtual servers, flags, set members, addresses.
// Pure, and without policy but for two limits of IPVS that kube-proxy has, too: a virtual server has one list of servers for all clients
// (serversOf), and a mark of ports knows no addresses. docs/kube-proxy-state.md says what follows for packets.
// Source: kube-proxy 1.36, mode ipvs.

import { familyOf, prefixLengthOf, networkOf, type Family, type IpAddress } from '../../model/ip.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import { formatServiceKey, fullNetmask, PROTOCOL_NUMBER, SERVICE_FLAG } from '../../kernel/ipvs-codec.ts';
import { addressesOf } from '../../plan/ownership.ts';
import type { NodeOptions, RealServer, Selection, ServicePlan, VirtualServer } from '../../plan/plan.ts';
import {
  makeMember,
  type AddressService,
  type DesiredMember,
  type DesiredService,
  type DesiredVirtualServer,
} from './desired.ts';
import { encodeSchedulerFlags } from './scheduler-flags.ts';
import type { SetName } from './sets.ts';

const NO_SERVERS: readonly RealServer[] = Object.freeze([]);

/** The desired state of one Service. The order of everything follows the plan's. */
export function renderService(plan: ServicePlan, node: NodeOptions): DesiredService {
  const virtualServers = plan.virtualServers.flatMap((frontend) =>
    addressesOf(frontend, node).map((address) => renderVirtualServer(plan, frontend, address, node)),
  );
  return {
    key: plan.key,
    virtualServers,
    members: [...loopBackMembers(plan), ...healthCheckMembers(plan, node)],
  };
}

function renderVirtualServer(
  plan: ServicePlan,
  from: VirtualServer,
  address: IpAddress,
  node: NodeOptions,
): DesiredVirtualServer {
  const service = virtualService(from, address);
  // The node's own addresses stay where they are. A cluster IP is never one of them, whatever kube-ipvs0's neighbours bear.
  const isBound =
    from.kind === 'ClusterIP' || (from.kind !== 'NodePort' && !node.localAddresses.includes(address));
  const portal: SetMember = { address, protocol: service.protocol, port: service.port };
  const members = [makeMember('POINTSMAN-VS', from.family, portal)];
  if (isBound) members.push(makeMember('KUBE-IPVS-IPS', from.family, { address }));
  for (const [set, member] of portalMembers(from, portal)) {
    members.push(makeMember(set, from.family, member));
  }
  return {
    id: formatServiceKey(service),
    service,
    realServers: serversOf(plan, from),
    isBound,
    isClosedToNode: from.allowedSources !== null && from.allowedSources.ownAddresses.length === 0,
    members,
    ...(plan.drainTimeoutSeconds === undefined ? {} : { drainTimeoutMs: plan.drainTimeoutSeconds * 1000 }),
  };
}

function virtualService(from: VirtualServer, address: IpAddress): AddressService {
  const isPersistent = from.affinitySeconds > 0;
  return {
    family: from.family,
    protocol: PROTOCOL_NUMBER[from.protocol],
    address,
    port: from.port,
    scheduler: from.scheduler,
    flags: (isPersistent ? SERVICE_FLAG.PERSISTENT : 0) | encodeSchedulerFlags(from.schedulerFlags),
    timeoutSeconds: from.affinitySeconds,
    netmask: fullNetmask(from.family),
  };
}

/**
 * The one list of servers for all clients of a virtual server: that of the traffic policy of its kind; where the policy is Local and this
 * node has none, all of the cluster's. Without servers the kernel refuses connections itself (ICMP port unreachable).
 */
function serversOf(plan: ServicePlan, from: VirtualServer): readonly RealServer[] {
  const chosen = from.kind === 'ClusterIP' ? from.internal : from.external;
  if (chosen.verdict === 'forward') return chosen.realServers;
  return chosen.verdict === 'drop' ? clusterServers(plan, from) : NO_SERVERS;
}

/** The cluster's list of the same port: any frontend that clients outside can reach has it; where there is none, nobody chose one. */
function clusterServers(plan: ServicePlan, from: VirtualServer): readonly RealServer[] {
  const isCluster = ({ policy, verdict }: Selection): boolean =>
    policy === 'Cluster' && verdict === 'forward';
  const { internal } =
    plan.virtualServers.find(
      (each) =>
        each.portName === from.portName &&
        each.family === from.family &&
        each.protocol === from.protocol &&
        isCluster(each.internal),
    ) ?? from;
  return isCluster(internal) && internal.verdict === 'forward' ? internal.realServers : NO_SERVERS;
}

interface NodePortSets {
  readonly all: SetName;
  readonly local: SetName;
}

const NODE_PORT_SETS: Readonly<Record<VirtualServer['protocol'], NodePortSets>> = {
  TCP: { all: 'KUBE-NODE-PORT-TCP', local: 'KUBE-NODE-PORT-LOCAL-TCP' },
  UDP: { all: 'KUBE-NODE-PORT-UDP', local: 'KUBE-NODE-PORT-LOCAL-UDP' },
  SCTP: { all: 'KUBE-NODE-PORT-SCTP-HASH', local: 'KUBE-NODE-PORT-LOCAL-SCTP-HASH' },
};

/** The members by which rules know a frontend at one address. */
function portalMembers(from: VirtualServer, portal: SetMember): (readonly [SetName, SetMember])[] {
  const isLocal = from.external.policy === 'Local';
  switch (from.kind) {
    case 'ClusterIP':
      return [['KUBE-CLUSTER-IP', portal]];
    case 'ExternalIP':
      return [[isLocal ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP', portal]];
    case 'LoadBalancerIP':
      return [
        ['KUBE-LOAD-BALANCER', portal],
        ...(isLocal ? [['KUBE-LOAD-BALANCER-LOCAL', portal] as const] : []),
        ...sourceMembers(from, portal),
      ];
    case 'NodePort': {
      // The TCP and UDP sets are bitmaps of ports; SCTP has no such match in iptables, so its sets hold each address.
      const member: SetMember =
        from.protocol === 'SCTP' || portal.port === undefined ? portal : { port: portal.port };
      const { all, local } = NODE_PORT_SETS[from.protocol];
      return isLocal
        ? [
            [all, member],
            [local, member],
          ]
        : [[all, member]];
    }
  }
}

/** Who may use a load-balancer IP: everybody, or what the two sets of sources have. */
function sourceMembers(from: VirtualServer, portal: SetMember): (readonly [SetName, SetMember])[] {
  if (from.allowedSources === null || portal.address === undefined) return [];
  const { cidrs, ownAddresses } = from.allowedSources;
  const own: SetMember = { ...portal, address2: portal.address };
  return [
    ['KUBE-LOAD-BALANCER-FW', portal],
    ...cidrs.map((cidr) => {
      const member = { ...portal, address2: networkOf(cidr), prefixLength2: prefixLengthOf(cidr) };
      return ['KUBE-LOAD-BALANCER-SOURCE-CIDR', member] as const;
    }),
    ...(ownAddresses.length > 0 ? [['KUBE-LOAD-BALANCER-SOURCE-IP', own] as const] : []),
  ];
}

/** A pod that reaches itself through a Service would see its own address as the source; these entries masquerade that. */
function loopBackMembers(plan: ServicePlan): DesiredMember[] {
  return plan.localEndpoints.map(({ family, protocol, address, port }) =>
    makeMember('KUBE-LOOP-BACK', family, {
      address,
      protocol: PROTOCOL_NUMBER[protocol],
      port,
      address2: address,
    }),
  );
}

/**
 * The health-check port, which the node's own filter must let in. As kube-proxy: in each family of the Service, unless all that it has there
 * are node ports on no address at all.
 */
function healthCheckMembers(plan: ServicePlan, node: NodeOptions): DesiredMember[] {
  const { healthCheck } = plan;
  if (healthCheck === null) return [];
  const isServed = (family: Family): boolean => {
    const frontends = plan.virtualServers.filter((each) => each.family === family);
    const hasAddress = node.nodePortAddresses.some((address) => familyOf(address) === family);
    return (
      frontends.length > 0 &&
      (hasAddress ||
        frontends.some(
          ({ portName }) => !frontends.some((each) => each.kind === 'NodePort' && each.portName === portName),
        ))
    );
  };
  return node.families
    .filter(isServed)
    .map((family) => makeMember('KUBE-HEALTH-CHECK-NODE-PORT', family, { port: healthCheck.nodePort }));
}
