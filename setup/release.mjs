// The release of this machine's architecture: a folder that runs with a Node.js >= 22.18 beside it, one executable that has Node.js in it,
// and SHA256SUMS over both. The same checkout gives the same bytes. Plain JavaScript for Node >= 20.
//
// pointsman-VERSION-linux-ARCH/bin/pointsman     the launcher; called kube-proxy or ipvsadm (by a link) it is that command
// pointsman-VERSION-linux-ARCH/lib/              what it starts, and the library for system calls
// pointsman-standalone-VERSION-linux-ARCH        the executable

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buildExecutable } from './executable.mjs';
import { bundle, compileBefore } from './program.mjs';

/** Packages whose code is in the release, with the file that says under which terms. */
const LICENSES = [
  ['commander', 'LICENSE'],
  ['koffi', 'LICENSE.txt'],
  ['yaml', 'LICENSE'],
  ['zod', 'LICENSE'],
  [`node-linux-${process.arch}`, 'LICENSE'],
];

/**
 * Makes the folder of the release anew and prints what is in it.
 * @param {{ root: string, node: string, start: import('./program.mjs').Start, folder: string }} work
 */
export async function buildRelease({ root, node, start, folder }) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const machine = `linux-${process.arch}`;
  const name = `pointsman-${version}-${machine}`;
  const lib = join(folder, name, 'lib');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, name, 'bin'), { recursive: true });
  await bundle(root, lib, start, true);
  await compileBefore(root, lib, start);
  copyFileSync(
    join(root, `node_modules/@koromix/koffi-${machine}/linux_${process.arch}/koffi.node`),
    join(lib, 'koffi.node'),
  );
  copyFileSync(join(root, 'bin/pointsman'), join(folder, name, 'bin/pointsman'));
  copyFileSync(join(root, 'LICENSE'), join(folder, name, 'LICENSE'));
  writeFileSync(join(folder, name, 'LICENSES.txt'), licenses(root));
  const executable = `pointsman-standalone-${version}-${machine}`;
  await buildExecutable({ root, node, start, lib, target: join(folder, executable) });

  const files = [executable, ...filesBelow(join(folder, name)).map((path) => `${name}/${path}`)].toSorted();
  for (const path of files)
    chmodSync(join(folder, path), path === executable || path.includes('/bin/') ? 0o755 : 0o644);
  for (const path of [folder, ...['', 'bin', 'lib'].map((part) => join(folder, name, part))])
    chmodSync(path, 0o755);
  writeFileSync(
    join(folder, 'SHA256SUMS'),
    files.map((path) => `${sha256(join(folder, path))}  ${path}\n`).join(''),
  );
  chmodSync(join(folder, 'SHA256SUMS'), 0o644);
  const bytes = files.map((path) => ({ path, bytes: statSync(join(folder, path)).size }));
  const ofFolder = bytes.filter(({ path }) => path !== executable).reduce((sum, each) => sum + each.bytes, 0);
  const ofExecutable = bytes.find(({ path }) => path === executable)?.bytes ?? 0;
  for (const [path, size] of [
    [`${name}/`, ofFolder],
    [executable, ofExecutable],
  ])
    process.stdout.write(`build: dist/release/${path} ${(Number(size) / 1e6).toFixed(1)} MB\n`);
}

/** @param {string} root */
function licenses(root) {
  const parts = LICENSES.map(([name = '', file = '']) => {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
    const title = `${name} ${version}`;
    return `${title}\n${'='.repeat(title.length)}\n\n${readFileSync(join(root, 'node_modules', name, file), 'utf8').trim()}\n`;
  });
  return `Code of others in this release. Node.js is in the executable only.\n\n${parts.join('\n\n')}`;
}

/** @param {string} folder @returns {string[]} paths below it */
function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? filesBelow(join(folder, entry.name)).map((path) => `${entry.name}/${path}`)
      : [entry.name],
  );
}

/** @param {string} path */
const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
