// What Services share in the kernel: virtual servers that only one may own, addresses and set members that several may need.
// A small pure index: it is told each Service's desired state and says what that adds to and takes from the kernel.
// Cost is that of the Service, never of the table.

import type { Family, IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { Claims, ReferenceCounts } from '../../plan/claims.ts';
import { ClosedToNode } from './closed-to-node.ts';
import type { AddressService, DesiredMember, DesiredService, DesiredVirtualServer } from './desired.ts';
import { kernelSetName, SET_NAMES, type SetName } from './sets.ts';

/** What one Service really gets: the part of its desired state that it owns. */
export interface Effective {
  readonly virtualServers: readonly DesiredVirtualServer[];
  readonly members: readonly DesiredMember[];
}

/** What a step adds to and takes from the kernel, identities without repetition. */
export interface LedgerDelta {
  readonly addMembers: Map<string, DesiredMember>;
  readonly removeMembers: Map<string, DesiredMember>;
  readonly addAddresses: Set<IpAddress>;
  readonly removeAddresses: Set<IpAddress>;
}

export function emptyDelta(): LedgerDelta {
  return {
    addMembers: new Map(),
    removeMembers: new Map(),
    addAddresses: new Set(),
    removeAddresses: new Set(),
  };
}

const NOTHING: Effective = { virtualServers: [], members: [] };

export class Ledger {
  private readonly claims = new Claims();
  private readonly memberCounts = new ReferenceCounts();
  private readonly addressCounts = new ReferenceCounts();
  private readonly effective = new Map<ServiceKey, Effective>();
  private readonly closed = new ClosedToNode();
  private objects = 0;
  /** Members in each set, by its name in the kernel. */
  private readonly setSizes = new Map<string, number>();

  /**
   * Records who wants which virtual servers. Returns the other Services that thereby won or lost one: they must be settled too. The plan
   * gives each to one Service only; claims bridge the moment in which one hands it to another.
   */
  claim(desired: DesiredService): ServiceKey[] {
    return this.claims.set(
      desired.key,
      0,
      desired.virtualServers.map((virtualServer) => virtualServer.id),
    );
  }

  /** Withdraws all claims of a Service; returns the Services that won by it. */
  withdraw(key: ServiceKey): ServiceKey[] {
    return this.claims.set(key, 0, []);
  }

  /** The Service that owns a virtual server, or undefined when nobody wants it. */
  ownerOf(id: string): ServiceKey | undefined {
    return this.claims.ownerOf(id);
  }

  /** The effective state of a Service settled last; empty when there is none. */
  effectiveOf(key: ServiceKey): Effective {
    return this.effective.get(key) ?? NOTHING;
  }

  /** Takes out what the Service does not own, and what `isForeign` says belongs to somebody outside. */
  restrict(desired: DesiredService, isForeign: (id: string) => boolean): Effective {
    const isOurs = ({ id }: DesiredVirtualServer): boolean =>
      this.claims.ownerOf(id) === desired.key && !isForeign(id);
    // The usual case shares the desired state instead of copying it.
    return desired.virtualServers.every(isOurs)
      ? desired
      : { virtualServers: desired.virtualServers.filter(isOurs), members: desired.members };
  }

  /** Makes `next` the effective state of the Service and adds the difference to `delta`. */
  settle(key: ServiceKey, next: Effective | null, delta: LedgerDelta): void {
    const previous = this.effectiveOf(key);
    if (next === null) this.effective.delete(key);
    else this.effective.set(key, next);
    if (next === previous) return;
    this.objects += countObjects(next ?? NOTHING) - countObjects(previous);
    // Acquired before released: what both states need never leaves the kernel in between.
    for (const { member, address } of references(next ?? NOTHING)) this.acquire(member, address, delta);
    for (const { member, address } of references(previous)) this.release(member, address, delta);
    for (const each of next?.virtualServers ?? []) if (each.isClosedToNode) this.closed.acquire(each.service);
    for (const each of previous.virtualServers) if (each.isClosedToNode) this.closed.release(each.service);
  }

  private acquire(member: DesiredMember | null, address: IpAddress | null, delta: LedgerDelta): void {
    if (member !== null && this.memberCounts.acquire(member.id)) {
      this.resize(member, 1);
      if (!delta.removeMembers.delete(member.id)) delta.addMembers.set(member.id, member);
    }
    if (address !== null && this.addressCounts.acquire(address)) {
      if (!delta.removeAddresses.delete(address)) delta.addAddresses.add(address);
    }
  }

  private release(member: DesiredMember | null, address: IpAddress | null, delta: LedgerDelta): void {
    if (member !== null && this.memberCounts.release(member.id)) {
      this.resize(member, -1);
      if (!delta.addMembers.delete(member.id)) delta.removeMembers.set(member.id, member);
    }
    if (address !== null && this.addressCounts.release(address)) {
      if (!delta.addAddresses.delete(address)) delta.removeAddresses.add(address);
    }
  }

  private resize(member: DesiredMember, by: number): void {
    const name = kernelSetName(member.set, member.family);
    this.setSizes.set(name, (this.setSizes.get(name) ?? 0) + by);
  }

  /** Virtual and real servers together. */
  get objectCount(): number {
    return this.objects;
  }

  /** Members that a set is to have. */
  setSize(set: SetName, family: Family): number {
    return this.setSizes.get(kernelSetName(set, family)) ?? 0;
  }

  /** The sets of a family that have members. */
  nonEmptySets(family: Family): Set<SetName> {
    return new Set(SET_NAMES.filter((set) => this.setSize(set, family) > 0));
  }

  /**
   * The virtual servers of a family that processes of this node are kept from, with those that are about to come, sorted; the same object until
   * they change.
   */
  closedToNode(family: Family, coming: readonly AddressService[]): readonly AddressService[] {
    return this.closed.listWith(family, coming);
  }

  hasMember(id: string): boolean {
    return this.memberCounts.count(id) > 0;
  }

  hasAddress(address: IpAddress): boolean {
    return this.addressCounts.count(address) > 0;
  }

  /** How many virtual servers need an address on kube-ipvs0. */
  addressUsers(address: IpAddress): number {
    return this.addressCounts.count(address);
  }

  /** All addresses that are to be on kube-ipvs0. */
  addresses(): IterableIterator<IpAddress> {
    return this.addressCounts.keys() as IterableIterator<IpAddress>;
  }

  /**
   * Every member of a set that Services accepted by `isWanted` need, in no particular order; one may come more than once. Costs the table.
   */
  *membersOf(set: SetName, family: Family, isWanted: (key: ServiceKey) => boolean): Generator<DesiredMember> {
    for (const [key, state] of this.effective)
      if (isWanted(key))
        for (const { member } of references(state))
          if (member !== null && member.set === set && member.family === family) yield member;
  }

  keys(): Iterable<ServiceKey> {
    return this.effective.keys();
  }
}

function countObjects({ virtualServers }: Effective): number {
  return virtualServers.reduce((sum, { realServers }) => sum + 1 + realServers.length, 0);
}

function* references(
  state: Effective,
): Generator<{ member: DesiredMember | null; address: IpAddress | null }> {
  for (const member of state.members) yield { member, address: null };
  for (const virtualServer of state.virtualServers) {
    for (const member of virtualServer.members) yield { member, address: null };
    if (virtualServer.isBound) yield { member: null, address: virtualServer.service.address };
  }
}
