// Reading fields of untrusted objects: every function takes any JSON value, never throws, and reports what it refuses to a ProblemList.
// A field that is absent, null or '' has its default. Pure.

import type { Problem, ProblemReason } from './problem.ts';

/** Problems kept of one object; what comes beyond is only counted. */
const MAX_PROBLEMS_PER_OBJECT = 16;
/** Items read of a list that has no limit of its own; etcd's limit on objects keeps real ones far below. */
export const MAX_LIST_LENGTH = 10_000;
/** Characters of a refused value shown in a problem. */
const MAX_QUOTED_LENGTH = 64;

/** Collects the problems of one object. */
export class ProblemList {
  private readonly object: string;
  private readonly kept: Problem[] = [];
  private leftOut = 0;

  /** `object` is how problems name it: 'Service default/web'. */
  constructor(object: string) {
    this.object = object;
  }

  add(reason: ProblemReason, field: string, message: string, remedy: string): void {
    if (this.kept.length < MAX_PROBLEMS_PER_OBJECT)
      this.kept.push({ object: this.object, field, reason, message, remedy });
    else this.leftOut++;
  }

  /** A field whose value breaks a rule; `consequence` says what becomes of it. */
  invalid(field: string, value: unknown, consequence: string, remedy: string): void {
    this.add('InvalidField', field, `${quote(value)} is not valid: ${consequence}`, remedy);
  }

  /** All problems, the shared empty list when there are none. */
  list(): readonly Problem[] {
    if (this.leftOut === 0) return this.kept.length === 0 ? NO_PROBLEMS : this.kept;
    const more = {
      object: this.object,
      field: '',
      reason: 'LimitExceeded' as const,
      message: `${this.leftOut} more problems are not listed`,
      remedy: 'repair the ones listed first',
    };
    return [...this.kept, more];
  }
}

/** The empty list, shared because nearly every object has no problem. */
export const NO_PROBLEMS: readonly Problem[] = Object.freeze([]);

/** A value as JSON for a person, cut to a bounded length and free of control characters. */
export function quote(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(
    typeof value === 'string' ? value.slice(0, MAX_QUOTED_LENGTH) : (value ?? null),
  );
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return typeof value === 'string' && value.length > MAX_QUOTED_LENGTH ? `${printable}...` : printable;
}

/** The value as an object; null for anything else. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> | null {
  // null is an 'object' too, and comes back as what it is.
  return typeof value === 'object' && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>> | null)
    : null;
}

/** A named member of an object; undefined when the value is no object or has none of its own. */
export function member(value: unknown, name: string): unknown {
  const object = objectOf(value);
  return object !== null && Object.hasOwn(object, name) ? object[name] : undefined;
}

/** True for what the API treats as not given. */
export function isAbsent(value: unknown): value is null | undefined | '' {
  return value === undefined || value === null || value === '';
}

/** A text, `fallback` when absent. Another type is reported and read as absent. */
export function readText(value: unknown, field: string, problems: ProblemList, fallback = ''): string {
  if (isAbsent(value)) return fallback;
  if (typeof value === 'string') return value;
  problems.invalid(field, value, 'it must be text and is ignored', 'write it as a string');
  return fallback;
}

/** One of a closed set, `fallback` when absent. Anything else is reported and read as the fallback. */
export function readChoice<T extends string>(
  value: unknown,
  field: string,
  problems: ProblemList,
  choices: readonly T[],
  fallback: T,
): T {
  if (isAbsent(value)) return fallback;
  const choice = choices.find((one) => one === value);
  if (choice !== undefined) return choice;
  problems.invalid(field, value, `it is read as ${fallback}`, `use one of ${choices.join(', ')}`);
  return fallback;
}

/** An integer from `min` to `max`, `fallback` when absent. Anything else is reported and read as the fallback. */
export function readInteger(
  value: unknown,
  field: string,
  problems: ProblemList,
  range: { readonly min: number; readonly max: number; readonly fallback: number },
): number {
  if (isAbsent(value)) return range.fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= range.min && value <= range.max)
    return value;
  const consequence = range.fallback === 0 ? 'it is ignored' : `${range.fallback} is used`;
  problems.invalid(field, value, consequence, `use a whole number from ${range.min} to ${range.max}`);
  return range.fallback;
}

/** A list of at most `max` items, empty when absent. What is no list is reported; so are items beyond the limit, which are left out. */
export function readList(
  value: unknown,
  field: string,
  problems: ProblemList,
  max: number,
): readonly unknown[] {
  if (isAbsent(value)) return [];
  if (!Array.isArray(value)) {
    problems.invalid(field, value, 'it must be a list and is ignored', 'write it as a list');
    return [];
  }
  if (value.length <= max) return value;
  problems.add(
    'LimitExceeded',
    field,
    `it has ${value.length} items; only the first ${max} are used`,
    `use at most ${max} items`,
  );
  return value.slice(0, max);
}

/** RFC 3339 time as milliseconds since the epoch; 0 when absent or not a time. */
export function readTimeMs(value: unknown): number {
  if (
    typeof value !== 'string' ||
    !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(value)
  )
    return 0;
  const timeMs = Date.parse(value);
  return Number.isFinite(timeMs) ? timeMs : 0;
}
