// What a golden case left in a guest's kernel: the form in which golden-state-guest.ts hands it to golden-state.test.ts. Types only.

import type { ToolOutput } from '../golden/kernel-state.ts';

/** One case. */
export interface GoldenRun {
  /** After each stage. */
  readonly stages?: readonly ToolOutput[];
  /** What another start on the final kernel wrote. */
  readonly writesOfSecondStart?: readonly string[];
  /** It did not come to its end. */
  readonly error?: string;
}
