import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endHelpers, startProgram } from '../../test/helper-process.ts';
import type { PeerCredentials } from '../kernel/unix-socket.ts';
import { PointsmanError } from '../model/errors.ts';
import { agentRoutes } from './agent-routes.ts';
import { askAgent, serveAgentSocket, type Route } from './agent-socket.ts';
import { MAX_BODY_BYTES } from './json-body.ts';

const CLIENT = new URL('../../test/socket-client.ts', import.meta.url);

let folder = '';
let path = '';
const open: { close(): Promise<void> }[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agent-socket-'));
  path = join(folder, 'run', 'agent.sock');
});
afterEach(async () => {
  await endHelpers();
  for (const server of open.splice(0)) await server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(routes: Record<string, Route> = {}): Promise<void> {
  open.push(await serveAgentSocket(path, routes));
}

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
  readonly contentType: string | undefined;
}

function ask(target: string, method = 'GET', headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, path: target, method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode, text, contentType: response.headers['content-type'] }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

function post(target: string, body: string | Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { socketPath: path, path: target, method: 'POST' };
    const asked = request(options, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode, text, contentType: response.headers['content-type'] }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** What the server answers to raw bytes, until it closes. */
function sendRaw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(path, () => socket.write(bytes));
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

describe('the socket of the agent', () => {
  it('is for its owner alone, as is the folder that it makes', async () => {
    const umask = process.umask(0);
    try {
      await serve();
    } finally {
      process.umask(umask);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o700);
    expect(statSync(path).isSocket()).toBe(true);
  });

  it('answers its routes as JSON, with their query', async () => {
    await serve({ '/echo': async (query) => Object.fromEntries(query) });
    expect(await askAgent(path, '/echo?a=1&b=%20')).toEqual({ a: '1', b: ' ' });
  });

  it('answers in another form where a route says so, and with errors as JSON all the same', async () => {
    await serve({
      '/text': { contentType: 'text/plain; charset=utf-8', text: async (query) => `ä ${query.get('a')}\n` },
      '/wrong': {
        contentType: 'text/plain',
        text: () => Promise.reject(new PointsmanError('USAGE', 'write it otherwise')),
      },
      '/throws': {
        contentType: 'text/plain',
        text: () => {
          throw new Error('at once');
        },
      },
    });
    expect(await ask('/text?a=1')).toEqual({
      status: 200,
      text: 'ä 1\n',
      contentType: 'text/plain; charset=utf-8',
    });
    const json = 'application/json';
    expect(await ask('/wrong')).toEqual({
      status: 400,
      text: '{"error":"write it otherwise","code":"USAGE"}',
      contentType: json,
    });
    expect(await ask('/throws')).toEqual({ status: 500, text: '{"error":"at once"}', contentType: json });
  });

  it('answers a value that cannot be JSON with an error, and goes on', async () => {
    await serve({ '/large': async () => 1n, '/good': async () => ({}) });
    expect(await ask('/large')).toMatchObject({ status: 500, text: expect.stringContaining('BigInt') });
    expect((await ask('/good')).status).toBe(200);
  });

  it.each<[string, string, string, number, RegExp]>([
    ['an unknown path', '/nope', 'GET', 404, /no such path: \/nope/],
    ['a name of Object.prototype', '/constructor', 'GET', 404, /no such path/],
    ['a POST', '/good', 'POST', 405, /only GET/],
    ['a GET of what acts', '/act', 'GET', 405, /only POST/],
    ['a HEAD', '/good', 'HEAD', 405, /^$/],
    ['a POST of an unknown path', '/nope', 'POST', 404, /no such path: \/nope/],
    ['a POST of the sign of life', '/ping', 'POST', 405, /only GET/],
    ['a DELETE', '/good', 'DELETE', 405, /only GET/],
    ['a wrong question', '/wrong', 'GET', 400, /write namespace\/name/],
    ['a failure of ours', '/broken', 'GET', 500, /it broke/],
    ['a route that throws at once', '/throws', 'GET', 500, /at once/],
    ['a target that is no URL', '//', 'GET', 404, /no such path|not/],
  ])('refuses %s', async (_, target, method, status, text) => {
    await serve({
      '/act': { method: 'POST', run: () => Promise.reject(new Error('it ran')) },
      '/good': async () => ({}),
      '/wrong': () => Promise.reject(new PointsmanError('USAGE', 'write namespace/name')),
      '/broken': () => Promise.reject(new Error('it broke')),
      '/throws': () => {
        throw new Error('at once');
      },
    });
    const answer = await ask(target, method);
    expect(answer.status).toBe(status);
    // The answer to HEAD has no body.
    const { error } = JSON.parse(method === 'HEAD' ? '{"error":""}' : answer.text) as { error: string };
    expect(error).toMatch(text);
    expect((await ask('/good')).status).toBe(200);
  });

  it('refuses a header that is too large, and rubbish, and goes on', async () => {
    await serve({ '/good': async () => ({}) });
    await expect(ask('/good', 'GET', { 'x-large': 'x'.repeat(10_000) })).resolves.toMatchObject({
      status: 431,
    });
    expect(await sendRaw('not http\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/);
    expect((await ask('/good')).status).toBe(200);
  });

  it('takes what acts by POST, with its body as JSON and its query', async () => {
    await serve({
      '/act': { method: 'POST', run: async (body, query) => ({ body, query: Object.fromEntries(query) }) },
    });
    expect(await askAgent(path, '/act?a=1', { service: 'a/ä' })).toEqual({
      body: { service: 'a/ä' },
      query: { a: '1' },
    });
    expect(JSON.parse((await post('/act', '')).text)).toEqual({ body: {}, query: {} });
    const largest = `"${'x'.repeat(MAX_BODY_BYTES - 2)}"`;
    expect((await post('/act', largest)).status).toBe(200);
  });

  it.each<[string, string | Uint8Array, number, RegExp]>([
    ['a body that is no JSON', '{"a":', 400, /no JSON.*"code":"USAGE"/],
    ['a body that is no UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 400, /no JSON.*"code":"USAGE"/],
    [
      'a body one byte too large',
      `"${'x'.repeat(MAX_BODY_BYTES - 1)}"`,
      413,
      /larger than 65536 bytes.*LIMIT_EXCEEDED/,
    ],
    ['a body of megabytes', 'x'.repeat(4 << 20), 413, /larger than 65536 bytes/],
    ['what the route refuses', '{"wrong":true}', 400, /name a Service.*"code":"USAGE"/],
    ['a failure of ours', '{"broken":true}', 500, /^\{"error":"it broke"\}$/],
  ])('refuses %s', async (_, body, status, text) => {
    let runs = 0;
    const run = async (value: unknown): Promise<object> => {
      runs++;
      if (Object.hasOwn(value as object, 'wrong')) throw new PointsmanError('USAGE', 'name a Service');
      if (Object.hasOwn(value as object, 'broken')) throw new Error('it broke');
      return {};
    };
    await serve({ '/act': { method: 'POST', run } });
    expect(await post('/act', body)).toMatchObject({ status, text: expect.stringMatching(text) as string });
    expect(runs).toBe(/^\{"(?:wrong|broken)/.test(String(body)) ? 1 : 0);
    expect((await post('/act', '{}')).status).toBe(200);
  });

  it('does nothing for a body that ends early', async () => {
    let runs = 0;
    await serve({ '/act': { method: 'POST', run: async () => ++runs }, '/good': async () => ({}) });
    const closed = new Promise((resolve) => {
      const socket = connect(path, () =>
        socket.write('POST /act HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{', () => socket.destroy()),
      );
      socket.on('close', resolve);
    });
    await closed;
    expect((await ask('/good')).status).toBe(200);
    expect(runs).toBe(0);
  });

  it.skipIf(process.getuid?.() !== 0)('serves root alone, also when the file lets everybody in', async () => {
    const refused: (PeerCredentials | null)[] = [];
    let runs = 0;
    const routes: Record<string, Route> = { '/act': { method: 'POST', run: async () => ++runs } };
    open.push(await serveAgentSocket(path, routes, { onRefused: (peer) => refused.push(peer) }));
    const request = 'POST /act HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n';
    const shut = startProgram(CLIENT, [path, request], 65534);
    await shut.ended;
    expect(shut.stdout).toBe('error EACCES\n');
    for (const opened of [folder, join(folder, 'run'), path]) chmodSync(opened, 0o777);
    const other = startProgram(CLIENT, [path, request], 65534);
    await other.ended;
    // It was connected, and cut without an answer; writing may already have failed.
    expect(other.stdout).toMatch(/^connected\n(?:error (?:EPIPE|ECONNRESET)\n)?closed: \n$/);
    expect(refused).toEqual([{ pid: other.pid, uid: 65534, gid: 65534 }]);
    expect(runs).toBe(0);
    const root = startProgram(CLIENT, [path, request]);
    await root.ended;
    expect(root.stdout).toMatch(/^connected\nclosed: HTTP\/1\.1 200 OK/);
    expect(runs).toBe(1);
  });

  it('refuses a second agent with one line that says what to do, and the first goes on', async () => {
    await serve({ '/good': async () => ({ first: true }) });
    await expect(serve()).rejects.toMatchObject({
      code: 'USAGE',
      message: `another agent answers on ${path}; stop it first, or give this one --socket PATH`,
    });
    expect(await askAgent(path, '/good')).toEqual({ first: true });
  });

  it('replaces the file that a killed agent left', async () => {
    const program = `process.umask(0o077);require('node:fs').mkdirSync(${JSON.stringify(join(folder, 'run'))});require('node:net').createServer().listen(${JSON.stringify(path)},()=>console.log('up'))`;
    const killed = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => killed.stdout.once('data', resolve));
    const ended = new Promise((resolve) => killed.once('exit', resolve));
    killed.kill('SIGKILL');
    await ended;
    expect(existsSync(path)).toBe(true);
    await serve({ '/good': async () => ({ second: true }) });
    expect(await askAgent(path, '/good')).toEqual({ second: true });
  });

  it.each([
    ['is older and does not know the question', 'HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}'],
    ['closes at once', ''],
  ])('leaves the socket of somebody who %s', async (_, answer) => {
    path = join(folder, 'other.sock');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(serve()).rejects.toMatchObject({ code: 'USAGE' });
    expect(existsSync(path)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
  });

  it('does not remove a file that is no socket', async () => {
    path = join(folder, 'important.txt');
    writeFileSync(path, 'text');
    await expect(serve()).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('is no socket') as string,
    });
    expect(statSync(path).isFile()).toBe(true);
  });

  it('knows that its file is gone or another one is in its place, and never removes that', async () => {
    const socket = await serveAgentSocket(path, {});
    expect(socket.isInPlace()).toBe(true);
    rmSync(path);
    expect(socket.isInPlace()).toBe(false);
    writeFileSync(path, 'important');
    expect(socket.isInPlace()).toBe(false);
    await socket.close();
    expect(statSync(path).isFile()).toBe(true);
    rmSync(path);
    const second = await serveAgentSocket(path, {});
    rmSync(path);
    await second.close();
  });

  it('says in one line that it cannot be made', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    path = join(file, 'agent.sock');
    await expect(serve()).rejects.toBeInstanceOf(PointsmanError);
  });

  it('closes also under a client that does not read or say anything, and its file is gone', async () => {
    await serve({ '/large': async () => 'x'.repeat(8 << 20) });
    const idle = connect(path);
    const slow = connect(path, () => slow.write('GET /large HTTP/1.1\r\nhost: a\r\n\r\n'));
    for (const socket of [idle, slow]) socket.on('error', () => {});
    await new Promise((resolve) => slow.once('connect', resolve));
    await new Promise((resolve) => slow.once('readable', resolve));
    await open.pop()?.close();
    expect(existsSync(path)).toBe(false);
    idle.destroy();
    slow.destroy();
  });
});

describe('asking an agent', () => {
  it('that is not there fails with what to do', async () => {
    await expect(askAgent(path, '/status')).rejects.toMatchObject({
      code: 'AGENT_UNREACHABLE',
      message: `no agent answers on ${path} (connect ENOENT ${path}); start it with "pointsman run", as root on this node`,
    });
  });

  it('fails with its reason when it refuses', async () => {
    await serve();
    await expect(askAgent(path, '/nope')).rejects.toMatchObject({
      code: 'USAGE',
      message: 'the agent answered 404: no such path: /nope',
    });
  });

  it('fails with AGENT_UNREACHABLE when it refuses with a code that is not known', async () => {
    path = join(folder, 'other.sock');
    const body = '{"error":"x","code":"toString"}';
    const server = createServer((socket) => {
      socket.once('data', () =>
        socket.end(`HTTP/1.1 500 No\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
      );
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(askAgent(path, '/status')).rejects.toMatchObject({
      code: 'AGENT_UNREACHABLE',
      message: 'the agent answered 500: x',
    });
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    ['closes at once', ''],
    ['does not speak HTTP', 'hello\n'],
    ['answers no JSON', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n<>'],
    ['stops in the middle', 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"a'],
  ])('fails when what is there %s', async (_, answer) => {
    path = join(folder, 'other.sock');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    chmodSync(path, 0o600);
    await expect(askAgent(path, '/status')).rejects.toMatchObject({ code: 'AGENT_UNREACHABLE' });
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('the routes of the agent', () => {
  const routes = agentRoutes({
    drains: () => [],
    endDrains: async () => [],
    status: async (only) =>
      ({ asked: only === undefined ? 'all' : ['a/b', 'a/c'].filter((key) => only(key as never)) }) as never,
    metrics: () => [
      { name: 'pointsman_synced', type: 'gauge', help: 'Synced.', samples: [{ labels: {}, value: 1 }] },
    ],
  });

  it('give the status of all Services or of one', async () => {
    const status = (query: string): Promise<unknown> => routes['/status'](new URLSearchParams(query));
    expect(await status('')).toEqual({ asked: 'all' });
    expect(await status('service=a/b')).toEqual({ asked: ['a/b'] });
    await expect(status('service=b')).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('give the metrics as Prometheus reads them', async () => {
    await serve(routes);
    expect(await ask('/metrics')).toEqual({
      status: 200,
      text: '# HELP pointsman_synced Synced.\n# TYPE pointsman_synced gauge\npointsman_synced 1\n',
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
    });
  });
});
