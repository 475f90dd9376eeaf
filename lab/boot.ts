// The lab's door: boots a guest kernel, runs one program in it, and gives back what it printed, wrote and returned.
// Guarantees, whatever the kind of guest: the host's files are read-only (writes go to the guest's memory; only a results folder is
// shared); it ends in bounded time, and also when output and results grow past 64 MiB; it leaves no process, mount or file behind;
// several may run at once. All this is against accidents: the program is root in the guest, and one that deliberately mounts hostfs
// anew can write to this machine's files with the rights of the caller. Run only programs that you would run outside as root.

import { fileURLToPath } from 'node:url';
import type { GuestKernel, GuestResult, GuestSpec } from './guest.ts';
import { umlKernel } from './uml.ts';

export type { GuestKernel, GuestResult, GuestSpec } from './guest.ts';

/** The kernel with IPVS. */
export const ipvsKernel: GuestKernel = umlKernel;

export interface GuestProgramOptions extends Omit<GuestSpec, 'program'> {
  /** Flags for Node, e.g. the ones that bin/pointsman gives the agent. */
  readonly nodeFlags?: readonly string[];
}

/** Runs a TypeScript file of this checkout in an IPVS guest, with the Node of this process. Throws LAB_FAILED when it cannot boot. */
export function runInGuest(
  entry: URL | string,
  args: readonly string[],
  options: GuestProgramOptions = {},
): Promise<GuestResult> {
  const path = entry instanceof URL ? fileURLToPath(entry) : entry;
  return ipvsKernel.boot({
    ...options,
    program: [process.execPath, ...(options.nodeFlags ?? []), path, ...args],
  });
}
