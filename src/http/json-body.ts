// The body of a request as JSON, with a limit. Reads nothing past the limit into memory.

import type { IncomingMessage } from 'node:http';
import { PointsmanError } from '../model/errors.ts';

/** Largest body. */
export const MAX_BODY_BYTES = 64 * 1024;

/** The parsed body, {} when there is none. Throws USAGE when it is no JSON in UTF-8 or ends early, LIMIT_EXCEEDED when it is too large. */
export async function readJsonBody(incoming: IncomingMessage): Promise<unknown> {
  const bytes = await readBody(incoming);
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

function readBody(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    incoming.on('data', (part: Buffer) => {
      length += part.length;
      // What comes after that is read and forgotten, so that the sender gets its answer; the server's time limit ends it.
      if (length <= MAX_BODY_BYTES) parts.push(part);
      else
        reject(
          new PointsmanError('LIMIT_EXCEEDED', `the body is larger than ${MAX_BODY_BYTES} bytes; send less`),
        );
    });
    incoming.on('end', () => resolve(Buffer.concat(parts)));
    incoming.on('close', () => reject(new PointsmanError('USAGE', 'the body ended early; send it again')));
    incoming.on('error', reject);
  });
}
