// The number of buckets of the kernel's conntrack table, which is one for all network namespaces: a parameter of the module, not a switch.
// Synchronous, as the switches are. Source: net/netfilter/nf_conntrack_core.c (nf_conntrack_set_hashsize).

import { readFileSync, writeFileSync } from 'node:fs';
import { KernelError } from '../model/errors.ts';

const FILE = '/sys/module/nf_conntrack/parameters/hashsize';

/** Buckets of the table; null when the module is not there or /sys does not show it. */
export function readConntrackBuckets(file: string = FILE): number | null {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
}

/**
 * Sets it; the kernel moves every entry, and rounds up to whole pages. Throws KernelError: EROFS where /sys is read-only, EACCES without
 * root, EOPNOTSUPP outside of the machine's own network namespace.
 */
export function writeConntrackBuckets(count: number, file: string = FILE): void {
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`no number of buckets: ${count}`);
  try {
    writeFileSync(file, String(count), { flag: 'r+' });
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException;
    throw new KernelError('write', `${file} = ${count}`, Math.abs(errno ?? 5), code ?? 'EIO');
  }
}
