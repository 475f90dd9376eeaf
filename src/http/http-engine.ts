// HTTP on connections that others accept: one engine serves many listening sockets on one budget of connections. Guarantees: whatever a
// client sends or does not read, it holds up nobody and costs no more than the limits; an answerer that fails is a 500, never the end.
// The bytes on the wire are those of Go's net/http, which clients of kube-proxy know: order of headers, no Connection header when it stays open.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Timers } from '../daemon/sync-loop.ts';
import { errorLine } from '../model/errors.ts';
import { errorAnswer, type Answer, type Answerer } from './answer.ts';
import { Connections, type ConnectionLimits } from './connections.ts';
import { readBody, statusOfError } from './request-body.ts';

export interface EngineLimits extends ConnectionLimits {
  /** An answer that is larger is a 500. */
  readonly maxAnswerBytes: number;
}

const MAX_HEADER_BYTES = 8192;
/** A body that nobody asked for is read and forgotten up to this size, so that the connection can stay open. */
const MAX_UNREAD_BODY_BYTES = 65_536;

/** See the head of this file. */
export class HttpEngine {
  private readonly server: Server;
  private readonly connections: Connections;
  private readonly answerers = new WeakMap<Socket, Answerer>();
  private readonly maxAnswerBytes: number;

  constructor(limits: EngineLimits, timers: Timers) {
    this.maxAnswerBytes = limits.maxAnswerBytes;
    this.connections = new Connections(limits, timers);
    // It never listens: sockets are given to it. All time limits are those of `connections`.
    this.server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: 0 });
    const onRequest = (incoming: IncomingMessage, response: ServerResponse): void =>
      this.onRequest(incoming, response);
    this.server.on('request', onRequest);
    // Node would ask for every body; only who reads one asks for it.
    this.server.on('checkContinue', onRequest);
  }

  /** Connections that are open. */
  get size(): number {
    return this.connections.size;
  }

  /** Takes over an accepted connection (allowHalfOpen) and answers its requests. */
  serve(socket: Socket, answerer: Answerer): void {
    this.answerers.set(socket, answerer);
    this.connections.add(socket);
    this.server.emit('connection', socket);
  }

  /** Cuts all connections. */
  closeAll(): void {
    this.connections.closeAll();
  }

  private onRequest(incoming: IncomingMessage, response: ServerResponse): void {
    const { socket } = incoming;
    const answerer = this.answerers.get(socket);
    if (answerer === undefined) return;
    this.connections.beginRequest(socket);
    let bytes = 0;
    response.once('close', () => this.connections.endRequest(socket, bytes));
    const send = (answer: Answer): void => {
      const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body;
      if (body.length > this.maxAnswerBytes)
        return send(errorAnswer(500, `the answer would have more than ${this.maxAnswerBytes} bytes`));
      if (socket.destroyed) return undefined;
      if (incoming.method !== 'HEAD') bytes = body.length;
      this.connections.addAnswer(socket, bytes);
      writeAnswer(incoming, response, answer, body);
    };
    try {
      const answer = answerer(askedOf(incoming, response));
      if (answer instanceof Promise) answer.then(send, (error: unknown) => send(failure(error)));
      else send(answer);
    } catch (error) {
      send(failure(error));
    }
  }
}

function failure(error: unknown): Answer {
  return errorAnswer(statusOfError(error), errorLine(error));
}

function writeAnswer(
  incoming: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  body: Uint8Array,
): void {
  const headers = answer.headers.flat();
  headers.push('Date', new Date().toUTCString(), 'Content-Length', String(body.length));
  if (!response.shouldKeepAlive || hasLargeBody(incoming)) {
    response.shouldKeepAlive = false;
    headers.push('Connection', 'close');
  } else {
    response.removeHeader('Connection');
  }
  response.sendDate = false;
  response.writeHead(answer.status, headers);
  response.end(body);
}

/** True when a body follows that is not sure to be small, and has not been read. */
function hasLargeBody(incoming: IncomingMessage): boolean {
  if (incoming.complete) return false;
  const { 'content-length': length, 'transfer-encoding': encoding, expect } = incoming.headers;
  return expect !== undefined || encoding !== undefined || Number(length ?? 0) > MAX_UNREAD_BODY_BYTES;
}

function askedOf(incoming: IncomingMessage, response: ServerResponse): Parameters<Answerer>[0] {
  const { path, query } = splitTarget(incoming.url ?? '/');
  return {
    method: incoming.method ?? 'GET',
    path,
    query: new URLSearchParams(query),
    accept: incoming.headers.accept ?? '',
    readBody: async (maxBytes) => {
      if (incoming.headers.expect !== undefined) response.writeContinue();
      return (await readBody(incoming, maxBytes)).toString('utf8');
    },
  };
}

/** Path and query of what stands after the method: "/path?query", "http://host/path" or "*". A path that cannot be decoded stays as it is. */
function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const relative = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i.test(target)
    ? target.replace(/^[^:]*:\/\/[^/?]*/, '')
    : target;
  const [path = '', ...rest] = relative.split('?');
  const query = rest.join('?');
  try {
    return { path: decodeURIComponent(path) || '/', query };
  } catch {
    return { path, query };
  }
}
