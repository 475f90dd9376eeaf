// Brings the iptables rules of one family to what is wanted: reads them once, remembers them, and restores only the chains that
// differ, in one iptables-restore. Foreign chains and rules are never touched; missing jumps are inserted at the head.

import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import type { IpvsKernelPort } from './port.ts';
import { renderRules, type Chain, type RuleOptions, type RuleSet, type Table } from './render-rules.ts';
import type { SetName } from './sets.ts';

const TABLES: readonly Table[] = ['nat', 'filter'];
/** Where the rules for processes of this node are. */
const NODE_CHAIN = 'filter KUBE-IPVS-OUT-FILTER';

/** What the caller knows of the rules that it wants; the rest is of the family and its tools. */
export type WantedRules = Omit<RuleOptions, 'family' | 'hasRandomFully'>;

interface Wish {
  readonly options: WantedRules;
  readonly nonEmpty: ReadonlySet<SetName>;
}

/** The rules of one family: what is known to be in the kernel, and the way to what is wanted. */
export class Rules {
  private readonly port: IpvsKernelPort;
  private readonly family: Family;
  /** Chain contents in the kernel, by "table chain"; a built-in chain holds all its rules. */
  private known: Promise<Map<string, readonly string[]>> | null = null;
  private fingerprint: string | null = null;
  /** What `ensure` was last asked for. */
  private wish: Wish | null = null;
  /** True when the kernel was found to have it, or got it. */
  private isEnsured = false;
  /** True when the kernel had rules for processes of this node once, so it has the match "ipvs". */
  haveHadNodeRules = false;
  /** True when the last `ensure` failed because the rules were refused, not because they could not be read. */
  isRestoreRefused = false;

  constructor(port: IpvsKernelPort, family: Family) {
    this.port = port;
    this.family = family;
  }

  /** Starts reading the kernel, so that it goes on beside other work; `ensure` waits for it. */
  load(): void {
    this.known ??= this.read();
    // A failure is met by `ensure`, which awaits the same promise.
    this.known.catch(() => {});
  }

  /**
   * Makes the rules what `renderRules` says for these options and non-empty sets. Returns the restored text, '' when nothing
   * differed. Throws TOOL_FAILED when iptables-restore refuses it: then nothing was changed.
   */
  async ensure(options: WantedRules, nonEmpty: ReadonlySet<SetName>): Promise<string> {
    if (this.isEnsured && this.wish !== null && isSameWish(this.wish, { options, nonEmpty })) return '';
    this.wish = { options, nonEmpty };
    this.isEnsured = false;
    this.isRestoreRefused = false;
    // Somebody else's change since would be hidden behind our own.
    if (this.known !== null && this.fingerprint !== this.readFingerprint()) this.known = null;
    this.load();
    const known = await this.takeKnown();
    const wanted = renderRules(
      { ...options, family: this.family, hasRandomFully: this.port.hasRandomFully(this.family) },
      nonEmpty,
    );
    forgetOthers(known, wanted);
    this.haveHadNodeRules ||= (known.get(NODE_CHAIN) ?? []).some((rule) => rule.includes('-m ipvs'));
    const text = renderRestore(wanted, known);
    if (text !== '') {
      try {
        await this.port.restoreRules(this.family, text);
      } catch (error) {
        this.forget();
        this.isRestoreRefused = true;
        throw error;
      }
      this.fingerprint = this.readFingerprint();
    }
    this.haveHadNodeRules ||= options.closedToNode.length > 0;
    for (const chain of wanted.chains) known.set(`${chain.table} ${chain.name}`, chain.rules);
    for (const jump of wanted.jumps) {
      const rules = known.get(`${jump.table} ${jump.from}`) ?? [];
      if (!rules.includes(jump.rule)) known.set(`${jump.table} ${jump.from}`, [jump.rule, ...rules]);
    }
    this.isEnsured = true;
    return text;
  }

  /** True when the kernel was found to have what was last asked for, or got it. */
  get isInPlace(): boolean {
    return this.isEnsured;
  }

  /**
   * True when somebody may have changed the rules of the family since they were last read or written; costs microseconds. Kernels without a
   * fingerprint always answer false: only `recheck` tells.
   */
  mayHaveChanged(): boolean {
    return this.isEnsured && this.port.rulesFingerprint(this.family) !== this.fingerprint;
  }

  /** Reads the rules again and puts right what differs from what was last asked for; returns the restored text. Throws as `ensure`. */
  async recheck(): Promise<string> {
    if (this.wish === null) return '';
    this.forget();
    return this.ensure(this.wish.options, this.wish.nonEmpty);
  }

  /** One that cannot be read is none: it differs from any, so that the rules are looked at when it can be. */
  private readFingerprint(): string | null {
    try {
      return this.port.rulesFingerprint(this.family);
    } catch (error) {
      if (error instanceof PointsmanError) return null;
      throw error;
    }
  }

  /** Forgets what it knows of the kernel and what it was asked for. */
  reset(): void {
    this.wish = null;
    this.forget();
  }

  private forget(): void {
    this.known = null;
    this.isEnsured = false;
  }

  private async takeKnown(): Promise<Map<string, readonly string[]>> {
    try {
      return await (this.known ?? this.read());
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  private async read(): Promise<Map<string, readonly string[]>> {
    // Taken before reading: what is changed meanwhile is seen as a change later.
    this.fingerprint = this.readFingerprint();
    const known = new Map<string, readonly string[]>();
    for (const [table, chains] of await this.port.rules(this.family)) {
      for (const [chain, rules] of chains) known.set(`${table} ${chain}`, rules);
    }
    return known;
  }
}

/** A node may have tens of thousands of rules that are not ours: what is not wanted of is not remembered. */
function forgetOthers(known: Map<string, readonly string[]>, { chains, jumps }: RuleSet): void {
  const ours = new Set([
    ...chains.map(({ table, name }) => `${table} ${name}`),
    ...jumps.map(({ table, from }) => `${table} ${from}`),
  ]);
  if (known.size > ours.size) for (const id of [...known.keys()]) if (!ours.has(id)) known.delete(id);
}

function isSameWish(one: Wish, other: Wish): boolean {
  const [before, options] = [one.options, other.options];
  return (
    before.masqueradeMark === options.masqueradeMark &&
    before.masqueradeAll === options.masqueradeAll &&
    before.localDetector === options.localDetector &&
    before.closedToNode === options.closedToNode &&
    one.nonEmpty.size === other.nonEmpty.size &&
    [...other.nonEmpty].every((set) => one.nonEmpty.has(set))
  );
}

/** iptables-restore --noflush input that turns `known` into `wanted`; '' when nothing differs. */
export function renderRestore(wanted: RuleSet, known: ReadonlyMap<string, readonly string[]>): string {
  return TABLES.map((table) => renderTable(table, wanted, known)).join('');
}

function renderTable(table: Table, wanted: RuleSet, known: ReadonlyMap<string, readonly string[]>): string {
  const chains = wanted.chains.filter(
    (chain) => chain.table === table && !isSame(chain, known.get(`${table} ${chain.name}`)),
  );
  const jumps = wanted.jumps.filter(
    (jump) => jump.table === table && !known.get(`${table} ${jump.from}`)?.includes(jump.rule),
  );
  if (chains.length === 0 && jumps.length === 0) return '';
  return [
    `*${table}`,
    // Declaring a chain makes it, or empties it when it is there; the commit replaces all of them at once.
    ...chains.map((chain) => `:${chain.name} - [0:0]`),
    ...chains.flatMap((chain) => chain.rules.map((rule) => `-A ${chain.name} ${rule}`)),
    ...jumps.map((jump) => `-I ${jump.from} ${jump.rule}`),
    'COMMIT',
    '',
  ].join('\n');
}

function isSame(chain: Chain, known: readonly string[] | undefined): boolean {
  return (
    known !== undefined &&
    known.length === chain.rules.length &&
    known.every((rule, i) => rule === chain.rules[i])
  );
}
