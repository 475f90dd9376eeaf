// What any-way-guest.ts hands to any-way-cases.ts. Types only.

import type { ToolOutput } from '../golden/kernel-state.ts';

/** What became of one history. */
export interface HistoryRun {
  /** It did not come to its end: why. */
  readonly error: string | null;
  /** How often a failure struck. */
  readonly strikes: number;
  /** After everything was retried until nothing failed. */
  readonly end: ToolOutput | null;
  /** What the daemon's checks every few seconds wrote then. */
  readonly writesOfChecks: readonly string[];
  /** What one more pass wrote. */
  readonly writesOfSecondPass: readonly string[];
  /** What another agent wrote at its start on the same kernel. */
  readonly writesOfRestart: readonly string[];
  /** What a comparison of the whole table by the agent that lived the history wrote, and what it said it had put right. */
  readonly writesOfCycle: readonly string[];
  readonly repairs: readonly string[];
  /** After all Services went. */
  readonly cleaned: ToolOutput | null;
}

/** What became of one interference by the tools (interference.ts). */
export interface InterferenceRun {
  readonly name: string;
  readonly error: string | null;
  /** After the daemon did what it does. */
  readonly repaired: ToolOutput | null;
  /** What was put right, as "KIND OBJECT". */
  readonly repairs: readonly string[];
}

export interface Results {
  readonly histories: readonly HistoryRun[];
  readonly interference: {
    /** Before anything was interfered with. */
    readonly before: ToolOutput | null;
    readonly runs: readonly InterferenceRun[];
    /** What a comparison of the whole table wrote at the end. */
    readonly writesAtEnd: readonly string[];
    /** After all Services went. */
    readonly cleaned: ToolOutput | null;
    readonly error: string | null;
  };
}
