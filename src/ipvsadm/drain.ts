// `drain`: takes servers out of service without cutting connections: weight 0, then a wait until they have ended, then if asked for
// the removal. It changes the weight alone, and fights nobody who sets it back. What is waited for is in drain-target.ts.

import type { IpvsOperation } from '../kernel/ipvs.ts';
import { drainMemoryFile, type DrainMemory } from './drain-memory.ts';
import { drainNotes } from './drain-notes.ts';
import { DrainReport } from './drain-report.ts';
import { makeTarget, type DrainTarget, type WaitRule } from './drain-target.ts';
import { waitForTargets } from './drain-wait.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { tellOf, withTable } from './open.ts';
import { EXIT } from './refusal.ts';
import {
  applyEach,
  formatChoice,
  selectServers,
  weightOperation,
  type ServerChoice,
} from './server-selection.ts';
import { keyOfService } from './table.ts';

/** What `drain` is asked for; DEFAULT_DRAIN_OPTIONS has what holds when nothing is said. */
export interface DrainOptions extends ServerChoice {
  /** How long to wait for connections to end, 0 or more; null = as long as it takes. */
  readonly deadlineMs: number | null;
  /** Between two looks: MIN_DRAIN_INTERVAL_MS or more. */
  readonly intervalMs: number;
  /** Deletes each server once it is drained. Needs `waits`. */
  readonly removes: boolean;
  /** False: sets the weight and is done. */
  readonly waits: boolean;
  /** Does not wait for clients that persistence still sends to the server. */
  readonly ignoresPersistent: boolean;
  /** One JSON object per line instead of text. */
  readonly isJson: boolean;
}

export const MIN_DRAIN_INTERVAL_MS = 100;

export const DEFAULT_DRAIN_OPTIONS: Omit<DrainOptions, keyof ServerChoice> = {
  deadlineMs: null,
  intervalMs: 1000,
  removes: false,
  waits: true,
  ignoresPersistent: false,
  isJson: false,
};

const EXPIRE_TEMPLATES = '/proc/sys/net/ipv4/vs/expire_quiescent_template';

/**
 * Exit code 0 when every server is drained (without `waits`: has weight 0); 1 when connections are left at the deadline or the
 * end by the user, the kernel refuses, or somebody else changed a server meanwhile; 2 when there is no such server or the options
 * contradict each other. `memory` is for tests.
 */
export async function drainCommand(
  options: DrainOptions,
  io: IpvsadmIo,
  memory: DrainMemory = drainMemoryFile((ms) => io.wait(ms)),
): Promise<number> {
  const fail = (text: string): void => io.err(`${io.program} drain: ${text}\n`);
  if (options.removes && !options.waits) {
    fail('a server is removed after the wait: --remove does not go with --no-wait');
    return EXIT.USAGE;
  }
  return withTable(io, (table) => drainServers(options, table, io, memory, fail), tellOf('drain', io));
}

async function drainServers(
  options: DrainOptions,
  table: IpvsTable,
  io: IpvsadmIo,
  memory: DrainMemory,
  fail: (text: string) => void,
): Promise<number> {
  const report = new DrainReport(io, options.isJson, `${io.program} undrain ${formatChoice(options)}`);
  try {
    const selection = await selectServers(table, options, io.signal);
    if (selection === null) return EXIT.FAILED_LIST;
    if (selection.servers === null) {
      fail(selection.reason);
      return EXIT.USAGE;
    }
    const rule: WaitRule = {
      ignoresPersistent: options.ignoresPersistent,
      expiresTemplates: readSwitch(io, EXPIRE_TEMPLATES),
    };
    for (const note of drainNotes(selection.servers, rule, options.waits)) fail(note);
    const targets = selection.servers.map((selected) => makeTarget(selected, rule));
    await stopNewConnections(targets, table, memory, report, fail);
    if (options.waits) await waitForTargets(targets, options, table, io, report);
    if (options.removes) await removeDrained(targets, table, report, fail);
    await forgetSettled(targets, memory, fail);
    return report.end(targets, options.waits);
  } finally {
    report.clear();
  }
}

/** The weights are remembered first: a weight of 0 that nobody remembers could not be undone. */
async function stopNewConnections(
  targets: readonly DrainTarget[],
  table: IpvsTable,
  memory: DrainMemory,
  report: DrainReport,
  fail: (text: string) => void,
): Promise<void> {
  const weighted = targets.filter(({ weight }) => weight > 0);
  const note = await memory.change(
    weighted.map(({ id, weight }) => ({ ...id, weight })),
    [],
  );
  if (note !== null) fail(`note: ${note}`);
  await applyEach(
    weighted,
    (target) => weightOperation(target, 0),
    table,
    (target, { error }) => {
      target.outcome = 'refused';
      fail(error.message);
    },
  );
  for (const target of targets) if (target.outcome === null) report.weight(target);
}

async function removeDrained(
  targets: readonly DrainTarget[],
  table: IpvsTable,
  report: DrainReport,
  fail: (text: string) => void,
): Promise<void> {
  const drained = targets.filter(({ outcome }) => outcome === 'drained');
  const remove = ({ service, server: { address, port } }: DrainTarget): IpvsOperation => ({
    op: 'DEL_DEST',
    service: keyOfService(service),
    destination: { address, port },
  });
  await applyEach(drained, remove, table, (target, { error }) => {
    // Somebody else was faster; gone is gone.
    if (error.errnoName === 'ENOENT' || error.errnoName === 'ESRCH') return;
    target.outcome = 'refused';
    fail(error.message);
  });
  for (const target of drained) {
    if (target.outcome !== 'drained') continue;
    target.outcome = 'removed';
    report.outcome(target);
  }
}

/** What can no longer be undone, or was undone by somebody else. */
async function forgetSettled(
  targets: readonly DrainTarget[],
  memory: DrainMemory,
  fail: (text: string) => void,
): Promise<void> {
  const settled = targets.filter(
    ({ outcome }) => outcome === 'removed' || outcome === 'deleted' || outcome === 'weightChanged',
  );
  const note = await memory.change(
    [],
    settled.map(({ id }) => id),
  );
  if (note !== null) fail(`note: ${note}`);
}

/** Off when it cannot be read: then more is waited for than need be. */
function readSwitch(io: IpvsadmIo, path: string): boolean {
  try {
    return io.readFile(path).trim() !== '0';
  } catch {
    return false;
  }
}
