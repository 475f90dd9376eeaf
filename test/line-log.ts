// A log that keeps its lines, without times.

import { openLog, type Log } from '../src/daemon/log.ts';

/** What was logged: `E "Healthz server failed" err="..."`. Everything up to -v=9. */
export function lineLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const log = openLog({
    verbosity: 9,
    write: (line) => lines.push(line.replace(/^(.)\S+ \S+ +\d+ \S+\]/, '$1')),
    now: () => new Date(0),
    pid: 1,
  });
  return { log, lines };
}
