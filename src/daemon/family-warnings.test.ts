// Every complaint about families, by kube-proxy's rules; nothing else is complained of.

import { describe, expect, it } from 'vitest';
import { linesOf } from '../../test/log-lines.ts';
import { defaultConfig } from '../config/load.ts';
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../model/ip.ts';
import { findFamilyMistakes, reportFamilies, type FamilyConfig } from './family-warnings.ts';
import { detectNodeIps } from './node-ips.ts';

const cidrs = (text: string): Cidr[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((each) => parseCidr(each) as Cidr);
const ips = (text: string): IpAddress[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((each) => parseIp(each) as IpAddress);

interface Change {
  readonly cluster?: string;
  readonly mode?: FamilyConfig['detectLocalMode'];
  readonly nodePorts?: string;
  readonly excluded?: string;
  readonly healthz?: string;
  readonly metrics?: string;
  readonly node?: string;
  readonly pods?: string;
  readonly families?: 'both' | 'IPv4' | 'IPv6';
}

/** A configuration in which nothing is wrong, and what is changed in it. */
function made(change: Change): [FamilyConfig, Parameters<typeof findFamilyMistakes>[1]] {
  const defaults = defaultConfig();
  const cluster = cidrs(change.cluster ?? '');
  const socket = (text: string | undefined, port: number) => ({
    address: (text ?? '0.0.0.0') as IpAddress,
    port,
  });
  const { nodePorts = 'primary', families = 'both' } = change;
  const config: FamilyConfig = {
    clusterCIDRs: {
      ipv4: cluster.find((each) => !each.includes(':')) ?? null,
      ipv6: cluster.find((each) => each.includes(':')) ?? null,
    },
    detectLocalMode: change.mode ?? 'ClusterCIDR',
    nodePortAddresses: nodePorts === 'primary' ? 'primary' : cidrs(nodePorts),
    ipvs: { ...defaults.ipvs, excludeCIDRs: cidrs(change.excluded ?? '') },
    healthzBindAddress: socket(change.healthz, 10_256),
    metricsBindAddress: socket(change.metrics, 10_249),
  };
  const nodeIps = detectNodeIps(ips(change.node ?? '10.0.0.1'), '0.0.0.0' as IpAddress);
  return [
    config,
    {
      nodeIps,
      podCIDRs: cidrs(change.pods ?? ''),
      families: families === 'both' ? ['IPv4', 'IPv6'] : [families],
    },
  ];
}

const UNSET =
  'nodePortAddresses is unset; NodePort connections will be accepted on all local IPs. Consider using `--nodeport-addresses primary`';

describe('warnings', () => {
  it.each<[string, Change, readonly string[]]>([
    ['nothing', {}, []],
    ['nodePortAddresses unset', { nodePorts: '' }, [UNSET]],
    ['primary without a known address is as good as unset', { node: '' }, [UNSET]],
    [
      'one family of two',
      { cluster: '10.244.0.0/16 fd00:1::/56', nodePorts: '10.0.0.0/8' },
      [
        'cluster appears to be dual-stack but nodePortAddresses contains only IPv4 addresses; NodePort connections will be accepted on all local IPv6 IPs',
      ],
    ],
    [
      'the same with pod networks',
      { pods: '10.244.1.0/24 fd00:1::/64' },
      [expect.stringMatching(/^cluster appears to be dual-stack/)],
    ],
    [
      'the same with excludeCIDRs',
      { excluded: '10.9.0.0/16 fd00:9::/64' },
      [expect.stringMatching(/^cluster appears to be dual-stack/)],
    ],
    ['both of two', { cluster: '10.244.0.0/16 fd00:1::/56', node: '10.0.0.1 fd00::1' }, []],
    [
      'only the other family',
      { nodePorts: 'fd00::/64' },
      [
        'cluster appears to be IPv4-primary but nodePortAddresses contains only IPv6 addresses; NodePort connections will be accepted on all local IPv4 IPs',
      ],
    ],
    [
      'clusterCIDRs of the other family',
      { cluster: 'fd00:1::/56' },
      ['cluster is IPv4-primary but clusterCIDRs contains only IPv6 addresses'],
    ],
    [
      'clusterCIDRs of the other family, single-stack, where they are not used',
      { cluster: 'fd00:1::/56', mode: 'BridgeInterface', families: 'IPv4' },
      ['cluster is IPv4-only but clusterCIDRs contains only IPv6 addresses'],
    ],
    [
      'pod networks of the other family, where they are not used',
      { pods: 'fd00:1::/64' },
      ['cluster is IPv4-primary but node.spec.podCIDRs contains only IPv6 addresses'],
    ],
    [
      'single-stack: everything else',
      {
        families: 'IPv6',
        node: 'fd00::1',
        excluded: '10.9.0.0/16',
        healthz: '10.0.0.1',
        metrics: '127.0.0.1',
      },
      [
        'cluster is IPv6-only but ipvs.excludeCIDRs contains only IPv4 addresses',
        'cluster is IPv6-only but healthzBindAddress is IPv4',
        'cluster is IPv6-only but metricsBindAddress is IPv4',
      ],
    ],
    [
      'dual-stack: the same is right',
      { node: 'fd00::1', excluded: '10.9.0.0/16', healthz: '10.0.0.1', metrics: '127.0.0.1' },
      [],
    ],
    ['unspecified addresses are of both families', { families: 'IPv6', node: 'fd00::1' }, []],
  ])('%s', (_row, change, warnings) =>
    expect(findFamilyMistakes(...made(change))).toEqual({ warnings, mistakes: [] }),
  );
});

describe('mistakes', () => {
  it.each<[string, Change, string]>([
    [
      'clusterCIDRs of the other family in mode ClusterCIDR, single-stack',
      { cluster: 'fd00:1::/56', families: 'IPv4' },
      'cluster is IPv4-only but clusterCIDRs contains only IPv6 addresses',
    ],
    [
      'pod networks of the other family in mode NodeCIDR, dual-stack as well',
      { pods: '10.244.1.0/24', mode: 'NodeCIDR', node: 'fd00::1' },
      'cluster is IPv6-primary but node.spec.podCIDRs contains only IPv4 addresses',
    ],
  ])('%s', (_row, change, mistake) => {
    const { log } = linesOf();
    expect(findFamilyMistakes(...made(change))).toEqual({ warnings: [], mistakes: [mistake] });
    expect(() => reportFamilies(...made(change), log)).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: `kube-proxy configuration is incorrect: ${mistake}`,
      }),
    );
  });
});

it.each<[Change, string]>([
  [{}, 'I kube-proxy running in dual-stack mode primary ipFamily=IPv4'],
  [{ families: 'IPv6', node: 'fd00::1' }, 'I kube-proxy running in single-stack mode ipFamily=IPv6'],
])('the log says which families: %o', (change, line) => {
  const { log, lines } = linesOf();
  reportFamilies(...made(change), log);
  reportFamilies(...made({ ...change, nodePorts: '' }), log);
  expect(lines).toEqual([
    line,
    line,
    `W Kube-proxy configuration may be incomplete or incorrect err=${UNSET}`,
  ]);
});
