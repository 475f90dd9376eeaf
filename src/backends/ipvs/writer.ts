// Writes Services to the kernel, a few at a time, and keeps the table true to what the kernel answered. A refused operation stops nothing
// else: its Service is noted as failed, and what could not be removed as left over.

import { errorLine, KernelError, PointsmanError } from '../../model/errors.ts';
import type { Family, IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { makeMember, type AddressService, type DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer, isEmptyDiff, type VirtualServerDiff } from './diff.ts';
import { leavingOf } from './drains.ts';
import { emptyDelta, type LedgerDelta } from './ledger.ts';
import { drainTimeoutOf, isExcluded, withLingering } from './lingering.ts';
import { ownershipMember } from './observe.ts';
import type { IpvsKernelPort } from './port.ts';
import { Parts } from './parts.ts';
import { counterparts } from './phases.ts';
import { foreignProblem } from './problems.ts';
import { SetRooms } from './set-rooms.ts';
import { SETS } from './sets.ts';
import type { IpvsSettings } from './settings.ts';
import { runStep, type Step, type StepOutcome } from './step.ts';
import type { Table } from './table.ts';

/** One step handles at most this many Services and about this many real servers, so that memory and latency stay bounded. */
const STEP_SERVICES = 128;
const STEP_REAL_SERVERS = 2048;
/** The clock is asked this often, not at each Service: in some virtual machines it costs as much as rendering one. */
export const SERVICES_PER_PACE = 16;
const EEXIST = 17;
/** The failure of a step that was to remove things only. */
const UNWANTED = 'what is no longer wanted';

/** What no Service wants, as work for steps; taken over by whoever is given it. */
export interface Unwanted {
  readonly delta: LedgerDelta;
  readonly deleted: readonly AddressService[];
}

/** What a step added itself; what was refused, not sent or there already is not in it. */
interface Written {
  readonly members: ReadonlySet<string>;
  readonly addresses: ReadonlySet<IpAddress>;
}

/** What is known to be in the kernel already, beside virtual servers. */
export interface PresentState {
  readonly members: ReadonlyMap<string, unknown>;
  readonly addresses: ReadonlySet<IpAddress> | null;
}

interface WriteOptions {
  readonly present?: PresentState | null;
  readonly isRepair?: boolean;
  readonly unwanted?: Unwanted | undefined;
  /** Those of the Services that must be written in one step with the one before them. */
  readonly joined?: ReadonlySet<ServiceKey>;
}

interface StepOptions extends WriteOptions {
  /** What the step before wrote, of which a part turned out to be somebody else's. */
  readonly before?: Written;
  /** True when sets grew for it after a first try. */
  readonly isAfterGrowth?: boolean;
}

/** What became of repairs, as in a StepOutcome. */
interface RepairOutcome extends Pick<
  StepOutcome,
  'failedMembers' | 'failedAddresses' | 'presentAddresses' | 'presentMembers'
> {
  readonly shut: Set<string>;
}

export class Writer {
  /** Families whose rules could not be written: nothing new opens there. */
  readonly familiesWithoutRules = new Set<Family>();
  /** Families in which processes of this node cannot be kept from a virtual server, and why. */
  readonly familiesOpenToNode = new Map<Family, unknown>();
  private readonly port: IpvsKernelPort;
  private readonly table: Table;
  private readonly settings: () => IpvsSettings;
  /** Wanted addresses that are not on kube-ipvs0: refused, or everything at them was to stay shut. */
  private readonly unbound = new Set<IpAddress>();
  /** Of them, those that were refused to a Service that is gone while others need them: nobody retries these. */
  private readonly orphans = new Set<IpAddress>();
  /** Ids of wanted members that were refused: whoever else needs one sends it again. */
  private readonly refusedMembers = new Set<string>();
  private readonly rooms: SetRooms;

  constructor(port: IpvsKernelPort, table: Table, families: readonly Family[], settings: () => IpvsSettings) {
    this.port = port;
    this.table = table;
    this.settings = settings;
    this.rooms = new SetRooms(port, table, families);
  }

  /** Forgets what it remembers of the kernel. */
  reset(): void {
    this.familiesWithoutRules.clear();
    this.familiesOpenToNode.clear();
    for (const known of [this.unbound, this.orphans, this.refusedMembers]) known.clear();
    this.rooms.reset();
  }

  /** A retry begins: sets that could not grow are tried again. */
  beginRetry(): void {
    this.rooms.beginRetry();
  }

  /** A retry has written what had failed; returns the number of operations. */
  endRetry(): Promise<number> {
    return this.rooms.endRetry();
  }

  /**
   * Writes what these Services need by now, in their order; returns the number of operations. With `present`, what it holds needs none. With
   * `isRepair` members and addresses are sent again, whatever we believe. Of `unwanted`, what is about frontends of these Services is removed
   * together with them, and everything else behind them.
   */
  async write(keys: readonly ServiceKey[], options: WriteOptions = {}): Promise<number> {
    const { desired, failures, ledger } = this.table;
    let operations = 0;
    const unwanted = options.unwanted === undefined ? null : new Parts(options.unwanted, ledger);
    if (unwanted !== null) failures.settleNode(UNWANTED);
    for (let at = 0; at < keys.length;) {
      const step: ServiceKey[] = [];
      for (let weight = 0; at < keys.length; at++) {
        const key = keys[at];
        if (key === undefined) break;
        const isFull = step.length >= STEP_SERVICES || weight >= STEP_REAL_SERVERS;
        if (isFull && options.joined?.has(key) !== true) break;
        step.push(key);
        for (const { realServers } of desired.get(key)?.virtualServers ?? []) weight += realServers.length;
      }
      const frontends = step.flatMap((key) => [
        ...(desired.get(key)?.virtualServers ?? []),
        ...ledger.effectiveOf(key).virtualServers,
      ]);
      operations += await this.writeStep(step, { ...options, unwanted: unwanted?.takeAbout(frontends) });
    }
    for (let part = unwanted?.takeNext(); part; part = unwanted?.takeNext())
      operations += await this.writeStep([], { ...options, unwanted: part });
    return operations;
  }

  private async writeStep(keys: readonly ServiceKey[], options: StepOptions): Promise<number> {
    const { present = null, isRepair = false, before = null } = options;
    const unwanted = options.unwanted ?? { delta: emptyDelta(), deleted: [] };
    const { ledger, applied, desired, foreign, lingering } = this.table;
    const settings = this.settings();
    const { delta } = unwanted;
    const wanted: DesiredVirtualServer[] = [];
    const changed = new Map<string, VirtualServerDiff>();
    const deleted: AddressService[] = [];
    for (const service of unwanted.deleted) this.addDeletion(service, deleted, delta);
    let settled = 0;
    for (const key of keys) {
      const asked = desired.get(key);
      const previous = ledger.effectiveOf(key);
      const restricted = asked === undefined ? null : ledger.restrict(asked, (id) => foreign.has(id));
      const next = withLingering(key, restricted, this.table, settings);
      ledger.settle(key, next, delta);
      // What failed of it while it lingered does not matter any more.
      if (next === null) this.table.failures.forget(key);
      if (++settled % SERVICES_PER_PACE === 0) await settings.pace();
      for (const virtualServer of next?.virtualServers ?? []) {
        wanted.push(virtualServer);
        const diff = this.diff(virtualServer);
        if (isEmptyDiff(diff)) {
          applied.restate(virtualServer.id, diff.result);
          this.followDrains(key, virtualServer, diff);
        } else changed.set(virtualServer.id, diff);
        if (this.refusedMembers.size > 0)
          for (const member of virtualServer.members)
            if (this.refusedMembers.has(member.id)) delta.addMembers.set(member.id, member);
        if (isRepair) addAll(delta, virtualServer);
        else if (virtualServer.isBound && this.unbound.has(virtualServer.service.address)) {
          delta.addAddresses.add(virtualServer.service.address);
          // It may have been left out because the guard was refused to another Service.
          for (const member of virtualServer.members)
            if (SETS[member.set].role === 'guard') delta.addMembers.set(member.id, member);
        }
      }
      for (const member of next?.members ?? [])
        if (isRepair || this.refusedMembers.has(member.id)) delta.addMembers.set(member.id, member);
      for (const { id, service, isBound } of previous.virtualServers) {
        if (isBound && this.unbound.has(service.address)) this.orphans.add(service.address);
        if (ledger.ownerOf(id) !== undefined || lingering.has(id) || !applied.has(id)) continue;
        this.addDeletion(service, deleted, delta);
      }
    }
    if (before !== null) this.spareOthers(delta, before);
    for (const member of delta.addMembers.values()) this.table.kept.delete(member);
    if (present !== null) {
      this.addCounterparts(wanted, present, delta);
      skipPresent(delta, present);
    }
    let operations = await this.rooms.make();
    const shut = this.shutWithoutRules(wanted);
    const outcome = await this.attempt(keys, {
      ...{ delta, wanted, changed, deleted, shut, isRepair },
      leftovers: this.table.failures.leftovers.members,
      addressUsers: (address) => ledger.addressUsers(address),
    });
    if (outcome === null) return operations;
    this.settleDeletions(deleted, outcome);
    this.settleRefusals(delta, outcome);
    const again = this.settleChanges(changed, outcome);
    const { failures } = this.table;
    failures.noteStep(keys, outcome, ledger);
    this.noteBlocked(keys);
    this.noteShut(keys, shut);
    failures.noteWithheld(keys, outcome, ledger);
    operations += outcome.operations;
    if (again.length > 0) operations += await this.writeStep(again, { before: writtenBy(delta, outcome) });
    if (options.isAfterGrowth !== true && (await this.rooms.makeAfter(outcome.failedMembers))) {
      for (const key of keys) failures.forget(key);
      operations += await this.writeStep(keys, { isRepair: true, isAfterGrowth: true });
    }
    return operations;
  }

  /**
   * A key turned out to be somebody else's: what its virtual server has there is theirs as well, whether it was found or not looked at, and only
   * what the step before put there itself is removed. Nobody but us writes marks of ownership.
   */
  private spareOthers(delta: LedgerDelta, before: Written): void {
    for (const [id, member] of delta.removeMembers) {
      if (before.members.has(id) || member.set === 'POINTSMAN-VS') continue;
      delta.removeMembers.delete(id);
      this.table.kept.add(member);
    }
    for (const address of delta.removeAddresses) {
      if (before.addresses.has(address)) continue;
      delta.removeAddresses.delete(address);
      this.unbound.delete(address);
    }
  }

  /** What an earlier run left under another policy goes in the same step: at no moment are remote servers reached without masquerading. */
  private addCounterparts(
    wanted: readonly DesiredVirtualServer[],
    present: PresentState,
    delta: LedgerDelta,
  ): void {
    for (const { members } of wanted) {
      for (const each of members.flatMap(counterparts)) {
        if (!present.members.has(each.id) || this.table.ledger.hasMember(each.id)) continue;
        if (!members.some(({ id }) => id === each.id)) delta.removeMembers.set(each.id, each);
      }
    }
  }

  private diff(virtualServer: DesiredVirtualServer): VirtualServerDiff {
    const leaving = leavingOf(virtualServer, drainTimeoutOf(virtualServer, this.settings()));
    return diffVirtualServer(this.table.applied.get(virtualServer.id), virtualServer, leaving);
  }

  /** The kernel has what a virtual server needs: from now on these are its drains. */
  private followDrains(key: ServiceKey, virtualServer: DesiredVirtualServer, diff: VirtualServerDiff): void {
    const { id, service } = virtualServer;
    const settings = this.settings();
    const timeoutMs = drainTimeoutOf(virtualServer, settings);
    this.table.drains.follow({ id, key, service }, diff.draining, settings.now(), timeoutMs);
  }

  private addDeletion(service: AddressService, deleted: AddressService[], delta: LedgerDelta): void {
    if (isExcluded(service, this.settings())) this.keepExcluded(service, delta);
    else deleted.push(service);
  }

  /**
   * Sends what verification found missing and takes away what it found too many, in the order of a step for each frontend. What is refused is
   * in the outcome and is the caller's to note. `wanted` are the virtual servers that the members are about; those of `shut` stay shut.
   * Throws what makes the outcome unknown.
   */
  async repair(
    delta: LedgerDelta,
    wanted: readonly DesiredVirtualServer[] = [],
    shut: ReadonlySet<string> = new Set(),
  ): Promise<RepairOutcome> {
    const { failures, ledger } = this.table;
    await this.rooms.make();
    const parts = new Parts({ delta, deleted: [] }, ledger, wanted);
    const outcome: RepairOutcome = {
      ...{ failedMembers: [], failedAddresses: [], presentAddresses: [] },
      ...{ presentMembers: new Set(), shut: new Set(shut) },
    };
    for (let part = parts.takeNext(); part !== null; part = parts.takeNext()) {
      const step = await runStep(
        this.port,
        {
          ...{ ...part, changed: new Map(), shut, isRepair: true, leftovers: failures.leftovers.members },
          addressUsers: (address) => ledger.addressUsers(address),
        },
        this.settings().pace,
      );
      failures.noteStep([], step, ledger);
      for (const each of step.failedMembers) outcome.failedMembers.push(each);
      for (const each of step.failedAddresses) outcome.failedAddresses.push(each);
      for (const each of step.presentAddresses) outcome.presentAddresses.push(each);
      for (const id of step.presentMembers) outcome.presentMembers.add(id);
      for (const id of step.shut) outcome.shut.add(id);
    }
    return outcome;
  }

  /** The addresses that nobody retries although they are wanted; each is told once, and no longer counts as left out. */
  takeOrphans(): IpAddress[] {
    const { ledger, failures } = this.table;
    const withheld = new Set<IpAddress>();
    for (const key of this.orphans.size > 0 ? failures.keys() : [])
      for (const { isBound, service } of ledger.effectiveOf(key).virtualServers)
        if (isBound) withheld.add(service.address);
    const orphans = [...this.orphans].filter(
      (address) => this.unbound.has(address) && ledger.hasAddress(address) && !withheld.has(address),
    );
    this.orphans.clear();
    for (const address of orphans) this.unbound.delete(address);
    return orphans;
  }

  /** True for a wanted address that is not on kube-ipvs0 for a reason that its Service was told. */
  isUnbound(address: IpAddress): boolean {
    return this.unbound.has(address);
  }

  /** It keeps its mark, so that it is known as ours when a Service wants it again. */
  private keepExcluded(service: AddressService, delta: LedgerDelta): void {
    const mark = ownershipMember(service);
    delta.removeMembers.delete(mark.id);
    this.table.kept.add(mark);
  }

  /** Without its rules a new frontend would answer whoever it should not, and masquerade nobody. */
  private shutWithoutRules(wanted: readonly DesiredVirtualServer[]): Set<string> {
    const shut = new Set<string>();
    if (this.familiesWithoutRules.size + this.familiesOpenToNode.size === 0) return shut;
    for (const { id, service, isClosedToNode } of wanted) {
      const isWithoutRules =
        this.familiesWithoutRules.has(service.family) ||
        (isClosedToNode && this.familiesOpenToNode.has(service.family));
      if (isWithoutRules && !this.table.applied.has(id)) shut.add(id);
    }
    return shut;
  }

  /** Says what was not opened, and what is open to whom it should not be. */
  private noteShut(keys: readonly ServiceKey[], shut: ReadonlySet<string>): void {
    if (shut.size + this.familiesOpenToNode.size === 0) return;
    for (const key of keys) {
      for (const { id, service, isClosedToNode } of this.table.ledger.effectiveOf(key).virtualServers) {
        const error = isClosedToNode ? this.familiesOpenToNode.get(service.family) : undefined;
        const isShut = shut.has(id);
        if (error === undefined && !isShut) continue;
        const what = isShut ? 'not opened' : 'processes of this node can use it';
        const why =
          error === undefined
            ? `the rules of family ${service.family} cannot be written`
            : `source ranges without this node need the kernel's match "ipvs" (module xt_ipvs): ${errorLine(error)}`;
        this.table.failures.noteRefusal(
          key,
          id,
          new PointsmanError('TOOL_FAILED', `${what}, because ${why}`),
        );
      }
    }
  }

  private async attempt(keys: readonly ServiceKey[], step: Step): Promise<StepOutcome | null> {
    const { applied, failures } = this.table;
    try {
      return await runStep(this.port, step, this.settings().pace);
    } catch (error) {
      // The outcome is unknown: what we tried counts as ours and is read again by `retry`.
      for (const { id, service } of step.wanted)
        if (step.changed.has(id) && !step.shut.has(id) && !applied.has(id))
          applied.set(id, { service, destinations: [] });
      for (const address of step.delta.addAddresses) this.unbound.add(address);
      for (const id of step.delta.addMembers.keys()) this.refusedMembers.add(id);
      failures.leftovers.addStep(step.delta, step.deleted);
      for (const key of keys) failures.noteRefusal(key, 'its virtual servers', error);
      if (!(error instanceof PointsmanError)) throw error;
      if (keys.length === 0) failures.noteNode(UNWANTED, error);
      return null;
    }
  }

  private settleDeletions(deleted: readonly AddressService[], outcome: StepOutcome): void {
    const keptServices = new Set(outcome.keptServices);
    for (const service of deleted) {
      const id = formatServiceKey(service);
      const error = outcome.failedVirtualServers.get(id);
      const { leftovers } = this.table.failures;
      if (error !== undefined) leftovers.errors.set(id, error);
      if (error !== undefined || keptServices.has(service)) leftovers.services.set(id, service);
      else {
        this.table.applied.delete(id);
        this.table.drains.drop(id);
      }
    }
  }

  /** Keeps in mind what is not in the kernel although it is wanted. */
  private settleRefusals(delta: LedgerDelta, outcome: StepOutcome): void {
    for (const address of delta.addAddresses) this.unbound.delete(address);
    for (const address of delta.removeAddresses) this.unbound.delete(address);
    for (const address of outcome.shutAddresses) this.unbound.add(address);
    for (const { address } of outcome.failedAddresses)
      if (this.table.ledger.hasAddress(address)) this.unbound.add(address);
    for (const id of delta.addMembers.keys()) this.refusedMembers.delete(id);
    for (const { set, family, member } of outcome.failedMembers) {
      const { id } = makeMember(set, family, member);
      if (this.table.ledger.hasMember(id)) this.refusedMembers.add(id);
    }
  }

  /** Remembers what the kernel holds after the step; returns Services that must be settled again because a key turned out foreign. */
  private settleChanges(changed: ReadonlyMap<string, VirtualServerDiff>, outcome: StepOutcome): ServiceKey[] {
    const { ledger, applied, foreign, failures, lingering } = this.table;
    const again: ServiceKey[] = [];
    for (const [id, diff] of changed) {
      const key = ledger.ownerOf(id) ?? lingering.get(id);
      const error = outcome.failedVirtualServers.get(id);
      const virtualServer =
        key === undefined ? undefined : ledger.effectiveOf(key).virtualServers.find((each) => each.id === id);
      if (key === undefined || virtualServer === undefined) continue;
      const isNew = diff.service?.op === 'NEW_SERVICE';
      if (error === undefined) {
        // A new one that had to stay shut was not made; why is noted with its guard or its rules.
        if (!isNew || !outcome.shut.has(id)) {
          applied.set(id, diff.result);
          this.followDrains(key, virtualServer, diff);
        }
      } else if (isNew && isNotMade(error) && error.errno === EEXIST) {
        foreign.set(id, virtualServer.service);
        again.push(key);
      } else {
        // Made, but not all of its servers: it is ours, and `retry` reads what it has.
        if (!isNotMade(error)) {
          if (!applied.has(id)) applied.set(id, { service: virtualServer.service, destinations: [] });
          this.followDrains(key, virtualServer, diff);
        }
        failures.noteRefusal(key, id, error);
      }
    }
    return again;
  }

  private noteBlocked(keys: readonly ServiceKey[]): void {
    const { desired, foreign, ledger, failures } = this.table;
    if (foreign.size === 0) return;
    for (const key of keys) {
      for (const { id } of desired.get(key)?.virtualServers ?? []) {
        if (foreign.has(id) && ledger.ownerOf(id) === key) failures.note(key, foreignProblem(key, id));
      }
    }
  }
}

function writtenBy({ addMembers, addAddresses }: LedgerDelta, outcome: StepOutcome): Written {
  const members = new Set(addMembers.keys());
  for (const ids of [outcome.presentMembers, outcome.withheldMembers])
    for (const id of ids) members.delete(id);
  for (const { set, family, member } of outcome.failedMembers)
    members.delete(makeMember(set, family, member).id);
  const addresses = new Set(addAddresses);
  for (const list of [outcome.presentAddresses, outcome.shutAddresses])
    for (const address of list) addresses.delete(address);
  for (const { address } of outcome.failedAddresses) addresses.delete(address);
  return { members, addresses };
}

/** On the first apply, what an earlier run left in the kernel needs no operation. */
function skipPresent(delta: LedgerDelta, present: PresentState): void {
  for (const id of delta.addMembers.keys()) if (present.members.has(id)) delta.addMembers.delete(id);
  for (const address of delta.addAddresses)
    if (present.addresses?.has(address)) delta.addAddresses.delete(address);
}

/** The virtual server itself was refused, not something of it. */
function isNotMade(error: PointsmanError): error is KernelError {
  return error instanceof KernelError && error.operation === 'NEW_SERVICE';
}

function addAll(delta: LedgerDelta, virtualServer: DesiredVirtualServer): void {
  for (const member of virtualServer.members) delta.addMembers.set(member.id, member);
  if (virtualServer.isBound) delta.addAddresses.add(virtualServer.service.address);
}
