// Through real proxies on 127.0.0.1 to a real server: HTTP CONNECT, the same over TLS, and SOCKS 5; and what is told when they refuse.

import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificates, probeOpenssl, type Certificates } from '../../test/cluster/certificates.ts';
import { closeAfterwards, listen } from '../../test/cluster/listening.ts';
import type { ApiAccess } from './api-access.ts';
import { ApiClient } from './api-client.ts';

function join(one: Duplex, port: number, onOpen: () => void): void {
  const other = connect(port, '127.0.0.1', () => {
    onOpen();
    one.pipe(other).pipe(one);
  });
  other.on('error', () => one.destroy());
  one.on('error', () => other.destroy());
}

/** Answers of an HTTP proxy to CONNECT; what it was asked is in `seen`. */
function answerConnect(proxy: Server, seen: unknown[]): void {
  proxy.on('connect', ({ url = '', headers }, socket: Duplex) => {
    seen.push([url, headers['proxy-authorization'], headers.authorization]);
    const host = url.slice(0, url.lastIndexOf(':'));
    if (host === 'refused.example') socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    else if (host === 'who.example') socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    else if (host === 'odd.example') socket.end('220 mail.example ESMTP\r\n\r\n');
    else if (host === 'cut.example') socket.destroy();
    else if (host === 'endless.example') socket.write('HTTP/1.1 200 OK\r\nX: '.padEnd(40_000, 'x'));
    else
      join(socket, Number(url.split(':').at(-1)), () =>
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n'),
      );
  });
}

async function request(server: string, proxy: string, tls: Partial<ApiAccess['tls']> = {}): Promise<string> {
  const access: ApiAccess = {
    server: new URL(server),
    proxy: new URL(proxy),
    tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null, ...tls },
    authorization: 'Bearer very-secret',
    headers: {},
  };
  const credentials = { description: 'those of a test', access: async () => access, reject: () => {} };
  const client = new ApiClient({ credentials, userAgent: 'pointsman/0.1.0' });
  closeAfterwards(() => client.close());
  const parts: Uint8Array[] = [];
  const answer = await client.open(
    { path: '/x', query: {}, acceptsGzip: false },
    new AbortController().signal,
  );
  for await (const chunk of answer) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

describe.skipIf(probeOpenssl() !== null)('proxies', () => {
  let certificates: Certificates;

  beforeAll(() => {
    certificates = makeCertificates();
  });

  afterAll(() => certificates?.remove());

  async function serve(isTls: boolean): Promise<number> {
    const { certificate, key } = certificates.server;
    const answer: Parameters<typeof createHttpServer>[1] = (_incoming, response) => {
      response.setHeader('content-type', 'application/json').end('{"here":1}');
    };
    return listen(isTls ? createHttpsServer({ cert: certificate, key }, answer) : createHttpServer(answer));
  }

  async function serveProxy(isTls: boolean, seen: unknown[] = []): Promise<number> {
    const { certificate, key } = certificates.server;
    const proxy = isTls ? createHttpsServer({ cert: certificate, key }) : createHttpServer();
    answerConnect(proxy, seen);
    return listen(proxy);
  }

  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])(
    'of HTTP lead to the server (proxy over TLS: %s, server over TLS: %s)',
    async (isProxyTls, isServerTls) => {
      const seen: unknown[] = [];
      const [port, proxy] = [await serve(isServerTls), await serveProxy(isProxyTls, seen)];
      const server = `${isServerTls ? 'https' : 'http'}://localhost:${port}`;
      const answer = await request(
        server,
        `${isProxyTls ? 'https' : 'http'}://us%40er:pass@127.0.0.1:${proxy}`,
        {
          ca: certificates.ca,
        },
      );
      expect(answer).toBe('{"here":1}');
      // The token is for the server alone.
      expect(seen).toEqual([
        [`localhost:${port}`, `Basic ${Buffer.from('us@er:pass').toString('base64')}`, undefined],
      ]);
    },
  );

  test('show the certificate of the server to nobody else: it is verified behind them', async () => {
    const [port, proxy] = [await serve(true), await serveProxy(false)];
    const wrong = request(`https://127.0.0.1:${port}`, `http://127.0.0.1:${proxy}`, {
      ca: certificates.otherCa,
    });
    await expect(wrong).rejects.toThrow(/not signed by the CA/);
  });

  test.each([
    [
      'refused.example',
      /the proxy http:\/\/127\.0\.0\.1:\d+ gives no way to the API server: it answered 403; does it let CONNECT/,
    ],
    ['who.example', /it answered 407; it wants a user and password/],
    ['odd.example', /it does not answer in HTTP/],
    [
      'cut.example',
      /cannot reach the API server https:\/\/cut\.example:6443 through the proxy http:.*connection was cut/,
    ],
    ['endless.example', /a proxy says more than \d+ bytes/],
  ])('that do not help are told of: %s', async (host, message) => {
    const proxy = await serveProxy(false);
    const error: unknown = await request(
      `https://${host}:6443`,
      `http://user:very-secret@127.0.0.1:${proxy}`,
    ).catch((cause: unknown) => cause);
    expect(String(error)).toMatch(message);
    expect(String(error)).not.toContain('very-secret');
  });
});

describe('SOCKS 5', () => {
  /** A proxy that takes what comes byte by byte; `reply` is its answer to CONNECT. */
  async function serveSocks(user: string | null, reply = 0, seen: unknown[] = []): Promise<number> {
    return listen(
      createTcpServer((socket) => {
        let kept = Buffer.alloc(0);
        let phase: 'greeting' | 'user' | 'request' | 'open' = 'greeting';
        socket.on('data', (chunk: Buffer) => {
          if (phase === 'open') return;
          kept = Buffer.concat([kept, chunk]);
          if (phase === 'greeting' && kept.length >= 3) {
            const offered = kept[2];
            kept = kept.subarray(3);
            const wanted = user === null ? 0 : 2;
            socket.write(Buffer.from([5, offered === wanted ? wanted : 255]));
            phase = user === null ? 'request' : 'user';
          } else if (phase === 'user' && kept.length > 2) {
            const length = kept[1] ?? 0;
            const name = kept.subarray(2, 2 + length).toString();
            kept = Buffer.alloc(0);
            socket.write(Buffer.from([1, name === user ? 0 : 1]));
            phase = 'request';
          } else if (phase === 'request' && kept.length > 5) {
            const length = kept[4] ?? 0;
            const port = kept.readUInt16BE(5 + length);
            seen.push(`${kept.subarray(5, 5 + length).toString()}:${port}`);
            phase = 'open';
            const answer = [Buffer.from([5, reply, 0, 3, 4]), Buffer.from('here'), Buffer.from([1, 2])];
            if (reply === 0) join(socket, port, () => answer.forEach((part) => socket.write(part)));
            else socket.end(Buffer.concat(answer));
          }
        });
      }),
    );
  }

  async function serve(): Promise<number> {
    return listen(
      createHttpServer((_incoming, response) => {
        response.setHeader('content-type', 'application/json').end('{"here":1}');
      }),
    );
  }

  test.each([
    ['without a user', null, ''],
    ['with one', 'jane', 'jane:secret@'],
  ])('leads to the server by its name, %s', async (_name, user, login) => {
    const seen: unknown[] = [];
    const [port, proxy] = [await serve(), await serveSocks(user, 0, seen)];
    expect(await request(`http://localhost:${port}`, `socks5://${login}127.0.0.1:${proxy}`)).toBe(
      '{"here":1}',
    );
    expect(seen).toEqual([`localhost:${port}`]);
  });

  test.each([
    ['that refuses the user', 'jane', 0, 'joe:very-secret@', /it refuses user and password/],
    ['that wants a user', 'jane', 0, '', /does not take this way of authentication/],
    ['that cannot connect', null, 5, '', /it cannot connect: connection refused/],
    ['with an answer that is none', null, 99, '', /it cannot connect: error 99/],
  ])('%s is told of', async (_name, user, reply, login, message) => {
    const proxy = await serveSocks(user, reply);
    const asked = request('https://api.example:6443', `socks5://${login}127.0.0.1:${proxy}`);
    const error: unknown = await asked.catch((cause: unknown) => cause);
    expect(String(error)).toMatch(message);
    expect(String(error)).not.toContain('very-secret');
  });

  test('that is none is told of', async () => {
    const asked = request('https://api.example:6443', `socks5://127.0.0.1:${await serve()}`);
    await expect(asked).rejects.toThrow(/does not answer in SOCKS 5|connection was cut/);
  });
});
