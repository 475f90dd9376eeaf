// The text format, read back by a reader that knows only the format's own description: whatever stands in a label comes back.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type {
  HistogramFamily,
  HistogramSample,
  MetricFamily,
  MetricSample,
  ValueFamily,
} from '../daemon/metric-families.ts';
import { formatMetrics, PROMETHEUS_CONTENT_TYPE } from './prometheus-text.ts';

const family = (samples: readonly MetricSample[], help = 'Help.'): ValueFamily => ({
  name: 'pointsman_things',
  type: 'gauge',
  help,
  samples,
});

/** One line of a sample, with what stands behind the name of its family. */
interface Line extends MetricSample {
  readonly suffix: string;
}

/** A family as its lines say it. */
interface ReadFamily {
  readonly name: string;
  readonly help: string;
  type: string;
  readonly lines: Line[];
}

/** Reads the text character by character; throws where it is not of the format. */
function parse(text: string): MetricFamily[] {
  const families: ReadFamily[] = [];
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no end');
  let current: ReadFamily | null = null;
  for (const line of text.split('\n').slice(0, -1)) {
    const comment = /^# (HELP|TYPE) (\S+) ([\s\S]*)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      current = { name: comment[2] ?? '', type: '', help: unescape(comment[3] ?? '', false), lines: [] };
      families.push(current);
    } else if (comment !== null) {
      if (current === null || current.name !== comment[2]) throw new Error(`TYPE without HELP: ${line}`);
      current.type = comment[3] ?? '';
    } else {
      if (current === null || !line.startsWith(current.name)) throw new Error(`out of place: ${line}`);
      const rest = line.slice(current.name.length);
      const suffix = /^(_bucket|_sum|_count)?/.exec(rest)?.[0] ?? '';
      current.lines.push({ suffix, ...parseSample(rest.slice(suffix.length)) });
    }
  }
  return families.map(familyOf);
}

function familyOf({ name, type, help, lines }: ReadFamily): MetricFamily {
  if (type === 'histogram') return { name, type, help, samples: histogramsOf(lines) };
  if (type !== 'gauge' && type !== 'counter') throw new Error(`no type: ${type}`);
  return {
    name,
    type,
    help,
    samples: lines.map(({ suffix, labels, value }) => {
      if (suffix !== '') throw new Error(`${suffix} of a ${type}`);
      return { labels, value };
    }),
  };
}

/** Buckets, then the sum, then the count of one histogram after the other. */
function histogramsOf(lines: readonly Line[]): HistogramSample[] {
  const samples: HistogramSample[] = [];
  let [bounds, counts]: [number[], number[]] = [[], []];
  for (const [index, { suffix, labels, value }] of lines.entries()) {
    const { le = '', ...others } = labels;
    if (suffix === '_bucket') {
      bounds.push(Number(le.replace('Inf', 'Infinity')));
      counts.push(value);
    } else if (suffix === '_sum') {
      if (bounds.pop() !== Number.POSITIVE_INFINITY) throw new Error('the last bucket does not hold all');
      const count = counts.pop() ?? 0;
      const last = lines[index + 1];
      if (last?.suffix !== '_count' || last.value !== count) throw new Error('no count, or another one');
      samples.push({ labels: others, bounds, counts, count, sum: value });
      [bounds, counts] = [[], []];
    }
  }
  return samples;
}

function parseSample(text: string): MetricSample {
  const labels: Record<string, string> = {};
  let at = 0;
  if (text[at] === '{') {
    do {
      at++;
      const name = /^[a-zA-Z_][a-zA-Z0-9_]*(?==")/.exec(text.slice(at))?.[0];
      if (name === undefined || Object.hasOwn(labels, name)) throw new Error(`no label at ${at} of ${text}`);
      at += name.length + 2;
      const start = at;
      while (text[at] !== '"') {
        if (at >= text.length) throw new Error(`a label without an end: ${text}`);
        at += text[at] === '\\' ? 2 : 1;
      }
      Object.defineProperty(labels, name, { value: unescape(text.slice(start, at), true), enumerable: true });
      at++;
    } while (text[at] === ',');
    if (text[at++] !== '}') throw new Error(`no } at ${at} of ${text}`);
  }
  const value = /^ (\+Inf|-Inf|NaN|-?[0-9.e+-]+)$/.exec(text.slice(at))?.[1];
  if (value === undefined) throw new Error(`no value in ${text}`);
  return { labels, value: Number(value.replace('Inf', 'Infinity')) };
}

function unescape(text: string, hasQuotes: boolean): string {
  return text.replaceAll(/\\([\s\S]?)/g, (_, next: string) => {
    if (next === 'n') return '\n';
    if (next === '\\' || (hasQuotes && next === '"')) return next;
    throw new Error(`no escape: \\${next}`);
  });
}

describe('the text of metrics', () => {
  it('has HELP, TYPE and a line for each sample', () => {
    const text = formatMetrics([
      {
        name: 'pointsman_syncs_total',
        type: 'counter',
        help: 'Syncs that went through.',
        samples: [{ labels: {}, value: 3 }],
      },
      {
        name: 'pointsman_kernel_failures_total',
        type: 'counter',
        help: 'What was refused.',
        samples: [
          { labels: { operation: 'NEW_DEST', errno: 'ENOMEM' }, value: 2 },
          { labels: { operation: 'read', errno: 'EIO' }, value: 1 },
        ],
      },
      family([]),
    ]);
    expect(text).toBe(`# HELP pointsman_syncs_total Syncs that went through.
# TYPE pointsman_syncs_total counter
pointsman_syncs_total 3
# HELP pointsman_kernel_failures_total What was refused.
# TYPE pointsman_kernel_failures_total counter
pointsman_kernel_failures_total{operation="NEW_DEST",errno="ENOMEM"} 2
pointsman_kernel_failures_total{operation="read",errno="EIO"} 1
# HELP pointsman_things Help.
# TYPE pointsman_things gauge
`);
    expect(PROMETHEUS_CONTENT_TYPE).toBe('text/plain; version=0.0.4; charset=utf-8');
  });

  it('has a line for each bucket of a histogram, the last for all values, and its sum and count', () => {
    const histogram: HistogramFamily = {
      name: 'kubeproxy_sync_seconds',
      type: 'histogram',
      help: 'Help.',
      samples: [
        { labels: { ip_family: 'IPv4' }, bounds: [0, 0.25, 16.384], counts: [0, 2, 3], count: 4, sum: 20.5 },
        { labels: {}, bounds: [], counts: [], count: 0, sum: 0 },
      ],
    };
    expect(formatMetrics([histogram])).toBe(`# HELP kubeproxy_sync_seconds Help.
# TYPE kubeproxy_sync_seconds histogram
kubeproxy_sync_seconds_bucket{ip_family="IPv4",le="0"} 0
kubeproxy_sync_seconds_bucket{ip_family="IPv4",le="0.25"} 2
kubeproxy_sync_seconds_bucket{ip_family="IPv4",le="16.384"} 3
kubeproxy_sync_seconds_bucket{ip_family="IPv4",le="+Inf"} 4
kubeproxy_sync_seconds_sum{ip_family="IPv4"} 20.5
kubeproxy_sync_seconds_count{ip_family="IPv4"} 4
kubeproxy_sync_seconds_bucket{le="+Inf"} 0
kubeproxy_sync_seconds_sum 0
kubeproxy_sync_seconds_count 0
`);
    const [sample] = histogram.samples;
    const wrong = { ...histogram, samples: [{ ...sample, labels: { le: '1' } } as HistogramSample] };
    expect(() => formatMetrics([wrong])).toThrow('the label le');
  });

  it('of no metrics is empty', () => {
    expect(formatMetrics([])).toBe('');
  });

  it.each([
    ['a quote', 'a"b', String.raw`a\"b`],
    ['a backslash', 'a\\b', String.raw`a\\b`],
    ['a backslash before a quote', '\\"', String.raw`\\\"`],
    ['a backslash at the end', 'a\\', String.raw`a\\`],
    ['what looks like an escape', '\\n', String.raw`\\n`],
    ['a line feed', 'a\nb', String.raw`a\nb`],
    ['a forged sample', 'x"} 1\npointsman_synced 1', String.raw`x\"} 1\npointsman_synced 1`],
    ['braces, commas and equals signs', '{a="b",c}', String.raw`{a=\"b\",c}`],
    ['IPv6', 'TCP [fd00::1]:80', 'TCP [fd00::1]:80'],
    ['letters beyond ASCII', 'Größe ✓ 𝄞', 'Größe ✓ 𝄞'],
    ['a carriage return and a tab', 'a\r\tb', 'a\r\tb'],
    ['nothing', '', ''],
  ])('escapes %s in a label', (_, value, escaped) => {
    expect(
      formatMetrics([family([{ labels: { object: value }, value: 1 }])])
        .split('\n')
        .slice(2),
    ).toEqual([`pointsman_things{object="${escaped}"} 1`, '']);
  });

  it.each([
    ['a backslash', 'a\\b', String.raw`a\\b`],
    ['a line feed', 'a\n# TYPE b gauge', String.raw`a\n# TYPE b gauge`],
    ['no quote', 'a "b"', 'a "b"'],
  ])('escapes %s in a help text', (_, help, escaped) => {
    expect(formatMetrics([family([], help)])).toBe(
      `# HELP pointsman_things ${escaped}\n# TYPE pointsman_things gauge\n`,
    );
  });

  it.each([
    [0, '0'],
    [1, '1'],
    [-1, '-1'],
    [0.25, '0.25'],
    [1e21, '1e+21'],
    [2 ** 53, '9007199254740992'],
    [1.5e-7, '1.5e-7'],
    [Number.POSITIVE_INFINITY, '+Inf'],
    [Number.NEGATIVE_INFINITY, '-Inf'],
    [Number.NaN, 'NaN'],
  ])('writes %d as %s', (value, expected) => {
    expect(formatMetrics([family([{ labels: {}, value }])]).split('\n')[2]).toBe(
      `pointsman_things ${expected}`,
    );
  });

  it.each([
    ['metric', { ...family([]), name: 'a b' }],
    ['metric', { ...family([]), name: '1a' }],
    ['metric', { ...family([]), name: '' }],
    ['label', family([{ labels: { 'a-b': 'x' }, value: 1 }])],
    ['label', family([{ labels: { 'a="1",b': 'x' }, value: 1 }])],
    ['label', family([{ labels: { 'a\n': 'x' }, value: 1 }])],
  ])('refuses what is no name of a %s', (what, wrong) => {
    expect(() => formatMetrics([wrong])).toThrow(`no name of a ${what}`);
  });

  it('comes back whatever stands in labels and help texts', () => {
    const hostile = fc.oneof(
      fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', '}', ' ', ',', '=', '#') }),
      fc.string({ unit: 'binary' }),
    );
    const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/);
    const sample = fc.record({
      labels: fc.dictionary(name, hostile, { maxKeys: 4, noNullPrototype: true }),
      value: fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)),
    });
    const finite = fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .filter((value) => !Object.is(value, -0));
    const histogram = fc
      .record({
        labels: fc.dictionary(
          name.filter((text) => text !== 'le'),
          hostile,
          { maxKeys: 3, noNullPrototype: true },
        ),
        buckets: fc.uniqueArray(fc.tuple(finite, fc.nat()), { selector: ([bound]) => bound, maxLength: 6 }),
        above: fc.nat(),
        sum: finite,
      })
      .map(({ labels, buckets, above, sum }): HistogramSample => {
        const sorted = [...buckets].sort(([a], [b]) => a - b);
        let count = 0;
        const counts = sorted.map(([, more]) => (count += more));
        return { labels, bounds: sorted.map(([bound]) => bound), counts, count: count + above, sum };
      });
    const head = { name: name.map((text) => `pointsman_${text}`), help: hostile };
    const families = fc.array(
      fc.oneof(
        fc.record({
          ...head,
          type: fc.constantFrom('counter' as const, 'gauge' as const),
          samples: fc.array(sample, { maxLength: 4 }),
        }),
        fc.record({
          ...head,
          type: fc.constant('histogram' as const),
          samples: fc.array(histogram, { maxLength: 3 }),
        }),
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(families, (given) => {
        expect(parse(formatMetrics(given))).toEqual(given);
      }),
    );
  });
});
