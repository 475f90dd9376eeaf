// The plan of a node, kept up to date Service by Service: compiles what changed, settles who owns what, and tells which plans differ.
// Guarantees:
//  1. The plan depends on the facts alone, not on the order in which they came: it equals one compiled from scratch.
//  2. A change costs what the Services it concerns cost (those that changed, and those that win or lose something to them).
// Pure: no clock, no input or output; the caller decides when to give Node's loop a turn.

import { isSameData } from '../model/equal.ts';
import { compareText, type IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { Claims } from './claims.ts';
import { compileService } from './compile.ts';
import { claimsOf, restrictToOwned } from './ownership.ts';
import type { ForwardingPlan, NodeOptions, ServicePlan } from './plan.ts';

export class Planner {
  private readonly snapshot: Snapshot;
  private options: NodeOptions;
  private readonly claims = new Claims();
  /** What each Service really gets. */
  private readonly plans = new Map<ServiceKey, ServicePlan>();
  /** As compiled, of Services that lost something; for all others that is what is in `plans`. */
  private readonly contested = new Map<ServiceKey, ServicePlan>();
  /** Compiled anew since the last `takeChanges`; null = gone. */
  private readonly compiled = new Map<ServiceKey, ServicePlan | null>();
  /** Services that claim something of which the owner has become another one since then. */
  private readonly neighbours = new Set<ServiceKey>();
  /** Only Services that have some: what is shown costs what is wrong, not what there is. */
  private readonly problemsOf = new Map<ServiceKey, readonly Problem[]>();

  constructor(snapshot: Snapshot, node: NodeOptions) {
    this.snapshot = snapshot;
    this.options = node;
  }

  get node(): NodeOptions {
    return this.options;
  }

  /** Other facts or settings of the node. Every Service is to be compiled anew after it, before `takeChanges`. */
  setNode(node: NodeOptions): void {
    this.options = node;
  }

  /** Compiles one Service from what the snapshot says of it by now. */
  recompile(key: ServiceKey): void {
    const facts = this.snapshot.get(key);
    const plan = facts === undefined ? null : compileService(facts.service, facts.slices, this.options);
    this.compiled.set(key, plan);
    const claims = plan === null ? [] : claimsOf(plan, this.options);
    for (const other of this.claims.set(key, plan?.createdAtMs ?? 0, claims)) this.neighbours.add(other);
  }

  /** The Services whose plan is another one than at the last call; null = gone. Settles who owns what. */
  takeChanges(): Map<ServiceKey, ServicePlan | null> {
    const changes = new Map<ServiceKey, ServicePlan | null>();
    for (const [key, plan] of this.settleChanges()) if (plan !== undefined) changes.set(key, plan);
    return changes;
  }

  /**
   * As takeChanges, one Service at a time, so that a large table need not be settled in one go: undefined = its plan is still the same.
   * Nothing is compiled before it has come to its end.
   */
  *settleChanges(): Generator<readonly [ServiceKey, ServicePlan | null | undefined]> {
    for (const [key, plan] of this.compiled) yield [key, this.settle(key, plan)];
    for (const key of this.neighbours) {
      if (this.compiled.has(key)) continue;
      yield [key, this.settle(key, this.contested.get(key) ?? this.plans.get(key) ?? null)];
    }
    this.compiled.clear();
    this.neighbours.clear();
  }

  private settle(key: ServiceKey, compiled: ServicePlan | null): ServicePlan | null | undefined {
    if (compiled === null) {
      this.contested.delete(key);
      this.problemsOf.delete(key);
      return this.plans.delete(key) ? null : undefined;
    }
    const plan = restrictToOwned(compiled, this.options, (claim) => this.claims.ownerOf(claim));
    if (plan === compiled) this.contested.delete(key);
    else this.contested.set(key, compiled);
    if (isSameData(this.plans.get(key), plan)) return undefined;
    this.plans.set(key, plan);
    if (plan.problems.length > 0) this.problemsOf.set(key, plan.problems);
    else this.problemsOf.delete(key);
    return plan;
  }

  /**
   * The Services for which the addresses of the node matter: all but those that only have cluster IPs; with `changed`, those that have one of
   * these addresses as their own. Costs the table.
   */
  *usersOfAddresses(changed: ReadonlySet<IpAddress> | null = null): Generator<ServiceKey> {
    for (const [key, plan] of this.plans) {
      const { healthCheck, virtualServers } = this.contested.get(key) ?? plan;
      const isConcerned =
        changed === null
          ? healthCheck !== null || virtualServers.some(({ kind }) => kind !== 'ClusterIP')
          : virtualServers.some(({ address }) => address !== null && changed.has(address));
      if (isConcerned) yield key;
    }
  }

  get(key: ServiceKey): ServicePlan | undefined {
    return this.plans.get(key);
  }

  /** Keys of all Services with a plan, in no particular order. */
  keys(): IterableIterator<ServiceKey> {
    return this.plans.keys();
  }

  /** All plans, in no particular order. */
  values(): IterableIterator<ServicePlan> {
    return this.plans.values();
  }

  get size(): number {
    return this.plans.size;
  }

  /** What was found while compiling, in no particular order of Services. */
  problems(): Problem[] {
    return [...this.problemsOf.values()].flat();
  }

  /** The plan as of the last `takeChanges`. The map holds critical Services first, then all others, each sorted by key. */
  plan(): ForwardingPlan {
    const sorted = [...this.plans.values()].sort(
      (a, b) => Number(b.isCritical) - Number(a.isCritical) || compareText(a.key, b.key),
    );
    return { node: this.options, services: new Map(sorted.map((plan) => [plan.key, plan])) };
  }
}

/** The plan of the whole node, from scratch. */
export function compile(snapshot: Snapshot, node: NodeOptions): ForwardingPlan {
  const planner = new Planner(snapshot, node);
  for (const key of snapshot.services()) planner.recompile(key);
  planner.takeChanges();
  return planner.plan();
}
