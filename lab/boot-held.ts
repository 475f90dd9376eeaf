// What a guest leaves on this machine, and the short scripts that the door's tests run in one.

import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ipvsKernel, type GuestResult, type GuestSpec } from './boot.ts';

/** Runs a shell's script in a small guest. */
export const sh = (script: string, spec: Partial<GuestSpec> = {}): Promise<GuestResult> =>
  ipvsKernel.boot({ program: ['/bin/sh', '-c', script], memoryMb: 256, ...spec });

/** What a caller's guests hold on this machine: processes, folders, mounts. Other callers' are not counted. */
export function heldBy(pid: number | undefined): string[] {
  const prefix = join(tmpdir(), `pointsman-lab-${pid}-`);
  const processes = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(`uml_dir=${prefix}`);
    } catch {
      return false;
    }
  });
  const folders = readdirSync(tmpdir()).filter((name) => join(tmpdir(), name).startsWith(prefix));
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(prefix));
  return [...processes.map((name) => `process ${name}`), ...folders, ...mounts];
}
