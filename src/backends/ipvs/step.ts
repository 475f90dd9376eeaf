// One step of writing: carries out what a few Services need, in the order that leaks nothing (phases.ts), and on removal the reverse.
// A refusal stops only what would be unsafe without the refused thing:
//  - a frontend whose guard or virtual server is refused stays shut (no passes, no address);
//  - what leads to a virtual server, or is guarded, goes first: where it could not be removed, what stands behind it stays.
// Every failure is kept with the virtual server, member or address it belongs to.

import { KernelError, PointsmanError } from '../../model/errors.ts';
import type { Family, IpAddress } from '../../model/ip.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { IpvsFailure, IpvsOperation } from '../../kernel/ipvs.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { makeMember, type AddressService, type DesiredMember, type DesiredVirtualServer } from './desired.ts';
import type { VirtualServerDiff } from './diff.ts';
import type { LedgerDelta } from './ledger.ts';
import { counterparts, orderMembers } from './phases.ts';
import type { AddressFailure, IpvsKernelPort, MemberFailure, SetChange } from './port.ts';
import { PORT_SET_PROTOCOLS, SETS, type SetName } from './sets.ts';

/** Work of one step. */
export interface Step {
  readonly delta: LedgerDelta;
  /** Everything that the Services of the step want by now, changed or not. */
  readonly wanted: readonly DesiredVirtualServer[];
  /** By virtual server id. */
  readonly changed: ReadonlyMap<string, VirtualServerDiff>;
  /** Virtual servers that go, each with its real servers. */
  readonly deleted: readonly AddressService[];
  /** Ids of wanted virtual servers that are to stay shut. */
  readonly shut: ReadonlySet<string>;
  /** True when everything wanted is sent again, whatever the kernel has. */
  readonly isRepair: boolean;
  /** Members that should be gone and could not be removed, by id. */
  readonly leftovers: ReadonlyMap<string, DesiredMember>;
  /** How many virtual servers need an address on kube-ipvs0, those of other steps included. */
  readonly addressUsers: (address: IpAddress) => number;
}

/** What became of it. */
export interface StepOutcome {
  operations: number;
  /** By virtual server id: the first refusal. NEW_SERVICE refused with EEXIST means that somebody else made it. */
  readonly failedVirtualServers: Map<string, PointsmanError>;
  readonly failedMembers: MemberFailure[];
  readonly failedAddresses: AddressFailure[];
  /** Ids of wanted members that were there already. */
  readonly presentMembers: Set<string>;
  /** Ids of wanted members that were not sent, because what they are about stays shut or as it was. */
  readonly withheldMembers: string[];
  /** Wanted addresses that were on kube-ipvs0 already. */
  readonly presentAddresses: IpAddress[];
  /** Wanted addresses that were not bound, because everything at them stayed shut. */
  readonly shutAddresses: IpAddress[];
  /** Ids of wanted virtual servers that stayed shut; new ones among them were not made. */
  readonly shut: ReadonlySet<string>;
  /** Unwanted virtual servers that were left because something still leads to them. */
  readonly keptServices: AddressService[];
  /** Unwanted members that were left: guards of what could not be removed, and passes of what could not be replaced. */
  readonly keptMembers: DesiredMember[];
}

const EXEMPTED = new PointsmanError(
  'KERNEL_REFUSED',
  'gets no servers elsewhere, because what exempts it from masquerading could not be removed',
);
const ENOENT = 2;
const ESRCH = 3;

/** Runs the step against the port. Throws only when the outcome of something is unknown (time limits, lost replies). */
export async function runStep(
  port: IpvsKernelPort,
  step: Step,
  pace: () => Promise<void>,
): Promise<StepOutcome> {
  const run = new StepRun(port, step, pace);
  const { changed, delta, deleted } = step;
  const members = orderMembers(delta, step.isRepair);
  await run.addMembers(members.addGuards);
  run.shutUnguarded();
  await run.deleteMembers(members.removeUnmarks);
  run.holdUnmasqueraded();
  run.holdExempted();
  await run.createVirtualServers();
  await run.changeRealServers(changed, 'add');
  await run.addMembers(run.openPasses(members.addPasses));
  await run.bind([...delta.addAddresses]);

  await run.unbind([...delta.removeAddresses]);
  await run.deleteMembers(run.replacedPasses(members.removePasses));
  await run.changeRealServers(changed, 'remove');
  await run.addMembers(run.allowedUnmarks(members.addUnmarks));
  await run.deleteVirtualServers(run.releasedServices(deleted));
  await run.deleteMembers(run.releasedGuards(members.removeGuards));
  return run.outcome;
}

class StepRun {
  readonly outcome: StepOutcome;
  private readonly port: IpvsKernelPort;
  private readonly step: Step;
  private readonly pace: () => Promise<void>;
  /** Ids of virtual servers to which nothing may lead that does not yet. */
  private readonly shut: Set<string>;
  /** Ids of virtual servers that get no servers, because what they would need first was refused. */
  private readonly held = new Set<string>();

  constructor(port: IpvsKernelPort, step: Step, pace: () => Promise<void>) {
    this.port = port;
    this.step = step;
    this.pace = pace;
    this.shut = new Set(step.shut);
    this.outcome = {
      operations: 0,
      failedVirtualServers: new Map(),
      failedMembers: [],
      failedAddresses: [],
      presentMembers: new Set(),
      withheldMembers: [],
      presentAddresses: [],
      shutAddresses: [],
      shut: this.shut,
      keptServices: [],
      keptMembers: [],
    };
  }

  async addMembers(members: readonly DesiredMember[]): Promise<void> {
    if (members.length === 0) return;
    await this.pace();
    const { failures, present } = await this.port.addMembers(this.group(members));
    for (const each of failures) this.outcome.failedMembers.push(each);
    for (const { set, family, members: found } of present)
      for (const member of found) this.outcome.presentMembers.add(makeMember(set, family, member).id);
  }

  async deleteMembers(members: readonly DesiredMember[]): Promise<void> {
    if (members.length === 0) return;
    await this.pace();
    for (const each of await this.port.deleteMembers(this.group(members)))
      this.outcome.failedMembers.push(each);
  }

  private group(members: readonly DesiredMember[]): SetChange[] {
    const bySet = new Map<string, { set: SetName; family: Family; members: SetMember[] }>();
    for (const { set, family, member } of members) {
      this.outcome.operations++;
      const id = `${family} ${set}`;
      const change = bySet.get(id);
      if (change === undefined) bySet.set(id, { set, family, members: [member] });
      else change.members.push(member);
    }
    return [...bySet.values()];
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

  /** The passes that lead to no virtual server that is to stay shut. */
  openPasses(passes: readonly DesiredMember[]): readonly DesiredMember[] {
    if (this.shut.size === 0) return passes;
    const shut = new Set<string>();
    for (const { id, members } of this.step.wanted)
      if (this.shut.has(id)) for (const member of members) shut.add(member.id);
    return this.withhold(passes, shut);
  }

  /** All but those with these ids, which are noted. */
  private withhold(members: readonly DesiredMember[], ids: ReadonlySet<string>): DesiredMember[] {
    const { withheldMembers } = this.outcome;
    return members.filter(({ id }) => {
      if (ids.has(id)) withheldMembers.push(id);
      return !ids.has(id);
    });
  }

  /** Apart from their real servers: a key that somebody else took meanwhile must not get ours. */
  async createVirtualServers(): Promise<void> {
    const operations: IpvsOperation[] = [];
    for (const [id, { service }] of this.step.changed) {
      if (service !== null && !(service.op === 'NEW_SERVICE' && this.shut.has(id))) operations.push(service);
    }
    await this.applyIpvs(operations, () => false);
    for (const [id, error] of this.outcome.failedVirtualServers) {
      if (!(error instanceof KernelError) || error.operation !== 'NEW_SERVICE') continue;
      this.shut.add(id);
      this.held.add(id);
    }
  }

  async changeRealServers(
    changed: ReadonlyMap<string, VirtualServerDiff>,
    step: 'add' | 'remove',
  ): Promise<void> {
    const operations: IpvsOperation[] = [];
    for (const [id, diff] of changed) {
      // What is gone takes no connections, whatever else was refused.
      if (step === 'add' && this.held.has(id)) continue;
      if (diff.service?.op === 'NEW_SERVICE' && this.shut.has(id)) continue;
      for (const operation of diff[step]) operations.push(operation);
    }
    await this.applyIpvs(
      operations,
      ({ error }) => step === 'remove' && (error.errno === ENOENT || error.errno === ESRCH),
    );
  }

  async deleteVirtualServers(services: readonly AddressService[]): Promise<void> {
    await this.applyIpvs(
      services.map((service) => ({ op: 'DEL_SERVICE', service })),
      ({ error }) => error.errno === ESRCH,
    );
  }

  private async applyIpvs(
    operations: readonly IpvsOperation[],
    isFine: (failure: IpvsFailure) => boolean,
  ): Promise<void> {
    if (operations.length === 0) return;
    this.outcome.operations += operations.length;
    await this.pace();
    for (const failure of await this.port.applyIpvs(operations)) {
      if (isFine(failure) || !('service' in failure.operation) || failure.operation.service === null)
        continue;
      const id = formatServiceKey(failure.operation.service);
      if (!this.outcome.failedVirtualServers.has(id))
        this.outcome.failedVirtualServers.set(id, failure.error);
    }
  }

  /** An address is bound when anything at it is open. */
  async bind(addresses: readonly IpAddress[]): Promise<void> {
    const open = this.shut.size === 0 ? addresses : this.openAddresses(addresses);
    if (open.length === 0) return;
    this.outcome.operations += open.length;
    await this.pace();
    const { failures, present } = await this.port.bind(open);
    for (const each of failures) this.outcome.failedAddresses.push(each);
    for (const address of present) this.outcome.presentAddresses.push(address);
  }

  /** The addresses at which anything is open; the others are noted. */
  private openAddresses(addresses: readonly IpAddress[]): readonly IpAddress[] {
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

  async unbind(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    this.outcome.operations += addresses.length;
    await this.pace();
    for (const each of await this.port.unbind(addresses)) this.outcome.failedAddresses.push(each);
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

/** What a virtual server and the members that mean it, with any source, have in common. */
function portalOf({ address, protocol, port }: Pick<SetMember, 'address' | 'protocol' | 'port'>): string {
  return `${address} ${protocol} ${port}`;
}
