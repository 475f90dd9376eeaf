// A vitest reporter that ends a run with one line for programs: `N passed, N failed`, with `, N skipped` when there are any.
// It names the skipped tests before that line, so that no test is left out in silence. It must print after every other reporter.

import { writeSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule, TestRunEndReason } from 'vitest/node';

/** How a run ended. `failed` also counts what failed outside of a test, so it is 0 only if the whole run is good. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** `file > describe > test`, in the order of the files. */
  readonly skipped: readonly string[];
}

/** The lines for a tally, the summary last, each with its line end. */
export function formatTally({ passed, failed, skipped }: Tally): string {
  const names = skipped.map((name) => `skipped: ${name}\n`).join('');
  return `${names}${passed} passed, ${failed} failed${skipped.length === 0 ? '' : `, ${skipped.length} skipped`}\n`;
}

/**
 * Counts the tests of a run. A file or a describe block that broke outside of its tests counts as one failure, and so does each
 * error that belongs to no file; a run that is not "passed" has at least one failure.
 */
export function tallyOf(
  modules: readonly TestModule[],
  unhandledErrors: readonly SerializedError[],
  reason: TestRunEndReason,
): Tally {
  let passed = 0;
  let failed = unhandledErrors.length;
  const skipped: string[] = [];
  for (const module of modules) {
    if (module.errors().length > 0) failed++;
    for (const suite of module.children.allSuites()) if (suite.errors().length > 0) failed++;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed++;
      else if (state === 'failed') failed++;
      else skipped.push(`${module.relativeModuleId} > ${test.fullName}`);
    }
  }
  return { passed, failed: reason === 'passed' ? failed : Math.max(failed, 1), skipped };
}

/** The reporter that vitest.config.ts names. */
export default class SummaryReporter implements Reporter {
  #text: string | undefined;

  onInit(): void {
    // Other reporters write their own summary at the end of the run; only the end of the process is behind all of them.
    process.once('exit', (code) => {
      // Without a test file, or when vitest itself breaks, a run has no end that it could report.
      const text = this.#text ?? formatTally({ passed: 0, failed: code === 0 ? 0 : 1, skipped: [] });
      writeAll(text);
    });
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    this.#text = formatTally(tallyOf(modules, unhandledErrors, reason));
  }
}

function writeAll(text: string): void {
  const bytes = Buffer.from(text);
  let at = 0;
  for (let tries = 0; at < bytes.length && tries < 1000; tries++) {
    try {
      at += writeSync(process.stdout.fd, bytes, at);
    } catch (error) {
      // A full pipe whose reader is slow. Anything else means that nobody reads.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    }
  }
}
