// HTTP over a unix socket that only root can open: the way in which our own commands, and readers of metrics, talk to a running agent.
// Limits: one small GET per connection, header time and size as below, and a slow reader never holds up a sync.

import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { dirname } from 'node:path';
import { PointsmanError, errorLine, hasCode } from '../model/errors.ts';

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

export type Route = JsonRoute | TextRoute;

const JSON_TYPE = 'application/json';

/** Listens on `path` (made with its folder, both for root alone; a stale socket file is replaced). */
export async function serveAgentSocket(
  path: string,
  routes: Readonly<Record<string, Route>>,
): Promise<{ close(): Promise<void> }> {
  makeFolder(path);
  await removeStale(path);
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS },
    (incoming, response) => {
      const send = (status: number, contentType: string, text: string): void => {
        response.writeHead(status, { 'content-type': contentType, connection: 'close' });
        response.end(text);
      };
      const answer = (status: number, body: unknown): void => send(status, JSON_TYPE, JSON.stringify(body));
      const target = incoming.url ?? '/';
      const url = URL.parse(target, 'http://agent');
      const pathname = url?.pathname ?? target;
      const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
      if (incoming.method !== 'GET') return answer(405, { error: 'only GET is served here' });
      if (pathname === PING) return answer(200, {});
      if (url === null || route === undefined) return answer(404, { error: `no such path: ${pathname}` });
      const run = async (): Promise<void> => {
        if (typeof route === 'function') answer(200, await route(url.searchParams));
        else send(200, route.contentType, await route.text(url.searchParams));
      };
      run().catch((error: unknown) =>
        answer(hasCode(error, 'USAGE') ? 400 : 500, { error: errorLine(error) }),
      );
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
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

/** An agent that hangs, or one that is older than this one and knows other paths, is there all the same. */
async function isAnswering(path: string): Promise<boolean> {
  try {
    await askAgent(path, PING);
    return true;
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
    return cause?.code !== 'ECONNREFUSED' && cause?.code !== 'ENOENT';
  }
}

/** Asks a running agent; the parsed JSON body. Throws AGENT_UNREACHABLE when none answers. */
export function askAgent(path: string, target: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: path, path: target, timeout: REQUEST_TIMEOUT_MS }, (response) => {
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
          const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as { error?: string };
          if (response.statusCode === 200) resolve(body);
          else
            reject(
              new PointsmanError(
                'AGENT_UNREACHABLE',
                `the agent answered ${response.statusCode}: ${body.error ?? ''}`,
              ),
            );
        } catch (error) {
          reject(unreachable(path, error));
        }
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`)));
    outgoing.on('error', (error) =>
      reject(error instanceof PointsmanError ? error : unreachable(path, error)),
    );
    outgoing.end();
  });
}

function unreachable(path: string, error: unknown): PointsmanError {
  return new PointsmanError(
    'AGENT_UNREACHABLE',
    `no agent answers on ${path} (${errorLine(error)}); start it with "pointsman run", as root on this node`,
    { path },
    { cause: error },
  );
}
