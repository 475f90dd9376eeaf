// Requests to an API server over node:http, with the credentials of the moment. Knows nothing of kinds, lists and watches, limits no rate
// and tries nothing twice: who asks decides that. No error of it holds a secret.

import {
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { pipeline, type Readable } from 'node:stream';
import { constants, createGunzip } from 'node:zlib';
import { PointsmanError } from '../model/errors.ts';
import type { ApiAccess, CredentialSource } from './api-access.ts';
import { connectionError, timeoutError, TlsError } from './api-connection-errors.ts';
import { ConnectionPool, whereIs, type Lease } from './api-connection.ts';
import { ApiStatusError, parseRetryAfter } from './api-client-status.ts';
import type { ApiAnswer, ApiRequest, ApiTransport } from './api-client-transport.ts';
import { Exchange } from './api-exchange.ts';
import type { ApiObserver } from './api-observer.ts';
import { REAL_TIMERS, type ApiTimers } from './api-timers.ts';

export interface ApiClientOptions {
  readonly credentials: CredentialSource;
  /** For the header User-Agent: 'pointsman/1.2.3'. */
  readonly userAgent: string;
  readonly timers?: ApiTimers;
  /** Hears of each request whose credentials could be had. */
  readonly observer?: ApiObserver;
}

/** A server ends what it cannot answer after 60 seconds by itself. */
const HEAD_TIMEOUT_MS = 65_000;
/** A Status is short. */
const MAX_REFUSAL_BYTES = 64 * 1024;
const REFUSAL_TIMEOUT_MS = 10_000;
/** The buffers of decompression: as large as what the network gives. */
const GUNZIP_CHUNK_BYTES = 64 * 1024;

/** See above. */
export class ApiClient implements ApiTransport {
  private readonly credentials: CredentialSource;
  private readonly userAgent: string;
  private readonly timers: ApiTimers;
  private readonly observer: ApiObserver | undefined;
  private readonly pool: ConnectionPool;

  constructor({ credentials, userAgent, timers = REAL_TIMERS, observer }: ApiClientOptions) {
    this.observer = observer;
    this.credentials = credentials;
    this.userAgent = userAgent;
    this.timers = timers;
    this.pool = new ConnectionPool(timers);
  }

  async open(request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    signal.throwIfAborted();
    const access = await this.credentials.access(signal);
    signal.throwIfAborted();
    const lease = this.pool.lease(access);
    const exchange = this.beginExchange(request, access);
    try {
      const answer = await this.send(request, access, lease, signal, exchange);
      exchange.answered(answer.statusCode ?? 0);
      return await this.accept(answer, request, access, signal, exchange);
    } catch (error) {
      if (error instanceof TlsError || (error instanceof ApiStatusError && error.status === 401))
        this.credentials.reject(access);
      exchange.failed();
      throw error;
    }
  }

  private beginExchange(request: ApiRequest, { server }: ApiAccess): Exchange {
    return new Exchange(request, server.host, () => this.timers.now(), this.observer);
  }

  /** Cuts all requests. */
  close(): void {
    this.pool.close();
  }

  /** Resolves with the head of the answer. */
  private send(
    request: ApiRequest,
    access: ApiAccess,
    lease: Lease,
    signal: AbortSignal,
    exchange: Exchange,
  ): Promise<IncomingMessage> {
    const where = whereIs(access);
    return new Promise((resolve, reject) => {
      let outgoing: ClientRequest;
      const body = request.body === undefined ? null : JSON.stringify(request.body);
      exchange.requestBytes = body === null ? 0 : Buffer.byteLength(body);
      try {
        outgoing = httpRequest({
          agent: lease.agent,
          method: request.method ?? 'GET',
          path: pathOf(access, request),
          headers: this.headersOf(access, request, body),
        });
      } catch {
        // Node.js refuses characters in headers and paths; which ones it found is not for a message.
        const message = `no request to ${where} can be made: a header of the credentials holds characters that none may hold; is the token file a token and nothing else?`;
        lease.release();
        reject(new PointsmanError('CREDENTIALS_FAILED', message, { server: where }));
        return;
      }
      let isTimeout = false;
      const timer = this.timers.set(() => {
        isTimeout = true;
        outgoing.destroy();
      }, HEAD_TIMEOUT_MS);
      const onAbort = (): void => {
        outgoing.destroy();
        // While it connects, a request that is destroyed says nothing.
        reject(reasonOf(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const settle = (): void => {
        this.timers.clear(timer);
        signal.removeEventListener('abort', onAbort);
      };
      outgoing.once('response', (answer) => {
        settle();
        resolve(answer);
      });
      // Stays: a request fails after its answer has begun as well, and then the answer says so.
      outgoing.on('error', (error) => {
        settle();
        if (signal.aborted) reject(reasonOf(signal));
        else if (isTimeout) reject(timeoutError(where, `no answer within ${HEAD_TIMEOUT_MS / 1000} s`));
        else reject(connectionError(error, where));
      });
      // Last of all, whatever became of the answer, read or not.
      outgoing.once('close', () => lease.release());
      outgoing.end(body ?? undefined);
    });
  }

  private headersOf(
    access: ApiAccess,
    { acceptsGzip }: ApiRequest,
    body: string | null,
  ): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = {
      ...(access.headers as OutgoingHttpHeaders),
      Host: access.server.host,
      'User-Agent': this.userAgent,
      Accept: 'application/json',
      'Accept-Encoding': acceptsGzip ? 'gzip' : 'identity',
    };
    if (access.authorization !== null) headers['Authorization'] = access.authorization;
    if (body !== null) {
      headers['Content-Type'] = 'application/json';
      headers['Content-Length'] = Buffer.byteLength(body);
    }
    return headers;
  }

  private async accept(
    answer: IncomingMessage,
    request: ApiRequest,
    access: ApiAccess,
    signal: AbortSignal,
    exchange: Exchange,
  ): Promise<ApiAnswer> {
    const status = answer.statusCode ?? 0;
    const what = `${request.method ?? 'GET'} ${request.path} of ${whereIs(access)}`;
    const stream = uncompressed(answer);
    // After its last piece was taken, or once nobody wants more.
    stream.once('close', () => exchange.end());
    if (status < 200 || status >= 300) {
      const body = await this.readRefusal(answer, stream, signal, exchange);
      const secret = access.authorization?.replace(/^\S+\s+/, '') ?? '';
      const retryAfterMs = parseRetryAfter(answer.headers['retry-after']);
      throw new ApiStatusError(what, status, body, { retryAfterMs, secret });
    }
    const type = answer.headers['content-type'] ?? '';
    if (!/\bjson\b/.test(type)) {
      answer.destroy();
      const message = `${what} was not answered with JSON; is that an API server, or a page of something in between?`;
      throw new PointsmanError('API_PROTOCOL', message, { status });
    }
    return bodyOf(answer, stream, whereIs(access), signal, exchange);
  }

  /** The Status of a refusal; undefined when it is none. Never rejects but for `signal`. */
  private async readRefusal(
    answer: IncomingMessage,
    stream: Readable,
    signal: AbortSignal,
    exchange: Exchange,
  ): Promise<unknown> {
    const stop = (): void => void answer.destroy();
    const timer = this.timers.set(stop, REFUSAL_TIMEOUT_MS);
    signal.addEventListener('abort', stop, { once: true });
    const parts: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        parts.push(chunk);
        bytes += chunk.length;
        exchange.responseBytes = bytes;
        if (bytes > MAX_REFUSAL_BYTES) break;
      }
      return JSON.parse(Buffer.concat(parts).toString('utf8'));
    } catch {
      return undefined;
    } finally {
      this.timers.clear(timer);
      signal.removeEventListener('abort', stop);
      signal.throwIfAborted();
    }
  }
}

/** The body. Aborted, it ends whether somebody reads it or not. */
function bodyOf(
  answer: IncomingMessage,
  stream: Readable,
  where: string,
  signal: AbortSignal,
  exchange: Exchange,
): ApiAnswer {
  const stop = (): void => void answer.destroy();
  signal.addEventListener('abort', stop, { once: true });
  answer.once('close', () => signal.removeEventListener('abort', stop));
  // Without a reader its failure must not end the process; the reader hears of it all the same.
  stream.on('error', () => {});
  if (signal.aborted) stop();
  return readBody(answer, stream, where, signal, exchange);
}

async function* readBody(
  answer: IncomingMessage,
  stream: Readable,
  where: string,
  signal: AbortSignal,
  exchange: Exchange,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      exchange.responseBytes += chunk.length;
      yield chunk;
    }
    // A destroyed answer may seem to end.
    signal.throwIfAborted();
  } catch (error) {
    if (signal.aborted) throw reasonOf(signal);
    throw isZlibError(error)
      ? new PointsmanError(
          'API_PROTOCOL',
          `an answer of ${where} is no valid gzip; is something else in between?`,
          {},
        )
      : connectionError(error, where);
  } finally {
    // An answer that was read to its end gives its connection back by itself.
    if (!answer.complete) answer.destroy();
  }
}

function uncompressed(answer: IncomingMessage): Readable {
  if (answer.headers['content-encoding'] !== 'gzip') return answer;
  // Each piece comes out as soon as it came in, so that a compressed watch works as well.
  const gunzip = createGunzip({ chunkSize: GUNZIP_CHUNK_BYTES, flush: constants.Z_SYNC_FLUSH });
  return pipeline(answer, gunzip, () => {});
}

function pathOf({ server }: ApiAccess, { path, query }: ApiRequest): string {
  const text = new URLSearchParams(query).toString();
  return `${server.pathname.replace(/\/$/, '')}${path}${text === '' ? '' : `?${text}`}`;
}

function isZlibError(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && (code.startsWith('Z_') || code === 'ERR_BUFFER_TOO_LARGE');
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}
