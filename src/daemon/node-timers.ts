// The clock of everything that runs: Node's own.

import type { Timers } from './sync-loop.ts';

/** No wall clock, so that nobody can set it. */
export const NODE_TIMERS: Timers = {
  now: () => performance.now(),
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
