// What an agent writes into a kernel that is not empty at its start: what an earlier run of ours left, and what somebody changed in it
// meanwhile. The earlier run is a real one, so the kernel has our marks. What others own is in kernel-state-exclude.test.ts.

import { describe, expect, it } from 'vitest';
import { SETS, type SetName } from '../../src/backends/ipvs/sets.ts';
import { formatMember, parseMember } from '../../src/kernel/ipset-codec.ts';
import type { IpvsOperation } from '../../src/kernel/ipvs.ts';
import { PROTOCOL_NUMBER, type IpvsDestination, type IpvsService } from '../../src/kernel/ipvs-codec.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { leftBy, run, service, slice } from './kernel-state-objects.ts';
import { readKernelState } from './kernel-state.ts';

type Protocol = keyof typeof PROTOCOL_NUMBER;

/** One cluster IP with one real server. */
function web(protocol: Protocol, isIpv6: boolean): ClusterEvent[] {
  const [clusterIP, endpoint] = isIpv6 ? ['fd00:172:30::41', 'fd00:10::2:1'] : ['172.30.0.41', '10.0.2.1'];
  const ipFamilies = [isIpv6 ? 'IPv6' : 'IPv4'];
  return [
    service('web', { clusterIP, ipFamilies, ports: [{ port: 80, targetPort: 8080, protocol }] }),
    slice('web', [{ port: 8080, protocol }], [endpoint]),
  ];
}

const KINDS = (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
  [false, true].map((isIpv6) => [`${protocol} over ${isIpv6 ? 'IPv6' : 'IPv4'}`, protocol, isIpv6] as const),
);

type Change = (service: IpvsService, server: IpvsDestination) => IpvsOperation;

const UPDATES: readonly (readonly [string, Change, readonly string[]])[] = [
  // Star 13: the run before was draining it, and the endpoint is wanted again.
  [
    'a real server of weight 0',
    (vs, rs) => ({ op: 'SET_DEST', service: vs, destination: { ...rs, weight: 0 } }),
    ['SET_DEST SERVER'],
  ],
  [
    'a real server of weight 7',
    (vs, rs) => ({ op: 'SET_DEST', service: vs, destination: { ...rs, weight: 7 } }),
    ['SET_DEST SERVER'],
  ],
  [
    'a real server that is gone',
    (vs, rs) => ({ op: 'DEL_DEST', service: vs, destination: rs }),
    ['NEW_DEST SERVER'],
  ],
  [
    'another scheduler',
    (vs) => ({ op: 'SET_SERVICE', service: { ...vs, scheduler: 'wlc' } }),
    ['SET_SERVICE VS'],
  ],
  ['other flags', (vs) => ({ op: 'SET_SERVICE', service: { ...vs, flags: 0x10 } }), ['SET_SERVICE VS']],
  [
    'affinity',
    (vs) => ({ op: 'SET_SERVICE', service: { ...vs, flags: 1, timeoutSeconds: 60 } }),
    ['SET_SERVICE VS'],
  ],
  ['no virtual server', (vs) => ({ op: 'DEL_SERVICE', service: vs }), ['NEW_SERVICE VS', 'NEW_DEST SERVER']],
];

describe.each(KINDS)('a start on what an earlier run left, %s', (_, protocol, isIpv6) => {
  it('writes nothing when all is as it should be', async () => {
    const kernel = await leftBy(...web(protocol, isIpv6));
    await run(kernel, web(protocol, isIpv6));
    expect(kernel.writes).toEqual([]);
  });

  it.each(UPDATES)('puts %s right and binds no address anew', async (__, change, writes) => {
    const kernel = await leftBy(...web(protocol, isIpv6));
    const before = await readKernelState(kernel);
    const [[id, entry] = []] = kernel.table;
    const [[serverId, server] = []] = entry?.destinations ?? [];
    if (id === undefined || entry === undefined || server === undefined) throw new Error('nothing was left');
    await kernel.applyIpvs([change(entry.service, server)]);
    expect(await readKernelState(kernel)).not.toEqual(before);
    await run(kernel, web(protocol, isIpv6));
    const named = writes.map((write) => write.replace('VS', id).replace('SERVER', `${id} -> ${serverId}`));
    expect(kernel.writes).toEqual(named);
    expect(await readKernelState(kernel)).toEqual(before);
  });

  it('binds an address that is gone', async () => {
    const kernel = await leftBy(...web(protocol, isIpv6));
    kernel.addresses?.clear();
    await run(kernel, web(protocol, isIpv6));
    expect(kernel.writes).toEqual([`BIND ${isIpv6 ? 'fd00:172:30::41' : '172.30.0.41'}`]);
  });
});

/** A Service that fills a set of every type in both families. */
const FULL = [
  service(
    'full',
    {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.41',
      clusterIPs: ['172.30.0.41', 'fd00:172:30::41'],
      ipFamilies: ['IPv4', 'IPv6'],
      loadBalancerSourceRanges: ['203.0.113.0/25', '2001:db8:cafe::/64'],
      ports: [{ port: 80, targetPort: 8080, nodePort: 30001 }],
    },
    ['198.51.100.41', '2001:db8::41'],
  ),
  slice('full', [{ port: 8080 }], ['10.0.1.1']),
];

type Member = readonly ['IPv4' | 'IPv6', SetName, string];
const MEMBERS: readonly (readonly [string, string, Member | null, Member | null])[] = [
  ['hash:ip,port: a stale member', 'KUBE-CLUSTER-IP', ['IPv4', 'KUBE-CLUSTER-IP', '172.30.0.9,tcp:80'], null],
  ['hash:ip,port: a missing one', 'KUBE-CLUSTER-IP', null, ['IPv4', 'KUBE-CLUSTER-IP', '172.30.0.41,tcp:80']],
  [
    'hash:ip,port: another protocol',
    'KUBE-CLUSTER-IP',
    ['IPv4', 'KUBE-CLUSTER-IP', '172.30.0.41,udp:80'],
    ['IPv4', 'KUBE-CLUSTER-IP', '172.30.0.41,tcp:80'],
  ],
  [
    'hash:ip,port: another port',
    'KUBE-CLUSTER-IP',
    ['IPv4', 'KUBE-CLUSTER-IP', '172.30.0.41,tcp:81'],
    ['IPv4', 'KUBE-CLUSTER-IP', '172.30.0.41,tcp:80'],
  ],
  [
    'hash:ip,port of IPv6: another address',
    'KUBE-6-CLUSTER-IP',
    ['IPv6', 'KUBE-CLUSTER-IP', 'fd00:172:30::9,tcp:80'],
    ['IPv6', 'KUBE-CLUSTER-IP', 'fd00:172:30::41,tcp:80'],
  ],
  [
    'hash:ip,port,ip: a stale member',
    'KUBE-LOOP-BACK',
    ['IPv4', 'KUBE-LOOP-BACK', '10.0.1.9,tcp:8080,10.0.1.9'],
    null,
  ],
  [
    'hash:ip,port,ip: a missing one',
    'KUBE-LOOP-BACK',
    null,
    ['IPv4', 'KUBE-LOOP-BACK', '10.0.1.1,tcp:8080,10.0.1.1'],
  ],
  [
    'hash:ip,port,net: another prefix length',
    'KUBE-LOAD-BALANCER-SOURCE-CIDR',
    ['IPv4', 'KUBE-LOAD-BALANCER-SOURCE-CIDR', '198.51.100.41,tcp:80,203.0.113.0/24'],
    ['IPv4', 'KUBE-LOAD-BALANCER-SOURCE-CIDR', '198.51.100.41,tcp:80,203.0.113.0/25'],
  ],
  [
    'hash:ip,port,net: one address',
    'KUBE-LOAD-BALANCER-SOURCE-CIDR',
    ['IPv4', 'KUBE-LOAD-BALANCER-SOURCE-CIDR', '198.51.100.41,tcp:80,203.0.113.1'],
    null,
  ],
  [
    'hash:ip,port,net of IPv6: another network',
    'KUBE-6-LOAD-BALANCER-SOURCE-CID',
    ['IPv6', 'KUBE-LOAD-BALANCER-SOURCE-CIDR', '2001:db8::41,tcp:80,2001:db8:beef::/64'],
    ['IPv6', 'KUBE-LOAD-BALANCER-SOURCE-CIDR', '2001:db8::41,tcp:80,2001:db8:cafe::/64'],
  ],
  [
    'bitmap:port: another port',
    'KUBE-NODE-PORT-TCP',
    ['IPv4', 'KUBE-NODE-PORT-TCP', '30002'],
    ['IPv4', 'KUBE-NODE-PORT-TCP', '30001'],
  ],
  [
    'bitmap:port of IPv6: a missing one',
    'KUBE-6-NODE-PORT-TCP',
    null,
    ['IPv6', 'KUBE-NODE-PORT-TCP', '30001'],
  ],
  [
    'hash:ip: another address',
    'KUBE-IPVS-IPS',
    ['IPv4', 'KUBE-IPVS-IPS', '172.30.0.9'],
    ['IPv4', 'KUBE-IPVS-IPS', '172.30.0.41'],
  ],
];

describe('the members of a set at a start', () => {
  it.each(MEMBERS)('are put right: %s', async (_, name, stale, missing) => {
    const kernel = await leftBy(...FULL);
    const before = await readKernelState(kernel);
    const members = kernel.sets.get(name);
    if (stale !== null) {
      const [family, set, text] = stale;
      const member = parseMember(SETS[set].type, family, text);
      members?.set(formatMember(member), member);
    }
    if (missing !== null) expect(members?.delete(missing[2])).toBe(true);
    await run(kernel, FULL);
    const expected = [
      ...(missing === null ? [] : [`ADD ${name} ${missing[2]}`]),
      ...(stale === null ? [] : [`DEL ${name} ${stale[2]}`]),
    ];
    expect(kernel.writes.filter((write) => !write.startsWith('RESTORE'))).toEqual(expected);
    expect(await readKernelState(kernel)).toEqual(before);
  });
});
