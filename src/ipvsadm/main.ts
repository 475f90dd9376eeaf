// The program pointsman-ipvsadm: starts at import. Without an await outside of functions, so that it can be bundled into a form that
// starts faster.

import { runProgram } from './program.ts';

async function main(): Promise<void> {
  process.exitCode = await runProgram(process.argv.slice(2), process.env['POINTSMAN_ARGV0'] ?? '');
}

void main();
