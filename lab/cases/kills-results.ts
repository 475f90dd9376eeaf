// What kills.ts saw, for its two tests: the quick one and the long one.

import { expect } from 'vitest';
import { runInGuest } from '../boot.ts';

export interface Check {
  /** The number of kills before it. */
  readonly kill: number;
  /** Lines of ipvsadm -Sn that should be there, and those that should not. */
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  /** Servers of weight 0, and those of them that do not drain by the agent's status. */
  readonly drains: number;
  readonly unknownDrains: readonly string[];
  /** Changes of a fresh plan, and connections that did not answer; only where they were looked for. */
  readonly plan?: readonly unknown[];
  readonly lost?: number;
}

export interface KillsResults {
  readonly checks: readonly Check[];
  readonly killed: { readonly starting: number; readonly changing: number };
  /** Connections that stayed open all the time. */
  readonly connections: number;
  readonly upgrade: {
    readonly oldCode: number;
    readonly isUnchanged: boolean;
    readonly connections: number;
    readonly answered: number;
    readonly lost: number;
  };
  readonly stopped: number;
}

/** Runs the cases in a guest. */
export async function runKills(args: readonly string[], timeoutMs?: number): Promise<KillsResults> {
  const guest = await runInGuest(
    new URL('./kills.ts', import.meta.url),
    args,
    timeoutMs === undefined ? {} : { timeoutMs },
  );
  const json = guest.files.get('result.json');
  if (guest.exitCode !== 0 || json === undefined)
    throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr.slice(-6000)}`);
  return JSON.parse(json.toString()) as KillsResults;
}

/** The kernel was as the facts said, and no connection was lost. */
export function expectGood(check: Omit<Check, 'kill'>): void {
  expect(check).toMatchObject({ missing: [], extra: [], unknownDrains: [] });
  if (check.plan !== undefined) expect(check.plan).toEqual([]);
  if (check.lost !== undefined) expect(check.lost).toBe(0);
}
