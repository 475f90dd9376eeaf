// The certificates that tests use are what their names say, as seen by Node's own TLS.

import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, type Certificates, type KeyPair } from './certificates.ts';

describe.skipIf(probeOpenssl() !== null)('certificates for tests', () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = makeCertificates();
  });
  afterAll(() => certificates.remove());

  const pairOf = (name: string): KeyPair => certificates[name as keyof Certificates] as KeyPair;
  const isExpired = (name: string): boolean =>
    new X509Certificate(pairOf(name).certificate).validToDate.getTime() < Date.now();

  it.each([
    ['server', 'ca'],
    ['expiredServer', 'ca'],
    ['misnamedServer', 'ca'],
    ['otherServer', 'otherCa'],
    ['client', 'ca'],
    ['expiredClient', 'ca'],
    ['otherClient', 'otherCa'],
  ])('%s is signed by %s and has its key', (name, ca) => {
    const certificate = new X509Certificate(pairOf(name).certificate);
    const authority = new X509Certificate(ca === 'ca' ? certificates.ca : certificates.otherCa);
    const other = new X509Certificate(ca === 'ca' ? certificates.otherCa : certificates.ca);
    expect(certificate.verify(authority.publicKey)).toBe(true);
    expect(certificate.verify(other.publicKey)).toBe(false);
    expect(certificate.ca).toBe(false);
    expect(authority.ca).toBe(true);
    expect(pairOf(name).key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(isExpired(name)).toBe(name.startsWith('expired'));
  });

  it('are in a folder that goes', () => {
    const others = makeCertificates();
    expect(existsSync(`${others.folder}/server.crt`)).toBe(true);
    others.remove();
    expect(existsSync(others.folder)).toBe(false);
  });

  it('of the server bear the names of this machine', () => {
    const certificate = new X509Certificate(certificates.server.certificate);
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(new X509Certificate(certificates.misnamedServer.certificate).checkIP('127.0.0.1')).toBe(undefined);
  });
});
