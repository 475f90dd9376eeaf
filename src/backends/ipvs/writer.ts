// Writes Services to the kernel, a few at a time, and keeps the table true to what the kernel answered. A refused operation stops nothing
// else: its Service is noted as failed, and what could not be removed as left over.

import { PointsmanError } from '../../model/errors.ts';
import { cidrContains, type Family, type IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { makeMember, type AddressService, type DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer, isEmptyDiff, type VirtualServerDiff } from './diff.ts';
import { emptyDelta, type LedgerDelta } from './ledger.ts';
import { ownershipMember } from './observe.ts';
import type { IpvsKernelPort } from './port.ts';
import { foreignProblem } from './problems.ts';
import { kernelSetName, SET_NAMES } from './sets.ts';
import type { IpvsSettings } from './settings.ts';
import { runStep, type Step, type StepOutcome } from './step.ts';
import type { Table } from './table.ts';

/** One step handles at most this many Services and about this many real servers, so that memory and latency stay bounded. */
const STEP_SERVICES = 128;
const STEP_REAL_SERVERS = 2048;
/** The clock is asked this often, not at each Service: in some virtual machines it costs as much as rendering one. */
export const SERVICES_PER_PACE = 16;
const EEXIST = 17;
/** Objects of one repair that are named when they are refused; the others are found again with the next. */
const MAX_UNREPAIRED = 100;

/** What is known to be in the kernel already, beside virtual servers. */
export interface PresentState {
  readonly members: ReadonlyMap<string, unknown>;
  readonly addresses: ReadonlySet<IpAddress> | null;
}

export class Writer {
  /** Families whose rules could not be written: nothing new opens there. */
  readonly familiesWithoutRules = new Set<Family>();
  private readonly port: IpvsKernelPort;
  private readonly table: Table;
  private readonly families: readonly Family[];
  private readonly settings: () => IpvsSettings;
  /** Wanted addresses that are not on kube-ipvs0: refused, or everything at them was to stay shut. */
  private readonly unbound = new Set<IpAddress>();
  /** Objects that the last repair could not put right, as they stand among the failures. */
  private readonly unrepaired: string[] = [];

  constructor(port: IpvsKernelPort, table: Table, families: readonly Family[], settings: () => IpvsSettings) {
    this.port = port;
    this.table = table;
    this.families = families;
    this.settings = settings;
  }

  /**
   * Writes what these Services need by now, in their order; returns the number of operations. With `present`, what it holds needs none. With
   * `isRepair` members and addresses are sent again, whatever we believe.
   */
  async write(
    keys: readonly ServiceKey[],
    options: { readonly present?: PresentState | null; readonly isRepair?: boolean } = {},
  ): Promise<number> {
    let operations = 0;
    for (let at = 0; at < keys.length;) {
      const step: ServiceKey[] = [];
      for (
        let weight = 0;
        at < keys.length && step.length < STEP_SERVICES && weight < STEP_REAL_SERVERS;
        at++
      ) {
        const key = keys[at];
        if (key === undefined) break;
        step.push(key);
        for (const { realServers } of this.table.desired.get(key)?.virtualServers ?? [])
          weight += realServers.length;
      }
      operations += await this.writeStep(step, options.present ?? null, options.isRepair ?? false);
    }
    return operations;
  }

  private async writeStep(
    keys: readonly ServiceKey[],
    present: PresentState | null,
    isRepair: boolean,
  ): Promise<number> {
    const { ledger, applied, desired, foreign } = this.table;
    const { pace } = this.settings();
    const delta = emptyDelta();
    const wanted: DesiredVirtualServer[] = [];
    const changed = new Map<string, VirtualServerDiff>();
    const deleted: AddressService[] = [];
    let settled = 0;
    for (const key of keys) {
      const asked = desired.get(key);
      const previous = ledger.effectiveOf(key);
      const next = asked === undefined ? null : ledger.restrict(asked, (id) => foreign.has(id));
      ledger.settle(key, next, delta);
      if (++settled % SERVICES_PER_PACE === 0) await pace();
      for (const virtualServer of next?.virtualServers ?? []) {
        wanted.push(virtualServer);
        const diff = diffVirtualServer(applied.get(virtualServer.id), virtualServer);
        if (!isEmptyDiff(diff)) changed.set(virtualServer.id, diff);
        if (isRepair) addAll(delta, virtualServer);
        else if (virtualServer.isBound && this.unbound.has(virtualServer.service.address))
          delta.addAddresses.add(virtualServer.service.address);
      }
      if (isRepair) for (const member of next?.members ?? []) delta.addMembers.set(member.id, member);
      for (const { id, service } of previous.virtualServers) {
        if (ledger.ownerOf(id) !== undefined || !applied.has(id)) continue;
        if (this.isExcluded(service)) this.keepExcluded(service, delta);
        else deleted.push(service);
      }
    }
    if (present !== null) skipPresent(delta, present);
    const operations = await this.makeRoom();
    const shut = this.shutWithoutRules(wanted);
    const outcome = await this.attempt(keys, { delta, wanted, changed, deleted, shut });
    if (outcome === null) return operations;
    this.settleDeletions(deleted, outcome);
    this.settleAddresses(delta, outcome);
    const again = this.settleChanges(changed, outcome);
    this.table.failures.noteStep(keys, outcome, ledger);
    this.noteBlocked(keys);
    this.noteShut(keys, shut);
    const followUp = again.length > 0 ? await this.writeStep(again, null, false) : 0;
    return operations + outcome.operations + followUp;
  }

  /** Removes what no Service wants; what the kernel refuses stays left over. Returns the number of operations. */
  async remove(delta: LedgerDelta, services: readonly AddressService[]): Promise<number> {
    const deleted = services.filter((service) => !this.isExcluded(service));
    for (const service of services) if (this.isExcluded(service)) this.keepExcluded(service, delta);
    const step: Step = { delta, wanted: [], changed: new Map(), deleted, shut: new Set() };
    for (const object of this.unrepaired.splice(0)) this.table.failures.settleNode(object);
    const outcome = await this.attempt([], step);
    if (outcome === null) return 0;
    this.settleDeletions(deleted, outcome);
    this.table.failures.noteStep([], outcome, this.table.ledger);
    return outcome.operations;
  }

  /** Sends members that verification found missing, and takes away those that it found too many. */
  async repairMembers(delta: LedgerDelta): Promise<void> {
    await this.repair('members that were missing', delta);
  }

  /** Puts wanted addresses on kube-ipvs0 again; returns those that really were missing, and are not any more. */
  async bind(addresses: readonly IpAddress[]): Promise<readonly IpAddress[]> {
    const delta = emptyDelta();
    for (const address of addresses) delta.addAddresses.add(address);
    const outcome = await this.repair('addresses that were missing', delta);
    if (outcome === null) return [];
    const others = new Set([
      ...outcome.presentAddresses,
      ...outcome.failedAddresses.map((each) => each.address),
    ]);
    return addresses.filter((address) => !others.has(address));
  }

  /** True for a wanted address that is not on kube-ipvs0 for a reason that its Service was told. */
  isUnbound(address: IpAddress): boolean {
    return this.unbound.has(address);
  }

  /** What cannot be repaired counts as a failure of the node until it can: verification finds it again. */
  private async repair(what: string, delta: LedgerDelta): Promise<StepOutcome | null> {
    const { failures, ledger } = this.table;
    for (const object of this.unrepaired.splice(0)) failures.settleNode(object);
    const step: Step = { delta, wanted: [], changed: new Map(), deleted: [], shut: new Set() };
    const outcome = await this.attempt([], step, what);
    if (outcome === null) return null;
    failures.noteStep([], outcome, ledger);
    const refused = [
      ...outcome.failedMembers.map((each) => ({
        object: makeMember(each.set, each.family, each.member).id,
        error: each.error,
      })),
      ...outcome.failedAddresses.map(({ address, error }) => ({ object: address, error })),
    ];
    for (const { object, error } of refused.slice(0, MAX_UNREPAIRED)) {
      failures.noteNode(object, error);
      this.unrepaired.push(object);
    }
    return outcome;
  }

  /** ipvs.excludeCIDRs: a virtual server in there is never deleted, not even a stale one of ours (so kube-proxy). */
  private isExcluded({ address }: AddressService): boolean {
    return this.settings().excludeCIDRs.some((cidr) => cidrContains(cidr, address));
  }

  /** It keeps its mark, so that it is known as ours when a Service wants it again. */
  private keepExcluded(service: AddressService, delta: LedgerDelta): void {
    const mark = ownershipMember(service);
    delta.removeMembers.delete(mark.id);
    this.table.kept.set(mark.id, mark);
  }

  /** Sets that are about to hold more than they can are replaced by larger ones first. */
  private async makeRoom(): Promise<number> {
    let operations = 0;
    for (const family of this.families) {
      for (const set of SET_NAMES) {
        const name = kernelSetName(set, family);
        const capacity = this.table.capacities.get(name) ?? Number.POSITIVE_INFINITY;
        const needed = this.table.ledger.setSize(set, family);
        if (needed <= capacity) continue;
        const room = 2 ** Math.ceil(Math.log2(needed + 1));
        try {
          await this.port.growSet(set, family, room);
          this.table.capacities.set(name, room);
          this.table.failures.settleNode(`set ${name}`);
          operations++;
        } catch (error) {
          // The members that do not fit are refused one by one, which fails their Services only.
          if (!(error instanceof PointsmanError)) throw error;
          this.table.failures.noteNode(`set ${name}`, error);
        }
      }
    }
    return operations;
  }

  /** Without its rules a new frontend would answer whoever it should not, and masquerade nobody. */
  private shutWithoutRules(wanted: readonly DesiredVirtualServer[]): Set<string> {
    const shut = new Set<string>();
    if (this.familiesWithoutRules.size === 0) return shut;
    for (const { id, service } of wanted)
      if (this.familiesWithoutRules.has(service.family) && !this.table.applied.has(id)) shut.add(id);
    return shut;
  }

  private noteShut(keys: readonly ServiceKey[], shut: ReadonlySet<string>): void {
    if (shut.size === 0) return;
    for (const key of keys) {
      for (const { id, service } of this.table.ledger.effectiveOf(key).virtualServers)
        if (shut.has(id))
          this.table.failures.noteRefusal(
            key,
            id,
            new PointsmanError(
              'TOOL_FAILED',
              `not opened, because the rules of family ${service.family} cannot be written`,
            ),
          );
    }
  }

  private async attempt(
    keys: readonly ServiceKey[],
    step: Step,
    what = 'what is no longer wanted',
  ): Promise<StepOutcome | null> {
    const { applied, failures } = this.table;
    try {
      return await runStep(this.port, step, this.settings().pace);
    } catch (error) {
      // The outcome is unknown: what we tried counts as ours and is read again by `retry`.
      for (const { id, service } of step.wanted)
        if (step.changed.has(id) && !step.shut.has(id) && !applied.has(id))
          applied.set(id, { service, destinations: [] });
      for (const address of step.delta.addAddresses) this.unbound.add(address);
      failures.leftovers.addStep(step.delta, step.deleted);
      for (const key of keys) failures.noteRefusal(key, 'its virtual servers', error);
      if (!(error instanceof PointsmanError)) throw error;
      if (keys.length === 0) {
        failures.noteNode(what, error);
        this.unrepaired.push(what);
      }
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
      else this.table.applied.delete(id);
    }
  }

  private settleAddresses(delta: LedgerDelta, outcome: StepOutcome): void {
    for (const address of delta.addAddresses) this.unbound.delete(address);
    for (const address of delta.removeAddresses) this.unbound.delete(address);
    for (const address of outcome.shutAddresses) this.unbound.add(address);
    for (const { address } of outcome.failedAddresses)
      if (this.table.ledger.hasAddress(address)) this.unbound.add(address);
  }

  /** Remembers what the kernel holds after the step; returns Services that must be settled again because a key turned out foreign. */
  private settleChanges(changed: ReadonlyMap<string, VirtualServerDiff>, outcome: StepOutcome): ServiceKey[] {
    const { ledger, applied, foreign, failures } = this.table;
    const again: ServiceKey[] = [];
    for (const [id, diff] of changed) {
      const key = ledger.ownerOf(id);
      const error = outcome.failedVirtualServers.get(id);
      const virtualServer =
        key === undefined ? undefined : ledger.effectiveOf(key).virtualServers.find((each) => each.id === id);
      if (key === undefined || virtualServer === undefined) continue;
      const isNew = diff.service?.op === 'NEW_SERVICE';
      if (error === undefined) {
        // A new one that had to stay shut was not made; why is noted with its guard or its rules.
        if (!isNew || !outcome.shut.has(id))
          applied.set(id, { service: virtualServer.service, destinations: virtualServer.realServers });
      } else if (isNew && error.operation === 'NEW_SERVICE' && error.errno === EEXIST) {
        foreign.add(id);
        again.push(key);
      } else {
        // Made, but not all of its servers: it is ours, and `retry` reads what it has.
        if (error.operation !== 'NEW_SERVICE' && !applied.has(id)) {
          applied.set(id, { service: virtualServer.service, destinations: [] });
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

/** On the first apply, what an earlier run left in the kernel needs no operation. */
function skipPresent(delta: LedgerDelta, present: PresentState): void {
  for (const id of delta.addMembers.keys()) if (present.members.has(id)) delta.addMembers.delete(id);
  for (const address of delta.addAddresses)
    if (present.addresses?.has(address)) delta.addAddresses.delete(address);
}

function addAll(delta: LedgerDelta, virtualServer: DesiredVirtualServer): void {
  for (const member of virtualServer.members) delta.addMembers.set(member.id, member);
  if (virtualServer.isBound) delta.addAddresses.add(virtualServer.service.address);
}
