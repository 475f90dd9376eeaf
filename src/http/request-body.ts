// The body of a request, with a limit, and what is answered when something about a request is wrong; for the unix socket and for the ports.

import type { IncomingMessage } from 'node:http';
import { PointsmanError, type ErrorCode } from '../model/errors.ts';

/** Statuses of errors that are the caller's; all others are ours: 500. */
const CALLERS_FAULT: Partial<Record<ErrorCode, number>> = { USAGE: 400, LIMIT_EXCEEDED: 413 };

/** The status that an error is answered with. */
export function statusOfError(error: unknown): number {
  return (error instanceof PointsmanError ? CALLERS_FAULT[error.code] : undefined) ?? 500;
}

/** All of a body; nothing past the limit is kept in memory. Throws USAGE when it ends early, LIMIT_EXCEEDED when it is too large. */
export function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    incoming.on('data', (part: Buffer) => {
      length += part.length;
      // What comes after that is read and forgotten, so that the sender gets its answer; the server's time limit ends it.
      if (length <= maxBytes) parts.push(part);
      else
        reject(new PointsmanError('LIMIT_EXCEEDED', `the body is larger than ${maxBytes} bytes; send less`));
    });
    incoming.on('end', () => resolve(Buffer.concat(parts)));
    incoming.on('close', () => reject(new PointsmanError('USAGE', 'the body ended early; send it again')));
    incoming.on('error', reject);
  });
}
