// Prometheus' own library for Python, as a reader of metrics that is not ours.

import { spawnSync } from 'node:child_process';

const PYTHON = '/usr/bin/python3';
const READER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
families = list(read(sys.stdin.buffer.read().decode()))
print(json.dumps([[f.name, f.type, f.documentation, [[s.name, s.labels, repr(float(s.value))] for s in f.samples]] for f in families]))
`;

export type ReadSample = [name: string, labels: Record<string, string>, value: number];
export type ReadFamily = [name: string, type: string, help: string, samples: ReadSample[]];

/** Null when the library is there, else why not. */
export function probeReader(): string | null {
  const { error, status } = spawnSync(PYTHON, ['-c', 'import prometheus_client.parser']);
  return error === undefined && status === 0
    ? null
    : 'python3-prometheus-client is not installed (npm run setup, as root on Debian)';
}

/** What the library makes of a text. Throws what it says against it. */
export function readMetrics(text: string): ReadFamily[] {
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
