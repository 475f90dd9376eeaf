// Property tests under mutation: few runs, because every survivor has to pass all of them; always the same values, so that a score can be
// repeated; and no shrinking, because the first failure is enough here and looking for the smallest would take most of the time.

import { vi } from 'vitest';

/** fast-check's own number of runs where a test asks for none. */
const MAX_RUNS = 100;

vi.mock('fast-check', async (importOriginal) => {
  const { default: fc } = await importOriginal();
  fc.configureGlobal({ seed: 20_261_121, endOnFailure: true });
  const assert = (property, parameters = {}) =>
    fc.assert(property, { ...parameters, numRuns: Math.min(parameters.numRuns ?? MAX_RUNS, MAX_RUNS) });
  return { ...fc, default: { ...fc, assert }, assert };
});
