// From the fields of KubeProxyConfiguration to the Config that the daemon runs on: what kube-proxy's validation checks in mode ipvs,
// the values of fields that depend on one another, and the lists of addresses. Pure. Source: kube-proxy 1.36, validation.go.

import { printable, type Path } from '../files/document.ts';
import { nearestWord } from '../files/nearest.ts';
import { quote } from '../model/fields.ts';
import { familyOf, parseCidr, parseIp, type Cidr, type Family, type IpAddress } from '../model/ip.ts';
import { isDnsSubdomain } from '../model/names.ts';
import {
  DETECT_LOCAL_MODES,
  type Config,
  type DetectLocal,
  type DetectLocalMode,
  type SocketAddress,
} from './config.ts';
import type { ParsedFields } from './schema.ts';
import { isScheduler, SCHEDULERS, type Scheduler } from './schedulers.ts';

/** A rule that the configuration breaks. */
export interface Mistake {
  readonly path: Path;
  readonly message: string;
  readonly remedy: string;
}

const HEALTHZ_PORT = 10_256;
const METRICS_PORT = 10_249;
const CIDR_REMEDY = 'write address/prefix, as in 10.244.0.0/16';

/** Collects mistakes and warnings while values are read. */
class Findings {
  readonly mistakes: Mistake[] = [];
  readonly warnings: Mistake[] = [];

  mistake(path: Path, message: string, remedy: string): void {
    this.mistakes.push({ path, message, remedy });
  }

  warn(path: Path, message: string, remedy: string): void {
    this.warnings.push({ path, message, remedy });
  }
}

/** The Config of mode ipvs; it must not be used when there are mistakes. */
export function resolveConfig(fields: ParsedFields): {
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
    findings.mistake(['ipvs', 'minSyncPeriod'], 'it is longer than ipvs.syncPeriod', 'make it shorter');
  const config: Config = {
    mode: 'ipvs',
    hostnameOverride: readHostname(fields, findings),
    bindAddress,
    healthzBindAddress: readSocketAddress(
      fields.healthzBindAddress,
      'healthzBindAddress',
      defaultSocket(bindAddress, 'healthz'),
      findings,
    ),
    metricsBindAddress: readSocketAddress(
      fields.metricsBindAddress,
      'metricsBindAddress',
      defaultSocket(bindAddress, 'metrics'),
      findings,
    ),
    bindAddressHardFail: fields.bindAddressHardFail,
    enableProfiling: fields.enableProfiling,
    showHiddenMetricsForVersion: fields.showHiddenMetricsForVersion,
    clientConnection: {
      ...pick(fields.clientConnection, 'kubeconfig', 'acceptContentTypes', 'contentType', 'qps', 'burst'),
    },
    logging: {
      format: logging.format,
      flushFrequencyMs: toMs(logging.flushFrequency),
      verbosity: logging.verbosity,
      vmodule: logging.vmodule.map(({ filePattern, verbosity }) => `${filePattern}=${verbosity}`).join(','),
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

function readBindAddress(fields: ParsedFields, findings: Findings): IpAddress {
  const address = parseIp(fields.bindAddress);
  if (address !== null) return address;
  findings.mistake(
    ['bindAddress'],
    `${quote(fields.bindAddress)} is not an address`,
    'write an IPv4 or IPv6 address',
  );
  return '0.0.0.0' as IpAddress;
}

function readHostname(fields: ParsedFields, findings: Findings): string {
  const name = fields.hostnameOverride.trim().toLowerCase();
  if (name !== '' && !isDnsSubdomain(name))
    findings.mistake(['hostnameOverride'], `${quote(name)} is not a name of a Node`, 'use a DNS name');
  return name;
}

function defaultSocket(bindAddress: IpAddress, server: 'healthz' | 'metrics'): SocketAddress {
  const isIpv6 = familyOf(bindAddress) === 'IPv6';
  if (server === 'healthz') return { address: (isIpv6 ? '::' : '0.0.0.0') as IpAddress, port: HEALTHZ_PORT };
  return { address: (isIpv6 ? '::1' : '127.0.0.1') as IpAddress, port: METRICS_PORT };
}

/** "ADDRESS:PORT", "[ADDRESS]:PORT" or an address alone, which has the default port. */
function readSocketAddress(
  text: string,
  field: string,
  fallback: SocketAddress,
  findings: Findings,
): SocketAddress {
  if (text === '') return fallback;
  const alone = parseIp(text);
  if (alone !== null) return { address: alone, port: fallback.port };
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const address = match === null ? null : parseIp(match[1] ?? match[2] ?? '');
  const port = Number(match?.[3] ?? 0);
  // Brackets are for IPv6 and only for IPv6.
  const isInBrackets = match?.[1] !== undefined;
  if (
    address !== null &&
    port >= 1 &&
    port <= 65_535 &&
    isInBrackets === text.slice(0, text.lastIndexOf(':')).includes(':')
  )
    return { address, port };
  findings.mistake(
    [field],
    `${quote(text)} is not ADDRESS:PORT`,
    'write it as in 0.0.0.0:10256 or [::]:10256, port 1 to 65535',
  );
  return fallback;
}

function readFeatureGates(fields: ParsedFields, findings: Findings): Readonly<Record<string, boolean>> {
  for (const name of Object.keys(fields.featureGates))
    findings.warn(
      ['featureGates', name],
      `feature gate ${printable(name)} has no effect in Pointsman`,
      'remove it',
    );
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

function readCidrs(texts: readonly string[], path: Path, findings: Findings): Cidr[] {
  return texts.flatMap((text, index) => {
    const cidr = parseCidr(text);
    if (cidr === null) findings.mistake([...path, index], `${quote(text)} is not a CIDR`, CIDR_REMEDY);
    return cidr ?? [];
  });
}

function readNodePortAddresses(fields: ParsedFields, findings: Findings): readonly Cidr[] | 'primary' {
  const texts = fields.nodePortAddresses;
  if (texts.length === 1 && texts[0] === 'primary') return 'primary';
  const index = texts.indexOf('primary');
  if (index !== -1) {
    findings.mistake(
      ['nodePortAddresses', index],
      'primary stands beside CIDRs',
      'use either "primary" alone or CIDRs',
    );
    return [];
  }
  return readCidrs(texts, ['nodePortAddresses'], findings);
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

/** The first of each family. In other modes than ClusterCIDR nothing depends on it, so mistakes are only warned of. */
function readClusterCIDRs(
  fields: ParsedFields,
  mode: DetectLocalMode,
  findings: Findings,
): Config['clusterCIDRs'] {
  const path = ['clusterCIDR'];
  const found: Record<Family, Cidr | null> = { IPv4: null, IPv6: null };
  const report = (message: string, remedy: string): void => {
    if (mode === 'ClusterCIDR') findings.mistake(path, message, remedy);
    else findings.warn(path, `${message}; it is ignored in mode ${mode}`, remedy);
  };
  if (fields.clusterCIDR !== '') {
    for (const text of fields.clusterCIDR.split(',')) {
      const cidr = parseCidr(text.trim());
      if (cidr === null) report(`${quote(text)} is not a CIDR`, CIDR_REMEDY);
      else if (found[familyOf(cidr)] === null) found[familyOf(cidr)] = cidr;
      else
        report(
          `${cidr} is a second ${familyOf(cidr)} network`,
          'give one, or one of each family with a comma between them',
        );
    }
  }
  return { ipv4: found.IPv4, ipv6: found.IPv6 };
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
    findings.mistake(path, `detectLocalMode ${mode} needs it`, 'give the name of the interface');
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
