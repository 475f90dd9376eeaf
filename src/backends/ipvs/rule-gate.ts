// What does not open for want of rules: rule-keeper.ts says which rules are missing, the writer asks before each step. What is open stays open.

import { errorLine, PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { DesiredVirtualServer } from './desired.ts';
import type { Table } from './table.ts';

export class RuleGate {
  /** Families whose rules could not be written: nothing new opens there. */
  readonly familiesWithoutRules = new Set<Family>();
  /** Families in which processes of this node cannot be kept from a virtual server, and why. */
  readonly familiesOpenToNode = new Map<Family, unknown>();
  private readonly table: Pick<Table, 'applied' | 'failures' | 'ledger'>;

  constructor(table: Pick<Table, 'applied' | 'failures' | 'ledger'>) {
    this.table = table;
  }

  /** Forgets which rules are missing. */
  reset(): void {
    this.familiesWithoutRules.clear();
    this.familiesOpenToNode.clear();
  }

  /** Ids of those that must not open: without its rules a new frontend would answer whoever it should not, and masquerade nobody. */
  shutOf(wanted: readonly DesiredVirtualServer[]): Set<string> {
    const shut = new Set<string>();
    if (this.familiesWithoutRules.size + this.familiesOpenToNode.size === 0) return shut;
    for (const { id, service, isClosedToNode } of wanted) {
      const isWithoutRules =
        this.familiesWithoutRules.has(service.family) ||
        (isClosedToNode && this.familiesOpenToNode.has(service.family));
      if (isWithoutRules && !this.table.applied.has(id)) shut.add(id);
    }
    return shut;
  }

  /** Notes with these Services what of theirs was not opened, and what is open to whom it should not be. */
  noteShut(keys: readonly ServiceKey[], shut: ReadonlySet<string>): void {
    if (shut.size + this.familiesOpenToNode.size === 0) return;
    for (const key of keys) {
      for (const { id, service, isClosedToNode } of this.table.ledger.effectiveOf(key).virtualServers) {
        const error = isClosedToNode ? this.familiesOpenToNode.get(service.family) : undefined;
        const isShut = shut.has(id);
        if (error === undefined && !isShut) continue;
        const what = isShut ? 'not opened' : 'processes of this node can use it';
        const why =
          error === undefined
            ? `the rules of family ${service.family} cannot be written`
            : `source ranges without this node need the kernel's match "ipvs" (module xt_ipvs): ${errorLine(error)}`;
        const refusal = new PointsmanError('TOOL_FAILED', `${what}, because ${why}`);
        this.table.failures.noteRefusal(key, id, refusal);
      }
    }
  }
}
