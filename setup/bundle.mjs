// node setup/bundle.mjs FOLDER [--release]: bundles the programs into FOLDER; with --release as a release has them, which looks for nothing
// outside of its own folder. Runs with the pinned Node.js and rolldown. Plain JavaScript.
//
// FOLDER/pointsman.cjs  starts program.js, with program.cache where setup/code-cache.mjs has made it (setup/start.cjs, copied)
// FOLDER/program.js     all commands in one file; each part of it runs when it is first asked for
// FOLDER/ipvsadm.cjs    ipvsadm alone, in one small file (not in a release)

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const ROOT = join(import.meta.dirname, '..');
const ENTRY = 'main.cjs';

const [folder = '', option] = process.argv.slice(2);
const isRelease = option === '--release';
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
/** What stands in the place of these names; src/files/version.ts and src/kernel/libc.ts ask for them. */
const NAMES = { POINTSMAN_VERSION: JSON.stringify(version), POINTSMAN_IS_RELEASE: String(isRelease) };

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'program.js'), await bundleProgram());
copyFileSync(join(ROOT, 'setup/start.cjs'), join(folder, 'pointsman.cjs'));
if (!isRelease) writeFileSync(join(folder, 'ipvsadm.cjs'), await bundleIpvsadm());

/**
 * The program as the text of one function (require, file name) that starts it; in front a comment of 64 digits that no other text has.
 * ASCII only, so that it can be read as bytes.
 */
async function bundleProgram() {
  const chunks = await bundle('src/cli/main.ts', {
    entryFileNames: ENTRY,
    // Numbered in the bundler's order, which is that of the imports: the same sources give the same bytes.
    chunkFileNames: '[name].cjs',
    // The program stays readable in the stack of an error.
    minify: { compress: true, mangle: false, codegen: true },
  });
  const parts = chunks
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(
      ({ name, code }) => `${JSON.stringify(`./${name}`)}(exports, require, module, __filename) {${code}\n}`,
    );
  // Only what is in the file or in Node.js itself can be asked for; `require` is for what Node.js finds, which in a release is nothing else.
  const text = `(function (requireOutside, __filename) {
'use strict';
const parts = {${parts.join(',\n')}};
const loaded = Object.create(null);
function require(id) {
  if (!Object.hasOwn(parts, id)) return requireOutside(id);
  const known = loaded[id];
  if (known !== undefined) return known.exports;
  const module = { exports: {} };
  loaded[id] = module;
  parts[id](module.exports, require, module, __filename);
  return module.exports;
}
require('./${ENTRY}');
return { require, names: Object.keys(parts) };
})`;
  const ascii = text.replaceAll(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `/*${createHash('sha256').update(ascii).digest('hex')}*/${ascii}`;
}

/** Loading and compiling is most of a short command's time: one small file. */
async function bundleIpvsadm() {
  const options = { entryFileNames: 'ipvsadm.cjs', codeSplitting: false, minify: true };
  const [chunk] = await bundle('src/ipvsadm/main.ts', options);
  return chunk?.code ?? '';
}

/**
 * @param {string} entry
 * @param {import('rolldown').OutputOptions} options
 */
async function bundle(entry, options) {
  const built = await rolldown({
    input: join(ROOT, entry),
    cwd: ROOT,
    platform: 'node',
    external: ['koffi'],
    logLevel: 'warn',
    transform: { define: NAMES },
  });
  try {
    const { output } = await built.generate({ format: 'cjs', dynamicImportInCjs: false, ...options });
    return output.map((each) => {
      if (each.type !== 'chunk') throw new Error(`${entry}: ${each.fileName} is no code`);
      return { name: each.fileName, code: each.code };
    });
  } finally {
    await built.close();
  }
}
