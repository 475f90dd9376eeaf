// One step of writing: carries out what a few Services need, in the order that leaks nothing (phases.ts), and on removal the reverse.
// A refusal stops only what would be unsafe without the refused thing (withholding.ts). Every failure is kept with the virtual server, member
// or address it belongs to.

import type { PointsmanError } from '../../model/errors.ts';
import type { Family, IpAddress } from '../../model/ip.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { IpvsOperation } from '../../kernel/ipvs.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { makeMember, type AddressService, type DesiredMember, type DesiredVirtualServer } from './desired.ts';
import type { VirtualServerDiff } from './diff.ts';
import type { LedgerDelta } from './ledger.ts';
import { orderMembers } from './phases.ts';
import type { AddressFailure, IpvsKernelPort, MemberFailure, SetChange } from './port.ts';
import type { SetName } from './sets.ts';
import { Withholding } from './withholding.ts';

/** Work of one step. */
export interface Step {
  readonly delta: LedgerDelta;
  /** Everything that the Services of the step want by now, changed or not. */
  readonly wanted: readonly DesiredVirtualServer[];
  /** By virtual server id. */
  readonly changed: ReadonlyMap<string, VirtualServerDiff>;
  /** Virtual servers that go, each with its real servers. */
  readonly deleted: readonly AddressService[];
  /** Ids of wanted virtual servers that are to stay shut. */
  readonly shut: ReadonlySet<string>;
  /** True when everything wanted is sent again, whatever the kernel has. */
  readonly isRepair: boolean;
  /** Members that should be gone and could not be removed, by id. */
  readonly leftovers: ReadonlyMap<string, DesiredMember>;
  /** How many virtual servers need an address on kube-ipvs0, those of other steps included. */
  readonly addressUsers: (address: IpAddress) => number;
}

/** What became of it. */
export interface StepOutcome {
  operations: number;
  /** By virtual server id: the first refusal. NEW_SERVICE refused with EEXIST means that somebody else made it. */
  readonly failedVirtualServers: Map<string, PointsmanError>;
  readonly failedMembers: MemberFailure[];
  readonly failedAddresses: AddressFailure[];
  /** Ids of wanted members that were there already. */
  readonly presentMembers: Set<string>;
  /** Ids of wanted members that were not sent, because what they are about stays shut or as it was. */
  readonly withheldMembers: string[];
  /** Wanted addresses that were on kube-ipvs0 already. */
  readonly presentAddresses: IpAddress[];
  /** Wanted addresses that were not bound, because everything at them stayed shut. */
  readonly shutAddresses: IpAddress[];
  /** Ids of wanted virtual servers that stayed shut; new ones among them were not made. */
  readonly shut: ReadonlySet<string>;
  /** Unwanted virtual servers that were left because something still leads to them. */
  readonly keptServices: AddressService[];
  /** Unwanted members that were left: guards of what could not be removed, and passes of what could not be replaced. */
  readonly keptMembers: DesiredMember[];
}

const ENOENT = 2;
const ESRCH = 3;

/** Runs the step against the port. Throws only when the outcome of something is unknown (time limits, lost replies). */
export async function runStep(
  port: IpvsKernelPort,
  step: Step,
  pace: () => Promise<void>,
): Promise<StepOutcome> {
  const shut = new Set(step.shut);
  const outcome = emptyOutcome(shut);
  const send = new Sender(port, outcome, pace);
  const withholding = new Withholding(step, outcome, shut);
  const { delta } = step;
  const members = orderMembers(delta, step.isRepair);
  await send.addMembers(members.addGuards);
  withholding.shutUnguarded();
  await send.deleteMembers(members.removeUnmarks);
  withholding.holdUnmasqueraded();
  withholding.holdExempted();
  // Apart from their real servers: a key that somebody else took meanwhile must not get ours.
  await send.applyIpvs(withholding.openServices());
  withholding.shutRefused();
  await send.applyIpvs(withholding.openServers('add'));
  await send.addMembers(withholding.openPasses(members.addPasses));
  await send.bind(withholding.openAddresses([...delta.addAddresses]));

  await send.unbind([...delta.removeAddresses]);
  await send.deleteMembers(withholding.replacedPasses(members.removePasses));
  await send.applyIpvs(withholding.openServers('remove'), [ENOENT, ESRCH]);
  await send.addMembers(withholding.allowedUnmarks(members.addUnmarks));
  const released = withholding.releasedServices(step.deleted);
  await send.applyIpvs(
    released.map((service) => ({ op: 'DEL_SERVICE', service })),
    [ESRCH],
  );
  await send.deleteMembers(withholding.releasedGuards(members.removeGuards));
  return outcome;
}

function emptyOutcome(shut: ReadonlySet<string>): StepOutcome {
  return {
    operations: 0,
    failedVirtualServers: new Map(),
    failedMembers: [],
    failedAddresses: [],
    presentMembers: new Set(),
    withheldMembers: [],
    presentAddresses: [],
    shutAddresses: [],
    shut,
    keptServices: [],
    keptMembers: [],
  };
}

/** Sends what it is given, each call as one batch, and puts what becomes of it into the outcome. */
class Sender {
  private readonly port: IpvsKernelPort;
  private readonly outcome: StepOutcome;
  private readonly pace: () => Promise<void>;

  constructor(port: IpvsKernelPort, outcome: StepOutcome, pace: () => Promise<void>) {
    this.port = port;
    this.outcome = outcome;
    this.pace = pace;
  }

  async addMembers(members: readonly DesiredMember[]): Promise<void> {
    if (members.length === 0) return;
    await this.pace();
    const { failures, present } = await this.port.addMembers(this.group(members));
    for (const each of failures) this.outcome.failedMembers.push(each);
    for (const { set, family, members: found } of present)
      for (const member of found) this.outcome.presentMembers.add(makeMember(set, family, member).id);
  }

  async deleteMembers(members: readonly DesiredMember[]): Promise<void> {
    if (members.length === 0) return;
    await this.pace();
    for (const each of await this.port.deleteMembers(this.group(members)))
      this.outcome.failedMembers.push(each);
  }

  private group(members: readonly DesiredMember[]): SetChange[] {
    const bySet = new Map<string, { set: SetName; family: Family; members: SetMember[] }>();
    for (const { set, family, member } of members) {
      this.outcome.operations++;
      const id = `${family} ${set}`;
      const change = bySet.get(id);
      if (change === undefined) bySet.set(id, { set, family, members: [member] });
      else change.members.push(member);
    }
    return [...bySet.values()];
  }

  /** A refusal with an errno of `fine` is none: what was to be removed is gone. */
  async applyIpvs(operations: readonly IpvsOperation[], fine: readonly number[] = []): Promise<void> {
    if (operations.length === 0) return;
    const { failedVirtualServers } = this.outcome;
    this.outcome.operations += operations.length;
    await this.pace();
    for (const { operation, error } of await this.port.applyIpvs(operations)) {
      if (fine.includes(error.errno) || !('service' in operation) || operation.service === null) continue;
      const id = formatServiceKey(operation.service);
      if (!failedVirtualServers.has(id)) failedVirtualServers.set(id, error);
    }
  }

  async bind(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    this.outcome.operations += addresses.length;
    await this.pace();
    const { failures, present } = await this.port.bind(addresses);
    for (const each of failures) this.outcome.failedAddresses.push(each);
    for (const address of present) this.outcome.presentAddresses.push(address);
  }

  async unbind(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    this.outcome.operations += addresses.length;
    await this.pace();
    for (const each of await this.port.unbind(addresses)) this.outcome.failedAddresses.push(each);
  }
}
