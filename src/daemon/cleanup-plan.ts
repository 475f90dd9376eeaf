// What a clean-up removes, and in which order, from what was read of this node: the plans of the backends put together. Pure; a dry run prints
// this value, and a real run carries it out. The take-over from a kube-proxy of another mode is planned here, too.

import type { IpvsInventory } from '../backends/ipvs/inventory.ts';
import { planIpvsRemoval, type RemovalScope } from '../backends/ipvs/removal-plan.ts';
import { IPVS_RULE_LAYOUT } from '../backends/ipvs/rule-layout.ts';
import { IPTABLES_RULE_LAYOUT } from '../backends/iptables/rule-layout.ts';
import { SET_ASIDE_LAYOUT } from '../backends/iptables/set-aside.ts';
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

/** Rules of this node, whoever made them. */
export interface RuleInventory {
  readonly rules: readonly SavedRules[];
  /** Families that have kube-proxy's table in nf_tables. */
  readonly nftables: readonly Family[];
  /** What could not be looked at, and so is left as it is. */
  readonly unread: readonly Kept[];
}

/** Everything that a clean-up looks at. */
export interface NodeInventory extends RuleInventory {
  readonly ipvs: IpvsInventory;
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
  for (const saved of inventory.rules) {
    // What a take-over that did not come to its end had set aside is ours by its names, and kube-proxy's by what it does.
    const leaving: RuleLayout[] = [SET_ASIDE_LAYOUT];
    const staying: RuleLayout[] = [];
    (ipvs.layoutStays.has(saved.family) ? staying : leaving).push(IPVS_RULE_LAYOUT);
    (scope.owners.has('kube-proxy') ? leaving : staying).push(IPTABLES_RULE_LAYOUT);
    const plan = planRules(saved, leaving, staying);
    rules.push(...plan.removals);
    kept.push(...plan.kept);
    for (const [set, reason] of plan.usedSets) usedSets.set(set, reason);
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

/**
 * The plan for what a kube-proxy of another mode left on a node that mode ipvs serves: it would go on translating new connections. Rules
 * before all else that translate, then what filters.
 */
export function planTakeOver({ rules, nftables, unread }: RuleInventory): CleanupPlan {
  const removals: Removal[] = [];
  const kept: Kept[] = [...unread];
  for (const saved of rules) {
    const tables = new Map([...saved.tables].sort(([a], [b]) => Number(b === 'nat') - Number(a === 'nat')));
    const plan = planRules(
      { ...saved, tables },
      [IPTABLES_RULE_LAYOUT, SET_ASIDE_LAYOUT],
      [IPVS_RULE_LAYOUT],
    );
    const isOfMode = plan.removals.some(
      (each) => each.kind === 'rules' && each.chains.some(({ name }) => !NO_MODES_OWN.has(name)),
    );
    if (!isOfMode) continue;
    removals.push(...plan.removals);
    kept.push(...plan.kept);
  }
  return { removals: [...removals, ...planTableRemoval(nftables)], kept };
}

/** False when `text`, as iptables-save prints it, has nothing that `planTakeOver` would remove: cheaper than a plan. */
export function mayBeLeft(text: string): boolean {
  return /\b(?:KUBE-(?:SVC|SVL|SEP|EXT|FW)-|KUBE-NODEPORTS\b|KUBE-EXTERNAL-SERVICES\b|POINTSMAN-WAS-)/.test(
    text,
  );
}

/** Chains that do not translate by themselves, and that other programs of Kubernetes make, too. */
const NO_MODES_OWN: ReadonlySet<string> = new Set([
  'KUBE-MARK-MASQ',
  'KUBE-POSTROUTING',
  'KUBE-FORWARD',
  'KUBE-PROXY-CANARY',
]);

function planRules(
  { family, flavour, tables }: SavedRules,
  leaving: readonly RuleLayout[],
  staying: readonly RuleLayout[],
): CleanupPlan & {
  /** Sets that must stay, and why. */
  readonly usedSets: ReadonlyMap<string, string>;
} {
  const tool = toolName({ family, flavour });
  const { text, jumps, chains, ...plan } = planRuleRemoval(tables, leaving, staying);
  const guardsIpvs = leaving.includes(IPVS_RULE_LAYOUT);
  return {
    removals: text === '' ? [] : [{ kind: 'rules', family, flavour, text, jumps, chains, guardsIpvs }],
    kept: plan.kept.map(({ table, name, because }) => ({
      kind: 'chain',
      object: `${tool} ${table} ${name}`,
      reason: `a rule of chain ${because}, which stays, leads to it`,
    })),
    usedSets: new Map(
      [...plan.usedSets].map(([set, chain]) => [set, `a rule of ${tool} chain ${chain} has it`]),
    ),
  };
}
