// Real certificates and keys, made by openssl, and what is left of them when they are cut, mixed up or grow old.

import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, type Certificates } from '../../test/cluster/certificates.ts';
import { thrownBy } from '../../test/cluster/credential-world.ts';
import { PointsmanError } from '../model/errors.ts';
import { expiryProblem, parseAuthorities, parseClientPair, type PemText } from './client-certificate.ts';

const pem = (text: string, name = '/etc/x.pem'): PemText => ({
  bytes: Buffer.from(text),
  origin: { where: 'kubeconfig /etc/k:1:2: users[name=me].user.client-certificate', context: {} },
  name,
});
// After everything that the tests make.
const NOW_MS = Date.now() + 3_600_000;
const GARBAGE = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

describe.skipIf(probeOpenssl() !== null)('certificates in PEM', () => {
  let made: Certificates;
  beforeAll(() => {
    made = makeCertificates();
  });
  afterAll(() => made.remove());

  it('gives back a pair that belongs together, with its dates', () => {
    const pair = parseClientPair(pem(made.client.certificate), pem(made.client.key));
    expect(new X509Certificate(pair.certificate).subject).toContain('CN=client');
    expect(() => createPrivateKey(pair.key)).not.toThrow();
    expect(pair.notBeforeMs).toBeLessThanOrEqual(NOW_MS);
    expect(pair.notAfterMs).toBeGreaterThan(NOW_MS + 3_000 * 86_400_000);
  });

  it('takes certificate and key out of one file, whatever stands around them, and keeps the chain', () => {
    const all = `a comment\r\n${made.client.key}${made.client.certificate}${made.ca}# end`.replaceAll(
      '\n',
      '\r\n',
    );
    const pair = parseClientPair(pem(all), pem(all));
    expect(pair.certificate.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(pair.certificate).not.toContain('PRIVATE KEY');
    expect(pair.key).not.toContain('CERTIFICATE');
  });

  it('takes the keys that openssl writes in older forms too', () => {
    const sec1 = execFileSync('openssl', ['ec'], {
      input: made.client.key,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    expect(sec1.toString()).toContain('BEGIN EC PRIVATE KEY');
    parseClientPair(pem(made.client.certificate), pem(sec1.toString()));
  });

  it('refuses what is no pair, and says which file is to blame', () => {
    const encrypted = execFileSync('openssl', ['pkey', '-aes128', '-passout', 'pass:secret'], {
      input: made.client.key,
    }).toString();
    const table: readonly (readonly [certificate: string, key: string, message: RegExp])[] = [
      [
        made.client.certificate,
        made.otherClient.key,
        /key\.pem: the key does not belong to the certificate of \/etc\/x\.pem; /,
      ],
      [made.client.key, made.client.key, /x\.pem: there is no certificate in it; /],
      ['', made.client.key, /x\.pem: there is no certificate in it; /],
      [
        made.client.certificate,
        made.client.certificate,
        /key\.pem: there is no private key in it; it holds a certificate; give the key/,
      ],
      [made.client.certificate, '', /key\.pem: there is no private key in it; give a key in PEM/],
      [made.client.certificate, encrypted, /key\.pem: the key is encrypted with a password; decrypt it/],
      [
        made.client.certificate,
        made.client.key.slice(0, 120),
        /key\.pem: it ends before the line -----END PRIVATE KEY-----; /,
      ],
      [
        made.client.certificate,
        '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----',
        /key\.pem: its key cannot be decoded; /,
      ],
      [
        made.client.certificate.slice(0, 200),
        made.client.key,
        /x\.pem: it ends before the line -----END CERTIFICATE-----/,
      ],
      [GARBAGE, made.client.key, /x\.pem: its certificate cannot be decoded; /],
    ];
    for (const [certificate, key, message] of table) {
      const error = thrownBy(() => parseClientPair(pem(certificate), pem(key, '/etc/key.pem')));
      expect(error.message).toMatch(message);
      expect(error.code).toBe('INVALID_KUBECONFIG');
    }
  });

  it('tells the day on which a client certificate expired, or becomes valid', () => {
    const expired = parseClientPair(pem(made.expiredClient.certificate), pem(made.expiredClient.key));
    const problem = expiryProblem(expired, pem(''), NOW_MS);
    expect(problem?.code).toBe('CREDENTIALS_FAILED');
    expect(problem?.message).toContain(
      '/etc/x.pem: the client certificate expired on 2020-02-01T00:00:00Z; ',
    );
    expect(expiryProblem(expired, pem(''), Date.UTC(2020, 0, 15))).toBeNull();
    expect(expiryProblem(expired, pem(''), 0)?.message).toContain(
      'valid from 2020-01-01T00:00:00Z only; set the clock of this machine, which says 1970-01-01T00:00:00Z',
    );
  });

  it('trusts every certificate of a bundle that can be read', () => {
    const bundle = parseAuthorities(pem(`${made.ca}${GARBAGE}${made.otherCa}`), NOW_MS);
    expect(bundle.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    // OpenSSL would stop at what it cannot read, and not trust the rest.
    expect(bundle).not.toContain('AAAA\n');
  });

  it('refuses authorities that are not there, broken off or all expired', () => {
    const old = made.expiredServer.certificate;
    expect(thrownBy(() => parseAuthorities(pem('hello'), NOW_MS)).message).toContain(
      'there is no certificate in it',
    );
    expect(
      thrownBy(() => parseAuthorities(pem(`${made.ca}${made.otherCa.slice(0, 99)}`), NOW_MS)).message,
    ).toContain('it ends before the line -----END CERTIFICATE-----');
    const one = thrownBy(() => parseAuthorities(pem(old), NOW_MS));
    expect(one.message).toContain('the certificate expired on 2020-02-01T00:00:00Z; replace it');
    expect(one.code).toBe('CREDENTIALS_FAILED');
    expect(thrownBy(() => parseAuthorities(pem(old + old), NOW_MS)).message).toContain(
      'all certificates expired, the last on 2020',
    );
    expect(parseAuthorities(pem(old + made.ca), NOW_MS)).toContain('BEGIN');
  });

  it('throws nothing but errors of its own, whatever is cut out of a file, and shows no line of a key', () => {
    const keyLines = made.client.key.split('\n').filter((line) => line.length > 8 && !line.startsWith('-'));
    const all = made.client.certificate + made.client.key;
    fc.assert(
      fc.property(fc.nat(all.length), fc.nat(60), fc.string(), (at, length, filling) => {
        const cut = all.slice(0, at) + filling + all.slice(at + length);
        try {
          parseClientPair(pem(cut), pem(cut));
        } catch (error) {
          expect(error).toBeInstanceOf(PointsmanError);
          for (const line of keyLines) expect((error as Error).message).not.toContain(line);
        }
      }),
      { numRuns: 300 },
    );
  });
});
