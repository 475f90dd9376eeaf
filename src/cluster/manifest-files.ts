// Reading the files of a folder of manifests, with limits, and saying what prevents it.

import { open, type FileHandle } from 'node:fs/promises';
import { DocumentError, printable } from '../files/document.ts';
import { WHOLE_FILE } from './manifest-problem.ts';

/** The content of a file. Throws DocumentError when it has more than `maxBytes`, whatever size it claims: it may grow. */
export async function readWhole(path: string, maxBytes: number): Promise<Uint8Array> {
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'r');
    const chunks: Buffer[] = [];
    let total = 0;
    for await (const chunk of file.createReadStream({
      end: maxBytes,
      autoClose: false,
      highWaterMark: 1 << 20,
    })) {
      chunks.push(chunk);
      total += chunk.length;
    }
    if (total > maxBytes)
      throw new DocumentError(WHOLE_FILE, `it has more than ${maxBytes} bytes`, 'split it');
    return Buffer.concat(chunks, total);
  } finally {
    await file?.close();
  }
}

/** 'ENOENT' and the like, else what was thrown as text. */
export function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : String(error);
}

/** What is wrong with a folder that cannot be listed, and what to do. */
export function explainFolderError(error: unknown): { readonly message: string; readonly remedy: string } {
  switch (codeOf(error)) {
    case 'ENOENT':
      return { message: 'there is no such folder', remedy: 'create it or correct the path' };
    case 'ENOTDIR':
      return { message: 'it is no folder', remedy: 'give the folder that holds the manifests' };
    case 'EACCES':
      return { message: 'the folder may not be read', remedy: 'run as root or change its permissions' };
    default:
      return { message: `the folder cannot be read (${printable(codeOf(error))})`, remedy: 'check the path' };
  }
}
