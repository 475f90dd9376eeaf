// Which tests judge the mutants: the pure ones of the model and the plan, and the golden cases. No lab, no kernel, nothing that waits.
// Source of truth for everything else about the tests: vitest.config.ts of the root.

import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';

/** A mutant's run ends at the first failure, so what failed last goes first, then the short files. */
class QuickFirst extends BaseSequencer {
  async sort(files) {
    const rank = new Map(
      files.map((file) => {
        const result = this.ctx.cache.getTestSpecificationResult(file);
        return [file, result?.failed ? -1 : (result?.duration ?? 0)];
      }),
    );
    return [...files].sort((a, b) => rank.get(a) - rank.get(b));
  }
}

export default defineConfig({
  // Beside the mutated copy, whose node_modules is a link to the checkout's.
  cacheDir: 'mutation/temp/cache',
  test: {
    include: ['src/{model,plan}/*.test.ts', 'test/golden/*.test.ts'],
    exclude: ['**/*.long.test.ts'],
    setupFiles: ['mutation/quick-runs.mjs'],
    sequence: { sequencer: QuickFirst },
    // Each run has a fresh thread. One for each test file as well would take half as long again and kill no other mutants.
    isolate: false,
    testTimeout: 30_000,
  },
});
