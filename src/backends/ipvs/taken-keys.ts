// A key on which we wanted to make a virtual server turned out to be somebody else's: what our step put there goes again, what was there stays.

import type { IpAddress } from '../../model/ip.ts';
import type { Absent } from './absent.ts';
import { makeMember } from './desired.ts';
import type { KeptMembers } from './kept-members.ts';
import type { LedgerDelta } from './ledger.ts';
import type { StepOutcome } from './step.ts';

/** What a step added itself; what was refused, not sent or there already is not in it. */
export interface Written {
  /** By DesiredMember.id. */
  readonly members: ReadonlySet<string>;
  readonly addresses: ReadonlySet<IpAddress>;
}

/** What a step with this outcome added of what it was to add. */
export function writtenBy({ addMembers, addAddresses }: LedgerDelta, outcome: StepOutcome): Written {
  const members = new Set(addMembers.keys());
  for (const ids of [outcome.presentMembers, outcome.withheldMembers])
    for (const id of ids) members.delete(id);
  for (const { set, family, member } of outcome.failedMembers)
    members.delete(makeMember(set, family, member).id);
  const addresses = new Set(addAddresses);
  for (const list of [outcome.presentAddresses, outcome.shutAddresses])
    for (const address of list) addresses.delete(address);
  for (const { address } of outcome.failedAddresses) addresses.delete(address);
  return { members, addresses };
}

/**
 * Takes out of `delta` the removal of what the virtual server of somebody else has there as well, whether it was found or not looked at: only what
 * the step `before` put there itself is removed. Nobody but us writes marks of ownership.
 */
export function spareOthers(delta: LedgerDelta, before: Written, kept: KeptMembers, absent: Absent): void {
  for (const [id, member] of delta.removeMembers) {
    if (before.members.has(id) || member.set === 'POINTSMAN-VS') continue;
    delta.removeMembers.delete(id);
    kept.add(member);
  }
  for (const address of delta.removeAddresses) {
    if (before.addresses.has(address)) continue;
    delta.removeAddresses.delete(address);
    absent.forgetAddress(address);
  }
}
