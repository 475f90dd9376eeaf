// How the tests run. Fast tier: every *.test.ts but *.long.test.ts. Long tier (POINTSMAN_TEST_TIER=long): only *.long.test.ts.
// Forks and not threads: namespaces and signals belong to a process. First what needs no guest, on all cores; then what boots one, with
// two at a time: a third of a guest's time is waiting, but otherwise guests hold each other up where a host keeps the page tables of this machine.
// The limits end what hangs and are far above what anything takes, because such machines are ten times slower at some hours.

import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

const FOLDERS = '{src,test,lab,bench,setup}';
const isLong = process.env['POINTSMAN_TEST_TIER'] === 'long';
/** Where tests boot guests. */
const GUESTS = ['lab/**', 'test/lab/**', 'test/ipvsadm/**'];
/** More than a guest may take (lab/uml.ts). */
const HOOK_TIMEOUT_MS = 1_600_000;

// Tests that start the programs test these sources, not what was bundled from them some time ago. `npm test` bundles them right before.
if (process.env['POINTSMAN_TEST_BUNDLE'] === undefined) process.env['POINTSMAN_FROM_SOURCE'] = '1';

const suffix = isLong ? '*.long.test.ts' : '*.test.ts';
const otherTier = isLong ? [] : ['**/*.long.test.ts'];
const shared = { pool: 'forks', testTimeout: 120_000, hookTimeout: HOOK_TIMEOUT_MS } as const;

const projects: TestProjectInlineConfiguration[] = [
  {
    test: {
      ...shared,
      ...{ name: 'here', include: [`${FOLDERS}/**/${suffix}`], exclude: [...otherTier, ...GUESTS] },
      // One more than cores, because some of it waits.
      ...{ maxWorkers: 3, sequence: { groupOrder: 0 } },
    },
  },
  {
    test: {
      ...shared,
      ...{ name: 'guests', include: GUESTS.map((folder) => `${folder}/${suffix}`), exclude: otherTier },
      ...{ maxWorkers: 2, sequence: { groupOrder: 1 } },
    },
  },
];

export default defineConfig({
  test: {
    projects,
    // No long test yet is no failure of the long tier; a fast tier without tests is.
    passWithNoTests: isLong,
    reporters: ['default', './test/reporter.ts'],
  },
});
