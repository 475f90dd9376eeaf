// The text of all metrics, read by the library that Prometheus' own Python users have: every sample comes back as it was.

import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { makeCollector } from '../../test/metrics-world.ts';
import type { MetricFamily } from '../daemon/metric-families.ts';
import { formatMetrics } from './prometheus-text.ts';

const PYTHON = '/usr/bin/python3';
const READER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
families = list(read(sys.stdin.buffer.read().decode()))
print(json.dumps([[f.name, f.type, f.documentation, [[s.name, s.labels, repr(float(s.value))] for s in f.samples]] for f in families]))
`;

type ReadSample = [name: string, labels: Record<string, string>, value: number];
type ReadFamily = [name: string, type: string, help: string, samples: ReadSample[]];

/** Null when the library is there, else why not. */
function probeReader(): string | null {
  const { error, status } = spawnSync(PYTHON, ['-c', 'import prometheus_client.parser']);
  return error === undefined && status === 0
    ? null
    : 'python3-prometheus-client is not installed (npm run setup, as root on Debian)';
}

function read(text: string): ReadFamily[] {
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', READER], { input: text, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const toNumber = (value: string): number => Number(value.replace('inf', 'Infinity'));
  return (JSON.parse(stdout) as [string, string, string, [string, Record<string, string>, string][]][]).map(
    ([name, type, help, samples]) => [
      name,
      type,
      help,
      samples.map(([sample, labels, value]): ReadSample => [sample, labels, toNumber(value)]),
    ],
  );
}

/** What the library is to make of a family; it takes _total off the name of a counter. */
function expected(family: MetricFamily): ReadFamily {
  const { name, type, help } = family;
  if (family.type !== 'histogram') {
    const samples = family.samples.map(({ labels, value }): ReadSample => [name, { ...labels }, value]);
    return [type === 'counter' ? name.replace(/_total$/, '') : name, type, help, samples];
  }
  const samples = family.samples.flatMap(({ labels, bounds, counts, count, sum }): ReadSample[] => [
    ...bounds.map((le, index): ReadSample => [
      `${name}_bucket`,
      { ...labels, le: String(le) },
      counts[index] ?? 0,
    ]),
    [`${name}_bucket`, { ...labels, le: '+Inf' }, count],
    [`${name}_sum`, { ...labels }, sum],
    [`${name}_count`, { ...labels }, count],
  ]);
  return [name, type, help, samples];
}

const whyNot = probeReader();

describe.skipIf(whyNot !== null)(
  `a reader of Prometheus' format${whyNot === null ? '' : ` (skipped: ${whyNot})`}`,
  () => {
    it('reads every sample of every metric as it was', async () => {
      const families = await (await makeCollector()).collect();
      const made = read(formatMetrics(families));
      expect(made).toEqual(families.map(expected));
      expect(made.filter(([, type]) => type === 'histogram').length).toBeGreaterThan(5);
    }, 60_000);

    it('reads whatever stands in labels and help texts', () => {
      const value = 'a"b\\c\nd\\n{e="f",g} Größe 𝄞 #';
      const families: MetricFamily[] = [
        {
          name: 'pointsman_things',
          type: 'gauge',
          help: 'One\\two\nthree "four".',
          samples: [{ labels: { object: value, kind: '' }, value: Number.POSITIVE_INFINITY }],
        },
        {
          name: 'pointsman_waits_seconds',
          type: 'histogram',
          help: 'Waits.',
          samples: [
            { labels: { object: value }, bounds: [1.5e-7, 0.001], counts: [1, 1], count: 2, sum: 1e21 },
          ],
        },
      ];
      expect(read(formatMetrics(families))).toEqual(families.map(expected));
    }, 60_000);
  },
);
