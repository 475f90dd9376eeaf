// A log that keeps its entries as lines: "I Synced services=3". Entries of `verbose` begin with their level: "V2 ...".

import type { Log, LogFields } from '../src/daemon/log.ts';

/** See above. */
export function linesOf(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const note = (severity: string, message: string, fields: LogFields = {}): void => {
    const rest = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => ` ${name}=${String(value)}`);
    lines.push(`${severity} ${message}${rest.join('')}`);
  };
  const log: Log = {
    info: (message, fields) => note('I', message, fields),
    warn: (message, fields) => note('W', message, fields),
    error: (message, fields) => note('E', message, fields),
    verbose: (level, message, fields) => note(`V${level}`, message, fields),
  };
  return { log, lines };
}
