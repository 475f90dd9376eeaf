// Replaces a set by a larger one while rules match it: a copy under another name, one swap. It is the only way to change what the kernel fixes
// when a set is created. Source: net/netfilter/ipset/ip_set_core.c (ip_set_swap exchanges names and references together).

import { KernelError } from '../model/errors.ts';
import type { IpsetClient } from './ipset.ts';
import type { SetDefinition } from './ipset-codec.ts';
import { IPSET_ERR_TYPE_MISMATCH, OTHER_TYPE_HINT, setError } from './ipset-errors.ts';
import { ENOENT } from './libc.ts';

const OPERATION = 'ipset replace';

/** Clients that are replacing a set; two at once under one temporary name would fill each other's copy. */
const running = new WeakSet<IpsetClient>();

/**
 * Replaces the set of this name by one as `set` says with the same members: rules that match it see all of them at any moment.
 * For what cannot be changed in a set that exists: maxElements above all, also the range of a bitmap, or timeouts and other
 * extensions that somebody else created it with (they are dropped). `temporaryName` names the copy; a set of that name, left over
 * from a run that ended in the middle, is destroyed first. Nobody else may change the members meanwhile: what comes after they were
 * read is lost. One at a time for a client.
 *
 * Throws KernelError: ENOENT without such a set, IPSET_ERR_TYPE_MISMATCH for one of another type or family, the refusal of the first
 * member that does not fit, EBUSY while another program lists it; also what IpsetClient throws. The set is then what it was, and
 * the copy is gone, unless another program lists that one.
 */
export async function replaceSet(
  sets: IpsetClient,
  set: SetDefinition,
  temporaryName: string,
): Promise<void> {
  if (running.has(sets)) throw new Error('a set is being replaced already');
  running.add(sets);
  try {
    const present = await sets.list(set.name);
    if (present === null) throw setError(OPERATION, set.name, ENOENT, 'hash');
    const { type, family } = present.set;
    if (present.members === null || type !== set.type || (family !== null && family !== set.family))
      throw setError(OPERATION, set.name, IPSET_ERR_TYPE_MISMATCH, 'hash', OTHER_TYPE_HINT);
    sets.destroy(temporaryName);
    try {
      sets.create({ ...set, name: temporaryName });
      const [failure] = await sets.add(temporaryName, present.members);
      if (failure !== undefined) throw failure.error;
      sets.swap(set.name, temporaryName);
    } finally {
      // After the swap it is the former set. What keeps it now is a program that lists it at this moment; the next call destroys it.
      destroyUnlessBusy(sets, temporaryName);
    }
  } finally {
    running.delete(sets);
  }
}

function destroyUnlessBusy(sets: IpsetClient, name: string): void {
  try {
    sets.destroy(name);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}
