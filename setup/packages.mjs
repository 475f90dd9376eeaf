// The npm packages and the Node.js of this checkout: installs what package-lock.json pins, and only when it is not there yet.
// Plain JavaScript for Node >= 20. Source of truth: package-lock.json; a stamp in node_modules says which one is installed.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastLines, runChild } from './child.mjs';

const STAMP = 'node_modules/.pointsman-setup';
const SHOWN_LINES = 20;
const NPM_TIMEOUT_MS = 600_000;

/** Where the pinned Node.js of this machine's architecture is once the packages are installed. @param {string} root */
export const pinnedNodePath = (root) => join(root, `node_modules/node-linux-${process.arch}/bin/node`);

/**
 * What the stamp must say. The architecture is part of it, because the packages hold programs.
 * @param {string | Uint8Array} lockfile content of package-lock.json
 */
export const stampOf = (lockfile) =>
  `${createHash('sha256').update(lockfile).digest('hex')} ${process.platform}-${process.arch}\n`;

/**
 * Makes node_modules agree with package-lock.json. Says one line before it installs, and the end of npm's output if that fails.
 * @param {string} root folder of the checkout
 * @returns {Promise<number>} 0, or the exit code of npm
 */
export async function installPackages(root) {
  const wanted = stampOf(readFileSync(join(root, 'package-lock.json')));
  const stamp = join(root, STAMP);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return 0;
  process.stdout.write('setup: installing the npm packages of package-lock.json (npm ci) ...\n');
  // NODE_ENV or an .npmrc of the caller may leave out what the tasks need: the tools, and the pinned Node.js.
  const args = ['ci', '--no-audit', '--no-fund', '--include=dev', '--include=optional'];
  const npm = process.env['npm_execpath'];
  const isScript = npm !== undefined && /npm-cli\.[cm]?js$/.test(npm);
  const run = { cwd: root, isQuiet: true, timeoutMs: NPM_TIMEOUT_MS };
  const result = isScript
    ? await runChild(process.execPath, [npm, ...args], run)
    : await runChild('npm', args, run);
  if (result.code !== 0) {
    process.stderr.write(
      `${causeOf(result.output)}error: npm ci failed in ${root} with exit code ${result.code}\n`,
    );
    return result.code;
  }
  writeFileSync(stamp, wanted);
  return 0;
}

/**
 * The part of npm's output that says why it failed, indented: npm begins with the cause and ends with its usage and the path of a log.
 * @param {string} output
 */
export function causeOf(output) {
  const errors = output.split('\n').filter((line) => line.startsWith('npm error'));
  return lastLines(
    (errors.length === 0 ? output.split('\n') : errors.slice(0, SHOWN_LINES)).join('\n'),
    SHOWN_LINES,
  );
}
