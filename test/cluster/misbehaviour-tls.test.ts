// API servers that do not believe an ApiSource, or that it must not believe: it waits, says why, and goes on by itself when that is mended.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { closeWorlds, openWorld as start } from './api-world.ts';
import { makeCertificates, probeOpenssl, serverTls, type Certificates } from './certificates.ts';
import type { Fault } from './faults.ts';

afterEach(closeWorlds);

describe('credentials', () => {
  it('that are refused are read again, and used when they are good', async () => {
    const api = await start({
      server: { tokens: ['new'] },
      access: { authorization: 'Bearer old' },
    });
    await api.server.until(() => api.access.rejected >= 3);
    api.access.current = { ...api.access.current, authorization: 'Bearer new' };
    await api.source.complete();
    await api.untilFollowing();
    expect(JSON.stringify(api.source.status)).not.toContain('Bearer');
  });

  it('of which the server thinks otherwise later', async () => {
    const api = await start({ server: { tokens: ['old'] }, access: { authorization: 'Bearer old' } });
    await api.source.complete();
    await api.untilEqual();
    api.server.tokens.clear();
    api.server.tokens.add('new');
    api.server.cutAll();
    await api.server.until(() => api.access.rejected >= 3);
    api.access.current = { ...api.access.current, authorization: 'Bearer new' };
    await api.untilFollowing();
    expect([...api.deleted]).not.toContain('Service team-5/web-5');
  });
});

describe.skipIf(probeOpenssl() !== null)('TLS', () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = makeCertificates();
  });
  afterAll(() => certificates.remove());
  const tls = (overrides: object = {}): { tls: never } => ({
    tls: {
      ca: certificates.ca,
      serverName: null,
      insecureSkipVerify: false,
      client: null,
      ...overrides,
    } as never,
  });

  it.each<[string, Fault]>([
    ['cut in the header', { kind: 'cut', manner: 'FIN', at: 'headers' }],
    ['torn in the body', { kind: 'cut', manner: 'RST', at: { bytes: 345 } }],
    ['half an answer', { kind: 'stall', at: { bytes: 234 } }],
    ['in pieces', { kind: 'split', bytes: 11 }],
  ])('%s', async (_name, fault) => {
    const api = await start({
      factor: fault.kind === 'stall' ? 100 : 40,
      server: { tls: serverTls(certificates) },
      access: tls(),
      prepare: (server) => void server.misbehave({ times: 3 }, fault),
    });
    await api.source.complete();
    await api.untilFollowing();
    api.server.cutAll();
    await api.untilFollowing();
    expect(api.lostSteady()).toEqual([]);
  });

  it.each(['expiredServer', 'misnamedServer', 'otherServer'] as const)(
    'a server with the certificate %s is not believed until it is mended',
    async (name) => {
      const api = await start({
        server: { tls: serverTls(certificates, { pair: certificates[name] }) },
        access: tls(),
      });
      await api.server.until(() => api.source.status.Service.backoffs >= 2);
      expect(api.facts.size).toBe(0);
      expect(api.source.status.Service.lastError).not.toBe('');
      api.server.replaceTls(serverTls(certificates));
      await api.source.complete();
      await api.untilFollowing();
    },
  );

  it('a client certificate that expired is refused, until there is a new one', async () => {
    const { client, expiredClient } = certificates;
    const api = await start({
      server: { tls: serverTls(certificates, { believesClients: true }) },
      access: tls({ client: expiredClient }),
    });
    await api.server.until(() => api.access.rejected >= 2);
    api.access.current = { ...api.access.current, ...tls({ client }) };
    await api.source.complete();
    await api.untilFollowing();
  });
});
