// `bin/pointsman explain` as a user calls it: manifests in a folder, one question after the other.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const POINTSMAN = fileURLToPath(new URL('../../bin/pointsman', import.meta.url));

const NODES = ['node1', 'node2'].map((name, index) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'topology.kubernetes.io/zone': `zone-${index}` } },
  status: { addresses: [{ type: 'InternalIP', address: `192.0.2.${index + 1}` }] },
}));
const pod = (name: string, namespace: string): object => ({ targetRef: { kind: 'Pod', name, namespace } });
const service = (name: string, namespace: string, clusterIP: string, spec: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace, creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: {
    clusterIP,
    clusterIPs: [clusterIP],
    ports: [{ port: 80, nodePort: 30080 }],
    type: 'NodePort',
    ...spec,
  },
});
const slice = (name: string, namespace: string, endpoints: readonly object[]): object => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ port: 8080 }],
  endpoints,
});

const OBJECTS = [
  ...NODES,
  service('web', 'shop', '10.96.0.1', { externalTrafficPolicy: 'Local' }),
  slice('web', 'shop', [
    { addresses: ['10.244.1.1'], nodeName: 'node1', ...pod('web-1', 'shop') },
    { addresses: ['10.244.2.1'], nodeName: 'node2', ...pod('web-2', 'shop') },
    {
      addresses: ['10.244.1.2'],
      nodeName: 'node1',
      conditions: { ready: false, serving: false },
      ...pod('web-3', 'shop'),
    },
  ]),
  service('typo', 'shop', '10.96.0.9', { ports: [{ name: 'web', port: 80 }], type: 'ClusterIP' }),
  slice('typo', 'shop', [{ addresses: ['10.244.1.8'] }]),
  service('zz-rival', 'shop', '10.96.0.1', { ports: [{ port: 80 }], type: 'ClusterIP' }),
  slice('other', 'blog', [{ addresses: ['10.244.1.9'], nodeName: 'node1', ...pod('web-1', 'blog') }]),
];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-explain-'));
  const list = { apiVersion: 'v1', kind: 'List', items: OBJECTS };
  writeFileSync(join(folder, 'all.json'), JSON.stringify(list));
  // Not a manifest: --config points at it from outside.
  writeFileSync(
    join(folder, 'config.conf'),
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nclusterCIDR: 10.244.0.0/16\n',
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function explainOnSomeNode(...args: string[]): Ended {
  const files = ['--manifests', folder, '--config', join(folder, 'config.conf')];
  const { status, stdout, stderr } = spawnSync(POINTSMAN, ['explain', ...files, ...args], {
    encoding: 'utf8',
    timeout: 100_000,
  });
  return { code: status, stdout, stderr };
}

const explain = (...args: string[]): Ended => explainOnSomeNode('--hostname-override', 'node1', ...args);

describe('pointsman explain', () => {
  it('tells who gets the packet of a pod, what is left out and who else asks for the frontend', () => {
    const { code, stdout } = explain('--from', 'pod/shop/web-1', '--to', '10.96.0.1:80');
    expect(code).toBe(0);
    const lines = stdout.split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));
    expect(lines[0]).toBe('TCP 10.244.1.1 -> 10.96.0.1:80 on node1: forwarded');
    expect(lines).toContain('client | a pod: 10.244.1.1 is in the pod network');
    // Of two Services of one age the first by name has the address.
    expect(lines).toContain('frontend | ClusterIP TCP 10.96.0.1:80 of Service shop/web, scheduler rr');
    expect(lines).toContain('Note: Service shop/zz-rival asks for this frontend, too, and does not get it.');
  });

  it('keeps to the traffic policy of each kind of client', () => {
    const targets = (from: string): unknown => {
      const { stdout } = explain('--from', from, '--to', '192.0.2.1:30080', '-o', 'json');
      const found = JSON.parse(stdout) as {
        client: string;
        targets: { address: string; isMasqueraded: boolean }[];
      };
      const each = found.targets.map(({ address, isMasqueraded }) => `${address}${isMasqueraded ? '*' : ''}`);
      return [found.client, ...each.sort()];
    };
    expect(targets('203.0.113.7')).toEqual(['outside', '10.244.1.1']);
    expect(targets('node')).toEqual(['node', '10.244.1.1*', '10.244.2.1*']);
    expect(targets('192.0.2.1')).toEqual(['node', '10.244.1.1*', '10.244.2.1*']);
    expect(targets('10.244.1.9')).toEqual(['pod', '10.244.1.1', '10.244.2.1']);
    expect(targets('10.244.1.1')).toEqual(['pod', '10.244.1.1*', '10.244.2.1']);
  });

  it('says why endpoints are left out', () => {
    const { stdout } = explain('--from', '203.0.113.7', '--to', '192.0.2.1:30080');
    expect(stdout).toMatch(
      /Left out:\n {2}10\.244\.1\.2:8080 {2}not ready\n {2}10\.244\.2\.1:8080 {2}on another node\n/,
    );
  });

  it('says when a port has no endpoints because no EndpointSlice has a port of its name', () => {
    const { stdout } = explain('--from', 'node', '--to', '10.96.0.9:80');
    expect(stdout).toContain('on node1: refused');
    expect(stdout).toContain(
      'Note: the EndpointSlices of Service shop/typo have no port web (TCP), only without a name (TCP).\n',
    );
  });

  it('asks the node of the pod, unless another one is named', () => {
    const own = explainOnSomeNode('--from', 'pod/web-2', '--to', '10.96.0.1:80').stdout;
    expect(own).toContain('10.96.0.1:80 on node2: forwarded');
    expect(own).toMatch(/10\.244\.2\.1:8080 +weight 1 +local +masqueraded/);
    expect(own).not.toContain('which is where its packets are handled');
    expect(explain('--from', 'pod/web-2', '--to', '10.96.0.1:80').stdout).toContain(
      'Note: pod shop/web-2 runs on node node2, which is where its packets are handled; this is what node1 does with them.\n',
    );
  });

  it.each<[string, string[], RegExp]>([
    [
      'a pod that is in two namespaces',
      ['--from', 'pod/web-1', '--to', '10.96.0.1:80'],
      /write pod\/blog\/web-1 or pod\/shop\/web-1/,
    ],
    [
      'a pod that no slice names',
      ['--from', 'pod/db-1', '--to', '10.96.0.1:80'],
      /no endpoint is a pod db-1/,
    ],
    [
      'a pod without an address of the family',
      ['--from', 'pod/web-2', '--to', '[fd00::1]:80'],
      /pod web-2 has no IPv6 address/,
    ],
    [
      'addresses of two families',
      ['--from', '10.244.1.1', '--to', '[fd00::1]:80'],
      /are of different families/,
    ],
    ['a source that is none', ['--from', 'web-1', '--to', '10.96.0.1:80'], /--from takes/],
    ['a destination without a port', ['--from', 'node', '--to', '10.96.0.1'], /--to takes/],
    ['no destination', ['--from', 'node'], /--to/],
  ])('refuses %s with one line and code 2', (_name, args, line) => {
    const { code, stdout, stderr } = explain(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toMatch(line);
  });
});
