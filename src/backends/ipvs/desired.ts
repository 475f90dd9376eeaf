// What the IPVS backend wants of the kernel for one Service: virtual servers with their real servers, set members and addresses.
// Types and identities only. Every object has an identity as text, unique in the kernel, by which old and new are compared.

import type { Family, IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { formatMember, type SetMember } from '../../kernel/ipset-codec.ts';
import type { AddressKey, IpvsDestination, ServiceSettings } from '../../kernel/ipvs-codec.ts';
import type { RealServer } from '../../plan/plan.ts';
import { kernelSetName, type SetName } from './sets.ts';

/** A virtual service with an address (not a firewall mark): the only kind that Services need. */
export type AddressService = AddressKey & ServiceSettings;

/** One member of one of our sets. */
export interface DesiredMember {
  /** "KUBE-6-CLUSTER-IP [fd96::1]..." : the kernel's set name, a blank, and the member as ipset prints it. */
  readonly id: string;
  readonly set: SetName;
  readonly family: Family;
  readonly member: SetMember;
}

export function makeMember(set: SetName, family: Family, member: SetMember): DesiredMember {
  return { id: `${kernelSetName(set, family)} ${formatMember(member)}`, set, family, member };
}

/** Where packets for a virtual server go; of a member, as far as it says. */
export type Portal = Pick<Partial<SetMember>, 'address' | 'protocol' | 'port'>;

/** What a virtual server and the members that mean it, with any source, have in common. */
export function portalOf({ address, protocol, port }: Portal): string {
  return `${address} ${protocol} ${port}`;
}

/** One IPVS virtual server and everything that comes and goes with it. */
export interface DesiredVirtualServer {
  /** formatServiceKey of `service`: "TCP 10.96.0.1:443". */
  readonly id: string;
  readonly service: AddressService;
  /** In the order in which new ones are added; the kernel lists the one added last first. */
  readonly realServers: readonly RealServer[];
  /** True when the address must be on kube-ipvs0. */
  readonly isBound: boolean;
  /** True when processes of this node itself must be kept from it: their packets bear its address as their source. */
  readonly isClosedToNode: boolean;
  readonly members: readonly DesiredMember[];
  /** How long old connections to servers that go are kept, in milliseconds; 0 = not at all. Absent: as the node says. */
  readonly drainTimeoutMs?: number;
}

/** What one Service asks for, before it is known which of it other Services own. */
export interface DesiredService {
  readonly key: ServiceKey;
  readonly virtualServers: readonly DesiredVirtualServer[];
  /** Members that belong to the Service as a whole: hairpin entries of its local endpoints, its health-check port. */
  readonly members: readonly DesiredMember[];
}

/** A real server as IPVS takes it: masquerading, no thresholds. */
export function destinationOf(realServer: Pick<RealServer, 'address' | 'port' | 'weight'>): IpvsDestination {
  return {
    address: realServer.address,
    port: realServer.port,
    forwarding: 'masquerade',
    weight: realServer.weight,
    upperThreshold: 0,
    lowerThreshold: 0,
  };
}

/** Identity of a real server inside its virtual server. */
export function realServerId(server: { readonly address: IpAddress; readonly port: number }): string {
  return `${server.address} ${server.port}`;
}
