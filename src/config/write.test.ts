// The configuration in force as kube-proxy shows it (recorded from kube-proxy 1.36), as it is written to a file, and what comes of reading it
// again.

import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import type { GivenFlags } from './given-flags.ts';
import { configFromFlags, parseConfig, type LoadedConfig } from './parse.ts';
import { effectiveFlags } from './flagz.ts';
import { LEAVES } from './table.ts';
import { formatAnnotated, formatWriteConfig } from './write.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/kube-proxy-config');
const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n';
const given = (texts: Readonly<Record<string, readonly string[]>>): GivenFlags => ({
  texts: new Map(Object.entries(texts)),
  warnings: [],
});
const parse = (rest: string): LoadedConfig => parseConfig(HEAD + rest, 'kp.conf');

describe('the configuration in force', () => {
  test('is to the byte what kube-proxy 1.36 shows at /configz for the same file and flags', () => {
    const recorded = readFileSync(join(FIXTURES, 'configz.json'), 'utf8');
    const text = readFileSync(join(FIXTURES, 'config.conf'), 'utf8');
    const flags = given({ 'hostname-override': ['node1'], v: ['4'] });
    const { effective, warnings } = parseConfig(text, 'config.conf', { flags });
    expect(JSON.stringify({ 'kubeproxy.config.k8s.io': effective })).toBe(recorded.trimEnd());
    expect(warnings).toEqual([]);
  });

  test.each<[rest: string, part: object]>([
    ['featureGates: {B: true, A: false}', { featureGates: { A: false, B: true } }],
    [
      'nodePortAddresses: []\nipvs: {excludeCIDRs: []}',
      { nodePortAddresses: [], ipvs: { excludeCIDRs: [] } },
    ],
    ['nodePortAddresses: [primary]', { nodePortAddresses: ['primary'] }],
    ['healthzBindAddress: 127.0.0.1', { healthzBindAddress: '127.0.0.1:10256' }],
    ['metricsBindAddress: "::1"', { metricsBindAddress: '[::1]:10249' }],
    ['metricsBindAddress: "[0:0::1]:5"', { metricsBindAddress: '[0:0::1]:5' }],
    ['bindAddress: "::"', { healthzBindAddress: '[::]:10256', metricsBindAddress: '[::1]:10249' }],
    ['logging: {flushFrequency: 2000}', { logging: { flushFrequency: 2000 } }],
    [
      'logging: {options: {text: {infoBufferSize: 512}}}',
      { logging: { options: { text: { infoBufferSize: '512' } } } },
    ],
    [
      'logging: {vmodule: [{filePattern: a, verbosity: 1}]}',
      { logging: { vmodule: [{ filePattern: 'a', verbosity: 1 }] } },
    ],
    ['ipvs: {tcpTimeout: 900s, scheduler: ""}', { ipvs: { tcpTimeout: '15m0s', scheduler: '' } }],
    ['windowsRunAsService: true\nportRange: 1-2', { windowsRunAsService: true, portRange: '' }],
    [
      'nftables: {masqueradeAll: true, syncPeriod: 1m}\niptables: {masqueradeAll: true, syncPeriod: 1m}',
      {
        nftables: { masqueradeAll: false, syncPeriod: '0s' },
        iptables: { masqueradeAll: true, syncPeriod: '0s' },
      },
    ],
    ['pointsman: {serviceTraffic: On}', { pointsman: { serviceTraffic: 'On' } }],
  ])('%s', (rest, part) => expect(parse(rest).effective).toMatchObject(part));

  test('has our own fields only where they are not the default', () => {
    expect(
      parse('pointsman: {estimation: Auto, drainTimeout: 1m, nodePortRange: 1-2}').effective['pointsman'],
    ).toEqual({
      drainTimeout: '1m0s',
      nodePortRange: '1-2',
    });
    expect(parse('pointsman: {estimation: Auto}').effective).not.toHaveProperty('pointsman');
    expect(parse('').complete).toHaveProperty('pointsman.estimation', 'Auto');
  });

  test('without a health server has no address of one', () => {
    const loaded = configFromFlags(given({ 'healthz-port': ['0'] }));
    expect(loaded.effective['healthzBindAddress']).toBe('');
    expect(new Map(effectiveFlags(loaded)).get('healthz-bind-address')).toBe('');
  });

  test('of flags shows also what a file has set', () => {
    const shown = new Map(effectiveFlags(parse('ipvs: {scheduler: lc, excludeCIDRs: [10.0.0.0/8]}')));
    expect(shown.get('ipvs-scheduler')).toBe('lc');
    expect(shown.get('ipvs-exclude-cidrs')).toBe('10.0.0.0/8');
    expect(shown.get('cleanup')).toBe('false');
    expect(shown.get('feature-gates')).toBe('');
    expect(shown.get('healthz-port')).toBe('10256');
  });
});

test('--write-config-to sorts keys and keeps what others would read as something else in quotes', () => {
  const written = formatWriteConfig(
    parse('nodePortAddresses: [10.0.0.0/8, "fd00::/8"]\npointsman: {serviceTraffic: On}').effective,
  );
  expect(written).toContain('\nnodePortAddresses:\n- 10.0.0.0/8\n- fd00::/8\n');
  expect(written).toContain('\n  serviceTraffic: "On"\n');
  expect(written).toContain('\n      infoBufferSize: "0"\n');
  expect(written).toContain('\n  excludeCIDRs: null\n');
  const keys = written.split('\n').flatMap((line) => /^([a-zA-Z]+):/.exec(line)?.[1] ?? []);
  expect(keys).toEqual([...keys].sort());
});

/** Any configuration that holds, as the text of a file. */
const duration = fc.constantFrom('0s', '1s', '2m', '1h30m', '1.5s', '90s');
const cidrs = fc.uniqueArray(fc.constantFrom('10.0.0.0/8', '192.168.1.7/24', 'fd00::/64', '0.0.0.0/0'), {
  maxLength: 3,
});
const anyText = fc.oneof(
  fc.constantFrom(
    '',
    'on',
    'null',
    '0',
    '1_000',
    '0x1',
    '~',
    'a: b',
    '# x',
    "'",
    '"',
    '- a',
    '12:30',
    '=',
    '<<',
    'y',
  ),
  fc.string({ unit: 'grapheme-ascii', maxLength: 12 }),
);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> =>
  fc.oneof({ weight: 3, arbitrary: value }, fc.constantFrom(null, undefined));
const configuration = fc.record(
  {
    featureGates: maybe(fc.dictionary(fc.stringMatching(/^[A-Z][a-z]{1,5}$/), fc.boolean(), { maxKeys: 3 })),
    clientConnection: maybe(
      fc.record({
        kubeconfig: anyText,
        acceptContentTypes: anyText,
        contentType: anyText,
        qps: maybe(fc.constantFrom(0, 5, 50.5, -1, 1e-3)),
        burst: maybe(fc.nat(1000)),
      }),
    ),
    logging: maybe(
      fc.record({
        flushFrequency: maybe(fc.oneof(duration, fc.nat(10_000))),
        verbosity: maybe(fc.nat(10)),
        vmodule: maybe(
          fc.array(
            fc.record({ filePattern: fc.stringMatching(/^[a-z*?"' #:-]{1,5}$/), verbosity: fc.nat(9) }),
            { maxLength: 3 },
          ),
        ),
        options: maybe(
          fc.record({
            text: fc.record({ splitStream: fc.boolean(), infoBufferSize: fc.constantFrom(0, '0', '1K', 7) }),
          }),
        ),
      }),
    ),
    hostnameOverride: maybe(fc.constantFrom('node-1', 'NODE.example', ' a ')),
    bindAddress: maybe(fc.constantFrom('', '::', '192.0.2.1', 'fd00::1')),
    healthzBindAddress: maybe(fc.constantFrom('', '::', '127.0.0.1', '127.0.0.1:80', '[::]:1')),
    metricsBindAddress: maybe(fc.constantFrom('', '0:0::1', '0.0.0.0:10249')),
    enableProfiling: maybe(fc.boolean()),
    iptables: maybe(
      fc.record({
        masqueradeBit: maybe(fc.nat(31)),
        masqueradeAll: maybe(fc.boolean()),
        syncPeriod: duration,
      }),
    ),
    ipvs: maybe(
      fc.record({
        syncPeriod: fc.constantFrom('2h', '3h', null),
        scheduler: maybe(fc.constantFrom('rr', 'sh', 'mh', '')),
        minSyncPeriod: maybe(fc.constantFrom('0s', '1s', '500ms')),
        excludeCIDRs: maybe(cidrs),
        strictARP: maybe(fc.boolean()),
        tcpTimeout: maybe(duration),
      }),
    ),
    nftables: maybe(
      fc.record({ masqueradeAll: fc.boolean(), masqueradeBit: fc.integer({ min: -5, max: 50 }) }),
    ),
    clusterCIDR: maybe(fc.constantFrom('', '10.0.0.0/8', '10.0.0.0/8,fd00::/64')),
    detectLocalMode: maybe(fc.constantFrom('', 'NodeCIDR', 'ClusterCIDR')),
    nodePortAddresses: maybe(fc.oneof(cidrs, fc.constant(['primary']))),
    oomScoreAdj: maybe(fc.integer({ min: -1000, max: 1000 })),
    conntrack: maybe(
      fc.record({
        maxPerCore: maybe(fc.nat()),
        min: maybe(fc.nat()),
        tcpEstablishedTimeout: maybe(duration),
      }),
    ),
    configSyncPeriod: maybe(duration),
    portRange: maybe(anyText),
    pointsman: maybe(
      fc.record({
        estimation: maybe(fc.constantFrom('Auto', 'On', 'Off')),
        drainTimeout: maybe(duration),
        nodePortRange: maybe(fc.constantFrom('', '1-2', '30000-32767')),
        serviceTraffic: maybe(fc.constantFrom('On', 'Off')),
        maxTrafficServices: maybe(fc.integer({ min: 1, max: 10_000 })),
      }),
    ),
  },
  { requiredKeys: [] },
);

test('a written configuration read again is the same, and so is the one with origins', () => {
  fc.assert(
    fc.property(configuration, (rest) => {
      const head = {
        apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
        kind: 'KubeProxyConfiguration',
        mode: 'ipvs',
      };
      const first = parseConfig(JSON.stringify({ ...head, ...rest }), 'kp.conf');
      for (const text of [formatWriteConfig(first.effective), formatAnnotated(first)]) {
        const again = parseConfig(text, 'written');
        expect(again.config).toEqual(first.config);
        expect(again.effective).toEqual(first.effective);
        // Readers of YAML 1.1, as Go's is, see the same values.
        expect(parseYaml(text, { version: '1.1' })).toEqual(parseYaml(text));
      }
    }),
    { numRuns: 100 },
  );
});

describe('with origins', () => {
  test('every line that has a value says where it came from', () => {
    const { complete, origins } = parse('oomScoreAdj: 5\nipvs:\n  scheduler: lc\n');
    const text = formatAnnotated(parse('oomScoreAdj: 5\nipvs:\n  scheduler: lc\n'));
    expect(text).toMatch(/^oomScoreAdj: 5 +# file kp\.conf:4$/m);
    expect(text).toMatch(/^ {2}scheduler: lc +# file kp\.conf:6$/m);
    expect(text).toMatch(/^ {2}strictARP: false +# default$/m);
    expect(text).toMatch(/^portRange: "" +# not used in mode ipvs$/m);
    const lines = text.split('\n').filter((line) => line.includes(': ') && !/^(kind|apiVersion):/.test(line));
    for (const line of lines) expect(line).toMatch(/ # (default|not used in mode ipvs|file kp\.conf:\d+)$/);
    expect(Object.keys(complete)).not.toContain('metadata');
    expect([...origins.keys()]).toEqual(LEAVES.map(({ name }) => name).filter((name) => name !== 'metadata'));
  });

  test('the name of a file cannot end the comment', () => {
    const loaded = parseConfig(`${HEAD}oomScoreAdj: 5`, 'a\nmode: x');
    expect(formatAnnotated(loaded)).toContain('# file a?mode: x:4\n');
  });
});
