// Verification of the sets: their sizes in one dump of headers, and their members set by set. What is found wrong at once is put right in
// one step, so that guards are back before what they guard. See verifier.ts.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import { createSet } from './adoption.ts';
import { makeMember, type DesiredMember } from './desired.ts';
import { emptyDelta, type LedgerDelta } from './ledger.ts';
import type { Repairs } from './repairs.ts';
import { kernelSetName, SET_NAMES, SETS, type SetName } from './sets.ts';
import type { VerifierParts } from './verifier.ts';

type SetVerifierParts = Pick<VerifierParts, 'port' | 'table' | 'writer' | 'families'>;

/** One of our sets. */
export interface SetId {
  readonly set: SetName;
  readonly family: Family;
}

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

export class SetVerifier {
  private readonly parts: SetVerifierParts;
  private readonly repairs: Repairs;
  /** Sizes that are wrong and stay so for good reason, as "found expected": looked at again when they change. */
  private readonly knownSizes = new Map<string, string>();
  /** Sets of which a repair was refused, with the objects that stand among the failures for it. */
  private readonly refused = new Map<string, { readonly id: SetId; readonly objects: readonly string[] }>();

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
    let size = ledger.setSize(set, family);
    for (const [id, member] of kept)
      if (member.set === set && member.family === family && !ledger.hasMember(id)) size++;
    return size;
  }

  /** Compares sets member by member and puts right what differs; returns the names in the kernel of those that did. */
  async checkMembers(sets: readonly SetId[]): Promise<ReadonlySet<string>> {
    const delta = emptyDelta();
    const different = new Set<string>();
    for (const id of sets) {
      this.settle(id);
      if (await this.compare(id, delta)) different.add(kernelSetName(id.set, id.family));
    }
    if (delta.addMembers.size + delta.removeMembers.size > 0) await this.repair(sets, delta);
    return different;
  }

  /** Compares again the sets of which a repair was refused. */
  async repairSuspects(): Promise<void> {
    await this.checkMembers([...this.refused.values()].map(({ id }) => id));
  }

  /** Adds to `delta` what makes the set right; true when it is not. */
  private async compare({ set, family }: SetId, delta: LedgerDelta): Promise<boolean> {
    const before = delta.addMembers.size + delta.removeMembers.size;
    const { port, table } = this.parts;
    const found = await port.setMembers(set, family);
    if (found === null) {
      await createSet(port, table, set, family);
      const object = kernelSetName(set, family);
      this.repairs.note({ kind: 'set', object, what: 'was missing, with all its members' });
      for (const member of this.wantedMembers(set, family)) delta.addMembers.set(member.id, member);
      return true;
    }
    const present = new Set<string>();
    for (const member of found) {
      const made = makeMember(set, family, member);
      if (table.ledger.hasMember(made.id)) present.add(made.id);
      else if (!table.kept.has(made.id) && !table.failures.leftovers.members.has(made.id)) {
        this.note(made, 'was there and is not planned');
        delta.removeMembers.set(made.id, made);
      }
    }
    const isComplete = present.size === table.ledger.setSize(set, family);
    for (const member of isComplete ? [] : this.wantedMembers(set, family)) {
      if (present.has(member.id) || delta.addMembers.has(member.id)) continue;
      this.note(member, 'was missing');
      delta.addMembers.set(member.id, member);
    }
    return delta.addMembers.size + delta.removeMembers.size > before;
  }

  /** Not those of Services that fail: some of theirs are withheld on purpose, and a retry sends them all. */
  private wantedMembers(set: SetName, family: Family): Generator<DesiredMember> {
    const { failures, ledger } = this.parts.table;
    return ledger.membersOf(set, family, (key) => !failures.has(key));
  }

  /** What is refused counts as a failure of the node until the set is compared again. */
  private async repair(sets: readonly SetId[], delta: LedgerDelta): Promise<void> {
    try {
      const { failedMembers } = await this.parts.writer.repair(delta);
      for (const id of sets) {
        const ofSet = failedMembers.filter((each) => each.set === id.set && each.family === id.family);
        this.refuse(
          id,
          ofSet.map(({ member, error }) => [makeMember(id.set, id.family, member).id, error]),
        );
      }
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      for (const id of sets) this.refuse(id, [[`set ${kernelSetName(id.set, id.family)}`, error]]);
    }
  }

  private refuse(id: SetId, refusals: readonly (readonly [object: string, error: unknown])[]): void {
    if (refusals.length === 0) return;
    const named = refusals.slice(0, MAX_NAMED);
    for (const [object, error] of named) this.parts.table.failures.noteNode(object, error);
    this.refused.set(kernelSetName(id.set, id.family), { id, objects: named.map(([object]) => object) });
  }

  private settle({ set, family }: SetId): void {
    const name = kernelSetName(set, family);
    for (const object of this.refused.get(name)?.objects ?? []) this.parts.table.failures.settleNode(object);
    this.refused.delete(name);
  }

  private note({ id }: DesiredMember, what: string): void {
    this.repairs.note({ kind: 'member', object: id, what });
  }
}
