// The rates of the whole network namespace, from the counters that the kernel keeps per processor: the only ones that move while
// net.ipv4.vs.run_estimation is 0. Pure. Source: /proc/net/ip_vs_stats_percpu, net/netfilter/ipvs/ip_vs_ctl.c by behaviour.

import type { Counters } from './top-rates.ts';

/** Where the counters per processor are. */
export const PERCPU_STATS = '/proc/net/ip_vs_stats_percpu';
/** '0' = the kernel does not bring the counters of services and servers up to date. */
export const RUN_ESTIMATION = '/proc/sys/net/ipv4/vs/run_estimation';

/** A processor's row, all in hexadecimal; the row of the sums begins with '~' and does not move. */
const ROW = /^\s*[0-9A-F]+\s+([0-9A-F]+)\s+([0-9A-F]+)\s+([0-9A-F]+)\s+([0-9A-F]+)\s+([0-9A-F]+)\s*$/gm;

/** The sums over all processors; null when the text is none of this file. */
export function parsePercpuStats(text: string): Counters | null {
  const sums = [0n, 0n, 0n, 0n, 0n];
  const rows = [...text.matchAll(ROW)];
  if (rows.length === 0) return null;
  for (const [, ...columns] of rows)
    for (const [index, column] of columns.entries())
      sums[index] = (sums[index] ?? 0n) + BigInt(`0x${column}`);
  const [connections = 0n, inPackets = 0n, outPackets = 0n, inBytes = 0n, outBytes = 0n] = sums;
  return { connections, inPackets, outPackets, inBytes, outBytes };
}
