// From the rules that a flavour of iptables holds to the text that takes a proxy's chains out of it, and nothing else. Pure.
// Chains are known by their whole names and jumps by their whole text, so that what only resembles them stays. A chain that a rule of somebody
// else leads to stays as it is, with all that it leads to itself.

import { formatRule, type IptablesRule, type IptablesTables } from '../kernel/iptables-text.ts';
import type { ChainName, JumpRule } from './removal.ts';

/** What a mode of a proxy has in iptables, by its names. */
export interface RuleLayout {
  readonly chains: readonly ChainName[];
  /** Chains with names that depend on Services: a whole name matches. */
  readonly patterns: readonly { readonly table: string; readonly name: RegExp }[];
  readonly jumps: readonly JumpRule[];
  /** A chain that several modes have, and where only this mode's version of it leads to. */
  readonly signature: { readonly table: string; readonly chain: string; readonly target: string };
}

/** What leaves, and what stays all the same. */
export interface RuleRemoval {
  /** For iptables-restore --noflush; '' when there is nothing to remove. */
  readonly text: string;
  readonly jumps: readonly JumpRule[];
  readonly chains: readonly ChainName[];
  /** Chains of the layouts that stay because `chain` leads to them. */
  readonly kept: readonly { readonly table: string; readonly name: string; readonly because: string }[];
  /** Sets that rules match or fill which stay, to the chain that has the rule. */
  readonly usedSets: ReadonlyMap<string, string>;
}

/**
 * Takes the layouts of `leaving` out of `tables`. Chains and jumps that a layout of `staying` has too stay when that is the one whose rules
 * are in the chains that both have.
 */
export function planRuleRemoval(
  tables: IptablesTables,
  leaving: readonly RuleLayout[],
  staying: readonly RuleLayout[],
): RuleRemoval {
  const held = staying.filter((layout) => isLive(tables, layout, leaving));
  const text: string[] = [];
  const jumps: JumpRule[] = [];
  const chains: ChainName[] = [];
  const kept: { table: string; name: string; because: string }[] = [];
  const usedSets = new Map<string, string>();
  for (const [table, present] of tables) {
    const isOf = (layouts: readonly RuleLayout[], name: string): boolean =>
      layouts.some((layout) => hasChain(layout, table, name));
    const going = new Set([...present.keys()].filter((name) => isOf(leaving, name) && !isOf(held, name)));
    const isLeavingJump = (from: string, rule: IptablesRule): boolean => {
      const isIn = (layouts: readonly RuleLayout[]): boolean =>
        layouts.some((layout) => hasJump(layout, table, from, formatRule(rule)));
      return isIn(leaving) && !isIn(held);
    };
    // What stays, and grows by each chain that a rule of it leads to.
    const remaining = [...present.keys()].filter((name) => !going.has(name));
    for (const name of remaining) {
      for (const rule of present.get(name)?.rules ?? []) {
        if (isLeavingJump(name, rule)) continue;
        const target = targetOf(rule);
        if (target !== null && going.delete(target)) {
          kept.push({ table, name: target, because: name });
          remaining.push(target);
        }
        for (const set of setsOf(rule)) if (!usedSets.has(set)) usedSets.set(set, name);
      }
    }
    const tableJumps: JumpRule[] = [];
    for (const [from, { rules }] of present) {
      if (going.has(from)) continue;
      for (const rule of rules)
        if (isLeavingJump(from, rule)) tableJumps.push({ table, from, rule: formatRule(rule) });
    }
    if (going.size === 0 && tableJumps.length === 0) continue;
    text.push(
      `*${table}`,
      // Declaring a chain empties it, so that none leads to another when they are deleted.
      ...[...going].map((name) => `:${name} - [0:0]`),
      ...tableJumps.map(({ from, rule }) => `-D ${from} ${rule}`),
      ...[...going].map((name) => `-X ${name}`),
      'COMMIT',
      '',
    );
    jumps.push(...tableJumps);
    chains.push(...[...going].map((name) => ({ table, name })));
  }
  return { text: text.join('\n'), jumps, chains, kept, usedSets };
}

function hasChain({ chains, patterns }: RuleLayout, table: string, name: string): boolean {
  return (
    chains.some((chain) => chain.table === table && chain.name === name) ||
    patterns.some((pattern) => pattern.table === table && pattern.name.test(name))
  );
}

function hasJump({ jumps }: RuleLayout, table: string, from: string, rule: string): boolean {
  return jumps.some((jump) => jump.table === table && jump.from === from && jump.rule === rule);
}

/**
 * True when the chains that modes share are this one's: by what is in one of them, or, where that chain is gone, by a jump that none of
 * the `others` has.
 */
function isLive(tables: IptablesTables, layout: RuleLayout, others: readonly RuleLayout[]): boolean {
  const { table, chain, target } = layout.signature;
  const shared = tables.get(table)?.get(chain);
  if (shared !== undefined) return shared.rules.some((rule) => targetOf(rule) === target);
  return layout.jumps.some(
    ({ table: at, from, rule }) =>
      !others.some((other) => hasJump(other, at, from, rule)) &&
      tables
        .get(at)
        ?.get(from)
        ?.rules.some((each) => formatRule(each) === rule) === true,
  );
}

/** Where a rule leads: a chain or a target's name. */
function targetOf({ tokens }: IptablesRule): string | null {
  return optionOf(tokens, ['-j', '-g'])[0] ?? null;
}

function setsOf({ tokens }: IptablesRule): string[] {
  return optionOf(tokens, ['--match-set', '--add-set', '--del-set', '--map-set']);
}

/** The words behind these options, not those of a comment that looks like one. */
function optionOf(tokens: readonly string[], options: readonly string[]): string[] {
  const words: string[] = [];
  tokens.forEach((token, index) => {
    const word = tokens[index + 1];
    if (options.includes(token) && tokens[index - 1] !== '--comment' && word !== undefined) words.push(word);
  });
  return words;
}
