// Reads YAML 1.2 (core schema, merge keys) into plain values with positions. The `yaml` package composes the nodes; turning nodes into
// values is done here, because it must be linear and safe for any text: no alias bombs, no cycles, no duplicate keys, bounded depth.
// Source: YAML 1.2.2; merge keys of YAML 1.1 (https://yaml.org/type/merge.html) as kubectl reads them. Pure.

import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Parser,
  type CST,
  type Document,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import {
  DocumentError,
  LineIndex,
  printable,
  type DocumentLimits,
  type Path,
  type Position,
  type TextDocument,
} from './document.ts';

/** What helps against the mistakes that people make most. */
const REMEDIES: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indent with blanks',
  BAD_INDENT: 'align it with the lines around it',
  MISSING_CHAR: 'close the quote or bracket',
  BLOCK_AS_IMPLICIT_KEY: 'put a value with a colon in quotes, or begin a new line',
  BAD_ALIAS: 'define the anchor before its first use',
};

/** Hears of a key that a map has twice, and where it stands the second time. */
export type DuplicateKeyListener = (name: string, position: Position) => void;

/**
 * The documents of a YAML text, one by one (so that the caller can give others a turn in between). A document without content has the
 * value null. Throws DocumentError at the first mistake; never anything else, whatever the text. A key that a map has twice is a mistake,
 * too, unless there is `onDuplicateKey`: then the last one counts.
 */
export function* yamlDocuments(
  text: string,
  limits: DocumentLimits,
  onDuplicateKey?: DuplicateKeyListener,
): Generator<TextDocument, void, void> {
  const lines = new LineIndex(text);
  // The library's own check for duplicate keys is quadratic in the size of a map.
  const composer = new Composer({
    schema: 'core',
    resolveKnownTags: false,
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const documents = composer.compose(untilError(new Parser().parse(text)));
  for (let count = 0; ; count++) {
    const document = nextDocument(documents, lines);
    if (document === null) break;
    if (count === limits.maxDocuments) {
      const position = lines.position(document.range[0]);
      throw new DocumentError(
        position,
        `there are more than ${limits.maxDocuments} documents`,
        'split the file',
      );
    }
    refuseErrors(document.errors, lines);
    yield readDocument(document, lines, limits, onDuplicateKey);
  }
  refuseErrors(composer.streamInfo().errors, lines);
}

/** A text that is no YAML at all is one error per character; the first is enough. */
function* untilError(tokens: Iterable<CST.Token>): Generator<CST.Token, void> {
  for (const token of tokens) {
    yield token;
    if (token.type === 'error') return;
  }
}

function nextDocument(documents: Generator<Document.Parsed, void>, lines: LineIndex): Document.Parsed | null {
  try {
    const { value, done } = documents.next();
    return done === true ? null : value;
  } catch (error) {
    // The library recurses; what is left of its stack says nothing about the place.
    const message =
      error instanceof RangeError ? 'it is nested too deeply' : `it cannot be read as YAML: ${String(error)}`;
    throw new DocumentError(lines.position(0), printable(message), 'simplify the file');
  }
}

function refuseErrors(
  errors: readonly {
    readonly code: string;
    readonly message: string;
    readonly pos: readonly [number, number];
  }[],
  lines: LineIndex,
): void {
  const [error] = errors;
  if (error === undefined) return;
  const isTooDeep = error.code === 'RESOURCE_EXHAUSTION';
  const message = isTooDeep
    ? 'it is nested too deeply'
    : `not valid YAML: ${lowerFirst(printable(error.message))}`;
  throw new DocumentError(lines.position(error.pos[0]), message, REMEDIES[error.code] ?? 'correct the file');
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function readDocument(
  document: Document.Parsed,
  lines: LineIndex,
  limits: DocumentLimits,
  onDuplicateKey: DuplicateKeyListener | undefined,
): TextDocument {
  return {
    value: new ValueReader(lines, limits, onDuplicateKey).read(document.contents, 0),
    locate: (path) => locate(document, lines, path),
    isCheapToLocate: true,
  };
}

/** What an anchor stands for; null while its own value is still being read. */
type Anchor = { readonly value: unknown; readonly values: number } | null;

class ValueReader {
  private readonly lines: LineIndex;
  private readonly limits: DocumentLimits;
  private readonly anchors = new Map<string, Anchor>();
  private readonly onDuplicateKey: DuplicateKeyListener | undefined;
  private values = 0;

  constructor(lines: LineIndex, limits: DocumentLimits, onDuplicateKey: DuplicateKeyListener | undefined) {
    this.onDuplicateKey = onDuplicateKey;
    this.lines = lines;
    this.limits = limits;
  }

  read(node: unknown, depth: number): unknown {
    if (node === null || node === undefined) return null;
    if (isAlias(node)) return this.readAlias(node.source, node.range?.[0] ?? 0);
    if (!isScalar(node) && !isMap(node) && !isSeq(node))
      throw this.error(0, 'unexpected content', 'correct the file');
    const offset = node.range?.[0] ?? 0;
    const before = this.values;
    this.count(1, offset);
    if (node.anchor !== undefined) this.anchors.set(node.anchor, null);
    let value: unknown;
    if (isScalar(node)) {
      value = node.value;
    } else {
      if (depth >= this.limits.maxDepth)
        throw this.error(
          offset,
          `it is nested deeper than ${this.limits.maxDepth} levels`,
          'simplify the file',
        );
      value = isMap(node) ? this.readMap(node, depth) : node.items.map((item) => this.read(item, depth + 1));
    }
    if (node.anchor !== undefined) this.anchors.set(node.anchor, { value, values: this.values - before });
    return value;
  }

  private readAlias(name: string, offset: number): unknown {
    const anchor = this.anchors.get(name);
    if (anchor === undefined)
      throw this.error(offset, `there is no anchor &${printable(name)} before`, 'define it first');
    if (anchor === null)
      throw this.error(offset, `*${printable(name)} stands inside what it refers to`, 'remove the alias');
    this.count(anchor.values, offset);
    return anchor.value;
  }

  private readMap(node: YAMLMap, depth: number): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    const own = new Set<string>();
    const merged: unknown[] = [];
    for (const { key, value } of node.items) {
      if (isScalar(key) && key.value === '<<' && key.type === 'PLAIN') {
        merged.push(...this.readMerge(value, depth));
        continue;
      }
      const name = this.readKey(key, node);
      if (own.has(name)) {
        const offset = isScalar(key) ? (key.range?.[0] ?? 0) : 0;
        if (this.onDuplicateKey === undefined)
          throw this.error(
            offset,
            `the key ${JSON.stringify(printable(name))} is there twice`,
            'remove one of them',
          );
        this.onDuplicateKey(name, this.lines.position(offset));
      }
      own.add(name);
      define(result, name, this.read(value, depth + 1));
    }
    for (const source of merged) {
      for (const [name, value] of Object.entries(source as object))
        if (!Object.hasOwn(result, name)) define(result, name, value);
    }
    return result;
  }

  private readKey(key: unknown, map: YAMLMap): string {
    // An alias as a key is legal YAML, and nobody means it in a manifest.
    if (!isScalar(key)) throw this.error(map.range?.[0] ?? 0, 'a key is no plain text', 'use names as keys');
    if (key.anchor !== undefined) this.anchors.set(key.anchor, { value: key.value, values: 1 });
    this.count(1, key.range?.[0] ?? 0);
    return typeof key.value === 'string' ? key.value : (key.source ?? '');
  }

  private readMerge(node: unknown, depth: number): object[] {
    const value = this.read(node, depth + 1);
    const sources = Array.isArray(value) ? value : [value];
    for (const source of sources) {
      if (typeof source === 'object' && source !== null && !Array.isArray(source)) continue;
      const offset = isScalar(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0;
      throw this.error(offset, '<< merges something that is no map', 'merge maps only');
    }
    // Copying members costs as much as repeating them.
    this.count(
      sources.reduce((sum: number, source: object) => sum + Object.keys(source).length, 0),
      0,
    );
    return sources;
  }

  private count(values: number, offset: number): void {
    this.values += values;
    if (this.values > this.limits.maxValues)
      throw this.error(
        offset,
        `there are more than ${this.limits.maxValues} values`,
        'split the file; use fewer aliases',
      );
  }

  private error(offset: number, message: string, remedy: string): DocumentError {
    return new DocumentError(this.lines.position(offset), message, remedy);
  }
}

/** Assigning to "__proto__" would set the prototype; defining it makes a member. */
function define(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__')
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  else target[name] = value;
}

function locate(document: Document.Parsed, lines: LineIndex, path: Path): Position {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? document.range[0];
  for (const part of path) {
    const target: unknown = isAlias(node) ? node.resolve(document) : node;
    if (isMap(target)) {
      // The last one: where keys may be there twice, it counts.
      const pair = target.items.findLast(
        ({ key }) => isScalar(key) && (key.value === part || key.source === part),
      );
      if (pair === undefined) break;
      node = pair.value;
      offset = offsetOf(pair.value) ?? offsetOf(pair.key) ?? offset;
    } else if (isSeq(target) && typeof part === 'number' && part < target.items.length) {
      node = target.items[part];
      offset = offsetOf(node) ?? offset;
    } else {
      break;
    }
  }
  return lines.position(offset);
}

/** Where a node begins; undefined for a value that is not written at all ("port:"). */
function offsetOf(node: unknown): number | undefined {
  if (isScalar(node)) return (node as Scalar).source === '' ? undefined : node.range?.[0];
  return isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined;
}
