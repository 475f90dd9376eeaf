// The addresses of a Service: cluster IPs, external IPs, load-balancer IPs and who may use the latter. Each is canonical and checked to be
// one that a node may answer on; what is not is reported and left out. Never throws on a JSON value.
// Source: Kubernetes API v1 and kube-proxy 1.36 (util: GetClusterIPByFamily, source ranges); spec of the service model, 1.2.

import { isAbsent, MAX_LIST_LENGTH, member, readList, type ProblemList } from './fields.ts';
import {
  familyOf,
  isLinkLocal,
  isLoopback,
  isMulticastOrBroadcast,
  isUnspecified,
  parseCidr,
  parseIp,
  type Cidr,
  type IpAddress,
} from './ip.ts';
import { packed } from './interner.ts';

/** What most Services have of external and load-balancer addresses. */
const NO_ADDRESSES: readonly IpAddress[] = Object.freeze([]);

/** spec.clusterIP, or the first of spec.clusterIPs where a manifest gives only the list. */
export function primaryClusterIP(spec: unknown): unknown {
  const clusterIP = member(spec, 'clusterIP');
  if (!isAbsent(clusterIP)) return clusterIP;
  const clusterIPs = member(spec, 'clusterIPs');
  return Array.isArray(clusterIPs) ? clusterIPs[0] : undefined;
}

/** At most one cluster IP of each family, in the order of the spec; empty when the Service has no usable one. */
export function readClusterIPs(spec: unknown, problems: ProblemList): readonly IpAddress[] {
  const listed = readList(member(spec, 'clusterIPs'), 'spec.clusterIPs', problems, 2);
  const texts = listed.length > 0 ? listed : [primaryClusterIP(spec)];
  const families = readList(member(spec, 'ipFamilies'), 'spec.ipFamilies', problems, 2);
  const addresses: IpAddress[] = [];
  texts.forEach((text, index) => {
    const field = listed.length > 0 ? `spec.clusterIPs[${index}]` : 'spec.clusterIP';
    if (isAbsent(text)) {
      if (listed.length > 0)
        problems.add('InvalidField', field, 'it is empty: it is left out', 'give an address');
      else {
        const remedy = 'give it one, or None for a headless Service';
        problems.add('InvalidField', field, 'no cluster IP is given: the Service is skipped', remedy);
      }
      return;
    }
    const address = readAddress(text, field, problems, isUsableAsVip);
    if (address === null) return;
    const family = familyOf(address);
    if (families.length > 0 && families[index] !== family) {
      const message = `${address} is not of the family in spec.ipFamilies[${index}]: it is left out`;
      problems.add('WrongFamily', field, message, 'make both lists agree');
    } else if (addresses.some((one) => familyOf(one) === family)) {
      const message = `${address} is a second ${family} address: it is left out`;
      problems.add('InvalidField', field, message, 'give one cluster IP of each family');
    } else {
      addresses.push(address);
    }
  });
  return packed(addresses);
}

/** spec.externalIPs, both families, without repetition. Blank items are passed over. */
export function readExternalIPs(spec: unknown, problems: ProblemList): readonly IpAddress[] {
  const listed = readList(member(spec, 'externalIPs'), 'spec.externalIPs', problems, MAX_LIST_LENGTH);
  if (listed.length === 0) return NO_ADDRESSES;
  const addresses = new Set<IpAddress>();
  listed.forEach((text, index) => {
    if (isBlank(text)) return;
    // As the API: no link-local address either, or an editor of Services could capture a cloud's metadata server.
    const isUsable = (address: IpAddress): boolean => isUsableAsVip(address) && !isLinkLocal(address);
    const address = readAddress(text, `spec.externalIPs[${index}]`, problems, isUsable);
    if (address !== null) addresses.add(address);
  });
  return packed([...addresses]);
}

/** Addresses of status.loadBalancer.ingress that the node answers for (ipMode VIP or none), without repetition. */
export function readIngress(object: unknown, problems: ProblemList): readonly IpAddress[] {
  const path = 'status.loadBalancer.ingress';
  const ingress = member(member(member(object, 'status'), 'loadBalancer'), 'ingress');
  const listed = readList(ingress, path, problems, MAX_LIST_LENGTH);
  if (listed.length === 0) return NO_ADDRESSES;
  const addresses = new Set<IpAddress>();
  listed.forEach((item, index) => {
    const text = member(item, 'ip');
    const mode = member(item, 'ipMode');
    if (isBlank(text) || mode === 'Proxy') return;
    if (!isAbsent(mode) && mode !== 'VIP') {
      problems.invalid(`${path}[${index}].ipMode`, mode, 'the address is left out', 'use VIP or Proxy');
      return;
    }
    const address = readAddress(text, `${path}[${index}].ip`, problems, isUsableAsVip);
    if (address !== null) addresses.add(address);
  });
  return packed([...addresses]);
}

/**
 * spec.loadBalancerSourceRanges, both families, trimmed, without repetition. A range that cannot be read is reported and passed over, a
 * blank one silently. null when none is given; empty when some are given, but none that can be read.
 */
export function readSourceRanges(spec: unknown, problems: ProblemList): readonly Cidr[] | null {
  const path = 'spec.loadBalancerSourceRanges';
  const listed = member(spec, 'loadBalancerSourceRanges');
  if (isAbsent(listed)) return null;
  const ranges = new Set<Cidr>();
  let isGiven = !Array.isArray(listed);
  readList(listed, path, problems, MAX_LIST_LENGTH).forEach((text, index) => {
    if (isBlank(text)) return;
    isGiven = true;
    const range = typeof text === 'string' ? parseCidr(text.trim()) : null;
    const remedy = 'write address/prefix, as in 192.0.2.0/24';
    if (range === null) problems.invalid(`${path}[${index}]`, text, 'it is passed over', remedy);
    else ranges.add(range);
  });
  return isGiven ? packed([...ranges]) : null;
}

function readAddress(
  text: unknown,
  field: string,
  problems: ProblemList,
  isUsable: (address: IpAddress) => boolean,
): IpAddress | null {
  const address = typeof text === 'string' ? parseIp(text) : null;
  if (address !== null && isUsable(address)) return address;
  const remedy = address === null ? 'write an IPv4 or IPv6 address' : 'use an address that may be routed';
  problems.invalid(field, text, 'the address is left out', remedy);
  return null;
}

/** Addresses that a node may bind for a Service. Loopback, unspecified and multicast ones would capture the node's own traffic. */
function isUsableAsVip(address: IpAddress): boolean {
  if (isUnspecified(address) || isLoopback(address) || isMulticastOrBroadcast(address)) return false;
  // IPv6 link-local addresses mean nothing without an interface.
  return familyOf(address) === 'IPv4' || !isLinkLocal(address);
}

function isBlank(text: unknown): boolean {
  return isAbsent(text) || (typeof text === 'string' && text.trim() === '');
}
