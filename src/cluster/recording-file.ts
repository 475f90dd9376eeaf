// The new file that a recording goes to, and what prevents it. Only its owner can read it, and nothing that exists is ever written.

import { open, type FileHandle } from 'node:fs/promises';
import { PointsmanError } from '../model/errors.ts';
import { codeOf } from './manifest-files.ts';

/** Makes the file of a recording. Throws USAGE. */
export async function createRecording(path: string): Promise<FileHandle> {
  try {
    // 'wx': no file that is there, nor the target of a link, is ever written.
    return await open(path, 'wx', 0o600);
  } catch (error) {
    switch (codeOf(error)) {
      case 'EEXIST':
        throw recordUsage(
          path,
          'it exists, and a recording never overwrites',
          'give a new name or remove it',
        );
      case 'ENOENT':
      case 'ENOTDIR':
        throw recordUsage(path, 'there is no such folder', 'create it or correct the path');
      default:
        throw recordUsage(path, `it cannot be made (${codeOf(error)})`, 'give a place that can be written');
    }
  }
}

/** USAGE: what is wrong with --record PATH, and what to do. */
export function recordUsage(path: string, what: string, remedy: string): PointsmanError {
  return new PointsmanError('USAGE', `--record ${path}: ${what}; ${remedy}`, { path });
}
