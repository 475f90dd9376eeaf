// Metrics as text that Prometheus reads. Our own, because prom-client alone would cost 13 MB of resident memory on every node.
// Source: Prometheus documentation, "Exposition formats", text format 0.0.4.

import type { HistogramSample, MetricFamily, MetricLabels } from '../daemon/metric-families.ts';

/** The Content-Type of the text. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * One family after the other: HELP, TYPE, a line for each sample, or several for each histogram. A family without samples keeps its two lines, so that a reader knows it
 * exists. Whatever stands in a label or a help text stays in its line. Throws on a name that the format does not allow: our mistake.
 */
export function formatMetrics(families: readonly MetricFamily[]): string {
  const lines: string[] = [];
  for (const family of families) {
    const { name, type, help } = family;
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name))
      throw new Error(`no name of a metric: ${JSON.stringify(name)}`);
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    if (family.type === 'histogram') for (const sample of family.samples) addHistogram(lines, name, sample);
    else
      for (const { labels, value } of family.samples)
        lines.push(`${name}${braced(formatLabels(labels))} ${formatValue(value)}`);
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** A line for each bucket, the last of which holds every value, and two for the sum and the count. */
function addHistogram(lines: string[], name: string, sample: HistogramSample): void {
  const { labels, bounds, counts, count, sum } = sample;
  if (Object.hasOwn(labels, 'le')) throw new Error(`the label le of ${name} belongs to its buckets`);
  const text = formatLabels(labels);
  const prefix = text === '' ? '' : `${text},`;
  bounds.forEach((bound, index) =>
    lines.push(`${name}_bucket{${prefix}le="${formatValue(bound)}"} ${formatValue(counts[index] ?? 0)}`),
  );
  lines.push(`${name}_bucket{${prefix}le="+Inf"} ${formatValue(count)}`);
  lines.push(
    `${name}_sum${braced(text)} ${formatValue(sum)}`,
    `${name}_count${braced(text)} ${formatValue(count)}`,
  );
}

function braced(labels: string): string {
  return labels === '' ? '' : `{${labels}}`;
}

/** 'a="1",b="2"', '' for none. */
function formatLabels(labels: MetricLabels): string {
  let text = '';
  for (const name in labels) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
      throw new Error(`no name of a label: ${JSON.stringify(name)}`);
    text += `${text === '' ? '' : ','}${name}="${escapeLabel(labels[name] ?? '')}"`;
  }
  return text;
}

/** As Go's ParseFloat reads it. */
function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`);
}

function escapeLabel(text: string): string {
  // Nearly all are plain, and there may be tens of thousands.
  return /[\\\n"]/.test(text) ? escapeHelp(text).replaceAll('"', String.raw`\"`) : text;
}
