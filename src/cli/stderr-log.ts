// The log of a command: lines on standard error, apart from what it prints.

import { openLog, type Log } from '../daemon/log.ts';

/** `verbosity`: 0 to 99, as -v. */
export function openStderrLog(verbosity = 0): Log {
  return openLog({
    verbosity,
    write: (line) => process.stderr.write(`${line}\n`),
    now: () => new Date(),
    pid: process.pid,
  });
}
