// npm run mutate [-- FILE ...]: mutation testing of the model and the plan with StrykerJS, whose packages stand apart in mutation/.
// Plain JavaScript for Node >= 20 and no npm package. Source of truth for what is mutated and what judges it: mutation/*.config.mjs.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { installPackages } from './packages.mjs';

const STRYKER = 'mutation/node_modules/@stryker-mutator/core/bin/stryker.js';
const CONFIG = 'mutation/stryker.config.mjs';
/** What may be mutated: a source of the two folders, no test; a range of lines may follow, as in ip.ts:10-20. */
const TARGET = /^(src\/(?:model|plan)\/[a-z0-9-]+\.ts)(?::\d+-\d+)?$/;
/** Long enough for all sources on two busy cores, where a mutant takes up to half a second and those that survive some seconds. */
const RUN_TIMEOUT_MS = 10_800_000;
/** At the signal Stryker ends by itself, with the code that a shell would give. */
const CODE_OF_SIGTERM = 143;

/**
 * The first of the given words that cannot be mutated; undefined when all can.
 * @param {string} root folder of the checkout
 * @param {readonly string[]} targets
 */
export const refusedTarget = (root, targets) =>
  targets.find((target) => {
    const [, file] = TARGET.exec(target) ?? [];
    return file === undefined || !existsSync(join(root, file));
  });

/**
 * Mutates all sources of the model and the plan, or only the given ones, and prints what survived and a table.
 * @param {string} root folder of the checkout
 * @param {string} node the pinned Node.js
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} targets
 * @returns {Promise<number>} 0; 1 when too few mutants were killed; 2 for a wrong word; else that of npm or of a signal
 */
export async function runMutation(root, node, env, targets) {
  const refused = refusedTarget(root, targets);
  if (refused !== undefined) {
    process.stderr.write(
      `error: "${refused}" is no source of src/model or src/plan; write src/model/ip.ts\n`,
    );
    return 2;
  }
  const installed = await installPackages(join(root, 'mutation'));
  if (installed !== 0) return installed;
  const mutate = targets.length === 0 ? [] : ['--mutate', targets.join(',')];
  const args = [join(root, STRYKER), 'run', CONFIG, ...mutate];
  const { code } = await runChild(node, args, { cwd: root, env, timeoutMs: RUN_TIMEOUT_MS });
  if (code === CODE_OF_SIGTERM)
    process.stderr.write('error: the mutation run was ended before it was done; run it for single files\n');
  return code;
}
