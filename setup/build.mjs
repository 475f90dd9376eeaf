// `npm run build`: bundles the programs whose start counts into one file each, in dist/. bin/pointsman takes them from there.
// Plain JavaScript for Node >= 20.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from './child.mjs';

const BUILD_TIMEOUT_MS = 120_000;

/**
 * Makes dist/ anew.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} 0, or the bundler's exit code; then there is no dist/
 */
export async function buildPrograms(root, node, env) {
  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  const args = [
    join(root, 'node_modules/rolldown/bin/cli.mjs'),
    join(root, 'src/ipvsadm/main.ts'),
    // CommonJS and small, because loading and compiling is most of a short command's time.
    '--format=cjs',
    '--minify',
    '--platform=node',
    '--external=koffi',
    `--dir=${dist}`,
    '--entry-file-names=ipvsadm.cjs',
    '--no-code-splitting',
  ];
  const result = await runChild(node, args, { cwd: root, env, isQuiet: true, timeoutMs: BUILD_TIMEOUT_MS });
  if (result.code === 0) {
    process.stdout.write('build: dist/ipvsadm.cjs\n');
    return 0;
  }
  rmSync(dist, { recursive: true, force: true });
  process.stdout.write(`build: FAILED\n${result.output.trimEnd()}\n`);
  return result.code;
}
