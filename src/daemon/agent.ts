// The agent: facts in, kernel state out. Holds the snapshot and the plans, compiles what changed, hands it to the backend, retries
// what failed. One sync at a time. No sockets, no files, no clock of its own: daemon.ts wires those.

import type { ApplyReport, Backend } from '../backends/backend.ts';
import { errorLine } from '../model/errors.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { formatProblem, type Problem } from '../model/problem.ts';
import { Snapshot } from '../model/snapshot.ts';
import { ownAddressesChanged, sameButAddresses, sameNodeOptions } from '../plan/node-options.ts';
import type { NodeOptions, ServicePlan } from '../plan/plan.ts';
import { Planner } from '../plan/planner.ts';
import { formatElapsed, LINES } from './log-lines.ts';
import type { Log } from './log.ts';
import type { SyncReason } from './sync-loop.ts';
import type { SyncObserver } from './sync-observer.ts';

export interface AgentOptions {
  readonly backend: Backend;
  readonly log: Log;
  readonly node: NodeOptions;
  /** Awaited between Services: gives Node's loop a turn when it was held for long. */
  readonly pace: () => Promise<void>;
  /** Called after each event that wants a sync. */
  readonly onDirty: () => void;
  /** Hear what the agent does, each time in this order. */
  readonly observers?: readonly SyncObserver[];
}

/** What the last syncs did, for status and health. */
export interface SyncStatus {
  readonly syncs: number;
  readonly lastReport: ApplyReport | null;
  /** The error that stopped the last sync as a whole, '' when it went through. */
  readonly lastError: string;
  /** Services with changes that are not in the kernel yet, those of a sync that goes on included. */
  readonly pendingServices: number;
  /** True when anything known is not in the kernel yet: Services, settings, facts of the node. */
  readonly isPending: boolean;
}

/** The clock is asked this often, not at each Service. */
const SERVICES_PER_PACE = 16;
const NOBODY: readonly SyncObserver[] = Object.freeze([]);

export class Agent {
  readonly snapshot = new Snapshot();
  private readonly options: AgentOptions;
  private readonly planner: Planner;
  private node: NodeOptions;
  private isNodeDirty = true;
  private isSettingsDirty = false;
  private isComplete = false;
  private isReady = false;
  private readonly dirty = new Set<ServiceKey>();
  /** Services that a sync has taken in hand and not finished. */
  private inHand = 0;
  private isApplying = false;
  private readonly logged = new Set<string>();
  private syncs = 0;
  private lastReport: ApplyReport | null = null;
  private lastError = '';

  constructor(options: AgentOptions) {
    this.options = options;
    this.node = options.node;
    this.planner = new Planner(this.snapshot, options.node);
  }

  /** Takes events in; a sync is asked for only after `setComplete`, and not while `more` of the same difference follows. */
  onEvents(events: readonly ClusterEvent[], more = false): void {
    for (const event of events) {
      const { services } = this.snapshot.apply(event);
      for (const key of services) this.dirty.add(key);
      for (const observer of this.observers) observer.onEvent?.(event, services);
    }
    if (this.isReady && !more && this.dirty.size > 0) this.requestSync();
  }

  /** The first complete list of all kinds was delivered: only from here on is anything written to the kernel. */
  setComplete(): void {
    this.isReady = true;
    this.requestSync();
  }

  /** New settings or facts of the node; a sync is asked for when they matter. */
  setNode(node: NodeOptions): void {
    if (sameNodeOptions(node, this.node)) return;
    // The planner gets it at the next sync: one that runs is not to see two nodes.
    this.node = node;
    this.isNodeDirty = true;
    if (this.isReady) this.requestSync();
  }

  /** Settings of the backend changed: a sync is asked for although no plan did. */
  setSettingsChanged(): void {
    this.isSettingsDirty = true;
    if (this.isReady) this.requestSync();
  }

  private requestSync(): void {
    for (const observer of this.observers) observer.onQueued?.();
    this.options.onDirty();
  }

  private get observers(): readonly SyncObserver[] {
    return this.options.observers ?? NOBODY;
  }

  get nodeOptions(): NodeOptions {
    return this.node;
  }

  planOf(key: ServiceKey): ServicePlan | undefined {
    return this.planner.get(key);
  }

  serviceKeys(): Iterable<ServiceKey> {
    return this.planner.keys();
  }

  get status(): SyncStatus {
    return {
      syncs: this.syncs,
      lastReport: this.lastReport,
      lastError: this.lastError,
      pendingServices: this.dirty.size + this.inHand,
      isPending: this.isNodeDirty || this.isSettingsDirty || this.isApplying || this.dirty.size > 0,
    };
  }

  /** Brings the kernel up to date with everything known now. Never rejects for what the kernel refuses. */
  async sync(reason: SyncReason): Promise<{ needsRetry: boolean }> {
    if (!this.isReady) return { needsRetry: false };
    for (const observer of this.observers) observer.onStarted?.();
    try {
      const report = await this.applyChanges(reason);
      if (report !== null) {
        this.syncs++;
        this.lastReport = report;
        this.lastError = '';
        this.logReport(report);
      }
      // Where there was nothing to do, what failed before is still to be tried again.
      const failed = this.lastReport?.failed ?? [];
      const needsRetry = this.lastReport !== null && hasFailures(this.lastReport);
      const outcome = { hadWork: report !== null, failed, isClean: !needsRetry };
      for (const observer of this.observers) observer.onSynced?.(outcome);
      return { needsRetry };
    } catch (error) {
      this.lastError = errorLine(error);
      this.options.log.error('Sync failed; it is tried again', { err: this.lastError });
      // What the backend did not take in is handed over again as a whole: a complete list also says what is gone.
      this.isNodeDirty = true;
      this.isComplete = false;
      for (const observer of this.observers) observer.onFailed?.();
      return { needsRetry: true };
    }
  }

  /** Takes in what is not as planned after the backend did something outside a sync; true when a retry must follow. */
  noteReport({ failed, leftovers, nodeFailures }: ApplyReport): boolean {
    if (this.lastReport === null) return false;
    this.lastReport = { ...this.lastReport, failed, leftovers, nodeFailures };
    // After a sync that was given up, only the next one knows what is in the kernel.
    if (this.lastError === '') for (const observer of this.observers) observer.onMended?.(failed);
    return hasFailures(this.lastReport);
  }

  private async applyChanges(reason: SyncReason): Promise<ApplyReport | null> {
    const isRetrying = reason === 'retry' && this.lastReport !== null && hasFailures(this.lastReport);
    let report = isRetrying ? await this.options.backend.retry(this.lastReport?.failed ?? []) : null;
    if (this.isNodeDirty || this.isSettingsDirty || this.dirty.size > 0) {
      const applied = await this.applyDirty();
      report = report === null ? applied : merge(report, applied);
    }
    return report;
  }

  private async applyDirty(): Promise<ApplyReport> {
    this.inHand = this.dirty.size;
    this.isApplying = true;
    try {
      this.isSettingsDirty = false;
      const services = await this.compileChanges();
      const isComplete = !this.isComplete;
      const change = { node: this.planner.node, services, isComplete };
      const report = await this.options.backend.apply(change);
      this.isComplete = true;
      for (const observer of this.observers) observer.onApplied?.(change);
      return report;
    } finally {
      this.inHand = 0;
      this.isApplying = false;
    }
  }

  /** The plans to hand over: those that changed, or all when the backend must look at each again. */
  private async compileChanges(): Promise<ReadonlyMap<ServiceKey, ServicePlan | null>> {
    const keys = new Set(this.dirty);
    this.dirty.clear();
    for (const observer of this.observers) observer.onTaken?.();
    // A plan that stays the same can still mean something else in the kernel when facts of the node changed.
    const isAddressesOnly = this.isComplete && sameButAddresses(this.node, this.planner.node);
    const isWhole = !this.isComplete || (this.isNodeDirty && !isAddressesOnly);
    const concerned = new Set<ServiceKey>();
    if (this.isNodeDirty) {
      const changed = isAddressesOnly ? ownAddressesChanged(this.planner.node, this.node) : null;
      this.planner.setNode(this.node);
      if (isAddressesOnly) for (const key of this.planner.usersOfAddresses(changed)) concerned.add(key);
      else for (const key of this.snapshot.services()) keys.add(key);
      for (const key of concerned) keys.add(key);
    }
    this.isNodeDirty = false;
    let done = 0;
    for (const key of keys) {
      this.planner.recompile(key);
      if (++done % SERVICES_PER_PACE === 0) await this.options.pace();
    }
    const services = new Map<ServiceKey, ServicePlan | null>();
    for (const [key, plan] of this.planner.settleChanges()) {
      if (plan !== undefined) services.set(key, plan);
      if (++done % SERVICES_PER_PACE === 0) await this.options.pace();
    }
    if (isWhole) for (const plan of this.planner.values()) services.set(plan.key, plan);
    for (const key of concerned) services.set(key, this.planner.get(key) ?? null);
    for (const observer of this.observers) observer.onPlanned?.(services);
    return services;
  }

  /** Everything that is wrong at present: with objects, with plans, with the kernel. */
  problems(): Problem[] {
    const kernel = [...this.options.backend.problems().values()].flat();
    return [...this.snapshot.problems(), ...this.planner.problems(), ...kernel];
  }

  private logReport(report: ApplyReport): void {
    const fields = {
      services: this.planner.size,
      operations: report.operations,
      elapsedMs: Math.round(report.durationMs * 10) / 10,
      failed: report.failed.length,
    };
    if (report.operations > 0 || report.failed.length > 0) this.options.log.info('Synced', fields);
    else this.options.log.verbose(2, 'Synced, nothing to do', fields);
    this.options.log.verbose(4, LINES.syncComplete, { elapsed: formatElapsed(report.durationMs) });
    // A problem is logged when it appears, not at each sync.
    const current = new Set(this.problems().map(formatProblem));
    for (const line of current) if (!this.logged.has(line)) this.options.log.warn(line);
    this.logged.clear();
    for (const line of current) this.logged.add(line);
  }
}

/** True when something is not as planned and is to be tried again. */
export function hasFailures({ failed, leftovers, nodeFailures }: ApplyReport): boolean {
  return failed.length + leftovers.length + nodeFailures.length > 0;
}

function merge(first: ApplyReport, second: ApplyReport): ApplyReport {
  return {
    operations: first.operations + second.operations,
    failed: second.failed,
    leftovers: second.leftovers,
    nodeFailures: second.nodeFailures,
    durationMs: first.durationMs + second.durationMs,
  };
}
