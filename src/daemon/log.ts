// The log: klog's text format on standard error (what people grep node logs for), one line per entry.
//   I1121 07:12:47.123456    4242 agent.ts] "Synced" services=3 operations=12
// Values are quoted as JSON when they are not plain, so that text from objects can neither break nor forge a line.

/** Fields of an entry; undefined ones are left out. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Only with -v of at least `level`. */
  verbose(level: number, message: string, fields?: LogFields): void;
}

export interface LogOptions {
  /** Entries of `verbose` up to this level are written; default 0. */
  readonly verbosity?: number;
  readonly write: (line: string) => void;
  readonly now: () => Date;
  readonly pid: number;
}

const MAX_VALUE_CHARACTERS = 4096;

/** A log that writes klog text. */
export function openLog(options: LogOptions): Log {
  const write = (severity: 'I' | 'W' | 'E', message: string, fields: LogFields): void =>
    options.write(formatEntry(severity, options.now(), options.pid, message, fields));
  return {
    info: (message, fields = {}) => write('I', message, fields),
    warn: (message, fields = {}) => write('W', message, fields),
    error: (message, fields = {}) => write('E', message, fields),
    verbose(level, message, fields = {}) {
      if (level <= (options.verbosity ?? 0)) write('I', message, fields);
    },
  };
}

/** One line without its newline. Times are local, as klog's are. */
export function formatEntry(
  severity: 'I' | 'W' | 'E',
  at: Date,
  pid: number,
  message: string,
  fields: LogFields,
): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${two(at.getMonth() + 1)}${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}000`;
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${formatValue(value ?? '')}`)
    .join('');
  return `${severity}${date} ${time} ${String(pid).padStart(7)} pointsman] ${quoteText(message)}${rest}`;
}

function formatValue(value: string | number | boolean): string {
  return typeof value === 'string' ? quoteText(value) : String(value);
}

/** JSON, cut to a bearable length, and without what ends a line, steers a terminal or turns the direction of text in some reader. */
function quoteText(text: string): string {
  const cut = text.length > MAX_VALUE_CHARACTERS ? `${text.slice(0, MAX_VALUE_CHARACTERS)}...` : text;
  return JSON.stringify(cut).replaceAll(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
