// Loads the library for system calls of a release: from the folder of the program, or out of the executable, which has it in itself. The
// system loads code from files only, so the executable writes it into a folder that nobody else can write to, under a name that does not
// exist yet, takes the name away before the file has any content, and loads it through its own descriptor. Never from /tmp.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PointsmanError, errorLine } from '../model/errors.ts';

const NAME = 'koffi.node';

/** Loads the file as an addon; throws an Error when the system does not. */
export type LoadAddon = (path: string) => unknown;

/**
 * What the library exports. Throws NO_NATIVE_LIBRARY when it can be loaded from nowhere.
 * @param programUrl of the program's file: in a release the library stands beside it
 */
export function loadNativeLibrary(programUrl: string): unknown {
  const { isSea, getRawAsset } = process.getBuiltinModule('node:sea');
  if (isSea()) return loadFromBytes(new Uint8Array(getRawAsset(NAME)), foldersOf(process.geteuid?.() ?? 0));
  const path = fileURLToPath(new URL(NAME, programUrl));
  try {
    return loadAddon(path);
  } catch (error) {
    throw noLibrary(`${path}: ${errorLine(error)}; unpack the release again`, error);
  }
}

/** Where the executable may write, in this order: gone at the next boot; where /run has noexec; where the executable itself runs from. */
function foldersOf(uid: number): readonly string[] {
  if (uid === 0) return ['/run/pointsman', '/var/lib/pointsman', dirname(process.execPath)];
  return [`/run/user/${uid}`, ...homeFolders()];
}

/** The home of this user as the system has it, not as HOME says. */
function homeFolders(): readonly string[] {
  try {
    const { homedir } = userInfo();
    return homedir.startsWith('/') ? [homedir] : [];
  } catch {
    // The system does not know this user.
    return [];
  }
}

/** Loads `bytes` from the first of `folders` that is safe and from which the system loads. Leaves no file. Throws NO_NATIVE_LIBRARY. */
export function loadFromBytes(
  bytes: Uint8Array,
  folders: readonly string[],
  load: LoadAddon = loadAddon,
): unknown {
  const refusals: string[] = [];
  for (const folder of folders) {
    try {
      makeFolder(folder);
      const danger = dangerOf(folder);
      if (danger === null) return loadThrough(folder, bytes, load);
      refusals.push(danger);
    } catch (error) {
      refusals.push(`${folder}: ${errorLine(error)}`);
    }
  }
  const make = `make ${folders[0] ?? 'a folder'} one that only this user can write to, on a file system without noexec`;
  const remedy = process.geteuid?.() === 0 ? make : `run as root, or ${make}`;
  throw noLibrary(`${refusals.join('; ')}; ${remedy}`);
}

/**
 * Why code must not be loaded from a folder or a file, or null: it or a folder above it belongs to somebody else than root and this user,
 * can be written to by others, is a link, or does not exist.
 */
export function dangerOf(folderOrFile: string): string | null {
  const uid = process.geteuid?.() ?? 0;
  for (let path = resolve(folderOrFile); ; path = dirname(path)) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    const danger = stats === undefined ? 'does not exist' : dangerIn(stats, uid);
    if (danger !== null) return `${path} ${danger}`;
    if (path === dirname(path)) return null;
  }
}

function dangerIn(stats: Stats, uid: number): string | null {
  if (!stats.isDirectory() && !stats.isFile()) return 'is a link, or neither a folder nor a file';
  if (stats.uid !== 0 && stats.uid !== uid) return `belongs to user ${stats.uid}`;
  if ((stats.mode & 0o002) !== 0) return 'can be written to by everybody';
  if ((stats.mode & 0o020) !== 0 && stats.gid !== 0) return `can be written to by group ${stats.gid}`;
  return null;
}

/** Only the last part, and only where somebody may write: what is in the way is told by dangerOf. */
function makeFolder(folder: string): void {
  if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) mkdirSync(folder, { mode: 0o700 });
}

function loadThrough(folder: string, bytes: Uint8Array, load: LoadAddon): unknown {
  const path = join(folder, `.${randomBytes(16).toString('hex')}.node`);
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    unlinkSync(path);
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    return load(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

function loadAddon(path: string): unknown {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, path);
  return module.exports;
}

function noLibrary(message: string, cause?: unknown): PointsmanError {
  return new PointsmanError('NO_NATIVE_LIBRARY', `no library for system calls: ${message}`, {}, { cause });
}
