// Kernel switches under /proc/sys. Synchronous on purpose: a thread that entered a network namespace sees that namespace's switches,
// while asynchronous calls would run on threads of the pool, which are elsewhere. Source: proc_sys(5).

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { KernelError, PointsmanError } from '../model/errors.ts';

const ROOT = '/proc/sys';

/** Which module brings a switch, by the beginning of its path. */
const MODULES: readonly (readonly [string, string])[] = [
  ['net/ipv4/vs/', 'ip_vs'],
  ['net/netfilter/nf_conntrack', 'nf_conntrack'],
  ['net/bridge/', 'br_netfilter'],
];

/** The value of a switch ("net/ipv4/vs/conntrack") without its newline, null when this kernel does not have it. Throws KernelError. */
export function readSysctl(path: string): string | null {
  const file = fileOf(path);
  try {
    return readFileSync(file, 'utf8').replace(/\n$/, '');
  } catch (error) {
    const { code, errno } = codeOf(error);
    if (code === 'ENOENT') return null;
    throw new KernelError('read', `${ROOT}/${path}`, errno, code);
  }
}

/**
 * Sets a switch unless it has the value already; true when it was written. Values of several numbers are compared with single blanks.
 * Throws MISSING_MODULE or KernelError (ENOENT) when there is no such switch, MISSING_PRIVILEGE when it may not be written, KernelError
 * when the kernel refuses the value.
 */
export function writeSysctl(path: string, value: string): boolean {
  if (!/^[\x20-\x7e]{1,256}$/.test(value))
    throw new Error(`no value of a switch: ${JSON.stringify(value.slice(0, 100))}`);
  const file = fileOf(path);
  const current = readSysctl(path);
  if (current !== null && current.replaceAll(/\s+/g, ' ').trim() === value.replaceAll(/\s+/g, ' ').trim())
    return false;
  try {
    if (current === null) throw Object.assign(new Error('no such switch'), { code: 'ENOENT', errno: -2 });
    writeFileSync(file, value);
    return true;
  } catch (error) {
    throw explain(error, path, value);
  }
}

/**
 * True when nobody can write the switch in this network namespace, whatever his rights: the kernel gives it no write permission at all.
 * So it is with nf_conntrack_max outside of the machine's own namespace. False when there is no such switch.
 */
export function isFixedSysctl(path: string): boolean {
  const stats = statSync(fileOf(path), { throwIfNoEntry: false });
  return stats !== undefined && (stats.mode & 0o222) === 0;
}

/** Version of the running kernel: "6.1.0-18-amd64". */
export function kernelRelease(): string {
  return readSysctl('kernel/osrelease') ?? '';
}

function explain(error: unknown, path: string, value: string): PointsmanError {
  const { code, errno } = codeOf(error);
  const module = MODULES.find(([prefix]) => path.startsWith(prefix))?.[1];
  if (code === 'ENOENT' && module !== undefined)
    return new PointsmanError(
      'MISSING_MODULE',
      `${ROOT}/${path} does not exist; load the kernel module ${module}`,
      { path, module },
    );
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    const remedy =
      code === 'EROFS' ? 'run privileged, so that /proc/sys is writable' : 'run as root with CAP_NET_ADMIN';
    return new PointsmanError(
      'MISSING_PRIVILEGE',
      `${ROOT}/${path} may not be set to ${value} (${code}); ${remedy}`,
      { path, value, errno },
    );
  }
  return new KernelError('write', `${ROOT}/${path} = ${value}`, errno, code);
}

function codeOf(error: unknown): { readonly code: string; readonly errno: number } {
  const { code, errno } = error as NodeJS.ErrnoException;
  return { code: code ?? 'EIO', errno: Math.abs(errno ?? 5) };
}

/** Only words between slashes: a path cannot leave /proc/sys. Interface names may contain dots. */
function fileOf(path: string): string {
  const parts = path.split('/');
  const isValid =
    parts.length >= 2 &&
    parts.every((part) => /^[A-Za-z0-9_.@:-]{1,64}$/.test(part) && part !== '.' && part !== '..');
  if (!isValid) throw new Error(`no path of a switch: ${JSON.stringify(path.slice(0, 100))}`);
  return `${ROOT}/${path}`;
}
