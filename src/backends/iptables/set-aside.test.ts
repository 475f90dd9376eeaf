// What is set aside of recorded rules, and that it goes again.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { formatRule, parseTables } from '../../kernel/iptables-text.ts';
import { planRuleRemoval } from '../rule-removal.ts';
import { IPTABLES_RULE_LAYOUT } from './rule-layout.ts';
import { renderSetAside, SET_ASIDE_LAYOUT, type SavedChains } from './set-aside.ts';

const ROOT = join(import.meta.dirname, '../../../test');
const RECORDED = ['01-clusterip', '02-nodeport-lb-local', '03-affinity-external-dual'];
const iptables = (name: string): string =>
  readFileSync(join(ROOT, 'fixtures/kube-proxy', name, 'iptables-legacy/iptables-save.txt'), 'utf8');

function chainsOf(text: string): SavedChains {
  const tables = [...parseTables(text)];
  return new Map(
    tables.map(([table, chains]) => [
      table,
      new Map([...chains].map(([name, { rules }]) => [name, rules.map(formatRule)])),
    ]),
  );
}

it.each(RECORDED)('%s: copies what translates, and puts the copy before the original', (name) => {
  const saved = chainsOf(iptables(name));
  const lines = renderSetAside(saved, 'KUBE-IPVS-IPS').split('\n');
  const copied = lines.filter((line) => line.startsWith('-A POINTSMAN-WAS-SERVICES '));
  expect(copied).toEqual(
    [
      '-m set --match-set KUBE-IPVS-IPS src -j KUBE-MARK-MASQ',
      ...(saved.get('nat')?.get('KUBE-SERVICES') ?? []),
    ].map((rule) => `-A POINTSMAN-WAS-SERVICES ${rule}`),
  );
  expect(lines.filter((line) => line.startsWith('-I ') && line.endsWith('SERVICES'))).toEqual([
    '-I OUTPUT 1 -m comment --comment "kubernetes service portals" -j POINTSMAN-WAS-SERVICES',
    '-I PREROUTING 1 -m comment --comment "kubernetes service portals" -j POINTSMAN-WAS-SERVICES',
  ]);
});

it('keeps the place among rules of others, and source ranges', () => {
  const text = iptables('02-nodeport-lb-local').replace(
    '-A PREROUTING ',
    '-A PREROUTING -j CNI\n-A PREROUTING -j OTHERS\n-A PREROUTING ',
  );
  const lines = renderSetAside(chainsOf(text), 'KUBE-IPVS-IPS').split('\n');
  expect(lines).toContain(
    '-I PREROUTING 3 -m comment --comment "kubernetes service portals" -j POINTSMAN-WAS-SERVICES',
  );
  expect(lines.filter((line) => line.endsWith('-j POINTSMAN-WAS-FIREWALL'))).toHaveLength(3);
  expect(lines.filter((line) => line.startsWith('-A POINTSMAN-WAS-FIREWALL '))).not.toHaveLength(0);
});

it.each([
  ['no rules at all', ''],
  ['mode ipvs', readFileSync(join(ROOT, 'golden/01-clusterip/ipvs/iptables-save.txt'), 'utf8')],
  ['an empty chain of that name', '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n'],
])('sets nothing aside of %s', (_, text) => {
  expect(renderSetAside(chainsOf(text), 'KUBE-IPVS-IPS')).toBe('');
});

it('fills the copy anew and adds no second jump after a start that came no further', () => {
  const text = iptables('01-clusterip').replace(
    '-A PREROUTING ',
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j POINTSMAN-WAS-SERVICES\n-A PREROUTING ',
  );
  const lines = renderSetAside(chainsOf(text), 'KUBE-IPVS-IPS').split('\n');
  expect(lines).toContain(':POINTSMAN-WAS-SERVICES - [0:0]');
  expect(lines.filter((line) => line.startsWith('-I '))).toEqual([
    '-I OUTPUT 1 -m comment --comment "kubernetes service portals" -j POINTSMAN-WAS-SERVICES',
  ]);
});

it('is found again by its names, whole', () => {
  const jump = '-m comment --comment "kubernetes service portals" -j POINTSMAN-WAS-SERVICES';
  const text = `*nat\n:PREROUTING ACCEPT [0:0]\n:POINTSMAN-WAS-SERVICES - [0:0]\n:POINTSMAN-WAS-SERVICES2 - [0:0]\n-A PREROUTING ${jump}\n-A PREROUTING ${jump}2\nCOMMIT\n`;
  const { chains, jumps } = planRuleRemoval(parseTables(text), [SET_ASIDE_LAYOUT, IPTABLES_RULE_LAYOUT], []);
  expect(chains).toEqual([{ table: 'nat', name: 'POINTSMAN-WAS-SERVICES' }]);
  expect(jumps).toEqual([{ table: 'nat', from: 'PREROUTING', rule: jump }]);
});
