// The text of a KubeProxyConfiguration (YAML or JSON) to a Config. Everything wrong is told at once, each with file, line and column, the
// field and what to do; with one mistake nothing of the text counts. Pure; files are read in load.ts.

import { DocumentError, formatPath, type DocumentLimits, type TextDocument } from '../files/document.ts';
import { jsonDocument } from '../files/json-document.ts';
import { yamlDocuments } from '../files/yaml-documents.ts';
import { PointsmanError } from '../model/errors.ts';
import { isAbsent, member, objectOf, quote } from '../model/fields.ts';
import { MODES, type Config } from './config.ts';
import type { Mistake } from './findings.ts';
import { resolveConfig } from './resolve.ts';
import { API_VERSION, KIND, SCHEMA } from './schema.ts';
import { unknownFields } from './unknown-fields.ts';

/** A configuration that holds, and what is odd about it: one line each, with the place. */
export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** What was read; for watchConfig. */
  readonly text: string;
}

const LIMITS: DocumentLimits = { maxDocuments: 16, maxDepth: 32, maxValues: 100_000 };
/** Fields that mean nothing here but something to kube-proxy elsewhere. */
const IGNORED_FIELDS = ['portRange', 'windowsRunAsService', 'winkernel'];

/** The configuration without a file: mode ipvs, and the other defaults that kube-proxy's flags have (minSyncPeriod is 1 s there). */
export function defaultConfig(): Config {
  const { config } = resolveConfig(SCHEMA.parse({ mode: 'ipvs' }));
  return { ...config, minSyncPeriodMs: 1000 };
}

/** How to read one. */
export interface ParseOptions {
  /** For readers that do not run by it: any mode will do, and `mode` of the result means nothing. */
  readonly acceptsAnyMode?: boolean;
}

/**
 * Reads the text of a configuration; `fileName` is how errors name it. Throws INVALID_CONFIG (`context.mistakes` has one line for each
 * mistake, `message` the first) and UNSUPPORTED_MODE.
 */
export function parseConfig(text: string, fileName: string, options: ParseOptions = {}): LoadedConfig {
  const document = readDocument(text, fileName);
  const refuse = (mistakes: readonly Mistake[]): void => {
    if (mistakes.length > 0) throw invalidConfig(fileName, formatMistakes(mistakes, document, fileName));
  };
  refuse(checkType(document.value));
  if (options.acceptsAnyMode !== true) refuseMode(document, fileName);
  const parsed = SCHEMA.safeParse(document.value);
  if (!parsed.success) {
    const mistakes = parsed.error.issues.map(({ path, message }) => {
      const at = path.map((part) => (typeof part === 'number' ? part : String(part)));
      return { path: at, message: `${quote(valueAt(document.value, at))} is not valid`, remedy: message };
    });
    throw invalidConfig(fileName, formatMistakes(mistakes, document, fileName));
  }
  const { config, mistakes, warnings } = resolveConfig(parsed.data);
  refuse(mistakes);
  const unknown = unknownFields(document.value).map(({ path, suggestion }) => ({
    path,
    message: 'there is no such field: it is ignored',
    remedy: suggestion === '' ? 'remove it' : `did you mean ${suggestion}?`,
  }));
  const ignored = IGNORED_FIELDS.filter((name) => !isUnset(member(document.value, name))).map((name) => ({
    path: [name],
    message: 'it has no effect',
    remedy: 'remove it',
  }));
  return {
    config,
    warnings: formatMistakes([...unknown, ...warnings, ...ignored], document, fileName),
    text,
  };
}

function readDocument(text: string, fileName: string): TextDocument {
  try {
    if (text.trimStart().startsWith('{')) return readBraces(text);
    const documents = [...yamlDocuments(text, LIMITS)].filter(({ value }) => value !== null);
    const [document, second] = documents;
    if (document === undefined)
      throw new DocumentError(
        { line: 1, column: 1 },
        'the file holds no configuration',
        `write one with kind: ${KIND}`,
      );
    if (second !== undefined)
      throw new DocumentError(
        second.locate([]),
        'there is more than one document',
        'leave only the configuration of the proxy',
      );
    return document;
  } catch (error) {
    if (error instanceof DocumentError) throw documentError(fileName, error);
    throw error;
  }
}

/** JSON, or YAML in braces; mistakes are told as those of JSON, which is what nearly everybody means. */
function readBraces(text: string): TextDocument {
  try {
    return jsonDocument(text, LIMITS);
  } catch (error) {
    try {
      const [document, second] = yamlDocuments(text, LIMITS);
      if (document !== undefined && second === undefined) return document;
    } catch {
      // Neither.
    }
    throw error;
  }
}

function checkType(value: unknown): Mistake[] {
  if (objectOf(value) === null)
    return [
      {
        path: [],
        message: `it is ${quote(value)}`,
        remedy: `write a map with apiVersion: ${API_VERSION} and kind: ${KIND}`,
      },
    ];
  return (
    [
      ['apiVersion', API_VERSION],
      ['kind', KIND],
    ] as const
  ).flatMap(([name, expected]) => {
    const given = member(value, name);
    if (given === expected) return [];
    const message = isAbsent(given) ? 'it is missing' : `${quote(given)} is not known`;
    return { path: [name], message, remedy: `write ${name}: ${expected}` };
  });
}

/** Never another mode than the one asked for: a node that forwards otherwise than its operator believes is worse than one that stops. */
function refuseMode(document: TextDocument, fileName: string): void {
  const given = member(document.value, 'mode');
  if (MODES.some((mode) => mode === given) || (!isAbsent(given) && typeof given !== 'string')) return;
  const { line, column } = document.locate(['mode']);
  const asked = isAbsent(given) ? 'mode is not set, which means iptables' : `mode ${quote(given)}`;
  const message = `${fileName}:${line}:${column}: ${asked}; this build has ${MODES.join(', ')} only: set mode: ipvs or keep kube-proxy`;
  throw new PointsmanError('UNSUPPORTED_MODE', message, { mode: given ?? '', line, column });
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (part, name) => (Array.isArray(part) ? part[Number(name)] : member(part, String(name))),
    value,
  );
}

/** Absent, or what kube-proxy writes for "not used". */
function isUnset(value: unknown): boolean {
  if (isAbsent(value) || value === false) return true;
  const object = objectOf(value);
  return object !== null && Object.values(object).every(isUnset);
}

/** One line each, in the order of the text. */
function formatMistakes(mistakes: readonly Mistake[], document: TextDocument, fileName: string): string[] {
  const placed = mistakes.map(({ path, message, remedy }) => ({
    path,
    message,
    remedy,
    ...document.locate(path),
  }));
  placed.sort((a, b) => a.line - b.line || a.column - b.column);
  return placed.map(({ line, column, path, message, remedy }) => {
    const field = path.length === 0 ? '' : `${formatPath(path)}: `;
    return `${fileName}:${line}:${column}: ${field}${message}; ${remedy}`;
  });
}

/** A text that cannot be read at all, as INVALID_CONFIG. */
export function documentError(
  fileName: string,
  { position, message, remedy }: DocumentError,
): PointsmanError {
  return invalidConfig(fileName, [`${fileName}:${position.line}:${position.column}: ${message}; ${remedy}`]);
}

/** INVALID_CONFIG with one line for each mistake. */
export function invalidConfig(fileName: string, mistakes: readonly string[]): PointsmanError {
  const more = mistakes.length > 1 ? ` (and ${mistakes.length - 1} more)` : '';
  return new PointsmanError('INVALID_CONFIG', `${mistakes[0]}${more}`, { file: fileName, mistakes });
}
