// Inside a guest: what kube-proxy 1.36 does at its first sync in mode ipvs, as a test tool made of the ordinary tools: ensure chains and jumps,
// the link, the sets; virtual and real servers; members; one restore of all chains; then what nobody wants goes. It knows nothing of us: what it
// wants is a recorded state. Source: kube-proxy 1.36, pkg/proxy/ipvs, in the order of its syncProxyRules.

import { readFileSync } from 'node:fs';
import { tool } from '../../lab/agent-process.ts';
import { recordedFile, type RecordedCase } from './recorded-proxy.ts';

/** What a first sync did. */
export interface ModelSync {
  /** What it had to change besides restoring its chains: "ipvsadm -e ...", "ipset del ...". */
  readonly changes: readonly string[];
  /** Steps that a tool refused, with what it said. */
  readonly refused: readonly string[];
}

/** One first sync of a kube-proxy for the objects of a recorded case. */
export function firstSync(name: RecordedCase): ModelSync {
  const model = new Model(name);
  for (const prefix of ['iptables', 'ip6tables'] as const) model.ensureChains(prefix);
  model.ensureLink();
  model.createSets();
  model.syncServers();
  model.syncSets();
  for (const prefix of ['iptables', 'ip6tables'] as const) model.restoreChains(prefix);
  model.unbindStale();
  model.deleteUnwanted();
  return { changes: model.changes, refused: model.refused };
}

const lines = (text: string): string[] =>
  text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

class Model {
  readonly changes: string[] = [];
  readonly refused: string[] = [];
  private readonly name: RecordedCase;

  constructor(name: RecordedCase) {
    this.name = name;
  }

  private wanted(part: string): string[] {
    return lines(readFileSync(recordedFile(this.name, part), 'utf8'));
  }

  private run(program: string, args: readonly string[], stdin = ''): string {
    const { code, stdout, stderr } = tool(program, args, 300_000, stdin);
    if (code !== 0) this.refused.push(`${program} ${args.join(' ')}: ${stderr.trim()}`);
    return stdout;
  }

  /** A change that a sync on its own state would not make. */
  private change(program: string, args: readonly string[]): void {
    this.changes.push(`${program} ${args.join(' ')}`);
    this.run(program, args);
  }

  private savedRules(prefix: string): { table: string; line: string }[] {
    let table = '';
    return this.wanted(`${prefix}-save.txt`).flatMap((line) => {
      if (line.startsWith('*')) table = line.slice(1);
      return line.startsWith('-A ') || line.startsWith(':KUBE-') ? [{ table, line }] : [];
    });
  }

  /** -N, which fails where a chain exists; -C, then -I, for each jump. */
  ensureChains(prefix: 'iptables' | 'ip6tables'): void {
    const rules = this.savedRules(prefix);
    const present = tool(`${prefix}-legacy-save`, []).stdout;
    for (const { table, line } of rules) {
      const chain = /^:(\S+)/.exec(line)?.[1];
      if (chain === undefined) continue;
      if (!isIn(present, table, (each) => each.startsWith(`:${chain} `)))
        this.change(`${prefix}-legacy`, ['-t', table, '-N', chain]);
    }
    for (const { table, line } of rules) {
      if (!/^-A (?!KUBE-)/.test(line) || isIn(present, table, (each) => each === line)) continue;
      this.changes.push(`${prefix}-legacy -t ${table} ${line.replace('-A', '-I')}`);
      this.run(`${prefix}-legacy-restore`, ['--noflush'], `*${table}\n${line.replace('-A', '-I')}\nCOMMIT\n`);
    }
  }

  ensureLink(): void {
    if (tool('ip', ['link', 'show', 'dev', 'kube-ipvs0']).code !== 0)
      this.change('ip', ['link', 'add', 'kube-ipvs0', 'type', 'dummy']);
  }

  /** create -exist, with its own size: refused when the one that is there differs. */
  createSets(): void {
    const sets = this.wanted('ipset-save.txt').filter((line) => line.startsWith('create '));
    const plain = sets.map((line) => line.replace(/ (?:initval|bucketsize) \S+/g, ''));
    this.run('ipset', ['restore', '-exist'], `${plain.join('\n')}\n`);
  }

  syncServers(): void {
    const found = new Set(lines(this.run('ipvsadm', ['-Sn'])));
    const bound = this.bound();
    for (const address of this.wantedAddresses()) {
      if (!bound.includes(address)) this.change('ip', ['addr', 'add', address, 'dev', 'kube-ipvs0']);
    }
    for (const line of this.wanted('ipvsadm-Sn.txt')) {
      if (found.has(line)) continue;
      const isThere = [...found].some((each) => keyOf(each) === keyOf(line));
      // A server that is there in another way is set right; kube-proxy does this with the weight only, and only now.
      const words = line.split(' ');
      if (isThere) words[0] = words[0] === '-A' ? '-E' : '-e';
      this.change('ipvsadm', words);
    }
    const wanted = new Set(this.wanted('ipvsadm-Sn.txt').map(keyOf));
    for (const line of found) {
      if (!line.startsWith('-a ') || wanted.has(keyOf(line))) continue;
      const [service, server] = keyOf(line).split(' -r ');
      if (wanted.has(service ?? ''))
        this.change('ipvsadm', ['-d', ...(service ?? '').split(' '), '-r', server ?? '']);
    }
  }

  syncSets(): void {
    const members = (text: readonly string[]): string[] => text.filter((line) => line.startsWith('add '));
    const wanted = members(this.wanted('ipset-save.txt'));
    const names = new Set(
      this.wanted('ipset-save.txt').flatMap((line) => /^create (\S+)/.exec(line)?.[1] ?? []),
    );
    const found = members(lines(this.run('ipset', ['save'])));
    for (const line of found)
      if (names.has(line.split(' ')[1] ?? '') && !wanted.includes(line))
        this.change('ipset', line.replace(/^add/, 'del').split(' '));
    for (const line of wanted) if (!found.includes(line)) this.change('ipset', line.split(' '));
  }

  restoreChains(prefix: 'iptables' | 'ip6tables'): void {
    const rules = this.savedRules(prefix);
    const text = ['nat', 'filter'].map((table) => {
      const own = rules.filter((each) => each.table === table && /^(?::|-A )KUBE-/.test(each.line));
      return `*${table}\n${own.map(({ line }) => line).join('\n')}\nCOMMIT\n`;
    });
    this.run(`${prefix}-legacy-restore`, ['-w', '5', '--noflush', '--counters'], text.join(''));
  }

  unbindStale(): void {
    const wanted = this.wantedAddresses();
    for (const address of this.bound())
      if (!wanted.includes(address)) this.change('ip', ['addr', 'del', address, 'dev', 'kube-ipvs0']);
  }

  deleteUnwanted(): void {
    const wanted = new Set(this.wanted('ipvsadm-Sn.txt').map(keyOf));
    for (const line of lines(this.run('ipvsadm', ['-Sn'])))
      if (line.startsWith('-A ') && !wanted.has(keyOf(line)))
        this.change('ipvsadm', ['-D', ...keyOf(line).split(' ')]);
  }

  private bound(): string[] {
    return addressesOf(this.run('ip', ['-json', 'addr', 'show', 'dev', 'kube-ipvs0']));
  }

  private wantedAddresses(): string[] {
    return addressesOf(readFileSync(recordedFile(this.name, 'kube-ipvs0.json'), 'utf8'));
  }
}

/** "-t 10.96.0.1:443", or with a server "-t 10.96.0.1:443 -r 10.244.1.5:6443". */
function keyOf(line: string): string {
  return /^-[Aa] (-\S+ \S+(?: -r \S+)?)/.exec(line)?.[1] ?? line;
}

function isIn(saved: string, table: string, isMeant: (line: string) => boolean): boolean {
  const start = saved.indexOf(`*${table}\n`);
  return start >= 0 && saved.slice(start, saved.indexOf('COMMIT', start)).split('\n').some(isMeant);
}

function addressesOf(json: string): string[] {
  const [link] = JSON.parse(json) as [{ addr_info: { local: string; prefixlen: number }[] } | undefined];
  return (link?.addr_info ?? [])
    .filter(({ local }) => !local.startsWith('fe80:'))
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}
