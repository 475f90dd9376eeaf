// The program pointsman-ipvsadm: starts at import.

import { runProgram } from './program.ts';

process.exitCode = await runProgram(process.argv.slice(2), process.env['POINTSMAN_ARGV0'] ?? '');
