// Reads state.txt, the expected kernel state of a golden case, which is written by hand from the specification of mode ipvs and never from
// what the program prints. Sections, each a line of its own, in any order; what has no section is not compared:
//   virtual servers        lines of `ipvsadm -Sn`: all there are
//   sets                   lines "add SET MEMBER" of `ipset save`: all members there are
//   addresses              those on kube-ipvs0: all there are
//   rules IPv4, rules IPv6 as iptables-save prints them: "*TABLE", then ":CHAIN" for each chain that is compared, then its rules in order
// Order counts for rules only. Blank lines and lines that begin with # are for the reader. Pure.

import type { Table } from '../../src/backends/ipvs/render-rules.ts';
import type { Family } from '../../src/model/ip.ts';
import { parseRules, parseSets, type Chains, type KernelState } from './kernel-state.ts';

/** The parts of a state that a file names. */
export interface ExpectedState {
  readonly virtualServers?: readonly string[];
  /** Only sets with members. */
  readonly sets?: Readonly<Record<string, readonly string[]>>;
  readonly addresses?: readonly string[];
  /** Only the chains named. */
  readonly rules?: Readonly<Partial<Record<Family, Readonly<Partial<Record<Table, Chains>>>>>>;
}

const SECTIONS = ['virtual servers', 'sets', 'addresses', 'rules IPv4', 'rules IPv6'] as const;
type Section = (typeof SECTIONS)[number];

/** Throws Error on text before a section, a section given twice, or a line that does not belong into its section. */
export function parseExpectedState(text: string): ExpectedState {
  const sections = readSections(text);
  const servers = sections.get('virtual servers');
  const stray = servers?.find((line) => !/^(-A|-a) (-t|-u|--sctp-service) \S+:\d+ -[sr] /.test(line));
  if (stray !== undefined) throw new Error(`not a line of ipvsadm -Sn: ${stray}`);
  const sets = sections.get('sets');
  const addresses = sections.get('addresses');
  const rules = (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const found = sections.get(`rules ${family}`);
    return found === undefined ? [] : [[family, namedChains(found)] as const];
  });
  return {
    ...(servers === undefined ? {} : { virtualServers: [...servers].sort() }),
    ...(sets === undefined ? {} : { sets: parseSets(sets.join('\n')) }),
    ...(addresses === undefined ? {} : { addresses: [...addresses].sort() }),
    ...(rules.length === 0 ? {} : { rules: Object.fromEntries(rules) }),
  };
}

/** What of `state` the file speaks about, in its shape. A chain that is missing stays missing. */
export function narrowState(state: KernelState, expected: ExpectedState): ExpectedState {
  const withMembers = Object.entries(state.sets).filter(([, members]) => members.length > 0);
  const rules = Object.entries(expected.rules ?? {}).map(([family, tables]) => {
    const narrowed = Object.entries(tables).map(([table, chains]) => {
      const found = state.rules[family as Family][table as Table];
      const named = Object.keys(chains).flatMap((chain) => {
        const chainRules = found[chain];
        return chainRules === undefined ? [] : [[chain, chainRules]];
      });
      return [table, Object.fromEntries(named)];
    });
    return [family, Object.fromEntries(narrowed)];
  });
  return {
    ...(expected.virtualServers === undefined ? {} : { virtualServers: state.virtualServers }),
    ...(expected.sets === undefined ? {} : { sets: Object.fromEntries(withMembers) }),
    ...(expected.addresses === undefined ? {} : { addresses: state.addresses }),
    ...(expected.rules === undefined ? {} : { rules: Object.fromEntries(rules) }),
  };
}

function readSections(text: string): Map<Section, string[]> {
  const sections = new Map<Section, string[]>();
  let current: string[] | null = null;
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const section = SECTIONS.find((each) => each === line);
    if (section !== undefined) {
      if (sections.has(section)) throw new Error(`section ${section} twice`);
      sections.set(section, (current = []));
    } else if (current === null) throw new Error(`before any section: ${line}`);
    else current.push(line);
  }
  return sections;
}

/** Only the chains that the lines declare: parseRules adds the built-in ones, which the file does not speak about. */
function namedChains(lines: readonly string[]): Readonly<Partial<Record<Table, Chains>>> {
  const parsed = parseRules(lines.join('\n'));
  const named: Partial<Record<Table, Chains>> = {};
  let table: Table | null = null;
  for (const line of lines) {
    if (line === '*nat' || line === '*filter') table = line.slice(1) as Table;
    const chain = line.startsWith(':') ? line.slice(1) : undefined;
    if (chain === undefined || table === null) continue;
    named[table] = { ...named[table], [chain]: parsed[table][chain] ?? [] };
  }
  return named;
}
