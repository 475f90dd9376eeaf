// The log of a command: lines on standard error, apart from what it prints.

import { openLog, type Log } from '../daemon/log.ts';
import { makeStderrWriter } from './line-writer.ts';

/** `verbosity`: 0 to 99, as -v. */
export function openStderrLog(verbosity = 0): Log {
  return openLog({ verbosity, write: makeStderrWriter(), now: () => new Date(), pid: process.pid });
}
