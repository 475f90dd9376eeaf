// The IPVS backend: brings kernel state to the plan, a few Services at a time, and remembers what the kernel holds.
// Guarantees:
//  1. Nothing is written before the first `apply`, which must be complete.
//  2. A change costs what it changes: no kernel listing after the first apply, except for Services that failed.
//  3. Virtual servers, members and addresses that are not ours are not touched; one on a key that we need becomes a problem.
//  4. A failed operation stops nothing else; its Service is in `failed` until `retry` has read the kernel and put it right.
// Not re-entrant: the daemon calls one method at a time.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { Problem } from '../../model/problem.ts';
import type { IpvsOperation } from '../../kernel/ipvs.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { NodeOptions, ServicePlan } from '../../plan/plan.ts';
import type { ApplyReport, Backend, Capability, PlanChange } from '../backend.ts';
import type { DesiredMember, DesiredService, DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer, type AppliedVirtualServer, type VirtualServerDiff } from './diff.ts';
import { emptyDelta, Ledger, type LedgerDelta } from './ledger.ts';
import { observe, isAddressService, Provenance, type ObservedState } from './observe.ts';
import type { IpvsKernelPort } from './port.ts';
import { Failures } from './failures.ts';
import { foreignProblem, refusedProblem } from './problems.ts';
import { renderService } from './render.ts';
import { Rules } from './rules.ts';
import type { SetName } from './sets.ts';
import { runStep, type Step, type StepOutcome } from './step.ts';
import { applySwitches, applyTimeouts, type SwitchOptions } from './switches.ts';

/** Settings of the backend that are not part of the plan. */
export interface IpvsSettings extends SwitchOptions {
  /** 1 << iptables.masqueradeBit. */
  readonly masqueradeMark: number;
  /** Monotonic milliseconds, for durations in reports. */
  readonly now: () => number;
  /** Awaited between small pieces of work: gives Node's loop a turn when it was held for long. */
  readonly pace: () => Promise<void>;
}

/** One step handles at most this many Services and about this many real servers, so that memory and latency stay bounded. */
const STEP_SERVICES = 128;
const STEP_REAL_SERVERS = 2048;
/** The clock is asked this often, not at each Service: in some virtual machines it costs as much as rendering one. */
const SERVICES_PER_PACE = 16;
const EEXIST = 17;

export class IpvsBackend implements Backend {
  private readonly port: IpvsKernelPort;
  private settings: IpvsSettings;
  private readonly ledger = new Ledger();
  private readonly rules: ReadonlyMap<Family, Rules>;
  private readonly families: readonly Family[];
  private node: NodeOptions | null = null;
  private areSwitchesDue = true;
  private observed: ObservedState | null = null;
  private readonly desired = new Map<ServiceKey, DesiredService>();
  private readonly applied = new Map<string, AppliedVirtualServer>();
  private readonly foreign = new Set<string>();
  private readonly failures = new Failures();
  /** Problems found while rendering; only Services that have some. */
  private readonly rendered = new Map<ServiceKey, readonly Problem[]>();
  /** Sets that hold members of others, whose rules must therefore stay. */
  private readonly sharedSets = new Map<Family, Set<SetName>>();

  constructor(port: IpvsKernelPort, families: readonly Family[], settings: IpvsSettings) {
    this.port = port;
    this.families = families;
    this.settings = settings;
    this.rules = new Map(families.map((family) => [family, new Rules(port, family)]));
  }

  /** New settings hold from the next `apply` on. */
  configure(settings: IpvsSettings): void {
    this.settings = settings;
    this.areSwitchesDue = true;
  }

  async probe(): Promise<Capability> {
    const missing: string[] = [];
    try {
      await this.port.services();
      for (const family of this.families) await this.port.setMembers('KUBE-CLUSTER-IP', family);
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      missing.push(error.message);
    }
    return { isUsable: missing.length === 0, missing };
  }

  async apply(change: PlanChange): Promise<ApplyReport> {
    const startMs = this.settings.now();
    if (this.observed === null && this.node === null) {
      if (!change.isComplete) throw new Error('the first apply must be complete');
      for (const rules of this.rules.values()) rules.load();
      this.adopt(await observe(this.port, this.families));
    }
    this.node = change.node;
    let operations = await this.applySettings();
    if (this.observed !== null) operations += await this.createContainers(this.observed);
    const keys = await this.render(change);
    operations += await this.ensureRules(keys);
    operations += await this.runSteps(keys);
    if (change.isComplete) operations += await this.removeStale();
    operations += await this.ensureRules([]);
    return this.report(operations, startMs);
  }

  async retry(keys: Iterable<ServiceKey>): Promise<ApplyReport> {
    const startMs = this.settings.now();
    let operations = 0;
    const retried = new Set(keys);
    for (const key of retried) await this.reread(key);
    operations += await this.ensureRules(retried);
    for (const key of retried) this.failures.forget(key);
    operations += await this.runSteps([...retried], true);
    operations += await this.deleteLeftovers();
    return this.report(operations, startMs);
  }

  /** Switches and timeouts, at the first apply and when the settings changed: not on the path of every change. */
  private async applySettings(): Promise<number> {
    if (!this.areSwitchesDue) return 0;
    const writes =
      applySwitches(this.port, this.settings) + (await applyTimeouts(this.port, this.settings.timeouts));
    this.areSwitchesDue = false;
    return writes;
  }

  private report(operations: number, startMs: number): ApplyReport {
    return {
      operations,
      failed: this.failures.keys(),
      leftovers: this.failures.leftovers.list(),
      durationMs: this.settings.now() - startMs,
    };
  }

  problems(): ReadonlyMap<ServiceKey, readonly Problem[]> {
    const all = new Map<ServiceKey, readonly Problem[]>(this.rendered);
    for (const [key, problems] of this.failures.problems())
      all.set(key, [...(all.get(key) ?? []), ...problems]);
    return all;
  }

  /** The virtual servers that a Service really has, for status. */
  virtualServersOf(key: ServiceKey): readonly DesiredVirtualServer[] {
    return this.ledger.effectiveOf(key).virtualServers;
  }

  /** Ids of virtual servers that others made. */
  foreignVirtualServers(): readonly string[] {
    return [...this.foreign].sort();
  }

  private adopt(state: ObservedState): void {
    this.observed = state;
    for (const [id, virtualServer] of state.applied) this.applied.set(id, virtualServer);
    for (const id of state.foreign) this.foreign.add(id);
  }

  private async createContainers(state: ObservedState): Promise<number> {
    let operations = 0;
    for (const { set, family } of state.missingSets) {
      await this.port.createSet(set, family);
      operations++;
    }
    if (state.addresses === null) {
      await this.port.createLink();
      operations++;
    }
    return operations;
  }

  /** Renders what changed and settles who owns what; returns the Services to write, in order. */
  private async render(change: PlanChange): Promise<ServiceKey[]> {
    const services = new Map(change.services);
    if (change.isComplete) {
      // Also what an apply that ended with an error had withdrawn, but not yet taken out of the kernel.
      for (const key of [...this.desired.keys(), ...this.ledger.keys()])
        if (!services.has(key)) services.set(key, null);
    }
    const critical = new Set<ServiceKey>();
    const present = new Set<ServiceKey>();
    const gone = new Set<ServiceKey>();
    const neighbours = new Set<ServiceKey>();
    let rendered = 0;
    for (const [key, plan] of services) {
      const others = plan === null ? this.withdraw(key) : this.claim(plan, change.node);
      for (const other of others) neighbours.add(other);
      if (plan === null) gone.add(key);
      else (plan.isCritical ? critical : present).add(key);
      if (++rendered % SERVICES_PER_PACE === 0) await this.settings.pace();
    }
    // Gone ones last: what another Service takes over is changed in place instead of deleted and made again.
    return [...new Set([...critical, ...present, ...neighbours, ...gone])];
  }

  private claim(plan: ServicePlan, node: NodeOptions): ServiceKey[] {
    const desired = renderService(plan, node);
    this.desired.set(plan.key, desired);
    if (desired.problems.length > 0) this.rendered.set(plan.key, desired.problems);
    else this.rendered.delete(plan.key);
    return this.ledger.claim(desired);
  }

  private withdraw(key: ServiceKey): ServiceKey[] {
    this.desired.delete(key);
    this.rendered.delete(key);
    this.failures.forget(key);
    return this.ledger.withdraw(key);
  }

  private async runSteps(keys: readonly ServiceKey[], isRepair = false): Promise<number> {
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
        for (const { realServers } of this.desired.get(key)?.virtualServers ?? [])
          weight += realServers.length;
      }
      operations += await this.runStep(step, isRepair);
    }
    return operations;
  }

  /** Writes a few Services. With `isRepair` their members and addresses are sent again, whatever we believe. */
  private async runStep(keys: readonly ServiceKey[], isRepair: boolean): Promise<number> {
    const delta = emptyDelta();
    const changed = new Map<string, VirtualServerDiff>();
    const deleted: IpvsOperation[] = [];
    let settled = 0;
    for (const key of keys) {
      const desired = this.desired.get(key);
      const previous = this.ledger.effectiveOf(key);
      const next = desired === undefined ? null : this.ledger.restrict(desired, (id) => this.foreign.has(id));
      this.ledger.settle(key, next, delta);
      if (++settled % SERVICES_PER_PACE === 0) await this.settings.pace();
      for (const virtualServer of next?.virtualServers ?? []) {
        const diff = diffVirtualServer(this.applied.get(virtualServer.id), virtualServer);
        if (diff.service !== null || diff.add.length > 0 || diff.remove.length > 0)
          changed.set(virtualServer.id, diff);
        if (isRepair) addAll(delta, virtualServer);
      }
      if (isRepair) for (const member of next?.members ?? []) delta.addMembers.set(member.id, member);
      for (const { id, service } of previous.virtualServers) {
        if (this.ledger.ownerOf(id) === undefined && this.applied.has(id))
          deleted.push({ op: 'DEL_SERVICE', service });
      }
    }
    this.skipPresent(delta);
    const outcome = await this.attempt(keys, { delta, changed, deleted });
    if (outcome === null) return 0;
    for (const operation of deleted) this.settleDeletion(operation, outcome);
    const again = this.settleCreations(changed, outcome);
    this.failures.noteStep(keys, outcome, this.ledger);
    this.noteBlocked(keys);
    return outcome.operations + (again.length > 0 ? await this.runStep(again, false) : 0);
  }

  private async attempt(keys: readonly ServiceKey[], step: Step): Promise<StepOutcome | null> {
    try {
      return await runStep(this.port, step, this.settings.pace);
    } catch (error) {
      // The outcome is unknown: what we tried counts as ours and is read again by `retry`.
      for (const id of step.changed.keys()) {
        const service = this.findService(keys, id);
        if (service !== undefined && !this.applied.has(id))
          this.applied.set(id, { service, destinations: [] });
      }
      this.failures.leftovers.addStep(step.delta, step.deleted);
      for (const key of keys) this.failures.note(key, refusedProblem(key, 'its virtual servers', error));
      if (!(error instanceof PointsmanError)) throw error;
      return null;
    }
  }

  private findService(keys: readonly ServiceKey[], id: string): AppliedVirtualServer['service'] | undefined {
    for (const key of keys) {
      const found = this.ledger
        .effectiveOf(key)
        .virtualServers.find((virtualServer) => virtualServer.id === id);
      if (found !== undefined) return found.service;
    }
    return undefined;
  }

  /** On the first apply, what an earlier run left in the kernel needs no operation. */
  private skipPresent(delta: LedgerDelta): void {
    if (this.observed === null) return;
    for (const id of delta.addMembers.keys()) if (this.observed.members.has(id)) delta.addMembers.delete(id);
    for (const address of delta.addAddresses)
      if (this.observed.addresses?.has(address)) delta.addAddresses.delete(address);
  }

  private settleDeletion(operation: IpvsOperation, outcome: StepOutcome): void {
    if (operation.op !== 'DEL_SERVICE') return;
    const id = formatServiceKey(operation.service);
    if (outcome.failedVirtualServers.has(id)) this.failures.leftovers.services.set(id, operation);
    else this.applied.delete(id);
  }

  /** Remembers what the kernel holds after the step; returns Services that must be settled again because a key turned out foreign. */
  private settleCreations(
    changed: ReadonlyMap<string, VirtualServerDiff>,
    outcome: StepOutcome,
  ): ServiceKey[] {
    const again: ServiceKey[] = [];
    for (const [id, diff] of changed) {
      const key = this.ledger.ownerOf(id);
      const error = outcome.failedVirtualServers.get(id);
      const virtualServer =
        key === undefined
          ? undefined
          : this.ledger.effectiveOf(key).virtualServers.find((each) => each.id === id);
      if (key === undefined || virtualServer === undefined) continue;
      if (error === undefined) {
        this.applied.set(id, { service: virtualServer.service, destinations: virtualServer.realServers });
      } else if (
        diff.service?.op === 'NEW_SERVICE' &&
        error.operation === 'NEW_SERVICE' &&
        error.errno === EEXIST
      ) {
        this.foreign.add(id);
        again.push(key);
      } else {
        // Made, but not all of its servers: it is ours, and `retry` reads what it has.
        if (error.operation !== 'NEW_SERVICE' && !this.applied.has(id)) {
          this.applied.set(id, { service: virtualServer.service, destinations: [] });
        }
        this.failures.note(key, refusedProblem(key, id, error));
      }
    }
    return again;
  }

  private noteBlocked(keys: readonly ServiceKey[]): void {
    for (const key of keys) {
      for (const { id } of this.desired.get(key)?.virtualServers ?? []) {
        if (this.foreign.has(id) && this.ledger.ownerOf(id) === key)
          this.failures.note(key, foreignProblem(key, id));
      }
    }
  }

  /** Reads what the kernel holds for one Service: what is there and not known as ours is somebody else's. */
  private async reread(key: ServiceKey): Promise<void> {
    for (const { id, service } of this.desired.get(key)?.virtualServers ?? []) {
      if (this.ledger.ownerOf(id) !== key) continue;
      const found = this.port.service(service);
      if (found === undefined) {
        this.applied.delete(id);
        this.foreign.delete(id);
      } else if (this.applied.has(id) && isAddressService(found)) {
        this.applied.set(id, { service: found, destinations: await this.port.destinations(service) });
      } else {
        this.foreign.add(id);
      }
    }
  }

  private async deleteLeftovers(): Promise<number> {
    const { delta, deleted } = this.failures.leftovers.take(this.ledger);
    return this.remove(delta, deleted);
  }

  /** Removes what no Service wants; what the kernel refuses stays left over. */
  private async remove(delta: LedgerDelta, deleted: readonly IpvsOperation[]): Promise<number> {
    const outcome = await this.attempt([], { delta, changed: new Map(), deleted });
    if (outcome === null) return 0;
    for (const operation of deleted) this.settleDeletion(operation, outcome);
    this.failures.noteStep([], outcome, this.ledger);
    return outcome.operations;
  }

  /** Removes what an earlier run of ours left and nobody wants. Runs once, after everything wanted is there. */
  private async removeStale(): Promise<number> {
    const state = this.observed;
    if (state === null) return 0;
    this.observed = null;
    const provenance = new Provenance(state);
    const delta = emptyDelta();
    for (const [id, member] of state.members) {
      if (this.ledger.hasMember(id)) continue;
      if (provenance.isOurMember(member)) delta.removeMembers.set(id, member);
      else this.keepRulesOf(member);
    }
    for (const address of state.addresses ?? []) {
      if (!this.ledger.hasAddress(address) && provenance.isOurAddress(address))
        delta.removeAddresses.add(address);
    }
    const deleted: IpvsOperation[] = [];
    for (const [id, { service }] of this.applied) {
      if (this.ledger.ownerOf(id) === undefined) deleted.push({ op: 'DEL_SERVICE', service });
    }
    return this.remove(delta, deleted);
  }

  private keepRulesOf({ family, set }: DesiredMember): void {
    const sets = this.sharedSets.get(family) ?? new Set();
    this.sharedSets.set(family, sets.add(set));
  }

  /** Rules for the sets that have members at present and for those that the Services of `keys` will fill. */
  private async ensureRules(keys: Iterable<ServiceKey>): Promise<number> {
    if (this.node === null) return 0;
    const coming = new Map<Family, Set<SetName>>(this.families.map((family) => [family, new Set()]));
    for (const key of keys) {
      const desired = this.desired.get(key);
      for (const member of desired?.members ?? []) coming.get(member.family)?.add(member.set);
      for (const { members } of desired?.virtualServers ?? [])
        for (const member of members) coming.get(member.family)?.add(member.set);
    }
    for (const { set, family } of this.observed?.members.values() ?? []) coming.get(family)?.add(set);
    let operations = 0;
    const { masqueradeAll, localDetector } = this.node;
    const options = { masqueradeMark: this.settings.masqueradeMark, masqueradeAll, localDetector };
    for (const [family, rules] of this.rules) {
      const nonEmpty = new Set<SetName>([
        ...this.ledger.nonEmptySets(family),
        ...(coming.get(family) ?? []),
        ...(this.sharedSets.get(family) ?? []),
      ]);
      if ((await rules.ensure(options, nonEmpty)) !== '') operations++;
    }
    return operations;
  }
}

function addAll(delta: LedgerDelta, virtualServer: DesiredVirtualServer): void {
  for (const member of virtualServer.members) delta.addMembers.set(member.id, member);
  if (virtualServer.isBound) delta.addAddresses.add(virtualServer.service.address);
}
