// Verification of the sets: their sizes in one dump of headers, and their members set by set. See verifier.ts.

import type { Family } from '../../model/ip.ts';
import { createSet } from './adoption.ts';
import { makeMember, type DesiredMember } from './desired.ts';
import { emptyDelta, type LedgerDelta } from './ledger.ts';
import type { Repairs } from './repairs.ts';
import { kernelSetName, SET_NAMES, type SetName } from './sets.ts';
import type { VerifierParts } from './verifier.ts';

type SetVerifierParts = Pick<VerifierParts, 'port' | 'table' | 'writer' | 'families'>;

export class SetVerifier {
  private readonly parts: SetVerifierParts;
  private readonly repairs: Repairs;
  /** Sizes that were found wrong and could not be put right, as "found expected": looked at again when they change. */
  private readonly knownSizes = new Map<string, string>();

  constructor(parts: SetVerifierParts, repairs: Repairs) {
    this.parts = parts;
    this.repairs = repairs;
  }

  /** Compares how many members each set has; one whose number is wrong is compared member by member. */
  async checkSizes(): Promise<void> {
    const headers = await this.parts.port.setHeaders();
    for (const family of this.parts.families) {
      for (const set of SET_NAMES) {
        const name = kernelSetName(set, family);
        const found = headers.get(name)?.members;
        const expected = this.expectedSize(set, family);
        const sizes = `${found} ${expected}`;
        if (found === expected) this.knownSizes.delete(name);
        else if (this.knownSizes.get(name) !== sizes) {
          // While a Service fails, its members may be missing for good reason.
          this.knownSizes.set(name, sizes);
          await this.checkMembers(set, family);
        }
      }
    }
  }

  private expectedSize(set: SetName, family: Family): number {
    const { kept, ledger } = this.parts.table;
    let size = ledger.setSize(set, family);
    for (const [id, member] of kept)
      if (member.set === set && member.family === family && !ledger.hasMember(id)) size++;
    return size;
  }

  /** Compares one set member by member and puts right what differs. */
  async checkMembers(set: SetName, family: Family): Promise<void> {
    const { port, table } = this.parts;
    const found = await port.setMembers(set, family);
    const delta = emptyDelta();
    if (found === null) {
      await createSet(port, table, set, family);
      const object = kernelSetName(set, family);
      this.repairs.note({ kind: 'set', object, what: 'was missing, with all its members' });
      this.addAll(set, family, delta);
      await this.parts.writer.repairMembers(delta);
      return;
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
    if (present.size < table.ledger.setSize(set, family)) this.addMissing(set, family, present, delta);
    if (delta.addMembers.size + delta.removeMembers.size > 0) await this.parts.writer.repairMembers(delta);
  }

  private addMissing(set: SetName, family: Family, present: ReadonlySet<string>, delta: LedgerDelta): void {
    for (const member of this.wantedMembers(set, family)) {
      if (present.has(member.id) || delta.addMembers.has(member.id)) continue;
      this.note(member, 'was missing');
      delta.addMembers.set(member.id, member);
    }
  }

  private addAll(set: SetName, family: Family, delta: LedgerDelta): void {
    for (const member of this.wantedMembers(set, family)) delta.addMembers.set(member.id, member);
  }

  /** Not those of Services that fail: some of theirs are withheld on purpose, and a retry sends them all. */
  private wantedMembers(set: SetName, family: Family): Generator<DesiredMember> {
    const { failures, ledger } = this.parts.table;
    return ledger.membersOf(set, family, (key) => !failures.has(key));
  }

  private note({ id }: DesiredMember, what: string): void {
    this.repairs.note({ kind: 'member', object: id, what });
  }
}
