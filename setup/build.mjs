// `npm run build`: bundles the programs in dist/, so that they start quicker and take less memory. bin/pointsman takes them from there.
// Plain JavaScript for Node >= 20.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from './child.mjs';

const BUILD_TIMEOUT_MS = 120_000;

/** What is bundled, and what the bundler is told besides. */
const PROGRAMS = [
  {
    entry: 'src/ipvsadm/main.ts',
    folder: '',
    // CommonJS in one small file, because loading and compiling is most of a short command's time.
    options: ['--format=cjs', '--minify', '--entry-file-names=ipvsadm.cjs', '--no-code-splitting'],
  },
  {
    entry: 'src/cli/main.ts',
    // As deep below the checkout as its source, because it looks for package.json from there. One file per command.
    folder: 'cli',
    options: ['--format=esm', '--entry-file-names=main.mjs', '--chunk-file-names=[name]-[hash].mjs'],
  },
];

/**
 * Makes dist/ anew, or another folder of the checkout in its place.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @param {string} [folder]
 * @returns {Promise<number>} 0, or the bundler's exit code; then there is no such folder
 */
export async function buildPrograms(root, node, env, folder = 'dist') {
  const dist = join(root, folder);
  rmSync(dist, { recursive: true, force: true });
  for (const program of PROGRAMS) {
    const args = [
      join(root, 'node_modules/rolldown/bin/cli.mjs'),
      join(root, program.entry),
      '--platform=node',
      '--external=koffi',
      `--dir=${join(dist, program.folder)}`,
      ...program.options,
    ];
    const result = await runChild(node, args, { cwd: root, env, isQuiet: true, timeoutMs: BUILD_TIMEOUT_MS });
    if (result.code === 0) continue;
    rmSync(dist, { recursive: true, force: true });
    process.stdout.write(`build: FAILED\n${result.output.trimEnd()}\n`);
    return result.code;
  }
  process.stdout.write(`build: ${folder}/ipvsadm.cjs ${folder}/cli/main.mjs\n`);
  return 0;
}
