// What clients can do to a server: nothing that others notice. Real sockets, and a clock that moves when it is told to.

import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import { lineLog } from '../../test/line-log.ts';
import { askRaw, bodyOf, RawClient, statusOf } from '../../test/raw-http.ts';
import { PointsmanError } from '../model/errors.ts';
import type { IpAddress } from '../model/ip.ts';
import { textAnswer, type Answerer } from './answer.ts';
import type { EngineLimits } from './http-engine.ts';
import { TcpServer } from './tcp-server.ts';

/** More than the kernel takes off our hands for a client that does not read. */
const LARGE_BYTES = 16 << 20;
const LIMITS: EngineLimits = {
  ...{ maxConnections: 4, requestMs: 10_000, idleMs: 60_000, answerMs: 20_000 },
  ...{ maxPendingBytes: 40 << 20, maxAnswerBytes: 20 << 20 },
};
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const GET_LARGE = 'GET /large HTTP/1.1\r\nHost: a\r\n\r\n';

let timers = new FakeTimers();
let server: TcpServer;
const clients: RawClient[] = [];

let neverAsked = 0;
const answerer: Answerer = async ({ path, method, query, readBody }) => {
  switch (path) {
    case '/large':
      return textAnswer(200, 'x'.repeat(LARGE_BYTES));
    case '/too-large':
      return textAnswer(200, 'x'.repeat(LIMITS.maxAnswerBytes + 1));
    case '/never':
      neverAsked++;
      return new Promise(() => {});
    case '/throws':
      throw new Error('it broke');
    case '/refuses':
      throw new PointsmanError('USAGE', 'write it otherwise');
    case '/body':
      return textAnswer(200, await readBody(8));
    default:
      return textAnswer(200, `${method} ${path} ${query.toString()}`);
  }
};

beforeEach(async () => {
  timers = new FakeTimers();
  neverAsked = 0;
  server = new TcpServer({
    ...{ title: 'Server', address: { address: '127.0.0.1' as IpAddress, port: 0 }, onBindFailure: 'fail' },
    ...{ answerer, limits: LIMITS, log: lineLog().log, timers },
  });
  await server.start();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.end();
  await server.close();
});

function connect(): RawClient {
  const client = new RawClient(server.bound!.port);
  clients.push(client);
  return client;
}

/** A connection that the server knows of. */
async function connected(): Promise<RawClient> {
  const before = server.connections;
  const client = connect();
  while (server.connections === before || client.socket.connecting)
    await new Promise((resolve) => setImmediate(resolve));
  return client;
}

/** Never reads; resolves when its answer has begun to come. */
async function slowReader(): Promise<RawClient> {
  const client = connect();
  client.send(GET_LARGE);
  await client.until(() => client.text !== '');
  client.socket.pause();
  return client;
}

const ask = (target = '/', options: Parameters<typeof askRaw>[2] = {}): Promise<string> =>
  askRaw(server.bound!.port, target, options);

describe('a client that takes its time', () => {
  it('to ask is cut after the time for a request, whether it has begun or not', async () => {
    const [silent, half] = [await connected(), await connected()];
    half.send('GET / HTTP/1.1\r\nHost:');
    await timers.advance(9000);
    expect(server.connections).toBe(2);
    await timers.advance(1000);
    expect(await Promise.all([silent.closed(), half.closed()])).toEqual(['', '']);
    expect(server.connections).toBe(0);
    expect(timers.delaysMs).toEqual([]);
  });

  it('between two requests is cut after the idle time, and each request gives it anew', async () => {
    const client = connect().send(GET);
    await client.answer();
    await timers.advance(59_000);
    client.send(GET);
    await client.answer();
    await timers.advance(59_000);
    expect(server.connections).toBe(1);
    await timers.advance(1000);
    await client.closed();
  });

  it('to read is cut after the time for an answer, and others are answered all the while', async () => {
    const reader = await slowReader();
    expect(statusOf(await ask())).toBe(200);
    await timers.advance(19_000);
    expect(server.connections).toBe(1);
    await timers.advance(1000);
    expect(server.connections).toBe(0);
    reader.socket.resume();
    await reader.closed();
    expect(reader.text.length).toBeLessThan(LARGE_BYTES);
  });

  it('to let an answer be made counts as reading it', async () => {
    const client = connect().send('GET /never HTTP/1.1\r\nHost: a\r\n\r\n');
    while (server.connections === 0) await new Promise((resolve) => setImmediate(resolve));
    await timers.advance(9000);
    expect(server.connections).toBe(1);
    await timers.advance(11_000);
    expect(await client.closed()).toBe('');
  });
});

describe('more connections than there is room for', () => {
  it('cost the one that has waited longest for its client', async () => {
    const idle = connect().send(GET);
    await idle.answer();
    timers.spend(1);
    const silent: RawClient[] = [];
    for (let each = 0; each < 3; each++) silent.push(await connected());
    expect(server.connections).toBe(4);
    timers.spend(1);
    expect(statusOf(await ask())).toBe(200);
    await idle.closed();
    while (server.connections > 3) await new Promise((resolve) => setImmediate(resolve));
    expect(silent.map(({ isClosed }) => isClosed)).toEqual([false, false, false]);
    const more = [connect(), connect(), connect()];
    for (const client of more) client.send(GET);
    for (const client of more) await client.answer();
    expect(await silent[0]!.closed()).toBe('');
  });

  it('are never refused: the newest asks and is answered, however many wait', async () => {
    for (let each = 0; each < 50; each++) {
      connect();
      expect(statusOf(await ask())).toBe(200);
      expect(server.connections).toBeLessThanOrEqual(LIMITS.maxConnections);
    }
  });

  it('cost a slow reader when nobody else waits', async () => {
    const first = await slowReader();
    timers.spend(1);
    for (let each = 0; each < 3; each++) connect().send('GET /never HTTP/1.1\r\nHost: a\r\n\r\n');
    while (neverAsked < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(statusOf(await ask())).toBe(200);
    first.socket.resume();
    await first.closed();
    expect(first.text.length).toBeLessThan(LARGE_BYTES);
  });
});

it('unread answers beyond the limit cost the oldest of their readers', async () => {
  const [first, second] = [await slowReader(), await slowReader()];
  expect(server.connections).toBe(2);
  const third = await slowReader();
  for (const client of [first, second, third]) client.socket.resume();
  await first.closed();
  expect(first.text.length).toBeLessThan(LARGE_BYTES);
  expect(bodyOf(await second.answer())).toHaveLength(LARGE_BYTES);
  expect(bodyOf(await third.answer())).toHaveLength(LARGE_BYTES);
});

it('forgets a client that goes away in the middle of its answer', async () => {
  const client = await slowReader();
  client.end();
  while (server.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(timers.delaysMs).toEqual([]);
});

describe('answers', () => {
  test.each([
    ['a query', '/a?b=1&c=%20', 'GET /a b=1&c=+'],
    ['an encoded path', '/%61%2Fb', 'GET /a/b '],
    ['a path that cannot be decoded', '/%zz', 'GET /%zz '],
    ['a whole URL', 'http://node1:10256/a?b=1', 'GET /a b=1'],
    ['a URL without a path', 'http://node1', 'GET / '],
    ['two slashes', '//healthz', 'GET //healthz '],
    ['two question marks', '/a?b=?', 'GET /a b=%3F'],
  ])('%s', async (_, target, body) => {
    expect(bodyOf(await ask(target))).toBe(body);
  });

  it('HEAD with the head of a GET', async () => {
    const [head, get] = [await ask('/', { method: 'HEAD' }), await ask('/')];
    expect(bodyOf(head)).toBe('');
    expect(head.match(/Content-Length: (\d+)/)?.[1]).toBe(String('HEAD / '.length));
    expect(statusOf(get)).toBe(200);
  });

  it('several requests that were sent at once, in their order', async () => {
    const client = connect().send(['/a', '/b', '/c'].map((path) => GET.replace('/', path)).join(''));
    for (const path of ['/a', '/b', '/c']) expect(bodyOf(await client.answer())).toBe(`GET ${path} `);
  });

  it('a client that wants its connection closed, or speaks HTTP/1.0, with Connection: close', async () => {
    const closing = await connect().send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n').closed();
    expect(closing).toMatch(/\r\nConnection: close\r\n\r\nGET \/ $/);
    expect(await connect().send('GET / HTTP/1.0\r\n\r\n').closed()).toContain('\r\nConnection: close\r\n');
    expect(await ask()).not.toContain('Connection');
  });

  test.each([
    ['an answerer that fails', '/throws', 500, 'it broke\n'],
    ['one that refuses', '/refuses', 400, 'write it otherwise\n'],
    ['an answer that is too large', '/too-large', 500, 'the answer would have more than 20971520 bytes\n'],
  ])('%s with an error, and goes on', async (_, target, status, body) => {
    const answer = await ask(target);
    expect([statusOf(answer), bodyOf(answer)]).toEqual([status, body]);
    expect(statusOf(await ask())).toBe(200);
  });

  test.each([
    ['no HTTP', 'rubbish\r\n\r\n', 400],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['a head that is too large', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['another version', 'GET / HTTP/3.0\r\n\r\n', 400],
  ])('%s with an error and the end of the connection', async (_, text, status) => {
    expect(statusOf(await connect().send(text).closed())).toBe(status);
    expect(statusOf(await ask())).toBe(200);
  });
});

describe('bodies', () => {
  const post = (headers: string, path = '/'): string => `POST ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;

  it('that nobody reads are passed over, and the connection stays open', async () => {
    const client = connect().send(`${post('Content-Length: 5\r\n')}12345${GET}`);
    expect(bodyOf(await client.answer())).toBe('POST / ');
    expect(bodyOf(await client.answer())).toBe('GET / ');
  });

  it.each([
    ['large', 'Content-Length: 100000\r\n'],
    ['of no known length', 'Transfer-Encoding: chunked\r\n'],
    ['not sent yet, because it waits for a 100', 'Content-Length: 5\r\nExpect: 100-continue\r\n'],
  ])('that are %s end the connection after the answer', async (_, headers) => {
    const text = await connect().send(post(headers)).closed();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n\r\nPOST \/ $/);
  });

  it('that are read are asked for, and have a limit', async () => {
    const client = connect().send(post('Content-Length: 5\r\nExpect: 100-continue\r\n', '/body'));
    await client.until(() => client.text.includes('100 Continue'));
    client.text = '';
    expect(bodyOf(await client.send('12345').answer())).toBe('12345');
    const large = await ask('/body', { method: 'PUT', headers: 'Content-Length: 9\r\n', body: '123456789' });
    expect([statusOf(large), bodyOf(large)]).toEqual([413, 'the body is larger than 8 bytes; send less\n']);
  });
});
