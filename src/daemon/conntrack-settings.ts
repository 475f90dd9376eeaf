// The kernel's conntrack settings that the configuration names: the size of its table and how long idle entries live. Written where they
// differ, at the start and whenever the configuration changes; what the configuration leaves alone is left. Values that are right need no
// right to write, so an agent with few privileges starts where something else (--init-only) has set them before.
// Source: kube-proxy 1.36, pkg/proxy/conntrack/sysctls.go; spec 5.4.

import type { Config } from '../config/config.ts';
import { readConntrackBuckets, writeConntrackBuckets } from '../kernel/conntrack-buckets.ts';
import { onlineCpuCount } from '../kernel/cpu-count.ts';
import { loadModule } from '../kernel/modules.ts';
import { isFixedSysctl, readSysctl, writeSysctl } from '../kernel/sysctl.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import { LINES } from './log-lines.ts';
import type { Log } from './log.ts';

/** The conntrack part of the configuration. */
export type ConntrackConfig = Config['conntrack'];

/** A switch and the value that it is to have. */
export interface ConntrackSwitch {
  /** Below /proc/sys. */
  readonly path: string;
  readonly value: number;
}

/** What is to be written. */
export interface ConntrackPlan {
  /** Entries that the table is to hold; 0 = left alone. */
  readonly max: number;
  /** In the order of writing. */
  readonly switches: readonly ConntrackSwitch[];
  /** Buckets that the table is to have; 0 = left alone. */
  readonly buckets: number;
}

/** What the kernel has at present; null: it does not have it. */
export interface ConntrackState {
  readonly switches: ReadonlyMap<string, string | null>;
  readonly buckets: number | null;
}

/** The kernel, as far as these settings go. */
export interface ConntrackPort {
  cpus(): number;
  sysctl(path: string): string | null;
  /** See isFixedSysctl. */
  isFixed(path: string): boolean;
  /** As writeSysctl. */
  writeSysctl(path: string, value: string): unknown;
  buckets(): number | null;
  /** As writeConntrackBuckets. */
  writeBuckets(count: number): void;
  /** As loadModule. */
  loadModule(name: string): Promise<unknown>;
}

/** The switch that holds the size of the table. */
export const MAX_PATH = 'net/netfilter/nf_conntrack_max';
/** What maxPerCore times CPUs comes to at most; an entry takes about 300 bytes. */
const MAX_SCALED = 1_048_576;
/** Entries for which the kernel should have a bucket at least. */
const ENTRIES_PER_BUCKET = 4;

/** This machine's kernel. */
export const CONNTRACK_PORT: ConntrackPort = {
  cpus: () => onlineCpuCount(),
  sysctl: readSysctl,
  isFixed: isFixedSysctl,
  writeSysctl,
  buckets: () => readConntrackBuckets(),
  writeBuckets: (count) => writeConntrackBuckets(count),
  loadModule,
};

/** Entries that the table is to hold: maxPerCore for each CPU, at most 1,048,576 but at least `min`; 0 = left alone. */
export function conntrackMax({ maxPerCore, min }: ConntrackConfig, cpus: number): number {
  if (maxPerCore === 0) return 0;
  const scaled = maxPerCore * cpus;
  // As kube-proxy: where the limit applies, it applies to `min` as well.
  return scaled > MAX_SCALED ? MAX_SCALED : Math.max(scaled, min);
}

/** Every switch that the configuration names, with its value, the size first. */
export function wantedConntrack(conntrack: ConntrackConfig, cpus: number): ConntrackSwitch[] {
  const rows: ConntrackSwitch[] = [
    { path: MAX_PATH, value: conntrackMax(conntrack, cpus) },
    timeout('tcp_timeout_established', conntrack.tcpEstablishedTimeoutSeconds),
    timeout('tcp_timeout_close_wait', conntrack.tcpCloseWaitTimeoutSeconds),
    { path: 'net/netfilter/nf_conntrack_tcp_be_liberal', value: conntrack.tcpBeLiberal ? 1 : 0 },
    timeout('udp_timeout', conntrack.udpTimeoutSeconds),
    timeout('udp_timeout_stream', conntrack.udpStreamTimeoutSeconds),
  ];
  return rows.filter(({ value }) => value > 0);
}

function timeout(name: string, seconds: number): ConntrackSwitch {
  return { path: `net/netfilter/nf_conntrack_${name}`, value: seconds };
}

/** What must be written to get from `current` to what the configuration names. Pure. */
export function planConntrack(
  conntrack: ConntrackConfig,
  cpus: number,
  current: ConntrackState,
): ConntrackPlan {
  const max = conntrackMax(conntrack, cpus);
  const least = Math.floor(max / ENTRIES_PER_BUCKET);
  return {
    max,
    switches: wantedConntrack(conntrack, cpus).filter(
      ({ path, value }) => current.switches.get(path) !== String(value),
    ),
    buckets: current.buckets !== null && current.buckets < least ? least : 0,
  };
}

/**
 * Brings the kernel to what the configuration names. Everything is tried; then the first failure is thrown, with the code of its cause:
 * MISSING_PRIVILEGE, MISSING_MODULE, KERNEL_REFUSED. Only warned of: a size that nobody can set from this network namespace, and the number
 * of buckets, on which only speed depends.
 */
export async function applyConntrack(
  conntrack: ConntrackConfig,
  log: Log,
  port: ConntrackPort = CONNTRACK_PORT,
): Promise<void> {
  const cpus = port.cpus();
  const wanted = wantedConntrack(conntrack, cpus);
  if (wanted.length === 0) return;
  const failures: PointsmanError[] = [];
  await loadConntrack(wanted, port, failures);
  if (failures.length === 0) {
    const switches = new Map(wanted.map(({ path }) => [path, port.sysctl(path)]));
    const plan = planConntrack(conntrack, cpus, { switches, buckets: port.buckets() });
    if (plan.max > 0) log.info(LINES.conntrackMax, { nfConntrackMax: plan.max });
    for (const row of plan.switches) writeSwitch(row, switches.get(row.path) ?? null, log, port, failures);
    if (plan.buckets > 0) writeBuckets(plan.buckets, log, port);
  }
  const [first] = failures;
  if (first === undefined) return;
  const more = failures.length === 1 ? '' : ` (and ${failures.length - 1} more)`;
  const remedy =
    first.code === 'MISSING_PRIVILEGE'
      ? '; or let an init container with privileges run --init-only, or leave them alone by conntrack.maxPerCore: 0 and timeouts of 0s'
      : '';
  throw new PointsmanError(
    first.code,
    `could not set conntrack parameters from kube-proxy configuration: ${first.message}${more}${remedy}`,
    { failures: failures.map(({ message }) => message) },
    { cause: first },
  );
}

/** The switches come with the module. */
async function loadConntrack(
  wanted: readonly ConntrackSwitch[],
  port: ConntrackPort,
  failures: PointsmanError[],
): Promise<void> {
  if (wanted.every(({ path }) => port.sysctl(path) !== null)) return;
  try {
    await port.loadModule('nf_conntrack');
  } catch (error) {
    keep(error, failures);
  }
}

function writeSwitch(
  { path, value }: ConntrackSwitch,
  found: string | null,
  log: Log,
  port: ConntrackPort,
  failures: PointsmanError[],
): void {
  if (found !== null && port.isFixed(path)) {
    log.warn('Only the machine itself can set this, not a network namespace; it stays as it is', {
      entry: path,
      value: found,
      wanted: value,
    });
    return;
  }
  log.info(LINES.sysctlSet, { entry: path, value });
  try {
    port.writeSysctl(path, String(value));
  } catch (error) {
    keep(error, failures);
  }
}

function writeBuckets(count: number, log: Log, port: ConntrackPort): void {
  log.info('Setting conntrack hashsize', { conntrackHashsize: count });
  try {
    port.writeBuckets(count);
  } catch (error) {
    log.warn('The conntrack table keeps its buckets: it is slower when it is full, and holds as much', {
      err: errorLine(error),
    });
  }
}

function keep(error: unknown, failures: PointsmanError[]): void {
  if (!(error instanceof PointsmanError)) throw error;
  failures.push(error);
}
