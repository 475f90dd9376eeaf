// deploy/monitoring: every metric and label that the dashboard and the alerts ask for is one that the agent has.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseObjects, readObjects, readText, ROOT, theOne } from './objects.ts';
import { schemaMistakes } from './schema.ts';

/** Labels of kube-proxy's metrics, as kube-proxy 1.36 has them. Source: pkg/proxy/metrics. */
const KUBE_PROXY: Readonly<Record<string, readonly string[]>> = {
  kubeproxy_sync_proxy_rules_duration_seconds_bucket: ['le', 'ip_family'],
  kubeproxy_network_programming_duration_seconds_bucket: ['le', 'ip_family'],
  kubeproxy_sync_proxy_rules_last_timestamp_seconds: ['ip_family'],
  kubeproxy_sync_proxy_rules_service_changes_total: [],
  kubeproxy_sync_proxy_rules_endpoint_changes_total: [],
  kubeproxy_sync_proxy_rules_no_local_endpoints_total: ['traffic_policy', 'ip_family'],
  kubeproxy_proxy_healthz_total: ['code'],
  kubeproxy_proxy_livez_total: ['code'],
  kubeproxy_conntrack_reconciler_deleted_entries_total: ['ip_family'],
  process_resident_memory_bytes: [],
  process_cpu_seconds_total: [],
  // Prometheus' own.
  up: [],
};
/** What Prometheus adds to every sample. */
const ADDED = ['job', 'instance'];

/** Names and labels from the tables of docs/metrics.md: | `name` | type | `label`, `label` | meaning | */
const OURS = [...readText('docs/metrics.md').matchAll(/^\| `(pointsman_\w+)` \| \w+ \| ([^|]*)\|/gm)].map(
  ([, name = '', labels = '']) =>
    [name, [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label)] as const,
);
const METRICS = new Map<string, readonly string[]>([...Object.entries(KUBE_PROXY), ...OURS]);

/** Metrics of an expression that are unknown, and labels that the metric does not have, one line each. */
function mistakesOf(expression: string): string[] {
  const mistakes: string[] = [];
  const known = new Set(ADDED);
  if (!/[a-z_]+\{/.test(expression)) mistakes.push('no metric at all');
  // Every metric of ours has a selector of labels: without, it would be of any job.
  for (const [, name = '', selector = ''] of expression.matchAll(/([a-z_]+)\{([^}]*)\}/g)) {
    const labels = METRICS.get(name);
    if (labels === undefined) mistakes.push(`no metric ${name}`);
    for (const label of labels ?? []) known.add(label);
    const named = [...selector.matchAll(/(\w+)(?:!=|=~|=)/g)].map(([, label = '']) => label);
    if (!named.includes('job')) mistakes.push(`${name}: of any job`);
    for (const label of named)
      if (![...ADDED, ...(labels ?? [])].includes(label)) mistakes.push(`${name} has no label ${label}`);
  }
  for (const [, list = ''] of expression.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list.split(/,\s*/))
      if (!known.has(label)) mistakes.push(`nothing has a label ${label}`);
  const bare = expression.replaceAll(/"[^"]*"/g, '').replaceAll(/[a-z_]+\{[^}]*\}/g, '');
  for (const [name] of bare.matchAll(/\b(pointsman|kubeproxy|process)_\w+/g))
    mistakes.push(`${name}: no selector`);
  return mistakes;
}

describe('expressions are looked at', () => {
  it.each([
    ['pointsman_nonsense{job="a"}', 'no metric pointsman_nonsense'],
    ['pointsman_synced{job="a",errno="x"}', 'pointsman_synced has no label errno'],
    ['pointsman_synced{}', 'pointsman_synced: of any job'],
    ['pointsman_synced > 0', 'pointsman_synced: no selector'],
    ['sum by (kind) (pointsman_synced{job="a"})', 'nothing has a label kind'],
  ])('%s', (expression, mistake) => {
    expect(mistakesOf(expression)).toContain(mistake);
  });
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly targets?: readonly {
    readonly expr: string;
    readonly refId: string;
    readonly legendFormat: string;
  }[];
}
interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}

describe('dashboard', () => {
  const { panels, templating, uid } = JSON.parse(readText('deploy/monitoring/dashboard.json')) as Dashboard;
  const graphs = panels.filter(({ type }) => type !== 'row');

  it.each(graphs.map((panel) => [panel.title, panel] as const))('%s', (_, { targets = [], description }) => {
    expect(description).toMatch(/\.$/);
    expect(targets.length).toBeGreaterThan(0);
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    for (const { expr, legendFormat } of targets) {
      expect(mistakesOf(expr)).toEqual([]);
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        expect([...ADDED, ...expr.matchAll(/\w+/g)].map(String)).toContain(label);
    }
  });

  it('panels have numbers of their own and do not lie on one another', () => {
    expect(uid).toBe('pointsman');
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)} ${y + Math.floor(at / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  });

  it('uses only variables that it has', () => {
    const names = templating.list.map(({ name }) => name);
    const used = [...JSON.stringify(panels).matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name);
    expect(new Set(used.filter((name) => !name.startsWith('__')))).toEqual(new Set(names));
  });
});

describe('alerts', () => {
  const rule = theOne(readObjects('deploy/monitoring/prometheus-rule.yaml'), 'PrometheusRule') as unknown as {
    readonly spec: {
      readonly groups: readonly {
        readonly rules: readonly {
          readonly alert: string;
          readonly expr: string;
          readonly labels: { readonly severity: string };
          readonly annotations: { readonly summary: string; readonly description: string };
        }[];
      }[];
    };
  };
  const alerts = rule.spec.groups.flatMap(({ rules }) => rules);

  it.each(alerts.map((alert) => [alert.alert, alert] as const))(
    '%s',
    (name, { expr, labels, annotations }) => {
      expect(name).toMatch(/^Pointsman[A-Z]/);
      expect(mistakesOf(expr)).toEqual([]);
      expect(['warning', 'critical']).toContain(labels.severity);
      expect(annotations.summary).toMatch(/\.$|\}\}\.$/);
      expect(annotations.description).toMatch(/\.$/);
      // Labels in the text must be left by the expression.
      const by = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(/,\s*/);
      const left = by ?? ADDED;
      const told = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(
        ([, label = '']) => label,
      );
      for (const label of told) expect(left).toContain(label);
    },
  );

  it('are the names that the documentation gives', () => {
    const told = [...readText('docs/operating.md').matchAll(/^\| `(Pointsman\w+)` \|/gm)].map(
      ([, alert]) => alert,
    );
    expect(told.sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });
});

describe('objects', () => {
  it.each(['service-monitor.yaml', 'prometheus-rule.yaml'])('%s is valid', (file) => {
    for (const object of readObjects(`deploy/monitoring/${file}`))
      expect([object.kind, ...schemaMistakes(object)]).toEqual([object.kind]);
  });

  it('the monitor finds the Service, and the Service the agents; the job is called as alerts and dashboard have it', () => {
    const objects = readObjects('deploy/monitoring/service-monitor.yaml');
    const service = theOne(objects, 'Service') as unknown as {
      readonly metadata: { readonly labels: Record<string, string> };
      readonly spec: { readonly selector: object; readonly ports: readonly { readonly name: string }[] };
    };
    const monitor = theOne(objects, 'ServiceMonitor') as unknown as {
      readonly spec: {
        readonly jobLabel: string;
        readonly selector: { readonly matchLabels: object };
        readonly endpoints: readonly { readonly port: string }[];
      };
    };
    const agents = theOne(
      readObjects('deploy/kubernetes/privileged/daemon-set.yaml'),
      'DaemonSet',
    ) as unknown as {
      readonly spec: { readonly template: { readonly metadata: { readonly labels: object } } };
    };
    expect(service.metadata.labels).toMatchObject(monitor.spec.selector.matchLabels);
    expect(agents.spec.template.metadata.labels).toMatchObject(service.spec.selector);
    expect(monitor.spec.endpoints.map(({ port }) => port)).toEqual(
      service.spec.ports.map(({ name }) => name),
    );
    expect(service.metadata.labels[monitor.spec.jobLabel]).toBe('pointsman');
  });

  it('the kustomization takes files that there are', () => {
    const [kustomization] = parseObjects(
      readText('deploy/monitoring/kustomization.yaml'),
      'kustomization.yaml',
    );
    const { resources, configMapGenerator } = kustomization as unknown as {
      readonly resources: readonly string[];
      readonly configMapGenerator: readonly { readonly files: readonly string[] }[];
    };
    const files = configMapGenerator.flatMap(({ files: listed }) =>
      listed.map((file) => file.replace(/^.*=/, '')),
    );
    for (const file of [...resources, ...files])
      expect(existsSync(join(ROOT, 'deploy/monitoring', file)), file).toBe(true);
  });
});
