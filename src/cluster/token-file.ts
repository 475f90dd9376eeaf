// Files with credentials, looked at again now and then: tokens that a kubelet or a person replaces while we run. What worked goes on to
// work while its file is being replaced. Knows neither what a kubeconfig is nor what is done with the values.
// Periods are those of client-go's token sources (k8s.io/client-go/transport/token_source.go).

import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { PointsmanError } from '../model/errors.ts';
import { credentialError, explainFileError, shownPath, type Origin } from './kubeconfig-problem.ts';

/** Time as credentials need it; a test's own moves by hand. */
export interface CredentialClock {
  /** Never goes back; its zero means nothing. Milliseconds. */
  monotonicMs(): number;
  /** Since 1970, as certificates and expirationTimestamp have it. Milliseconds. */
  dateMs(): number;
}

/** The machine's clocks. */
export const SYSTEM_CLOCK: CredentialClock = {
  monotonicMs: () => performance.now(),
  dateMs: () => Date.now(),
};

/** A file is trusted for a minute less ten seconds of leeway. */
export const LOOK_AGAIN_MS = 50_000;
/** While the last good value stands in for a file that cannot be used. */
export const LOOK_AGAIN_AFTER_ERROR_MS = 1_000;
/** Tokens of service accounts have about 1 KiB; headers of more than 64 KiB no server takes. */
export const MAX_TOKEN_BYTES = 64 * 1024;

/**
 * A value that is read again when it is older than LOOK_AGAIN_MS. When that fails, the last good one is given and `kept` says why; without
 * a good one `get` rejects, and every call tries again. Callers at the same time share one reading.
 */
export class Renewed<T> {
  private readonly read: () => Promise<T>;
  private readonly clock: CredentialClock;
  private good: { readonly value: T } | null = null;
  private lookAgainAtMs = 0;
  private isDue = true;
  private reading: Promise<T> | null = null;
  private _kept: PointsmanError | null = null;

  /** `read` rejects with PointsmanError for what is in the files. */
  constructor(read: () => Promise<T>, clock: CredentialClock) {
    this.read = read;
    this.clock = clock;
  }

  /** Why `get` gave an older value than it wanted to; null when it did not. */
  get kept(): PointsmanError | null {
    return this._kept;
  }

  /** The value; see above. */
  async get(): Promise<T> {
    // A reading that began before `renew` may have seen what was rejected: one more follows it.
    while (this.reading !== null) {
      if (!this.isDue) return this.reading;
      await this.reading.catch(() => undefined);
    }
    if (this.good !== null && !this.isDue && this.clock.monotonicMs() < this.lookAgainAtMs)
      return this.good.value;
    this.isDue = false;
    this.reading = this.readNow().finally(() => (this.reading = null));
    return this.reading;
  }

  /** The next `get` reads, whatever the time. */
  renew(): void {
    this.isDue = true;
  }

  private async readNow(): Promise<T> {
    try {
      const value = await this.read();
      this.good = { value };
      this._kept = null;
      this.lookAgainAtMs = this.clock.monotonicMs() + LOOK_AGAIN_MS;
      return value;
    } catch (error) {
      if (this.good === null) throw error;
      this._kept = error as PointsmanError;
      this.lookAgainAtMs = this.clock.monotonicMs() + LOOK_AGAIN_AFTER_ERROR_MS;
      return this.good.value;
    }
  }
}

/**
 * The bytes of a regular file. Rejects with INVALID_KUBECONFIG when it cannot be read or has more than `maxBytes`, whatever size it
 * claims; `context.errno` is 'ENOENT' and the like. A pipe in its place is refused instead of waited for. `name` is how messages call the
 * file; '' when `origin` names it already.
 */
export async function readCredentialFile(
  path: string,
  maxBytes: number,
  origin: Origin,
  name = shownPath(path),
): Promise<Buffer> {
  const fail = (message: string, remedy: string, errno = ''): PointsmanError =>
    credentialError(
      'INVALID_KUBECONFIG',
      errno === '' ? origin : { ...origin, context: { ...origin.context, errno } },
      name === '' ? message : `${name}: ${message}`,
      remedy,
    );
  if (path.includes('\0')) throw fail('the path contains NUL', 'correct the path');
  let file: FileHandle | null = null;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (stats.isDirectory()) throw fail('it is a folder', 'give the path of a file');
    if (!stats.isFile()) throw fail('it is no regular file', 'give the path of a regular file');
    const buffer = Buffer.alloc(Math.min(stats.size, maxBytes) + 1);
    const chunks: Buffer[] = [];
    let total = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return Buffer.concat(chunks, total);
      total += bytesRead;
      if (total > maxBytes)
        throw fail(`it has more than ${maxBytes} bytes`, 'see whether it is the right file');
      chunks.push(Buffer.from(buffer.subarray(0, bytesRead)));
    }
  } catch (error) {
    if (error instanceof PointsmanError) throw error;
    const { message, remedy, errno } = explainFileError(error);
    throw fail(message, remedy, errno);
  } finally {
    await file?.close();
  }
}

/** The bearer token that a file holds, without blanks around it. Rejects with INVALID_KUBECONFIG. */
export async function readTokenFile(path: string, origin: Origin): Promise<string> {
  const bytes = await readCredentialFile(path, MAX_TOKEN_BYTES, origin);
  const token = bytes.toString('latin1').trim();
  const mistake = tokenMistake(token);
  if (mistake === null) return token;
  throw credentialError('INVALID_KUBECONFIG', origin, `${shownPath(path)}: ${mistake}`, TOKEN_REMEDY);
}

/** What to do about a file whose content is no token. */
const TOKEN_REMEDY = 'write the token alone into it, on one line';

/** Why a text cannot be sent as a bearer token, without any of it; null: it can. */
export function tokenMistake(token: string): string | null {
  if (token === '') return 'the token is empty';
  if (token.length > MAX_TOKEN_BYTES) return `the token has more than ${MAX_TOKEN_BYTES} bytes`;
  return /^[\x21-\x7e]+$/.test(token)
    ? null
    : 'the token has blanks, line breaks or characters that no token has';
}
