// The log as text, as klog writes it, and what people grep node logs for:
//   I1121 07:12:47.123000    4242 agent.ts:1] "Synced" services=3 operations=12
// Each entry is one line, whatever is in it: klog spreads values with line breaks over several lines, here they are quoted as all others.
// Source: k8s.io/klog/v2 (buffer.FormatHeader, serialize.KVListFormat), Go's strconv.Quote.

import { cutText, givenFields, type LogEntry } from './log-entry.ts';
import { formatList } from './log-json.ts';

/** One line without its newline. Times are local and to the millisecond. The error of an error is its first field, as klog has it. */
export function formatText({ severity, at, pid, source, message, fields }: LogEntry): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${two(at.getMonth() + 1)}${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}000`;
  const given = givenFields(fields);
  const isFirst = ([name]: (typeof given)[number]): boolean => severity === 'E' && name === 'err';
  const ordered = [...given.filter(isFirst), ...given.filter((field) => !isFirst(field))];
  const rest = ordered.map(([name, value]) => ` ${name}=${formatValue(value)}`).join('');
  return `${severity}${date} ${time} ${String(pid).padStart(7)} ${source}] ${quoteGo(cutText(message))}${rest}`;
}

function formatValue(value: string | number | boolean | readonly (string | number)[]): string {
  if (typeof value === 'string') return quoteGo(cutText(value));
  return typeof value === 'object' ? formatList(value) : String(value);
}

const PLAIN = /^[ !#-[\]-~]*$/;
/** What strconv.IsPrint does not know as printable, and what ends the quotes. */
const TO_ESCAPE = /["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu;
const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** As strconv.Quote: a string of Go, in which letters of all scripts stay and all that is not seen is escaped. */
export function quoteGo(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : `"${text.replaceAll(TO_ESCAPE, escapeGo)}"`;
}

function escapeGo(character: string): string {
  const named = NAMED_ESCAPES[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0) ?? 0;
  // Half of a surrogate pair is no character in UTF-8.
  if (code >= 0xd800 && code <= 0xdfff) return '\\ufffd';
  const hex = code.toString(16);
  if (code < 0x20 || code === 0x7f) return `\\x${hex.padStart(2, '0')}`;
  return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`;
}
