// Flags over a file, and without one: what wins, what adds up, what is refused, and what kube-proxy's flags do that its file does not.

import { describe, expect, test } from 'vitest';
import { PointsmanError } from '../model/errors.ts';
import type { GivenFlags } from './given-flags.ts';
import { configFromFlags, parseConfig, type LoadedConfig } from './parse.ts';

const rules = (...items: readonly (readonly [filePattern: string, verbosity: number])[]): object[] =>
  items.map(([filePattern, verbosity]) => ({ filePattern, verbosity }));

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
/** "name=text" words; a name may come again. */
function given(...words: readonly string[]): GivenFlags {
  const texts = new Map<string, string[]>();
  for (const word of words) {
    const name = word.slice(0, word.indexOf('='));
    texts.set(name, [...(texts.get(name) ?? []), word.slice(name.length + 1)]);
  }
  return { texts, warnings: [] };
}
const alone = (...words: readonly string[]): LoadedConfig => configFromFlags(given(...words));
const over = (text: string, ...words: readonly string[]): LoadedConfig =>
  parseConfig(`${HEAD}mode: ipvs\n${text}`, 'kp.conf', { flags: given(...words) });

function errorOf(act: () => unknown): PointsmanError {
  try {
    act();
  } catch (error) {
    if (error instanceof PointsmanError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}
const mistakesOf = (...words: readonly string[]): unknown =>
  errorOf(() => alone(...words)).context['mistakes'];

describe('without a file', () => {
  test('the mode is ipvs, and the least time between syncs that of the flags', () => {
    const { config, effective, origins, warnings } = alone();
    expect(config).toMatchObject({ mode: 'ipvs', minSyncPeriodMs: 1000 });
    expect(effective).toMatchObject({ ipvs: { minSyncPeriod: '1s' } });
    expect(new Set([...origins.values()].map(({ kind }) => kind))).toEqual(new Set(['default', 'unused']));
    expect(warnings).toEqual([]);
  });

  test.each<[words: readonly string[], config: object]>([
    [['ipvs-min-sync-period=0s'], { minSyncPeriodMs: 0 }],
    [
      ['ipvs-sync-period=1m', 'iptables-sync-period=2m', 'iptables-min-sync-period=3m'],
      { syncPeriodMs: 60_000 },
    ],
    [['proxy-mode='], { mode: 'ipvs' }],
    [['ipvs-scheduler=lc', 'ipvs-scheduler=sh'], { ipvs: { scheduler: 'sh' } }],
    [['ipvs-scheduler='], { ipvs: { scheduler: 'rr' } }],
    [
      ['ipvs-exclude-cidrs=10.0.0.0/8,fd00::/8', 'ipvs-exclude-cidrs=11.0.0.0/8'],
      { ipvs: { excludeCIDRs: ['10.0.0.0/8', 'fd00::/8', '11.0.0.0/8'] } },
    ],
    [['nodeport-addresses='], { nodePortAddresses: [] }],
    [['nodeport-addresses=primary'], { nodePortAddresses: 'primary' }],
    [['cluster-cidr=10.0.0.0/8,fd00::/64'], { clusterCIDRs: { ipv4: '10.0.0.0/8', ipv6: 'fd00::/64' } }],
    [['bind-address='], { bindAddress: '0.0.0.0' }],
    [['bind-address=::'], { healthzBindAddress: { address: '::' }, metricsBindAddress: { address: '::1' } }],
    [['metrics-bind-address='], { metricsBindAddress: { address: '127.0.0.1', port: 10_249 } }],
    [['metrics-bind-address=0.0.0.0'], { metricsBindAddress: { address: '0.0.0.0', port: 10_249 } }],
    [['conntrack-max-per-core=0'], { conntrack: { maxPerCore: 0 } }],
    [['conntrack-min=0x10', 'oom-score-adj=-010'], { conntrack: { min: 16 }, oomScoreAdj: -8 }],
    [['ipvs-strict-arp=T', 'masquerade-all=1'], { ipvs: { strictARP: true }, masqueradeAll: true }],
    [
      ['feature-gates=AllowServiceExternalIPs=false', 'feature-gates= B = true ,'],
      { featureGates: { AllowServiceExternalIPs: false, B: true } },
    ],
    [['hostname-override= Node-1 '], { hostnameOverride: 'node-1' }],
    [['hostname-override='], { hostnameOverride: '' }],
    [['vmodule=a=1,b=0', 'vmodule=c*=2'], { logging: { vmodule: rules(['a', 1], ['c*', 2]) } }],
    [['kube-api-qps=-1', 'kube-api-burst=0'], { clientConnection: { qps: -1, burst: 10 } }],
    // Deprecated ports.
    [['healthz-port=0'], { healthzBindAddress: null }],
    [['healthz-port=0', 'healthz-bind-address=127.0.0.1:1'], { healthzBindAddress: null }],
    [
      ['healthz-port=7', 'healthz-bind-address=127.0.0.1'],
      { healthzBindAddress: { address: '127.0.0.1', port: 7 } },
    ],
    [['metrics-port=7', 'metrics-bind-address=::1'], { metricsBindAddress: { address: '::1', port: 7 } }],
    [['healthz-port=10256'], { healthzBindAddress: { address: '0.0.0.0', port: 10_256 } }],
    [['write-config-to=/x', 'healthz-port=0'], { healthzBindAddress: { port: 10_256 } }],
  ])('%j', (words, config) => expect(alone(...words).config).toMatchObject(config));

  test('a deprecated port beside an address with one, as the default has it, is named', () => {
    const { config, warnings } = alone(
      'healthz-port=7',
      'metrics-port=8',
      'metrics-bind-address=127.0.0.1:9',
    );
    expect(config).toMatchObject({ healthzBindAddress: { port: 10_256 }, metricsBindAddress: { port: 9 } });
    expect(warnings).toEqual([
      '--healthz-port has no effect: the address has a port; use --healthz-bind-address',
      '--metrics-port has no effect: the address has a port; use --metrics-bind-address',
    ]);
    expect(alone('healthz-port=10256', 'metrics-port=10249').warnings).toEqual([]);
  });

  test('what has no effect is named', () =>
    expect(
      alone('log-text-split-stream=true', 'feature-gates=X=true', 'log-json-info-buffer-size=0').warnings,
    ).toEqual([
      '--feature-gates: feature gate X has no effect in Pointsman; remove it',
      '--log-text-split-stream: it has no effect: the log has one stream, standard error, and a buffer of its own; remove it',
    ]));
});

describe('mistakes', () => {
  test.each<[word: string, line: string | RegExp]>([
    ['conntrack-min=', '--conntrack-min: "" is not valid; write a whole number from 0 to 2147483647'],
    ['conntrack-min=1.5', /--conntrack-min: "1\.5" is not valid/],
    ['conntrack-min=2147483648', /--conntrack-min: 2147483648 is not valid/],
    ['conntrack-min=08', /"08" is not valid/],
    ['oom-score-adj=1001', /from -1000 to 1000/],
    ['iptables-masquerade-bit=32', /from 0 to 31/],
    ['masquerade-all=yes', '--masquerade-all: "yes" is not valid; write true or false'],
    ['kube-api-qps=many', /write a number/],
    ['ipvs-sync-period=30', /--ipvs-sync-period: "30" is not valid; write a duration/],
    ['ipvs-sync-period=0s', '--ipvs-sync-period: it is zero; write a duration longer than that, as in 30s'],
    ['config-sync-period=0', /--config-sync-period: it is zero/],
    ['ipvs-tcp-timeout=-1s', /write a duration of zero or more/],
    ['ipvs-udp-timeout=', /"" is not valid/],
    [
      'ipvs-exclude-cidrs=10.0.0.0/8,10.0.0.1',
      '--ipvs-exclude-cidrs: "10.0.0.1" is not a CIDR; write address/prefix, as in 10.244.0.0/16',
    ],
    ['nodeport-addresses=primary,10.0.0.0/8', /--nodeport-addresses: primary stands beside CIDRs/],
    ['feature-gates=A', /--feature-gates: "A" is not valid; write NAME=true or NAME=false/],
    ['feature-gates=A=maybe', /write NAME=true/],
    ['vmodule=a', /write PATTERN=N/],
    ['vmodule=a=-1', /write PATTERN=N/],
    ['vmodule==4', /write PATTERN=N/],
    ['vmodule=a=', /write PATTERN=N/],
    ['vmodule=a=b=4', /write PATTERN=N/],
    ['vmodule=a=x', /write PATTERN=N/],
    ['vmodule=a=1.5', /write PATTERN=N/],
    ['vmodule=a=2147483648', /write PATTERN=N/],
    ['vmodule=a=99999999999', /write PATTERN=N/],
    [`vmodule=${'a=1,'.repeat(1001)}`, /at most 1000/],
    ['v=high', /-v: "high" is not valid/],
    ['logging-format=xml', /use text or json/],
    ['log-text-info-buffer-size=big', /write a number of bytes/],
    ['hostname-override= ', '--hostname-override: it is blank; give the name of the Node'],
    ['hostname-override=a b', /is not a name of a Node/],
    ['bind-address=x', /--bind-address: "x" is not an address/],
    ['healthz-bind-address=localhost:1', /is not ADDRESS:PORT/],
    ['detect-local-mode=x', /is not a mode/],
    [
      'detect-local-mode=BridgeInterface',
      /^the command line: detectLocal\.bridgeInterface: detectLocalMode Bridge/,
    ],
    ['show-hidden-metrics-for-version=1.20', /is not the minor version/],
    [
      'ipvs-sync-period=500ms',
      'the command line: ipvs.minSyncPeriod: it is longer than ipvs.syncPeriod; make it shorter',
    ],
    ['metrics-port=0', /--metrics-port: the metrics server cannot be switched off/],
    ['healthz-port=65536', /--healthz-port: "65536" is not a port/],
    ['metrics-port=x', /is not a port/],
  ])('--%s', (word, line) => {
    const mistakes = mistakesOf(word) as string[];
    expect(mistakes).toHaveLength(1);
    if (typeof line === 'string') expect(mistakes).toEqual([line]);
    else expect(mistakes[0]).toMatch(line);
  });

  test('are told all at once, those of flags before those of the file', () => {
    expect(mistakesOf('conntrack-min=x', 'ipvs-scheduler=x', 'bind-address=x')).toHaveLength(3);
    const error = errorOf(() => over('bindAddress: x\nlogging: {format: xml}', 'v=x', 'vmodule=a'));
    expect(error.context['mistakes']).toEqual([
      '-v: "x" is not valid; write a whole number from 0 to 2147483647',
      '--vmodule: "a" is not valid; write PATTERN=N, with commas between',
      expect.stringMatching(/^kp\.conf:4:14: bindAddress/),
      expect.stringMatching(/^kp\.conf:5:19: logging\.format/),
    ]);
  });

  test.each(['iptables', 'nftables', 'userspace', 'IPVS'])('--proxy-mode=%s does not run as ipvs', (mode) =>
    expect(errorOf(() => alone(`proxy-mode=${mode}`))).toMatchObject({
      code: 'UNSUPPORTED_MODE',
      message: `--proxy-mode: mode "${mode}"; this build has ipvs only: write --proxy-mode=ipvs or keep kube-proxy`,
    }),
  );
});

describe('beside a file', () => {
  const LOGGING =
    'logging: {format: text, verbosity: 2, vmodule: [{filePattern: a, verbosity: 1}]}\nhostnameOverride: File-Name';

  test('logging flags and --hostname-override win; vmodule has those of the flag first', () => {
    const { config, effective, origins } = over(
      LOGGING,
      'v=5',
      'vmodule=b=2,a=3',
      'hostname-override=Flag-Name',
    );
    expect(config.logging).toMatchObject({ verbosity: 5, vmodule: rules(['b', 2], ['a', 3], ['a', 1]) });
    expect(config.hostnameOverride).toBe('flag-name');
    expect(effective).toMatchObject({ hostnameOverride: 'flag-name', logging: { verbosity: 5 } });
    expect(origins.get('logging.verbosity')).toEqual({ kind: 'flag', flag: '-v' });
    expect(origins.get('logging.format')).toEqual({ kind: 'file', file: 'kp.conf', line: 4 });
    expect(origins.get('hostnameOverride')).toEqual({ kind: 'flag', flag: '--hostname-override' });
  });

  test('without flags the file counts, and an empty --hostname-override is none', () => {
    const { config, effective, origins } = over(LOGGING, 'hostname-override=');
    expect(config).toMatchObject({
      hostnameOverride: 'file-name',
      logging: { verbosity: 2, vmodule: rules(['a', 1]) },
    });
    expect(effective).toMatchObject({ hostnameOverride: 'File-Name' });
    expect(origins.get('hostnameOverride')).toEqual({ kind: 'file', file: 'kp.conf', line: 5 });
  });

  test('an odd value of a void flag does not matter', () =>
    expect(over('', 'conntrack-min=x', 'healthz-port=0', 'proxy-mode=iptables').config).toEqual(
      over('').config,
    ));

  test('a flag does not hide a section that is no map', () =>
    expect(errorOf(() => over('logging: 4', 'v=5')).context['mistakes']).toEqual([
      'kp.conf:4:10: logging: 4 is not valid; write a map of fields',
    ]));

  test('what stands for the default is the default', () => {
    const { origins } = over(
      'configSyncPeriod: 0s\nclusterCIDR: ""\nipvs: {scheduler: null, minSyncPeriod: 0s}\nclientConnection: {qps: 0}\nlogging: {flushFrequency: 0}',
    );
    for (const name of [
      'configSyncPeriod',
      'clusterCIDR',
      'ipvs.scheduler',
      'clientConnection.qps',
      'logging.flushFrequency',
    ])
      expect(origins.get(name)).toEqual({ kind: 'default' });
    expect(origins.get('ipvs.minSyncPeriod')).toMatchObject({ kind: 'file', line: 6 });
  });
});
