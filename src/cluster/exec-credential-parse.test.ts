// What plugins write, good and bad; nothing of it may come back in a message.

import { describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl } from '../../test/cluster/certificates.ts';
import { execCredential, execEntry, thrownBy } from '../../test/cluster/credential-world.ts';
import { parseExecCredential } from './exec-credential-parse.ts';
import type { ExecEntry } from './kubeconfig-user.ts';

const V1 = 'client.authentication.k8s.io/v1';

describe('the output of a plugin', () => {
  const NOW_MS = Date.UTC(2026, 0, 1);
  const parse = (output: string, more: Partial<ExecEntry> = {}): ReturnType<typeof parseExecCredential> =>
    parseExecCredential(Buffer.from(output), execEntry(more), NOW_MS);

  it('is a token, perhaps with a time', () => {
    expect(parse(execCredential({ token: ' abc ' }))).toEqual({
      token: 'abc',
      client: null,
      expiresAtMs: Number.POSITIVE_INFINITY,
    });
    for (const expirationTimestamp of [
      '2026-01-01T01:00:00Z',
      '2026-01-01T02:00:00+01:00',
      '2026-01-01T01:00:00.000000000Z',
    ])
      expect(parse(execCredential({ token: 'abc', expirationTimestamp })).expiresAtMs).toBe(
        NOW_MS + 3_600_000,
      );
    expect(parse(execCredential({ token: 'a' }, `${V1}beta1`), { apiVersion: `${V1}beta1` }).token).toBe('a');
  });

  it.each<[output: string, message: string]>([
    ['', 'it wrote nothing on its standard output; run it by hand'],
    ['please log in', 'its output is no JSON object; run it by hand; it must write an ExecCredential alone'],
    ['{"secret', 'its output is no JSON object; '],
    ['[]', 'its output is no JSON object; '],
    ['{}', 'its output is no ExecCredential; '],
    ['{"kind":1}', 'kind of its output is a number, not a text; '],
    ['{"kind":"Status","status":{}}', 'its output is no ExecCredential; '],
    [
      '{"kind":"ExecCredential"}',
      `it answered in apiVersion (none), not ${V1}; set apiVersion of exec to what the plugin speaks`,
    ],
    [execCredential({ token: 'a' }, `${V1}beta1`), `it answered in apiVersion ${V1}beta1, not ${V1}; `],
    [execCredential({ token: 'a' }, 'secret'), `it answered in apiVersion (unknown), not ${V1}; `],
    [
      `{"kind":"ExecCredential","apiVersion":"${V1}"}`,
      'its output has no status; see whether it wants a login first',
    ],
    [execCredential({}), 'it gave neither token nor client certificate; see whether it wants a login first'],
    [execCredential({ token: 5 }), 'token of its output is a number, not a text; update the plugin'],
    [
      execCredential({ token: 'secret secret' }),
      'in its output the token has blanks, line breaks or characters that no token has; ',
    ],
    [execCredential({ clientCertificateData: 'secret' }), 'it gave a client certificate without key; '],
    [execCredential({ clientKeyData: 'secret' }), 'it gave a client key without certificate; '],
    [
      execCredential({ clientCertificateData: 'secret', clientKeyData: 'secret' }),
      'clientCertificateData of its output: there is no certificate in it; ',
    ],
    [
      execCredential({ token: 'secret', expirationTimestamp: 'soon' }),
      'expirationTimestamp of its output is no time of RFC 3339; ',
    ],
    [
      execCredential({ token: 'secret', expirationTimestamp: '2026-02-30T25:00:00Z' }),
      'expirationTimestamp of its output is no time of RFC 3339; ',
    ],
    [
      execCredential({ token: 'secret', expirationTimestamp: '2025-12-31T23:59:59Z' }),
      'its credential is good until 2025-12-31T23:59:59.000Z only: expired before it was used; see its login, its cache and the clock of this machine (2026-01-01T00:00:00.000Z)',
    ],
  ])('%j is refused', (output, message) => {
    const error = thrownBy(() => parse(output));
    expect(error.message).toContain(message);
    expect(error.code).toBe('CREDENTIALS_FAILED');
    expect(error.message).not.toContain('secret');
  });

  it.skipIf(probeOpenssl() !== null)(
    'may be a client certificate, which is good no longer than it says itself',
    () => {
      const made = makeCertificates();
      try {
        const now = Date.now() + 60_000;
        const status = { clientCertificateData: made.client.certificate, clientKeyData: made.client.key };
        const given = parseExecCredential(Buffer.from(execCredential(status)), execEntry(), now);
        expect(given.token).toBeNull();
        expect(given.client?.certificate).toContain('BEGIN CERTIFICATE');
        expect(given.expiresAtMs).toBe(given.client?.notAfterMs);
        const old = {
          clientCertificateData: made.expiredClient.certificate,
          clientKeyData: made.expiredClient.key,
        };
        const error = thrownBy(() => parseExecCredential(Buffer.from(execCredential(old)), execEntry(), now));
        expect(error.message).toContain(
          'clientCertificateData of its output: the client certificate expired on 2020-02-01T00:00:00Z; ',
        );
        const mixed = { clientCertificateData: made.client.certificate, clientKeyData: made.otherClient.key };
        const mix = thrownBy(() => parseExecCredential(Buffer.from(execCredential(mixed)), execEntry(), now));
        expect(mix).toMatchObject({ code: 'CREDENTIALS_FAILED' });
        expect(mix.message).toContain(
          'clientKeyData of its output: the key does not belong to the certificate of clientCertificateData',
        );
      } finally {
        made.remove();
      }
    },
  );
});
