// What somebody does to our kernel state with the ordinary tools, and what the daemon does about it: the table. Data only; run by
// any-way-guest.ts, judged by any-way-cases.ts.

import { OTHERS_ADDRESSES, OTHERS_SERVER, type Interference, type Reaction } from './interference.ts';

const CYCLE: Reaction = { by: 'cycle' };
const CONTAINERS: Reaction = { by: 'containers' };
const WEB = 'TCP 172.30.0.41:80';
const WEB6 = 'TCP [fd00:172:30::41]:80';
const DNS = 'UDP 172.30.0.41:53';
/** Our addresses on kube-ipvs0. */
const ALL = [
  ...['172.30.0.41', '172.30.0.42', '172.30.0.43', '198.51.100.41'],
  ...['fd00:172:30::41', '2001:db8::41'],
];

const VIRTUAL_SERVERS: readonly Interference[] = [
  {
    name: 'ipvsadm -D',
    script: 'ipvsadm -D -t 172.30.0.41:80',
    reaction: CYCLE,
    repairs: [`virtualServer ${WEB}`],
  },
  {
    name: 'ipvsadm -D of UDP, of IPv6 and of a node port at once',
    script:
      'ipvsadm -D -u 172.30.0.41:53; ipvsadm -D -t [fd00:172:30::41]:80; ipvsadm -D -t 192.168.0.2:30001',
    reaction: CYCLE,
    repairs: [`virtualServer ${DNS}`, `virtualServer ${WEB6}`, 'virtualServer TCP 192.168.0.2:30001'],
  },
  {
    name: 'ipvsadm -E with another scheduler and affinity',
    script:
      'ipvsadm -E -t 172.30.0.41:80 -s wlc; ipvsadm -E -t [fd00:172:30::41]:80 -s sh -b sh-port; ipvsadm -E -u 172.30.0.41:53 -s rr -p 77',
    reaction: CYCLE,
    repairs: [`virtualServer ${WEB}`, `virtualServer ${WEB6}`, `virtualServer ${DNS}`],
  },
  {
    name: 'ipvsadm -D and -A with other servers',
    script:
      'ipvsadm -D -t 172.30.0.41:80; ipvsadm -A -t 172.30.0.41:80 -s rr; ipvsadm -a -t 172.30.0.41:80 -r 10.9.9.9:9 -m',
    reaction: CYCLE,
    repairs: [`realServers ${WEB}`],
  },
  {
    name: 'ipvsadm -C',
    script: `ipvsadm -C; ${OTHERS_SERVER}`,
    reaction: CYCLE,
    repairs: [
      ...[WEB, DNS, WEB6, 'UDP [fd00:172:30::41]:53', 'TCP 172.30.0.42:80'],
      'TCP 172.30.0.43:9090',
      ...['TCP 198.51.100.41:80', 'UDP 198.51.100.41:53', 'TCP [2001:db8::41]:80', 'UDP [2001:db8::41]:53'],
      ...['TCP 192.168.0.2:30001', 'UDP 192.168.0.2:30002'],
      ...['TCP [fd00:192:168::2]:30001', 'UDP [fd00:192:168::2]:30002'],
    ].map((id) => `virtualServer ${id}`),
  },
  {
    name: 'ipvsadm -d',
    script:
      'ipvsadm -d -t 172.30.0.41:80 -r 10.0.1.1:8080; ipvsadm -d -t [fd00:172:30::41]:80 -r [fd00:10::1:1]:8080',
    reaction: CYCLE,
    repairs: [`realServers ${WEB}`, `realServers ${WEB6}`],
  },
  {
    name: 'ipvsadm -a of servers that are not ours, also where there are to be none',
    script:
      'ipvsadm -a -t 172.30.0.41:80 -r 10.9.9.9:9 -m; ipvsadm -a -t 172.30.0.42:80 -r 10.9.9.9:9 -g -w 5',
    reaction: CYCLE,
    repairs: [`realServers ${WEB}`, 'realServers TCP 172.30.0.42:80'],
  },
  {
    name: 'ipvsadm -e with another weight, another way of forwarding and thresholds',
    script: `
      ipvsadm -e -t 172.30.0.41:80 -r 10.0.1.1:8080 -m -w 0
      ipvsadm -e -t [fd00:172:30::41]:80 -r [fd00:10::1:1]:8080 -m -w 1 -x 5 -y 2
      ipvsadm -e -t 172.30.0.43:9090 -r 10.0.2.3:9090 -i -w 1`,
    reaction: CYCLE,
    repairs: [`realServers ${WEB}`, `realServers ${WEB6}`, 'realServers TCP 172.30.0.43:9090'],
  },
];

const SETS: readonly Interference[] = [
  {
    name: 'ipset del',
    script:
      'ipset del KUBE-CLUSTER-IP 172.30.0.41,tcp:80; ipset del KUBE-6-CLUSTER-IP fd00:172:30::41,udp:53',
    reaction: CONTAINERS,
    repairs: ['member KUBE-CLUSTER-IP 172.30.0.41,tcp:80', 'member KUBE-6-CLUSTER-IP fd00:172:30::41,udp:53'],
  },
  {
    name: 'ipset add',
    script: 'ipset add KUBE-IPVS-IPS 10.9.9.9; ipset add KUBE-NODE-PORT-TCP 31999',
    reaction: CONTAINERS,
    repairs: ['member KUBE-IPVS-IPS 10.9.9.9', 'member KUBE-NODE-PORT-TCP 31999'],
  },
  {
    name: 'ipset del and add, so that the size stays',
    script:
      'ipset del KUBE-LOOP-BACK 10.0.1.1,tcp:8080,10.0.1.1; ipset add KUBE-LOOP-BACK 10.9.9.9,tcp:9,10.9.9.9',
    reaction: CYCLE,
    repairs: [
      'member KUBE-LOOP-BACK 10.0.1.1,tcp:8080,10.0.1.1',
      'member KUBE-LOOP-BACK 10.9.9.9,tcp:9,10.9.9.9',
    ],
  },
  {
    name: 'ipset flush of a set with networks',
    script: 'ipset flush KUBE-LOAD-BALANCER-SOURCE-CIDR',
    reaction: CONTAINERS,
    repairs: [
      'member KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.41,tcp:80,203.0.113.0/25',
      'member KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.41,udp:53,203.0.113.0/25',
    ],
  },
  {
    name: 'ipset destroy of a set that no rule names',
    script: 'ipset destroy KUBE-NODE-PORT-LOCAL-SCTP-HASH',
    reaction: CONTAINERS,
    repairs: ['set KUBE-NODE-PORT-LOCAL-SCTP-HASH'],
  },
  {
    name: 'ipset destroy of our marks',
    script: 'ipset destroy POINTSMAN-VS',
    reaction: CONTAINERS,
    repairs: ['set POINTSMAN-VS'],
  },
];

const ADDRESSES: readonly Interference[] = [
  {
    name: 'ip addr del, heard of',
    script: 'ip addr del 172.30.0.41/32 dev kube-ipvs0; ip addr del 2001:db8::41/128 dev kube-ipvs0',
    reaction: { by: 'addresses', addresses: ['172.30.0.41', '2001:db8::41'] },
    repairs: ['address 172.30.0.41', 'address 2001:db8::41'],
  },
  {
    name: 'ip addr del, of which nobody heard',
    script: 'ip addr del 198.51.100.41/32 dev kube-ipvs0',
    reaction: CYCLE,
    repairs: ['address 198.51.100.41'],
  },
  {
    name: 'ip addr flush',
    script: `ip addr flush dev kube-ipvs0; ${OTHERS_ADDRESSES}`,
    reaction: { by: 'all addresses' },
    repairs: ALL.map((address) => `address ${address}`),
  },
  {
    name: 'ip link del',
    script: 'ip link del kube-ipvs0',
    reaction: { by: 'all addresses' },
    repairs: ['link kube-ipvs0'],
    afterwards: OTHERS_ADDRESSES,
  },
  {
    name: 'ip link del and add',
    script: `ip link del kube-ipvs0; ip link add kube-ipvs0 type dummy; ${OTHERS_ADDRESSES}`,
    reaction: { by: 'all addresses' },
    repairs: ALL.map((address) => `address ${address}`),
  },
  {
    name: 'ip link del and add, with addresses of which we heard one by one',
    script: `ip link del kube-ipvs0; ip link add kube-ipvs0 type dummy; ${OTHERS_ADDRESSES}`,
    reaction: {
      by: 'addresses',
      addresses: ALL,
    },
    repairs: ALL.map((address) => `address ${address}`),
  },
];

const RULES: readonly Interference[] = [
  {
    name: 'iptables -D of a rule',
    script: 'iptables-legacy -t nat -D KUBE-SERVICES 2',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv4'],
  },
  {
    name: 'iptables -F of a chain',
    script: 'iptables-legacy -F KUBE-PROXY-FIREWALL; ip6tables-legacy -t nat -F KUBE-POSTROUTING',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv4', 'rules rules IPv6'],
  },
  {
    name: 'iptables -I into a chain of ours',
    script: 'ip6tables-legacy -I KUBE-IPVS-FILTER -j ACCEPT',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv6'],
  },
  {
    name: 'iptables -R by a rule as large',
    script: 'iptables-legacy -R KUBE-FORWARD 1 -m conntrack --ctstate INVALID -j ACCEPT',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv4'],
  },
  {
    name: 'iptables -D of the first jump',
    script: 'iptables-legacy -D INPUT 1; iptables-legacy -t nat -D PREROUTING 1',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv4'],
  },
  {
    name: 'iptables -D of a jump in the middle',
    script: 'iptables-legacy -D INPUT 2',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv4'],
    // It comes back at the head, as kube-proxy's do; there it must be to get back to its place.
    afterwards: `
      iptables-legacy -D INPUT 1
      iptables-legacy -I INPUT 2 -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL`,
  },
  {
    name: 'iptables -X of a chain of ours, with the jump to it',
    script:
      'ip6tables-legacy -t nat -D PREROUTING 1; ip6tables-legacy -t nat -D OUTPUT 1; ip6tables-legacy -t nat -F KUBE-SERVICES; ip6tables-legacy -t nat -X KUBE-SERVICES',
    reaction: CONTAINERS,
    repairs: ['rules rules IPv6'],
  },
  {
    name: 'iptables -F and -X of all, of which nobody heard',
    script: `
      iptables-legacy-save >/run/others
      iptables-legacy -t nat -F; iptables-legacy -t nat -X; iptables-legacy -F; iptables-legacy -X
      grep -v KUBE /run/others | iptables-legacy-restore`,
    reaction: CYCLE,
    repairs: ['rules rules IPv4'],
  },
];

/** Something of everything; the virtual servers are of different Services. */
const EVERYTHING = `
  ipvsadm -D -t 172.30.0.41:80
  ipvsadm -D -t 172.30.0.43:9090
  ipset flush KUBE-CLUSTER-IP
  ip addr del 172.30.0.41/32 dev kube-ipvs0
  ip addr del 172.30.0.42/32 dev kube-ipvs0
  iptables-legacy -t nat -F KUBE-SERVICES`;

const MIXED: readonly Interference[] = [
  {
    name: 'everything at once',
    script: EVERYTHING,
    reaction: CYCLE,
    repairs: [
      `virtualServer ${WEB}`,
      'virtualServer TCP 172.30.0.43:9090',
      'member KUBE-CLUSTER-IP 172.30.0.41,tcp:80',
      'member KUBE-CLUSTER-IP 172.30.0.41,udp:53',
      'member KUBE-CLUSTER-IP 172.30.0.42,tcp:80',
      'member KUBE-CLUSTER-IP 172.30.0.43,tcp:9090',
      'address 172.30.0.41',
      'address 172.30.0.42',
      'rules rules IPv4',
    ],
  },
  ...(
    [
      ['NEW_SERVICE', 'refuse'],
      ['NEW_DEST', 'lose'],
      ['ADD KUBE-CLUSTER-IP', 'give up'],
      ['BIND', 'refuse'],
      ['BIND', 'lose'],
      ['BIND', 'give up'],
      ['RESTORE', 'refuse'],
      ['READ fingerprint', 'refuse'],
      ['READ service TCP', 'refuse'],
    ] as const
  ).map(([verb, how]): Interference => ({
    name: `everything at once, where ${verb.trim()} fails (${how})`,
    script: EVERYTHING,
    reaction: CYCLE,
    repairs: null,
    faults: [{ verb, how, skip: 1, times: 1 }],
  })),
];

/** Every interference, in the order in which they are done. */
export const INTERFERENCES: readonly Interference[] = [
  ...VIRTUAL_SERVERS,
  ...SETS,
  ...ADDRESSES,
  ...RULES,
  ...MIXED,
];
