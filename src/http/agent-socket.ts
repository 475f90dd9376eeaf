// HTTP over a unix socket that only root can open: the way in which our own commands, and readers of metrics, talk to a running agent.
// Guarantees: who connects is known from the kernel and must be root or the agent's own user, whatever the file's mode; what changes
// something is a POST; one small request per connection, its time and size as below; a slow reader never holds up a sync.

import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { Socket } from 'node:net';
import { peerCredentials, type PeerCredentials } from '../kernel/unix-socket.ts';
import { ERROR_CODES, PointsmanError, errorLine, type ErrorCode } from '../model/errors.ts';
import { readJsonBody } from './json-body.ts';
import { statusOfError } from './request-body.ts';

const MAX_HEADER_BYTES = 8192;
const MAX_CONNECTIONS = 16;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 256 << 20;

/** Answered by every agent: tells a live socket from a stale file. */
const PING = '/ping';

/** Answers one path; the value becomes the JSON body. Throws PointsmanError for what the caller did wrong. */
export type JsonRoute = (query: URLSearchParams) => Promise<unknown>;

/** Answers one path in another form than JSON; its errors are JSON all the same. */
export interface TextRoute {
  readonly contentType: string;
  readonly text: (query: URLSearchParams) => Promise<string>;
}

/** Does something: POST, with a JSON body ({} when it is empty) of at most 64 KiB. Answers and throws as JsonRoute does. */
export interface ActionRoute {
  readonly method: 'POST';
  readonly run: (body: unknown, query: URLSearchParams) => Promise<unknown>;
}

export type Route = JsonRoute | TextRoute | ActionRoute;

export interface AgentSocketOptions {
  /** Hears of each connection that is cut because of who makes it; null when the kernel does not say who. */
  readonly onRefused?: (peer: PeerCredentials | null) => void;
}

const JSON_TYPE = 'application/json';

/** A socket that is served. */
export interface AgentSocket {
  /** False when its file is gone or another one is in its place: nobody can reach it any more. */
  isInPlace(): boolean;
  /** Cuts all connections and removes the file, if it is still ours. */
  close(): Promise<void>;
}

/** Listens on `path` (made with its folder, both for root alone; a stale socket file is replaced). */
export async function serveAgentSocket(
  path: string,
  routes: Readonly<Record<string, Route>>,
  { onRefused }: AgentSocketOptions = {},
): Promise<AgentSocket> {
  makeFolder(path);
  await removeStale(path);
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS },
    (incoming, response) => void answerRequest(routes, incoming, response),
  );
  server.on('connection', (socket) => {
    const peer = peerOf(socket);
    if (peer !== null && (peer.uid === 0 || peer.uid === process.geteuid?.())) return;
    socket.destroy();
    onRefused?.(peer);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  // A connection that cannot be accepted (EMFILE) is that client's loss, not the agent's end.
  server.on('error', () => {});
  try {
    chmodSync(path, 0o600);
  } catch (error) {
    // Removed or made read-only in this moment: without that nobody would ever close it.
    server.close();
    throw error;
  }
  const inode = inodeAt(path);
  return {
    isInPlace: () => inodeAt(path) === inode,
    async close() {
      server.closeAllConnections();
      const found = inodeAt(path);
      // Closing removes whatever is at the path.
      if (found !== null && found !== inode) server.unref();
      else await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Node does not tell the descriptor of a socket otherwise. */
function peerOf(socket: Socket): PeerCredentials | null {
  const fd = (socket as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
  return fd < 0 ? null : peerCredentials(fd);
}

async function answerRequest(
  routes: Readonly<Record<string, Route>>,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, contentType: string, text: string): void => {
    response.writeHead(status, { 'content-type': contentType, connection: 'close' });
    response.end(text);
  };
  const answer = (status: number, body: unknown): void => send(status, JSON_TYPE, JSON.stringify(body));
  const target = incoming.url ?? '/';
  const url = URL.parse(target, 'http://agent');
  const pathname = url?.pathname ?? target;
  const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  const isPing = pathname === PING;
  if (url === null || (route === undefined && !isPing))
    return answer(404, { error: `no such path: ${pathname}`, code: 'USAGE' });
  const method = route !== undefined && 'method' in route ? route.method : 'GET';
  if (incoming.method !== method) {
    response.setHeader('allow', method);
    return answer(405, { error: `only ${method} is served at ${pathname}`, code: 'USAGE' });
  }
  try {
    if (route === undefined) answer(200, {});
    else if (typeof route === 'function') answer(200, await route(url.searchParams));
    else if ('method' in route) answer(200, await route.run(await readJsonBody(incoming), url.searchParams));
    else send(200, route.contentType, await route.text(url.searchParams));
  } catch (error) {
    const code = error instanceof PointsmanError ? error.code : undefined;
    answer(statusOfError(error), { error: errorLine(error), code });
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The file is born closed to others: between listen and chmod nobody else may connect.
    const previous = process.umask(0o177);
    server.listen(path, () => resolve());
    process.umask(previous);
  });
}

function makeFolder(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new PointsmanError(
      'USAGE',
      `${path} cannot be made (${errorLine(error)}); give another place with --socket PATH`,
      { path },
      { cause: error },
    );
  }
}

function inodeAt(path: string): number | null {
  return lstatSync(path, { throwIfNoEntry: false })?.ino ?? null;
}

/** Removes the socket that a killed agent left; never a file of another kind, nor a socket behind which somebody listens. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new PointsmanError(
      'USAGE',
      `${path} is no socket; remove it or give another place with --socket PATH`,
      { path },
    );
  if (await isAnswering(path)) {
    throw new PointsmanError(
      'USAGE',
      `another agent answers on ${path}; stop it first, or give this one --socket PATH`,
      { path },
    );
  }
  rmSync(path, { force: true });
}

/** True when somebody listens: an agent that hangs, or one that is older than this one and knows other paths, is there all the same. */
export async function isAnswering(path: string): Promise<boolean> {
  try {
    await askAgent(path, PING);
    return true;
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
    return cause?.code !== 'ECONNREFUSED' && cause?.code !== 'ENOENT';
  }
}

/**
 * Asks a running agent; the parsed JSON body of its answer. With `body` it is a POST. Throws AGENT_UNREACHABLE when none answers, and what
 * the agent refuses with the agent's code.
 */
export function askAgent(path: string, target: string, body?: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST';
    const options = { socketPath: path, path: target, method, timeout: REQUEST_TIMEOUT_MS };
    const outgoing = request(options, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > MAX_ANSWER_BYTES)
          outgoing.destroy(
            new PointsmanError(
              'LIMIT_EXCEEDED',
              `the agent's answer is larger than ${MAX_ANSWER_BYTES} bytes`,
            ),
          );
        else parts.push(part);
      });
      // Ended before its end was sent: 'end' never comes.
      response.on('error', (error) => reject(unreachable(path, error)));
      response.on('end', () => {
        try {
          const answer = JSON.parse(Buffer.concat(parts).toString('utf8')) as {
            readonly error?: string;
            readonly code?: string;
          };
          if (response.statusCode === 200) resolve(answer);
          else reject(refusal(response.statusCode, answer));
        } catch (error) {
          reject(unreachable(path, error));
        }
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`)));
    outgoing.on('error', (error) =>
      reject(error instanceof PointsmanError ? error : unreachable(path, error)),
    );
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function refusal(
  status: number | undefined,
  { error = '', code = '' }: { error?: string; code?: string },
): PointsmanError {
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'AGENT_UNREACHABLE';
  return new PointsmanError(known, `the agent answered ${status}: ${error}`);
}

function unreachable(path: string, error: unknown): PointsmanError {
  return new PointsmanError(
    'AGENT_UNREACHABLE',
    `no agent answers on ${path} (${errorLine(error)}); start it with "pointsman run", as root on this node`,
    { path },
    { cause: error },
  );
}
