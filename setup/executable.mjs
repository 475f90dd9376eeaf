// One executable out of the pinned Node.js and the files of a release: Node's "single executable application". It takes its flags from
// itself alone: neither NODE_OPTIONS nor an argument adds one. Plain JavaScript for Node >= 20.

import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cutSymbols } from './elf.mjs';
import { NODE_FLAGS, REPEATABLE } from './program.mjs';

/** Names what is put in, and marks in Node.js whether something was. Source: Node's documentation of single executable applications. */
const RESOURCE = 'NODE_SEA_BLOB';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const ASSETS = ['program.js', 'program.cache', 'koffi.node'];

/**
 * @param {{ root: string, node: string, start: import('./program.mjs').Start, lib: string, target: string }} work
 *   lib holds the files of the release; target is written
 */
export async function buildExecutable({ root, node, start, lib, target }) {
  const work = `${target}.work`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  try {
    for (const name of ['pointsman.cjs', ...ASSETS]) copyFileSync(join(lib, name), join(work, name));
    // Relative paths, because that of the main script is in the result.
    const config = {
      main: 'pointsman.cjs',
      output: 'blob',
      disableExperimentalSEAWarning: true,
      // So that the main script is never compiled from where NODE_COMPILE_CACHE says.
      useCodeCache: true,
      execArgv: NODE_FLAGS,
      execArgvExtension: 'none',
      assets: Object.fromEntries(ASSETS.map((name) => [name, name])),
    };
    writeFileSync(join(work, 'config.json'), JSON.stringify(config));
    await start([...NODE_FLAGS, ...REPEATABLE, '--experimental-sea-config', 'config.json'], work);
    // 18 MB of names and debugging information of Node's own functions, which nothing of ours looks at.
    writeFileSync(target, cutSymbols(readFileSync(node)));
    chmodSync(target, 0o755);
    const postject = join(root, 'node_modules/postject/dist/cli.js');
    await start([postject, target, RESOURCE, join(work, 'blob'), '--sentinel-fuse', FUSE]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
