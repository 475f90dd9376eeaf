// examples/config: what is found on real nodes is read, with the warnings that its README tells of, and comes to what kube-proxy makes of it.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseGoFlags } from '../../src/cli/go-flags.ts';
import { configFromFlags, parseConfig, type LoadedConfig } from '../../src/config/load.ts';
import { readObjects, readText, ROOT, theOne } from './objects.ts';
import { flagNames, PROXY_FLAGS } from './proxy-flags.ts';
import { commandOf, parseUnit } from './systemd-unit.ts';

const FOLDER = 'examples/config';
const files = readdirSync(join(ROOT, FOLDER));

function load(file: string): LoadedConfig {
  const path = `${FOLDER}/${file}`;
  if (!file.includes('config-map')) return parseConfig(readText(path), file);
  const { data } = theOne(readObjects(path), 'ConfigMap') as unknown as {
    readonly data: Record<string, string>;
  };
  return parseConfig(data['config.conf'] ?? '', file);
}

/** Fields that a warning names, by file; the configuration that comes out, as far as it is told from the defaults. */
const EXPECTED: Readonly<Record<string, { readonly warnings: readonly string[]; readonly config: object }>> =
  {
    'kubeadm-config-map.yaml': {
      warnings: [],
      config: {
        clusterCIDRs: { ipv4: '10.244.0.0/16', ipv6: null },
        logging: { flushFrequencyMs: 5000 },
        clientConnection: { qps: 5, burst: 10, contentType: 'application/vnd.kubernetes.protobuf' },
        masqueradeBit: 14,
        oomScoreAdj: -999,
        syncPeriodMs: 30_000,
        minSyncPeriodMs: 0,
        conntrack: { maxPerCore: 32_768, min: 131_072, tcpEstablishedTimeoutSeconds: 86_400 },
        metricsBindAddress: { address: '127.0.0.1', port: 10_249 },
        healthzBindAddress: { address: '0.0.0.0', port: 10_256 },
      },
    },
    'kubeadm-older-config-map.yaml': {
      warnings: ['featureGates.SupportIPVSProxyMode'],
      config: {
        clusterCIDRs: { ipv4: '10.244.0.0/16', ipv6: 'fd00:10:244::/56' },
        ipvs: { scheduler: 'rr', strictARP: true },
        metricsBindAddress: { address: '0.0.0.0', port: 10_249 },
      },
    },
    'kubeasz-kube-proxy-config.yaml': { warnings: [], config: { hostnameOverride: 'worker-01' } },
    'kubeasz-older-kube-proxy-config.yaml': {
      warnings: [],
      config: { hostnameOverride: '192.168.1.1', bindAddress: '192.168.1.1' },
    },
    'by-hand-kube-proxy-config.yaml': {
      warnings: [
        'kubeProxyIPTablesConfiguration.masqueradeAll',
        'kubeProxyIPVSConfiguration.scheduler',
        'kubeProxyIPVSConfiguration.excludeCIDRs',
      ],
      config: { ipvs: { scheduler: 'rr' }, hostnameOverride: '', clientConnection: { qps: 100, burst: 200 } },
    },
    'kubespray-kube-proxy-config.yaml': {
      warnings: [],
      config: {
        ipvs: { strictARP: true },
        enableProfiling: false,
        masqueradeAll: false,
        nodePortAddresses: [],
      },
    },
    'sealos-kube-proxy-config.yaml': {
      warnings: [],
      config: {
        ipvs: { excludeCIDRs: ['10.103.97.2/32'] },
        metricsBindAddress: { address: '0.0.0.0', port: 10_249 },
      },
    },
  };

describe('files', () => {
  it('are all here', () => {
    expect(files.filter((file) => file.endsWith('.yaml')).sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  it.each(Object.entries(EXPECTED))('%s', (file, expected) => {
    const { config, warnings } = load(file);
    // "FILE:LINE:COLUMN: FIELD: ..."
    expect(warnings.map((warning) => warning.split(': ')[1])).toEqual(expected.warnings);
    expect(config).toMatchObject({ mode: 'ipvs', ...expected.config });
  });
});

describe('command lines', () => {
  const lines: [string, string[]][] = files
    .filter((file) => file.endsWith('.service'))
    .map((file) => [file, commandOf(parseUnit(readText(`${FOLDER}/${file}`)))]);
  lines.push(['rke-flags.txt', readText(`${FOLDER}/rke-flags.txt`).trim().split('\n')]);

  it.each(lines)('%s has only flags that there are', (_, [program = '', ...args]) => {
    expect(program).toMatch(/(^|\/)kube-proxy$/);
    expect(flagNames(args)).toHaveLength(args.length);
    for (const flag of flagNames(args)) expect(PROXY_FLAGS).toContain(flag);
  });

  it.each(lines.filter(([, words]) => !flagNames(words).includes('config')))(
    '%s comes to a configuration without a warning',
    (_, [, ...args]) => {
      const { flags, rest } = parseGoFlags(args, []);
      const { config, warnings } = configFromFlags(flags);
      expect({ rest, warnings }).toEqual({ rest: [], warnings: [] });
      expect(config.mode).toBe('ipvs');
    },
  );
});

describe('README', () => {
  it('has a line on each, and names no other', () => {
    const told = [...readText(`${FOLDER}/README.md`).matchAll(/^\| `([^`]+)`/gm)].map(([, file]) => file);
    expect(told.sort()).toEqual(files.filter((file) => file !== 'README.md').sort());
  });
});
