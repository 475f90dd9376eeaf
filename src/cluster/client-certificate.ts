// Checks certificates and keys in PEM before any handshake, because what TLS says afterwards names neither file nor date. Gives back only
// what was understood, so that a text around it cannot confuse OpenSSL. Pure: bytes in, values out. Source: RFC 7468; Go's crypto/tls,
// which takes the first key and every certificate of a text, whatever else is in it.

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { credentialError, type Origin } from './kubeconfig-problem.ts';
import type { PointsmanError } from '../model/errors.ts';

/** A client certificate with its key, checked: they belong together. */
export interface ClientPair {
  /** PEM: the certificate, then those that lead to its issuer. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  /** Since 1970; milliseconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A text in PEM and where it comes from: 'where' names the field, `name` the file (or '' when the field itself holds it). */
export interface PemText {
  readonly bytes: Uint8Array;
  readonly origin: Origin;
  readonly name: string;
}

interface Block {
  readonly label: string;
  readonly text: string;
}

/** Bundles of every public authority have about 150. */
const MAX_CERTIFICATES = 1_000;

/**
 * The certificates that a server may be trusted by, as PEM. As in Go, a block that is no certificate is passed over when others are good;
 * a text that breaks off is being written. Throws INVALID_KUBECONFIG, or CREDENTIALS_FAILED when all of them have expired at `dateMs`.
 */
export function parseAuthorities(pem: PemText, dateMs: number): string {
  const certificates = readCertificates(pem);
  if (certificates.every((certificate) => certificate.validToDate.getTime() < dateMs)) {
    const last = certificates.reduce((a, b) => (b.validToDate > a.validToDate ? b : a));
    const message =
      certificates.length === 1 ? 'the certificate expired' : 'all certificates expired, the last';
    throw fail(
      'CREDENTIALS_FAILED',
      pem,
      `${message} on ${dateText(last.validToDate.getTime())}`,
      'replace it by the authority that the cluster uses now',
    );
  }
  return certificates.map((certificate) => certificate.toString()).join('');
}

/**
 * A certificate and its key. Throws INVALID_KUBECONFIG when one of them cannot be read, or the key belongs to another certificate (as it
 * does for a moment while both are being replaced). Dates are not looked at: that is `expiryProblem`.
 */
export function parseClientPair(certificate: PemText, key: PemText): ClientPair {
  const certificates = readCertificates(certificate);
  const [leaf] = certificates;
  if (leaf === undefined) throw new Error('readCertificates gave none');
  const { keyObject, text } = readKey(key);
  if (!leaf.checkPrivateKey(keyObject))
    throw fail(
      'INVALID_KUBECONFIG',
      key,
      `the key does not belong to the certificate of ${certificate.name === '' ? 'client-certificate-data' : certificate.name}`,
      'give the two that were made together',
    );
  return {
    certificate: certificates.map((each) => each.toString()).join(''),
    key: text,
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
  };
}

/** Why a pair cannot be used at `dateMs`: CREDENTIALS_FAILED with file and date; null: it can. */
export function expiryProblem(
  pair: ClientPair,
  certificate: Pick<PemText, 'origin' | 'name'>,
  dateMs: number,
): PointsmanError | null {
  if (dateMs > pair.notAfterMs)
    return fail(
      'CREDENTIALS_FAILED',
      certificate,
      `the client certificate expired on ${dateText(pair.notAfterMs)}`,
      'renew it; it is read again by itself',
    );
  if (dateMs < pair.notBeforeMs)
    return fail(
      'CREDENTIALS_FAILED',
      certificate,
      `the client certificate is valid from ${dateText(pair.notBeforeMs)} only`,
      `set the clock of this machine, which says ${dateText(dateMs)}, or renew the certificate`,
    );
  return null;
}

/** '2026-11-30T12:00:00Z' */
function dateText(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}

function fail(
  code: 'INVALID_KUBECONFIG' | 'CREDENTIALS_FAILED',
  { origin, name }: Pick<PemText, 'origin' | 'name'>,
  message: string,
  remedy: string,
): PointsmanError {
  return credentialError(code, origin, name === '' ? message : `${name}: ${message}`, remedy);
}

/** At least one. */
function readCertificates(pem: PemText): readonly X509Certificate[] {
  const blocks = readBlocks(pem).filter(({ label }) => label === 'CERTIFICATE');
  if (blocks.length === 0)
    throw fail(
      'INVALID_KUBECONFIG',
      pem,
      'there is no certificate in it',
      'give certificates in PEM (-----BEGIN CERTIFICATE-----)',
    );
  if (blocks.length > MAX_CERTIFICATES)
    throw fail(
      'INVALID_KUBECONFIG',
      pem,
      `there are more than ${MAX_CERTIFICATES} certificates`,
      'give fewer',
    );
  const certificates = blocks.map(({ text }) => certificateOf(text)).filter((each) => each !== null);
  if (certificates.length === 0)
    throw fail('INVALID_KUBECONFIG', pem, 'its certificate cannot be decoded', 'give it as it was issued');
  return certificates;
}

function certificateOf(text: string): X509Certificate | null {
  try {
    return new X509Certificate(text);
  } catch {
    return null;
  }
}

function readKey(pem: PemText): { readonly keyObject: KeyObject; readonly text: string } {
  const blocks = readBlocks(pem);
  const block = blocks.find(({ label }) => label === 'PRIVATE KEY' || label.endsWith(' PRIVATE KEY'));
  if (block === undefined) {
    const remedy = blocks.some(({ label }) => label === 'CERTIFICATE')
      ? 'it holds a certificate; give the key'
      : 'give a key in PEM (-----BEGIN PRIVATE KEY-----)';
    throw fail('INVALID_KUBECONFIG', pem, 'there is no private key in it', remedy);
  }
  if (block.label === 'ENCRYPTED PRIVATE KEY' || block.text.includes('Proc-Type: 4,ENCRYPTED'))
    throw fail(
      'INVALID_KUBECONFIG',
      pem,
      'the key is encrypted with a password',
      'decrypt it (openssl pkey -in KEY -out DECRYPTED)',
    );
  try {
    return { keyObject: createPrivateKey(block.text), text: block.text };
  } catch {
    throw fail('INVALID_KUBECONFIG', pem, 'its key cannot be decoded', 'give it as it was made');
  }
}

/** The blocks of a text; what stands between them is a comment. Throws when the last one has no end. */
function readBlocks(pem: PemText): readonly Block[] {
  const blocks: Block[] = [];
  let open: { readonly label: string; readonly lines: string[] } | null = null;
  for (const line of Buffer.from(pem.bytes).toString('latin1').split(/\r?\n/)) {
    const [, edge, label = ''] = /^-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----[ \t]*$/.exec(line) ?? [];
    if (edge === 'BEGIN') open = { label, lines: [line.trimEnd()] };
    else if (open === null) continue;
    else if (edge === undefined) open.lines.push(line.trimEnd());
    else {
      if (label === open.label) blocks.push({ label, text: [...open.lines, line.trimEnd(), ''].join('\n') });
      open = null;
    }
  }
  if (open !== null)
    throw fail(
      'INVALID_KUBECONFIG',
      pem,
      `it ends before the line -----END ${open.label}-----`,
      'see whether it was written to its end',
    );
  return blocks;
}
