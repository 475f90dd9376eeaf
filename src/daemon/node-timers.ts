// The clock of everything that runs: Node's own. No wall clock, so that nobody can set it.

export { REAL_TIMERS as NODE_TIMERS } from '../cluster/api-timers.ts';
