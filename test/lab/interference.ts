// What it means that somebody changes our kernel state with the ordinary tools and the daemon does something about it, and the cluster and
// the things of others among which it happens. Data and types only; the table of it is interference-cases.ts.

import type { ClusterEvent } from '../../src/model/objects.ts';
import { readCase } from '../golden/cases.ts';
import { service, slice } from '../golden/kernel-state-objects.ts';
import type { Fault } from './faulty-port.ts';

/** The node: 192.168.0.2 and fd00:192:168::2. */
export const CASE = readCase('ipvs-nothing');

const PORTS = [
  { name: 'http', port: 8080 },
  { name: 'dns', port: 5353, protocol: 'UDP' },
];

/** A Service with cluster IPs, node ports, load-balancer addresses and source ranges of both families, and one without endpoints. */
export const EVENTS: readonly ClusterEvent[] = [
  ...(CASE.stages[0]?.events ?? []),
  service(
    'full',
    {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.41',
      clusterIPs: ['172.30.0.41', 'fd00:172:30::41'],
      ipFamilies: ['IPv4', 'IPv6'],
      loadBalancerSourceRanges: ['203.0.113.0/25', '2001:db8:cafe::/64'],
      ports: [
        { name: 'http', port: 80, targetPort: 8080, nodePort: 30001 },
        { name: 'dns', port: 53, targetPort: 5353, protocol: 'UDP', nodePort: 30002 },
      ],
    },
    ['198.51.100.41', '2001:db8::41'],
  ),
  slice('full', PORTS, ['10.0.1.1', '10.0.2.1']),
  slice('full', PORTS, ['fd00:10::1:1', 'fd00:10::2:1']),
  service('plain', { clusterIP: '172.30.0.43', ipFamilies: ['IPv4'], ports: [{ port: 9090 }] }),
  slice('plain', [{ port: 9090 }], ['10.0.2.3']),
  service('empty', { clusterIP: '172.30.0.42', ipFamilies: ['IPv4'], ports: [{ port: 80 }] }),
];

/** Virtual servers of others. */
export const OTHERS_SERVER = `
  ipvsadm -A -t 192.0.2.77:80 -s wlc
  ipvsadm -a -t 192.0.2.77:80 -r 192.0.2.9:80 -m -w 3
  ipvsadm -A -f 7 -s rr`;
/** Addresses of others. */
export const OTHERS_ADDRESSES = `
  ip addr add 192.0.2.99/32 dev kube-ipvs0
  ip addr add 2001:db8:99::1/128 dev kube-ipvs0`;

/** Puts there what others have: virtual servers, a set, addresses on kube-ipvs0, chains and rules among ours. */
export const MAKE_OTHERS = `${OTHERS_SERVER}
  ip link add kube-ipvs0 type dummy
  ${OTHERS_ADDRESSES}
  ipset create OTHERS hash:ip
  ipset add OTHERS 192.0.2.5
  for tool in iptables-legacy ip6tables-legacy; do
    $tool -t nat -N OTHERS
    $tool -t nat -A OTHERS -p udp -j RETURN
    $tool -t nat -A PREROUTING -p tcp -j OTHERS
    $tool -t nat -A POSTROUTING -p sctp -j ACCEPT
    $tool -A INPUT -p udp --dport 9 -j DROP
  done
  iptables-legacy -A FORWARD -m set --match-set OTHERS src -j DROP`;

/** What the daemon does: its checks every few seconds, what it does when it hears of an address or of the link, or a whole comparison. */
export type Reaction =
  | { readonly by: 'containers' | 'all addresses' | 'cycle' }
  | { readonly by: 'addresses'; readonly addresses: readonly string[] };

/** One row of the table. */
export interface Interference {
  readonly name: string;
  /** For sh. */
  readonly script: string;
  readonly reaction: Reaction;
  /** What is to be put right, as "KIND OBJECT", in any order; null: told once or several times, by how often it has to be tried. */
  readonly repairs: readonly string[] | null;
  /** Strike on the way; then the daemon retries, and compares once more without them. */
  readonly faults?: readonly Fault[];
  /** For sh, after the repair: brings back what of others went with ours. */
  readonly afterwards?: string;
}
