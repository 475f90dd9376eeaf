// The IPVS backend: brings kernel state to the plan, a few Services at a time, and remembers what the kernel holds.
// Guarantees:
//  1. Nothing is written before the first `apply`, which must be complete.
//  2. A change costs what it changes: no kernel listing after the first apply, except for Services that failed. The whole table is
//     compared apart from that, by `verifier`.
//  3. Virtual servers, members and addresses that are not ours are not touched; one on a key that we need becomes a problem.
//  4. A failed operation stops nothing else; its Service is in `failed` until `retry` has read the kernel and put it right.
// Not re-entrant: the daemon calls one method at a time, those of `verifier` included.

import type { Family } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { Problem } from '../../model/problem.ts';
import type { NodeOptions } from '../../plan/plan.ts';
import type { ApplyReport, Backend, PlanChange } from '../backend.ts';
import type { FlowChange } from '../stale-flows.ts';
import { Adoption } from './adoption.ts';
import type { DesiredVirtualServer } from './desired.ts';
import { Drainer, type CutConnections } from './drainer.ts';
import type { Drains } from './drains.ts';
import type { FailedOperation } from './failures.ts';
import { GroupWriter } from './group-writer.ts';
import { takeIn } from './intake.ts';
import { strandedHolders } from './lingering.ts';
import type { IpvsKernelPort } from './port.ts';
import type { Repair } from './repairs.ts';
import { RuleGate } from './rule-gate.ts';
import { RuleKeeper } from './rule-keeper.ts';
import { SettingsWriter } from './settings-writer.ts';
import { DEFAULT_NODE_PORTS, type IpvsSettings } from './settings.ts';
import { SwitchKeeper } from './switch-keeper.ts';
import { reportSwitches, type SwitchFacts, type SwitchState } from './switches.ts';
import { Table } from './table.ts';
import { Verifier } from './verifier.ts';
import { Writer } from './writer.ts';

export interface IpvsBackendOptions {
  /** Hears of each thing that verification put right, once. */
  readonly onRepair?: (repair: Repair) => void;
  /** Hears how many virtual servers without our mark, of a kube-proxy before us, were taken over at the start. */
  readonly onTakeOver?: (virtualServers: number) => void;
  /** Hears of connections that were cut because the time of a drain was up. */
  readonly onCut?: (cut: CutConnections) => void;
  /** Hears, after each write, what the kernel now has of each UDP virtual server that changed; after the first apply of all. */
  readonly onFlowChange?: (change: FlowChange) => void;
}

export class IpvsBackend implements Backend {
  readonly verifier: Verifier;
  private readonly drainer: Drainer;
  private readonly port: IpvsKernelPort;
  private settings: IpvsSettings;
  private readonly table = new Table();
  private readonly writer: Writer;
  private readonly groups: GroupWriter;
  private readonly settingsWriter: SettingsWriter;
  private readonly switches: SwitchKeeper;
  private readonly rules: RuleKeeper;
  private readonly families: readonly Family[];
  private readonly onFlowChange: (change: FlowChange) => void;
  private readonly onTakeOver: (virtualServers: number) => void;
  private node: NodeOptions | null = null;
  /** Only until the first apply has gone through. */
  private adoption: Adoption | null = null;
  private isAdopted = false;

  constructor(
    port: IpvsKernelPort,
    families: readonly Family[],
    settings: IpvsSettings,
    options: IpvsBackendOptions = {},
  ) {
    this.port = port;
    this.families = families;
    this.settings = settings;
    this.onFlowChange = options.onFlowChange ?? (() => {});
    this.onTakeOver = options.onTakeOver ?? (() => {});
    const gate = new RuleGate(this.table);
    this.writer = new Writer(port, this.table, gate, families, () => this.settings);
    this.groups = new GroupWriter(port, this.table, this.writer, () => this.settings);
    this.rules = new RuleKeeper(port, this.table, gate, families);
    this.switches = new SwitchKeeper(
      port,
      this.table,
      () => this.settings,
      () => this.switchFacts(),
    );
    this.settingsWriter = new SettingsWriter(port, this.table.failures, () => this.settings, this.switches);
    this.drainer = new Drainer({
      ...{ port, table: this.table, writer: this.writer, settings: () => this.settings },
      onCut: options.onCut ?? (() => {}),
    });
    this.verifier = new Verifier({
      checkSwitches: () => this.switches.check(),
      port,
      families,
      table: this.table,
      writer: this.writer,
      rules: this.rules,
      pace: () => this.settings.pace(),
      onRepair: options.onRepair ?? (() => {}),
    });
  }

  /** New settings hold from the next call on; what they change in the kernel is written by the next `apply`. */
  configure(settings: IpvsSettings): void {
    this.settings = settings;
    this.settingsWriter.setDue();
  }

  async apply(change: PlanChange): Promise<ApplyReport> {
    try {
      return await this.applyOnce(change);
    } catch (error) {
      if (!this.isAdopted) this.forgetStart();
      throw error;
    }
  }

  /** A start that failed is done anew: by then the kernel may have changed. */
  private forgetStart(): void {
    this.adoption = null;
    this.node = null;
    this.settingsWriter.setDue();
    this.table.reset();
    this.writer.reset();
    this.rules.reset();
  }

  private async applyOnce(change: PlanChange): Promise<ApplyReport> {
    const startMs = this.settings.now();
    if (!this.isAdopted) this.adoption = await this.beginAdoption(change);
    const stranded = this.setNode(change.node);
    let operations = await this.settingsWriter.apply();
    if (this.adoption !== null) operations += await this.adoption.createContainers();
    const { critical, others } = await takeIn(change, this.table, this.settings.pace);
    operations += await this.ensureRules([...critical, ...others].flat());
    // Apart, so that they are complete before anything else begins.
    for (const groups of [critical, others, stranded.map((key) => [key])])
      operations += await this.groups.write(groups, this.adoption?.state ?? null);
    if (this.adoption !== null) operations += await this.endAdoption(this.adoption);
    await this.bindOrphans();
    operations += await this.drainer.look();
    operations += await this.ensureRules([]);
    return this.report(operations, startMs);
  }

  /** Reads what is there, before anything is written. */
  private beginAdoption({ isComplete, node }: PlanChange): Promise<Adoption> {
    if (!isComplete) throw new Error('the first apply must be complete');
    this.rules.load();
    const { excludeCIDRs, nodePorts = DEFAULT_NODE_PORTS } = this.settings;
    const { nodePortAddresses } = node;
    const takeOver = { nodePortAddresses, nodePorts, excludeCIDRs };
    return Adoption.begin(this.port, this.table, this.families, takeOver);
  }

  /** Everything wanted is there: what an earlier run left and nobody wants goes. Returns the number of operations. */
  private endAdoption(adoption: Adoption): Promise<number> {
    this.adoption = null;
    this.isAdopted = true;
    if (adoption.state.takenOver > 0) this.onTakeOver(adoption.state.takenOver);
    return adoption.removeStale(this.writer, this.settings);
  }

  /** Returns the Services that must be written because virtual servers of theirs lingered at an address that went. */
  private setNode(node: NodeOptions): ServiceKey[] {
    if (node === this.node) return [];
    this.node = node;
    this.table.localAddresses = new Set([...node.localAddresses, ...node.nodePortAddresses]);
    return strandedHolders(this.table);
  }

  /** Milliseconds until `drain` is due, 0 when it is overdue; null when nothing drains. */
  drainDueInMs(): number | null {
    return this.drainer.dueInMs();
  }

  /** Looks at servers that drain and removes what has ended; what is refused is in the report. */
  async drain(): Promise<ApplyReport> {
    const startMs = this.settings.now();
    const operations = await this.drainer.look();
    return this.report(operations + (await this.ensureRules([])), startMs);
  }

  /** Ends drains before their time: the next `drain`, which is due at once, cuts what connections they have. Returns how many. */
  endDrains(isMeant: Parameters<Drains['expire']>[0]): number {
    return this.table.drains.expire(isMeant, this.settings.now());
  }

  async retry(keys: Iterable<ServiceKey>): Promise<ApplyReport> {
    const startMs = this.settings.now();
    const retried = [...new Set(keys)];
    let operations = await this.settingsWriter.apply();
    await this.groups.reread(retried);
    this.rules.forgetRefusals();
    this.writer.beginRetry();
    operations += await this.ensureRules(retried);
    operations += await this.groups.writeAgain(retried.map((key) => [key]));
    operations += await this.writer.endRetry();
    await this.bindOrphans();
    await this.verifier.repairSuspects();
    operations += await this.drainer.look(true);
    operations += await this.ensureRules([]);
    return this.report(operations, startMs);
  }

  private async bindOrphans(): Promise<void> {
    const orphans = this.writer.absent.takeOrphans();
    for (const address of orphans) this.verifier.suspectAddress(address);
    if (orphans.length > 0) await this.verifier.repairSuspects();
  }

  private report(operations: number, startMs: number): ApplyReport {
    const { failures } = this.table;
    this.tellFlows();
    return {
      operations,
      failed: failures.keys(),
      leftovers: failures.leftovers.list(),
      nodeFailures: failures.nodeObjects(),
      durationMs: this.settings.now() - startMs,
    };
  }

  /** Those whose Service fails wait for its retry: until then it is not known what the kernel has. */
  private tellFlows(): void {
    const { applied, failures, ledger } = this.table;
    for (const [id, service] of applied.touched) {
      const owner = ledger.ownerOf(id);
      if (owner !== undefined && failures.has(owner)) continue;
      applied.touched.delete(id);
      this.onFlowChange({ portal: service, realServers: applied.get(id)?.destinations ?? null });
    }
  }

  /** Tells `onFlowChange` of every UDP virtual server once more: rules of others may have made flows beside them. */
  retellFlows(): void {
    this.table.applied.touchAll();
    this.tellFlows();
  }

  /** What is not as planned at present, as after an apply that did nothing. */
  currentReport(): ApplyReport {
    return this.report(0, this.settings.now());
  }

  problems(): ReadonlyMap<ServiceKey, readonly Problem[]> {
    return this.table.failures.problems();
  }

  /** Operations that were refused and are tried again. */
  failedOperations(): readonly FailedOperation[] {
    return this.table.failures.operations();
  }

  /** The virtual servers that a Service really has, for status. */
  virtualServersOf(key: ServiceKey): readonly DesiredVirtualServer[] {
    return this.table.ledger.effectiveOf(key).virtualServers;
  }

  /** Monotonic milliseconds by which drains are timed. */
  now(): number {
    return this.settings.now();
  }

  /** Servers that keep old connections and take no new ones. */
  get drains(): Pick<Drains, 'list' | 'of' | 'size' | 'endedBy'> {
    return this.table.drains;
  }

  /** The kernel switches that matter, with what is wanted of each and why. Throws when one cannot be read. */
  switchStates(): SwitchState[] {
    return reportSwitches(this.port, this.settings, this.switchFacts());
  }

  private switchFacts(): SwitchFacts {
    return { objects: this.table.ledger.objectCount, servesIPv6: this.families.includes('IPv6') };
  }

  /** Ids of virtual servers that others made. */
  foreignVirtualServers(): readonly string[] {
    return [...this.table.foreign.keys()].sort();
  }

  private async ensureRules(keys: readonly ServiceKey[]): Promise<number> {
    if (this.node === null) return 0;
    const { masqueradeMark } = this.settings;
    const filled = this.adoption?.filledSets() ?? [];
    return this.rules.ensure(keys, { node: this.node, masqueradeMark, filled: [...filled] });
  }
}
