// Plain requests to the fake API server, with node:http(s) and nothing else: what comes is shown as it came.

import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { gunzipSync } from 'node:zlib';

export interface PlainOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A whole answer, or as much of it as came. */
export interface PlainAnswer {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  /** As on the wire. */
  readonly bytes: Buffer;
  /** Unpacked. */
  readonly text: string;
  /** Code of the error that ended it; null: it came to its clean end. */
  readonly error: string | null;
}

/** One request on a connection of its own; never rejects: an error is part of the answer. */
export async function get(url: string, options: PlainOptions = {}): Promise<PlainAnswer> {
  const stream = new PlainStream(url, options);
  await stream.ended;
  return stream.answer();
}

/** JSON of an answer that came whole. */
export async function getJson(url: string, options: PlainOptions = {}): Promise<any> {
  return JSON.parse((await get(url, options)).text);
}

/** An answer while it comes. */
export class PlainStream {
  readonly request: ClientRequest;
  /** Resolves when no more comes, whatever the reason. */
  readonly ended: Promise<void>;
  response: IncomingMessage | null = null;
  error: string | null = null;
  isEnded = false;
  private chunks: Buffer[] = [];

  constructor(url: string, { headers = {}, method = 'GET', ...tls }: PlainOptions = {}) {
    const make = url.startsWith('https:') ? httpsRequest : httpRequest;
    this.request = make(url, { agent: false, method, headers: { ...headers }, ...tls });
    this.ended = new Promise((resolve) => {
      const finish = (error: NodeJS.ErrnoException | null): void => {
        this.error ??= error === null ? null : (error.code ?? error.message);
        this.isEnded = true;
        resolve();
      };
      this.request.once('error', finish);
      this.request.once('response', (response) => {
        this.response = response;
        response.on('data', (chunk: Buffer) => this.chunks.push(chunk));
        response.once('error', finish);
        response.once('end', () => finish(null));
      });
    });
    this.request.end();
  }

  answer(): PlainAnswer {
    const bytes = Buffer.concat(this.chunks);
    const { statusCode = 0, headers = {} } = this.response ?? {};
    const isPacked = headers['content-encoding'] === 'gzip' && this.error === null;
    const text = (isPacked ? gunzipSync(bytes) : bytes).toString();
    return { code: statusCode, headers, bytes, text, error: this.error };
  }

  /** Chunks as they came. */
  get pieces(): readonly Buffer[] {
    return this.chunks;
  }

  /** Events of a watch so far; lines that are not whole are left out. */
  events(): any[] {
    const lines = Buffer.concat(this.chunks).toString().split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as unknown);
  }

  /** Events in short: `ADDED default/web 1001`. */
  seen(): string[] {
    return this.events().map(({ type, object }) => {
      const { namespace, name, resourceVersion } = object.metadata ?? {};
      if (type === 'ERROR') return `ERROR ${object.code} ${object.reason}`;
      if (type === 'BOOKMARK') return `BOOKMARK ${resourceVersion}`;
      return `${type} ${namespace === undefined ? '' : `${namespace}/`}${name} ${resourceVersion}`;
    });
  }

  close(): void {
    this.request.destroy();
  }
}
