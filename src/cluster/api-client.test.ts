// Requests over real HTTP and real TLS on 127.0.0.1: what is sent, what comes back, and how everything that goes wrong is told.

import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificates, probeOpenssl, type Certificates } from '../../test/cluster/certificates.ts';
import { closeAfterwards, closeAll, listen } from '../../test/cluster/listening.ts';
import { PointsmanError } from '../model/errors.ts';
import type { ApiAccess, CredentialSource } from './api-access.ts';
import { ApiStatusError } from './api-client-status.ts';
import { ApiClient } from './api-client.ts';
import type { ApiObserver } from './api-observer.ts';

const SECRET = 'Bearer eyJhbGciOiJSUzI1NiJ9.very-secret.token';
const FOREVER = new AbortController().signal;

function access(
  server: string,
  more: Partial<Omit<ApiAccess, 'server' | 'tls'>> & { tls?: Partial<ApiAccess['tls']> } = {},
): ApiAccess {
  return {
    proxy: null,
    authorization: SECRET,
    headers: {},
    ...more,
    server: new URL(server),
    tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null, ...more.tls },
  };
}

class Credentials implements CredentialSource {
  readonly description = 'those of a test';
  current: ApiAccess;
  readonly rejected: ApiAccess[] = [];

  constructor(current: ApiAccess) {
    this.current = current;
  }

  async access(): Promise<ApiAccess> {
    return this.current;
  }

  reject(rejected: ApiAccess): void {
    this.rejected.push(rejected);
  }
}

function clientOf(
  current: ApiAccess,
  observer?: ApiObserver,
): { client: ApiClient; credentials: Credentials } {
  const credentials = new Credentials(current);
  const client = new ApiClient({
    credentials,
    userAgent: 'pointsman/0.1.0',
    ...(observer === undefined ? {} : { observer }),
  });
  closeAfterwards(() => client.close());
  return { client, credentials };
}

async function serve(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(createHttpServer(listener))}`;
}

const LIST = { path: '/api/v1/services', query: { limit: '500' }, acceptsGzip: true };

async function text(client: ApiClient, request = LIST, signal = FOREVER): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of await client.open(request, signal)) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

async function failure(client: ApiClient, request = LIST, signal = FOREVER): Promise<PointsmanError> {
  const error: unknown = await text(client, request, signal).then(
    (answer) => new Error(`it was answered: ${answer}`),
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(PointsmanError);
  const { message, context } = error as PointsmanError;
  expect(message).not.toMatch(/very-secret|\n/);
  expect(JSON.stringify(context)).not.toContain('very-secret');
  return error as PointsmanError;
}

describe('a request', () => {
  test('says who asks for what, with the credentials of the moment', async () => {
    const seen: unknown[] = [];
    const server = await serve(({ url, method, headers }, response) => {
      seen.push({ url, method, headers });
      response.setHeader('content-type', 'application/json').end('{}');
    });
    const headers = { 'Impersonate-User': 'jane', 'Impersonate-Group': ['a', 'b'] };
    const { client } = clientOf(access(`${server}/behind/a/path/`, { headers }));
    const request = {
      ...LIST,
      query: { limit: '500', labelSelector: '!a/b', fieldSelector: 'spec.clusterIP!=None' },
    };
    expect(await text(client, request)).toBe('{}');
    expect(await text(client, { ...LIST, acceptsGzip: false })).toBe('{}');
    expect(seen[0]).toMatchObject({
      method: 'GET',
      url: '/behind/a/path/api/v1/services?limit=500&labelSelector=%21a%2Fb&fieldSelector=spec.clusterIP%21%3DNone',
      headers: {
        host: new URL(server).host,
        accept: 'application/json',
        'accept-encoding': 'gzip',
        'user-agent': 'pointsman/0.1.0',
        authorization: SECRET,
        'impersonate-user': 'jane',
        'impersonate-group': 'a, b',
      },
    });
    expect(seen[1]).toMatchObject({ headers: { 'accept-encoding': 'identity' } });
  });

  test('uses a connection again, until the credentials are others', async () => {
    const ports: unknown[] = [];
    const server = await serve(({ socket }, response) => {
      ports.push(socket.remotePort);
      response.setHeader('content-type', 'application/json').end('{}');
    });
    const { client, credentials } = clientOf(access(server));
    for (let each = 0; each < 3; each++) await text(client);
    credentials.current = access(server, { authorization: null });
    await text(client);
    expect(new Set(ports).size).toBe(2);
    expect(ports.slice(0, 3)).toEqual([ports[0], ports[0], ports[0]]);
  });

  test('that goes on keeps its connection when the credentials change; it goes with its last request', async () => {
    let release = (): void => {};
    let closed = 0;
    const server = await serve((incoming, response) => {
      incoming.socket.once('close', () => closed++);
      response.setHeader('content-type', 'application/json');
      if (incoming.url === '/slow') {
        response.write('{"half":');
        release = () => void response.end('1}');
      } else response.end('{}');
    });
    const { client, credentials } = clientOf(access(server));
    const slow = (await client.open({ ...LIST, path: '/slow', query: {} }, FOREVER))[Symbol.asyncIterator]();
    expect(Buffer.from((await slow.next()).value as Uint8Array).toString()).toBe('{"half":');
    credentials.current = access(server);
    await text(client);
    expect(closed).toBe(0);
    release();
    expect(Buffer.from((await slow.next()).value as Uint8Array).toString()).toBe('1}');
    expect((await slow.next()).done).toBe(true);
    await expect.poll(() => closed).toBe(1);
  });

  test('with a body is sent as JSON', async () => {
    const server = await serve((incoming, response) => {
      const parts: Buffer[] = [];
      incoming.on('data', (part: Buffer) => parts.push(part));
      incoming.on('end', () => {
        response.setHeader('content-type', 'application/json');
        response.end(
          `{"method":"${incoming.method}","type":"${incoming.headers['content-type']}","body":${Buffer.concat(parts).toString()}}`,
        );
      });
    });
    const { client } = clientOf(access(server));
    const answer = await text(client, { ...LIST, method: 'POST', body: { name: 'ä' } } as typeof LIST);
    expect(JSON.parse(answer)).toEqual({ method: 'POST', type: 'application/json', body: { name: 'ä' } });
  });
});

describe('an answer', () => {
  test.each([true, false])('compressed or not (%s) is the same, whatever was asked for', async (isGzip) => {
    const body = JSON.stringify({ items: Array.from({ length: 50_000 }, (_, index) => index) });
    const server = await serve((_incoming, response) => {
      response.setHeader('content-type', 'application/json');
      if (isGzip) response.setHeader('content-encoding', 'gzip').end(gzipSync(body));
      else response.end(body);
    });
    const { client } = clientOf(access(server));
    expect(await text(client)).toBe(body);
    expect(await text(client, { ...LIST, acceptsGzip: false })).toBe(body);
  });

  test.each([
    [
      'cut',
      (response: Parameters<RequestListener>[1]) => response.write('{"items":[', () => response.destroy()),
      'API_UNREACHABLE',
      /the connection was cut/,
    ],
    [
      'no gzip',
      (response: Parameters<RequestListener>[1]) =>
        response.setHeader('content-encoding', 'gzip').end('{"items":[]}'),
      'API_PROTOCOL',
      /no valid gzip/,
    ],
    [
      'half of a gzip',
      (response: Parameters<RequestListener>[1]) =>
        response.setHeader('content-encoding', 'gzip').end(gzipSync('{"items":[]}').subarray(0, 20)),
      'API_PROTOCOL',
      /no valid gzip/,
    ],
    [
      'gzip that is cut',
      (response: Parameters<RequestListener>[1]) =>
        response
          .setHeader('content-encoding', 'gzip')
          .write(gzipSync('{"items":[]}').subarray(0, 20), () => response.destroy()),
      'API_UNREACHABLE',
      /the connection was cut/,
    ],
    [
      'a page in HTML',
      (response: Parameters<RequestListener>[1]) =>
        response.setHeader('content-type', 'text/html').end('<html>'),
      'API_PROTOCOL',
      /not answered with JSON/,
    ],
  ])('that is wrong is told: %s', async (_name, answer, code, message) => {
    const server = await serve((_incoming, response) => {
      response.setHeader('content-type', 'application/json');
      answer(response);
    });
    const error = await failure(clientOf(access(server)).client);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test('ends soon when it is given up, read or not', async () => {
    const server = await serve(
      (_incoming, response) => void response.setHeader('content-type', 'application/json').write('{'),
    );
    const { client } = clientOf(access(server));
    const controller = new AbortController();
    const unread = await client.open(LIST, controller.signal);
    const reading = text(client, LIST, controller.signal);
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await expect(unread[Symbol.asyncIterator]().next()).rejects.toThrow('enough');
    await expect(client.open(LIST, controller.signal)).rejects.toThrow('enough');
  });
});

describe('a refusal', () => {
  const status = (code: number, more: object): string =>
    JSON.stringify({ kind: 'Status', status: 'Failure', code, ...more });

  test('is told in the words of the server, without control characters and secrets', async () => {
    const said = `services is forbidden: User "x" with ${SECRET.slice(7)} cannot\nlist \u001b[31m${'y'.repeat(1000)}`;
    const server = await serve((_incoming, response) => {
      response
        .writeHead(403, { 'content-type': 'application/json' })
        .end(status(403, { reason: 'Forbidden', message: said }));
    });
    const { client, credentials } = clientOf(access(server));
    const error = await failure(client);
    expect(error.code).toBe('API_REFUSED');
    expect(error.message).toContain(
      `GET /api/v1/services of the API server ${server} was refused: 403 Forbidden: services is forbidden: User "x" with (secret) cannot list `,
    );
    expect(error.message).toMatch(/system:node-proxier/);
    expect(error.message.length).toBeLessThan(700);
    expect(credentials.rejected).toEqual([]);
  });

  test.each([
    ['gone', 410, { reason: 'Expired' }, { isExpired: true, isTooLargeVersion: false }],
    [
      'a version that is not there',
      504,
      { message: 'Timeout: Too large resource version: 9, current: 5' },
      { isExpired: false, isTooLargeVersion: true },
    ],
    [
      'the same by its cause',
      504,
      { details: { causes: [{ reason: 'ResourceVersionTooLarge' }], retryAfterSeconds: 1 } },
      { isTooLargeVersion: true, retryAfterMs: 1000 },
    ],
    ['too many', 429, { reason: 'TooManyRequests' }, { retryAfterMs: 7000 }],
  ])('says what it means: %s', async (_name, code, more, expected) => {
    const server = await serve((_incoming, response) => {
      const headers = code === 429 ? { 'retry-after': '7' } : {};
      response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(status(code, more));
    });
    const error = await failure(clientOf(access(server)).client);
    expect(error).toBeInstanceOf(ApiStatusError);
    expect(error).toMatchObject({ status: code, ...expected });
  });

  test('without a Status, an endless one and a redirect are refusals as well', async () => {
    const server = await serve(({ url }, response) => {
      if (url?.startsWith('/html')) response.writeHead(503).end('<html>busy</html>');
      else if (url?.startsWith('/redirect'))
        response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
      else response.writeHead(500).write('x'.repeat(100_000));
    });
    const { client } = clientOf(access(server));
    expect(await failure(client, { ...LIST, path: '/html' })).toMatchObject({
      status: 503,
      code: 'API_REFUSED',
    });
    expect((await failure(client, { ...LIST, path: '/redirect' })).message).toMatch(
      /302.*redirects are not followed/,
    );
    expect(await failure(client, { ...LIST, path: '/endless' })).toMatchObject({ status: 500 });
  });

  test('for want of authentication makes the credentials be read again', async () => {
    const server = await serve((_incoming, response) => void response.writeHead(401).end());
    const { client, credentials } = clientOf(access(server));
    expect((await failure(client)).message).toMatch(/401; are the credentials still valid/);
    expect(credentials.rejected).toEqual([credentials.current]);
  });
});

describe('a server that cannot be reached', () => {
  test('because nothing listens', async () => {
    const port = await listen(createTcpServer());
    closeAll();
    const error = await failure(clientOf(access(`http://127.0.0.1:${port}`)).client);
    expect(error.message).toBe(
      `cannot reach the API server http://127.0.0.1:${port}: nothing listens there (connection refused); is it running, and the port right?`,
    );
  });

  test('because its name is none', async () => {
    const error = await failure(clientOf(access('http://nowhere.invalid:6443')).client);
    expect(error.message).toMatch(/nowhere\.invalid:6443: its name (?:has no address|cannot be resolved)/);
  });

  test('because something else answers', async () => {
    const port = await listen(createTcpServer((socket) => void socket.end('SSH-2.0-OpenSSH_9.6\r\n')));
    expect(await failure(clientOf(access(`http://127.0.0.1:${port}`)).client)).toMatchObject({
      code: 'API_PROTOCOL',
    });
    expect((await failure(clientOf(access(`https://127.0.0.1:${port}`)).client)).message).toMatch(
      /does not speak TLS|connection was cut/,
    );
  });

  test('because the token is none', async () => {
    const server = await serve((_incoming, response) => void response.end());
    const error = await failure(clientOf(access(server, { authorization: 'Bearer a\nvery-secret' })).client);
    expect(error.code).toBe('CREDENTIALS_FAILED');
  });

  test('because it never answers: it is given up when nobody wants it any more, or the client is closed', async () => {
    let connections = 0;
    const port = await listen(createTcpServer(() => connections++));
    const { client } = clientOf(access(`https://127.0.0.1:${port}`));
    const controller = new AbortController();
    const opening = client.open(LIST, controller.signal);
    controller.abort(new Error('enough'));
    await expect(opening).rejects.toThrow('enough');
    const connecting = failure(client);
    await expect.poll(() => connections).toBeGreaterThan(0);
    const early = failure(client);
    client.close();
    await expect(connecting).resolves.toMatchObject({ code: 'API_UNREACHABLE' });
    await expect(early).resolves.toMatchObject({ code: 'API_UNREACHABLE' });
  });
});

describe.skipIf(probeOpenssl() !== null)('TLS', () => {
  let certificates: Certificates;

  beforeAll(() => {
    certificates = makeCertificates();
  });

  afterAll(() => certificates?.remove());

  async function serveTls(pair: { certificate: string; key: string }, more: object = {}): Promise<string> {
    const server = createHttpsServer(
      { cert: pair.certificate, key: pair.key, ...more },
      (incoming, response) => {
        const { CN = 'nobody' } =
          (
            incoming.socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } }
          ).getPeerCertificate().subject ?? {};
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ client: CN }));
      },
    );
    server.on('tlsClientError', () => {});
    return `https://127.0.0.1:${await listen(server)}`;
  }

  test('with the right CA works, by address and by name', async () => {
    const server = await serveTls(certificates.server);
    const tls = { ca: certificates.ca };
    expect(await text(clientOf(access(server, { tls })).client)).toBe('{"client":"nobody"}');
    expect(await text(clientOf(access(server.replace('127.0.0.1', 'localhost'), { tls })).client)).toBe(
      '{"client":"nobody"}',
    );
    const other = await serveTls(certificates.misnamedServer);
    expect(await text(clientOf(access(other, { tls: { ...tls, serverName: 'other.example' } })).client)).toBe(
      '{"client":"nobody"}',
    );
    expect(await text(clientOf(access(other, { tls: { insecureSkipVerify: true } })).client)).toBe(
      '{"client":"nobody"}',
    );
  });

  test('shows the client certificate', async () => {
    const server = await serveTls(certificates.server, { requestCert: true, rejectUnauthorized: false });
    const tls = { ca: certificates.ca, client: certificates.client };
    expect(await text(clientOf(access(server, { tls })).client)).toBe('{"client":"client"}');
  });

  test.each([
    [
      'a wrong CA',
      () => certificates.server,
      () => ({ ca: certificates.otherCa }),
      /not signed by the CA that is trusted/,
    ],
    ['no CA', () => certificates.server, () => ({ ca: null }), /not signed by the CA that is trusted/],
    [
      'an expired certificate',
      () => certificates.expiredServer,
      () => ({ ca: certificates.ca }),
      /certificate has expired; renew it/,
    ],
    [
      'another name',
      () => certificates.misnamedServer,
      () => ({ ca: certificates.ca }),
      /not for this name \(it is for DNS:other\.example\)/,
    ],
    [
      'another tls-server-name',
      () => certificates.server,
      () => ({ ca: certificates.ca, serverName: 'x.example' }),
      /not for this name/,
    ],
  ])(
    'with %s is refused in clear words, and the credentials are read again',
    async (_name, pair, tls, message) => {
      const server = await serveTls(pair());
      const { client, credentials } = clientOf(access(server, { tls: tls() }));
      const error = await failure(client);
      expect(error.code).toBe('API_UNREACHABLE');
      expect(error.message).toMatch(message);
      expect(error.message).toContain(server);
      expect(credentials.rejected).toEqual([credentials.current]);
    },
  );

  test.each([
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['TLS 1.3', { minVersion: 'TLSv1.3' }],
  ])('a server that wants a certificate, or another one, is told of (%s)', async (_name, versions) => {
    const server = await serveTls(certificates.server, {
      requestCert: true,
      rejectUnauthorized: true,
      ca: certificates.ca,
      ...versions,
    });
    for (const pair of [null, certificates.otherClient]) {
      const error = await failure(
        clientOf(access(server, { tls: { ca: certificates.ca, client: pair } })).client,
      );
      expect(error.code).toBe('API_UNREACHABLE');
      expect(error.message).toMatch(/does not take our client certificate|TLS failed|connection was cut/);
    }
  });

  test('with a key that is none is refused before anything is sent', async () => {
    const server = await serveTls(certificates.server);
    const pair = { certificate: certificates.client.certificate, key: certificates.otherClient.key };
    const error = await failure(
      clientOf(access(server, { tls: { ca: certificates.ca, client: pair } })).client,
    );
    expect(error.code).toBe('CREDENTIALS_FAILED');
    expect(error.message).toMatch(/the key that of the certificate/);
  });

  test('to a server that speaks none, and none to one that does', async () => {
    const plain = await serve((_incoming, response) => void response.end('{}'));
    expect((await failure(clientOf(access(plain.replace('http:', 'https:'))).client)).message).toMatch(
      /does not speak TLS/,
    );
    const tls = await serveTls(certificates.server);
    await expect(failure(clientOf(access(tls.replace('https:', 'http:'))).client)).resolves.toMatchObject({
      code: expect.stringMatching(/^API_/),
    });
  });
});

describe('an observer', () => {
  /** What was heard, in order: "201 10 2" for an answer and how large both bodies were. */
  function listener(): { heard: string[]; observer: ApiObserver; over: () => Promise<void> } {
    const heard: string[] = [];
    const observer: ApiObserver = {
      onTurn: () => heard.push('turn'),
      onAnswer: ({ path }, host, status) => heard.push(`${path} ${host.replace(/\d+$/, 'PORT')} ${status}`),
      onEnd: (_request, _host, { requestBytes, responseBytes, durationMs }) =>
        heard.push(`${requestBytes} ${responseBytes} ${durationMs >= 0}`),
    };
    return { heard, observer, over: () => expect.poll(() => heard.length).toBe(2) };
  }
  const path = LIST.path;

  test.each([
    ['gzip', true],
    ['plain', false],
  ])('hears of a request, its answer and how large both were (%s)', async (_, isGzip) => {
    const body = JSON.stringify({ items: Array.from({ length: 20_000 }, (__, index) => index) });
    const server = await serve((_incoming, response) => {
      response.statusCode = 201;
      response.setHeader('content-type', 'application/json');
      if (isGzip) response.setHeader('content-encoding', 'gzip').end(gzipSync(body));
      else response.end(body);
    });
    const { heard, observer, over } = listener();
    const { client } = clientOf(access(server), observer);
    expect(await text(client, { ...LIST, method: 'POST', body: { name: 'ä' } } as typeof LIST)).toBe(body);
    await over();
    expect(heard).toEqual([`${path} 127.0.0.1:PORT 201`, `13 ${body.length} true`]);
  });

  test('hears of a refusal', async () => {
    const server = await serve((_incoming, response) => {
      response.writeHead(403, { 'content-type': 'application/json' }).end('{"reason":"Forbidden"}');
    });
    const { heard, observer, over } = listener();
    await failure(clientOf(access(server), observer).client);
    await over();
    expect(heard).toEqual([`${path} 127.0.0.1:PORT 403`, '0 22 true']);
  });

  test('hears that no answer came', async () => {
    const { heard, observer, over } = listener();
    const port = await listen(createTcpServer((socket) => socket.destroy()));
    await failure(clientOf(access(`http://127.0.0.1:${port}`), observer).client);
    await over();
    expect(heard).toEqual([`${path} 127.0.0.1:PORT null`, '0 0 true']);
  });

  test('hears of the end of an answer that nobody reads on, once', async () => {
    const server = await serve((_incoming, response) => {
      response.setHeader('content-type', 'application/json').write('{"items":[');
    });
    const { heard, observer, over } = listener();
    const { client } = clientOf(access(server), observer);
    for await (const chunk of await client.open(LIST, FOREVER)) {
      expect(chunk.length).toBe(10);
      break;
    }
    await over();
    const controller = new AbortController();
    await client.open(LIST, controller.signal);
    controller.abort(new Error('enough'));
    await expect.poll(() => heard.length).toBe(4);
    expect(heard).toEqual([
      `${path} 127.0.0.1:PORT 200`,
      '0 10 true',
      `${path} 127.0.0.1:PORT 200`,
      '0 0 true',
    ]);
  });
});
