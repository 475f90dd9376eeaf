// The addresses that tests use, fixed once: documentation and private ranges only, with the convention of kube-proxy's own tests.
// Pods 10.244.<node>.x and fd00:10:244:<node>::x, cluster IPs 10.96.x.x and fd00:10:96::x, nodes 192.168.50.1<node> and fd00:50::1<node>,
// external and load-balancer IPs 198.51.100.x and 2001:db8::x, clients outside 203.0.113.x.

import { parseCidr, parseIp, type Cidr, type IpAddress } from '../src/model/ip.ts';

/** A canonical address; throws on text that is none, which in a test is a mistake. */
export function address(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === null) throw new Error(`not an address: ${text}`);
  return parsed;
}

/** A canonical network; throws on text that is none. */
export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === null) throw new Error(`not a network: ${text}`);
  return parsed;
}

/** The node on which tests stand, and another one. */
export const NODE1 = 'node1';
export const NODE2 = 'node2';
