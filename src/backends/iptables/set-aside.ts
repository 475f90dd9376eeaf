// Lets the rules of a kube-proxy in mode iptables go on while mode ipvs is built up beside them. Both modes have chains of the same names, and
// writing ours ends what theirs translated, before ours can. So those chains are copied under names of our own, and rules that lead to the
// copies are put right before those that lead to the originals: new connections are translated by the copies until these are removed,
// in one transaction. Where each mode has an iptables of its own, nothing is needed: a nat table that only accepts leaves the
// translation to the next one. Pure.

import type { JumpRule } from '../removal.ts';
import type { RuleLayout } from '../rule-removal.ts';
import { IPTABLES_RULE_LAYOUT } from './rule-layout.ts';

/** Table, then chain name, to rules in iptables-save's spelling without "-A CHAIN ". */
export type SavedChains = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** Chains of both modes whose rules differ, and which must hold as long as the others translate. The mark's are the same in both. */
const COPIES = [
  { table: 'nat', chain: 'KUBE-SERVICES', copy: 'POINTSMAN-WAS-SERVICES' },
  { table: 'filter', chain: 'KUBE-PROXY-FIREWALL', copy: 'POINTSMAN-WAS-FIREWALL' },
] as const;
type Copy = (typeof COPIES)[number];

/** A jump to a copy, and the one to the original, right before which it is put. */
interface CopiedJump {
  readonly original: JumpRule;
  readonly jump: JumpRule;
}

function jumpsOf({ table, chain, copy }: Copy): CopiedJump[] {
  const suffix = ` -j ${chain}`;
  return IPTABLES_RULE_LAYOUT.jumps
    .filter((jump) => jump.table === table && jump.rule.endsWith(suffix))
    .map((original) => ({
      original,
      jump: { ...original, rule: `${original.rule.slice(0, -suffix.length)} -j ${copy}` },
    }));
}

/** The copies by their names: for removing them. */
export const SET_ASIDE_LAYOUT: RuleLayout = {
  chains: COPIES.map(({ table, copy }) => ({ table, name: copy })),
  patterns: [],
  jumps: COPIES.flatMap((each) => jumpsOf(each).map(({ jump }) => jump)),
  signature: { table: 'nat', chain: 'POINTSMAN-WAS-SERVICES', target: 'KUBE-NODEPORTS' },
};

/**
 * What iptables-restore --noflush needs to set the live rules of mode iptables in `saved` aside; '' when there are none, also when that was
 * done and the originals are mode ipvs's by now. `serviceAddresses` is the set of addresses on this node that are Services': what
 * the node sends to one of them bears it as its source from then on, and must be masqueraded.
 */
export function renderSetAside(saved: SavedChains, serviceAddresses: string): string {
  const { table, chain, target } = IPTABLES_RULE_LAYOUT.signature;
  const isLive =
    saved
      .get(table)
      ?.get(chain)
      ?.some((rule) => rule.endsWith(` -j ${target}`)) === true;
  if (!isLive) return '';
  return COPIES.map((each) => renderCopy(each, saved, serviceAddresses)).join('');
}

function renderCopy(each: Copy, saved: SavedChains, serviceAddresses: string): string {
  const chains = saved.get(each.table);
  const rules = chains?.get(each.chain) ?? [];
  if (rules.length === 0) return '';
  const masquerade =
    each.chain === 'KUBE-SERVICES' ? [`-m set --match-set ${serviceAddresses} src -j KUBE-MARK-MASQ`] : [];
  const jumps = jumpsOf(each).flatMap(({ original, jump }) => {
    const present = chains?.get(jump.from) ?? [];
    const place = present.indexOf(original.rule) + 1;
    return place === 0 || present.includes(jump.rule) ? [] : [`-I ${jump.from} ${place} ${jump.rule}`];
  });
  return [
    `*${each.table}`,
    `:${each.copy} - [0:0]`,
    ...[...masquerade, ...rules].map((rule) => `-A ${each.copy} ${rule}`),
    ...jumps,
    'COMMIT',
    '',
  ].join('\n');
}
