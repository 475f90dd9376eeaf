// The addresses and networks of a configuration: where servers listen, where NodePorts answer, which networks hold pods. Pure.

import type { Path } from '../files/document.ts';
import { quote } from '../model/fields.ts';
import { familyOf, parseCidr, parseIp, type Cidr, type Family, type IpAddress } from '../model/ip.ts';
import type { Config, DetectLocalMode, SocketAddress } from './config.ts';
import type { Findings } from './findings.ts';
import type { ParsedFields } from './table.ts';

const HEALTHZ_PORT = 10_256;
const METRICS_PORT = 10_249;
const CIDR_REMEDY = 'write address/prefix, as in 10.244.0.0/16';

/** bindAddress; 0.0.0.0, reported, when it is no address. */
export function readBindAddress(fields: ParsedFields, findings: Findings): IpAddress {
  const address = parseIp(fields.bindAddress);
  if (address !== null) return address;
  findings.mistake(
    ['bindAddress'],
    `${quote(fields.bindAddress)} is not an address`,
    'write an IPv4 or IPv6 address',
  );
  return '0.0.0.0' as IpAddress;
}

/** Where a server listens when nothing is said: the health server everywhere, metrics on loopback only, in the family of bindAddress. */
export function defaultSocket(bindAddress: IpAddress, server: 'healthz' | 'metrics'): SocketAddress {
  const isIpv6 = familyOf(bindAddress) === 'IPv6';
  if (server === 'healthz') return { address: (isIpv6 ? '::' : '0.0.0.0') as IpAddress, port: HEALTHZ_PORT };
  return { address: (isIpv6 ? '::1' : '127.0.0.1') as IpAddress, port: METRICS_PORT };
}

/** "ADDRESS:PORT", "[ADDRESS]:PORT" or an address alone, which has the default port. */
export function readSocketAddress(
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

/** The networks of a list; what is none is reported and left out. */
export function readCidrs(texts: readonly string[], path: Path, findings: Findings): Cidr[] {
  return texts.flatMap((text, index) => {
    const cidr = parseCidr(text);
    if (cidr === null) findings.mistake([...path, index], `${quote(text)} is not a CIDR`, CIDR_REMEDY);
    return cidr ?? [];
  });
}

/** nodePortAddresses: CIDRs, or the one word primary. */
export function readNodePortAddresses(fields: ParsedFields, findings: Findings): readonly Cidr[] | 'primary' {
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

/** The first of each family. In other modes than ClusterCIDR nothing depends on it, so mistakes are only warned of. */
export function readClusterCIDRs(
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
