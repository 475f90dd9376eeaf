// Twin network namespaces: the original runs in one, ours in the other, and after each line their tables are compared. It runs in a
// worker thread of a guest's process (see twins-guest.ts), because it moves the thread between the namespaces.

import { NetnsSwitch } from '../../lab/netns-switch.ts';
import { IpvsClient } from '../../src/kernel/ipvs.ts';
import type { CommandLine, Outcome } from './command-line.ts';
import { asCompatible } from './deliberate-differences.ts';
import { ShellProcess } from './shell-process.ts';
import { clearTable, readTableState } from './table-state.ts';
import { compareRuns, mayPart, type Run } from './verdict.ts';

/** Where twins.sh makes the original's namespace; ours is the process's own. */
export const ORIGINALS_NAMESPACE = 'original';

/** One line, what both did, and what of it differs. */
export interface Difference {
  readonly line: CommandLine;
  readonly differs: readonly string[];
  readonly original: Run;
  readonly ours: Run;
}

/** Runs ours, in the network namespace of the calling thread. */
export type Subject = (line: CommandLine) => Promise<Outcome>;

export class Twins {
  readonly #netns = new NetnsSwitch();
  /** Runs in the original's namespace. */
  readonly #shell = new ShellProcess();
  readonly #subject: Subject;
  readonly #originals: IpvsClient;
  readonly #ours: IpvsClient;
  lines = 0;
  /** How often the original ended with which code. */
  readonly exitCodes = new Map<number, number>();

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#enterOriginals();
    this.#originals = IpvsClient.open();
    this.#netns.goHome();
    this.#ours = IpvsClient.open();
  }

  #enterOriginals(): void {
    this.#netns.enter(`/run/netns/${ORIGINALS_NAMESPACE}`);
  }

  /** Both tables empty. */
  async reset(): Promise<void> {
    await clearTable(this.#originals);
    await clearTable(this.#ours);
  }

  /**
   * Runs one line on both sides: 'same' when they did the same, 'parted' when they then may have different tables on purpose.
   */
  async run(line: CommandLine): Promise<Difference | 'same' | 'parted'> {
    const outcome = await this.#shell.ipvsadm(line);
    this.lines++;
    this.exitCodes.set(outcome.exitCode, (this.exitCodes.get(outcome.exitCode) ?? 0) + 1);
    // What only reads gets the original's own table, whose order in the kernel is the original's.
    const sameTable = onlyReads(line);
    const own = await this.#runOurs(line, outcome.exitCode, sameTable);
    const original: Run = { outcome, table: await readTableState(this.#originals) };
    const ours: Run = { outcome: own, table: await readTableState(this.#ours) };
    const differs = compareRuns(line, original, ours, sameTable);
    if (differs.length > 0) return { line, differs, original, ours };
    return mayPart(line, outcome) ? 'parted' : 'same';
  }

  async #runOurs(line: CommandLine, originalExitCode: number, inOriginals: boolean): Promise<Outcome> {
    if (inOriginals) this.#enterOriginals();
    try {
      return await this.#subject(asCompatible(line, originalExitCode));
    } catch (error) {
      return { exitCode: -1, stdout: '', stderr: `thrown: ${(error as Error).stack ?? String(error)}` };
    } finally {
      this.#netns.goHome();
    }
  }

  /** Runs one line on both sides, both in the original's namespace; the table is not looked at. */
  async runOnOriginals(line: CommandLine): Promise<Difference | 'same'> {
    const table = { services: [], daemons: [], timeouts: null };
    const original: Run = { outcome: await this.#shell.ipvsadm(line), table };
    const ours: Run = { outcome: await this.#runOurs(line, original.outcome.exitCode, true), table };
    const differs = compareRuns(line, original, ours, true);
    return differs.length === 0 ? 'same' : { line, differs, original, ours };
  }

  /** Runs a command of sh(1) in the original's namespace. Throws when it fails. */
  async runInOriginals(command: string): Promise<void> {
    const { exitCode, stderr } = await this.#shell.run(command);
    if (exitCode !== 0) throw new Error(`${command}: exit ${exitCode}: ${stderr}`);
  }

  close(): void {
    this.#shell.close();
    this.#originals.close();
    this.#ours.close();
    this.#netns.close();
  }
}

/** Whether a line can only read: should ours write then, the tables differ afterwards. */
function onlyReads({ args }: CommandLine): boolean {
  return args[0] === undefined || /^(-[LlShv]|--(list|save|help|version)$)/.test(args[0]);
}
