// The chart: rendered with its own values and with each switch it is valid, and says the same as deploy/kubernetes and deploy/monitoring.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { Chart } from './helm-template.ts';
import { parseObjects, readObjects, readText, ROOT, theOne, type ManifestObject } from './objects.ts';
import { schemaMistakes } from './schema.ts';

const FOLDER = 'deploy/helm/pointsman';
const read = (folder: string): Map<string, string> =>
  new Map(
    readdirSync(join(ROOT, FOLDER, folder)).map((name) => [name, readText(`${FOLDER}/${folder}/${name}`)]),
  );
const templates = read('templates');
const chart = new Chart(templates);
const files = new Map([...read('files')].map(([name, text]) => [`files/${name}`, text]));
const about = parse(readText(`${FOLDER}/Chart.yaml`)) as {
  readonly version: string;
  readonly appVersion: string;
};
const DEFAULTS = parse(readText(`${FOLDER}/values.yaml`)) as Values;
const schema = z.fromJSONSchema(JSON.parse(readText(`${FOLDER}/values.schema.json`)) as never);

interface Values {
  readonly [key: string]: unknown;
}

/** As Helm merges what is given over the defaults: maps field by field, all else as it is. */
function merge(base: Values, given: Values): Values {
  const isMap = (value: unknown): value is Values =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const merged = Object.entries(given).map(([key, value]) => {
    const old = base[key];
    return [key, isMap(old) && isMap(value) ? merge(old, value) : value] as const;
  });
  return { ...base, ...Object.fromEntries(merged) };
}

/** What stands in deploy/kubernetes, as values. */
const SAME: Values = {
  apiServer: 'https://control-plane.example:6443',
  config: { clusterCIDR: '10.244.0.0/16' },
  image: { repository: 'pointsman' },
};

/** All objects of the chart. Values that the schema refuses are an error, as they are to Helm. */
function render(given: Values, namespace = 'kube-system'): ManifestObject[] {
  const values = merge(DEFAULTS, given);
  schema.parse(values);
  const context = {
    Values: values,
    Release: { Name: 'pointsman', Namespace: namespace, Service: 'Helm' },
    Chart: { Name: 'pointsman', Version: about.version, AppVersion: about.appVersion },
    Files: files,
  };
  return [...templates.keys()]
    .filter((name) => name.endsWith('.yaml'))
    .flatMap((name) => parseObjects(chart.render(name, context), name));
}

/** Without what only Helm adds, and with texts of YAML as their values. */
function plain(object: ManifestObject): unknown {
  const { data, ...rest } = structuredClone(object) as ManifestObject & { data?: Record<string, string> };
  const labels = { ...rest.metadata.labels };
  delete labels['helm.sh/chart'];
  delete labels['app.kubernetes.io/managed-by'];
  return {
    ...rest,
    metadata: { ...rest.metadata, labels },
    ...(data === undefined
      ? {}
      : {
          data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, parse(text) as unknown])),
        }),
  };
}

const byName = (objects: readonly ManifestObject[]): ReadonlyMap<string, unknown> =>
  new Map(objects.map((object) => [`${object.kind} ${object.metadata.name}`, plain(object)]));
/** The image of a plain manifest gets its tag from a kustomization. */
const tagged = (objects: readonly ManifestObject[]): ManifestObject[] =>
  JSON.parse(
    JSON.stringify(objects).replaceAll('"image":"pointsman"', `"image":"pointsman:${about.appVersion}"`),
  ) as ManifestObject[];
const MONITORING = {
  serviceMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  dashboard: { enabled: true },
};

describe('rendered', () => {
  const BASE = ['base/rbac.yaml', 'base/config-map.yaml'].flatMap((file) =>
    readObjects(`deploy/kubernetes/${file}`),
  );

  it.each([
    ['privileged', {}],
    ['minimal-capabilities', { privileged: false }],
  ])('it is what deploy/kubernetes/%s is', (variant, values) => {
    const expected = [...BASE, ...readObjects(`deploy/kubernetes/${variant}/daemon-set.yaml`)];
    expect(byName(render({ ...SAME, ...values }))).toEqual(byName(tagged(expected)));
  });

  it('with monitoring it is what deploy/monitoring is', () => {
    const objects = byName(render({ ...SAME, monitoring: MONITORING, metrics: { address: '0.0.0.0' } }));
    const expected = ['service-monitor', 'prometheus-rule'].flatMap((name) =>
      readObjects(`deploy/monitoring/${name}.yaml`),
    );
    for (const [name, object] of byName(expected)) expect(objects.get(name), name).toEqual(object);
    const dashboard = objects.get('ConfigMap pointsman-dashboard') as {
      readonly data: Record<string, unknown>;
    };
    expect(dashboard.data['pointsman.json']).toEqual(
      JSON.parse(readText('deploy/monitoring/dashboard.json')),
    );
  });

  it.each<[string, Values]>([
    ['with as little as possible', { apiServer: 'https://10.0.0.1:6443' }],
    ['with minimal capabilities', { privileged: false, extraArgs: ['-v=4'] }],
    [
      'with a digest',
      { image: { digest: `sha256:${'0a'.repeat(32)}` }, imagePullSecrets: [{ name: 'registry' }] },
    ],
    [
      'without service account and rights',
      { serviceAccount: { create: false, name: 'own' }, rbac: { create: false } },
    ],
    ['with monitoring', { monitoring: MONITORING, metrics: { address: '0.0.0.0', port: 9249 } }],
    [
      'with other labels',
      { monitoring: { prometheusRule: { enabled: true, labels: { release: 'prometheus' } } } },
    ],
    ['on few nodes', { nodeSelector: { proxy: 'pointsman' }, podAnnotations: { a: 'b' }, maxUnavailable: 1 }],
    [
      'with other ports',
      { healthz: { port: 20256 }, metrics: { port: 20249 }, resources: {}, tolerations: [] },
    ],
    ['with more of a configuration', { config: { ipvs: { strictARP: true, excludeCIDRs: ['10.0.0.0/8'] } } }],
  ])('it is valid %s', (_, values) => {
    const objects = render({ ...SAME, ...values }, 'proxies');
    expect(objects.length).toBeGreaterThan(1);
    for (const object of objects) {
      expect([object.kind, ...schemaMistakes(object)]).toEqual([object.kind]);
      if (!object.kind.startsWith('ClusterRole')) expect(object.metadata.namespace).toBe('proxies');
    }
  });

  it('a digest wins over the tag, in every container', () => {
    const digest = `sha256:${'0a'.repeat(32)}`;
    const objects = render({ ...SAME, image: { repository: 'r/p', tag: 'x', digest }, privileged: false });
    const images = JSON.stringify(theOne(objects, 'DaemonSet')).match(/"image":"[^"]*"/g);
    expect(images).toEqual([`"image":"r/p@${digest}"`, `"image":"r/p@${digest}"`]);
  });

  it.each<[string, Values, RegExp]>([
    ['without an API server', { config: {} }, /apiServer must be given/],
    [
      'with a monitor that reaches nothing',
      { ...SAME, monitoring: MONITORING },
      /needs metrics.address 0.0.0.0/,
    ],
  ])('it refuses %s', (_, values, message) => {
    expect(() => render(values)).toThrow(message);
  });
});

describe('values', () => {
  it('the defaults are as the schema says', () => {
    expect(schema.safeParse(DEFAULTS).error?.issues).toBeUndefined();
  });

  it.each<[string, Values]>([
    ['an unknown field', { imge: {} }],
    ['an unknown field below', { image: { tagg: '1' } }],
    ['a port that is none', { healthz: { port: 70_000 } }],
    ['a digest that is none', { image: { digest: 'sha256:123' } }],
    ['an API server without a scheme', { apiServer: '10.0.0.1:6443' }],
    ['a mode that is not there yet', { config: { mode: 'nftables' } }],
    ['an address that the chart sets itself', { config: { metricsBindAddress: '0.0.0.0:1' } }],
    ['a flag without dashes', { extraArgs: ['v=4'] }],
    ['half a percentage', { maxUnavailable: '10' }],
  ])('the schema refuses %s', (_, values) => {
    expect(schema.safeParse(merge(DEFAULTS, values)).success).toBe(false);
  });
});

describe('files', () => {
  it('are those of deploy/monitoring, and versions those of the project', () => {
    expect(files.get('files/dashboard.json')).toBe(readText('deploy/monitoring/dashboard.json'));
    const { version } = JSON.parse(readText('package.json')) as { readonly version: string };
    expect([about.version, about.appVersion]).toEqual([version, version]);
  });
});
