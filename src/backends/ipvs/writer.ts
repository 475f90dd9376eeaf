// Writes Services to the kernel, a few at a time, and keeps the table true to what the kernel answered. A refused operation stops nothing
// else: its Service is noted as failed, and what could not be removed as left over.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { Absent } from './absent.ts';
import type { DesiredVirtualServer } from './desired.ts';
import type { LedgerDelta } from './ledger.ts';
import { Parts } from './parts.ts';
import type { IpvsKernelPort } from './port.ts';
import type { RuleGate } from './rule-gate.ts';
import { SetRooms } from './set-rooms.ts';
import type { IpvsSettings } from './settings.ts';
import { Settler } from './settler.ts';
import { StepBuilder, type StepOptions } from './step-builder.ts';
import { runStep, type Step, type StepOutcome } from './step.ts';
import type { Table } from './table.ts';
import { writtenBy } from './taken-keys.ts';

/** One step handles at most this many Services and about this many real servers, so that memory and latency stay bounded. */
const STEP_SERVICES = 128;
const STEP_REAL_SERVERS = 2048;
/** The failure of a step that was to remove things only. */
const UNWANTED = 'what is no longer wanted';

interface WriteOptions extends Pick<StepOptions, 'present' | 'isRepair' | 'unwanted'> {
  /** Those of the Services that must be written in one step with the one before them. */
  readonly joined?: ReadonlySet<ServiceKey>;
}

/** What became of repairs, as in a StepOutcome. */
interface RepairOutcome extends Pick<
  StepOutcome,
  'failedMembers' | 'failedAddresses' | 'presentAddresses' | 'presentMembers'
> {
  readonly shut: Set<string>;
}

export class Writer {
  /** What is wanted and was refused or left out. */
  readonly absent: Absent;
  private readonly port: IpvsKernelPort;
  private readonly table: Table;
  private readonly gate: RuleGate;
  private readonly settings: () => IpvsSettings;
  private readonly rooms: SetRooms;
  private readonly settler: Settler;
  private readonly builder: StepBuilder;

  constructor(
    port: IpvsKernelPort,
    table: Table,
    gate: RuleGate,
    families: readonly Family[],
    settings: () => IpvsSettings,
  ) {
    this.port = port;
    this.table = table;
    this.gate = gate;
    this.settings = settings;
    this.absent = new Absent(table);
    this.rooms = new SetRooms(port, table, families);
    this.settler = new Settler(table, settings, this.absent, gate);
    this.builder = new StepBuilder(table, settings, this.absent, this.settler);
  }

  /** Forgets what it remembers of the kernel. */
  reset(): void {
    this.absent.reset();
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
    for (const step of this.cut(keys, options.joined ?? new Set())) {
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

  /** The Services of each step, in their order; see `WriteOptions.joined`. */
  private *cut(keys: readonly ServiceKey[], joined: ReadonlySet<ServiceKey>): Generator<ServiceKey[]> {
    let step: ServiceKey[] = [];
    let realServers = 0;
    for (const key of keys) {
      const isFull = step.length >= STEP_SERVICES || realServers >= STEP_REAL_SERVERS;
      if (isFull && !joined.has(key)) {
        yield step;
        step = [];
        realServers = 0;
      }
      step.push(key);
      for (const each of this.table.desired.get(key)?.virtualServers ?? [])
        realServers += each.realServers.length;
    }
    if (step.length > 0) yield step;
  }

  /** With `isAfterGrowth`, sets grew for the step after a first try; a second growth would help no more. */
  private async writeStep(
    keys: readonly ServiceKey[],
    options: StepOptions,
    isAfterGrowth = false,
  ): Promise<number> {
    const { failures } = this.table;
    const work = await this.builder.build(keys, options);
    let operations = await this.rooms.make();
    const shut = this.gate.shutOf(work.wanted);
    const step = this.stepOf({ ...work, shut, isRepair: options.isRepair ?? false });
    const outcome = await this.attempt(keys, step);
    if (outcome === null) return operations;
    const again = this.settler.settle(keys, step, outcome);
    operations += outcome.operations;
    if (again.length > 0)
      operations += await this.writeStep(again, { before: writtenBy(step.delta, outcome) });
    if (!isAfterGrowth && (await this.rooms.makeAfter(outcome.failedMembers))) {
      for (const key of keys) failures.forget(key);
      operations += await this.writeStep(keys, { isRepair: true }, true);
    }
    return operations;
  }

  private stepOf(work: Omit<Step, 'leftovers' | 'addressUsers'>): Step {
    const { failures, ledger } = this.table;
    const addressUsers: Step['addressUsers'] = (address) => ledger.addressUsers(address);
    return { ...work, leftovers: failures.leftovers.members, addressUsers };
  }

  /** null when the outcome is unknown, which is noted then. */
  private async attempt(keys: readonly ServiceKey[], step: Step): Promise<StepOutcome | null> {
    const { failures } = this.table;
    try {
      return await runStep(this.port, step, this.settings().pace);
    } catch (error) {
      this.settler.settleUnknown(step);
      for (const key of keys) failures.noteRefusal(key, 'its virtual servers', error);
      if (!(error instanceof PointsmanError)) throw error;
      if (keys.length === 0) failures.noteNode(UNWANTED, error);
      return null;
    }
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
      const step = this.stepOf({ ...part, changed: new Map(), shut, isRepair: true });
      const ran = await runStep(this.port, step, this.settings().pace);
      failures.noteStep([], ran, ledger);
      for (const each of ran.failedMembers) outcome.failedMembers.push(each);
      for (const each of ran.failedAddresses) outcome.failedAddresses.push(each);
      for (const each of ran.presentAddresses) outcome.presentAddresses.push(each);
      for (const id of ran.presentMembers) outcome.presentMembers.add(id);
      for (const id of ran.shut) outcome.shut.add(id);
    }
    return outcome;
  }
}
