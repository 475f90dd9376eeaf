// What a bundled program is made of: setup/bundle.mjs and setup/code-cache.cjs, started with the pinned Node.js. Plain JavaScript for Node >= 20.

import { join } from 'node:path';

/**
 * Flags of the agent's Node.js: those of bin/pointsman (test/launcher.test.ts compares them), because V8 takes what it has compiled before
 * only under the flags it was compiled under. Why each: bin/pointsman.
 */
export const NODE_FLAGS = [
  '--disable-sigusr1',
  '--max-semi-space-size=4',
  '--disable-warning=ExperimentalWarning',
  '--openssl-config=/dev/null',
];

/** Under these V8 does the same at each run, and gives the same bytes. They are not among those it compares. */
export const REPEATABLE = ['--predictable', '--random-seed=1'];
const MANIFESTS = 'examples/hello/manifests';

/**
 * Runs Node.js with these words to its end; throws when it fails.
 * @typedef {(args: readonly string[], cwd?: string) => Promise<void>} Start
 */

/**
 * Bundles the programs into a folder.
 * @param {string} root folder of the checkout
 * @param {string} folder made when it is missing
 * @param {Start} start
 * @param {boolean} [isRelease]
 */
export async function bundle(root, folder, start, isRelease = false) {
  await start([join(root, 'setup/bundle.mjs'), folder, ...(isRelease ? ['--release'] : [])]);
}

/**
 * Writes FOLDER/program.cache.
 * @param {string} root folder of the checkout
 * @param {string} folder that holds program.js
 * @param {Start} start
 */
export async function compileBefore(root, folder, start) {
  const script = join(root, 'setup/code-cache.cjs');
  await start([...NODE_FLAGS, ...REPEATABLE, script, folder, join(root, MANIFESTS)]);
}
