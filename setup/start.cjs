// Starts the bundled program: as dist/pointsman.cjs from the files beside it, as the main script of the executable from its assets.
// Takes program.cache (what V8 had compiled when it was made) only with the very program.js that it was made of; V8 itself refuses one
// of another Node.js or other flags, and then compiles as ever. Nothing is looked for anywhere else.

'use strict';

const { readFileSync } = require('node:fs');
const { getRawAsset, isSea } = require('node:sea');
const { Script } = require('node:vm');

/** Digits of the SHA-256 that program.js has in its first comment and program.cache in front. */
const ID_LENGTH = 64;

const isExecutable = isSea();
const file = isExecutable ? process.execPath : `${__dirname}/program.js`;
const source = read('program.js');
const cache = read('program.cache');
const isSame = cache !== null && cache.latin1Slice(0, ID_LENGTH) === source.latin1Slice(2, 2 + ID_LENGTH);
const script = new Script(source.latin1Slice(), {
  filename: file,
  cachedData: isSame ? cache.subarray(ID_LENGTH) : undefined,
});
if (process.env.POINTSMAN_TELL_START !== undefined)
  process.stderr.write(
    `start: ${file}, ${isSame && script.cachedDataRejected === false ? 'compiled before' : 'compiled now'}\n`,
  );
script.runInThisContext()(require, file);

/**
 * @param {string} name
 * @returns {Buffer | null} null where only program.cache is not there
 */
function read(name) {
  if (isExecutable) return Buffer.from(getRawAsset(name));
  try {
    return readFileSync(`${__dirname}/${name}`);
  } catch (error) {
    if (name === 'program.cache' && error.code === 'ENOENT') return null;
    throw error;
  }
}
