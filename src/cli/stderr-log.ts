// The log of a command: lines on standard error, apart from what it prints.

import { LINES } from '../daemon/log-lines.ts';
import { openLog, type AgentLog } from '../daemon/log.ts';
import { makeStderrWriter } from './line-writer.ts';

/** `verbosity`: 0 to 2147483647, as -v. Text, until `configure` says otherwise. */
export function openStderrLog(verbosity = 0): AgentLog {
  const log: AgentLog = openLog({
    verbosity,
    write: makeStderrWriter((lines) => log.line('W', LINES.linesLost, { lines })),
    now: () => new Date(),
    pid: process.pid,
  });
  return log;
}
