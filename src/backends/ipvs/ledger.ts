// What Services share in the kernel: virtual servers that only one may own, addresses and set members that several may need.
// A small pure index: it is told each Service's desired state and says what that adds to and takes from the kernel.
// Cost is that of the Service, never of the table.

import type { IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { Claims, ReferenceCounts } from '../../plan/claims.ts';
import type { DesiredMember, DesiredService, DesiredVirtualServer } from './desired.ts';
import { SET_NAMES, type SetName } from './sets.ts';
import type { Family } from '../../model/ip.ts';

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
  /** Members in each set, by "family set". */
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
    // Acquired before released: what both states need never leaves the kernel in between.
    for (const { member, address } of references(next ?? NOTHING)) this.acquire(member, address, delta);
    for (const { member, address } of references(previous)) this.release(member, address, delta);
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
    const id = `${member.family} ${member.set}`;
    this.setSizes.set(id, (this.setSizes.get(id) ?? 0) + by);
  }

  /** The sets of a family that have members. */
  nonEmptySets(family: Family): Set<SetName> {
    return new Set(SET_NAMES.filter((set) => (this.setSizes.get(`${family} ${set}`) ?? 0) > 0));
  }

  hasMember(id: string): boolean {
    return this.memberCounts.count(id) > 0;
  }

  hasAddress(address: IpAddress): boolean {
    return this.addressCounts.count(address) > 0;
  }

  keys(): Iterable<ServiceKey> {
    return this.effective.keys();
  }
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
