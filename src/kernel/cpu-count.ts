// How many CPUs this machine has. Not how many this process may use: a CPU set of the container must not make the machine's conntrack table
// smaller. Source: Documentation/admin-guide/cputopology.rst (online, possible: lists as "0-3,8").

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const ONLINE = '/sys/devices/system/cpu/online';

/** CPUs that are switched on, hyper-threads counted; at least 1. Where /sys does not tell, those that this process may use. */
export function onlineCpuCount(file: string = ONLINE): number {
  return countListed(file) ?? Math.max(1, availableParallelism());
}

/** The number of CPUs in a file that holds a list as "0-3,8"; null when it cannot be read or names none. Never throws. */
export function countListed(file: string): number | null {
  let text = '';
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
  let count = 0;
  for (const part of text.split(',')) {
    const range = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (range !== null) count += Math.max(0, Number(range[2] ?? range[1]) - Number(range[1]) + 1);
  }
  return count === 0 ? null : count;
}
