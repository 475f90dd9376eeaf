// In which order the set members of one step are written. Pure.
//   1 guards come           what shuts or marks is there before what it is for
//   2 unmarks go            a frontend that gets servers elsewhere masquerades before it has them
//   3 servers come          (step.ts)
//   4 passes come           then addresses
//   5 passes go             behind the addresses, which go first
//   6 servers go            (step.ts)
//   7 unmarks come          a frontend that has only local servers left keeps sources from here on
//   8 guards go
// An unmark that comes or goes together with its frontend does so as a guard: there is no moment in which its traffic would be masqueraded.
// A portal that changes between KUBE-EXTERNAL-IP, which marks and lets through, and KUBE-EXTERNAL-IP-LOCAL, which lets through only, stays
// in the one that marks as long as it has servers elsewhere.

import { makeMember, type DesiredMember } from './desired.ts';
import type { LedgerDelta } from './ledger.ts';
import { SET_NAMES, SETS, type SetName, type SetRole } from './sets.ts';

/** The members of a step by the phase in which they are written; see above. */
export interface MemberPhases {
  readonly addGuards: readonly DesiredMember[];
  readonly removeUnmarks: readonly DesiredMember[];
  readonly addPasses: readonly DesiredMember[];
  readonly removePasses: readonly DesiredMember[];
  readonly addUnmarks: readonly DesiredMember[];
  readonly removeGuards: readonly DesiredMember[];
}

/** The set whose member marks what a member of an unmarking set exempts. */
const MARKED_BY: Partial<Record<SetName, SetName>> = {
  'KUBE-LOAD-BALANCER-LOCAL': 'KUBE-LOAD-BALANCER',
  'KUBE-NODE-PORT-LOCAL-TCP': 'KUBE-NODE-PORT-TCP',
  'KUBE-NODE-PORT-LOCAL-UDP': 'KUBE-NODE-PORT-UDP',
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH': 'KUBE-NODE-PORT-SCTP-HASH',
};

/** The members that must not be there as long as this one is: an earlier run may have left them under another policy. */
export function counterparts({ set, family, member }: DesiredMember): DesiredMember[] {
  if (set === 'KUBE-EXTERNAL-IP') return [makeMember('KUBE-EXTERNAL-IP-LOCAL', family, member)];
  if (set === 'KUBE-EXTERNAL-IP-LOCAL') return [makeMember('KUBE-EXTERNAL-IP', family, member)];
  return SET_NAMES.filter((each) => MARKED_BY[each] === set).map((each) => makeMember(each, family, member));
}

/**
 * With `isRepair`, everything wanted is sent again: a mark that comes is no sign that its frontend is new, so unmarks come late.
 */
export function orderMembers(
  { addMembers, removeMembers }: Pick<LedgerDelta, 'addMembers' | 'removeMembers'>,
  isRepair = false,
): MemberPhases {
  const phases = {
    addGuards: [] as DesiredMember[],
    removeUnmarks: [] as DesiredMember[],
    addPasses: [] as DesiredMember[],
    removePasses: [] as DesiredMember[],
    addUnmarks: [] as DesiredMember[],
    removeGuards: [] as DesiredMember[],
  };
  for (const each of addMembers.values()) {
    const role = roleOf(each, isRepair ? NONE : addMembers, removeMembers);
    if (role === 'guard') phases.addGuards.push(each);
    else if (role === 'pass') phases.addPasses.push(each);
    else phases.addUnmarks.push(each);
  }
  for (const each of removeMembers.values()) {
    const role = roleOf(each, removeMembers, addMembers);
    if (role === 'guard') phases.removeGuards.push(each);
    else if (role === 'pass') phases.removePasses.push(each);
    else phases.removeUnmarks.push(each);
  }
  return phases;
}

const NONE: ReadonlyMap<string, DesiredMember> = new Map();

/** The role of a member in this step. `same` come (or go) with it, `others` do the opposite. */
function roleOf(
  each: DesiredMember,
  same: ReadonlyMap<string, DesiredMember>,
  others: ReadonlyMap<string, DesiredMember>,
): SetRole {
  const isIn = (set: SetName, members: ReadonlyMap<string, DesiredMember>): boolean =>
    members.has(makeMember(set, each.family, each.member).id);
  const marking = MARKED_BY[each.set];
  if (marking !== undefined && isIn(marking, same)) return 'guard';
  if (each.set === 'KUBE-EXTERNAL-IP' && isIn('KUBE-EXTERNAL-IP-LOCAL', others)) return 'guard';
  return SETS[each.set].role;
}
