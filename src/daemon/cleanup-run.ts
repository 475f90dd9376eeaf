// Carries out a clean-up's plan: in its order, in batches, every failure kept with its object. What would be unsafe behind a failure is left
// as it is: the virtual server behind an address or a pass that could not be removed, and the guards of a family as long as anything of what
// they guard is there. All else goes on.

import { objectsOf, type Kept, type Removal, type RemovedObject } from '../backends/removal.ts';
import type { SetMember } from '../kernel/ipset-codec.ts';
import type { IptablesFlavour } from '../kernel/iptables.ts';
import type { ServiceKey } from '../kernel/ipvs-codec.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import type { Family, IpAddress } from '../model/ip.ts';
import type { CleanupPlan, NodeInventory } from './cleanup-plan.ts';

/** What a clean-up needs of a kernel. What is gone already counts as removed. Errors are PointsmanErrors. */
export interface CleanupPort {
  read(): Promise<NodeInventory>;
  /** Refused ones by index. */
  unbind(addresses: readonly IpAddress[]): Promise<ReadonlyMap<number, PointsmanError>>;
  deleteMembers(set: string, members: readonly SetMember[]): Promise<ReadonlyMap<number, PointsmanError>>;
  deleteServices(services: readonly ServiceKey[]): Promise<ReadonlyMap<number, PointsmanError>>;
  restoreRules(family: Family, flavour: IptablesFlavour, text: string): Promise<void>;
  deleteTable(family: Family, name: string): Promise<void>;
  destroySet(name: string): Promise<void>;
  deleteLink(name: string): Promise<void>;
}

/** An object that could not be removed. */
export interface FailedRemoval extends RemovedObject {
  /** One line, with the errno's name where the kernel gave one. */
  readonly error: string;
}

/** What a clean-up did. Lists are in the order of the plan. */
export interface CleanupReport {
  readonly removed: readonly RemovedObject[];
  readonly failed: readonly FailedRemoval[];
  /** Left because of a failure before. */
  readonly left: readonly Kept[];
  /** What was never to be removed. */
  readonly kept: readonly Kept[];
}

/** Carries out `plan`. Rejects only with what is no PointsmanError. */
export async function carryOut(plan: CleanupPlan, port: CleanupPort): Promise<CleanupReport> {
  const run = new CleanupRun(port);
  for (const batch of batchesOf(plan.removals)) await run.remove(batch);
  return { removed: run.removed, failed: run.failed, left: run.left, kept: plan.kept };
}

/** Neighbours that one request can take together. */
function* batchesOf(removals: readonly Removal[]): Generator<readonly Removal[]> {
  let batch: Removal[] = [];
  for (const removal of removals) {
    if (batch[0] !== undefined && !isTogether(batch[0], removal)) {
      yield batch;
      batch = [];
    }
    batch.push(removal);
  }
  if (batch.length > 0) yield batch;
}

function isTogether(one: Removal, other: Removal): boolean {
  if (one.kind === 'member')
    return other.kind === 'member' && one.set === other.set && one.role === other.role;
  return (one.kind === 'address' || one.kind === 'virtualServer') && one.kind === other.kind;
}

class CleanupRun {
  readonly removed: RemovedObject[] = [];
  readonly failed: FailedRemoval[] = [];
  readonly left: Kept[] = [];
  private readonly port: CleanupPort;
  /** Addresses that something still leads to. */
  private readonly open = new Set<IpAddress>();
  /** Families in which something that rules and guards are for is still there. */
  private readonly guarded = new Set<Family>();
  /** Families whose rules are still there. */
  private readonly ruled = new Set<Family>();
  private isBearing = false;

  constructor(port: CleanupPort) {
    this.port = port;
  }

  async remove(batch: readonly Removal[]): Promise<void> {
    const allowed = batch.filter((removal) => {
      const obstacle = this.obstacleOf(removal);
      if (obstacle === null) return true;
      for (const object of objectsOf(removal)) this.left.push({ ...object, reason: obstacle });
      this.noteStaying(removal);
      return false;
    });
    if (allowed.length === 0) return;
    const errors = await this.request(allowed);
    allowed.forEach((removal, index) => {
      const error = errors.get(index);
      if (error === undefined) {
        this.removed.push(...objectsOf(removal));
        return;
      }
      for (const object of objectsOf(removal)) this.failed.push({ ...object, error: errorLine(error) });
      this.noteStaying(removal);
    });
  }

  /** Why it must not be removed now, or null. */
  private obstacleOf(removal: Removal): string | null {
    switch (removal.kind) {
      case 'virtualServer':
        return removal.service.fwmark === undefined && this.open.has(removal.service.address)
          ? 'its address, or what lets packets through to it, could not be removed'
          : null;
      case 'member':
        return removal.role === 'guard' && this.guarded.has(removal.family)
          ? 'what it guards could not be removed'
          : null;
      case 'rules':
        return removal.guardsIpvs && this.guarded.has(removal.family)
          ? 'what they guard could not be removed'
          : null;
      case 'set':
        if (this.guarded.has(removal.family)) return 'what it guards could not be removed';
        return this.ruled.has(removal.family) ? 'rules that could not be removed match it' : null;
      case 'link':
        return this.isBearing ? 'an address on it could not be removed' : null;
      case 'address':
      case 'table':
        return null;
    }
  }

  private noteStaying(removal: Removal): void {
    switch (removal.kind) {
      case 'address':
        this.isBearing = true;
        this.open.add(removal.address);
        this.guarded.add(removal.family);
        return;
      case 'member':
        if (removal.role === 'pass' && removal.member.address !== undefined)
          this.open.add(removal.member.address);
        this.guarded.add(removal.family);
        return;
      case 'virtualServer':
        this.guarded.add(removal.family);
        return;
      case 'rules':
        this.ruled.add(removal.family);
        return;
      case 'table':
      case 'set':
      case 'link':
        return;
    }
  }

  /** Refused ones by index; where one request is for all, its refusal is everybody's. */
  private async request(batch: readonly Removal[]): Promise<ReadonlyMap<number, PointsmanError>> {
    try {
      return (await this.send(batch)) ?? new Map();
    } catch (error) {
      if (error instanceof PointsmanError) return new Map(batch.map((_, index) => [index, error]));
      throw error;
    }
  }

  private async send(batch: readonly Removal[]): Promise<ReadonlyMap<number, PointsmanError> | void> {
    const [first] = batch;
    switch (first?.kind) {
      case 'address':
        return this.port.unbind(batch.flatMap((each) => (each.kind === 'address' ? each.address : [])));
      case 'member':
        return this.port.deleteMembers(
          first.set,
          batch.flatMap((each) => (each.kind === 'member' ? each.member : [])),
        );
      case 'virtualServer':
        return this.port.deleteServices(
          batch.flatMap((each) => (each.kind === 'virtualServer' ? each.service : [])),
        );
      case 'rules':
        return this.port.restoreRules(first.family, first.flavour, first.text);
      case 'table':
        return this.port.deleteTable(first.family, first.name);
      case 'set':
        return this.port.destroySet(first.name);
      case 'link':
        return this.port.deleteLink(first.name);
      case undefined:
        return undefined;
    }
  }
}
