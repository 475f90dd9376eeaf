// Which changed settings wait for the next start.

import { expect, test } from 'vitest';
import { parseConfig } from './parse.ts';
import { restartNeeded } from './restart.ts';

const configOf = (rest: string): ReturnType<typeof parseConfig>['config'] =>
  parseConfig(
    `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n${rest}`,
    'kp.conf',
  ).config;

test.each<[rest: string, fields: readonly string[]]>([
  ['', []],
  ['healthzBindAddress: 0.0.0.0:10256', []],
  ['ipvs: {scheduler: sh, strictARP: true, syncPeriod: 1m, minSyncPeriod: 1s}', []],
  ['clusterCIDR: 10.0.0.0/8\nnodePortAddresses: [primary]\nbindAddress: 192.0.2.1', []],
  ['logging: {verbosity: 4, vmodule: [{filePattern: a, verbosity: 1}]}', []],
  ['pointsman: {serviceTraffic: On, drainTimeout: 1m}', []],
  ['bindAddress: "::"', []],
  ['healthzBindAddress: 0.0.0.0:1\nmetricsBindAddress: 0.0.0.0:2', []],
  [
    'hostnameOverride: b\nbindAddressHardFail: true\nenableProfiling: true',
    ['hostnameOverride', 'bindAddressHardFail'],
  ],
  ['clientConnection: {qps: 50}\noomScoreAdj: -1', ['clientConnection']],
  ['conntrack: {min: 1}\nlogging: {format: json}', []],
])('%j', (rest, fields) => expect(restartNeeded(configOf(''), configOf(rest))).toEqual(fields));
