// Verification of the sets: their sizes in one dump of headers, and their members set by set. What is found wrong at once is put right in
// one step, so that guards are back before what they guard. See verifier.ts.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { createSet } from './adoption.ts';
import { makeMember, type DesiredMember, type DesiredVirtualServer } from './desired.ts';
import { emptyDelta, type LedgerDelta } from './ledger.ts';
import { FirstError } from './first-error.ts';
import type { Repair, Repairs } from './repairs.ts';
import { kernelSetName, SET_NAMES, SETS, type SetName } from './sets.ts';
import type { VerifierParts } from './verifier.ts';

type SetVerifierParts = Pick<VerifierParts, 'port' | 'table' | 'writer' | 'families' | 'pace'>;

/** One of our sets. */
export interface SetId {
  readonly set: SetName;
  readonly family: Family;
}

/** Members that are compared between two looks at the clock. */
const MEMBERS_PER_PACE = 256;
/** Refused members of one set that are named among the failures; the others are found again with them. */
const MAX_NAMED = 20;

/** All sets in the order in which they are compared: those that guard before those that let through. */
export function setsToVerify(families: readonly Family[]): SetId[] {
  const guardsFirst = SET_NAMES.toSorted((a, b) => rank(a) - rank(b));
  return families.flatMap((family) => guardsFirst.map((set) => ({ set, family })));
}

function rank(set: SetName): number {
  return SETS[set].role === 'guard' ? 0 : 1;
}

/** What was found wrong: the members to write, and what to tell once they are, by their ids. */
interface Difference {
  readonly delta: LedgerDelta;
  readonly repairs: Map<string, Repair>;
}

/** A refused repair of one set. */
interface Refusal {
  readonly id: SetId;
  /** As they stand among the failures. */
  readonly objects: readonly string[];
  /** Ids of all members that are missing for it. */
  readonly members: ReadonlySet<string>;
}

const GUARD_REFUSED = new PointsmanError('KERNEL_REFUSED', 'not sent, because what guards it was refused');

export class SetVerifier {
  private readonly parts: SetVerifierParts;
  private readonly repairs: Repairs;
  /** Sizes that are wrong and stay so for good reason, as "found expected": looked at again when they change. */
  private readonly knownSizes = new Map<string, string>();
  /** Sets of which a repair was refused, with the objects that stand among the failures for it. */
  private readonly refused = new Map<string, Refusal>();

  constructor(parts: SetVerifierParts, repairs: Repairs) {
    this.parts = parts;
    this.repairs = repairs;
  }

  /** Compares how many members each set has; those whose number is wrong are compared member by member. */
  async checkSizes(): Promise<void> {
    const headers = await this.parts.port.setHeaders();
    const wrong: SetId[] = [];
    for (const id of setsToVerify(this.parts.families)) {
      const name = kernelSetName(id.set, id.family);
      const found = headers.get(name)?.members;
      const expected = this.expectedSize(id);
      if (found === expected) this.knownSizes.delete(name);
      else if (this.knownSizes.get(name) !== `${found} ${expected}`) wrong.push(id);
    }
    const repaired = await this.checkMembers(wrong);
    for (const { set, family } of wrong) {
      // A wrong size without a wrong member has a good reason (a Service that fails withholds some): not to be looked for every few seconds.
      const name = kernelSetName(set, family);
      const sizes = `${headers.get(name)?.members} ${this.expectedSize({ set, family })}`;
      if (repaired.has(name)) this.knownSizes.delete(name);
      else this.knownSizes.set(name, sizes);
    }
  }

  private expectedSize({ set, family }: SetId): number {
    const { kept, ledger } = this.parts.table;
    return ledger.setSize(set, family) + kept.count(set, family);
  }

  /**
   * Compares sets member by member and puts right what differs; returns the names in the kernel of those that did. One that cannot be read keeps no
   * other from being put right; the first such error is thrown at the end.
   */
  async checkMembers(sets: readonly SetId[]): Promise<ReadonlySet<string>> {
    const found: Difference = { delta: emptyDelta(), repairs: new Map() };
    const errors = new FirstError();
    for (const id of sets) await errors.collect(() => this.compare(id, found));
    if (found.repairs.size > 0) await this.repair(sets, found);
    errors.throw();
    return new Set([...found.repairs.keys()].map((id) => id.slice(0, `${id} `.indexOf(' '))));
  }

  /** Compares again the sets of which a repair was refused. */
  async repairSuspects(): Promise<void> {
    await this.checkMembers([...this.refused.values()].map(({ id }) => id));
  }

  /** True for a member that is missing because the kernel refused to take it back. */
  isRefused(id: string): boolean {
    return [...this.refused.values()].some(({ members }) => members.has(id));
  }

  /** Adds what makes the set right, unless it could not be made again. */
  private async compare({ set, family }: SetId, { delta, repairs }: Difference): Promise<void> {
    const { table } = this.parts;
    const name = kernelSetName(set, family);
    const found = await this.list({ set, family });
    this.settle({ set, family });
    if (found === null && !(await this.createAgain({ set, family }))) return;
    const present = new Set<string>();
    const others = new Set<string>();
    const extra = new Map<string, DesiredMember>();
    for (const made of found ?? []) {
      if (table.ledger.hasMember(made.id)) present.add(made.id);
      else if (table.kept.has(made)) others.add(made.id);
      else if (!table.failures.leftovers.members.has(made.id)) extra.set(made.id, made);
    }
    table.kept.retain(set, family, (id) => others.has(id));
    if (found === null)
      repairs.set(name, { kind: 'set', object: name, what: 'was missing, with all its members' });
    let compared = 0;
    const isComplete = present.size === table.ledger.setSize(set, family);
    for (const member of isComplete ? [] : this.wantedMembers(set, family)) {
      if (++compared % MEMBERS_PER_PACE === 0) await this.parts.pace();
      if (present.has(member.id) || delta.addMembers.has(member.id)) continue;
      if (found !== null) repairs.set(member.id, { kind: 'member', object: member.id, what: 'was missing' });
      delta.addMembers.set(member.id, member);
    }
    // The adds of what is missing tell which of it was there all along; before anything is deleted, a second listing must show it, too.
    for (const { id } of extra.size > 0 ? ((await this.list({ set, family })) ?? []) : []) {
      const made = extra.get(id);
      if (made === undefined) continue;
      repairs.set(id, { kind: 'member', object: id, what: 'was there and is not planned' });
      delta.removeMembers.set(id, made);
    }
  }

  /** The members of a set in the kernel; null when there is no such set. */
  private async list({ set, family }: SetId): Promise<DesiredMember[] | null> {
    const { pace, port } = this.parts;
    const found = await port.setMembers(set, family);
    if (found === null) return null;
    const made: DesiredMember[] = [];
    for (const member of found) {
      if (made.push(makeMember(set, family, member)) % MEMBERS_PER_PACE === 0) await pace();
    }
    return made;
  }

  /** A refusal must not keep the other sets from being compared. */
  private async createAgain({ set, family }: SetId): Promise<boolean> {
    try {
      await createSet(this.parts.port, this.parts.table, set, family);
      return true;
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      this.refuse({ set, family }, [[`set ${kernelSetName(set, family)}`, error]]);
      return false;
    }
  }

  /** Not those of Services that fail: some of theirs are withheld on purpose, and a retry sends them all. */
  private wantedMembers(set: SetName, family: Family): Generator<DesiredMember> {
    const { failures, ledger } = this.parts.table;
    return ledger.membersOf(set, family, (key) => !failures.has(key));
  }

  /** What is refused counts as a failure of the node until the set is compared again. */
  private async repair(sets: readonly SetId[], { delta, repairs }: Difference): Promise<void> {
    const wanted = this.portalsOf(delta.addMembers.values());
    // What leads to a virtual server stays out as long as one of its guards does.
    const shut = new Set(
      wanted.filter(({ members }) => members.some((each) => this.isRefused(each.id))).map(({ id }) => id),
    );
    try {
      const outcome = await this.parts.writer.repair(delta, wanted, shut);
      const refused = new Map<string, PointsmanError>(
        outcome.failedMembers.map((each) => [makeMember(each.set, each.family, each.member).id, each.error]),
      );
      const withheld = wanted.filter(({ id }) => outcome.shut.has(id)).flatMap(({ members }) => members);
      for (const { id, set } of withheld)
        if (SETS[set].role === 'pass' && delta.addMembers.has(id) && !refused.has(id))
          refused.set(id, GUARD_REFUSED);
      for (const id of sets) {
        const prefix = `${kernelSetName(id.set, id.family)} `;
        this.refuse(
          id,
          [...refused].filter(([object]) => object.startsWith(prefix)),
        );
      }
      // A listing had missed these.
      for (const id of outcome.presentMembers) repairs.delete(id);
      for (const [id, repair] of repairs) if (!refused.has(id)) this.repairs.note(repair);
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      for (const id of sets) this.refuse(id, [[`set ${kernelSetName(id.set, id.family)}`, error]]);
    }
  }

  /** The virtual servers that members with address and port mean. */
  private portalsOf(members: Iterable<DesiredMember>): DesiredVirtualServer[] {
    const { ledger } = this.parts.table;
    const found = new Map<string, DesiredVirtualServer>();
    for (const { family, member } of members) {
      const { address, protocol, port } = member;
      if (address === undefined || protocol === undefined || port === undefined) continue;
      const id = formatServiceKey({ family, address, protocol, port });
      const owner = found.has(id) ? undefined : ledger.ownerOf(id);
      const virtualServer = owner && ledger.effectiveOf(owner).virtualServers.find((each) => each.id === id);
      if (virtualServer !== undefined) found.set(id, virtualServer);
    }
    return [...found.values()];
  }

  private refuse(id: SetId, refusals: readonly (readonly [object: string, error: unknown])[]): void {
    if (refusals.length === 0) return;
    const named = refusals.slice(0, MAX_NAMED);
    for (const [object, error] of named) this.parts.table.failures.noteNode(object, error);
    this.refused.set(kernelSetName(id.set, id.family), {
      id,
      objects: named.map(([object]) => object),
      members: new Set(refusals.map(([object]) => object)),
    });
  }

  private settle({ set, family }: SetId): void {
    const name = kernelSetName(set, family);
    for (const object of this.refused.get(name)?.objects ?? []) this.parts.table.failures.settleNode(object);
    this.refused.delete(name);
  }
}
