// What a clean-up removes, and in which order, from what was read of this node: the plans of the backends put together. Pure; a dry run prints
// this value, and a real run carries it out.

import type { IpvsInventory } from '../backends/ipvs/inventory.ts';
import { planIpvsRemoval, type RemovalScope } from '../backends/ipvs/removal-plan.ts';
import { IPVS_RULE_LAYOUT } from '../backends/ipvs/rule-layout.ts';
import { IPTABLES_RULE_LAYOUT } from '../backends/iptables/rule-layout.ts';
import { planTableRemoval } from '../backends/nftables/table-removal.ts';
import { toolName, type Kept, type Removal } from '../backends/removal.ts';
import { planRuleRemoval, type RuleLayout } from '../backends/rule-removal.ts';
import type { IptablesFlavour } from '../kernel/iptables.ts';
import type { IptablesTables } from '../kernel/iptables-text.ts';
import type { Family } from '../model/ip.ts';

/** The rules of one flavour of iptables. */
export interface SavedRules {
  readonly family: Family;
  readonly flavour: IptablesFlavour;
  readonly tables: IptablesTables;
}

/** Everything that a clean-up looks at. */
export interface NodeInventory {
  readonly ipvs: IpvsInventory;
  readonly rules: readonly SavedRules[];
  /** Families that have kube-proxy's table in nf_tables. */
  readonly nftables: readonly Family[];
  /** What could not be looked at, and so is left as it is. */
  readonly unread: readonly Kept[];
}

export interface CleanupPlan {
  /** In the order in which they must run. */
  readonly removals: readonly Removal[];
  readonly kept: readonly Kept[];
}

/** The plan for everything of the owners in `scope`. */
export function planCleanup(inventory: NodeInventory, scope: RemovalScope): CleanupPlan {
  const ipvs = planIpvsRemoval(inventory.ipvs, scope);
  const kept: Kept[] = [...inventory.unread, ...ipvs.kept];
  const rules: Removal[] = [];
  const usedSets = new Map<string, string>();
  for (const { family, flavour, tables } of inventory.rules) {
    const leaving: RuleLayout[] = [];
    const staying: RuleLayout[] = [];
    (ipvs.layoutStays.has(family) ? staying : leaving).push(IPVS_RULE_LAYOUT);
    (scope.owners.has('kube-proxy') ? leaving : staying).push(IPTABLES_RULE_LAYOUT);
    const plan = planRuleRemoval(tables, leaving, staying);
    const tool = toolName({ family, flavour });
    const guardsIpvs = leaving.includes(IPVS_RULE_LAYOUT);
    const { text, jumps, chains } = plan;
    if (text !== '') rules.push({ kind: 'rules', family, flavour, text, jumps, chains, guardsIpvs });
    for (const { table, name, because } of plan.kept)
      kept.push({
        kind: 'chain',
        object: `${tool} ${table} ${name}`,
        reason: `a rule of chain ${because}, which stays, leads to it`,
      });
    for (const [set, chain] of plan.usedSets) usedSets.set(set, `a rule of ${tool} chain ${chain} has it`);
  }
  const sets: Removal[] = [];
  for (const set of ipvs.sets) {
    const reason = usedSets.get(set.name);
    if (reason === undefined) sets.push(set);
    else kept.push({ kind: 'set', object: set.name, reason });
  }
  const tables = scope.owners.has('kube-proxy') ? planTableRemoval(inventory.nftables) : [];
  return { removals: [...ipvs.removals, ...rules, ...tables, ...sets, ...ipvs.link], kept };
}
