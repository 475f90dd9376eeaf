// Where the servers listen, and what becomes of addresses that cannot be had.

import { createServer, type AddressInfo, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, test } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import { endHelpers, HelperProcess } from '../../test/helper-process.ts';
import { lineLog } from '../../test/line-log.ts';
import { askRaw, RawClient, statusOf } from '../../test/raw-http.ts';
import type { SocketAddress } from '../config/config.ts';
import { PointsmanError } from '../model/errors.ts';
import type { IpAddress } from '../model/ip.ts';
import { textAnswer } from './answer.ts';
import { HEALTH_LIMITS } from './health-server.ts';
import { TcpServer } from './tcp-server.ts';

const { log, lines } = lineLog();
const timers = new FakeTimers();
const open: { close(): unknown }[] = [];

afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
  lines.length = 0;
});

const at = (address: string, port = 0): SocketAddress => ({ address: address as IpAddress, port });

function makeServer(address: SocketAddress | null, onBindFailure: 'fail' | 'retry' = 'retry'): TcpServer {
  const server = new TcpServer({
    ...{ title: 'Healthz server', address, onBindFailure },
    ...{ answerer: () => textAnswer(200, 'ok'), limits: HEALTH_LIMITS, log, timers },
  });
  open.push(server);
  return server;
}

/** A port of 127.0.0.1 that somebody else has. */
async function takePort(): Promise<{ readonly port: number; readonly holder: Server }> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  open.push({ close: () => holder.close() });
  return { port: (holder.address() as AddressInfo).port, holder };
}

function canConnect(port: number, host: string): Promise<boolean> {
  const client = new RawClient(port, host);
  return new Promise((resolve) => {
    client.socket.once('connect', () => resolve(true));
    client.socket.once('close', () => resolve(false));
  }).finally(() => client.end()) as Promise<boolean>;
}

/** Lets the server's own promises and its listening go on until it listens. */
async function untilBound(server: TcpServer): Promise<void> {
  while (server.bound === null) await new Promise((resolve) => setImmediate(resolve));
}

describe('listening', () => {
  it.each([
    ['0.0.0.0', true, true],
    ['::', true, true],
    ['127.0.0.1', true, false],
    ['::1', false, true],
  ])('on %s answers on IPv4: %s, on IPv6: %s', async (address, ipv4, ipv6) => {
    const server = makeServer(at(address));
    await server.start();
    const { port } = server.bound!;
    expect(await canConnect(port, '127.0.0.1')).toBe(ipv4);
    expect(await canConnect(port, '::1')).toBe(ipv6);
    if (ipv6) expect(statusOf(await askRaw(port, '/', { host: '::1' }))).toBe(200);
    expect(lines).toEqual([expect.stringContaining('I "Starting healthz server" address=')]);
  });

  it('nowhere when it has no address', async () => {
    const server = makeServer(null, 'fail');
    await server.start();
    expect(server.bound).toBeNull();
    expect(lines).toEqual([]);
  });
});

describe('an address that cannot be had', () => {
  it('is said once, tried again every five seconds, and said when it is there', async () => {
    const { port, holder } = await takePort();
    const server = makeServer(at('127.0.0.1', port));
    await server.start();
    const line = `E "Healthz server failed" err="cannot listen on 127.0.0.1:${port}: EADDRINUSE; another program listens there: stop it or choose another port"`;
    expect(lines).toEqual([line]);
    expect(timers.delaysMs).toContain(5000);
    for (let tries = 0; tries < 3; tries++) {
      while (!timers.delaysMs.includes(5000)) await new Promise((resolve) => setImmediate(resolve));
      await timers.advance(5000);
    }
    expect(server.bound).toBeNull();
    await new Promise((resolve) => holder.close(resolve));
    while (!timers.delaysMs.includes(5000)) await new Promise((resolve) => setImmediate(resolve));
    await timers.advance(5000);
    await untilBound(server);
    expect(statusOf(await askRaw(port, '/'))).toBe(200);
    expect(lines).toEqual([line, `I "Healthz server listens now" address="127.0.0.1:${port}"`]);
  });

  test('is taken although only the other family has it: an unspecified address means both', async () => {
    const { port } = await takePort();
    const server = makeServer(at('::', port), 'fail');
    await expect(server.start()).rejects.toMatchObject({ context: { errno: 'EADDRINUSE' } });
  });

  it('ends the start where the configuration wants that', async () => {
    const { port } = await takePort();
    const error: unknown = await makeServer(at('127.0.0.1', port), 'fail')
      .start()
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PointsmanError);
    expect(error).toMatchObject({
      code: 'LISTEN_FAILED',
      context: { address: '127.0.0.1', port, errno: 'EADDRINUSE' },
    });
    expect(timers.delaysMs).toEqual([]);
  });

  it('of this machine has not: EADDRNOTAVAIL', async () => {
    const server = makeServer(at('192.0.2.1', 10_256), 'fail');
    await expect(server.start()).rejects.toThrow(
      'cannot listen on 192.0.2.1:10256: EADDRNOTAVAIL; this machine does not have the address: choose one that it has',
    );
  });
});

describe('another address while it runs', () => {
  it('frees the old one, cuts its connections and answers on the new one', async () => {
    const server = makeServer(at('127.0.0.1'));
    await server.start();
    const { port } = server.bound!;
    const client = new RawClient(port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.answer();
    await server.rebind(at('::1'));
    expect(await client.closed()).toBe('');
    expect(await canConnect(port, '127.0.0.1')).toBe(false);
    expect(statusOf(await askRaw(server.bound!.port, '/', { host: '::1' }))).toBe(200);
  });

  it('may cover the old one: same port, all addresses', async () => {
    const server = makeServer(at('127.0.0.1'));
    await server.start();
    const { port } = server.bound!;
    await server.rebind(at('0.0.0.0', port));
    expect(await canConnect(port, '::1')).toBe(true);
  });

  it('that is the same leaves connections alone', async () => {
    const server = makeServer(at('127.0.0.1'));
    await server.start();
    const client = new RawClient(server.bound!.port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.answer();
    await server.rebind(at('127.0.0.1'));
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statusOf(await client.answer())).toBe(200);
    client.end();
  });

  it('that is taken is tried again, also where a start would fail; none ends the tries', async () => {
    const { port } = await takePort();
    const server = makeServer(at('127.0.0.1'), 'fail');
    await server.start();
    await server.rebind(at('127.0.0.1', port));
    expect(server.bound).toBeNull();
    expect(timers.delaysMs).toContain(5000);
    await server.rebind(null);
    expect(timers.delaysMs).toEqual([]);
  });

  it.each([1, 2, 5])('%d times at once ends at the last', async (times) => {
    const server = makeServer(at('127.0.0.1'));
    const moves = [server.start()];
    for (let move = 0; move < times; move++)
      moves.push(server.rebind(move % 2 === 0 ? at('::1') : at('127.0.0.1')));
    await Promise.all(moves);
    expect(server.bound?.address).toBe(times % 2 === 1 ? '::1' : '127.0.0.1');
  });
});

test('a closed server has no port, no connection and no timer, also when it was closed while it tried', async () => {
  const server = makeServer(at('127.0.0.1'));
  await server.start();
  const { port } = server.bound!;
  const client = new RawClient(port);
  await client.until(() => server.connections === 1);
  await server.close();
  await client.closed();
  expect(await canConnect(port, '127.0.0.1')).toBe(false);
  const { port: taken } = await takePort();
  const waiting = makeServer(at('127.0.0.1', taken));
  await waiting.start();
  await waiting.close();
  expect(timers.delaysMs).toEqual([]);
});

test('a process without free descriptors turns clients away, lives, and answers when it has some again', async () => {
  const program = fileURLToPath(new URL('../../test/few-descriptors-program.ts', import.meta.url));
  const helper = new HelperProcess('sh', ['-c', 'ulimit -n 64; exec "$0" "$1"', process.execPath, program]);
  try {
    await helper.until(/port \d+;/);
    const port = Number(/port (\d+);/.exec(helper.stdout)?.[1]);
    const clients = Array.from({ length: 100 }, () => new RawClient(port));
    await Promise.race(clients.map((client) => client.closed()));
    for (const client of clients) client.end();
    let answer = '';
    while (answer === '') answer = await askRaw(port, '/').catch(() => '');
    expect(statusOf(answer)).toBe(200);
    expect(await helper.finish()).toBe(0);
  } finally {
    await endHelpers();
  }
});
