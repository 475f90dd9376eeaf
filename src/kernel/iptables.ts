// iptables through its restore and save programs. A node has two iptables (legacy and nft) side by side, and rules in the wrong one look
// fine and do nothing useful: the flavour is the one that the node's other programs use, and it must be able to write here.
// Source: iptables 1.8; the detection is that of the Kubernetes iptables-wrappers (kubelet's chains as a hint, then the number of rules).

import { hasCode, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { parseTables } from './iptables-text.ts';
import { findTool, firstLines, runTool, type ToolResult } from './process.ts';

/** The two implementations: xtables of old, and nf_tables behind the same commands. */
export type IptablesFlavour = 'legacy' | 'nft';
/** Tables that Pointsman has to do with. */
export type IptablesTable = 'nat' | 'filter' | 'mangle' | 'raw';

/** One flavour's programs of one family. */
interface Programs {
  readonly flavour: IptablesFlavour;
  readonly restore: string;
  readonly save: string;
  readonly version: readonly [number, number, number];
}

/** Chains in table mangle that only kubelet makes, in the flavour that the node uses. */
const HINT_CHAINS = ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'];
/** Seconds to wait for the lock of other iptables programs. */
const LOCK_WAIT_SECONDS = 5;
/** Made and removed in one transaction to see whether writing works. */
const PROBE_TEXT = '*nat\n:POINTSMAN-PROBE - [0:0]\n-X POINTSMAN-PROBE\nCOMMIT\n';
const PROBE_TIMEOUT_MS = 20_000;
const SAVE_TIMEOUT_MS = 60_000;
const RESTORE_TIMEOUT_MS = 120_000;
/** First version with -w in iptables-restore and with MASQUERADE --random-fully. */
const MODERN: readonly [number, number, number] = [1, 6, 2];

/** The iptables of one family on this node, in the network namespace of this thread. */
export class Iptables {
  readonly family: Family;
  readonly flavour: IptablesFlavour;
  /** [1, 8, 9] */
  readonly version: readonly [number, number, number];
  /** MASQUERADE knows --random-fully. */
  readonly hasRandomFully: boolean;
  /** Why this flavour, for a person. */
  readonly reason: string;
  private readonly programs: Programs;

  private constructor(family: Family, programs: Programs, reason: string) {
    this.family = family;
    this.programs = programs;
    this.flavour = programs.flavour;
    this.version = programs.version;
    this.hasRandomFully = isAtLeast(programs.version, MODERN);
    this.reason = reason;
  }

  /**
   * Finds the flavour that this node uses (or takes the given one), and proves that it can write in this network namespace. When the
   * one that is used elsewhere cannot, the other one is tried. Throws MISSING_TOOL, MISSING_PRIVILEGE, or MISSING_MODULE with what each
   * flavour said. Where it has to read all rules of a flavour to decide, `onSaved` hears them as iptables-save prints them, '' for none.
   */
  static async open(
    family: Family,
    options: {
      readonly flavour?: IptablesFlavour;
      readonly onSaved?: ((flavour: IptablesFlavour, text: string) => void) | undefined;
    } = {},
  ): Promise<Iptables> {
    const found = await findPrograms(family);
    const candidates =
      options.flavour === undefined ? found : found.filter(({ flavour }) => flavour === options.flavour);
    if (candidates.length === 0) throw missingTool(family, options.flavour);
    const { chosen, reason } =
      options.flavour === undefined
        ? await detect(candidates, options.onSaved)
        : { chosen: candidates[0], reason: 'as configured' };
    const order = [...candidates].sort((a, b) => Number(b === chosen) - Number(a === chosen));
    const refusals: string[] = [];
    for (const programs of order) {
      const refusal = await probe(programs);
      if (refusal === null) {
        const why = programs === chosen ? reason : `the other one cannot write here: ${refusals.join('; ')}`;
        return new Iptables(family, programs, why);
      }
      refusals.push(`${programs.restore}: ${refusal}`);
    }
    throw cannotWrite(family, refusals);
  }

  /**
   * Every flavour that is installed, for reading and cleaning: unlike `open` it tries nothing, since that would make tables in a flavour that
   * nobody uses here. Whether one works shows in `save`, which makes none as long as no table is named.
   */
  static async installed(family: Family): Promise<Iptables[]> {
    const found = await findPrograms(family);
    return found.map((programs) => new Iptables(family, programs, 'it is installed'));
  }

  /** Text of one table, or of all, as iptables-save prints it, with counters. Throws TOOL_FAILED. */
  async save(table?: IptablesTable): Promise<string> {
    const only = table === undefined ? [] : ['-t', { token: table }];
    const { stdout } = await runTool(this.programs.save, ['-c', ...only], { timeoutMs: SAVE_TIMEOUT_MS });
    return stdout;
  }

  /**
   * Applies a text for iptables-restore, each table atomically. `noflush` (default true) leaves chains alone that the text does not
   * name; `counters` (default true) takes over the counters in it. Throws TOOL_FAILED with the refused line.
   */
  async restore(
    text: string,
    options: { readonly noflush?: boolean; readonly counters?: boolean } = {},
  ): Promise<void> {
    const args = [
      ...(options.noflush === false ? [] : ['--noflush']),
      ...(options.counters === false ? [] : ['--counters']),
      ...waitArguments(this.programs),
    ];
    const toolOptions = { stdin: text, timeoutMs: RESTORE_TIMEOUT_MS, acceptExitCodes: [0, 1, 2, 3, 4] };
    const result = await runTool(this.programs.restore, args, toolOptions);
    if (result.exitCode !== 0) throw refusedText(this.programs.restore, text, result);
  }
}

/**
 * Opens something for each family. One for which the programs or the kernel's part are missing is left out when `onMissing` is there to hear of
 * it and another family works; else its error is thrown.
 */
export async function openFamilies<Opened>(
  families: readonly Family[],
  open: (family: Family) => Promise<Opened>,
  onMissing?: (family: Family, error: PointsmanError) => void,
): Promise<Map<Family, Opened>> {
  const opened = new Map<Family, Opened>();
  const missing = new Map<Family, PointsmanError>();
  for (const family of families) {
    try {
      opened.set(family, await open(family));
    } catch (error) {
      const isMissing = hasCode(error, 'MISSING_TOOL') || hasCode(error, 'MISSING_MODULE');
      if (!isMissing || onMissing === undefined) throw error;
      missing.set(family, error);
    }
  }
  const [first] = missing.values();
  if (first !== undefined && opened.size === 0) throw first;
  for (const [family, error] of missing) onMissing?.(family, error);
  return opened;
}

/** [1, 8, 9] and the flavour of "iptables-restore v1.8.9 (nf_tables)"; null for other text. Versions before 1.8 name no flavour: legacy. */
export function parseVersion(
  text: string,
): { readonly version: readonly [number, number, number]; readonly flavour: IptablesFlavour } | null {
  const match = /v(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (match === null) return null;
  const version = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)] as const;
  return { version, flavour: text.includes('nf_tables') ? 'nft' : 'legacy' };
}

/** Which flavour others use, from what each one's save printed: by kubelet's chains, then by rules, then null. Pure. */
export function chooseFlavour(
  saved: ReadonlyMap<IptablesFlavour, string>,
): { readonly flavour: IptablesFlavour; readonly reason: string } | null {
  const tables = [...saved].map(([flavour, text]) => ({ flavour, tables: parseTables(text) }));
  // Both may have the hint, from before a change of flavour; the wrappers ask nft first, and so do we.
  tables.sort((a, b) => Number(b.flavour === 'nft') - Number(a.flavour === 'nft'));
  for (const { flavour, tables: own } of tables) {
    const hint = HINT_CHAINS.find((chain) => own.get('mangle')?.has(chain));
    if (hint !== undefined) return { flavour, reason: `kubelet's chain ${hint} is in it` };
  }
  const counts = tables.map(({ flavour, tables: own }) => {
    const chains = [...own.values()].flatMap((table) => [...table.values()]);
    return { flavour, rules: chains.reduce((sum, chain) => sum + chain.rules.length, 0) };
  });
  counts.sort((a, b) => b.rules - a.rules);
  const [most, next] = counts;
  if (most === undefined || most.rules === (next?.rules ?? 0)) return null;
  return { flavour: most.flavour, reason: `it holds ${most.rules} rules, the other one ${next?.rules ?? 0}` };
}

async function detect(
  candidates: readonly Programs[],
  onSaved: (flavour: IptablesFlavour, text: string) => void = () => {},
): Promise<{ readonly chosen: Programs | undefined; readonly reason: string }> {
  if (candidates.length === 1) return { chosen: candidates[0], reason: 'it is the only one installed' };
  const saved = new Map<IptablesFlavour, string>();
  for (const { flavour, save } of candidates) {
    // All tables at once: naming one would make the legacy kernel create it. A flavour that the kernel lacks holds nothing.
    const result = await runTool(save, [], { timeoutMs: SAVE_TIMEOUT_MS, acceptExitCodes: [0, 1, 2, 3, 4] });
    saved.set(flavour, result.exitCode === 0 ? result.stdout : '');
    onSaved(flavour, saved.get(flavour) ?? '');
  }
  const choice = chooseFlavour(saved);
  if (choice !== null)
    return { chosen: candidates.find(({ flavour }) => flavour === choice.flavour), reason: choice.reason };
  const plain = await readVersion(
    candidates[0]?.restore.startsWith('ip6') === true ? 'ip6tables' : 'iptables',
  );
  return {
    chosen: candidates.find(({ flavour }) => flavour === plain?.flavour) ?? candidates[0],
    reason: 'it is the default of this system',
  };
}

/** What is installed of a family, each flavour once. */
async function findPrograms(family: Family): Promise<Programs[]> {
  const prefix = family === 'IPv4' ? 'iptables' : 'ip6tables';
  const found: Programs[] = [];
  for (const name of [`${prefix}-nft`, `${prefix}-legacy`, prefix]) {
    const programs = { restore: `${name}-restore`, save: `${name}-save` };
    if (findTool(programs.restore) === null || findTool(programs.save) === null) continue;
    const about = await readVersion(programs.restore);
    if (about === null || found.some(({ flavour }) => flavour === about.flavour)) continue;
    found.push({ ...programs, ...about });
  }
  return found;
}

async function readVersion(tool: string): Promise<ReturnType<typeof parseVersion>> {
  if (findTool(tool) === null) return null;
  try {
    return parseVersion((await runTool(tool, ['--version'], { timeoutMs: PROBE_TIMEOUT_MS })).stdout);
  } catch (error) {
    if (hasCode(error, 'TOOL_FAILED')) return null;
    throw error;
  }
}

/** null when a chain can be made and removed; else what the program said. */
async function probe(programs: Programs): Promise<string | null> {
  const args = ['--noflush', ...waitArguments(programs)];
  const options = { stdin: PROBE_TEXT, timeoutMs: PROBE_TIMEOUT_MS, acceptExitCodes: [0, 1, 2, 3, 4] };
  try {
    const { exitCode, stderr } = await runTool(programs.restore, args, options);
    return exitCode === 0 ? null : firstLines(stderr);
  } catch (error) {
    if (error instanceof PointsmanError) return error.message;
    throw error;
  }
}

function waitArguments({ version }: Programs): readonly string[] {
  return isAtLeast(version, MODERN) ? ['-w', String(LOCK_WAIT_SECONDS)] : [];
}

function isAtLeast(
  version: readonly [number, number, number],
  least: readonly [number, number, number],
): boolean {
  for (let i = 0; i < 3; i++) {
    const difference = (version[i] ?? 0) - (least[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** The line number that iptables names counts the lines of the text; at COMMIT it is the transaction as a whole. */
function refusedText(tool: string, text: string, result: ToolResult): PointsmanError {
  const number = Number(/line:? (\d+)/.exec(result.stderr)?.[1] ?? 0);
  const line = number === 0 ? '' : (text.split('\n')[number - 1] ?? '');
  const where =
    line === '' ? '' : `: refused line ${number}: ${line.slice(0, 300).replaceAll(/[^\x20-\x7e]/g, '?')}`;
  return new PointsmanError('TOOL_FAILED', `${tool}: ${firstLines(result.stderr)}${where}`, {
    tool,
    exitCode: result.exitCode,
    lineNumber: number,
    line,
    stderr: result.stderr.slice(0, 4096),
  });
}

function missingTool(family: Family, flavour: IptablesFlavour | undefined): PointsmanError {
  const name = `${family === 'IPv4' ? 'iptables' : 'ip6tables'}${flavour === undefined ? '' : `-${flavour}`}-restore`;
  return new PointsmanError('MISSING_TOOL', `${name} is not installed; install the package iptables`, {
    family,
    flavour,
  });
}

function cannotWrite(family: Family, refusals: readonly string[]): PointsmanError {
  const said = refusals.join('; ');
  if (/permission denied|you must be root|operation not permitted/i.test(said))
    return new PointsmanError(
      'MISSING_PRIVILEGE',
      `iptables may not be written (${said}); run as root with CAP_NET_ADMIN`,
      { family },
    );
  const module = family === 'IPv4' ? 'iptable_nat' : 'ip6table_nat';
  const message = `no iptables can write table nat of ${family} (${said}); load the kernel module nf_tables with nft_compat, or ${module}`;
  return new PointsmanError('MISSING_MODULE', message, { family, refusals });
}
