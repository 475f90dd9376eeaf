// The text of a KubeProxyConfiguration (YAML or JSON), with the flags of the command line over it, to a Config. Everything wrong is told at
// once, each with file, line and column, the field and what to do; with one mistake nothing of the text counts. Pure; files are read in load.ts.

import {
  DocumentError,
  printable,
  type DocumentLimits,
  type Position,
  type TextDocument,
} from '../files/document.ts';
import { jsonDocument } from '../files/json-document.ts';
import { yamlDocuments } from '../files/yaml-documents.ts';
import type { PointsmanError } from '../model/errors.ts';
import { isAbsent, member, objectOf, quote } from '../model/fields.ts';
import type { Config } from './config.ts';
import { evaluate, invalidConfig, type LoadedConfig, type ReadFile } from './evaluate.ts';
import { NO_FLAGS, type GivenFlags } from './given-flags.ts';
import { API_VERSION, KIND } from './schema.ts';

export type { LoadedConfig } from './evaluate.ts';

const LIMITS: DocumentLimits = { maxDocuments: 16, maxDepth: 32, maxValues: 100_000 };
/** Keys written twice that are named; more are only tolerated. */
const MAX_DUPLICATES = 20;

/** The configuration without a file and without flags: mode ipvs, and the other defaults that kube-proxy's flags have. */
export function defaultConfig(): Config {
  return configFromFlags(NO_FLAGS).config;
}

/**
 * The configuration of a command line without --config. The mode is ipvs unless --proxy-mode says otherwise, and minSyncPeriod 1 s. Throws as
 * parseConfig does.
 */
export function configFromFlags(
  flags: GivenFlags,
  options: Pick<ParseOptions, 'acceptsAnyMode'> = {},
): LoadedConfig {
  return evaluate(null, flags, options.acceptsAnyMode === true);
}

/** How to read one. */
export interface ParseOptions {
  /** Of the command line; few act beside a file, and the others are named in a warning. Default: none. */
  readonly flags?: GivenFlags | undefined;
  /** For readers that do not run by it: any mode will do, and `mode` of the result means nothing. */
  readonly acceptsAnyMode?: boolean;
}

/**
 * Reads the text of a configuration; `fileName` is how errors name it. Throws INVALID_CONFIG (`context.mistakes` has one line for each
 * mistake, `message` the first) and UNSUPPORTED_MODE.
 */
export function parseConfig(text: string, fileName: string, options: ParseOptions = {}): LoadedConfig {
  const { document, warnings } = readDocument(text, fileName);
  const ofType = checkType(document, fileName);
  if (ofType.length > 0) throw invalidConfig(fileName, ofType);
  const file: ReadFile = {
    ...{ name: fileName, text, value: document.value, warnings },
    locate: (path) => document.locate(path),
  };
  return evaluate(file, options.flags ?? NO_FLAGS, options.acceptsAnyMode === true);
}

function readDocument(
  text: string,
  fileName: string,
): { readonly document: TextDocument; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  // As kube-proxy: the last one counts.
  const onDuplicateKey = (name: string, { line, column }: Position): void => {
    if (warnings.length < MAX_DUPLICATES)
      warnings.push(
        `${fileName}:${line}:${column}: the key ${JSON.stringify(printable(name))} is there twice: the last one counts; remove one of them`,
      );
  };
  try {
    if (text.trimStart().startsWith('{')) return { document: readBraces(text, onDuplicateKey), warnings };
    const documents = [...yamlDocuments(text, LIMITS, onDuplicateKey)].filter(({ value }) => value !== null);
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
    return { document, warnings };
  } catch (error) {
    if (error instanceof DocumentError) throw documentError(fileName, error);
    throw error;
  }
}

/** JSON, or YAML in braces; mistakes are told as those of JSON, which is what nearly everybody means. */
function readBraces(text: string, onDuplicateKey: (name: string, position: Position) => void): TextDocument {
  try {
    return jsonDocument(text, LIMITS);
  } catch (error) {
    try {
      const [document, second] = yamlDocuments(text, LIMITS, onDuplicateKey);
      if (document !== undefined && second === undefined) return document;
    } catch {
      // Neither.
    }
    throw error;
  }
}

function checkType(document: TextDocument, fileName: string): string[] {
  const { value } = document;
  const place = (path: readonly string[]): string => {
    const { line, column } = document.locate(path);
    return `${fileName}:${line}:${column}`;
  };
  if (objectOf(value) === null)
    return [
      `${place([])}: it is ${quote(value)}; write a map with apiVersion: ${API_VERSION} and kind: ${KIND}`,
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
    return [`${place([name])}: ${name}: ${message}; write ${name}: ${expected}`];
  });
}

/** A text that cannot be read at all, as INVALID_CONFIG. */
export function documentError(
  fileName: string,
  { position, message, remedy }: DocumentError,
): PointsmanError {
  return invalidConfig(fileName, [`${fileName}:${position.line}:${position.column}: ${message}; ${remedy}`]);
}
