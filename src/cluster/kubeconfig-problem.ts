// How mistakes in credentials are told: file, line, column, field, what is wrong, what to do; one line and never a secret. Values of
// fields are not repeated, except names, paths and the few words that are no secret by their meaning. Pure.

import { DocumentError, printable } from '../files/document.ts';
import { PointsmanError, type ErrorCode } from '../model/errors.ts';

/** Where a setting comes from: what begins each message about it. */
export interface Origin {
  /** 'kubeconfig /etc/a.conf:3:5: users[name=x].user.token', or 'in-cluster service account'. */
  readonly where: string;
  /** The same for programs. */
  readonly context: Readonly<Record<string, string | number>>;
}

/** Paths are longer than other words of a message. */
const MAX_PATH_LENGTH = 300;

/** A path, name or other text from outside that is no secret, fit for one line. */
export function shownPath(text: string): string {
  const shown = text.slice(0, MAX_PATH_LENGTH).replaceAll(/[^\x20-\x7e]/g, '?');
  return text.length > MAX_PATH_LENGTH ? `${shown}...` : shown;
}

/** What terminals take for colours. */
const COLOURS = new RegExp(`${String.fromCodePoint(27)}\\[[0-9;]*[A-Za-z]`, 'g');

/** Text of programs for terminals without its colours. */
export function withoutColours(text: string): string {
  return text.replaceAll(COLOURS, '');
}

/** A name in quotes. */
export function quoted(text: string): string {
  return `"${printable(text)}"`;
}

/** The origin of a field of a kubeconfig; line 0 when the place is not known. */
export function kubeconfigOrigin(file: string, line: number, column: number, field: string): Origin {
  const place = line === 0 ? shownPath(file) : `${shownPath(file)}:${line}:${column}`;
  const where = field === '' ? `kubeconfig ${place}` : `kubeconfig ${place}: ${field}`;
  return { where, context: { file: shownPath(file), line, column, field } };
}

/** 'where: message; remedy'. Neither may hold a secret. */
export function credentialError(
  code: ErrorCode,
  origin: Origin,
  message: string,
  remedy: string,
): PointsmanError {
  return new PointsmanError(code, `${origin.where}: ${message}; ${remedy}`, { ...origin.context });
}

/** What Node.js says of a file that cannot be opened or read. `errno` is 'ENOENT' and the like, '' when it is not known. */
export function explainFileError(error: unknown): {
  readonly message: string;
  readonly remedy: string;
  readonly errno: string;
} {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  const errno = typeof code === 'string' ? printable(code) : '';
  const [message, remedy] = FILE_ERRORS[errno] ?? [
    `it cannot be read${errno === '' ? '' : ` (${errno})`}`,
    'check the file and its disk',
  ];
  return { message, remedy, errno };
}

const FILE_ERRORS: Readonly<Record<string, readonly [message: string, remedy: string]>> = {
  ENOENT: ['there is no such file', 'create it or correct the path'],
  ENOTDIR: ['a part of the path is no folder', 'correct the path'],
  EISDIR: ['it is a folder', 'give the path of a file'],
  EACCES: ['it may not be read', 'run as root or change its permissions'],
  EPERM: ['it may not be read', 'run as root or change its permissions'],
  ELOOP: ['its symbolic links go in a circle', 'correct the links'],
};

/**
 * What is wrong with a text, without any of it: parsers quote what they stumble over, and in a kubeconfig that may be half a token.
 */
export function textMistake(error: DocumentError): string {
  const { message } = error;
  if (message.startsWith('not valid JSON'))
    return message.endsWith('too early') ? 'not valid JSON: it ends too early' : 'not valid JSON';
  if (message.startsWith('the key ')) return 'a key is there twice';
  if (/ anchor |refers to/.test(message)) return 'an alias has no anchor before it';
  if (!message.startsWith('not valid YAML: ')) return /["&*!]/.test(message) ? 'not valid YAML' : message;
  const [detail = ''] = message.slice('not valid YAML: '.length).split(/[:"'`&*!\\%<|>@]/, 1);
  const isPlain = /^[a-z][a-z ,()-]+$/i.test(detail) && !/directive|version|\bwith $|^\S+ ?$/i.test(detail);
  return isPlain ? `not valid YAML: ${detail.trim()}` : 'not valid YAML';
}
