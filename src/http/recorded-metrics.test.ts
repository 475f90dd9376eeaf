// Our metrics beside those that a kube-proxy 1.36 in IPVS mode gave (test/golden/metrics): every name, label, bucket and help text that it has
// is ours as well, but for what is listed here with its reason. The recorder ran kube-proxy inside one binary with an API server.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { makeCollector } from '../../test/metrics-world.ts';
import { formatMetrics } from './prometheus-text.ts';

const RECORDED = readFileSync(
  new URL('../../test/golden/metrics/kube-proxy-1.36-ipvs.txt', import.meta.url),
  'utf8',
);

/** Names that we do not have, as docs/metrics.md lists them; a * stands for the rest of a name. */
const LEFT_OUT: readonly (readonly [pattern: string, reason: string])[] = [
  ['go_*', 'the runtime of Go, which this is not'],
  ['workqueue_*', 'queues of an API server'],
  ['apiserver_*', 'an API server that the recorder ran in the same process'],
  ['aggregator_*', 'the same API server'],
  ['cardinality_enforcement_unexpected_categorizations_total', "the books of Kubernetes' metrics library"],
  ['disabled_metrics_total', 'the same library'],
  ['hidden_metrics_total', 'the same library'],
  ['registered_metrics_total', 'the same library'],
  ['process_network_*', "the machine's traffic, not the process's: it is on the host's network"],
  ['rest_client_exec_plugin_*', "client-go's cache of certificates that plugins give"],
  ['rest_client_transport_*', "client-go's cache of transports"],
];

interface TextFamily {
  type: string;
  help: string;
  readonly labels: Set<string>;
  readonly bounds: Set<number>;
}

/** Families of a text in the exposition format, by name. */
function readFamilies(text: string): Map<string, TextFamily> {
  const families = new Map<string, TextFamily>();
  let current: TextFamily = { type: '', help: '', labels: new Set(), bounds: new Set() };
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      current = { type: '', help: comment[3] ?? '', labels: new Set(), bounds: new Set() };
      families.set(comment[2] ?? '', current);
    } else if (comment !== null) current.type = comment[3] ?? '';
    else
      for (const [, label, value] of line.matchAll(/[{,](\w+)="((?:[^"\\]|\\.)*)"/g)) {
        if (label === 'le') current.bounds.add(Number(value?.replace('Inf', 'Infinity')));
        else current.labels.add(label ?? '');
      }
  }
  return families;
}

const matches = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

/** What a family looks like, without its values. */
const shapeOf = (family: TextFamily | undefined): object => ({
  type: family?.type,
  help: family?.help,
  labels: [...(family?.labels ?? [])].sort(),
  bounds: [...(family?.bounds ?? [])].sort((a, b) => a - b),
});

describe('beside those recorded of kube-proxy, our metrics', async () => {
  const recorded = readFamilies(RECORDED);
  const collector = await makeCollector();
  const ours = readFamilies(formatMetrics(await collector.collect()));
  const expected = [...recorded.keys()].filter(
    (name) => !LEFT_OUT.some(([pattern]) => matches(pattern, name)),
  );

  it('are compared at all', () => {
    expect(expected.filter((name) => name.startsWith('kubeproxy_'))).toHaveLength(11);
    expect(expected.length).toBeGreaterThan(20);
  });

  it.each(expected)('have %s with its type, help, labels and buckets', (name) => {
    expect(shapeOf(ours.get(name))).toEqual(shapeOf(recorded.get(name)));
  });

  it('leave out what is listed, and nothing on the list is there or was never recorded', () => {
    const names = [...ours.keys()];
    for (const [pattern] of LEFT_OUT) {
      expect(
        [...recorded.keys()].some((name) => matches(pattern, name)),
        pattern,
      ).toBe(true);
      expect(
        names.filter((name) => matches(pattern, name)),
        pattern,
      ).toEqual([]);
    }
  });

  it('that were not recorded are those of kube-proxy that need a cause, or begin with pointsman_', () => {
    const more = [...ours.keys()].filter((name) => !recorded.has(name) && !name.startsWith('pointsman_'));
    expect(more).toEqual([
      'kubeproxy_network_programming_duration_seconds',
      'kubeproxy_proxy_livez_total',
      'kubeproxy_sync_proxy_rules_iptables_restore_failures_total',
    ]);
  });

  it('have samples of every family here, so that labels and buckets are compared', async () => {
    const empty = (await collector.collect()).filter(({ samples }) => samples.length === 0);
    expect(empty.map(({ name }) => name)).toEqual([]);
  });

  it('stand in docs/metrics.md: what we have of others with type and labels, and what we leave out', () => {
    const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/gm)]
      .filter(([, name]) => name?.startsWith('pointsman_') === false)
      .map(([, name, type, labels = '']) => ({
        name,
        type,
        labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort(),
      }));
    const made = [...ours]
      .filter(([name]) => !name.startsWith('pointsman_'))
      .map(([name, { type, labels }]) => ({ name, type, labels: [...labels].sort() }));
    const byName = (a: { name: string | undefined }, b: { name: string | undefined }): number =>
      (a.name ?? '') < (b.name ?? '') ? -1 : 1;
    expect(documented.sort(byName)).toEqual(made.sort(byName));
    expect(LEFT_OUT.filter(([pattern]) => !text.includes(`\`${pattern}\``))).toEqual([]);
  });
});
