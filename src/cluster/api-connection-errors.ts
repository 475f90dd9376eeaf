// Why no answer came, in one line with what to do: name resolution, connection, TLS, proxy, time. The texts are ours and hold nothing but
// the address of the server: messages of Node.js and OpenSSL are not passed on.

import { printable } from '../files/document.ts';
import { member } from '../model/fields.ts';
import { PointsmanError } from '../model/errors.ts';

/** An untrusted or expired certificate, or one of ours that the server does not take: reading the credentials anew may help. */
export class TlsError extends PointsmanError {
  constructor(message: string, context: Record<string, unknown>) {
    super('API_UNREACHABLE', message, context);
    this.name = 'TlsError';
  }
}

/** By error code of Node.js: what is wrong, and what to do about it. */
const CONNECTION: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name has no address; check the server address and the DNS of this machine',
  EAI_AGAIN: 'its name cannot be resolved: no DNS server answers; check /etc/resolv.conf of this machine',
  ECONNREFUSED: 'nothing listens there (connection refused); is it running, and the port right?',
  ECONNRESET: 'the connection was cut; is it restarting, or is a load balancer in between?',
  ERR_STREAM_PREMATURE_CLOSE: 'the connection was cut; is it restarting, or is a load balancer in between?',
  EPIPE: 'the connection was cut; is it restarting, or is a load balancer in between?',
  ECONNABORTED: 'the connection was cut; is it restarting, or is a load balancer in between?',
  ETIMEDOUT: 'no answer to the connection; check routes and firewalls between this node and it',
  EHOSTUNREACH: 'no route to it; check the routes of this node',
  ENETUNREACH: 'no route to its network; check the routes of this node',
  EMFILE: 'this process has too many open files; raise its limit (LimitNOFILE)',
};

const TLS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the server's certificate has expired; renew it, or set the clock of this machine",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet; set the clock of this machine",
  CERT_REVOKED: "the server's certificate was revoked; renew it",
  SELF_SIGNED_CERT_IN_CHAIN: wrongCa(),
  DEPTH_ZERO_SELF_SIGNED_CERT: wrongCa(),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: wrongCa(),
  UNABLE_TO_GET_ISSUER_CERT: wrongCa(),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: wrongCa(),
  CERT_SIGNATURE_FAILURE: wrongCa(),
  CERT_UNTRUSTED: wrongCa(),
  INVALID_CA: wrongCa(),
  INVALID_PURPOSE: "the server's certificate is not one for servers; renew it with the usage serverAuth",
  CERT_CHAIN_TOO_LONG: "the server's chain of certificates is too long; shorten it",
};

function wrongCa(): string {
  return "the server's certificate is not signed by the CA that is trusted; check certificate-authority(-data) of the kubeconfig, or ca.crt of the service account";
}

/** An error of a socket, of TLS or of the HTTP parser as an error of ours. `where` names the server, and the proxy if there is one. */
export function connectionError(cause: unknown, where: string): PointsmanError {
  if (cause instanceof PointsmanError) return cause;
  const code = codeOf(cause);
  const context = { server: where, code };
  const tls = tlsText(cause, code);
  if (tls !== null) return new TlsError(`cannot reach ${where}: ${tls}`, context);
  if (code.startsWith('HPE_')) {
    const message = `${where} does not answer in HTTP/1.1; is it an API server, and http or https right?`;
    return new PointsmanError('API_PROTOCOL', message, context);
  }
  const text = CONNECTION[code] ?? `the connection failed (${code === '' ? 'no reason given' : code})`;
  return new PointsmanError('API_UNREACHABLE', `cannot reach ${where}: ${text}`, context);
}

/** Something took too long. `what` says what did not come, and in what time. */
export function timeoutError(where: string, what: string): PointsmanError {
  const message = `cannot reach ${where}: ${what}; check firewalls in between and the load of the server`;
  return new PointsmanError('API_UNREACHABLE', message, { server: where, code: 'TIMEOUT' });
}

function tlsText(cause: unknown, code: string): string | null {
  const known = TLS[code];
  if (known !== undefined) return known;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = member(member(cause, 'cert'), 'subjectaltname');
    const list = typeof names === 'string' ? ` (it is for ${printable(names)})` : '';
    return `the server's certificate is not for this name${list}; use a name of it as server, or set tls-server-name`;
  }
  if (
    /ALERT_(?:CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|UNSUPPORTED_CERT)|ALERT_NO_CERT/.test(code)
  )
    return `the server does not take our client certificate (${code.replace(/^ERR_SSL_/, '')}); renew it`;
  if (
    /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|RECORD_TOO_SMALL)$/.test(code) ||
    code === 'EPROTO'
  )
    return 'it does not speak TLS; is the port right, or is it http:// rather than https://?';
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code.startsWith('ERR_OSSL_'))
    return `TLS failed (${code}); check the certificates of both sides`;
  return null;
}

/** The code that Node.js gives an error; '' for none. */
export function codeOf(cause: unknown): string {
  const code = member(cause, 'code');
  return typeof code === 'string' ? printable(code) : '';
}
