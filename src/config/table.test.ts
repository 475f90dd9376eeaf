// The table of settings holds every field and every flag of kube-proxy 1.36, and each of them does what the table says.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { effectiveFlags } from './flagz.ts';
import { formatFlagValue } from './flag-values.ts';
import { FLAGS } from './flags.ts';
import type { GivenFlags } from './given-flags.ts';
import { valueAt } from './overlay.ts';
import { configFromFlags, parseConfig } from './parse.ts';
import { READ_AT_START } from './restart.ts';
import { LEAVES, leafAt } from './table.ts';

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n';
const given = (texts: Readonly<Record<string, readonly string[]>>): GivenFlags => ({
  texts: new Map(Object.entries(texts)),
  warnings: [],
});

/** Of KubeProxyConfiguration v1alpha1. */
const FIELDS = `
  featureGates
  clientConnection.kubeconfig clientConnection.acceptContentTypes clientConnection.contentType clientConnection.qps clientConnection.burst
  logging.format logging.flushFrequency logging.verbosity logging.vmodule
  logging.options.text.splitStream logging.options.text.infoBufferSize logging.options.json.splitStream logging.options.json.infoBufferSize
  hostnameOverride bindAddress healthzBindAddress metricsBindAddress bindAddressHardFail enableProfiling showHiddenMetricsForVersion mode
  iptables.masqueradeBit iptables.masqueradeAll iptables.localhostNodePorts iptables.syncPeriod iptables.minSyncPeriod
  ipvs.syncPeriod ipvs.minSyncPeriod ipvs.scheduler ipvs.excludeCIDRs ipvs.strictARP ipvs.tcpTimeout ipvs.tcpFinTimeout ipvs.udpTimeout
  nftables.masqueradeBit nftables.masqueradeAll nftables.syncPeriod nftables.minSyncPeriod
  winkernel.networkName winkernel.sourceVip winkernel.enableDSR winkernel.rootHnsEndpointName winkernel.forwardHealthCheckVip
  detectLocalMode detectLocal.bridgeInterface detectLocal.interfaceNamePrefix clusterCIDR nodePortAddresses oomScoreAdj
  conntrack.maxPerCore conntrack.min conntrack.tcpEstablishedTimeout conntrack.tcpCloseWaitTimeout conntrack.tcpBeLiberal
  conntrack.udpTimeout conntrack.udpStreamTimeout configSyncPeriod portRange windowsRunAsService`;

/** Of its command line: "name=text that is not the default", and what /flagz shows of that text when it is spelt in another way. */
const FLAGS_WITH_TEXTS = `
  config=/c write-config-to=/w cleanup=true init-only=true feature-gates=AllowServiceExternalIPs=false kubeconfig=/k master=https://m
  kube-api-content-type=application/json kube-api-burst=20 kube-api-qps=7.5 hostname-override=n1 bind-address=192.0.2.1
  healthz-bind-address=127.0.0.1:1 metrics-bind-address=127.0.0.1:2 bind-address-hard-fail=true profiling=true
  show-hidden-metrics-for-version=1.35 proxy-mode=ipvs iptables-masquerade-bit=3 masquerade-all=true iptables-localhost-nodeports=false
  iptables-sync-period=1m0s iptables-min-sync-period=2s ipvs-sync-period=1m0s ipvs-min-sync-period=2s ipvs-scheduler=sh
  ipvs-exclude-cidrs=192.0.2.0/24,fd00::/64 ipvs-strict-arp=true ipvs-tcp-timeout=15m0s ipvs-tcpfin-timeout=2m0s ipvs-udp-timeout=5m0s
  detect-local-mode=NodeCIDR pod-bridge-interface=cni0 pod-interface-name-prefix=veth cluster-cidr=10.0.0.0/8 nodeport-addresses=primary
  oom-score-adj=-5 conntrack-max-per-core=0 conntrack-min=1 conntrack-tcp-timeout-established=2h0m0s conntrack-tcp-timeout-close-wait=2h0m0s
  conntrack-tcp-be-liberal=true conntrack-udp-timeout=30s conntrack-udp-timeout-stream=3m0s config-sync-period=1m0s
  healthz-port=10256 metrics-port=10249 v=4 vmodule=a=2,b*=3 logging-format=json log-flush-frequency=1s log-text-split-stream=true
  log-text-info-buffer-size=1K log-json-split-stream=true log-json-info-buffer-size=2Ki version=true`;
const SAMPLES = FLAGS_WITH_TEXTS.trim()
  .split(/\s+/)
  .map((word): [name: string, text: string] => [
    word.slice(0, word.indexOf('=')),
    word.slice(word.indexOf('=') + 1),
  ]);

describe('the table', () => {
  test('has every field, and beside them only ours', () => {
    const ours = LEAVES.map(({ name }) => name).filter((name) => name.startsWith('pointsman.'));
    expect(LEAVES.map(({ name }) => name).sort()).toEqual(
      [...FIELDS.trim().split(/\s+/), ...ours, 'apiVersion', 'kind', 'metadata'].sort(),
    );
    expect(ours).toHaveLength(6);
  });

  test('has every flag, and no other', () => {
    expect([...FLAGS.keys()]).toEqual(SAMPLES.map(([name]) => name).sort());
  });

  test('gives no flag to two fields', () => {
    const names = LEAVES.flatMap(({ field }) => field.flag ?? []);
    expect(new Set(names).size).toBe(names.length);
  });

  test('says one line of each', () => {
    for (const { help } of FLAGS.values()) expect(help).toMatch(/^[^\n]{3,110}$/);
    for (const { field } of LEAVES) expect(field.help).toMatch(/^[^\n]{3,110}$/);
  });

  test('is what docs/configuration.md says', () => {
    const docs = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
    const rows = new Set(docs.split('\n').filter((line) => line.startsWith('| ')));
    for (const { name, field } of LEAVES) {
      if (field.isOmittedWhenEmpty === true && field.fallback === null) continue;
      const flag = field.flag === undefined ? '' : `--${field.flag}`;
      const fallback = formatFlagValue(field.kind, field.fallback);
      expect(rows).toContain(`| ${name} | ${flag} | ${fallback} | ${field.help} |`);
    }
    for (const { name, kind, field, fallback, help } of FLAGS.values())
      if (field === '' || name.endsWith('-port'))
        expect(rows).toContain(`| --${name} | ${formatFlagValue(kind, fallback)} | ${help} |`);
    const waiting = docs.slice(docs.indexOf('These wait for the next start'));
    for (const name of READ_AT_START) expect(waiting).toContain(`\`${name}\``);
  });

  test('finds the field around a part of it', () => {
    expect(leafAt(['ipvs', 'excludeCIDRs', 1])?.name).toBe('ipvs.excludeCIDRs');
    expect(leafAt(['ipvs'])).toBeUndefined();
  });
});

/** Flags whose field shows something else in mode ipvs, whatever they say. */
const LOST = new Set(['iptables-sync-period', 'iptables-min-sync-period']);

describe('each flag', () => {
  test.each(SAMPLES)('--%s=%s sets its field, which says so', (name, text) => {
    const flag = FLAGS.get(name);
    const isJson = name === 'logging-format';
    const loaded = configFromFlags(given({ [name]: [text] }));
    const shown = new Map(effectiveFlags(loaded));
    expect([...shown.keys()]).toEqual([...FLAGS.keys()]);
    if (LOST.has(name)) expect(shown.get(name)).toBe('0s');
    else expect(shown.get(name)).toBe(text);
    if (flag === undefined || flag.field === '' || name.endsWith('-port') || LOST.has(name)) return;
    expect(loaded.origins.get(flag.field)).toEqual({ kind: 'flag', flag: name === 'v' ? '-v' : `--${name}` });
    const before = configFromFlags(given({}));
    const path = flag.field.split('.');
    if (name !== 'proxy-mode')
      expect(valueAt(loaded.complete, path)).not.toEqual(valueAt(before.complete, path));
    expect(isJson || loaded.config.logging.format === 'text').toBe(true);
  });

  test.each(SAMPLES)('--%s=%s acts beside a file, or is named with the field to set', (name, text) => {
    const flag = FLAGS.get(name);
    const alone = parseConfig(HEAD, 'kp.conf');
    const beside = parseConfig(HEAD, 'kp.conf', { flags: given({ [name]: [text] }) });
    if (flag?.isStronger === true) {
      expect(beside.warnings.filter((line) => line.includes('void'))).toEqual([]);
      if (flag.field !== '') expect(beside.complete).not.toEqual(alone.complete);
    } else {
      expect(beside.warnings).toEqual([`--${name} is void beside --config; set ${flag?.field} in kp.conf`]);
      expect(beside.config).toEqual(alone.config);
    }
  });

  test('that is stronger than the file is one of these', () => {
    const stronger = [...FLAGS.values()].filter(({ isStronger }) => isStronger).map(({ name }) => name);
    expect(stronger.join(' ')).toBe(
      'cleanup config hostname-override init-only log-flush-frequency log-json-info-buffer-size log-json-split-stream ' +
        'log-text-info-buffer-size log-text-split-stream logging-format master v version vmodule write-config-to',
    );
  });
});
