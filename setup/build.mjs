// `npm run build`: the programs of this checkout bundled in dist/, where bin/pointsman takes them, and the release in dist/release/.
// Bundled programs start in half the time. Plain JavaScript for Node >= 20.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { bundle, compileBefore } from './program.mjs';
import { buildRelease } from './release.mjs';

/** What `npm run build` is told to leave the release out. */
export const NO_RELEASE = '--no-release';

const TIMEOUT_MS = 300_000;

/**
 * Makes dist/ anew: programs, what V8 compiles of them, and the release.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} args NO_RELEASE or nothing
 * @returns {Promise<number>} 0; 2 for another argument; else the exit code of what failed, and no dist/
 */
export async function build(root, node, env, args) {
  const unknown = args.find((arg) => arg !== NO_RELEASE);
  if (unknown !== undefined) {
    process.stderr.write(`error: build takes ${NO_RELEASE} or nothing, not "${unknown}"\n`);
    return 2;
  }
  const code = await buildPrograms(root, node, env);
  if (code !== 0) return code;
  const dist = join(root, 'dist');
  try {
    const start = builder(root, node, env);
    await compileBefore(root, dist, start);
    if (args.length === 0) await buildRelease({ root, node, start, folder: join(dist, 'release') });
    return 0;
  } catch (error) {
    return fail(dist, error);
  }
}

/**
 * Bundles the programs into a folder of the checkout, which is made anew, and nothing else: for tests, before each run.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @param {string} [folder]
 * @returns {Promise<number>} 0, or the bundler's exit code; then there is no such folder
 */
export async function buildPrograms(root, node, env, folder = 'dist') {
  const dist = join(root, folder);
  rmSync(dist, { recursive: true, force: true });
  try {
    await bundle(root, dist, builder(root, node, env));
  } catch (error) {
    return fail(dist, error);
  }
  process.stdout.write(`build: ${folder}/pointsman.cjs ${folder}/ipvsadm.cjs\n`);
  return 0;
}

class BuildFailure extends Error {
  /** @param {number} code @param {string} output */
  constructor(code, output) {
    super(output.trimEnd());
    this.code = code;
  }
}

/**
 * Starts Node.js for the parts of a build.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @returns {import('./program.mjs').Start}
 */
export function builder(root, node, env) {
  return async (args, cwd = root) => {
    const result = await runChild(node, args, { cwd, env, isQuiet: true, timeoutMs: TIMEOUT_MS });
    if (result.code !== 0) throw new BuildFailure(result.code, result.output);
  };
}

/**
 * @param {string} dist what must not stay behind half made
 * @param {unknown} error
 * @returns {number} an exit code
 */
function fail(dist, error) {
  rmSync(dist, { recursive: true, force: true });
  process.stdout.write(`build: FAILED\n${error instanceof Error ? error.message : String(error)}\n`);
  return error instanceof BuildFailure ? error.code : 1;
}
