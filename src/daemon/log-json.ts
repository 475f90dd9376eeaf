// The log as JSON, one object in each line, as the components of Kubernetes write it with --logging-format=json:
//   {"ts":1795245167123,"caller":"agent.ts:1","msg":"Synced","v":0,"services":3}
//   {"ts":1795245167123,"caller":"agent.ts:1","msg":"Sync failed","err":"..."}
// `ts` is in milliseconds, `v` is missing from errors, `err` is last. Warnings, which that format does not know, are information with
// "severity":"warning". Text from objects can neither break a line nor steer a terminal: it is escaped where JSON would let it be.
// Source: k8s.io/component-base/logs/json, github.com/go-logr/zapr.

import { cutItems, cutText, givenFields, type LogEntry } from './log-entry.ts';

const RESERVED: ReadonlySet<string> = new Set(['ts', 'caller', 'msg', 'v', 'severity']);

/** One line without its newline. A field with the name of a key of the format has "_" after it. */
export function formatJson({ severity, at, source, level, message, fields }: LogEntry): string {
  const parts = [`"ts":${at.getTime()}`, `"caller":${quoteJson(source)}`, `"msg":${quoteJson(message)}`];
  if (severity !== 'E') parts.push(`"v":${level}`);
  if (severity === 'W') parts.push('"severity":"warning"');
  const given = givenFields(fields);
  const isError = ([name]: (typeof given)[number]): boolean => severity === 'E' && name === 'err';
  for (const [name, value] of [...given.filter((field) => !isError(field)), ...given.filter(isError)])
    parts.push(`${quoteJson(RESERVED.has(name) ? `${name}_` : name)}:${formatValue(value)}`);
  return `{${parts.join(',')}}`;
}

function formatValue(value: string | number | boolean | readonly (string | number)[]): string {
  if (typeof value === 'string') return quoteJson(value);
  if (typeof value === 'object') return formatList(value);
  if (typeof value === 'boolean' || Number.isFinite(value)) return String(value);
  // As zap writes what JSON has no number for.
  return Number.isNaN(value) ? '"NaN"' : `"${value > 0 ? '+' : '-'}Inf"`;
}

/** `["10.0.0.1","10.0.0.2"]`; both formats write lists so. */
export function formatList(items: readonly (string | number)[]): string {
  return `[${cutItems(items).map(formatValue).join(',')}]`;
}

/** JSON, cut, and without what ends a line, steers a terminal, is not seen or turns the direction of text in some reader. */
function quoteJson(text: string): string {
  return JSON.stringify(cutText(text)).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
