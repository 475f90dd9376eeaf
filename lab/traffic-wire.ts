// The words between the lab's traffic clients and servers, the same over TCP, UDP and SCTP: a client asks `?SEQ\n` or ends
// with `!\n`, and a server answers one JSON line. A stream server also answers SEQ 0 unasked as soon as it has accepted, so
// that a client need only wait until it can read. No sockets here.

import { StringDecoder } from 'node:string_decoder';
import type { SocketAddress } from './socket-address.ts';

/** No line is longer. */
export const MAX_LINE_BYTES = 512;

/** What a server answers. */
export interface Answer extends SocketAddress {
  /** The server's name. */
  readonly server: string;
  /** The number of the question. */
  readonly seq: number;
}

/** The question with that number, from 0. */
export function encodeQuestion(seq: number): Buffer {
  return Buffer.from(`?${seq}\n`);
}

/** Asks a stream server to close the connection first. */
export const GOODBYE: Buffer = Buffer.from('!\n');

/** The number that a line asks for, 'goodbye', or null for anything else; `line` has no line feed. */
export function parseRequest(line: string): number | 'goodbye' | null {
  if (line === '!') return 'goodbye';
  return /^\?\d{1,9}$/.test(line) ? Number(line.slice(1)) : null;
}

/** An answer with its line feed. */
export function encodeAnswer(answer: Answer): Buffer {
  return Buffer.from(`${JSON.stringify(answer)}\n`);
}

/** Reads a line that a server sent, without its line feed; null when it is not an answer. */
export function parseAnswer(line: string): Answer | null {
  try {
    const value: unknown = JSON.parse(line);
    return isAnswer(value) ? value : null;
  } catch {
    return null;
  }
}

function isAnswer(value: unknown): value is Answer {
  if (typeof value !== 'object' || value === null) return false;
  const { server, address, port, seq }: Partial<Record<keyof Answer, unknown>> = value;
  return (
    typeof server === 'string' &&
    typeof address === 'string' &&
    typeof port === 'number' &&
    typeof seq === 'number'
  );
}

/** Cuts received bytes into lines; what lies after the last line feed waits for more. */
export class LineBuffer {
  // A piece may end inside a character.
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  /** The lines completed by `bytes`; throws when a line grows beyond MAX_LINE_BYTES. */
  push(bytes: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.write(bytes)).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE_BYTES) throw new Error(`A line is longer than ${MAX_LINE_BYTES} bytes`);
    return lines;
  }
}
