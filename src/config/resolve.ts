// From the fields of KubeProxyConfiguration to the Config that the daemon runs on: what kube-proxy's validation checks in mode ipvs,
// and the values of fields that depend on one another. Addresses are in resolve-addresses.ts. Pure. Source: kube-proxy 1.36, validation.go.

import { printable, type Path } from '../files/document.ts';
import { nearestWord } from '../files/nearest.ts';
import { quote } from '../model/fields.ts';
import { isDnsSubdomain } from '../model/names.ts';
import { DETECT_LOCAL_MODES, type Config, type DetectLocal, type DetectLocalMode } from './config.ts';
import { Findings, type Mistake } from './findings.ts';
import {
  defaultSocket,
  readBindAddress,
  readCidrs,
  readClusterCIDRs,
  readNodePortAddresses,
  readSocketAddress,
} from './resolve-addresses.ts';
import type { ParsedFields } from './table.ts';
import { isScheduler, SCHEDULERS, type Scheduler } from '../model/schedulers.ts';

/** The minor version whose kube-proxy this one stands in for, less one: what showHiddenMetricsForVersion may name. */
const PREVIOUS_MINOR = '1.35';

/** The Config of mode ipvs; it must not be used when there are mistakes. `isHealthzOff`: there shall be no health server. */
export function resolveConfig(
  fields: ParsedFields,
  isHealthzOff = false,
): {
  readonly config: Config;
  readonly mistakes: readonly Mistake[];
  readonly warnings: readonly Mistake[];
} {
  const findings = new Findings();
  const bindAddress = readBindAddress(fields, findings);
  const detectLocalMode = readDetectLocalMode(fields, findings);
  const clusterCIDRs = readClusterCIDRs(fields, detectLocalMode, findings);
  const { ipvs, conntrack, logging } = fields;
  if (ipvs.minSyncPeriod > ipvs.syncPeriod)
    findings.mistake(['ipvs', 'minSyncPeriod'], 'it is longer than ipvs.syncPeriod', 'make it shorter', [
      'ipvs',
      'syncPeriod',
    ]);
  checkLogging(fields, findings);
  const { showHiddenMetricsForVersion } = fields;
  if (showHiddenMetricsForVersion !== '' && showHiddenMetricsForVersion !== PREVIOUS_MINOR)
    findings.mistake(
      ['showHiddenMetricsForVersion'],
      `${quote(showHiddenMetricsForVersion)} is not the minor version before this one`,
      `write "${PREVIOUS_MINOR}", or leave it out`,
    );
  const healthz = readSocketAddress(
    fields.healthzBindAddress,
    'healthzBindAddress',
    defaultSocket(bindAddress, 'healthz'),
    findings,
  );
  const config: Config = {
    mode: 'ipvs',
    hostnameOverride: readHostname(fields, findings),
    bindAddress,
    healthzBindAddress: isHealthzOff ? null : healthz,
    metricsBindAddress: readSocketAddress(
      fields.metricsBindAddress,
      'metricsBindAddress',
      defaultSocket(bindAddress, 'metrics'),
      findings,
    ),
    bindAddressHardFail: fields.bindAddressHardFail,
    enableProfiling: fields.enableProfiling,
    showHiddenMetricsForVersion,
    clientConnection: {
      ...pick(fields.clientConnection, 'kubeconfig', 'acceptContentTypes', 'contentType', 'qps', 'burst'),
    },
    logging: {
      format: logging.format,
      flushFrequencyMs: toMs(logging.flushFrequency),
      verbosity: logging.verbosity,
      vmodule: logging.vmodule,
    },
    featureGates: readFeatureGates(fields, findings),
    ipvs: {
      scheduler: readScheduler(ipvs.scheduler, findings),
      excludeCIDRs: readCidrs(ipvs.excludeCIDRs, ['ipvs', 'excludeCIDRs'], findings),
      strictARP: ipvs.strictARP,
      tcpTimeoutSeconds: toSeconds(ipvs.tcpTimeout, ['ipvs', 'tcpTimeout'], findings),
      tcpFinTimeoutSeconds: toSeconds(ipvs.tcpFinTimeout, ['ipvs', 'tcpFinTimeout'], findings),
      udpTimeoutSeconds: toSeconds(ipvs.udpTimeout, ['ipvs', 'udpTimeout'], findings),
    },
    syncPeriodMs: toMs(ipvs.syncPeriod),
    minSyncPeriodMs: toMs(ipvs.minSyncPeriod),
    masqueradeAll: fields.iptables.masqueradeAll,
    masqueradeBit: fields.iptables.masqueradeBit,
    detectLocalMode,
    detectLocal: readDetectLocal(fields, detectLocalMode, clusterCIDRs, findings),
    clusterCIDRs,
    otherFamilySourceRanges: fields.pointsman.otherFamilySourceRanges,
    estimation: fields.pointsman.estimation,
    nodePorts: fields.pointsman.nodePortRange,
    drainTimeoutMs: toMs(fields.pointsman.drainTimeout),
    serviceTraffic: {
      isOn: fields.pointsman.serviceTraffic === 'On',
      maxServices: fields.pointsman.maxTrafficServices,
    },
    nodePortAddresses: readNodePortAddresses(fields, findings),
    oomScoreAdj: fields.oomScoreAdj,
    configSyncPeriodMs: toMs(fields.configSyncPeriod),
    conntrack: {
      maxPerCore: conntrack.maxPerCore,
      min: conntrack.min,
      tcpEstablishedTimeoutSeconds: toSeconds(
        conntrack.tcpEstablishedTimeout,
        ['conntrack', 'tcpEstablishedTimeout'],
        findings,
      ),
      tcpCloseWaitTimeoutSeconds: toSeconds(
        conntrack.tcpCloseWaitTimeout,
        ['conntrack', 'tcpCloseWaitTimeout'],
        findings,
      ),
      udpTimeoutSeconds: toSeconds(conntrack.udpTimeout, ['conntrack', 'udpTimeout'], findings),
      udpStreamTimeoutSeconds: toSeconds(
        conntrack.udpStreamTimeout,
        ['conntrack', 'udpStreamTimeout'],
        findings,
      ),
      tcpBeLiberal: conntrack.tcpBeLiberal,
    },
  };
  return { config, mistakes: findings.mistakes, warnings: findings.warnings };
}

function pick<T, K extends keyof T>(from: T, ...names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}

function checkLogging({ logging }: ParsedFields, findings: Findings): void {
  if (logging.vmodule.length > 0 && logging.format !== 'text')
    findings.mistake(
      ['logging', 'vmodule'],
      `it is for format text, not ${logging.format}`,
      'leave one of the two out',
      ['logging', 'format'],
    );
}

function readHostname(fields: ParsedFields, findings: Findings): string {
  const name = fields.hostnameOverride.trim().toLowerCase();
  if (name !== '' && !isDnsSubdomain(name))
    findings.mistake(['hostnameOverride'], `${quote(name)} is not a name of a Node`, 'use a DNS name');
  return name;
}

function readFeatureGates(fields: ParsedFields, findings: Findings): Readonly<Record<string, boolean>> {
  for (const name of Object.keys(fields.featureGates)) {
    if (name === 'AllowServiceExternalIPs') continue;
    findings.warn(
      ['featureGates', name],
      `feature gate ${printable(name)} has no effect in Pointsman`,
      'remove it',
    );
  }
  return fields.featureGates;
}

function readScheduler(name: string, findings: Findings): Scheduler {
  if (name === '') return 'rr';
  if (isScheduler(name)) return name;
  const nearest = nearestWord(name, SCHEDULERS);
  const hint = nearest === null ? '' : `did you mean ${nearest}? `;
  findings.mistake(
    ['ipvs', 'scheduler'],
    `${quote(name)} is not a scheduler`,
    `${hint}Use one of ${SCHEDULERS.join(', ')}`,
  );
  return 'rr';
}

function readDetectLocalMode(fields: ParsedFields, findings: Findings): DetectLocalMode {
  const text = fields.detectLocalMode;
  if (text === '') return 'ClusterCIDR';
  const mode = DETECT_LOCAL_MODES.find((one) => one === text);
  if (mode === undefined)
    findings.mistake(
      ['detectLocalMode'],
      `${quote(text)} is not a mode`,
      `use one of ${DETECT_LOCAL_MODES.join(', ')}`,
    );
  return mode ?? 'ClusterCIDR';
}

function readDetectLocal(
  fields: ParsedFields,
  mode: DetectLocalMode,
  { ipv4, ipv6 }: Config['clusterCIDRs'],
  findings: Findings,
): DetectLocal {
  switch (mode) {
    case 'ClusterCIDR':
      return ipv4 === null && ipv6 === null ? { kind: 'none' } : { kind: 'cidr', ipv4, ipv6 };
    case 'NodeCIDR':
      return { kind: 'nodeCIDR' };
    case 'BridgeInterface':
      return { kind: 'bridge', interfaceName: readInterface(fields, 'bridgeInterface', mode, findings) };
    case 'InterfaceNamePrefix':
      return {
        kind: 'interfacePrefix',
        prefix: readInterface(fields, 'interfaceNamePrefix', mode, findings),
      };
  }
}

/** Stricter than the kernel: the name goes into rules, where '+' at its end and '-' or '!' at its beginning mean something. */
function readInterface(
  fields: ParsedFields,
  field: keyof ParsedFields['detectLocal'],
  mode: DetectLocalMode,
  findings: Findings,
): string {
  const name = fields.detectLocal[field];
  const path = ['detectLocal', field];
  if (name === '')
    findings.mistake(path, `detectLocalMode ${mode} needs it`, 'give the name of the interface', [
      'detectLocalMode',
    ]);
  else if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}$/.test(name))
    findings.mistake(
      path,
      `${quote(name)} is not a name of an interface`,
      'use at most 15 letters, digits and . _ - @',
    );
  return name;
}

function toMs(nanoseconds: bigint): number {
  return Number(nanoseconds) / 1e6;
}

/** Whole seconds, as the kernel takes them; less than one would become 0, which means something else. */
function toSeconds(nanoseconds: bigint, path: Path, findings: Findings): number {
  const seconds = Number(nanoseconds / 1_000_000_000n);
  if (nanoseconds > 0n && seconds === 0)
    findings.mistake(
      path,
      'it is shorter than a second',
      'write 1s or more, or 0s to leave the kernel as it is',
    );
  if (seconds > 2_147_483)
    findings.mistake(path, 'the kernel takes at most 2147483 seconds', 'write 596h or less');
  return seconds;
}
