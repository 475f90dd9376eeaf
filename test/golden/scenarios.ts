// The catalogue of kube-proxy's own unit-test scenarios (1.36) as far as they are about what is forwarded, and what holds each of them
// here: golden cases, rows of tests beside this file, or a reason why there is nothing to hold. scenarios.test.ts checks that they exist.
// Sections: 6.1 Services, 6.2 EndpointSlices, 6.3 topology and categories, 6.4 mode ipvs, 6.5 packet flows, 6.8 others; ours: what
// kube-proxy does not have or decides otherwise. Stars mark those most worth having.

import { IPVS_SCENARIOS } from './scenarios-ipvs.ts';

/** One scenario; at least one of the last four members is given. */
export interface Scenario {
  readonly section: '6.1' | '6.2' | '6.3' | '6.4' | '6.5' | '6.8' | 'ours';
  readonly star?: number;
  readonly scenario: string;
  /** Folders beside this file. */
  readonly cases?: readonly string[];
  /** Titles in changes.test.ts, or how they begin. */
  readonly changes?: readonly string[];
  /** Titles in kernel-state*.test.ts, or how they begin. */
  readonly states?: readonly string[];
  /** Why (a part of) it is not held here. */
  readonly notHere?: string;
}

/** In the order of the catalogue. */
export const SCENARIOS: readonly Scenario[] = [
  {
    section: '6.1',
    scenario: 'no Service; headless ones (UDP, SCTP, without port)',
    cases: ['services-not-served'],
    changes: ['an object without content changes nothing'],
  },
  { section: '6.1', star: 1, scenario: 'ExternalName with a cluster IP', cases: ['services-not-served'] },
  {
    section: '6.1',
    scenario: 'two named UDP ports; a node port of UDP and one of TCP',
    cases: ['ports-and-protocols', '02-nodeport-lb-local'],
  },
  { section: '6.1', star: 2, scenario: 'ipMode nil, VIP and Proxy', cases: ['load-balancer-ip-mode'] },
  {
    section: '6.1',
    scenario: 'health-check port with externalTrafficPolicy Local and two ports',
    cases: ['health-check-node-port'],
  },
  {
    section: '6.1',
    scenario: 'a cluster IP of the family that the tracker does not have',
    cases: ['ipv4-only-node', 'ipv6-only-node'],
  },
  {
    section: '6.1',
    star: 3,
    scenario: 'external IPs, ranges and ingress of both families in one Service',
    cases: ['families-each-see-their-own', '03-affinity-external-dual'],
  },
  {
    section: '6.1',
    scenario: 'source range with a leading blank; prefix length 0',
    cases: ['source-ranges'],
  },
  {
    section: '6.1',
    scenario: 'four come, one changes and three go; health-check ports 1, then 0',
    changes: ['four that come are four changes; so are one that changes and three that go'],
  },
  {
    section: '6.1',
    scenario: 'ClusterIP, LoadBalancer with Local, the same, ClusterIP: 1, 1, 0, 1 changes',
    changes: ['from ClusterIP to a load balancer with policy Local'],
  },
  {
    section: '6.1',
    scenario: 'comes and goes before the sync: nothing is pending',
    changes: ['one that comes and goes before the sync leaves nothing behind'],
  },
  {
    section: '6.1',
    scenario: 'cluster IP by family: old style (4), single stack (4), dual stack in both orders (4)',
    cases: ['clusterip-by-family'],
  },
  {
    section: '6.1',
    scenario: 'addresses and ranges by family: empty, mixed, only the other one; invalid ones; zero ranges',
    cases: [
      'addresses-by-family',
      'source-ranges',
      'source-ranges-of-other-family',
      'source-ranges-of-other-family-denied',
    ],
  },
  {
    section: '6.1',
    scenario: 'skipped: None, empty, ExternalName; kept: ClusterIP, NodePort, LoadBalancer',
    cases: ['services-not-served'],
  },
  {
    section: '6.1',
    scenario: 'external IPs with feature gate AllowServiceExternalIPs off',
    cases: ['external-ips-off'],
  },

  {
    section: '6.2',
    scenario: 'one slice, two named ports, three endpoints, two hosts',
    cases: ['endpoints-of-one-slice', '01-clusterip'],
  },
  {
    section: '6.2',
    scenario: 'two slices of one port: union, sorted as text, nothing twice',
    cases: ['endpoints-of-two-slices'],
  },
  { section: '6.2', scenario: 'a slice is delivered twice', cases: ['slice-delivered-twice'] },
  {
    section: '6.2',
    star: 4,
    scenario: 'mixes of ready, serving and terminating',
    cases: ['endpoint-conditions'],
  },
  {
    section: '6.2',
    scenario: 'slices of other Services and namespaces; a port without a number',
    cases: ['slices-of-others'],
  },
  {
    section: '6.2',
    star: 5,
    scenario: 'one IP with different target ports in two slices',
    cases: ['target-ports-differ'],
  },
  {
    section: '6.2',
    star: 6,
    scenario: 'one endpoint as terminating, ready, terminating',
    cases: ['duplicate-endpoints'],
  },
  {
    section: '6.2',
    scenario: 'detection of changes; FQDN and other family; a removal for nothing',
    cases: ['slices-of-others'],
    changes: [
      'the same again changes nothing',
      'ports in another order touch the Service and change no plan',
      'a slice that was never there and goes',
      'host names are none of ours',
    ],
  },
  {
    section: '6.2',
    scenario: 'all ready to none, none to all, some to more, some to terminating',
    cases: ['readiness-changes'],
    changes: ['all are ready, then none', 'some are ready, then those terminate'],
  },
  {
    section: '6.2',
    scenario: 'addresses, ports and slices come and go, are renamed and renumbered: tables before and after',
    cases: ['readiness-changes'],
    changes: ['much at once: one slice goes, one changes, one comes'],
    notHere: 'whether UDP conntrack must be cleaned up is no part of the plan',
  },
  {
    section: '6.2',
    scenario: 'the cache is empty after all slices; objects are never written to',
    changes: [
      'when Service and slices are gone nothing is kept of them',
      'one of two slices goes, the other stays',
      'neither the objects nor what the snapshot made of them are written to',
    ],
  },
  {
    section: '6.2',
    scenario: 'local ready endpoints: none, unnamed, two ports of one IP, unready, all terminating',
    cases: ['health-check-node-port'],
  },
  {
    section: '6.2',
    scenario: 'trigger times',
    changes: ['another resourceVersion, label or trigger time changes nothing'],
    notHere: 'what is measured with them is a metric; the plan has no times',
  },

  { section: '6.3', star: 7, scenario: 'hints for our own zone are used', cases: ['topology-zone-hints'] },
  {
    section: '6.3',
    star: 7,
    scenario: 'externalTrafficPolicy and internalTrafficPolicy Local ignore hints; both lists are used',
    cases: ['topology-zone-hints', 'topology-node-hints'],
  },
  { section: '6.3', star: 7, scenario: 'no or empty zone label', cases: ['topology-zone-label'] },
  {
    section: '6.3',
    star: 7,
    scenario: 'a node in a zone without hints',
    cases: ['topology-zone-label', 'topology-zone-hints'],
  },
  { section: '6.3', star: 7, scenario: 'an unready hinted endpoint', cases: ['topology-zone-hints'] },
  { section: '6.3', star: 7, scenario: 'only an unready one in our zone', cases: ['topology-zone-hints'] },
  { section: '6.3', star: 7, scenario: 'one hint is missing', cases: ['topology-zone-hints'] },
  { section: '6.3', star: 7, scenario: 'several zones per hint', cases: ['topology-zone-hints'] },
  { section: '6.3', star: 8, scenario: 'node hints before zone hints', cases: ['topology-node-hints'] },
  { section: '6.3', star: 8, scenario: 'one node hint is missing', cases: ['topology-node-hints'] },
  { section: '6.3', star: 8, scenario: 'no node hint for this node', cases: ['topology-node-hints'] },
  {
    section: '6.3',
    star: 8,
    scenario: 'feature gate of node hints off',
    notHere: 'PreferSameTrafficDistribution is locked on in the version that is followed',
  },
  { section: '6.3', star: 7, scenario: 'topology and locality conflict', cases: ['topology-zone-hints'] },
  {
    section: '6.3',
    star: 7,
    scenario: 'internalTrafficPolicy Local with none, remote, all and some local',
    cases: ['policies-and-conditions'],
  },
  {
    section: '6.3',
    star: 7,
    scenario: 'Cluster with none and some ready',
    cases: ['policies-and-conditions', 'endpoint-conditions'],
  },
  {
    section: '6.3',
    star: 9,
    scenario: 'all terminating: the serving ones',
    cases: ['policies-and-conditions'],
  },
  {
    section: '6.3',
    star: 7,
    scenario: 'both policies, with some local, all remote, and all remote terminating',
    cases: ['policies-and-conditions'],
  },
  {
    section: '6.3',
    star: 7,
    scenario: 'internal Cluster and external Local with mixed terminating ones',
    cases: ['policies-and-conditions'],
  },
  {
    section: '6.3',
    star: 7,
    scenario: 'externalTrafficPolicy of a Service that nobody outside can reach',
    cases: ['policies-and-conditions'],
  },
  {
    section: '6.3',
    star: 7,
    scenario: 'internalTrafficPolicy Local alone has no cluster list',
    cases: ['policies-and-conditions'],
  },
  {
    section: '6.3',
    star: 7,
    scenario: 'no endpoints at all; a single dead one',
    cases: ['policies-and-conditions'],
  },

  ...IPVS_SCENARIOS,

  { section: '6.5', star: 29, scenario: 'no endpoints: refused everywhere', cases: ['star-29-no-endpoints'] },
  {
    section: '6.5',
    star: 30,
    scenario: 'cluster IPs: hairpin, several endpoints, target ports, protocols, wrong ports',
    cases: ['star-30-cluster-ip', 'star-30-cluster-ip-ipv6'],
  },
  {
    section: '6.5',
    star: 31,
    scenario: 'load-balancer source ranges: clients, pods, node, own address, node port, two addresses',
    cases: ['star-31-source-ranges'],
  },
  {
    section: '6.5',
    star: 32,
    scenario: 'node ports: addresses and localhost, both families',
    cases: [
      'star-32-node-ports-everywhere',
      'star-32-zero-cidrs',
      'star-32-localhost-off',
      'star-32-mode-ipvs',
      'star-32-restricted',
      'star-32-restricted-one-family',
      'star-32-restricted-and-loopback',
      'star-32-loopback-only',
      'star-32-loopback-only-mode-ipvs',
      'star-32-primary',
    ],
    notHere: 'the chain KUBE-FIREWALL is of mode iptables, not of the plan',
  },
  {
    section: '6.5',
    star: 33,
    scenario: 'externalTrafficPolicy Local',
    cases: ['star-33-external-local', 'star-33-external-local-ipv6'],
  },
  {
    section: '6.5',
    star: 34,
    scenario: 'externalTrafficPolicy Cluster',
    cases: ['star-34-external-cluster'],
  },
  { section: '6.5', star: 35, scenario: 'internalTrafficPolicy', cases: ['star-35-internal-local'] },
  {
    section: '6.5',
    star: 36,
    scenario: 'terminating endpoints with externalTrafficPolicy Local',
    cases: ['star-36-terminating-external-local', 'star-36-terminating-external-local-ipv6'],
  },
  {
    section: '6.5',
    star: 37,
    scenario: 'terminating endpoints with externalTrafficPolicy Cluster',
    cases: ['star-37-terminating-external-cluster'],
  },
  {
    section: '6.5',
    star: 38,
    scenario: 'who is masqueraded: four clients, three frontends, three policies, four settings',
    cases: [
      'star-38-detector',
      'star-38-no-detector',
      'star-38-detector-masquerade-all',
      'star-38-no-detector-masquerade-all',
    ],
  },

  {
    section: '6.8',
    scenario: 'local detectors: CIDR, bridge, interface prefix',
    cases: ['detect-local-bridge', 'detect-local-interface-prefix', 'detect-local-node-cidr'],
    notHere: 'their arguments for iptables and nft are those of backends',
  },

  { section: 'ours', scenario: 'addresses that several Services claim', cases: ['contested-addresses'] },
  { section: 'ours', scenario: 'an address that a Service gives twice', cases: ['address-given-twice'] },
  { section: 'ours', scenario: 'weights and schedulers by annotation', cases: ['weights-and-schedulers'] },
];
