// node setup/run.mjs TASK [ARGS]: what the scripts of package.json call. Sets up what is missing, then does the task with the pinned
// Node.js, which also runs all of the tools. Plain JavaScript for Node >= 20 and no npm package: it runs before anything is installed.
// Exit code: that of the work; 2 for an unknown task, 3 when a precondition is missing.

import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, buildPrograms } from './build.mjs';
import { FORMATTED, runChecks } from './checks.mjs';
import { runChild } from './child.mjs';
import { installLabPackages } from './debian.mjs';
import { runMutation } from './mutate.mjs';
import { installPackages, pinnedNodePath } from './packages.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const VITEST = 'node_modules/vitest/vitest.mjs';

/**
 * What a task has to work with: the pinned Node.js, the environment for its children, the words behind the task's name.
 * @typedef {{ node: string, env: NodeJS.ProcessEnv, args: readonly string[] }} Work
 */

/**
 * lab: what cannot run without the lab; '' when the task's own program says so; null when the task has no use for it.
 * @type {Readonly<Record<string, { lab: string | null, run: (work: Work) => Promise<number> }>>}
 */
const TASKS = {
  setup: {
    lab: 'the lab, the demo and the benches',
    run: setup,
  },
  demo: { lab: '', run: (work) => script(work, 'lab/demo.ts') },
  lab: { lab: '', run: (work) => script(work, 'lab/shell.ts') },
  bench: { lab: '', run: (work) => script(work, 'bench/main.ts') },
  test: { lab: 'the tests in the lab', run: test },
  'test:long': {
    lab: 'the tests in the lab',
    run: (work) => vitest({ ...work, env: { ...work.env, POINTSMAN_TEST_TIER: 'long' } }),
  },
  'test:cluster': { lab: null, run: (work) => script(work, 'test/cluster/real-cluster.ts') },
  build: { lab: null, run: ({ node, env, args }) => build(ROOT, node, env, args) },
  check: { lab: null, run: (work) => runChecks(ROOT, work.node, work.env) },
  mutate: { lab: null, run: ({ node, env, args }) => runMutation(ROOT, node, env, args) },
  format: { lab: null, run: (work) => script(work, 'node_modules/oxfmt/bin/oxfmt', FORMATTED) },
};

process.exitCode = await main(process.argv.slice(2));

/** @param {readonly string[]} words */
async function main([name = '', ...args]) {
  const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (task === undefined) {
    process.stderr.write(`error: there is no task "${name}"; there are ${Object.keys(TASKS).join(', ')}\n`);
    return 2;
  }
  const code = await installPackages(ROOT);
  if (code !== 0) return code;
  const node = pinnedNodePath(ROOT);
  if (!existsSync(node)) {
    process.stderr.write(
      `error: no Node.js for ${process.platform}-${process.arch} among the packages (${node}); Pointsman runs on Linux, x64 and arm64\n`,
    );
    return 3;
  }
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` };
  delete env.NODE_OPTIONS;
  delete env.NODE_PATH;
  if (task.lab !== null && !env['POINTSMAN_LAB_UNAVAILABLE']) {
    const reason = await installLabPackages();
    if (reason !== null) {
      if (task.lab !== '') process.stderr.write(`setup: ${task.lab} cannot run here: ${reason}\n`);
      env['POINTSMAN_LAB_UNAVAILABLE'] = reason;
    }
  }
  return await task.run({ node, env, args });
}

/** @param {Work} work */
async function setup({ env }) {
  const isComplete = !env['POINTSMAN_LAB_UNAVAILABLE'];
  process.stdout.write(`setup: ${isComplete ? 'all is in place' : 'all is in place but the lab'}\n`);
  return 0;
}

/**
 * Runs a script of the checkout with the caller's terminal.
 * @param {Work} work
 * @param {string} path from the root
 * @param {readonly string[]} [before] arguments before the caller's
 */
async function script({ node, env, args }, path, before = []) {
  return (await runChild(node, [join(ROOT, path), ...before, ...args], { cwd: ROOT, env })).code;
}

/** @param {Work} work */
async function test(work) {
  const code = await runChecks(ROOT, work.node, work.env);
  return code === 0 ? await vitest(work) : code;
}

/**
 * The programs that tests start are bundled anew, because in a guest they start in half the time.
 * @param {Work} work
 */
async function vitest(work) {
  const code = await buildPrograms(ROOT, work.node, work.env, 'dist-test');
  if (code !== 0) return code;
  return await script({ ...work, env: { ...work.env, POINTSMAN_TEST_BUNDLE: '1' } }, VITEST, ['run']);
}
