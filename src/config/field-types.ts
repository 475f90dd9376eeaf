// What kinds of values the configuration has: how each is read from a file, what it means when it is absent, and the words that describe
// it. The fields themselves are in table.ts. null and '' mean the default everywhere; 0s and 0 only where kube-proxy defaults them too. Pure.

import { z } from 'zod';
import { isAbsent } from '../model/fields.ts';
import { parseGoDuration } from './duration.ts';

/** How the text of a flag becomes a value, see flag-values.ts; also what --help calls it. */
export type Kind =
  | 'string'
  | 'bool'
  | 'int'
  | 'float'
  | 'duration'
  | 'strings'
  | 'mapStringBool'
  | 'pattern=N,...'
  | 'quantity';

/** What JSON can hold. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** What the table says of a field beside its type. */
export interface FieldWords {
  /** One line: what it does. */
  readonly help: string;
  /** Name of kube-proxy's flag without dashes. */
  readonly flag?: string;
  /** The flag acts beside --config, and wins over the file. */
  readonly isFlagStronger?: boolean;
  /** Why setting it changes nothing here; whoever sets it is warned. */
  readonly noEffect?: string;
  /** What kube-proxy shows in mode ipvs whatever was set, because only the fields of the mode in force survive its reading. */
  readonly lostAs?: Json;
  /** An empty value is not shown at all. */
  readonly isOmittedWhenEmpty?: boolean;
}

/** One field of the configuration. */
export interface Field<T = unknown> extends FieldWords {
  readonly isField: true;
  readonly kind: Kind;
  /** Reads what a file holds, also nothing, as T. */
  readonly schema: z.ZodType<T>;
  /** The default as a file would have it. */
  readonly fallback: Json;
  /** What to write: the remedy of a value that is not valid. */
  readonly rule: string;
  /** A zero in a file is the default, too. */
  readonly isZeroDefault: boolean;
}

function makeField<T>(
  words: FieldWords,
  kind: Kind,
  rule: string,
  schema: z.ZodType<T>,
  fallback: Json,
  isZeroDefault = false,
): Field<T> {
  return {
    ...words,
    ...{ isField: true, kind, rule, fallback, isZeroDefault },
    // The default goes through the schema as well, so that it has the same type.
    schema: z.preprocess((value) => (isAbsent(value) ? fallback : value), schema) as z.ZodType<T>,
  };
}

/** Text; '' is the default, too. */
export function text(words: FieldWords, fallback = ''): Field<string> {
  const rule = 'write text; put numbers in quotes';
  return makeField(words, 'string', rule, z.string(rule), fallback);
}

/** True or false. */
export function truth(words: FieldWords, fallback = false): Field<boolean> {
  const rule = 'write true or false';
  return makeField(words, 'bool', rule, z.boolean(rule), fallback);
}

/** A whole number from `min` to `max`, by default all that 32 bits hold. */
export function integer(
  words: FieldWords,
  fallback: number,
  min: number,
  max = 2_147_483_647,
  isZeroDefault = false,
): Field<number> {
  const rule = `write a whole number from ${min} to ${max}`;
  const schema = z
    .int(rule)
    .min(min, rule)
    .max(max, rule)
    .transform((value) => (isZeroDefault && value === 0 ? fallback : value));
  return makeField<number>(words, 'int', rule, schema, fallback, isZeroDefault);
}

/** A number; 0 is the default, too. */
export function decimal(words: FieldWords, fallback: number): Field<number> {
  const rule = 'write a number';
  const schema = z.number(rule).transform((value) => (value === 0 ? fallback : value));
  return makeField<number>(words, 'float', rule, schema, fallback, true);
}

/** Nanoseconds. `isUnchecked`: of a mode that is not run; kube-proxy takes any there. */
export function duration(
  words: FieldWords,
  fallback: string,
  how: {
    readonly isZeroDefault?: boolean;
    readonly isUnchecked?: boolean;
    readonly takesNumber?: boolean;
  } = {},
): Field<bigint> {
  const { isZeroDefault = false, isUnchecked = false, takesNumber = false } = how;
  const fallbackNs = parseGoDuration(fallback) ?? 0n;
  const rule = isUnchecked
    ? 'write a duration, as in 30s or 1h30m'
    : 'write a duration of zero or more, as in 30s or 1h30m';
  const whole = z.int(rule).transform((nanoseconds) => `${nanoseconds}ns`);
  const schema = (takesNumber ? z.union([z.string(), whole], rule) : z.string(rule)).transform(
    (value, context) => {
      const nanoseconds = parseGoDuration(value);
      if (nanoseconds !== null && (isUnchecked || nanoseconds >= 0n))
        return nanoseconds === 0n && isZeroDefault ? fallbackNs : nanoseconds;
      context.addIssue({ code: 'custom', message: rule, input: value });
      return z.NEVER;
    },
  );
  return makeField<bigint>(
    words,
    'duration',
    rule,
    schema as unknown as z.ZodType<bigint>,
    fallback,
    isZeroDefault,
  );
}

/** A list of texts; null is how kube-proxy shows one that was not set. */
export function texts(words: FieldWords): Field<string[]> {
  const schema = z.preprocess(
    (value) => value ?? [],
    z.array(z.string('write text; put numbers in quotes'), 'write a list'),
  ) as z.ZodType<string[]>;
  return makeField(words, 'strings', 'write a list', schema, null);
}

/** Names, each true or false. */
export function gates(words: FieldWords): Field<Record<string, boolean>> {
  const schema = z.record(
    z.string(),
    z.boolean('write true or false'),
    'write a map of names to true or false',
  );
  return makeField(words, 'mapStringBool', 'write NAME=true or NAME=false, with commas between', schema, {});
}

/** One item of logging.vmodule. A type and not an interface, because it is JSON. */
export type VModuleItem = {
  /** Name of a file without ".ts"; "*" stands for any characters, "?" for one. Never empty, no "=" and no ",". */
  readonly filePattern: string;
  /** 0 to 2147483647. */
  readonly verbosity: number;
};

/** They are looked through in order, for each file once. */
const MAX_VMODULE_ITEMS = 1000;

/** A list of file patterns, each with a verbosity. */
export function vmodule(words: FieldWords): Field<VModuleItem[]> {
  const pattern = 'write text without "=" and ","';
  const item = z.object({
    filePattern: z.string(pattern).regex(/^[^=,]+$/, pattern),
    verbosity: z.int('write a whole number').min(0, 'write 0 or more').max(2_147_483_647, 'write less'),
  });
  const schema = z
    .array(item, 'write a list of filePattern and verbosity')
    .max(MAX_VMODULE_ITEMS, `write at most ${MAX_VMODULE_ITEMS} patterns`);
  return makeField<VModuleItem[]>(words, 'pattern=N,...', 'write PATTERN=N, with commas between', schema, []);
}

/** One word of a few. */
export function choice<const T extends string>(
  words: FieldWords,
  choices: readonly T[],
  fallback: T,
): Field<T> {
  const rule = `use ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
  return makeField(words, 'string', rule, z.enum(choices, rule) as unknown as z.ZodType<T>, fallback);
}

/** An amount of bytes as Kubernetes writes it: 512, 1K, 2Ki. */
export function quantity(words: FieldWords): Field<string> {
  const rule = 'write a number of bytes, as in 512, 1K or 2Ki';
  const schema = z
    .union([z.string(), z.number().transform(String)], rule)
    .refine((value) => /^\d{1,18}(?:\.\d{1,9})?(?:[numkMGTPE]|[KMGTPE]i|K)?$/.test(value), rule);
  return makeField<string>(words, 'quantity', rule, schema as z.ZodType<string>, '0');
}

/** "30000-32767", both ends included, as the API server's --service-node-port-range has it. */
export function portRange(
  words: FieldWords,
  fallback: string,
): Field<{ readonly first: number; readonly last: number }> {
  const rule = 'write two ports from 1 to 65535, the lower first, as in 30000-32767';
  const schema = z.string(rule).transform((value, context) => {
    const [, first = 0, last = 0] = (/^(\d{1,5})-(\d{1,5})$/.exec(value) ?? []).map(Number);
    if (first >= 1 && first <= last && last <= 65_535) return { first, last };
    context.addIssue({ code: 'custom', message: rule, input: value });
    return z.NEVER;
  });
  return makeField(
    words,
    'string',
    rule,
    schema as unknown as z.ZodType<{ first: number; last: number }>,
    fallback,
  );
}

/** Known, and without meaning here. */
export function ignored(words: FieldWords): Field<unknown> {
  return {
    ...makeField<unknown>(words, 'string', 'write text', z.unknown(), null),
    isOmittedWhenEmpty: true,
  };
}
