// What an exec plugin wrote on its standard output, checked: an ExecCredential with a token, a client certificate or both. Nothing of the
// output is ever repeated in a message. Pure. Source: k8s.io/client-go/pkg/apis/clientauthentication/v1, plugin/pkg/client/auth/exec/exec.go.

import { expiryProblem, parseClientPair, type ClientPair } from './client-certificate.ts';
import { kindOf } from './kubeconfig-fields.ts';
import { credentialError, type Origin } from './kubeconfig-problem.ts';
import type { ExecEntry } from './kubeconfig-user.ts';
import { tokenMistake } from './token-file.ts';
import { printable } from '../files/document.ts';
import { PointsmanError } from '../model/errors.ts';

/** Credentials that a plugin gave. */
export interface ExecCredential {
  readonly token: string | null;
  readonly client: ClientPair | null;
  /** Since 1970: that of the credential or of its certificate, whichever comes first; Infinity when neither says. Milliseconds. */
  readonly expiresAtMs: number;
}

/** Checks the output of a plugin. Throws CREDENTIALS_FAILED. `dateMs`: now, to refuse what has expired before it was ever used. */
export function parseExecCredential(output: Uint8Array, exec: ExecEntry, dateMs: number): ExecCredential {
  const { origin } = exec;
  const root = readJson(output, origin);
  const kind = memberText(root, 'kind', origin);
  if (kind !== 'ExecCredential')
    throw fail(origin, 'its output is no ExecCredential', 'see its documentation for use with kubectl');
  const apiVersion = memberText(root, 'apiVersion', origin) ?? '';
  if (apiVersion !== exec.apiVersion)
    throw fail(
      origin,
      `it answered in apiVersion ${shownVersion(apiVersion)}, not ${exec.apiVersion}`,
      'set apiVersion of exec to what the plugin speaks',
    );
  const status = asObject(root['status']);
  if (status === null) throw fail(origin, 'its output has no status', 'see whether it wants a login first');
  const token = memberText(status, 'token', origin)?.trim() ?? null;
  const certificate = memberText(status, 'clientCertificateData', origin);
  const key = memberText(status, 'clientKeyData', origin);
  if (token === null && certificate === null && key === null)
    throw fail(origin, 'it gave neither token nor client certificate', 'see whether it wants a login first');
  if ((certificate === null) !== (key === null))
    throw fail(
      origin,
      `it gave a client ${certificate === null ? 'key without certificate' : 'certificate without key'}`,
      'update the plugin',
    );
  const mistake = token === null ? null : tokenMistake(token);
  if (mistake !== null) throw fail(origin, `in its output ${mistake}`, 'update the plugin');
  const client = certificate === null || key === null ? null : readPair(certificate, key, origin, dateMs);
  const expiresAtMs = readExpiry(status, origin, dateMs);
  return {
    token,
    client,
    expiresAtMs: Math.min(expiresAtMs, client?.notAfterMs ?? Number.POSITIVE_INFINITY),
  };
}

function readPair(certificate: string, key: string, origin: Origin, dateMs: number): ClientPair {
  const texts = {
    certificate: { bytes: Buffer.from(certificate), origin, name: 'clientCertificateData of its output' },
    key: { bytes: Buffer.from(key), origin, name: 'clientKeyData of its output' },
  };
  try {
    const pair = parseClientPair(texts.certificate, texts.key);
    const problem = expiryProblem(pair, texts.certificate, dateMs);
    if (problem !== null) throw problem;
    return pair;
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
    throw new PointsmanError('CREDENTIALS_FAILED', error.message, { ...error.context });
  }
}

/** What lives shorter has expired before it reaches the server. */
const MIN_LIFE_MS = 1_000;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/i;

function readExpiry(status: Readonly<Record<string, unknown>>, origin: Origin, dateMs: number): number {
  const text = memberText(status, 'expirationTimestamp', origin);
  if (text === null) return Number.POSITIVE_INFINITY;
  const atMs = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs))
    throw fail(origin, 'expirationTimestamp of its output is no time of RFC 3339', 'update the plugin');
  if (atMs < dateMs + MIN_LIFE_MS)
    throw fail(
      origin,
      `its credential is good until ${new Date(atMs).toISOString()} only: expired before it was used`,
      `see its login, its cache and the clock of this machine (${new Date(dateMs).toISOString()})`,
    );
  return atMs;
}

function readJson(output: Uint8Array, origin: Origin): Readonly<Record<string, unknown>> {
  const text = Buffer.from(output).toString('utf8').trim();
  if (text === '') throw fail(origin, 'it wrote nothing on its standard output', 'run it by hand');
  try {
    const root = asObject(JSON.parse(text));
    if (root !== null) return root;
  } catch {
    // Its message quotes the text.
  }
  throw fail(origin, 'its output is no JSON object', 'run it by hand; it must write an ExecCredential alone');
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
}

/** null when absent or ''. */
function memberText(object: Readonly<Record<string, unknown>>, name: string, origin: Origin): string | null {
  const value = object[name] ?? null;
  if (value === null || value === '') return null;
  if (typeof value === 'string') return value;
  throw fail(origin, `${name} of its output is ${kindOf(value)}, not a text`, 'update the plugin');
}

/** A version is shown when it looks like one: else it is something that slipped into its place. */
function shownVersion(text: string): string {
  if (text === '') return '(none)';
  return /^[a-z0-9.]{1,64}\/v\d[a-z0-9]{0,10}$/.test(text) ? printable(text) : '(unknown)';
}

function fail(origin: Origin, message: string, remedy: string): PointsmanError {
  return credentialError('CREDENTIALS_FAILED', origin, message, remedy);
}
