// The metrics of a process: of texts as the kernel writes them, and of this very process.

import { describe, expect, it } from 'vitest';
import { processMetrics, readProcessFacts, type ProcessFacts } from './process-metrics.ts';

const FACTS: ProcessFacts = {
  stat: '42 (a) b (c) S 1 42 42 0 -1 4194304 9 0 0 0 10 20 0 0 20 0 7 0 86231 1361879040 14604 18446744073709551615 1 1 0\n',
  limits: `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max open files            65536                1048576              files
Max address space         unlimited            unlimited            bytes
`,
  systemStat: 'cpu  1 2 3\nbtime 1795238351\nprocesses 9\n',
  openFds: 13,
  cpuSeconds: 2.05,
  residentBytes: 59_817_984,
};

function values(facts: ProcessFacts): Record<string, number | undefined> {
  return Object.fromEntries(
    processMetrics(facts).map(({ name, samples: [sample] }) => [
      name.replace('process_', ''),
      sample !== undefined && 'value' in sample ? sample.value : undefined,
    ]),
  );
}

describe('the metrics of a process', () => {
  it('are read past a name that looks like fields', () => {
    expect(values(FACTS)).toEqual({
      cpu_seconds_total: 2.05,
      max_fds: 65_536,
      open_fds: 13,
      resident_memory_bytes: 59_817_984,
      start_time_seconds: 1_795_238_351 + 862.31,
      virtual_memory_bytes: 1_361_879_040,
      virtual_memory_max_bytes: 2 ** 64,
    });
  });

  it('have no sample of what the kernel does not say', () => {
    const known = values({ ...FACTS, stat: '', limits: '', systemStat: '', openFds: null });
    expect(Object.entries(known).filter(([, value]) => value === undefined)).toHaveLength(5);
  });

  it('of this process are what they can be', () => {
    const now = values(readProcessFacts());
    expect(now['open_fds']).toBeGreaterThanOrEqual(3);
    expect(now['max_fds']).toBeGreaterThan(now['open_fds'] ?? 0);
    expect(now['resident_memory_bytes']).toBeGreaterThan(1e6);
    expect(now['virtual_memory_bytes']).toBeGreaterThan(now['resident_memory_bytes'] ?? 0);
    expect(now['cpu_seconds_total']).toBeGreaterThan(0);
    // The kernel counts in hundredths of a second, and boot in whole ones.
    const startedSeconds = Date.now() / 1000 - process.uptime();
    expect(Math.abs((now['start_time_seconds'] ?? 0) - startedSeconds)).toBeLessThan(60);
  });
});
