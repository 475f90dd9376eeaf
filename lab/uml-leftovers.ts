// The folder of a user-mode Linux guest, and what is found by it: its processes, and whether its owner (the process that booted the
// guest) still runs. The folder's name is pointsman-lab-PID-START-RANDOM, since a process id alone may be somebody else's by the time
// that it is read. It ends and removes only what such a name belongs to. Source: proc(5), "/proc/pid/stat".

import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PointsmanError } from '../src/model/errors.ts';

/** Debian's user-mode Linux. */
export const LINUX = '/usr/bin/linux.uml';

const FOLDER_PREFIX = 'pointsman-lab-';
/** A name without a start time is of an older version. */
const FOLDER = new RegExp(`^${FOLDER_PREFIX}(\\d+)-(?:(\\d+)-)?`);
/** Where the state and the start time stand in /proc/PID/stat, counted after the name in parentheses, which may hold anything. */
const STATE = 0;
const START_TIME = 19;
/** A killed process is there until the kernel has taken down its memory. */
const END_TIMEOUT_MS = 10_000;
const END_POLL_MS = 5;

/** A new folder that belongs to this process. Throws LAB_FAILED without /proc: nobody could see whose it is. */
export function makeGuestFolder(): string {
  const self = readProcess(String(process.pid));
  if (self === null)
    throw new PointsmanError('LAB_FAILED', '/proc does not show this process; mount proc on /proc');
  return mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-${self.startTime}-`));
}

/** Removes the folder, also while its last processes are writing their last file. */
export function removeGuestFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

/** Removes what callers left that were killed before they could clean up; theirs that run keep everything. */
export function removeDeadOwners(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, pid, startTime] = FOLDER.exec(name) ?? [];
    if (pid === undefined || isRunning(pid, startTime)) continue;
    const folder = join(tmpdir(), name);
    // Everybody may write to the temporary folder: what is not ours is not ours to remove.
    const stats = lstatSync(folder, { throwIfNoEntry: false });
    if (stats?.isDirectory() !== true || stats.uid !== process.getuid?.()) continue;
    killByFolder(folder);
    removeGuestFolder(folder);
  }
}

/**
 * Kills what still runs with this folder as its uml_dir, and returns how many there were: linux.uml's helper processes survive a
 * SIGKILL of the first one.
 */
export function killByFolder(folder: string): number {
  let count = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (readlinkSync(`/proc/${pid}/exe`) !== LINUX) continue;
      if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`uml_dir=${folder}/`)) continue;
      count += 1;
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // The process ended while we looked.
    }
  }
  return count;
}

/** As killByFolder, and resolves when none is left. Rejects with LAB_FAILED when some do not go. */
export async function endByFolder(folder: string): Promise<void> {
  const deadlineMs = performance.now() + END_TIMEOUT_MS;
  for (let count = killByFolder(folder); count > 0; count = killByFolder(folder)) {
    if (performance.now() > deadlineMs)
      throw new PointsmanError('LAB_FAILED', `${count} processes of the guest in ${folder} survive SIGKILL`);
    await pause(END_POLL_MS);
  }
}

/** Whether this very process runs: not a later one of the same number, and not one that only nobody has waited for. */
function isRunning(pid: string, startTime: string | undefined): boolean {
  const found = readProcess(pid);
  if (found === null || found.state === 'Z' || found.state === 'X') return false;
  return startTime === undefined || found.startTime === startTime;
}

/** null when there is none. The start time is in clock ticks since the machine's start. */
function readProcess(pid: string): { state: string; startTime: string } | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[STATE] ?? '', startTime: fields[START_TIME] ?? '' };
}
