// One entry of the log before it is text: what was said, by whom, when, and how loud. Types, and what both formats have in common.

/** Fields of an entry; undefined ones are left out. The error of an entry is its field `err`. Names are words of ours, never text from objects. */
export type LogFields = Readonly<
  Record<string, string | number | boolean | readonly (string | number)[] | undefined>
>;

/** Information, warning, error; klog's F is not used: what ends the process is an error and an exit code. */
export type Severity = 'I' | 'W' | 'E';

/** See above. */
export interface LogEntry {
  readonly severity: Severity;
  readonly at: Date;
  readonly pid: number;
  /** Where it was said: 'sync-loop.ts:1'; no blank, and one colon before the number. */
  readonly source: string;
  /** The -v from which on it is written; 0 for all that always is. */
  readonly level: number;
  readonly message: string;
  readonly fields: LogFields;
}

const MAX_VALUE_CHARACTERS = 4096;
/** Items of a list; the rest is counted. */
const MAX_ITEMS = 64;

/** Cut to a length that somebody reads. */
export function cutText(text: string): string {
  return text.length > MAX_VALUE_CHARACTERS ? `${text.slice(0, MAX_VALUE_CHARACTERS)}...` : text;
}

/** Cut to so many items that somebody reads, the last of which says how many more there are. */
export function cutItems(items: readonly (string | number)[]): readonly (string | number)[] {
  return items.length > MAX_ITEMS
    ? [...items.slice(0, MAX_ITEMS), `... and ${items.length - MAX_ITEMS} more`]
    : items;
}

/** Names and values of the fields that are there. */
export function givenFields(fields: LogFields): [string, NonNullable<LogFields[string]>][] {
  return Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
}
