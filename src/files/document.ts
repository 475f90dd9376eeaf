// What YAML and JSON texts have in common once read: a plain value, and where in the text each part of it stands. Pure.
// Files are written by people, so every mistake must be told with line and column.

/** A place in a text; both count from 1, columns in UTF-16 units. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The way from the root of a value to a part of it: names of members and indexes of items. */
export type Path = readonly (string | number)[];

/** One document of a text. */
export interface TextDocument {
  /** Plain data as JSON has it: no cycles, no class instances; a member called "__proto__" is an ordinary one. */
  readonly value: unknown;
  /** Where the part at `path` stands; where the nearest part around it stands when there is none. */
  locate(path: Path): Position;
  /** True when `locate` costs next to nothing; false when it may scan the whole of a large text. */
  readonly isCheapToLocate: boolean;
}

/** What one text may hold. */
export interface DocumentLimits {
  readonly maxDocuments: number;
  /** Levels of lists and objects inside one another. */
  readonly maxDepth: number;
  /** Values (scalars, lists, objects) of one document, those that aliases repeat counted each time. */
  readonly maxValues: number;
}

/** Far above what any Kubernetes object needs, far below what hurts. */
export const DEFAULT_DOCUMENT_LIMITS: DocumentLimits = {
  maxDocuments: 50_000,
  maxDepth: 64,
  maxValues: 5_000_000,
};

/** A text that is no YAML or JSON, or more than is allowed. `message` and `remedy` are one line each. */
export class DocumentError extends Error {
  readonly position: Position;
  readonly remedy: string;

  constructor(position: Position, message: string, remedy: string) {
    super(message);
    this.name = 'DocumentError';
    this.position = position;
    this.remedy = remedy;
  }
}

/** "spec.ports[0].port"; names that are no plain words stand in brackets too: "metadata.labels[a.b/c]". */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'string' && /^[A-Za-z_$][A-Za-z0-9_$-]*$/.test(part))
      text += text === '' ? part : `.${part}`;
    else text += `[${typeof part === 'string' ? printable(part) : part}]`;
  }
  return text;
}

/** Text for a message: control characters and what is not ASCII as '?', at most 64 characters. */
export function printable(text: string): string {
  const shown = text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?');
  return text.length > 64 ? `${shown}...` : shown;
}

/** Lines and columns of a text. The first question costs the length of the text, each further one next to nothing. */
export class LineIndex {
  private readonly text: string;
  private starts: number[] | null = null;

  constructor(text: string) {
    this.text = text;
  }

  /** The position of an offset in UTF-16 units; that of the end for an offset beyond it. */
  position(offset: number): Position {
    this.starts ??= lineStarts(this.text);
    const end = Math.min(Math.max(offset, 0), this.text.length);
    let low = 0;
    for (let high = this.starts.length; high - low > 1;) {
      const middle = (low + high) >> 1;
      if ((this.starts[middle] ?? 0) <= end) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: end - (this.starts[low] ?? 0) + 1 };
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let next = text.indexOf('\n'); next !== -1; next = text.indexOf('\n', next + 1)) starts.push(next + 1);
  return starts;
}

/** The bytes of a file as text without its byte order mark. Throws DocumentError when they are no UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    throw new DocumentError({ line: 1, column: 1 }, 'the file is UTF-16', 'save it as UTF-8');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const intact = new TextDecoder('utf-8').decode(bytes);
    const position = new LineIndex(intact).position(intact.indexOf('\ufffd'));
    throw new DocumentError(position, 'the file is not UTF-8 text', 'save it as UTF-8');
  }
}
