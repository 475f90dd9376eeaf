// Who else can change this program: for a line of warning at the start of what runs as root.

import { fileURLToPath } from 'node:url';
import { isSea } from 'node:sea';
import { dangerOf } from '../kernel/native-library.ts';

/**
 * One line when somebody else than root can change a file of this program or of its Node.js, or put another in its place; null when nobody
 * can, or when this process is not root's.
 */
export function ownFolderDanger(): string | null {
  if (process.geteuid?.() !== 0) return null;
  const files = isSea() ? [process.execPath] : [fileURLToPath(import.meta.url), process.execPath];
  return describeDanger(files);
}

/** The same for these files. */
export function describeDanger(files: readonly string[]): string | null {
  for (const file of files) {
    const danger = dangerOf(file);
    if (danger !== null)
      return `Others than root can change this program, which runs as root: ${danger}; install it where only root can write`;
  }
  return null;
}
