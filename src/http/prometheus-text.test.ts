// The text format, read back by a reader that knows only the format's own description: whatever stands in a label comes back.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MetricFamily, MetricSample } from '../daemon/metrics.ts';
import { formatMetrics, PROMETHEUS_CONTENT_TYPE } from './prometheus-text.ts';

const family = (samples: readonly MetricSample[], help = 'Help.'): MetricFamily => ({
  name: 'pointsman_things',
  type: 'gauge',
  help,
  samples,
});

/** Reads the text character by character; throws where it is not of the format. */
function parse(text: string): MetricFamily[] {
  const families: MetricFamily[] = [];
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no end');
  let current: { name: string; type: 'gauge' | 'counter'; help: string; samples: MetricSample[] } | null =
    null;
  for (const line of text.split('\n').slice(0, -1)) {
    const comment = /^# (HELP|TYPE) (\S+) ([\s\S]*)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      current = {
        name: comment[2] ?? '',
        type: 'gauge',
        help: unescape(comment[3] ?? '', false),
        samples: [],
      };
      families.push(current);
    } else if (comment !== null) {
      if (current === null || current.name !== comment[2]) throw new Error(`TYPE without HELP: ${line}`);
      if (comment[3] !== 'gauge' && comment[3] !== 'counter') throw new Error(`no type: ${line}`);
      current.type = comment[3];
    } else {
      if (current === null || !line.startsWith(current.name)) throw new Error(`out of place: ${line}`);
      current.samples.push(parseSample(line.slice(current.name.length)));
    }
  }
  return families;
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
    const families = fc.array(
      fc.record({
        name: name.map((text) => `pointsman_${text}`),
        type: fc.constantFrom('counter' as const, 'gauge' as const),
        help: hostile,
        samples: fc.array(sample, { maxLength: 4 }),
      }),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(families, (given) => {
        expect(parse(formatMetrics(given))).toEqual(given);
      }),
    );
  });
});
