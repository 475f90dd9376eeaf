// The Status bodies with which an API server refuses. Source: k8s.io/apimachinery pkg/api/errors.

import type { ApiResource } from './api-resources.ts';

/** metav1.Status of a failure. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: { readonly continue?: string };
  readonly status: 'Failure';
  readonly message: string;
  readonly reason?: string;
  readonly details?: object;
  readonly code: number;
}

/** A refusal: throw it, and the server answers with its Status. */
export class Refusal extends Error {
  readonly status: Status;
  readonly retryAfterS: number | null;

  constructor(status: Status, retryAfterS: number | null = null) {
    super(status.message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** A Status in general; `reason` defaults to the one that goes with the code. */
export function makeStatus(
  code: number,
  message: string,
  { reason = REASONS[code], details, token }: { reason?: string; details?: object; token?: string } = {},
): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: token === undefined ? {} : { continue: token },
    status: 'Failure',
    message,
    ...(reason === undefined ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  };
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

export const unauthorized = (): Status => makeStatus(401, 'Unauthorized');

/** As RBAC says it. */
export function forbidden(resource: ApiResource, verb: string): Status {
  const group = `API group "${resource.group}" at the cluster scope`;
  const what = `User "system:node:test" cannot ${verb} resource "${resource.name}" in ${group}`;
  return makeStatus(403, `${resource.name}${resource.group && `.${resource.group}`} is forbidden: ${what}`, {
    details: { ...(resource.group === '' ? {} : { group: resource.group }), kind: resource.name },
  });
}

/** A watch from before the window (watch_cache.go). */
export const tooOld = (version: number, oldest: number): Status =>
  makeStatus(410, `too old resource version: ${version} (${oldest})`);

/** A list, or a streaming list, at least as new as what is not yet there; the real one waits three seconds for it (NewTooLargeResourceVersionError). */
export function tooLarge(version: number, current: number): Status {
  return makeStatus(504, `Timeout: Too large resource version: ${version}, current: ${current}`, {
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  });
}

/** An expired token comes with one that goes on without consistency (etcd3/errors.go, handleCompactedErrorForPaging). */
export const expiredContinue = (token: string): Status =>
  makeStatus(
    410,
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the ' +
      'continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with ' +
      'the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the ' +
      'first chunk was returned and now may show up in the list.',
    { token },
  );

/** ListOptions that validation refuses: 422 (metainternalversionvalidation). */
export const invalidOptions = (field: string, message: string): Status =>
  makeStatus(422, `ListOptions.meta.k8s.io "" is invalid: ${field}: Forbidden: ${message}`, {
    details: {
      group: 'meta.k8s.io',
      kind: 'ListOptions',
      causes: [{ reason: 'FieldValueForbidden', message: `Forbidden: ${message}`, field }],
    },
  });

/** An object that validation refuses; `message` begins with the field. */
export function invalid(
  { name: resource, kind, group }: ApiResource,
  name: string,
  message: string,
): Refusal {
  const shown = group === '' ? kind : `${kind}.${group}`;
  return new Refusal(
    makeStatus(422, `${shown} "${name}" is invalid: ${message}`, { details: { name, kind: resource } }),
  );
}

/** There is no such object. */
export function notFound(resource: string, name: string): Refusal {
  return new Refusal(
    makeStatus(404, `${resource} "${name}" not found`, { details: { name, kind: resource } }),
  );
}
