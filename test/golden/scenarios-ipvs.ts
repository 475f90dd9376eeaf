// Section 6.4 of the catalogue in scenarios.ts: kernel state in mode ipvs. Every row of kube-proxy's own tests is here, with what holds
// it or why nothing does.

import type { Scenario } from './scenarios.ts';

/** In the order of the catalogue. */
export const IPVS_SCENARIOS: readonly Scenario[] = [
  {
    section: '6.4',
    scenario:
      'addresses of the node: loopback, link-local IPv6, kube-ipvs0 and other families left out; 169.254/16 counts',
    cases: ['ipvs-node-addresses', 'ipvs-star-10-node-port', 'ipvs-star-10-node-port-ipv6'],
    notHere:
      'that those of kube-ipvs0 are left out is the reader of addresses, src/daemon/local-addresses.ts; IPv4 mapped into IPv6 is no address of an interface',
  },
  {
    section: '6.4',
    star: 10,
    scenario: 'node port of TCP with slices and node addresses of both families, in each family alone',
    cases: ['ipvs-star-10-node-port', 'ipvs-star-10-node-port-ipv6'],
  },
  { section: '6.4', star: 11, scenario: 'node port of UDP', cases: ['ipvs-star-11-node-port-udp'] },
  {
    section: '6.4',
    scenario: 'node port without endpoints; an IPv4 Service where IPv6 is forwarded',
    cases: ['ipvs-node-port-without-endpoints', 'ipvs-other-family'],
  },
  {
    section: '6.4',
    star: 12,
    scenario: 'node port of SCTP on three node addresses, also with externalTrafficPolicy Local',
    cases: ['ipvs-star-12-node-port-sctp', 'ipvs-star-12-node-port-sctp-local'],
  },
  {
    section: '6.4',
    star: 13,
    scenario: 'a real server found with weight 0 at the start becomes weight 1',
    states: ['a real server of weight 0', 'puts %s right and binds no address anew'],
  },
  {
    section: '6.4',
    scenario: 'cluster IPs of both families with their own real servers, and without endpoints',
    cases: ['ipvs-cluster-ips', '01-clusterip'],
  },
  {
    section: '6.4',
    star: 14,
    scenario: 'rules of POSTROUTING, with and without --random-fully',
    cases: ['ipvs-nothing', 'ipvs-star-14-masquerade'],
    states: ['masquerade without --random-fully where iptables does not know it'],
  },
  {
    section: '6.4',
    scenario: 'external IP without endpoints',
    cases: ['ipvs-external-ip-without-endpoints'],
  },
  {
    section: '6.4',
    star: 15,
    scenario: 'external IPs of both families, in each alone; externalTrafficPolicy Local',
    cases: [
      'ipvs-star-15-external-ips',
      'ipvs-star-15-external-ips-ipv6',
      'ipvs-star-15-external-ips-local',
      '03-affinity-external-dual',
    ],
  },
  { section: '6.4', star: 16, scenario: 'load balancer', cases: ['ipvs-star-16-load-balancer'] },
  {
    section: '6.4',
    star: 17,
    scenario: 'load balancer with externalTrafficPolicy Local',
    cases: ['ipvs-star-17-load-balancer-local', '02-nodeport-lb-local'],
  },
  {
    section: '6.4',
    star: 18,
    scenario: 'node port of TCP with externalTrafficPolicy Local',
    cases: ['ipvs-star-18-node-port-local'],
  },
  {
    section: '6.4',
    scenario: 'health-check ports of valid Services only, and the rule that accepts them',
    cases: ['ipvs-health-check-ports', 'ipvs-node-ports-nowhere', '02-nodeport-lb-local'],
  },
  {
    section: '6.4',
    star: 19,
    scenario: 'source ranges, with and without the node in them',
    cases: ['ipvs-star-19-source-ranges', 'ipvs-star-19-source-ranges-with-node', '02-nodeport-lb-local'],
  },
  {
    section: '6.4',
    star: 20,
    scenario: 'order of KUBE-SERVICES with load balancer, external IP and node port',
    cases: ['ipvs-star-20-order-of-services-chain'],
  },
  {
    section: '6.4',
    scenario: 'the first rule of KUBE-SERVICES returns what comes from loopback',
    cases: ['ipvs-nothing'],
  },
  {
    section: '6.4',
    star: 21,
    scenario: 'session affinity on every virtual server',
    cases: ['ipvs-star-21-session-affinity', '03-affinity-external-dual'],
  },
  {
    section: '6.4',
    scenario: 'one virtual server: the same, other flags, other scheduler, absent; its address bound already',
    states: [
      'writes nothing when all is as it should be',
      'puts %s right and binds no address anew',
      'binds an address that is gone',
      'other flags',
      'another scheduler',
      'no virtual server',
    ],
  },
  {
    section: '6.4',
    star: 22,
    scenario:
      'excludeCIDRs: what is foreign inside is kept, others and stale ones are deleted, real servers untouched',
    states: ['keeps what is stale inside with its real servers', 'keeps neither addresses nor members'],
    notHere: 'what is foreign outside is kept, too: we delete only our own',
  },
  {
    section: '6.4',
    star: 23,
    scenario: 'the address of several ports is bound once and unbound with the last',
    states: ['is bound once, stays while one port remains, and is unbound at the end'],
  },
  {
    section: '6.4',
    scenario: 'excludeCIDRs by family',
    states: ['of the other family protects nothing'],
  },
  {
    section: '6.4',
    scenario: 'chains declared: five of nat, six of filter, in a fixed order',
    states: ['are one restore for each family'],
    cases: ['ipvs-nothing'],
  },
  {
    section: '6.4',
    scenario: 'slices come and go: real servers and hairpin entries',
    cases: ['ipvs-slices', 'health-check-node-port'],
    notHere: 'counts of health-check ports are part of the plan',
  },
  {
    section: '6.4',
    star: 24,
    scenario: 'internalTrafficPolicy Cluster, Local with one local endpoint, Local with none',
    cases: ['ipvs-star-24-internal-policy'],
  },
  {
    section: '6.4',
    star: 25,
    scenario: 'ready and terminating endpoints, externalTrafficPolicy Cluster and Local',
    cases: ['ipvs-star-25-ready-and-terminating', 'ipvs-star-25-ready-and-terminating-local'],
  },
  {
    section: '6.4',
    star: 26,
    scenario: 'only terminating endpoints, externalTrafficPolicy Cluster and Local',
    cases: ['ipvs-star-26-only-terminating', 'ipvs-star-26-only-terminating-local'],
  },
  {
    section: '6.4',
    scenario: 'gauges of policies without local endpoints: seven combinations',
    notHere: 'metrics; which endpoints each combination has is in policies-and-conditions',
  },
  {
    section: '6.4',
    star: 27,
    scenario: 'graceful deletion: idle, busy, UDP, port mismatch; races on the list',
    notHere: 'real servers do not drain yet: they are deleted at once',
  },
  {
    section: '6.4',
    scenario: 'members of sets: added, removed, other protocol, IPv6, CIDRs, no change',
    states: ['are put right: %s', 'hash:ip,port: a stale member', 'hash:ip,port,net: another prefix length'],
  },
  {
    section: '6.4',
    scenario: 'probe: ipset missing or old, virtual servers cannot be listed, added or deleted',
    notHere:
      'no tool is called and no virtual server is made to find out: src/kernel/ipvs-client.test.ts and ipset.test.ts',
  },
  {
    section: '6.4',
    star: 28,
    scenario: 'clean-up leaves foreign rules and the chains of kubelet',
    notHere: 'there is no clean-up yet',
  },
  {
    section: '6.4',
    scenario: 'ipset commands: arguments, types, ports, families, protocols, entries',
    notHere: 'sets are written over netlink: src/kernel/ipset.test.ts',
  },
  {
    section: '6.4',
    scenario: 'conversion: flags, protocol names, netmasks, equality',
    notHere:
      'bytes to types: src/kernel/ipvs-codec.test.ts; that weights count when real servers are compared is decided otherwise',
  },
  {
    section: '6.4',
    scenario: 'netlink address filter; forms of entries',
    notHere: 'src/kernel/rtnetlink.test.ts and ipset.test.ts',
  },
  {
    section: 'ours',
    scenario: 'mode ipvs: policy Local without local endpoints uses those of the cluster',
    cases: ['ipvs-local-without-local-endpoints'],
  },
  {
    section: 'ours',
    scenario: 'mode ipvs: flags of scheduler mh',
    cases: ['ipvs-scheduler-mh'],
  },
  {
    section: 'ours',
    scenario: 'mode ipvs: who is masqueraded on the way to a cluster IP, by detector',
    cases: [
      'ipvs-masquerade-all',
      'ipvs-no-detector',
      'ipvs-detector-of-one-family',
      'ipvs-detector-bridge',
      'ipvs-detector-interface-prefix',
    ],
  },
];
