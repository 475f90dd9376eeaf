// The texts of a flag as the value that a configuration file would hold, and back. Pure.
// Source: Go's pflag (int32, float32, stringSlice), component-base's MapStringBool and VModuleConfiguration.

import { parseGoBool } from './given-flags.ts';
import type { Json, Kind, VModuleItem } from './field-types.ts';

/**
 * The value that the texts of one flag mean together; undefined when one of them is malformed. What scalars mean is checked by the schema
 * of the field as it is for a file; of several texts the last counts, and lists add up.
 */
export function valueFromTexts(kind: Kind, texts: readonly string[]): Json | undefined {
  const last = texts.at(-1) ?? '';
  switch (kind) {
    case 'string':
      return last;
    case 'quantity':
    case 'duration':
      return last === '' ? undefined : last;
    case 'bool':
      return parseGoBool(last);
    case 'int':
      return parseGoInteger(last);
    case 'float':
      return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(last) ? Number(last) : undefined;
    case 'strings':
      return texts.flatMap(splitList);
    case 'mapStringBool':
      return all(texts.flatMap(splitList), parseGate, (gates) => Object.fromEntries(gates));
    case 'pattern=N,...':
      return all(texts.flatMap(splitList), parsePattern, (items) =>
        // Zero is what every file has anyway.
        items.filter(({ verbosity }) => verbosity > 0),
      );
  }
}

/** A value as the flag would be written. Inverse of valueFromTexts, but for what has several spellings. */
export function formatFlagValue(kind: Kind, value: unknown): string {
  if (kind === 'strings') return ((value ?? []) as readonly string[]).join(',');
  if (kind === 'mapStringBool')
    return Object.entries(value as Record<string, boolean>)
      .map(([name, isOn]) => `${name}=${isOn}`)
      .sort()
      .join(',');
  if (kind === 'pattern=N,...')
    return (value as readonly VModuleItem[])
      .map(({ filePattern, verbosity }) => `${filePattern}=${verbosity}`)
      .join(',');
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? `${value}`
    : '';
}

/** Commas between, blanks around do not count; an empty text is an empty list. */
function splitList(text: string): string[] {
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}

function all<T, R>(
  items: readonly string[],
  read: (text: string) => T | undefined,
  make: (all: T[]) => R,
): R | undefined {
  const values: T[] = [];
  for (const item of items) {
    if (item === '') continue;
    const value = read(item);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return make(values);
}

function parseGate(text: string): [string, boolean] | undefined {
  const [name = '', value = '', ...more] = text.split('=').map((part) => part.trim());
  const isGateOn = parseGoBool(value);
  return name === '' || more.length > 0 || isGateOn === undefined ? undefined : [name, isGateOn];
}

function parsePattern(text: string): VModuleItem | undefined {
  const match = /^([^=]+)=(\d{1,9})$/.exec(text);
  return match === null ? undefined : { filePattern: match[1] ?? '', verbosity: Number(match[2]) };
}

/** As strconv.ParseInt with base 0 reads it: decimal, 0x, 0o, 0b, and octal with a leading zero. */
function parseGoInteger(text: string): number | undefined {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9]\d*)$/.exec(text);
  if (match === null || text.length > 40) return undefined;
  const digits = (match[2] ?? '').replace(/^0(?=[0-7])/, '0o');
  const value = Number(digits);
  return match[1] === '-' ? 0 - value : value;
}
