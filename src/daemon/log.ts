// The log: one line per entry, as klog's text (log-text.ts) or as JSON (log-json.ts), and only as much as -v and --vmodule ask for. Format and
// verbosity can change while the agent runs. Entries bear the name of the file that wrote them, which it gives itself (`named`): a stack
// trace for each would cost more than the entry, and in a bundle it would show one file for all.
// logging.flushFrequency has no meaning: nothing is held back.

import type { VModuleItem } from '../config/field-types.ts';
import { PointsmanError } from '../model/errors.ts';
import type { LogEntry, LogFields, Severity } from './log-entry.ts';
import { formatJson } from './log-json.ts';
import { formatText } from './log-text.ts';
import { MAX_VERBOSITY, vmoduleLevel } from './log-vmodule.ts';

export type { LogFields } from './log-entry.ts';

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Only with -v, or a --vmodule for this file, of at least `level`. */
  verbose(level: number, message: string, fields?: LogFields): void;
  /** The same log for another file; use `named`. */
  named?(area: string): Log;
}

/** What can change while the agent runs: flags, or `logging` of a configuration file. */
export interface LogSettings {
  readonly format: 'text' | 'json';
  /** Entries of `verbose` up to this level are written: 0 to 2147483647. */
  readonly verbosity: number;
  /** Only with the format text, and only ever for more than `verbosity`. */
  readonly vmodule: readonly VModuleItem[];
}

/** The log of a process, with what governs it. */
export interface AgentLog extends Log {
  readonly settings: LogSettings;
  /** Holds for this log and all that are `named` after it, from the next entry on; what is not given stays. Throws INVALID_CONFIG. */
  configure(settings: Partial<LogSettings>): void;
  /** As `configure({ verbosity })`. */
  setVerbosity(verbosity: number): void;
  named(area: string): Log;
  /** The line that an entry would be, without its newline; written nowhere. */
  line(severity: Severity, message: string, fields?: LogFields): string;
}

export interface LogOptions extends Partial<LogSettings> {
  readonly write: (line: string) => void;
  readonly now: () => Date;
  readonly pid: number;
}

/** Who speaks when nobody says so. */
const DEFAULT_AREA = 'pointsman';

/** Opens the log of a process. By default: text, verbosity 0. Throws INVALID_CONFIG. */
export function openLog(options: LogOptions): AgentLog {
  const { write, now, pid, format = 'text', verbosity = 0, vmodule = [] } = options;
  let settings: LogSettings = { format, verbosity, vmodule };
  const levels = new Map<string, number>();
  const configure = (changed: Partial<LogSettings>): void => {
    const next = { ...settings, ...changed };
    requireVerbosity(next.verbosity);
    settings = next;
    levels.clear();
  };
  configure({});

  const levelOf = (area: string): number => {
    let level = levels.get(area);
    if (level === undefined) {
      const own = settings.format === 'text' ? vmoduleLevel(settings.vmodule, area) : 0;
      level = Math.max(settings.verbosity, own);
      levels.set(area, level);
    }
    return level;
  };
  const formatted = (entry: Omit<LogEntry, 'at' | 'pid'>): string => {
    const whole = { ...entry, at: now(), pid };
    return settings.format === 'json' ? formatJson(whole) : formatText(whole);
  };
  const openArea = (area: string): Omit<AgentLog, 'settings'> => {
    const source = `${area}.ts:1`;
    const line = (severity: Severity, message: string, fields: LogFields = {}, level = 0): string =>
      formatted({ severity, source, level, message, fields });
    return {
      info: (message, fields) => write(line('I', message, fields)),
      warn: (message, fields) => write(line('W', message, fields)),
      error: (message, fields) => write(line('E', message, fields)),
      verbose(level, message, fields) {
        if (level <= levelOf(area)) write(line('I', message, fields, level));
      },
      named: openArea,
      configure,
      setVerbosity: (level) => configure({ verbosity: level }),
      line: (severity, message, fields) => line(severity, message, fields),
    };
  };
  return Object.defineProperty(openArea(DEFAULT_AREA), 'settings', { get: () => settings }) as AgentLog;
}

/** `log` for the file `area`.ts, so that entries say where they come from and --vmodule can ask for more of them; `log` itself when it has no names. */
export function named(log: Log, area: string): Log {
  return log.named?.(area) ?? log;
}

function requireVerbosity(verbosity: number): void {
  if (Number.isInteger(verbosity) && verbosity >= 0 && verbosity <= MAX_VERBOSITY) return;
  throw new PointsmanError(
    'INVALID_CONFIG',
    `the verbosity of the log is ${verbosity}; it must be a whole number from 0 to ${MAX_VERBOSITY}`,
    { verbosity },
  );
}
