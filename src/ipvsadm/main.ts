// The program pointsman-ipvsadm: starts at import. Without an await of its own, so that it can be bundled into a form that starts faster.

import { runProgram } from './program.ts';

void runProgram(process.argv.slice(2), process.env['POINTSMAN_ARGV0'] ?? '').then((code) => {
  process.exitCode = code;
});
