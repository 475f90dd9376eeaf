// Cuts a large piece of work into parts that may be written in steps of their own. What belongs to one frontend stays in one part, so that a step
// can keep its order (docs/adr/0009): all at an address that comes or goes, all of a port that a set of ports alone marks, or else what is
// about one address, protocol and port. Pure.

import type { Family, IpAddress } from '../../model/ip.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import {
  portalOf,
  type AddressService,
  type DesiredMember,
  type DesiredVirtualServer,
  type Portal,
} from './desired.ts';
import { emptyDelta, type Ledger, type LedgerDelta } from './ledger.ts';
import { PORT_SET_PROTOCOLS } from './sets.ts';

/** Objects in one step, about. */
const PART_OBJECTS = 1024;

/** Work for a step. */
export interface Part {
  readonly delta: LedgerDelta;
  readonly deleted: AddressService[];
  /** The virtual servers that the members are about. */
  readonly wanted: DesiredVirtualServer[];
}

export class Parts {
  private readonly ledger: Ledger;
  /** Addresses that come or go, or of which the guard does. */
  private readonly addresses = new Set<IpAddress>();
  /** Ports of which the mark in a set of ports alone comes or goes, as "IPv4 6 30080". */
  private readonly ports = new Set<string>();
  private readonly parts = new Map<string, Part>();

  constructor(
    { delta, deleted }: { readonly delta: LedgerDelta; readonly deleted: readonly AddressService[] },
    ledger: Ledger,
    wanted: readonly DesiredVirtualServer[] = [],
  ) {
    this.ledger = ledger;
    const { addAddresses, addMembers, removeAddresses, removeMembers } = delta;
    for (const addresses of [addAddresses, removeAddresses])
      for (const address of addresses) this.addresses.add(address);
    for (const members of [addMembers, removeMembers])
      for (const { set, family, member } of members.values()) {
        if (set === 'KUBE-IPVS-IPS' && member.address !== undefined) this.addresses.add(member.address);
        if (member.address === undefined)
          this.ports.add(`${family} ${PORT_SET_PROTOCOLS[set]} ${member.port}`);
      }
    // Hairpin entries are about endpoints, which many frontends may have: they come before all other parts, and go after them.
    for (const [id, each] of addMembers)
      if (each.set === 'KUBE-LOOP-BACK') this.partOfMember(each).delta.addMembers.set(id, each);
    for (const [id, each] of addMembers) this.partOfMember(each).delta.addMembers.set(id, each);
    for (const [id, each] of removeMembers)
      if (each.set !== 'KUBE-LOOP-BACK') this.partOfMember(each).delta.removeMembers.set(id, each);
    for (const address of addAddresses) this.partOf(address).delta.addAddresses.add(address);
    for (const address of removeAddresses) this.partOf(address).delta.removeAddresses.add(address);
    for (const service of deleted) this.partOf(this.keyOf(service.family, service)).deleted.push(service);
    for (const [id, each] of removeMembers)
      if (each.set === 'KUBE-LOOP-BACK') this.partOfMember(each).delta.removeMembers.set(id, each);
    for (const each of wanted) {
      const { service } = each;
      this.parts.get(this.keyOf(service.family, service))?.wanted.push(each);
    }
  }

  /** Takes out what is about these frontends, as work for the step that writes them. */
  takeAbout(virtualServers: Iterable<DesiredVirtualServer>): Part {
    const taken = emptyPart();
    if (this.parts.size === 0) return taken;
    for (const { service } of virtualServers) this.move(this.keyOf(service.family, service), taken);
    return taken;
  }

  /** Takes out the next parts, as many as make one step; null when none is left. */
  takeNext(): Part | null {
    if (this.parts.size === 0) return null;
    const taken = emptyPart();
    for (const key of this.parts.keys()) {
      this.move(key, taken);
      if (objectsOf(taken) >= PART_OBJECTS) break;
    }
    return taken;
  }

  /** What has become wanted since the work was cut is not removed. */
  private move(key: string, into: Part): void {
    const part = this.parts.get(key);
    if (part === undefined) return;
    this.parts.delete(key);
    const { delta, deleted, wanted } = part;
    for (const [id, each] of delta.addMembers) into.delta.addMembers.set(id, each);
    for (const [id, each] of delta.removeMembers)
      if (!this.ledger.hasMember(id)) into.delta.removeMembers.set(id, each);
    for (const address of delta.addAddresses) into.delta.addAddresses.add(address);
    for (const address of delta.removeAddresses)
      if (!this.ledger.hasAddress(address)) into.delta.removeAddresses.add(address);
    for (const service of deleted)
      if (this.ledger.ownerOf(formatServiceKey(service)) === undefined) into.deleted.push(service);
    into.wanted.push(...wanted);
  }

  private partOf(key: string): Part {
    const known = this.parts.get(key);
    if (known !== undefined) return known;
    const part = emptyPart();
    this.parts.set(key, part);
    return part;
  }

  private partOfMember({ set, family, member }: DesiredMember): Part {
    return this.partOf(
      this.keyOf(family, { ...member, protocol: member.protocol ?? PORT_SET_PROTOCOLS[set] }),
    );
  }

  private keyOf(family: Family, portal: Portal): string {
    const { address, protocol, port } = portal;
    if (address !== undefined && this.addresses.has(address)) return address;
    const byPort = `${family} ${protocol} ${port}`;
    return address === undefined || this.ports.has(byPort) ? byPort : portalOf(portal);
  }
}

function emptyPart(): Part {
  return { delta: emptyDelta(), deleted: [], wanted: [] };
}

function objectsOf({ delta, deleted }: Part): number {
  const { addAddresses, addMembers, removeAddresses, removeMembers } = delta;
  return addMembers.size + removeMembers.size + addAddresses.size + removeAddresses.size + deleted.length;
}
