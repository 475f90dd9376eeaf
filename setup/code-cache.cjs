// node V8-FLAGS setup/code-cache.cjs FOLDER MANIFESTS: runs FOLDER/program.js on a folder of manifests, begins every part of it, and writes
// into FOLDER/program.cache what V8 has compiled by then, so that a start need not compile it again. With --predictable and --random-seed
// the same program gives the same bytes; V8 takes them only under the flags of the launcher.

'use strict';

const { readFileSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');

const WORDS = ['explain', '--from=node', '--to=10.96.50.10:8080', '--hostname-override=node1'];
/** Where no library for system calls is: the command ends when it would ask this machine, so nothing here depends on the machine. */
const NOWHERE = '/nonexistent/program.js';

const [folder = '', manifests = ''] = process.argv.slice(2);
const source = readFileSync(`${folder}/program.js`);
const script = new Script(source.latin1Slice(), { filename: 'program.js' });
const write = process.stderr.write.bind(process.stderr);
let said = '';
process.stderr.write = (text) => {
  said += text;
  return true;
};
process.argv = [process.execPath, NOWHERE, ...WORDS, `--manifests=${manifests}`];
const { require: part, names } = script.runInThisContext()(require, NOWHERE);
process.once('beforeExit', () => {
  if (!said.includes('koffi')) {
    write(`explain did not come as far as to the library for system calls: ${said}\n`);
    process.exitCode = 1;
    return;
  }
  for (const name of names) part(name);
  writeFileSync(
    `${folder}/program.cache`,
    Buffer.concat([source.subarray(2, 66), script.createCachedData()]),
  );
  process.exitCode = 0;
});
