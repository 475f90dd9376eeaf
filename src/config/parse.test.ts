// KubeProxyConfiguration: defaults, every field, every mistake with its place and remedy, and what is only warned of.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PointsmanError } from '../model/errors.ts';
import type { Config } from './config.ts';
import { defaultConfig, parseConfig, type LoadedConfig } from './parse.ts';
import { SCHEDULERS } from '../model/schedulers.ts';

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const parse = (rest: string): LoadedConfig => parseConfig(`${HEAD}mode: ipvs\n${rest}`, 'kp.conf');
const configOf = (rest: string): Config => parse(rest).config;

function errorOf(text: string): PointsmanError {
  try {
    parseConfig(text, 'kp.conf');
  } catch (error) {
    if (error instanceof PointsmanError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const mistakesOf = (rest: string): unknown => errorOf(`${HEAD}mode: ipvs\n${rest}`).context['mistakes'];

describe('defaults', () => {
  test('are those of kube-proxy', () => {
    expect(configOf('')).toEqual({
      mode: 'ipvs',
      hostnameOverride: '',
      bindAddress: '0.0.0.0',
      healthzBindAddress: { address: '0.0.0.0', port: 10_256 },
      metricsBindAddress: { address: '127.0.0.1', port: 10_249 },
      bindAddressHardFail: false,
      enableProfiling: false,
      showHiddenMetricsForVersion: '',
      clientConnection: {
        kubeconfig: '',
        acceptContentTypes: '',
        contentType: 'application/vnd.kubernetes.protobuf',
        qps: 5,
        burst: 10,
      },
      logging: { format: 'text', flushFrequencyMs: 5000, verbosity: 0, vmodule: [] },
      featureGates: {},
      ipvs: {
        scheduler: 'rr',
        excludeCIDRs: [],
        strictARP: false,
        tcpTimeoutSeconds: 0,
        tcpFinTimeoutSeconds: 0,
        udpTimeoutSeconds: 0,
      },
      syncPeriodMs: 30_000,
      minSyncPeriodMs: 0,
      masqueradeAll: false,
      masqueradeBit: 14,
      detectLocalMode: 'ClusterCIDR',
      detectLocal: { kind: 'none' },
      clusterCIDRs: { ipv4: null, ipv6: null },
      otherFamilySourceRanges: 'Allow',
      estimation: 'Auto',
      drainTimeoutMs: 900_000,
      serviceTraffic: { isOn: false, maxServices: 1000 },
      nodePorts: { first: 30_000, last: 32_767 },
      nodePortAddresses: [],
      oomScoreAdj: -999,
      configSyncPeriodMs: 900_000,
      conntrack: {
        maxPerCore: 32_768,
        min: 131_072,
        tcpEstablishedTimeoutSeconds: 86_400,
        tcpCloseWaitTimeoutSeconds: 3600,
        udpTimeoutSeconds: 0,
        udpStreamTimeoutSeconds: 0,
        tcpBeLiberal: false,
      },
    });
  });

  test('without a file are the same but for the least time between syncs', () => {
    expect(defaultConfig()).toEqual({ ...configOf(''), minSyncPeriodMs: 1000 });
  });

  test('of the listeners follow the family of bindAddress', () => {
    expect(configOf('bindAddress: "::"')).toMatchObject({
      healthzBindAddress: { address: '::', port: 10_256 },
      metricsBindAddress: { address: '::1', port: 10_249 },
    });
  });

  const NOTHING = [
    'bindAddress',
    'healthzBindAddress',
    'metricsBindAddress',
    'hostnameOverride',
    'clusterCIDR',
    'detectLocalMode',
    'featureGates',
    'nodePortAddresses',
    'oomScoreAdj',
    'configSyncPeriod',
    'enableProfiling',
  ];
  test('stand where a field is null or empty', () => {
    const sections = [
      'ipvs',
      'iptables',
      'nftables',
      'conntrack',
      'clientConnection',
      'logging',
      'detectLocal',
      'winkernel',
    ];
    expect(configOf([...NOTHING, ...sections].map((name) => `${name}: null\n`).join(''))).toEqual(
      configOf(''),
    );
    expect(configOf(NOTHING.map((name) => `${name}: ""\n`).join(''))).toEqual(configOf(''));
    expect(
      configOf(
        'ipvs: {scheduler: "", syncPeriod: 0s, excludeCIDRs: null}\nconfigSyncPeriod: 0s\nclientConnection: {qps: 0, burst: 0}',
      ),
    ).toEqual(configOf(''));
  });

  test('do not stand where zero means something', () => {
    const config = configOf(
      'oomScoreAdj: 0\niptables: {masqueradeBit: 0}\nconntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}',
    );
    expect(config).toMatchObject({
      oomScoreAdj: 0,
      masqueradeBit: 0,
      conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeoutSeconds: 0, tcpCloseWaitTimeoutSeconds: 0 },
    });
  });
});

describe('fields', () => {
  test.each<[rest: string, config: object]>([
    ['hostnameOverride: " Node-1.Example "', { hostnameOverride: 'node-1.example' }],
    ['healthzBindAddress: 0.0.0.0', { healthzBindAddress: { address: '0.0.0.0', port: 10_256 } }],
    ['healthzBindAddress: 127.0.0.1:1', { healthzBindAddress: { address: '127.0.0.1', port: 1 } }],
    ['metricsBindAddress: "[::]:65535"', { metricsBindAddress: { address: '::', port: 65_535 } }],
    ['metricsBindAddress: "::1"', { metricsBindAddress: { address: '::1', port: 10_249 } }],
    [
      'ipvs: {scheduler: mh, strictARP: true, excludeCIDRs: [10.0.0.7/8, "fd00::/8"]}',
      { ipvs: { scheduler: 'mh', strictARP: true, excludeCIDRs: ['10.0.0.0/8', 'fd00::/8'] } },
    ],
    ['ipvs: {syncPeriod: 1m, minSyncPeriod: 500ms}', { syncPeriodMs: 60_000, minSyncPeriodMs: 500 }],
    [
      'ipvs: {tcpTimeout: 15m0.9s, tcpFinTimeout: 2m, udpTimeout: 5m}',
      { ipvs: { tcpTimeoutSeconds: 900, tcpFinTimeoutSeconds: 120, udpTimeoutSeconds: 300 } },
    ],
    ['iptables: {masqueradeAll: true, masqueradeBit: 31}', { masqueradeAll: true, masqueradeBit: 31 }],
    [
      'clusterCIDR: 10.244.0.0/16',
      {
        clusterCIDRs: { ipv4: '10.244.0.0/16', ipv6: null },
        detectLocal: { kind: 'cidr', ipv4: '10.244.0.0/16', ipv6: null },
      },
    ],
    [
      'clusterCIDR: "fd00::/56, 10.244.0.0/16"',
      { detectLocal: { kind: 'cidr', ipv4: '10.244.0.0/16', ipv6: 'fd00::/56' } },
    ],
    ['detectLocalMode: NodeCIDR', { detectLocal: { kind: 'nodeCIDR' } }],
    [
      'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}',
      { detectLocal: { kind: 'bridge', interfaceName: 'cni0' } },
    ],
    [
      'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}',
      { detectLocal: { kind: 'interfacePrefix', prefix: 'veth' } },
    ],
    ['pointsman: {otherFamilySourceRanges: Deny}', { otherFamilySourceRanges: 'Deny' }],
    ['pointsman:', { otherFamilySourceRanges: 'Allow', estimation: 'Auto' }],
    ['pointsman: {estimation: On}', { estimation: 'On' }],
    ['pointsman: {estimation: Off}', { estimation: 'Off' }],
    ['pointsman: {estimation: ""}', { estimation: 'Auto' }],
    ['pointsman: {nodePortRange: 20000-20999}', { nodePorts: { first: 20_000, last: 20_999 } }],
    ['pointsman: {nodePortRange: ""}', { nodePorts: { first: 30_000, last: 32_767 } }],
    ['pointsman: {drainTimeout: 2m}', { drainTimeoutMs: 120_000 }],
    ['pointsman: {drainTimeout: 0s}', { drainTimeoutMs: 0 }],
    ['pointsman: {drainTimeout: null}', { drainTimeoutMs: 900_000 }],
    ['nodePortAddresses: [primary]', { nodePortAddresses: 'primary' }],
    ['nodePortAddresses: [192.0.2.0/24]', { nodePortAddresses: ['192.0.2.0/24'] }],
    [
      'logging: {verbosity: 4, flushFrequency: 1s, vmodule: [{filePattern: a, verbosity: 2}, {filePattern: b*, verbosity: 0}]}',
      {
        logging: {
          format: 'text',
          verbosity: 4,
          flushFrequencyMs: 1000,
          vmodule: [
            { filePattern: 'a', verbosity: 2 },
            { filePattern: 'b*', verbosity: 0 },
          ],
        },
      },
    ],
    ['logging: {format: json}', { logging: { format: 'json', vmodule: [] } }],
    // As kubeadm writes it.
    [
      'logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}',
      { logging: { flushFrequencyMs: 5000, verbosity: 0 } },
    ],
    ['logging: {flushFrequency: 2000000000}', { logging: { flushFrequencyMs: 2000 } }],
    // Other modes' fields are read, and no rule of theirs counts.
    [
      'iptables: {syncPeriod: 1s, minSyncPeriod: 30s}\nnftables: {syncPeriod: -1s, masqueradeBit: 77, masqueradeAll: true}',
      { syncPeriodMs: 30_000, minSyncPeriodMs: 0, masqueradeBit: 14, masqueradeAll: false },
    ],
    ['showHiddenMetricsForVersion: "1.35"', { showHiddenMetricsForVersion: '1.35' }],
    [
      'pointsman: {serviceTraffic: On, maxTrafficServices: 10000}',
      { serviceTraffic: { isOn: true, maxServices: 10_000 } },
    ],
    [
      'clientConnection: {kubeconfig: /etc/kc, qps: 50.5, burst: 100}',
      { clientConnection: { kubeconfig: '/etc/kc', qps: 50.5, burst: 100 } },
    ],
  ])('%s', (rest, config) => {
    const loaded = parse(rest);
    expect(loaded.config).toMatchObject(config);
    expect(loaded.warnings).toEqual([]);
  });

  test('JSON is read too, and so is YAML in braces', () => {
    const json =
      '{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",\n\t"mode": "ipvs", "oomScoreAdj": 1}';
    expect(parseConfig(json, 'kp.conf').config.oomScoreAdj).toBe(1);
    expect(parseConfig(json.replaceAll('"', ''), 'kp.conf').config.oomScoreAdj).toBe(1);
  });

  test('another mode is read for who only wants to know a field, with all other mistakes told', () => {
    const text =
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptables\nipvs: {excludeCIDRs: [10.0.0.0/8]}\n';
    const { config } = parseConfig(text, 'kp.conf', { acceptsAnyMode: true });
    expect(config.ipvs.excludeCIDRs).toEqual(['10.0.0.0/8']);
    expect(() => parseConfig(text.replace('/8', ''), 'kp.conf', { acceptsAnyMode: true })).toThrow(
      'is not a CIDR',
    );
  });

  test.each(SCHEDULERS)('scheduler %s', (scheduler) =>
    expect(configOf(`ipvs: {scheduler: ${scheduler}}`).ipvs.scheduler).toBe(scheduler),
  );
});

describe('mistakes', () => {
  test.each<[rest: string, line: string | RegExp]>([
    [
      'ipvs:\n  scheduler: wrrr',
      /^kp\.conf:5:14: ipvs\.scheduler: "wrrr" is not a scheduler; did you mean wrr\? Use one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, twos$/,
    ],
    [
      'ipvs: {syncPeriod: 30}',
      'kp.conf:4:20: ipvs.syncPeriod: 30 is not valid; write a duration of zero or more, as in 30s or 1h30m',
    ],
    ['ipvs: {syncPeriod: -1s}', /not valid; write a duration of zero or more/],
    ['ipvs: {minSyncPeriod: 1m}', /^kp\.conf:4:23: ipvs\.minSyncPeriod: it is longer than ipvs\.syncPeriod/],
    ['ipvs: {udpTimeout: 999ms}', /shorter than a second/],
    [
      'ipvs: {excludeCIDRs: [10.0.0.0/8, 10.0.0.1]}',
      /^kp\.conf:4:35: ipvs\.excludeCIDRs\[1\]: "10\.0\.0\.1" is not a CIDR/,
    ],
    ['ipvs: {strictARP: "yes"}', /^kp\.conf:4:19: ipvs\.strictARP: "yes" is not valid; write true or false$/],
    ['ipvs: rr', /^kp\.conf:4:7: ipvs: "rr" is not valid; write a map of fields$/],
    ['iptables: {masqueradeBit: 32}', /whole number from 0 to 31/],
    ['oomScoreAdj: 1001', /whole number from -1000 to 1000/],
    ['bindAddress: node1', /write an IPv4 or IPv6 address/],
    ['bindAddress: 10', /put numbers in quotes|write text/],
    ...['localhost:1', '0.0.0.0:0', '0.0.0.0:65536', '[0.0.0.0]:1', '1.2.3.4:', ':10256', '0.0.0.0:1 -j'].map(
      (address): [string, RegExp] => [`healthzBindAddress: "${address}"`, /is not ADDRESS:PORT/],
    ),
    ['clusterCIDR: 10.0.0.0/8,11.0.0.0/8', /a second IPv4 network/],
    ['clusterCIDR: 10.0.0.0', /is not a CIDR/],
    ['detectLocalMode: Bridge', /use one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix/],
    [
      'detectLocalMode: BridgeInterface',
      /^kp\.conf:1:1: detectLocal\.bridgeInterface: detectLocalMode BridgeInterface needs it/,
    ],
    ...['cni0 -j ACCEPT', '-i', '!x', 'veth+', 'a'.repeat(16), 'a"b', 'x\\ny'].map(
      (name): [string, RegExp] => [
        `detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: ${JSON.stringify(name)}}`,
        /is not a name of an interface/,
      ],
    ),
    ['nodePortAddresses: [primary, 10.0.0.0/8]', /use either "primary" alone or CIDRs/],
    ['nodePortAddresses: primary', /write a list/],
    ['pointsman: {otherFamilySourceRanges: deny}', /use Allow or Deny/],
    ['pointsman: {estimation: auto}', /use Auto, On or Off/],
    ['pointsman: {estimation: true}', /use Auto, On or Off/],
    ['pointsman: {nodePortRange: 30000}', /write two ports/],
    ['pointsman: {nodePortRange: 2-1}', /write two ports/],
    ['pointsman: {nodePortRange: 0-1}', /write two ports/],
    ['pointsman: {nodePortRange: 1-65536}', /write two ports/],
    ['pointsman: {drainTimeout: 15}', /write a duration/],
    ['pointsman: {drainTimeout: -1s}', /write a duration/],
    ['pointsman: Deny', /write a map of fields/],
    ['hostnameOverride: "a b"', /is not a name of a Node/],
    ['logging: {format: xml}', /use text or json/],
    ['featureGates: {A: "true"}', /featureGates\.A: "true" is not valid; write true or false/],
    ['conntrack: {min: -1}', /whole number from 0/],
    [
      'logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}',
      /:4:\d+: logging\.vmodule: it is for format text/,
    ],
    ['logging: {vmodule: [{filePattern: "a,b", verbosity: 1}]}', /filePattern: "a,b" is not valid/],
    ['logging: {vmodule: [{filePattern: "", verbosity: 1}]}', /filePattern: "" is not valid/],
    ['logging: {vmodule: [{filePattern: a, verbosity: -1}]}', /write 0 or more/],
    ['logging: {verbosity: -1}', /whole number from 0/],
    ['logging: {flushFrequency: -1}', /write a duration of zero or more/],
    ['logging: {flushFrequency: 1.5}', /write a duration of zero or more/],
    ['logging: {options: {json: {infoBufferSize: 1 K}}}', /write a number of bytes/],
    ['logging: {options: {text: {splitStream: 1}}}', /write true or false/],
    ['showHiddenMetricsForVersion: "1.34"', /is not the minor version before this one; write "1\.35"/],
    ['showHiddenMetricsForVersion: 1.35', /put numbers in quotes/],
    ['clientConnection: {burst: -1}', /whole number from 0/],
    ['clientConnection: {qps: fast}', /write a number/],
    ['configSyncPeriod: -1s', /write a duration of zero or more/],
    ['conntrack: {maxPerCore: -1}', /whole number from 0/],
    ['conntrack: {tcpEstablishedTimeout: -1s}', /write a duration of zero or more/],
    ['conntrack: {tcpCloseWaitTimeout: -1s}', /write a duration of zero or more/],
    ['conntrack: {udpTimeout: -1s}', /write a duration of zero or more/],
    ['conntrack: {udpStreamTimeout: 1}', /write a duration of zero or more/],
    ['ipvs: {tcpTimeout: -1s}', /write a duration of zero or more/],
    ['ipvs: {tcpFinTimeout: -1s}', /write a duration of zero or more/],
    ['iptables: {masqueradeBit: -1}', /whole number from 0 to 31/],
    ['iptables: {syncPeriod: soon}', /write a duration, as in/],
    ['nftables: {masqueradeAll: 1}', /write true or false/],
    ['winkernel: {enableDSR: maybe}', /write true or false/],
    ['detectLocalMode: InterfaceNamePrefix', /detectLocalMode InterfaceNamePrefix needs it/],
    ['clusterCIDR: "10.0.0.0/8,fd00::/64,fd01::/64"', /a second IPv6 network/],
    ['oomScoreAdj: -1001', /whole number from -1000 to 1000/],
    ['pointsman: {serviceTraffic: Yes}', /use Off or On/],
    ['pointsman: {maxTrafficServices: 0}', /whole number from 1 to 10000/],
    ['pointsman: {maxTrafficServices: 10001}', /whole number from 1 to 10000/],
    ['\tx: 1', /^kp\.conf:4:1: not valid YAML/],
    ['---\na: 1', /there is more than one document/],
  ])('%s', (rest, line) => {
    const [first] = mistakesOf(rest) as string[];
    if (typeof line === 'string') expect(first).toBe(line);
    else expect(first).toMatch(line);
  });

  test.each<[name: string, text: string, message: RegExp]>([
    ['an empty file', '', /the file holds no configuration/],
    ['comments only', '# x\n', /the file holds no configuration/],
    ['a list', '- a', /it is a list; write a map/],
    [
      'another kind',
      HEAD.replace('KubeProxyConfiguration', 'KubeletConfiguration'),
      /^kp\.conf:2:7: kind: "KubeletConfiguration" is not known/,
    ],
    ['another version', HEAD.replace('v1alpha1', 'v1'), /^kp\.conf:1:13: apiVersion/],
    ['no kind', HEAD.replace(/kind.*/, ''), /kind: it is missing/],
    ['broken JSON', '{"apiVersion": "x" "kind": 1}', /^kp\.conf:1:20: not valid JSON/],
  ])('%s is INVALID_CONFIG', (_name, text, message) =>
    expect(errorOf(text)).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringMatching(message) }),
  );

  test('are told all at once, in the order of the text', () => {
    const mistakes = mistakesOf(
      'bindAddress: x\nipvs:\n  excludeCIDRs: [a]\n  scheduler: x\nhostnameOverride: "?"\n',
    ) as string[];
    expect(mistakes.map((line) => /:(\d+):/.exec(line)?.[1])).toEqual(['4', '6', '7', '8']);
    const both = mistakesOf('oomScoreAdj: 5000\nipvs: {scheduler: x, strictARP: 1}\n') as string[];
    expect(both.map((line) => /: (\S+):/.exec(line)?.[1])).toEqual([
      'oomScoreAdj',
      'ipvs.scheduler',
      'ipvs.strictARP',
    ]);
    expect(errorOf(`${HEAD}mode: ipvs\nbindAddress: x\nipvs: {scheduler: x}`).message).toMatch(
      /\(and 1 more\)$/,
    );
  });

  test('a rule of two fields is not held against one while the other cannot be read', () => {
    expect(mistakesOf('ipvs: {syncPeriod: x, minSyncPeriod: 1m}')).toHaveLength(1);
    expect(mistakesOf('detectLocalMode: [BridgeInterface]')).toHaveLength(1);
  });

  test.each([
    '',
    'mode: null',
    'mode: ""',
    'mode: iptables',
    'mode: nftables',
    'mode: userspace',
    'mode: IPVS',
  ])('no other mode runs in the place of ipvs: %j', (mode) => {
    expect(errorOf(`${HEAD}${mode}\n`)).toMatchObject({
      code: 'UNSUPPORTED_MODE',
      message: expect.stringMatching(/set mode: ipvs or keep kube-proxy$/),
    });
  });

  test('a mode that is no text is a mistake like others', () =>
    expect(errorOf(`${HEAD}mode: [ipvs]\n`).code).toBe('INVALID_CONFIG'));
});

describe('what is tolerated', () => {
  test.each<[rest: string, warning: string]>([
    [
      'kubeProxyIPVSConfiguration:\n  scheduler: lc',
      'kp.conf:5:14: kubeProxyIPVSConfiguration.scheduler: there is no such field: it is ignored; did you mean ipvs.scheduler?',
    ],
    [
      'scheduler: lc',
      'kp.conf:4:12: scheduler: there is no such field: it is ignored; did you mean ipvs.scheduler?',
    ],
    [
      'ipvs: {strictArp: true}',
      'kp.conf:4:19: ipvs.strictArp: there is no such field: it is ignored; did you mean ipvs.strictARP?',
    ],
    [
      'clusterCidr: 10.0.0.0/8',
      'kp.conf:4:14: clusterCidr: there is no such field: it is ignored; did you mean clusterCIDR?',
    ],
    ['somethingElse: {}', 'kp.conf:4:16: somethingElse: there is no such field: it is ignored; remove it'],
    ['portRange: 1-2', 'kp.conf:4:12: portRange: it has no effect: kube-proxy ignores it, too; remove it'],
    [
      'winkernel: {enableDSR: true}',
      'kp.conf:4:24: winkernel.enableDSR: it has no effect: it is for Windows; remove it',
    ],
    [
      'winkernel: {enableDSRR: true}',
      'kp.conf:4:25: winkernel.enableDSRR: there is no such field: it is ignored; did you mean winkernel.enableDSR?',
    ],
    [
      'logging: {options: {text: {splitStream: true}}}',
      'kp.conf:4:41: logging.options.text.splitStream: it has no effect: the log has one stream, standard error, and a buffer of its own; remove it',
    ],
    ['mode: ipvs', 'kp.conf:4:1: the key "mode" is there twice: the last one counts; remove one of them'],
    [
      'featureGates: {X: true}',
      'kp.conf:4:19: featureGates.X: feature gate X has no effect in Pointsman; remove it',
    ],
    [
      'pointsman: {otherFamilySourceRange: Deny}',
      'kp.conf:4:37: pointsman.otherFamilySourceRange: there is no such field: it is ignored; did you mean pointsman.otherFamilySourceRanges?',
    ],
    [
      'detectLocalMode: NodeCIDR\nclusterCIDR: x',
      'kp.conf:5:14: clusterCIDR: "x" is not a CIDR; it is ignored in mode NodeCIDR; write address/prefix, as in 10.244.0.0/16',
    ],
    [
      '__proto__: {oomScoreAdj: 5}',
      'kp.conf:4:26: __proto__.oomScoreAdj: there is no such field: it is ignored; did you mean oomScoreAdj?',
    ],
  ])('%s', (rest, warning) => {
    const { config, warnings } = parse(rest);
    expect(warnings).toEqual([warning]);
    expect(config.oomScoreAdj).toBe(-999);
  });

  test('of a key that is there twice the last one counts, also for the place of a mistake', () => {
    expect(configOf('ipvs: {scheduler: lc}\nipvs: {strictARP: true}').ipvs).toMatchObject({
      scheduler: 'rr',
      strictARP: true,
    });
    expect(mistakesOf('oomScoreAdj: 1\noomScoreAdj: 1001')).toEqual([
      'kp.conf:5:14: oomScoreAdj: 1001 is not valid; write a whole number from -1000 to 1000',
    ]);
    expect(parse('a: 1\n'.repeat(100)).warnings.filter((line) => line.includes('twice'))).toHaveLength(20);
  });

  test('the feature gate that has an effect needs no warning', () => {
    const { config, warnings } = parse('featureGates: {AllowServiceExternalIPs: false}');
    expect(warnings).toEqual([]);
    expect(config.featureGates).toEqual({ AllowServiceExternalIPs: false });
  });

  test('fields of other platforms that are not used need no warning', () => {
    expect(
      parse('portRange: ""\nwindowsRunAsService: false\nwinkernel: {enableDSR: false, networkName: ""}')
        .warnings,
    ).toEqual([]);
  });
});

test('no text makes it throw anything but PointsmanError', () => {
  const fragment = fc.oneof(
    fc.constantFrom(
      HEAD,
      'mode: ipvs\n',
      'ipvs:\n',
      '  scheduler: ',
      'rr\n',
      '{',
      '}',
      '[',
      ']',
      ':',
      '"',
      '\t',
      '---\n',
      'conntrack: {min: ',
      '1',
      'null',
      '__proto__: ',
      '&a ',
      '*a',
      '30s\n',
    ),
    fc.string({ unit: 'binary', maxLength: 5 }),
  );
  fc.assert(
    fc.property(fc.array(fragment, { maxLength: 12 }), (parts) => {
      try {
        parseConfig(parts.join(''), 'x');
      } catch (error) {
        expect(error).toBeInstanceOf(PointsmanError);
        expect((error as Error).message).toMatch(/^[\x20-\x7e]+$/);
      }
    }),
    { numRuns: 1000 },
  );
});
