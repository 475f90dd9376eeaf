// From what a file and the command line hold to a configuration that is in force: checked, with every default filled in, and with where each
// value came from. Everything wrong is told at once; with one mistake nothing counts. Pure.

import { formatPath, type Path, type Position } from '../files/document.ts';
import { PointsmanError } from '../model/errors.ts';
import { isAbsent, member, quote } from '../model/fields.ts';
import { MODES, type Config } from './config.ts';
import { completeConfig, effectiveConfig, type ConfigObject } from './effective.ts';
import type { Field } from './field-types.ts';
import type { Mistake } from './findings.ts';
import type { GivenFlags } from './given-flags.ts';
import { parseGoDuration } from './duration.ts';
import { overlayFlags, valueAt, withValue, type Overlaid } from './overlay.ts';
import { resolveConfig } from './resolve.ts';
import { SCHEMA } from './schema.ts';
import { LEAVES, leafAt, type ParsedFields } from './table.ts';
import { unknownFields } from './unknown-fields.ts';

/** Where the value of a field came from; 'unused': it belongs to another mode and is not kept. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'unused' }
  | { readonly kind: 'file'; readonly file: string; readonly line: number }
  /** As a person writes it: "--ipvs-scheduler". */
  | { readonly kind: 'flag'; readonly flag: string };

/** A configuration that holds, and what is odd about it. */
export interface LoadedConfig {
  readonly config: Config;
  /** One line each, with the place. */
  readonly warnings: readonly string[];
  /** What was read, '' without a file; for watchConfig. */
  readonly text: string;
  /**
   * All of it as KubeProxyConfiguration v1alpha1, as kube-proxy shows it at /configz: in the same order, durations as Go prints them. Our own
   * fields are there only where they are not the default.
   */
  readonly effective: ConfigObject;
  /** The same with all of our own fields. */
  readonly complete: ConfigObject;
  /** By field ("ipvs.scheduler"), in the order of the table. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** What the command line held. */
  readonly flags: GivenFlags;
}

/** A file that was read as far as values. */
export interface ReadFile {
  readonly name: string;
  readonly text: string;
  readonly value: unknown;
  /** Oddities that are no part of its value. */
  readonly warnings: readonly string[];
  locate(path: Path): Position;
}

/** What messages call the place of a mistake that stands nowhere. */
const COMMAND_LINE = 'the command line';
/** Without a file the defaults are those of kube-proxy's flags, which come of no mode; the mode is ours. */
const WITHOUT_FILE = { mode: 'ipvs', ipvs: { minSyncPeriod: '1s' } };

/** Throws INVALID_CONFIG and UNSUPPORTED_MODE as parseConfig does. `acceptsAnyMode`: `mode` of the result means nothing. */
export function evaluate(file: ReadFile | null, flags: GivenFlags, acceptsAnyMode = false): LoadedConfig {
  const overlaid = overlayFlags(file?.value ?? WITHOUT_FILE, flags, file?.name ?? '');
  const places = new Places(file, overlaid.setBy);
  if (!acceptsAnyMode) refuseMode(overlaid, places);
  const { fields, mistakes: ofTypes } = parseFields(overlaid.value);
  const { config, mistakes: ofRules, warnings } = resolveConfig(fields, overlaid.isHealthzOff);
  const early = [...overlaid.mistakes, ...ofTypes];
  const isBad = (path: Path | undefined): boolean =>
    path !== undefined && early.some((one) => startsWith(path, one.path) || startsWith(one.path, path));
  const mistakes = [...early, ...ofRules.filter(({ path, other }) => !isBad(path) && !isBad(other))];
  if (mistakes.length > 0) throw invalidConfig(file?.name ?? COMMAND_LINE, places.format(mistakes));
  return {
    config,
    warnings: [
      ...overlaid.warnings,
      ...(file?.warnings ?? []),
      ...places.format([...unknown(file), ...warnings, ...withoutEffect(overlaid.value)]),
    ],
    text: file?.text ?? '',
    effective: effectiveConfig(fields, overlaid.value, config),
    complete: completeConfig(fields, overlaid.value, config),
    origins: originsOf(overlaid.value, places, file),
    flags,
  };
}

/** Every field as far as it can be read, and what cannot: in its place stands the default, so that other mistakes can be told, too. */
function parseFields(value: unknown): {
  readonly fields: ParsedFields;
  readonly mistakes: readonly Mistake[];
} {
  const parsed = SCHEMA.safeParse(value);
  if (parsed.success) return { fields: parsed.data, mistakes: [] };
  let rest = value;
  const mistakes = parsed.error.issues.map(({ path, message }) => {
    const at = path.map((part) => (typeof part === 'number' ? part : String(part)));
    const known = leafAt(at)?.path ?? at.map(String);
    rest = withValue(rest, known, undefined);
    return { path: at, message: `${quote(valueAt(value, at))} is not valid`, remedy: message };
  });
  return { fields: SCHEMA.parse(rest), mistakes };
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((part, index) => path[index] === part);
}

/** Never another mode than the one asked for: a node that forwards otherwise than its operator believes is worse than one that stops. */
function refuseMode({ value, setBy }: Overlaid, places: Places): void {
  const given = member(value, 'mode');
  const flag = setBy.get('mode');
  // A flag without a text asks for nothing, and there is no file beside it.
  if (isAbsent(given) && flag !== undefined) return;
  if (MODES.some((mode) => mode === given) || (!isAbsent(given) && typeof given !== 'string')) return;
  const asked = isAbsent(given) ? 'mode is not set, which means iptables' : `mode ${quote(given)}`;
  const remedy = flag === undefined ? 'set mode: ipvs' : `write ${flag}=ipvs`;
  const message = `${places.of(['mode'])}: ${asked}; this build has ${MODES.join(', ')} only: ${remedy} or keep kube-proxy`;
  throw new PointsmanError('UNSUPPORTED_MODE', message, { mode: given ?? '', ...places.position(['mode']) });
}

function unknown(file: ReadFile | null): Mistake[] {
  return unknownFields(file?.value ?? {}).map(({ path, suggestion }) => ({
    path,
    message: 'there is no such field: it is ignored',
    remedy: suggestion === '' ? 'remove it' : `did you mean ${suggestion}?`,
  }));
}

function withoutEffect(value: unknown): Mistake[] {
  return LEAVES.flatMap(({ path, field }) => {
    const given = valueAt(value, path);
    if (field.noEffect === undefined || isUnset(given)) return [];
    return [{ path, message: `it has no effect: ${field.noEffect}`, remedy: 'remove it' }];
  });
}

/** Absent, or what kube-proxy writes for "not used". */
function isUnset(value: unknown): boolean {
  return isAbsent(value) || value === false || value === 0 || value === '0';
}

function originsOf(value: unknown, places: Places, file: ReadFile | null): ReadonlyMap<string, Origin> {
  return new Map(
    LEAVES.filter(({ name }) => name !== 'metadata').map(({ path, name, field }): [string, Origin] => {
      if (field.lostAs !== undefined) return [name, { kind: 'unused' }];
      const flag = places.flagOf(path);
      if (flag !== undefined) return [name, { kind: 'flag', flag }];
      if (file === null || isDefault(valueAt(value, path), field)) return [name, { kind: 'default' }];
      return [name, { kind: 'file', file: file.name, line: file.locate(path).line }];
    }),
  );
}

/** What a file may hold and still leave the field at its default. */
function isDefault(value: unknown, { isZeroDefault }: Field): boolean {
  if (isAbsent(value)) return true;
  if (!isZeroDefault) return false;
  return value === 0 || (typeof value === 'string' && parseGoDuration(value) === 0n);
}

/** Says of paths where they stand: in the file, or in a flag. */
class Places {
  private readonly file: ReadFile | null;
  private readonly setBy: ReadonlyMap<string, string>;

  constructor(file: ReadFile | null, setBy: ReadonlyMap<string, string>) {
    this.file = file;
    this.setBy = setBy;
  }

  flagOf(path: Path): string | undefined {
    return this.setBy.get(leafAt(path)?.name ?? '');
  }

  /** Nothing for a flag. */
  position(path: Path): Partial<Position> {
    return this.flagOf(path) === undefined ? (this.file?.locate(path) ?? {}) : {};
  }

  /** "kp.conf:4:14", "--ipvs-scheduler" or "the command line". */
  of(path: Path): string {
    const { line, column } = this.position(path);
    if (line !== undefined) return `${this.file?.name}:${line}:${column}`;
    return this.flagOf(path) ?? COMMAND_LINE;
  }

  /** One line each: those of flags first, then those of the file in the order of its text. */
  format(mistakes: readonly Mistake[]): string[] {
    const placed = mistakes.map((mistake) => ({ ...mistake, ...this.position(mistake.path) }));
    placed.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
    return placed.map(({ path, message, remedy }) => {
      const field = path.length === 0 || this.flagOf(path) !== undefined ? '' : `${formatPath(path)}: `;
      return `${this.of(path)}: ${field}${message}; ${remedy}`;
    });
  }
}

/** INVALID_CONFIG with one line for each mistake. */
export function invalidConfig(fileName: string, mistakes: readonly string[]): PointsmanError {
  const more = mistakes.length > 1 ? ` (and ${mistakes.length - 1} more)` : '';
  return new PointsmanError('INVALID_CONFIG', `${mistakes[0]}${more}`, { file: fileName, mistakes });
}
