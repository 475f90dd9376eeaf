// What a refusal withholds from the rest of its step: only what would be unsafe without the refused thing (docs/adr/0009). Pure.
//  - A frontend whose guard or virtual server is refused stays shut: no servers, no passes, no address.
//  - One that would be reached without masquerading is held: no servers.
//  - What leads to a virtual server, or is guarded, goes first: where it could not be removed, what stands behind it stays.
// Each method looks at what is in the outcome by then and notes there what it withholds, so they are called in the order of the step (step.ts).

import { KernelError, PointsmanError } from '../../model/errors.ts';
import type { IpAddress } from '../../model/ip.ts';
import type { IpvsOperation } from '../../kernel/ipvs.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import {
  makeMember,
  portalOf,
  type AddressService,
  type DesiredMember,
  type DesiredVirtualServer,
} from './desired.ts';
import { counterparts } from './phases.ts';
import { PORT_SET_PROTOCOLS, SETS } from './sets.ts';
import type { Step, StepOutcome } from './step.ts';

const EXEMPTED = new PointsmanError(
  'KERNEL_REFUSED',
  'gets no servers elsewhere, because what exempts it from masquerading could not be removed',
);

export class Withholding {
  private readonly step: Step;
  private readonly outcome: StepOutcome;
  /** Ids of virtual servers to which nothing may lead that does not yet. */
  private readonly shut: Set<string>;
  /** Ids of virtual servers that get no servers, because what they would need first was refused. */
  private readonly held = new Set<string>();

  /** `shut` holds the ids of `step.shut` and takes in those of other frontends that turn out to stay shut. */
  constructor(step: Step, outcome: StepOutcome, shut: Set<string>) {
    this.step = step;
    this.outcome = outcome;
    this.shut = shut;
  }

  /** After the guards: frontends that miss one stay shut. */
  shutUnguarded(): void {
    const { failedMembers } = this.outcome;
    if (failedMembers.length === 0) return;
    const failed = new Set(
      failedMembers.map(({ set, family, member }) => makeMember(set, family, member).id),
    );
    for (const { id, members } of this.step.wanted)
      if (members.some((member) => failed.has(member.id))) this.shut.add(id);
  }

  /** After what masquerades: frontends that still do not get no servers, which would be reached without it. */
  holdUnmasqueraded(): void {
    const refused = new Map<string, PointsmanError>();
    for (const { set, family, member, error } of this.outcome.failedMembers)
      // At this point a refused KUBE-EXTERNAL-IP is one that was to replace KUBE-EXTERNAL-IP-LOCAL.
      if (SETS[set].role === 'unmark' || set === 'KUBE-EXTERNAL-IP')
        refused.set(makeMember(set, family, member).id, error);
    if (refused.size === 0) return;
    for (const virtualServer of this.step.wanted)
      for (const id of idsAbout(virtualServer)) {
        const error = refused.get(id);
        if (error !== undefined) this.hold(virtualServer, error);
      }
  }

  /** Frontends that a left-over unmark exempts from masquerading get no servers until it is gone. */
  holdExempted(): void {
    const { delta, leftovers, wanted } = this.step;
    const exempting = new Set<string>();
    for (const { id, set } of leftovers.values())
      if (SETS[set].role === 'unmark' && !delta.removeMembers.has(id)) exempting.add(id);
    if (exempting.size === 0) return;
    for (const virtualServer of wanted) {
      const own = new Set(virtualServer.members.map(({ id }) => id));
      for (const id of idsAbout(virtualServer))
        if (exempting.has(id) && !own.has(id)) this.hold(virtualServer, EXEMPTED);
    }
  }

  private hold({ id }: DesiredVirtualServer, error: PointsmanError): void {
    this.held.add(id);
    this.outcome.failedVirtualServers.set(id, error);
  }

  /** The virtual servers that come or change, but for new ones that stay shut. */
  openServices(): readonly IpvsOperation[] {
    const operations: IpvsOperation[] = [];
    for (const [id, { service }] of this.step.changed) {
      if (service !== null && !(service.op === 'NEW_SERVICE' && this.shut.has(id))) operations.push(service);
    }
    return operations;
  }

  /** After the virtual servers: those that could not be made stay shut. */
  shutRefused(): void {
    for (const [id, error] of this.outcome.failedVirtualServers) {
      if (!(error instanceof KernelError) || error.operation !== 'NEW_SERVICE') continue;
      this.shut.add(id);
      this.held.add(id);
    }
  }

  /** The real servers that come, or go, of the virtual servers that are there. */
  openServers(way: 'add' | 'remove'): readonly IpvsOperation[] {
    const operations: IpvsOperation[] = [];
    for (const [id, diff] of this.step.changed) {
      // What is gone takes no connections, whatever else was refused.
      if (way === 'add' && this.held.has(id)) continue;
      if (diff.service?.op === 'NEW_SERVICE' && this.shut.has(id)) continue;
      for (const operation of diff[way]) operations.push(operation);
    }
    return operations;
  }

  /** The passes that lead to no virtual server that is to stay shut. */
  openPasses(passes: readonly DesiredMember[]): readonly DesiredMember[] {
    if (this.shut.size === 0) return passes;
    const shut = new Set<string>();
    for (const { id, members } of this.step.wanted)
      if (this.shut.has(id)) for (const member of members) shut.add(member.id);
    return this.withhold(passes, shut);
  }

  /** The addresses at which anything is open; the others are noted. */
  openAddresses(addresses: readonly IpAddress[]): readonly IpAddress[] {
    if (this.shut.size === 0) return addresses;
    const wanted = this.addressesOfWanted();
    return addresses.filter((address) => {
      const { count, areShut } = wanted.get(address) ?? { count: 0, areShut: true };
      // Others at it are open already or shut by themselves; then binding it does no harm, because its undeclared ports are guarded.
      const isShut = areShut && count >= this.step.addressUsers(address);
      if (isShut) this.outcome.shutAddresses.push(address);
      return !isShut;
    });
  }

  /** The wanted virtual servers at each address: how many there are, and whether all of them stay shut. */
  private addressesOfWanted(): Map<IpAddress, { count: number; areShut: boolean }> {
    const found = new Map<IpAddress, { count: number; areShut: boolean }>();
    for (const { id, isBound, service } of this.step.wanted) {
      if (!isBound) continue;
      const { count, areShut } = found.get(service.address) ?? { count: 0, areShut: true };
      found.set(service.address, { count: count + 1, areShut: areShut && this.shut.has(id) });
    }
    return found;
  }

  /** The passes that go, without the last one to a frontend whose next pass was refused; those are noted. */
  replacedPasses(passes: readonly DesiredMember[]): readonly DesiredMember[] {
    if (this.shut.size === 0) return passes;
    const shut = new Set<string>();
    for (const { id, service } of this.step.wanted) if (this.shut.has(id)) shut.add(portalOf(service));
    return this.keepMembers(passes, ({ member }) => shut.has(portalOf(member)));
  }

  /** The unmarks of frontends that have only local servers by now; a retry sends the others. */
  allowedUnmarks(unmarks: readonly DesiredMember[]): readonly DesiredMember[] {
    const { failedVirtualServers } = this.outcome;
    if (failedVirtualServers.size === 0) return unmarks;
    const failed = this.step.wanted.filter(({ id }) => failedVirtualServers.has(id));
    return this.withhold(unmarks, new Set(failed.flatMap((each) => [...idsAbout(each)])));
  }

  /** The virtual servers to which nothing leads any more; the others stay and are noted. */
  releasedServices(services: readonly AddressService[]): readonly AddressService[] {
    const { failedAddresses, failedMembers, keptServices } = this.outcome;
    if (failedAddresses.length === 0 && failedMembers.length === 0) return services;
    const addresses = new Set(failedAddresses.map(({ address }) => address));
    const portals = new Set<string>();
    for (const { set, member } of failedMembers) if (SETS[set].role === 'pass') portals.add(portalOf(member));
    return services.filter((service) => {
      const isLedTo = addresses.has(service.address) || portals.has(portalOf(service));
      if (isLedTo) keptServices.push(service);
      return !isLedTo;
    });
  }

  /** The guards whose charge is gone; the others stay and are noted. */
  releasedGuards(guards: readonly DesiredMember[]): readonly DesiredMember[] {
    const { failedAddresses, failedVirtualServers, keptServices } = this.outcome;
    if (failedAddresses.length + failedVirtualServers.size + keptServices.length === 0) return guards;
    const addresses = new Set(failedAddresses.map(({ address }) => address));
    const portals = new Set<string>();
    const ports = new Set<string>();
    const failedDeletions = this.step.deleted.filter((service) =>
      failedVirtualServers.has(formatServiceKey(service)),
    );
    for (const service of [...keptServices, ...failedDeletions]) {
      portals.add(portalOf(service));
      ports.add(`${service.protocol} ${service.port}`);
    }
    const failed = this.step.wanted.filter(({ id }) => failedVirtualServers.has(id));
    const ids = new Set(failed.flatMap((each) => [...idsAbout(each)]));
    return this.keepMembers(guards, ({ id, set, member }) => {
      const { address, port } = member;
      if (ids.has(id)) return true;
      if (address === undefined) return ports.has(`${PORT_SET_PROTOCOLS[set]} ${port}`);
      return (set === 'KUBE-IPVS-IPS' && addresses.has(address)) || portals.has(portalOf(member));
    });
  }

  /** All but those with these ids, which are noted. */
  private withhold(members: readonly DesiredMember[], ids: ReadonlySet<string>): DesiredMember[] {
    const { withheldMembers } = this.outcome;
    return members.filter(({ id }) => {
      if (ids.has(id)) withheldMembers.push(id);
      return !ids.has(id);
    });
  }

  /** All but those that are needed, which stay and are noted. */
  private keepMembers(
    members: readonly DesiredMember[],
    isNeeded: (member: DesiredMember) => boolean,
  ): DesiredMember[] {
    return members.filter((each) => {
      const isKept = isNeeded(each);
      if (isKept) this.outcome.keptMembers.push(each);
      return !isKept;
    });
  }
}

/** Ids of the members that a virtual server has, and of those that must not be there together with one that it has. */
function* idsAbout({ members }: DesiredVirtualServer): Generator<string> {
  for (const member of members) {
    yield member.id;
    for (const { id } of counterparts(member)) yield id;
  }
}
