// One step of writing: carries out what a few Services need, in the order that leaks nothing.
//   restrict: members that shut or mark (undeclared ports rejected, hairpin and NodePort masquerade, ownership)
//   add:      virtual servers, then their real servers
//   open:     members that let packets pass, then addresses
// and on removal the reverse. Every failure is kept with the virtual server, member or address it belongs to.

import type { KernelError } from '../../model/errors.ts';
import type { Family, IpAddress } from '../../model/ip.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { IpvsFailure, IpvsOperation } from '../../kernel/ipvs.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { DesiredMember } from './desired.ts';
import type { VirtualServerDiff } from './diff.ts';
import type { LedgerDelta } from './ledger.ts';
import type { AddressFailure, IpvsKernelPort, MemberFailure, SetChange } from './port.ts';
import type { SetName } from './sets.ts';

/** Work of one step. */
export interface Step {
  readonly delta: LedgerDelta;
  /** By virtual server id. */
  readonly changed: ReadonlyMap<string, VirtualServerDiff>;
  /** DEL_SERVICE, each with its real servers. */
  readonly deleted: readonly IpvsOperation[];
}

/** What became of it. */
export interface StepOutcome {
  operations: number;
  /** By virtual server id: the first refusal. NEW_SERVICE refused with EEXIST means that somebody else made it. */
  readonly failedVirtualServers: Map<string, KernelError>;
  readonly failedMembers: MemberFailure[];
  readonly failedAddresses: AddressFailure[];
}

const ENOENT = 2;
const ESRCH = 3;

/** Sets whose members let packets through to what is behind them; all others shut or mark. */
const OPENING_SETS: ReadonlySet<SetName> = new Set([
  'KUBE-CLUSTER-IP',
  'KUBE-EXTERNAL-IP',
  'KUBE-EXTERNAL-IP-LOCAL',
  'KUBE-LOAD-BALANCER',
  'KUBE-HEALTH-CHECK-NODE-PORT',
] satisfies SetName[]);

/** Runs the step against the port. Throws only when the outcome of something is unknown (time limits, lost replies). */
export async function runStep(
  port: IpvsKernelPort,
  step: Step,
  pace: () => Promise<void>,
): Promise<StepOutcome> {
  const run = new StepRun(port, pace);
  const { delta } = step;
  await run.addMembers(delta.addMembers.values(), false);
  await run.createVirtualServers(step.changed);
  await run.changeRealServers(step.changed, 'add');
  await run.addMembers(delta.addMembers.values(), true);
  await run.bind([...delta.addAddresses]);

  await run.unbind([...delta.removeAddresses]);
  await run.deleteMembers(delta.removeMembers.values(), true);
  await run.changeRealServers(step.changed, 'remove');
  await run.deleteVirtualServers(step.deleted);
  await run.deleteMembers(delta.removeMembers.values(), false);
  return run.outcome;
}

class StepRun {
  readonly outcome: StepOutcome = {
    operations: 0,
    failedVirtualServers: new Map(),
    failedMembers: [],
    failedAddresses: [],
  };
  private readonly port: IpvsKernelPort;
  private readonly pace: () => Promise<void>;

  constructor(port: IpvsKernelPort, pace: () => Promise<void>) {
    this.port = port;
    this.pace = pace;
  }

  async addMembers(members: Iterable<DesiredMember>, isOpening: boolean): Promise<void> {
    const changes = this.group(members, isOpening);
    await this.pace();
    if (changes.length > 0) this.outcome.failedMembers.push(...(await this.port.addMembers(changes)));
  }

  async deleteMembers(members: Iterable<DesiredMember>, isOpening: boolean): Promise<void> {
    const changes = this.group(members, isOpening);
    await this.pace();
    if (changes.length > 0) this.outcome.failedMembers.push(...(await this.port.deleteMembers(changes)));
  }

  private group(members: Iterable<DesiredMember>, isOpening: boolean): SetChange[] {
    const bySet = new Map<string, { set: SetName; family: Family; members: SetMember[] }>();
    for (const { set, family, member } of members) {
      if (OPENING_SETS.has(set) !== isOpening) continue;
      this.outcome.operations++;
      const id = `${family} ${set}`;
      const change = bySet.get(id);
      if (change === undefined) bySet.set(id, { set, family, members: [member] });
      else change.members.push(member);
    }
    return [...bySet.values()];
  }

  /** Apart from their real servers: a key that somebody else took meanwhile must not get ours. */
  async createVirtualServers(changed: ReadonlyMap<string, VirtualServerDiff>): Promise<void> {
    const operations: IpvsOperation[] = [];
    for (const { service } of changed.values()) if (service !== null) operations.push(service);
    await this.applyIpvs(operations, () => false);
  }

  async changeRealServers(
    changed: ReadonlyMap<string, VirtualServerDiff>,
    step: 'add' | 'remove',
  ): Promise<void> {
    const operations: IpvsOperation[] = [];
    for (const [id, diff] of changed) {
      if (!this.outcome.failedVirtualServers.has(id))
        for (const operation of diff[step]) operations.push(operation);
    }
    await this.applyIpvs(
      operations,
      ({ error }) => step === 'remove' && (error.errno === ENOENT || error.errno === ESRCH),
    );
  }

  async deleteVirtualServers(operations: readonly IpvsOperation[]): Promise<void> {
    await this.applyIpvs(operations, ({ error }) => error.errno === ESRCH);
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

  async bind(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    this.outcome.operations += addresses.length;
    await this.pace();
    this.outcome.failedAddresses.push(...(await this.port.bind(addresses)));
  }

  async unbind(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    this.outcome.operations += addresses.length;
    await this.pace();
    this.outcome.failedAddresses.push(...(await this.port.unbind(addresses)));
  }
}
