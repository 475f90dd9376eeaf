// Cases for clean-ups on this machine's kernel, run by runInNamespace in a fresh network namespace: kube-proxy's recorded rules of every
// mode, restored with the ordinary tools beside kubelet's chains and others' with names close to them, then cleaned.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pointsman } from '../../lab/agent-process.ts';
import type { Owner } from '../../src/backends/ipvs/provenance.ts';
import { cleanUp } from '../../src/daemon/cleanup.ts';
import { KernelCleanupPort } from '../../src/daemon/cleanup-port.ts';
import type { CleanupReport } from '../../src/daemon/cleanup-run.ts';
import { IpsetClient } from '../../src/kernel/ipset.ts';
import { NftablesClient } from '../../src/kernel/nftables.ts';
import { errorLine } from '../../src/model/errors.ts';
import { serveCases } from './in-namespace.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/kube-proxy');
const GOLDEN = join(import.meta.dirname, '../golden');
const RECORDED = readdirSync(FIXTURES);
const FLAVOURS = ['legacy', 'nft'] as const;
const FAMILIES = ['IPv4', 'IPv6'] as const;

const FOREIGN = `*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-IPVS-FILTER2 - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER2
COMMIT
*nat
:KUBE-SERVICES-FOO - [0:0]
:KUBE-SVC-MINE - [0:0]
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES-FOO
-A KUBE-SERVICES-FOO -j KUBE-SVC-MINE
COMMIT
`;

function shell(script: string, input = ''): string {
  return execFileSync('sh', ['-ec', script], { encoding: 'utf8', input, timeout: 120_000 });
}

/** Adds rules; counters of nfacct, which need objects that nobody recorded, are left out, and so is what is there already. */
function restore(flavour: string, prefix: string, text: string): void {
  const plain = text
    .replaceAll(/-m nfacct --nfacct-name {2}\w+ /g, '')
    .replaceAll(/^(?::KUBE-FIREWALL |-A \S+ -j KUBE-FIREWALL$|-A KUBE-FIREWALL ).*\n/gm, '');
  shell(`${prefix}-${flavour}-restore --noflush`, plain);
}

/** The rules of both families and flavours, without counters and comments; tables and chains in order of their names. */
function rules(): string {
  const saved = FLAVOURS.flatMap((flavour) =>
    ['iptables', 'ip6tables'].map((prefix) => {
      const tables = shell(`${prefix}-${flavour}-save`).split(/^(?=\*)/m);
      return [`${prefix}-${flavour}`, ...tables.sort()].join('\n');
    }),
  );
  return saved
    .join('\n')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/ \[\d+:\d+\]$/gm, '');
}

let port: KernelCleanupPort | undefined;

async function clean(owners: readonly Owner[]): Promise<CleanupReport> {
  port ??= await KernelCleanupPort.open(FAMILIES);
  return cleanUp(port, { owners: new Set(owners), excludeCIDRs: [] });
}

/** Whether the rules are after a clean-up as they were before; how much was removed, and by a second one. */
async function modeIptables(): Promise<unknown> {
  const results = [];
  for (const flavour of FLAVOURS)
    for (const prefix of ['iptables', 'ip6tables']) shell(`${prefix}-${flavour}-restore --noflush`, FOREIGN);
  const before = rules();
  for (const name of RECORDED) {
    for (const flavour of FLAVOURS) {
      const folder = join(FIXTURES, name, `iptables-${flavour}`);
      for (const prefix of ['iptables', 'ip6tables'])
        restore(flavour, prefix, readFileSync(join(folder, `${prefix}-save.txt`), 'utf8'));
      const full = rules();
      const ofOurs = await clean(['pointsman']);
      const isLeft = rules() === full;
      const { removed, failed, left, kept } = await clean(['kube-proxy']);
      const jumps = removed.filter(({ kind }) => kind === 'jump').length;
      const again = await clean(['kube-proxy']);
      results.push({
        name: `${name} ${flavour}`,
        ofOurs: ofOurs.removed,
        isLeft,
        isChanged: full !== before,
        isAsBefore: rules() === before,
        jumps,
        others: [...failed, ...left, ...kept],
        again: again.removed,
      });
    }
  }
  return results;
}

function withoutTables(text: string): string {
  return text.replaceAll(/^(?:\*|:[A-Z]+ |COMMIT|$).*\n/gm, '');
}

/** Mode ipvs in nft, as ours would be without a virtual server. */
async function modeIpvsInNft(): Promise<unknown> {
  const results = [];
  for (const name of RECORDED) {
    const folder = join(GOLDEN, name, 'ipvs');
    const before = rules();
    shell(`ipset restore`, readFileSync(join(folder, 'ipset-save.txt'), 'utf8'));
    shell('ipset create KUBE-CLUSTER-IP2 hash:ip');
    for (const prefix of ['iptables', 'ip6tables'])
      restore('nft', prefix, readFileSync(join(folder, `${prefix}-save.txt`), 'utf8'));
    const { removed, failed, left } = await clean(['pointsman']);
    const sets = removed.filter(({ kind }) => kind === 'set').length;
    results.push({
      sets,
      others: [...failed, ...left],
      names: shell('ipset list -name'),
      // A table of nft that rules needed stays when they are gone.
      isAsBefore: withoutTables(rules()) === withoutTables(before),
    });
    shell('ipset destroy');
  }
  return results;
}

/** A set whose rule went a moment ago: what the kernel says of it, and whether a clean-up destroys it all the same. */
async function setOfDeletedRule(): Promise<unknown> {
  port ??= await KernelCleanupPort.open(FAMILIES);
  const sets = IpsetClient.open();
  const deleteRule = async (set: string): Promise<void> => {
    shell(
      `ipset create ${set} hash:ip; iptables-nft -t nat -N A; iptables-nft -t nat -A A -m set --match-set ${set} dst -j RETURN`,
    );
    await port?.deleteTable('IPv4', 'nat');
  };
  await deleteRule('ASKED');
  let refusal = '';
  try {
    sets.destroy('ASKED');
  } catch (error) {
    refusal = errorLine(error);
  }
  sets.close();
  await deleteRule('CLEANED');
  await port.destroySet('CLEANED');
  return { refusal, names: shell('ipset list -name') };
}

/** Rules in both flavours at once, and a set of sets that holds one of ours, which no rule shows. */
async function refused(): Promise<unknown> {
  shell('ipset restore', readFileSync(join(GOLDEN, '01-clusterip/ipvs/ipset-save.txt'), 'utf8'));
  for (const flavour of FLAVOURS)
    restore(flavour, 'iptables', readFileSync(join(GOLDEN, '01-clusterip/ipvs/iptables-save.txt'), 'utf8'));
  shell('ipset create HOLDER list:set; ipset add HOLDER KUBE-IPVS-IPS');
  const first = pointsman(['cleanup']);
  const names = shell('ipset list -name');
  shell('ipset destroy HOLDER');
  return { first, names, second: pointsman(['cleanup']) };
}

/** Our client of nf_tables on tables that iptables-nft made: what it finds, and what is left after it deleted one. */
async function tables(): Promise<unknown> {
  shell(
    'iptables-nft -t nat -N A; iptables-nft -t nat -A OUTPUT -j A; iptables-nft -t filter -N B; ip6tables-nft -t nat -N A',
  );
  const client = NftablesClient.open();
  const found = (): string[] =>
    FAMILIES.flatMap((family) =>
      ['nat', 'filter', 'kube-proxy']
        .filter((name) => client.hasTable(family, name))
        .map((name) => `${family} ${name}`),
    );
  const results = [
    found(),
    client.deleteTable('IPv4', 'nat'),
    found(),
    client.deleteTable('IPv4', 'nat'),
    client.deleteTable('IPv6', 'none'),
    found(),
  ];
  client.close();
  return results;
}

/** kube-proxy's recorded tables of mode nftables. */
async function modeNftables(): Promise<unknown> {
  const results = [];
  shell('nft -f -', 'table ip kube-proxy2 { chain a { }; }\ntable inet kube-proxy { chain a { }; }\n');
  const before = shell('nft list ruleset');
  for (const name of RECORDED) {
    shell(`nft -f ${join(FIXTURES, name, 'nftables/nft-ruleset.txt')}`);
    const tablesThen = shell('nft list tables').trim().split('\n').length;
    const ofOurs = await clean(['pointsman']);
    const { removed, failed } = await clean(['kube-proxy']);
    results.push({
      tablesThen,
      ofOurs: ofOurs.removed,
      removed,
      failed,
      isAsBefore: shell('nft list ruleset') === before,
      again: (await clean(['kube-proxy'])).removed,
    });
  }
  return results;
}

await serveCases({ modeIptables, modeIpvsInNft, setOfDeletedRule, refused, tables, modeNftables });
port?.close();
