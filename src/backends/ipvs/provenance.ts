// Whose a virtual server is: ours by its mark in POINTSMAN-VS, kube-proxy's by the rule of where it stands, somebody else's otherwise. Pure.
// kube-proxy leaves no mark, so its own are those on kube-ipvs0, and those on an address of the node with a port in the NodePort range and
// only masqueraded servers; what its configuration keeps out of its hands (excludeCIDRs) is not.

import { cidrContains, type Cidr, type Family, type IpAddress } from '../../model/ip.ts';
import { formatMember, type SetMember } from '../../kernel/ipset-codec.ts';
import type { AddressKey, DestinationKey, ServiceKey } from '../../kernel/ipvs-codec.ts';
import { portalOf } from './desired.ts';
import type { InventoryService, IpvsInventory } from './inventory.ts';
import { kernelSetName, SET_NAMES, type SetName } from './sets.ts';
import { DEFAULT_NODE_PORTS } from './settings.ts';

/** Who made it. */
export type Owner = 'pointsman' | 'kube-proxy';

/** Why a virtual server is nobody's whose things are known. */
export type Unknown = 'mark' | 'excluded' | 'place' | 'port' | 'servers';

/** Tells the owners of the virtual servers of one inventory. */
export class Ownership {
  /** The keys that our marks name, whether or not there is a virtual server. */
  readonly marked: readonly FootprintSource[];
  private readonly marks: ReadonlySet<string>;
  private readonly bound: ReadonlySet<IpAddress>;
  private readonly nodeAddresses: ReadonlySet<IpAddress>;
  private readonly excludeCIDRs: readonly Cidr[];

  constructor({ sets, link, nodeAddresses }: IpvsInventory, excludeCIDRs: readonly Cidr[]) {
    const marked = (['IPv4', 'IPv6'] as const).flatMap((family) =>
      sets
        .filter(({ name }) => name === kernelSetName('POINTSMAN-VS', family))
        .flatMap(({ members }) => members.flatMap((member) => keyOf(family, member) ?? [])),
    );
    this.marked = marked.map((service) => ({ service, destinations: [] }));
    this.marks = new Set(marked.map(portalOf));
    this.bound = new Set(link?.addresses.map(({ address }) => address));
    this.nodeAddresses = nodeAddresses;
    this.excludeCIDRs = excludeCIDRs;
  }

  /** The owner, or why there is none that is known. */
  of({ service, destinations }: InventoryService): Owner | Unknown {
    if (service.fwmark !== undefined) return 'mark';
    const { address, port } = service;
    if (this.marks.has(portalOf(service))) return 'pointsman';
    if (this.excludeCIDRs.some((cidr) => cidrContains(cidr, address))) return 'excluded';
    if (this.bound.has(address)) return 'kube-proxy';
    if (!this.nodeAddresses.has(address)) return 'place';
    if (port < DEFAULT_NODE_PORTS.first || port > DEFAULT_NODE_PORTS.last) return 'port';
    return destinations.every(({ forwarding }) => forwarding === 'masquerade') ? 'kube-proxy' : 'servers';
  }
}

function keyOf(family: Family, { address, protocol, port }: SetMember): AddressKey | null {
  if (address === undefined || protocol === undefined || port === undefined) return null;
  return { family, address, protocol, port };
}

/** A virtual server as far as sets show it. */
export interface FootprintSource {
  readonly service: ServiceKey;
  readonly destinations: readonly DestinationKey[];
}

/** What virtual servers have in the sets: tells their members from others'. */
export class Footprint {
  private readonly portals = new Set<string>();
  private readonly addresses = new Set<IpAddress>();
  private readonly ports = new Set<string>();
  private readonly endpoints = new Set<string>();

  constructor(services: Iterable<FootprintSource>) {
    for (const { service, destinations } of services) {
      if (service.fwmark !== undefined) continue;
      const { family, protocol } = service;
      this.portals.add(portalOf(service));
      this.addresses.add(service.address);
      this.ports.add(`${family} ${protocol} ${service.port}`);
      for (const { address, port } of destinations)
        this.endpoints.add(formatMember({ address, protocol, port, address2: address }));
    }
  }

  hasAddress(address: IpAddress): boolean {
    return this.addresses.has(address);
  }

  /** True when the member is there for one of the virtual servers; never for health-check ports, which belong to none. */
  hasMember(set: SetName, family: Family, member: SetMember): boolean {
    const { address, port } = member;
    switch (set) {
      case 'KUBE-HEALTH-CHECK-NODE-PORT':
        return false;
      case 'KUBE-IPVS-IPS':
        return address !== undefined && this.addresses.has(address);
      case 'KUBE-LOOP-BACK':
        return this.endpoints.has(formatMember(member));
      case 'KUBE-NODE-PORT-TCP':
      case 'KUBE-NODE-PORT-LOCAL-TCP':
        return this.ports.has(`${family} 6 ${port}`);
      case 'KUBE-NODE-PORT-UDP':
      case 'KUBE-NODE-PORT-LOCAL-UDP':
        return this.ports.has(`${family} 17 ${port}`);
      default:
        return this.portals.has(portalOf(member));
    }
  }
}

/** Set and family by the kernel's name. */
export const SETS_BY_KERNEL_NAME: ReadonlyMap<string, { readonly set: SetName; readonly family: Family }> =
  new Map(
    (['IPv4', 'IPv6'] as const).flatMap((family) =>
      SET_NAMES.map((set) => [kernelSetName(set, family), { set, family }] as const),
    ),
  );
