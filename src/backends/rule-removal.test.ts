// Tables of rules to what is taken out of them: names close to a proxy's, rules of others that use a proxy's chains, two modes side by side.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { parseTables } from '../kernel/iptables-text.ts';
import { IPTABLES_RULE_LAYOUT } from './iptables/rule-layout.ts';
import { IPVS_RULE_LAYOUT } from './ipvs/rule-layout.ts';
import { planRuleRemoval, type RuleLayout } from './rule-removal.ts';

const ROOT = join(import.meta.dirname, '../../test');
const recorded = (...path: string[]): string => readFileSync(join(ROOT, ...path), 'utf8');
const IPVS = recorded('golden/02-nodeport-lb-local/ipvs/iptables-save.txt');
const IPTABLES = recorded('fixtures/kube-proxy/02-nodeport-lb-local/iptables-legacy/iptables-save.txt');

const plan = (
  text: string,
  leaving: readonly RuleLayout[],
  staying: readonly RuleLayout[] = [],
): ReturnType<typeof planRuleRemoval> => planRuleRemoval(parseTables(text), leaving, staying);

const names = ({ chains }: ReturnType<typeof planRuleRemoval>): string[] =>
  chains.map(({ table, name }) => `${table} ${name}`).sort();

describe('mode ipvs', () => {
  it('loses its eleven chains and nine jumps, and what is left is what others had', () => {
    const { text, chains, jumps, kept } = plan(IPVS, [IPVS_RULE_LAYOUT], [IPTABLES_RULE_LAYOUT]);
    expect([chains.length, jumps.length, kept]).toEqual([11, 9, []]);
    expect(after(IPVS, text)).toBe(builtIn(IPVS));
  });

  it('is nothing of a live mode iptables, whose KUBE-SERVICES leads to KUBE-NODEPORTS', () => {
    expect(plan(IPTABLES, [IPVS_RULE_LAYOUT], [IPTABLES_RULE_LAYOUT]).text).toBe('');
  });

  it('takes only what mode iptables does not have, where that one rewrote the chains of both', () => {
    const text = merge(IPTABLES, {
      nat: [':KUBE-LOAD-BALANCER - [0:0]', '-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ'],
      filter: [
        ':KUBE-IPVS-FILTER - [0:0]',
        '-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
        '-A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
      ],
    });
    const removal = plan(text, [IPVS_RULE_LAYOUT], [IPTABLES_RULE_LAYOUT]);
    expect(names(removal)).toEqual(['filter KUBE-IPVS-FILTER', 'nat KUBE-LOAD-BALANCER']);
    expect(removal.jumps.map(({ from, rule }) => `${from} ${rule}`)).toEqual([
      'INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
      'INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
    ]);
  });

  it('goes from the other table too when a first try got no further than nat', () => {
    const filter = IPVS.slice(0, IPVS.indexOf('*nat'));
    expect(plan(filter, [IPVS_RULE_LAYOUT], [IPTABLES_RULE_LAYOUT]).chains).toHaveLength(6);
    const other = IPTABLES.slice(IPTABLES.indexOf('*filter'), IPTABLES.indexOf('*nat'));
    expect(plan(other, [IPVS_RULE_LAYOUT], [IPTABLES_RULE_LAYOUT]).text).toBe('');
  });

  it('keeps the chain that stale chains of mode iptables lead to', () => {
    const text = merge(IPVS, {
      nat: [':KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]', '-A KUBE-SVC-NPX46M4PTMTKRN6Y -j KUBE-MARK-MASQ'],
    });
    const removal = plan(text, [IPVS_RULE_LAYOUT], [IPTABLES_RULE_LAYOUT]);
    expect(removal.kept).toEqual([
      { table: 'nat', name: 'KUBE-MARK-MASQ', because: 'KUBE-SVC-NPX46M4PTMTKRN6Y' },
    ]);
    expect(removal.chains).toHaveLength(10);
  });
});

describe('mode iptables', () => {
  const cases = readdirSync(join(ROOT, 'fixtures/kube-proxy'));
  const files = cases.flatMap((name) =>
    ['iptables-legacy', 'iptables-nft'].flatMap((tool) =>
      ['iptables-save.txt', 'ip6tables-save.txt'].map((file) => [name, tool, file] as const),
    ),
  );
  it.each(files)("leaves only what is kubelet's: %s %s %s", (...path) => {
    const text = recorded('fixtures/kube-proxy', ...path);
    const removal = plan(text, [IPVS_RULE_LAYOUT, IPTABLES_RULE_LAYOUT]);
    expect(removal.jumps).toHaveLength(12);
    const left = after(text, removal.text);
    expect(left).toBe(builtIn(text, /^(?:-A \S+ -j KUBE-FIREWALL$|.*KUBE-FIREWALL )/));
  });

  it('gives up nothing of a live mode ipvs beside it, but what that one does not have', () => {
    const text = merge(IPVS, {
      nat: [':KUBE-NODEPORTS - [0:0]', ':KUBE-PROXY-CANARY - [0:0]', ':KUBE-SEP-IKHCWX3J7TU5BJ23 - [0:0]'],
      filter: [
        ':KUBE-SERVICES - [0:0]',
        '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      ],
    });
    const removal = plan(text, [IPTABLES_RULE_LAYOUT], [IPVS_RULE_LAYOUT]);
    expect(names(removal)).toEqual([
      'filter KUBE-SERVICES',
      'nat KUBE-NODEPORTS',
      'nat KUBE-PROXY-CANARY',
      'nat KUBE-SEP-IKHCWX3J7TU5BJ23',
    ]);
    expect(removal.jumps).toHaveLength(1);
    expect(after(text, removal.text)).toBe(after(IPVS, ''));
  });
});

test.each([
  ['filter', 'KUBE-FIREWALL'],
  ['mangle', 'KUBE-KUBELET-CANARY'],
  ['mangle', 'KUBE-IPTABLES-HINT'],
  ['nat', 'KUBE-SERVICES-FOO'],
  ['nat', 'KUBE-SERVICE'],
  ['nat', 'kube-services'],
  ['filter', 'KUBE-IPVS-FILTER2'],
  ['filter', 'KUBE-MARK-MASQ'],
  ['mangle', 'KUBE-SERVICES'],
  ['nat', 'KUBE-SVC-MINE'],
  ['nat', 'KUBE-SVC-NPX46M4PTMTKRN6YX'],
  ['nat', 'KUBE-SVC-npx46m4ptmtkrn6y'],
  ['nat', 'KUBE-SVC-NPX46M4PTMTKRN61'],
  ['nat', 'XKUBE-SVC-NPX46M4PTMTKRN6Y'],
  ['nat', 'KUBE-XLB-NPX46M4PTMTKRN6Y'],
  ['filter', 'KUBE-SVC-NPX46M4PTMTKRN6Y'],
])('table %s, chain %s is nobody of ours', (table, name) => {
  const text = `*${table}\n:INPUT ACCEPT [0:0]\n:${name} - [0:0]\n-A INPUT -m comment --comment "kubernetes service portals" -j ${name}\nCOMMIT\n`;
  expect(plan(text, [IPVS_RULE_LAYOUT, IPTABLES_RULE_LAYOUT]).text).toBe('');
});

describe('rules of others', () => {
  const chains =
    '*nat\n:OUTPUT ACCEPT [0:0]\n:MINE - [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-NODE-PORT - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n';
  const ours =
    '-A KUBE-SERVICES -j KUBE-NODE-PORT\n-A KUBE-NODE-PORT -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ\n';
  const removalWith = (rule: string): ReturnType<typeof planRuleRemoval> =>
    plan(`${chains}${rule}\n${ours}COMMIT\n`, [IPVS_RULE_LAYOUT]);

  it.each(['-A MINE -j KUBE-NODE-PORT', '-A MINE -g KUBE-NODE-PORT', '-A OUTPUT -p tcp -j KUBE-NODE-PORT'])(
    '%s: the chain stays with all that it leads to, and the set that it matches',
    (rule) => {
      const removal = removalWith(rule);
      expect(names(removal)).toEqual(['nat KUBE-SERVICES']);
      expect(removal.kept.map(({ name, because }) => [name, because])).toEqual([
        ['KUBE-NODE-PORT', rule.split(' ')[1]],
        ['KUBE-MARK-MASQ', 'KUBE-NODE-PORT'],
      ]);
      expect([...removal.usedSets]).toEqual([['KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT']]);
    },
  );

  it.each([
    '-A MINE -m comment --comment "-j" -j RETURN',
    '-A MINE -m comment --comment "a -j KUBE-NODE-PORT"',
  ])('%s: a comment is no jump', (rule) =>
    expect(removalWith(rule)).toMatchObject({ kept: [], chains: { length: 3 } }),
  );

  it.each([
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES2',
    '-A OUTPUT -j KUBE-SERVICES',
    '-A MINE -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -d 10.0.0.0/8 -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  ])('%s: not the text of a jump of ours', (rule) => expect(removalWith(rule).jumps).toEqual([]));

  it('take the set that they match or fill with them', () => {
    const text =
      '*filter\n:A - [0:0]\n-A A -j SET --add-set KUBE-IPVS-IPS src\n-A A -m set ! --match-set KUBE-CLUSTER-IP dst -j DROP\nCOMMIT\n';
    expect([...plan(text, [IPVS_RULE_LAYOUT]).usedSets.keys()]).toEqual(['KUBE-IPVS-IPS', 'KUBE-CLUSTER-IP']);
  });

  it('a jump that stands twice goes twice', () => {
    const jump = '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES';
    const { text } = removalWith(`${jump}\n${jump}`);
    expect(text.match(/^-D OUTPUT /gm)).toHaveLength(2);
  });
});

/** Puts lines into the tables of a text of iptables-save. */
function merge(text: string, lines: Readonly<Record<string, readonly string[]>>): string {
  let merged = text;
  for (const [table, more] of Object.entries(lines)) {
    const chains = more.filter((line) => line.startsWith(':'));
    const rules = more.filter((line) => !line.startsWith(':'));
    const start = merged.indexOf(`*${table}\n`) + table.length + 2;
    const end = merged.indexOf('COMMIT', start);
    merged = [
      merged.slice(0, start),
      ...chains.map((line) => `${line}\n`),
      merged.slice(start, end),
      ...rules.map((line) => `${line}\n`),
      merged.slice(end),
    ].join('');
  }
  return merged;
}

/** What is left of a text of iptables-save after iptables-restore --noflush of `removal`, which deletes nothing that is in use. */
function after(saved: string, removal: string): string {
  const tables = new Map(
    [...parseTables(saved)].map(([table, chains]) => [
      table,
      new Map([...chains].map(([name, { rules }]) => [name, rules.map(({ tokens }) => tokens.join(' '))])),
    ]),
  );
  let chains = new Map<string, string[]>();
  for (const line of removal.split('\n')) {
    const [word = '', name = '', ...rest] = line.split(' ');
    const rules = chains.get(name) ?? [];
    if (line.startsWith('*')) chains = tables.get(line.slice(1)) ?? new Map<string, string[]>();
    else if (line.startsWith(':')) {
      expect(chains.has(word.slice(1)), line).toBe(true);
      chains.set(word.slice(1), []);
    } else if (word === '-D') {
      const at = rules.indexOf(rest.join(' ').replaceAll('"', ''));
      expect(at, line).not.toBe(-1);
      rules.splice(at, 1);
    } else if (word === '-X') {
      const users = [...chains.values()].flat().filter((rule) => rule.endsWith(` ${name}`));
      expect([line, rules, users]).toEqual([line, [], []]);
      chains.delete(name);
    }
  }
  return JSON.stringify([...tables].map(([table, left]) => [table, [...left]]));
}

/** The built-in chains of a text, with KUBE-FIREWALL, and the rules that match. */
function builtIn(saved: string, rules = /^$/): string {
  const lines = saved
    .split('\n')
    .filter(
      (line) => /^(?:\*|COMMIT|:[A-Z]+ (?:ACCEPT|DROP)|:KUBE-FIREWALL )/.test(line) || rules.test(line),
    );
  return after(lines.join('\n'), '');
}
