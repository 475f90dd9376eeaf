// The text of iptables-save as values and back: tables, chains, rules as lists of tokens, with counters and quoted comments. Pure.
// Source: iptables 1.8 iptables-save(8), libxtables xtables_save_string and the tokenizer of iptables-restore.

import { PointsmanError } from '../model/errors.ts';

/** One rule. Two rules do the same when their tokens are equal. */
export interface IptablesRule {
  /** What stands after "-A CHAIN", unquoted: ['-m', 'comment', '--comment', 'a b', '-j', 'RETURN']. */
  readonly tokens: readonly string[];
  /** null when the text has no counters. */
  readonly packets: number | null;
  readonly bytes: number | null;
}

/** One chain with its rules, in order. */
export interface IptablesChain {
  /** 'ACCEPT', 'DROP'; '-' for a chain that is not built in. */
  readonly policy: string;
  readonly packets: number;
  readonly bytes: number;
  readonly rules: readonly IptablesRule[];
}

/** Table name -> chain name -> chain, both in the order of the text. */
export type IptablesTables = ReadonlyMap<string, ReadonlyMap<string, IptablesChain>>;

/** Reads what iptables-save prints. Throws TOOL_FAILED, with the line, when the text is something else. */
export function parseTables(text: string): IptablesTables {
  const tables = new Map<string, ReadonlyMap<string, IptablesChain>>();
  let chains: Map<string, IptablesChain & { rules: IptablesRule[] }> | null = null;
  text.split('\n').forEach((line, index) => {
    const refuse = (what: string): never => {
      const shown = line.slice(0, 120).replaceAll(/[^\x20-\x7e]/g, '?');
      throw new PointsmanError('TOOL_FAILED', `iptables-save, line ${index + 1}: ${what}: ${shown}`, {
        line: index + 1,
      });
    };
    if (line === '' || line.startsWith('#')) return;
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1).trim(), chains);
      return;
    }
    if (chains === null) return refuse('no table is open');
    if (line === 'COMMIT') {
      chains = null;
    } else if (line.startsWith(':')) {
      const [, name, policy, packets, bytes] =
        /^:(\S+) (\S+)(?: \[(\d+):(\d+)\])?\s*$/.exec(line) ?? refuse('no chain');
      chains.set(name ?? '', {
        policy: policy ?? '-',
        packets: Number(packets ?? 0),
        bytes: Number(bytes ?? 0),
        rules: [],
      });
    } else {
      const { chain, rule } = parseRule(line) ?? refuse('no rule');
      const target = chains.get(chain) ?? refuse('the chain is not declared');
      target.rules.push(rule);
    }
  });
  return tables;
}

/** Reads one "-A CHAIN ..." line, with or without counters before it; null when it is none. */
export function parseRule(line: string): { readonly chain: string; readonly rule: IptablesRule } | null {
  const counters = /^\[(\d+):(\d+)\] /.exec(line);
  const tokens = splitTokens(counters === null ? line : line.slice(counters[0].length));
  if (tokens === null || tokens[0] !== '-A' || tokens[1] === undefined) return null;
  const rule = {
    tokens: tokens.slice(2),
    packets: counters === null ? null : Number(counters[1]),
    bytes: counters === null ? null : Number(counters[2]),
  };
  return { chain: tokens[1], rule };
}

/** Words of a line as iptables-restore reads them: blanks part, "..." holds together, \x inside quotes is x. null for an open quote. */
export function splitTokens(line: string): string[] | null {
  const tokens: string[] = [];
  let token: string | null = null;
  let isQuoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line[i];
    if (isQuoted) {
      if (character === '"') isQuoted = false;
      else token = `${token ?? ''}${character === '\\' && i + 1 < line.length ? line[++i] : character}`;
    } else if (character === '"') {
      isQuoted = true;
      token ??= '';
    } else if (character === ' ' || character === '\t') {
      if (token !== null) tokens.push(token);
      token = null;
    } else {
      token = `${token ?? ''}${character}`;
    }
  }
  if (isQuoted) return null;
  if (token !== null) tokens.push(token);
  return tokens;
}

/** The inverse of `parseTables`: text for iptables-restore. Throws plain Error for names and tokens that cannot stand on a line. */
export function formatTables(tables: IptablesTables): string {
  const lines: string[] = [];
  for (const [table, chains] of tables) {
    lines.push(`*${word(table)}`);
    for (const [name, { policy, packets, bytes }] of chains)
      lines.push(`:${word(name)} ${word(policy)} [${packets}:${bytes}]`);
    for (const [name, { rules }] of chains) {
      for (const rule of rules) {
        const counters =
          rule.packets === null || rule.bytes === null ? '' : `[${rule.packets}:${rule.bytes}] `;
        lines.push(`${counters}-A ${word(name)}${rule.tokens.length === 0 ? '' : ` ${formatRule(rule)}`}`);
      }
    }
    lines.push('COMMIT');
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** A rule without "-A CHAIN ", as iptables-save spells it: comments of more than letters, digits, '-' and '_' are quoted. */
export function formatRule(rule: Pick<IptablesRule, 'tokens'>): string {
  return rule.tokens
    .map((token, index) => formatToken(token, rule.tokens[index - 1] === '--comment'))
    .join(' ');
}

function formatToken(token: string, isComment: boolean): string {
  if (/[\0\n\r]/.test(token))
    throw new Error(`a token of a rule spans lines: ${JSON.stringify(token.slice(0, 100))}`);
  const isPlain = isComment ? /^[A-Za-z0-9_-]+$/.test(token) : token !== '' && !/[\s"'\\]/.test(token);
  return isPlain ? token : `"${token.replaceAll(/["'\\]/g, (character) => `\\${character}`)}"`;
}

function word(text: string): string {
  if (!/^[^\s"'\\#:*[\]\0]+$/.test(text))
    throw new Error(`no name in iptables: ${JSON.stringify(text.slice(0, 100))}`);
  return text;
}
