// Metrics as text that Prometheus reads. Our own, because prom-client alone would cost 13 MB of resident memory on every node.
// Source: Prometheus documentation, "Exposition formats", text format 0.0.4.

import type { MetricFamily, MetricSample } from '../daemon/metrics.ts';

/** The Content-Type of the text. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * One family after the other: HELP, TYPE, a line for each sample. A family without samples keeps its two lines, so that a reader knows it
 * exists. Whatever stands in a label or a help text stays in its line. Throws on a name that the format does not allow: our mistake.
 */
export function formatMetrics(families: readonly MetricFamily[]): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name))
      throw new Error(`no name of a metric: ${JSON.stringify(name)}`);
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    for (const sample of samples)
      lines.push(`${name}${formatLabels(sample.labels)} ${formatValue(sample.value)}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

function formatLabels(labels: MetricSample['labels']): string {
  const parts = Object.entries(labels).map(([name, value]) => {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
      throw new Error(`no name of a label: ${JSON.stringify(name)}`);
    return `${name}="${escapeLabel(value)}"`;
  });
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
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
  return escapeHelp(text).replaceAll('"', String.raw`\"`);
}
