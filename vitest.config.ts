// How the tests run. Fast tier: every *.test.ts but *.long.test.ts. Long tier (POINTSMAN_TEST_TIER=long): only *.long.test.ts.
// Forks and not threads: namespaces and signals belong to a process. Three workers: on two cores, as a guest waits about a third of its time.

import { defineConfig } from 'vitest/config';

const FOLDERS = '{src,test,lab,bench,setup}';
const isLong = process.env['POINTSMAN_TEST_TIER'] === 'long';

// Tests that start the programs test these sources, not what was bundled from them some time ago.
process.env['POINTSMAN_FROM_SOURCE'] = '1';

export default defineConfig({
  test: {
    include: [isLong ? `${FOLDERS}/**/*.long.test.ts` : `${FOLDERS}/**/*.test.ts`],
    exclude: isLong ? [] : ['**/*.long.test.ts'],
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // No long test yet is no failure of the long tier; a fast tier without tests is.
    passWithNoTests: isLong,
    reporters: ['default', './test/reporter.ts'],
  },
});
