// The metrics of this process, by the names and help texts that every program with Prometheus' own libraries has.
// Source: prometheus/client_golang (process_collector_linux.go); proc_pid_stat(5), proc_pid_limits(5), proc_stat(5).

import { readdirSync, readFileSync } from 'node:fs';
import { counter, gauge, type MetricFamily } from './metric-families.ts';

/** Ticks a second in /proc, on every architecture that Linux runs Node.js on. */
const USER_HZ = 100;

/** What the kernel says of this process. */
export interface ProcessFacts {
  /** The lines of /proc/self/stat, /proc/self/limits and /proc/stat; '' where they cannot be read. */
  readonly stat: string;
  readonly limits: string;
  readonly systemStat: string;
  /** null where it cannot be told, as when no further one can be opened. */
  readonly openFds: number | null;
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Reads them; some dozens of microseconds. Never throws: what cannot be read must not hide all other metrics. */
export function readProcessFacts(): ProcessFacts {
  const { user, system } = process.cpuUsage();
  return {
    stat: textOf('/proc/self/stat'),
    limits: textOf('/proc/self/limits'),
    systemStat: textOf('/proc/stat'),
    openFds: countFds(),
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
  };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function countFds(): number | null {
  try {
    // Without the one that reads the folder.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return null;
  }
}

/** The metrics, sorted by name; what the kernel does not say has no sample. */
export function processMetrics(facts: ProcessFacts): MetricFamily[] {
  // The name of the program is in brackets and may hold anything.
  const fields = facts.stat.slice(facts.stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = numberOf(fields[19]);
  const bootSeconds = numberOf(/^btime (\d+)$/m.exec(facts.systemStat)?.[1]);
  return [
    counter(
      'process_cpu_seconds_total',
      'Total user and system CPU time spent in seconds.',
      facts.cpuSeconds,
    ),
    gauge(
      'process_max_fds',
      'Maximum number of open file descriptors.',
      limitOf(facts.limits, 'Max open files'),
    ),
    gauge('process_open_fds', 'Number of open file descriptors.', facts.openFds ?? []),
    gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', facts.residentBytes),
    gauge(
      'process_start_time_seconds',
      'Start time of the process since unix epoch in seconds.',
      startTicks === null || bootSeconds === null ? [] : bootSeconds + startTicks / USER_HZ,
    ),
    gauge('process_virtual_memory_bytes', 'Virtual memory size in bytes.', numberOf(fields[20]) ?? []),
    gauge(
      'process_virtual_memory_max_bytes',
      'Maximum amount of virtual memory available in bytes.',
      limitOf(facts.limits, 'Max address space'),
    ),
  ];
}

/** The soft limit; without one, the largest number that there is, as Prometheus' libraries say it. */
function limitOf(limits: string, name: string): number | readonly [] {
  const line = limits.split('\n').find((each) => each.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  return soft === 'unlimited' ? 2 ** 64 : (numberOf(soft) ?? []);
}

function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
