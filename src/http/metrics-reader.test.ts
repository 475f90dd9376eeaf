// The text of all metrics, read by the library that Prometheus' own Python users have: every sample comes back as it was.

import { describe, expect, it } from 'vitest';
import { makeCollector } from '../../test/metrics-world.ts';
import { probeReader, readMetrics, type ReadFamily, type ReadSample } from '../../test/prometheus-reader.ts';
import type { MetricFamily } from '../daemon/metric-families.ts';
import { formatMetrics } from './prometheus-text.ts';

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
      const made = readMetrics(formatMetrics(families));
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
      expect(readMetrics(formatMetrics(families))).toEqual(families.map(expected));
    }, 60_000);
  },
);
