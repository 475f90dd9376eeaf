// Reads a KubeProxyConfiguration (YAML or JSON) and watches the file. Everything wrong is told at once, each with file, line and column,
// the field and what to do; with one mistake nothing of the file counts.

import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  decodeText,
  DocumentError,
  formatPath,
  type DocumentLimits,
  type TextDocument,
} from '../files/document.ts';
import { FolderWatch } from '../files/folder-watch.ts';
import { jsonDocument } from '../files/json-document.ts';
import { yamlDocuments } from '../files/yaml-documents.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import { isAbsent, member, objectOf, quote } from '../model/fields.ts';
import { MODES, type Config } from './config.ts';
import { resolveConfig, type Mistake } from './resolve.ts';
import { API_VERSION, KIND, SCHEMA } from './schema.ts';
import { unknownFields } from './unknown-fields.ts';

export type { Config } from './config.ts';

/** A configuration that holds, and what is odd about it: one line each, with the place. */
export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** What was read; for watchConfig. */
  readonly text: string;
}

export type ConfigChange = LoadedConfig | { readonly error: PointsmanError };

const LIMITS: DocumentLimits = { maxDocuments: 16, maxDepth: 32, maxValues: 100_000 };
const MAX_FILE_BYTES = 1024 * 1024;
/** Fields that mean nothing here but something to kube-proxy elsewhere. */
const IGNORED_FIELDS = ['portRange', 'windowsRunAsService', 'winkernel'];

/** The configuration without a file: mode ipvs, and the other defaults that kube-proxy's flags have (minSyncPeriod is 1 s there). */
export function defaultConfig(): Config {
  const { config } = resolveConfig(SCHEMA.parse({ mode: 'ipvs' }));
  return { ...config, minSyncPeriodMs: 1000 };
}

/**
 * Reads the text of a configuration; `fileName` is how errors name it. Throws INVALID_CONFIG (`context.mistakes` has one line for each
 * mistake, `message` the first) and UNSUPPORTED_MODE.
 */
export function parseConfig(text: string, fileName: string): LoadedConfig {
  const document = readDocument(text, fileName);
  const refuse = (mistakes: readonly Mistake[]): void => {
    if (mistakes.length > 0) throw invalidConfig(fileName, formatMistakes(mistakes, document, fileName));
  };
  refuse(checkType(document.value));
  refuseMode(document, fileName);
  const parsed = SCHEMA.safeParse(document.value);
  if (!parsed.success) {
    const mistakes = parsed.error.issues.map(({ path, message }) => {
      const at = path.map((part) => (typeof part === 'number' ? part : String(part)));
      return { path: at, message: `${quote(valueAt(document.value, at))} is not valid`, remedy: message };
    });
    throw invalidConfig(fileName, mistakes.map(formatAt));
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
  return { config, warnings: [...unknown, ...warnings, ...ignored].map(formatAt), text };
}

/** Reads a configuration file. Throws as parseConfig does, and INVALID_CONFIG when the file cannot be read. */
export async function loadConfig(path: string): Promise<LoadedConfig> {
  return parseConfig(readText(path), path);
}

/**
 * Watches a configuration file, also through the symlink swaps of a ConfigMap volume. `onChange` is called when the content differs from
 * `since` (what the caller runs on; by default what the file holds now), with what the new content is: whoever runs keeps the old one on
 * an error. Looks once at once.
 */
export function watchConfig(
  path: string,
  onChange: (change: ConfigChange) => void,
  options: { readonly since?: string; readonly debounceMs?: number; readonly pollMs?: number } = {},
): { close(): Promise<void> } {
  let seen = options.since ?? lookAt(path).seen;
  return new FolderWatch(dirname(path), {
    debounceMs: options.debounceMs ?? 100,
    pollMs: options.pollMs ?? 10_000,
    onChange: async () => {
      const look = lookAt(path);
      if (look.seen === seen) return;
      seen = look.seen;
      onChange(look.change());
    },
  });
}

/** The content of a file, or what prevents reading it, and what that means. */
function lookAt(path: string): { readonly seen: string; readonly change: () => ConfigChange } {
  const attempt = (act: () => LoadedConfig): ConfigChange => {
    try {
      return act();
    } catch (error) {
      return {
        error:
          error instanceof PointsmanError ? error : invalidConfig(path, [`${path}: ${errorLine(error)}`]),
      };
    }
  };
  try {
    const text = readText(path);
    return { seen: text, change: () => attempt(() => parseConfig(text, path)) };
  } catch (error) {
    const change = attempt(() => {
      throw error;
    });
    return { seen: `\0${errorLine(error)}`, change: () => change };
  }
}

function readText(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > MAX_FILE_BYTES)
      throw invalidConfig(path, [
        `${path}: it has ${size} bytes; a configuration has at most ${MAX_FILE_BYTES}`,
      ]);
    return decodeText(readFileSync(path));
  } catch (error) {
    if (error instanceof PointsmanError) throw error;
    if (error instanceof DocumentError) throw documentError(path, error);
    const { code } = error as NodeJS.ErrnoException;
    throw invalidConfig(path, [
      `${path}: it cannot be read (${code ?? errorLine(error)}); correct the path or its permissions`,
    ]);
  }
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

function documentError(fileName: string, { position, message, remedy }: DocumentError): PointsmanError {
  return invalidConfig(fileName, [`${fileName}:${position.line}:${position.column}: ${message}; ${remedy}`]);
}

function invalidConfig(fileName: string, mistakes: readonly string[]): PointsmanError {
  const more = mistakes.length > 1 ? ` (and ${mistakes.length - 1} more)` : '';
  return new PointsmanError('INVALID_CONFIG', `${mistakes[0]}${more}`, { file: fileName, mistakes });
}
