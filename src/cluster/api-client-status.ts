// What an API server says when it refuses: the kind Status, of an answer or of an ERROR in a watch, as an error with one clear line.
// The server's own words are cut and made printable, and an Authorization that it repeats is taken out.
// Source: k8s.io/apimachinery/pkg/apis/meta/v1 (Status, StatusReason), pkg/api/errors.

import { member } from '../model/fields.ts';
import { PointsmanError } from '../model/errors.ts';

const MAX_MESSAGE_CHARACTERS = 300;

export interface ApiStatusOptions {
  /** From the header Retry-After. */
  readonly retryAfterMs?: number;
  readonly secret?: string;
  readonly isInStream?: boolean;
}

/** Refused by the API server: an HTTP status with a kind Status, mostly. */
export class ApiStatusError extends PointsmanError {
  /** HTTP status, or `code` of a Status in a watch; 0 when there is none. */
  readonly status: number;
  /** Status.reason, such as 'Expired'; '' when there is none. */
  readonly reason: string;
  /** What the server asks to wait; 0 when it asks for nothing. */
  readonly retryAfterMs: number;
  /** The resourceVersion or continue token is too old: list anew. */
  readonly isExpired: boolean;
  /** The resourceVersion is one that the server has not come to, yet or any more. */
  readonly isTooLargeVersion: boolean;

  /** It came as an event of a watch that had begun. */
  readonly isInStream: boolean;

  /** `what` was asked, `body` is a Status or anything; `secret` is taken out of what the server says. */
  constructor(
    what: string,
    status: number,
    body: unknown,
    { retryAfterMs = 0, secret = '', isInStream = false }: ApiStatusOptions = {},
  ) {
    const reason = text(member(body, 'reason'), 64);
    const said = text(member(body, 'message'), MAX_MESSAGE_CHARACTERS, secret);
    const name = reason === '' ? '' : ` ${reason}`;
    const hint = hintFor(status);
    const message = `${what} was refused: ${status}${name}${said === '' ? '' : `: ${said}`}${hint}`;
    super('API_REFUSED', message, { status, reason, said });
    this.name = 'ApiStatusError';
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = Math.max(retryAfterMs, retryAfterOf(body));
    this.isExpired = status === 410 || reason === 'Expired' || reason === 'Gone';
    this.isTooLargeVersion = isTooLarge(body, said);
    this.isInStream = isInStream;
  }
}

/** Milliseconds that a header Retry-After asks for; 0 for none and for a date. Seconds only: that is what API servers send. */
export function parseRetryAfter(header: string | undefined): number {
  return header !== undefined && /^\d{1,9}$/.test(header) ? Number(header) * 1000 : 0;
}

function hintFor(status: number): string {
  switch (status) {
    case 401:
      return '; are the credentials still valid? They are read again';
    case 403:
      return '; give its user the rights of a kube-proxy (ClusterRole system:node-proxier)';
    case 404:
      return '; is that a Kubernetes API server of 1.29 or later, and its address complete?';
    default:
      return status >= 300 && status < 400 ? '; name the API server itself, redirects are not followed' : '';
  }
}

function isTooLarge(body: unknown, said: string): boolean {
  const causes = member(member(body, 'details'), 'causes');
  if (Array.isArray(causes) && causes.some((cause) => member(cause, 'reason') === 'ResourceVersionTooLarge'))
    return true;
  return said.includes('Too large resource version');
}

function retryAfterOf(body: unknown): number {
  const seconds = member(member(body, 'details'), 'retryAfterSeconds');
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : 0;
}

/** The server's words for a message: one printable line without what must not be in it. */
function text(value: unknown, maxCharacters: number, secret = ''): string {
  if (typeof value !== 'string') return '';
  // Cut only when what is secret is out: half of a secret is one still.
  const shown = secret === '' ? value : value.replaceAll(secret, '(secret)');
  const line = shown
    .slice(0, maxCharacters)
    .replaceAll(/[^\x20-\x7e]/g, ' ')
    .trim();
  return shown.length > maxCharacters ? `${line}...` : line;
}
