// The addresses by which a node is known: those of its Node object, or what bindAddress says instead. They decide where NodePorts answer
// with `nodePortAddresses: primary`, which source ranges mean this node, and which family is the primary one. Nothing waits for them: the
// Node is followed, and what depends on it follows. Pure. Source: kube-proxy 1.36, detectNodeIPs; spec 5.4.

import type { Config } from '../config/config.ts';
import { familyOf, isLoopback, isUnspecified, type Family, type IpAddress } from '../model/ip.ts';
import type { NodeRecord } from '../model/node.ts';

/** What a node is known by. */
export interface NodeIps {
  readonly primaryFamily: Family;
  /** Loopback where none is known. */
  readonly ips: Readonly<Record<Family, IpAddress>>;
  /** Those that are known, so without loopback; the primary one first, at most one of each family. */
  readonly known: readonly IpAddress[];
}

const LOOPBACK: Readonly<Record<Family, IpAddress>> = {
  IPv4: '127.0.0.1' as IpAddress,
  IPv6: '::1' as IpAddress,
};

/** The first address of a Node, and the first of the other family: what Kubernetes calls its host IPs. */
export function hostIps(addresses: readonly IpAddress[]): IpAddress[] {
  const [first] = addresses;
  if (first === undefined) return [];
  const second = addresses.find((address) => familyOf(address) !== familyOf(first));
  return second === undefined ? [first] : [first, second];
}

/** What the Node's addresses (in the order of NodeRecord) and bindAddress come to: a bindAddress that is one address wins in its family. */
export function detectNodeIps(addresses: readonly IpAddress[], bindAddress: IpAddress): NodeIps {
  const own = hostIps(addresses);
  const chosen = isUnspecified(bindAddress) ? own : [...own, bindAddress];
  const ips: Record<Family, IpAddress> = { ...LOOPBACK };
  for (const address of chosen) ips[familyOf(address)] = address;
  const decisive = isUnspecified(bindAddress) ? own[0] : bindAddress;
  const primaryFamily = decisive === undefined ? 'IPv4' : familyOf(decisive);
  const ordered = [ips[primaryFamily], ips[otherFamily(primaryFamily)]];
  return { primaryFamily, ips, known: ordered.filter((address) => !isLoopback(address)) };
}

/** The family that the given one is not. */
export function otherFamily(family: Family): Family {
  return family === 'IPv4' ? 'IPv6' : 'IPv4';
}

/**
 * What must be known of this node before anything may be programmed, in words; '' when all of it is. In mode NodeCIDR nobody would count as a
 * pod without the node's pod networks. kube-proxy ends after 5 minutes; waiting costs nothing, because what is programmed stays.
 */
export function awaits(
  { detectLocalMode }: Pick<Config, 'detectLocalMode'>,
  nodeName: string,
  node: NodeRecord | undefined,
): string {
  if (detectLocalMode !== 'NodeCIDR') return '';
  if (node === undefined) return `node ${nodeName} to exist`;
  return node.podCIDRs.length === 0 ? `PodCIDR allocation on node ${nodeName}` : '';
}
