// Keeps the table true to what became of a step: what the kernel has by now, what failed with which Service, what is left over.

import { KernelError, type PointsmanError } from '../../model/errors.ts';
import type { ServiceKey } from '../../model/names.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { Absent } from './absent.ts';
import type { AddressService, DesiredVirtualServer } from './desired.ts';
import type { VirtualServerDiff } from './diff.ts';
import { drainTimeoutOf } from './lingering.ts';
import { foreignProblem } from './problems.ts';
import type { RuleGate } from './rule-gate.ts';
import type { IpvsSettings } from './settings.ts';
import type { Step, StepOutcome } from './step.ts';
import type { Table } from './table.ts';

const EEXIST = 17;

export class Settler {
  private readonly table: Table;
  private readonly settings: () => IpvsSettings;
  private readonly absent: Absent;
  private readonly gate: RuleGate;

  constructor(table: Table, settings: () => IpvsSettings, absent: Absent, gate: RuleGate) {
    this.table = table;
    this.settings = settings;
    this.absent = absent;
    this.gate = gate;
  }

  /** Takes in what became of a step; returns those of its Services that must be written again because a key turned out foreign. */
  settle(keys: readonly ServiceKey[], step: Step, outcome: StepOutcome): ServiceKey[] {
    const { failures, ledger } = this.table;
    this.settleDeletions(step.deleted, outcome);
    this.absent.settle(step.delta, outcome);
    const again = this.settleChanges(step.changed, outcome);
    failures.noteStep(keys, outcome, ledger);
    this.noteForeign(keys);
    this.gate.noteShut(keys, step.shut);
    failures.noteWithheld(keys, outcome, ledger);
    return again;
  }

  /** The outcome of a step is unknown: what it tried to make counts as ours and is read again by a retry, what it tried to remove is left over. */
  settleUnknown({ changed, deleted, delta, shut, wanted }: Step): void {
    const { applied, failures } = this.table;
    for (const { id, service } of wanted)
      if (changed.has(id) && !shut.has(id) && !applied.has(id))
        applied.set(id, { service, destinations: [] });
    this.absent.addStep(delta);
    failures.leftovers.addStep(delta, deleted);
  }

  /** The kernel has what a virtual server needs, and nothing was written. */
  settleUnchanged(key: ServiceKey, virtualServer: DesiredVirtualServer, diff: VirtualServerDiff): void {
    this.table.applied.restate(virtualServer.id, diff.result);
    this.followDrains(key, virtualServer, diff);
  }

  private settleDeletions(deleted: readonly AddressService[], outcome: StepOutcome): void {
    const { applied, drains, failures } = this.table;
    const { leftovers } = failures;
    const keptServices = new Set(outcome.keptServices);
    for (const service of deleted) {
      const id = formatServiceKey(service);
      const error = outcome.failedVirtualServers.get(id);
      if (error !== undefined) leftovers.errors.set(id, error);
      if (error !== undefined || keptServices.has(service)) leftovers.services.set(id, service);
      else {
        applied.delete(id);
        drains.drop(id);
      }
    }
  }

  private settleChanges(changed: ReadonlyMap<string, VirtualServerDiff>, outcome: StepOutcome): ServiceKey[] {
    const { ledger, applied, foreign, failures } = this.table;
    const again: ServiceKey[] = [];
    for (const [id, diff] of changed) {
      const key = this.table.holderOf(id);
      const virtualServer =
        key === undefined ? undefined : ledger.effectiveOf(key).virtualServers.find((each) => each.id === id);
      if (key === undefined || virtualServer === undefined) continue;
      const error = outcome.failedVirtualServers.get(id);
      const isNew = diff.service?.op === 'NEW_SERVICE';
      if (error === undefined) {
        // A new one that had to stay shut was not made; why is noted with its guard or its rules.
        if (isNew && outcome.shut.has(id)) continue;
        applied.set(id, diff.result);
        this.followDrains(key, virtualServer, diff);
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

  /** From now on these are the drains of the virtual server. */
  private followDrains(key: ServiceKey, virtualServer: DesiredVirtualServer, diff: VirtualServerDiff): void {
    const { id, service } = virtualServer;
    const settings = this.settings();
    const timeoutMs = drainTimeoutOf(virtualServer, settings);
    this.table.drains.follow({ id, key, service }, diff.draining, settings.now(), timeoutMs);
  }

  private noteForeign(keys: readonly ServiceKey[]): void {
    const { desired, foreign, ledger, failures } = this.table;
    if (foreign.size === 0) return;
    for (const key of keys) {
      for (const { id } of desired.get(key)?.virtualServers ?? []) {
        if (foreign.has(id) && ledger.ownerOf(id) === key) failures.note(key, foreignProblem(key, id));
      }
    }
  }
}

/** The virtual server itself was refused, not something of it. */
function isNotMade(error: PointsmanError): error is KernelError {
  return error instanceof KernelError && error.operation === 'NEW_SERVICE';
}
