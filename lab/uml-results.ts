// What a user-mode Linux guest leaves in its results folder, read from outside while it runs and after it: `.started`, `.exit`,
// `.stdout` and `.stderr` of stage2 (uml-init.ts), and the program's own files. The guest's root writes there what it likes, so nothing
// but plain files is opened, no link is followed, no pipe is waited for, and all of it has a limit. It never writes.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { PointsmanError } from '../src/model/errors.ts';

/** Of outputs and results of one guest together, folders below included. */
export const MAX_RESULT_BYTES = 64 << 20;
/** Files, folders, links and all else below the results folder: the walk over them is repeated while the guest runs. */
export const MAX_RESULT_ENTRIES = 1000;

/** The guest's output as text: '' when it is not there or no plain file. */
export function readText(path: string): string {
  return readPlainFile(path)?.toString('utf8') ?? '';
}

/** The program's files: plain files right in the folder, by name in order, without those that begin with a dot. */
export function readResults(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const name of readdirSync(folder).sort()) {
    const bytes = name.startsWith('.') ? null : readPlainFile(join(folder, name));
    if (bytes !== null) files.set(name, bytes);
  }
  return files;
}

/** Throws LIMIT_EXCEEDED when more stands in the results folder than a guest may write. Sparse files count in full. */
export function requireWithinLimits(folder: string): void {
  let bytes = 0;
  let entries = 0;
  const pending = [folder];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    for (const name of namesIn(current)) {
      entries += 1;
      if (entries > MAX_RESULT_ENTRIES) throw excess(`${MAX_RESULT_ENTRIES} files`);
      const path = join(current, name);
      const stats = statsOf(path);
      if (stats?.isDirectory()) pending.push(path);
      else if (stats?.isFile()) bytes += stats.size;
      if (bytes > MAX_RESULT_BYTES) throw excess(`${MAX_RESULT_BYTES} bytes`);
    }
  }
}

/**
 * Hands over what is appended to a file that another kernel writes. hostfs gives no reliable notification, so somebody calls read()
 * from time to time; end() reads a last time and also hands over what is no whole character. A character is never cut in two.
 */
export function followText(path: string, onText: (text: string) => void): { read(): void; end(): void } {
  const decoder = new StringDecoder('utf8');
  let seen = 0;
  const handOver = (text: string): void => {
    if (text !== '') onText(text);
  };
  const read = (): void => {
    const bytes = readPlainFile(path, seen);
    if (bytes === null) return;
    seen += bytes.length;
    handOver(decoder.write(bytes));
  };
  return {
    read,
    end() {
      read();
      handOver(decoder.end());
    },
  };
}

/** From byte `from` on, at most MAX_RESULT_BYTES; null when it is not there or no plain file. */
function readPlainFile(path: string, from = 0): Buffer | null {
  // Looked at first, because opening a device can do something; opened with care, because a running guest can exchange it meanwhile.
  if (statsOf(path)?.isFile() !== true) return null;
  const fd = openIfThere(path);
  if (fd === null) return null;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return null;
    const bytes = Buffer.alloc(Math.max(0, Math.min(stats.size - from, MAX_RESULT_BYTES)));
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(fd, bytes, length, bytes.length - length, from + length);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

function openIfThere(path: string): number | null {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasErrno(error, ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'])) return null;
    throw error;
  }
}

/** Nothing for a folder that the guest has just removed, or turned into something else. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (hasErrno(error, ['ENOENT', 'ENOTDIR'])) return [];
    throw error;
  }
}

function statsOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (hasErrno(error, ['ENOENT', 'ENOTDIR'])) return undefined;
    throw error;
  }
}

function hasErrno(error: unknown, names: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && names.includes(String(error.code));
}

function excess(limit: string): PointsmanError {
  return new PointsmanError(
    'LIMIT_EXCEEDED',
    `the guest was ended: it wrote more than ${limit} of output and results; write less, or elsewhere than into POINTSMAN_RESULTS`,
  );
}
