// What a TCP server of ours is asked and what it answers, and answers in the shapes that Go's net/http gives them.

/** A request, as far as handlers care. */
export interface Asked {
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The header Accept, '' when there is none. */
  readonly accept: string;
  /** The body as text. Throws USAGE when it ends early, LIMIT_EXCEEDED when it is larger than `maxBytes`. */
  readonly readBody: (maxBytes: number) => Promise<string>;
}

/** Date, Content-Length and Connection are added. A HEAD gets the same without the body. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Text goes out as UTF-8. */
  readonly body: string | Uint8Array;
}

/** Answers everything, whatever is asked: never throws for what a client sent, except PointsmanErrors of readBody. */
export type Answerer = (asked: Asked) => Answer | Promise<Answer>;

const NOSNIFF = ['X-Content-Type-Options', 'nosniff'] as const;

/** Plain text. `nosniff` where Go's handlers say so. */
export function textAnswer(status: number, body: string, { nosniff = false } = {}): Answer {
  const type = ['Content-Type', 'text/plain; charset=utf-8'] as const;
  return { status, headers: nosniff ? [type, NOSNIFF] : [type], body };
}

/** An error as Go's http.Error writes it: one line. */
export function errorAnswer(status: number, line: string): Answer {
  return textAnswer(status, `${line}\n`, { nosniff: true });
}

/** A path that does not exist, as Go's mux answers it. */
export function notFound(): Answer {
  return errorAnswer(404, '404 page not found');
}

/** A body that is JSON already. */
export function jsonAnswer(
  status: number,
  body: string,
  more: readonly (readonly [name: string, value: string])[] = [],
): Answer {
  return { status, headers: [['Content-Type', 'application/json'], NOSNIFF, ...more], body };
}

/** A value as Go's json.Marshal writes it: without blanks, and harmless inside HTML. Keys keep their order. */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
