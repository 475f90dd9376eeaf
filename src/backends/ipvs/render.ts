// One Service's plan as desired IPVS state. Pure, and without policy: which endpoints, for whom and whether masqueraded stands in
// the plan; here it only gets kube-proxy's shape (flags, set names, addresses on kube-ipvs0).
// Source: kube-proxy 1.36, mode ipvs.

import type { IpAddress } from '../../model/ip.ts';
import type { Problem } from '../../model/problem.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import { formatServiceKey, fullNetmask, PROTOCOL_NUMBER, SERVICE_FLAG } from '../../kernel/ipvs-codec.ts';
import { addressesOf } from '../../plan/ownership.ts';
import type { NodeOptions, Selection, ServicePlan, VirtualServer } from '../../plan/plan.ts';
import {
  makeMember,
  type AddressService,
  type DesiredMember,
  type DesiredService,
  type DesiredVirtualServer,
} from './desired.ts';
import { encodeSchedulerFlags } from './scheduler-flags.ts';
import type { SetName } from './sets.ts';

/** The desired state of one Service. The order of everything follows the plan's. */
export function renderService(plan: ServicePlan, node: NodeOptions): DesiredService {
  const virtualServers: DesiredVirtualServer[] = [];
  const problems: Problem[] = [];
  for (const virtualServer of plan.virtualServers) {
    switch (virtualServer.kind) {
      case 'ClusterIP':
        if (virtualServer.address !== null)
          virtualServers.push(renderClusterIp(virtualServer, virtualServer.address));
        break;
      case 'NodePort':
        for (const address of addressesOf(virtualServer, node))
          virtualServers.push(renderNodePort(virtualServer, address));
        break;
      case 'ExternalIP':
      case 'LoadBalancerIP':
        problems.push(unsupported(plan, virtualServer));
        break;
    }
  }
  return { key: plan.key, virtualServers, members: loopBackMembers(plan), problems: once(problems) };
}

function renderClusterIp(from: VirtualServer, address: IpAddress): DesiredVirtualServer {
  const service = virtualService(from, address);
  const portal: SetMember = { address, protocol: service.protocol, port: service.port };
  return {
    id: formatServiceKey(service),
    service,
    realServers: realServersOf(from.internal),
    isBound: true,
    members: [
      makeMember('KUBE-IPVS-IPS', from.family, { address }),
      makeMember('KUBE-CLUSTER-IP', from.family, portal),
      makeMember('POINTSMAN-VS', from.family, portal),
    ],
  };
}

const NODE_PORT_SETS: Record<VirtualServer['protocol'], { readonly all: SetName; readonly local: SetName }> =
  {
    TCP: { all: 'KUBE-NODE-PORT-TCP', local: 'KUBE-NODE-PORT-LOCAL-TCP' },
    UDP: { all: 'KUBE-NODE-PORT-UDP', local: 'KUBE-NODE-PORT-LOCAL-UDP' },
    SCTP: { all: 'KUBE-NODE-PORT-SCTP-HASH', local: 'KUBE-NODE-PORT-LOCAL-SCTP-HASH' },
  };

function renderNodePort(from: VirtualServer, address: IpAddress): DesiredVirtualServer {
  const service = virtualService(from, address);
  const portal: SetMember = { address, protocol: service.protocol, port: service.port };
  // The TCP and UDP sets are bitmaps of ports; SCTP has no such match in iptables, so its sets hold each address.
  const inSet: SetMember = from.protocol === 'SCTP' ? portal : { port: service.port };
  const sets = NODE_PORT_SETS[from.protocol];
  const members = [makeMember('POINTSMAN-VS', from.family, portal), makeMember(sets.all, from.family, inSet)];
  if (from.masquerade === 'node') members.push(makeMember(sets.local, from.family, inSet));
  return {
    id: formatServiceKey(service),
    service,
    realServers: realServersOf(from.external),
    isBound: false,
    members,
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

/** Without servers the kernel refuses connections itself (ICMP port unreachable), which is what reject asks for. */
function realServersOf(selection: Selection): DesiredVirtualServer['realServers'] {
  return selection.verdict === 'forward' ? selection.realServers : [];
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

function unsupported(plan: ServicePlan, virtualServer: VirtualServer): Problem {
  const isExternalIp = virtualServer.kind === 'ExternalIP';
  return {
    object: `Service ${plan.key}`,
    field: isExternalIp ? 'spec.externalIPs' : 'status.loadBalancer.ingress',
    reason: 'UnsupportedField',
    message: `${isExternalIp ? 'external IPs' : 'load-balancer IPs'} are not served by this version; its other addresses are`,
    remedy: 'use its ClusterIP or a NodePort',
  };
}

/** One problem per field, however many ports repeat it. */
function once(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [problem.field, problem])).values()];
}
