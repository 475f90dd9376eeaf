// The checks that read the source: types, lint, format. One line each with its time; output only of what fails.
// Plain JavaScript for Node >= 20.

import { join } from 'node:path';
import { runChild } from './child.mjs';

/** What lint and format look at; tsconfig.json says it for the type check. */
export const CHECKED = ['src', 'lab', 'test', 'bench', 'setup', 'mutation', 'vitest.config.ts'];

/** What the format is for: not the recorded output in test/golden, which is compared byte by byte. */
export const FORMATTED = [...CHECKED, '!test/golden/**/*.json'];

const CHECK_TIMEOUT_MS = 300_000;

/** @type {readonly { title: string, args: readonly string[] }[]} */
const CHECKS = [
  { title: 'types', args: ['node_modules/typescript/bin/tsc', '-p', '.'] },
  { title: 'lint', args: ['node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings', ...CHECKED] },
  { title: 'format', args: ['node_modules/oxfmt/bin/oxfmt', '--check', ...FORMATTED] },
];

/**
 * Runs all checks, also after one has failed.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} 0, or 1 when one has failed; 128 + signal when one was interrupted
 */
export async function runChecks(root, node, env) {
  let code = 0;
  for (const { title, args } of CHECKS) {
    const startMs = performance.now();
    const [script = '', ...rest] = args;
    const result = await runChild(node, [join(root, script), ...rest], {
      cwd: root,
      env,
      isQuiet: true,
      timeoutMs: CHECK_TIMEOUT_MS,
    });
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    process.stdout.write(`${title.padEnd(6)} ${result.code === 0 ? 'ok' : 'FAILED'} (${seconds} s)\n`);
    if (result.code === 0) continue;
    process.stdout.write(`${result.output.trimEnd()}\n`);
    if (result.code > 128) return result.code;
    code = 1;
  }
  return code;
}
