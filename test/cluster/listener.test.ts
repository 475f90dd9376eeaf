// How the fake API server takes connections: TLS with certificates that change, clients that it believes or not, away and back on its port.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, serverTls, type Certificates } from './certificates.ts';
import { FakeApiServer, type FakeApiOptions } from './fake-api-server.ts';
import { get, PlainStream } from './plain-client.ts';

const NODES = '/api/v1/nodes';
let server: FakeApiServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

async function start(options: FakeApiOptions = {}): Promise<FakeApiServer> {
  server = await FakeApiServer.start(options);
  return server;
}

describe.skipIf(probeOpenssl() !== null)('TLS', () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = makeCertificates();
  });
  afterAll(() => certificates.remove());

  it('serves who trusts its CA', async () => {
    const { url } = await start({ tls: serverTls(certificates) });
    expect(url).toMatch(/^https:/);
    expect((await get(`${url}${NODES}`, { ca: certificates.ca })).code).toBe(200);
    expect(
      (await get(`${url.replace('127.0.0.1', 'localhost')}${NODES}`, { ca: certificates.ca })).code,
    ).toBe(200);
    expect((await get(`${url}${NODES}`, { ca: certificates.otherCa })).code).toBe(0);
  });

  it('shows other certificates while it runs', async () => {
    const api = await start({ tls: serverTls(certificates) });
    const ask = async (): Promise<string | number | null> => {
      const { code, error } = await get(`${api.url}${NODES}`, { ca: certificates.ca });
      return error ?? code;
    };
    const { expiredServer, misnamedServer, otherServer } = certificates;
    api.replaceTls(serverTls(certificates, { pair: expiredServer }));
    expect(await ask()).toBe('CERT_HAS_EXPIRED');
    api.replaceTls(serverTls(certificates, { pair: misnamedServer }));
    expect(await ask()).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    api.replaceTls(serverTls(certificates, { pair: otherServer }));
    expect(await ask()).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    api.replaceTls(serverTls(certificates));
    expect(await ask()).toBe(200);
  });

  // The real one completes the handshake whatever it is shown, and does not know the user.
  it.each([
    ['client', 200],
    ['expiredClient', 401],
    ['otherClient', 401],
    [null, 401],
  ] as const)('believes %s: %i', async (name, expected) => {
    const { url } = await start({
      tls: serverTls(certificates, { believesClients: true }),
      tokens: ['good'],
    });
    const { certificate: cert, key } =
      name === null ? { certificate: undefined, key: undefined } : certificates[name];
    const own = cert === undefined ? {} : { cert, key };
    expect((await get(`${url}${NODES}`, { ca: certificates.ca, ...own })).code).toBe(expected);
    const headers = { authorization: 'Bearer good' };
    expect((await get(`${url}${NODES}`, { ca: certificates.ca, headers, ...own })).code).toBe(200);
  });

  it.each(['FIN', 'RST'] as const)('is cut by %s like anything else', async (manner) => {
    const api = await start({ tls: serverTls(certificates) });
    for (const at of ['request', 'headers', { bytes: 10 }] as const) {
      api.misbehave({}, { kind: 'cut', manner, at });
      expect((await get(`${api.url}${NODES}`, { ca: certificates.ca })).error).not.toBe(null);
    }
    expect((await get(`${api.url}${NODES}`, { ca: certificates.ca })).code).toBe(200);
  });
});

describe('connections', () => {
  it('are torn, or taken and never answered, and served again', async () => {
    const api = await start();
    api.welcome = 'RST';
    expect((await get(`${api.url}${NODES}`)).error).toBe('ECONNRESET');
    api.welcome = 'stall';
    const stream = new PlainStream(`${api.url}${NODES}`);
    await api.until(() => api.acceptedConnections === 2);
    api.welcome = 'serve';
    expect((await get(`${api.url}${NODES}`)).code).toBe(200);
    expect([stream.isEnded, api.count()]).toEqual([false, 1]);
    stream.close();
    await api.until(() => api.openConnections === 0);
  });

  it('are refused while it is away, and come back on the same port', async () => {
    const api = await start();
    const { url } = api;
    const stream = new PlainStream(`${url}${NODES}?watch=true`);
    await api.until(() => api.watches().length === 1);
    await api.goAway();
    await stream.ended;
    expect([stream.error, api.watches()]).toEqual(['ECONNRESET', []]);
    expect((await get(`${url}${NODES}`)).error).toBe('ECONNREFUSED');
    await api.comeBack();
    expect(api.url).toBe(url);
    expect((await get(`${url}${NODES}`)).code).toBe(200);
  });

  it('are gone when it is closed', async () => {
    const api = await start();
    const streams = [1, 2, 3].map(() => new PlainStream(`${api.url}${NODES}?watch=true`));
    await api.until(() => api.watches().length === 3);
    await api.close();
    await Promise.all(streams.map(({ ended }) => ended));
    expect([api.openConnections, api.watches()]).toEqual([0, []]);
  });
});
