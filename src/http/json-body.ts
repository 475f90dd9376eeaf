// The body of a request as JSON, with a limit. Reads nothing past the limit into memory.

import type { IncomingMessage } from 'node:http';
import { PointsmanError } from '../model/errors.ts';
import { readBody } from './request-body.ts';

/** Largest body. */
export const MAX_BODY_BYTES = 64 * 1024;

/** The parsed body, {} when there is none. Throws USAGE when it is no JSON in UTF-8 or ends early, LIMIT_EXCEEDED when it is too large. */
export async function readJsonBody(incoming: IncomingMessage): Promise<unknown> {
  const bytes = await readBody(incoming, MAX_BODY_BYTES);
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    throw new PointsmanError(
      'USAGE',
      'the body is no JSON in UTF-8; send one JSON value',
      {},
      { cause: error },
    );
  }
}
