// Keeps the rules of both families as the table wants them: for what the kernel has at present and for what is about to come.
// Rules that cannot be written stop only what would be unsafe without them:
//  - a family's rules as a whole: nothing new opens in the family;
//  - the rules that keep processes of this node from a virtual server (they need the kernel's match "ipvs"): the virtual servers of whom
//    they speak stay shut, and all other rules are written without them.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { NodeOptions } from '../../plan/plan.ts';
import type { AddressService, DesiredMember } from './desired.ts';
import type { IpvsKernelPort } from './port.ts';
import type { RuleGate } from './rule-gate.ts';
import { Rules, type WantedRules } from './rules.ts';
import type { SetName } from './sets.ts';
import type { Table } from './table.ts';

/** What the rules depend on, beside the table. */
export interface RuleFacts {
  readonly node: NodeOptions;
  readonly masqueradeMark: number;
  /** Members that the kernel has and the table does not know yet. */
  readonly filled: Iterable<DesiredMember>;
}

const NOBODY: readonly AddressService[] = Object.freeze([]);

export class RuleKeeper {
  private readonly rules: ReadonlyMap<Family, Rules>;
  private readonly table: Table;
  private readonly gate: RuleGate;
  /** By family, for which virtual servers those rules were refused last: not to be tried again at each change. */
  private readonly refusedFor = new Map<Family, readonly AddressService[]>();

  constructor(port: IpvsKernelPort, table: Table, gate: RuleGate, families: readonly Family[]) {
    this.table = table;
    this.gate = gate;
    this.rules = new Map(families.map((family) => [family, new Rules(port, family)]));
  }

  /** Starts reading the kernel's rules, so that it goes on beside other work. */
  load(): void {
    for (const rules of this.rules.values()) rules.load();
  }

  /** Forgets what it remembers of the kernel. */
  reset(): void {
    for (const rules of this.rules.values()) rules.reset();
    this.refusedFor.clear();
    this.gate.reset();
  }

  /** What was refused is tried again at the next `ensure`. */
  forgetRefusals(): void {
    this.refusedFor.clear();
  }

  /** Rules for what is there and for what the Services of `keys` will add; returns how many families were written. */
  async ensure(keys: readonly ServiceKey[], facts: RuleFacts): Promise<number> {
    let written = 0;
    for (const [family, rules] of this.rules) {
      const { options, nonEmpty } = this.wanted(family, keys, facts);
      if (await this.settle(family, () => this.ensureFamily(family, rules, options, nonEmpty))) written++;
    }
    return written;
  }

  /** True when somebody may have changed the rules of a family; see Rules. */
  mayHaveChanged(family: Family): boolean {
    return this.rules.get(family)?.mayHaveChanged() === true;
  }

  /** Reads the rules of a family again and puts right what somebody changed; returns the restored text, '' when nothing was changed or it was refused. */
  async recheck(family: Family): Promise<string> {
    const rules = this.rules.get(family);
    if (rules === undefined) return '';
    // What could not be restored before was not changed by somebody else.
    const { isInPlace } = rules;
    const text = await this.settle(family, () => rules.recheck());
    return isInPlace ? (text ?? '') : '';
  }

  /** What is refused is null and counts as a failure of the node, and nothing new opens in the family, until `bring` goes through. */
  private async settle<Result>(family: Family, bring: () => Promise<Result>): Promise<Result | null> {
    const { failures } = this.table;
    const object = rulesObject(family);
    try {
      const result = await bring();
      this.gate.familiesWithoutRules.delete(family);
      failures.settleNode(object);
      return result;
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      this.gate.familiesWithoutRules.add(family);
      failures.noteNode(object, error);
      return null;
    }
  }

  private async ensureFamily(
    family: Family,
    rules: Rules,
    options: WantedRules,
    nonEmpty: ReadonlySet<SetName>,
  ): Promise<boolean> {
    const closed = options.closedToNode as readonly AddressService[];
    const { familiesOpenToNode } = this.gate;
    if (this.refusedFor.get(family) !== closed) {
      try {
        const text = await rules.ensure(options, nonEmpty);
        familiesOpenToNode.delete(family);
        this.refusedFor.delete(family);
        return text !== '';
      } catch (error) {
        if (!(error instanceof PointsmanError)) throw error;
        // Where it has had such rules, or could not be asked, it is not the match that is missing.
        if (closed.length === 0 || rules.haveHadNodeRules || !rules.isRestoreRefused) throw error;
        familiesOpenToNode.set(family, error);
        this.refusedFor.set(family, closed);
      }
    }
    return (await rules.ensure({ ...options, closedToNode: NOBODY }, nonEmpty)) !== '';
  }

  private wanted(
    family: Family,
    keys: readonly ServiceKey[],
    { node, masqueradeMark, filled }: RuleFacts,
  ): { readonly options: WantedRules; readonly nonEmpty: ReadonlySet<SetName> } {
    const { desired, failures, kept, ledger } = this.table;
    const nonEmpty = ledger.nonEmptySets(family);
    const coming: AddressService[] = [];
    for (const key of keys) {
      const service = desired.get(key);
      for (const member of service?.members ?? []) if (member.family === family) nonEmpty.add(member.set);
      for (const virtualServer of service?.virtualServers ?? []) {
        if (virtualServer.service.family !== family) continue;
        for (const { set } of virtualServer.members) nonEmpty.add(set);
        if (virtualServer.isClosedToNode) coming.push(virtualServer.service);
      }
    }
    // Also what others have there, and what could not be removed: it is still guarded.
    for (const members of [filled, failures.leftovers.members.values()])
      for (const member of members) if (member.family === family) nonEmpty.add(member.set);
    for (const set of kept.setsOf(family)) nonEmpty.add(set);
    const { masqueradeAll, localDetector } = node;
    const closedToNode = ledger.closedToNode(family, coming);
    return { options: { masqueradeMark, masqueradeAll, localDetector, closedToNode }, nonEmpty };
  }
}

/** The name of the rules of a family, among failures and repairs. */
export function rulesObject(family: Family): string {
  return `rules ${family}`;
}
