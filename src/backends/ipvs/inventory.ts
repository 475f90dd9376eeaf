// What a node holds that a proxy of mode ipvs may have made, as the kernel shows it: for telling whose it is. Types only.

import type { Family, IpAddress } from '../../model/ip.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { IpvsDestination, IpvsService } from '../../kernel/ipvs-codec.ts';

/** A virtual server with its real servers. */
export interface InventoryService {
  readonly service: IpvsService;
  readonly destinations: readonly Pick<IpvsDestination, 'address' | 'port' | 'forwarding'>[];
}

/** A set that has one of our names, or kube-proxy's. */
export interface InventorySet {
  /** The kernel's name. */
  readonly name: string;
  /** "hash:ip,port" */
  readonly type: string;
  /** null for types without a family (bitmap:port). */
  readonly family: Family | null;
  /** Empty for types whose members are not understood. */
  readonly members: readonly SetMember[];
}

/** The link that bears the Services' addresses. */
export interface InventoryLink {
  readonly name: string;
  /** "dummy" */
  readonly kind: string;
  /** Loopback and link-local ones are left out. */
  readonly addresses: readonly { readonly address: IpAddress; readonly prefixLength: number }[];
}

export interface IpvsInventory {
  readonly services: readonly InventoryService[];
  readonly sets: readonly InventorySet[];
  /** null when it does not exist. */
  readonly link: InventoryLink | null;
  /** Addresses of all other links. */
  readonly nodeAddresses: ReadonlySet<IpAddress>;
}
