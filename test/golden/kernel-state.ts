// The kernel state of mode ipvs as one value that compares: virtual servers, sets, addresses and iptables rules. It is read from what
// the ordinary tools print (ipvsadm -Sn, ipset save, ip -json addr, iptables-save) and from any kernel port, a fake one or the real one.
// Pure but for the reads of the port; knows nothing of test runners, so that it serves inside a guest, too.

import type { IpvsKernelPort } from '../../src/backends/ipvs/port.ts';
import type { Table } from '../../src/backends/ipvs/render-rules.ts';
import { kernelSetName, SET_NAMES } from '../../src/backends/ipvs/sets.ts';
import { EndpointFormatter } from '../../src/ipvsadm/endpoint-text.ts';
import { formatAddServer, formatAddService } from '../../src/ipvsadm/saving.ts';
import { formatMember } from '../../src/kernel/ipset-codec.ts';
import type { Family } from '../../src/model/ip.ts';

/** Chain name to its rules in order, each in iptables-save's spelling without "-A CHAIN ". Built-in chains are always there. */
export type Chains = Readonly<Record<string, readonly string[]>>;

/** The rules of one family. */
export type RuleTables = Readonly<Record<Table, Chains>>;

/** Plain values only: two states are equal when they are equal as JSON with sorted keys. */
export interface KernelState {
  /** Lines of `ipvsadm -Sn`, sorted: "-A -t 10.96.0.1:443 -s rr", "-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1". */
  readonly virtualServers: readonly string[];
  /** Members of every set by its name in the kernel, sorted; empty sets too. Without the set in which we mark our virtual servers. */
  readonly sets: Readonly<Record<string, readonly string[]>>;
  /** Those on kube-ipvs0, sorted. */
  readonly addresses: readonly string[];
  readonly rules: Readonly<Record<Family, RuleTables>>;
}

/** What the tools print of one kernel. */
export interface ToolOutput {
  /** `ipvsadm -Sn` */
  readonly ipvsadm: string;
  /** `ipset save` */
  readonly ipset: string;
  /** `ip -json addr show dev kube-ipvs0` */
  readonly link: string;
  /** `iptables-save` */
  readonly iptables: string;
  /** `ip6tables-save` */
  readonly ip6tables: string;
}

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const TABLES: readonly Table[] = ['nat', 'filter'];
const BUILT_IN: Readonly<Record<Table, readonly string[]>> = {
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
};
/** Ours alone: kube-proxy has nothing like it. */
const MARKS = /^POINTSMAN-/;

/** The state that the tools print. Throws Error on text that is not theirs. */
export function parseKernelState(output: ToolOutput): KernelState {
  return {
    virtualServers: linesOf(output.ipvsadm).sort(),
    sets: parseSets(output.ipset),
    addresses: parseAddresses(output.link),
    rules: { IPv4: parseRules(output.iptables), IPv6: parseRules(output.ip6tables) },
  };
}

/** Reads the state through a port. Sets of other names than the backend's are not seen. */
export async function readKernelState(port: IpvsKernelPort): Promise<KernelState> {
  const formatter = new EndpointFormatter(null);
  const virtualServers: string[] = [];
  for (const service of await port.services()) {
    virtualServers.push(formatAddService(service, formatter, false).trim());
    for (const server of await port.destinations(service))
      virtualServers.push(formatAddServer(service, server, formatter, false).trim());
  }
  const sets: Record<string, string[]> = {};
  const rules: Record<Family, RuleTables> = { IPv4: emptyTables(), IPv6: emptyTables() };
  for (const family of FAMILIES) {
    for (const set of SET_NAMES) {
      const name = kernelSetName(set, family);
      const members = MARKS.test(name) ? null : await port.setMembers(set, family);
      if (members !== null) sets[name] = members.map(formatMember).sort();
    }
    const found = await port.rules(family);
    const tables = emptyTables();
    for (const table of TABLES) {
      for (const [chain, chainRules] of found.get(table) ?? []) tables[table][chain] = [...chainRules];
    }
    rules[family] = tables;
  }
  return {
    virtualServers: virtualServers.sort(),
    sets,
    addresses: [...((await port.boundAddresses()) ?? [])].sort(),
    rules,
  };
}

/** The state without the Services on this address: their virtual servers, the members that begin with it, and the address itself. */
export function withoutAddress(state: KernelState, address: string): KernelState {
  const endpoint = address.includes(':') ? `[${address}]:` : `${address}:`;
  const sets = Object.entries(state.sets).map(([name, members]) => [
    name,
    members.filter((member) => member.split(',')[0] !== address),
  ]);
  return {
    ...state,
    virtualServers: state.virtualServers.filter((line) => line.split(' ')[2]?.startsWith(endpoint) !== true),
    sets: Object.fromEntries(sets) as KernelState['sets'],
    addresses: state.addresses.filter((each) => each !== address),
  };
}

/** Members by set of `ipset save`, or of its "add" lines alone. Throws Error on other lines. */
export function parseSets(text: string): Record<string, string[]> {
  const sets: Record<string, string[]> = {};
  for (const line of linesOf(text)) {
    const [, verb, name = '', rest = ''] = /^(create|add) (\S+) (.+)$/.exec(line) ?? [];
    if (verb === undefined) throw new Error(`not a line of ipset save: ${line}`);
    if (MARKS.test(name)) continue;
    const members = (sets[name] ??= []);
    if (verb === 'add') members.push(rest);
  }
  for (const members of Object.values(sets)) members.sort();
  return sets;
}

/** How each set was made, by its name: "hash:ip,port family inet hashsize 1024 maxelem 65536". What differs at each run is left out. */
export function parseSetHeaders(text: string): Record<string, string> {
  const created = linesOf(text).flatMap((line) => {
    const [, name, header] = /^create (\S+) (.+?)( bucketsize .*)?$/.exec(line) ?? [];
    return name === undefined || header === undefined || MARKS.test(name) ? [] : [[name, header] as const];
  });
  return Object.fromEntries(created);
}

/** Addresses of `ip -json addr show dev LINK`. */
export function parseAddresses(json: string): string[] {
  const links = JSON.parse(json) as { readonly addr_info?: readonly { readonly local: string }[] }[];
  return links.flatMap(({ addr_info }) => addr_info?.map(({ local }) => local) ?? []).sort();
}

/** Tables nat and filter of iptables-save or ip6tables-save; counters and other tables are left out. Throws Error on a stray rule. */
export function parseRules(text: string): RuleTables {
  const tables = emptyTables();
  let chains: Record<string, string[]> | null = null;
  let isOther = false;
  for (const line of linesOf(text)) {
    if (line.startsWith('#') || line === 'COMMIT') continue;
    if (line.startsWith('*')) {
      chains = tables[line.slice(1) as Table] ?? null;
      isOther = chains === null;
    } else if (chains !== null) {
      addRuleLine(chains, line);
    } else if (!isOther) throw new Error(`before any table: ${line}`);
  }
  return tables;
}

function addRuleLine(chains: Record<string, string[]>, line: string): void {
  const [, declared] = /^:(\S+)/.exec(line) ?? [];
  if (declared !== undefined) {
    chains[declared] ??= [];
    return;
  }
  const [, chain, rule] = /^(?:\[\d+:\d+\] )?-A (\S+) (.+)$/.exec(line) ?? [];
  const rules = chain === undefined ? undefined : chains[chain];
  if (rules === undefined || rule === undefined) throw new Error(`no rule of a declared chain: ${line}`);
  rules.push(rule);
}

function emptyTables(): Record<Table, Record<string, string[]>> {
  const empty = (table: Table): Record<string, string[]> =>
    Object.fromEntries(BUILT_IN[table].map((chain) => [chain, []]));
  return { nat: empty('nat'), filter: empty('filter') };
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
