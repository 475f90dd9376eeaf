import { describe, expect, it } from 'vitest';
import { parseIp, type Cidr, type IpAddress } from '../../model/ip.ts';
import { serviceKey } from '../../model/names.ts';
import { emptyPlan, PLAIN_NODE } from '../../../test/nodes.ts';
import type { NodeOptions, RealServer, Selection, ServicePlan, VirtualServer } from '../../plan/plan.ts';
import { renderService } from './render.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const NODE: NodeOptions = {
  ...PLAIN_NODE,
  localAddresses: ['192.168.0.2', '10.0.0.1', 'fd00::2'].map(ip),
  nodePortAddresses: ['192.168.0.2', '10.0.0.1', 'fd00::2'].map(ip),
};
const SERVER = { address: ip('10.0.0.9'), port: 8080, weight: 1, isLocal: false };
const CLUSTER_IP: VirtualServer = {
  kind: 'ClusterIP',
  portName: '',
  family: 'IPv4',
  protocol: 'TCP',
  address: ip('172.30.0.41'),
  exceptAddresses: [],
  port: 80,
  scheduler: 'rr',
  schedulerFlags: [],
  affinitySeconds: 0,
  internal: { policy: 'Cluster', verdict: 'forward', realServers: [SERVER] },
  external: { policy: 'Local', verdict: 'drop' },
  masquerade: 'nonPods',
  allowedSources: null,
};
const NODE_PORT: VirtualServer = {
  ...CLUSTER_IP,
  kind: 'NodePort',
  address: null,
  port: 30080,
  external: { policy: 'Cluster', verdict: 'forward', realServers: [SERVER] },
  masquerade: 'all',
};

const LOCAL_SERVERS: readonly RealServer[] = [{ ...SERVER, isLocal: true }];
const LOCAL: Selection = { policy: 'Local', verdict: 'forward', realServers: LOCAL_SERVERS };
const DROPPED: Selection = { policy: 'Local', verdict: 'drop' };
const REFUSED: Selection = { policy: 'Cluster', verdict: 'reject' };
const EXTERNAL_IP: VirtualServer = {
  ...NODE_PORT,
  kind: 'ExternalIP',
  address: ip('198.51.100.1'),
  port: 80,
};
const LOAD_BALANCER_IP: VirtualServer = { ...EXTERNAL_IP, kind: 'LoadBalancerIP' };

function render(virtualServers: readonly VirtualServer[], more: Partial<ServicePlan> = {}) {
  const plan: ServicePlan = {
    ...emptyPlan(serviceKey('default', 'web')),
    virtualServers,
    ...more,
  };
  return renderService(plan, NODE);
}

describe('the desired IPVS state of a Service', () => {
  it.each<[string, VirtualServer, string[], string[]]>([
    [
      'a ClusterIP',
      CLUSTER_IP,
      ['TCP 172.30.0.41:80'],
      ['POINTSMAN-VS 172.30.0.41,tcp:80', 'KUBE-IPVS-IPS 172.30.0.41', 'KUBE-CLUSTER-IP 172.30.0.41,tcp:80'],
    ],
    [
      'an IPv6 ClusterIP over UDP',
      { ...CLUSTER_IP, family: 'IPv6', protocol: 'UDP', address: ip('fd00::41') },
      ['UDP [fd00::41]:80'],
      ['POINTSMAN-6-VS fd00::41,udp:80', 'KUBE-6-IPVS-IPS fd00::41', 'KUBE-6-CLUSTER-IP fd00::41,udp:80'],
    ],
    [
      'a NodePort on each address of its family',
      NODE_PORT,
      ['TCP 192.168.0.2:30080', 'TCP 10.0.0.1:30080'],
      [
        'POINTSMAN-VS 192.168.0.2,tcp:30080',
        'KUBE-NODE-PORT-TCP 30080',
        'POINTSMAN-VS 10.0.0.1,tcp:30080',
        'KUBE-NODE-PORT-TCP 30080',
      ],
    ],
    [
      'a NodePort under policy Local',
      { ...NODE_PORT, family: 'IPv6', external: LOCAL },
      ['TCP [fd00::2]:30080'],
      ['POINTSMAN-6-VS fd00::2,tcp:30080', 'KUBE-6-NODE-PORT-TCP 30080', 'KUBE-6-NODE-PORT-LOCAL-TCP 30080'],
    ],
    [
      'an SCTP NodePort under policy Local',
      { ...NODE_PORT, family: 'IPv6', protocol: 'SCTP', external: LOCAL },
      ['SCTP [fd00::2]:30080'],
      [
        'POINTSMAN-6-VS fd00::2,sctp:30080',
        'KUBE-6-NODE-PORT-SCTP-HASH fd00::2,sctp:30080',
        'KUBE-6-NODE-PORT-LOCAL-SCTP-HAS fd00::2,sctp:30080',
      ],
    ],
    [
      'an external IP',
      EXTERNAL_IP,
      ['TCP 198.51.100.1:80'],
      [
        'POINTSMAN-VS 198.51.100.1,tcp:80',
        'KUBE-IPVS-IPS 198.51.100.1',
        'KUBE-EXTERNAL-IP 198.51.100.1,tcp:80',
      ],
    ],
    [
      'an external IP under policy Local',
      { ...EXTERNAL_IP, external: LOCAL },
      ['TCP 198.51.100.1:80'],
      [
        'POINTSMAN-VS 198.51.100.1,tcp:80',
        'KUBE-IPVS-IPS 198.51.100.1',
        'KUBE-EXTERNAL-IP-LOCAL 198.51.100.1,tcp:80',
      ],
    ],
    [
      'an external IP that the node has itself',
      { ...EXTERNAL_IP, address: ip('192.168.0.2') },
      ['TCP 192.168.0.2:80'],
      ['POINTSMAN-VS 192.168.0.2,tcp:80', 'KUBE-EXTERNAL-IP 192.168.0.2,tcp:80'],
    ],
    [
      'a load-balancer IP',
      LOAD_BALANCER_IP,
      ['TCP 198.51.100.1:80'],
      [
        'POINTSMAN-VS 198.51.100.1,tcp:80',
        'KUBE-IPVS-IPS 198.51.100.1',
        'KUBE-LOAD-BALANCER 198.51.100.1,tcp:80',
      ],
    ],
    [
      'a load-balancer IP under policy Local',
      { ...LOAD_BALANCER_IP, external: LOCAL },
      ['TCP 198.51.100.1:80'],
      [
        'POINTSMAN-VS 198.51.100.1,tcp:80',
        'KUBE-IPVS-IPS 198.51.100.1',
        'KUBE-LOAD-BALANCER 198.51.100.1,tcp:80',
        'KUBE-LOAD-BALANCER-LOCAL 198.51.100.1,tcp:80',
      ],
    ],
    [
      'a load-balancer IP that the node may use, too',
      {
        ...LOAD_BALANCER_IP,
        allowedSources: {
          cidrs: ['203.0.113.0/24' as Cidr, '192.168.0.2/32' as Cidr],
          ownAddresses: [ip('198.51.100.1'), ip('198.51.100.2')],
        },
      },
      ['TCP 198.51.100.1:80'],
      [
        'POINTSMAN-VS 198.51.100.1,tcp:80',
        'KUBE-IPVS-IPS 198.51.100.1',
        'KUBE-LOAD-BALANCER 198.51.100.1,tcp:80',
        'KUBE-LOAD-BALANCER-FW 198.51.100.1,tcp:80',
        'KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.1,tcp:80,203.0.113.0/24',
        'KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.1,tcp:80,192.168.0.2',
        'KUBE-LOAD-BALANCER-SOURCE-IP 198.51.100.1,tcp:80,198.51.100.1',
      ],
    ],
    [
      'a load-balancer IP that nobody may use',
      { ...LOAD_BALANCER_IP, allowedSources: { cidrs: [], ownAddresses: [] } },
      ['TCP 198.51.100.1:80'],
      [
        'POINTSMAN-VS 198.51.100.1,tcp:80',
        'KUBE-IPVS-IPS 198.51.100.1',
        'KUBE-LOAD-BALANCER 198.51.100.1,tcp:80',
        'KUBE-LOAD-BALANCER-FW 198.51.100.1,tcp:80',
      ],
    ],
    [
      'a NodePort over SCTP',
      { ...NODE_PORT, family: 'IPv6', protocol: 'SCTP' },
      ['SCTP [fd00::2]:30080'],
      ['POINTSMAN-6-VS fd00::2,sctp:30080', 'KUBE-6-NODE-PORT-SCTP-HASH fd00::2,sctp:30080'],
    ],
  ])('of %s', (_, virtualServer, ids, members) => {
    const { virtualServers } = render([virtualServer]);
    expect(virtualServers.map(({ id }) => id)).toEqual(ids);
    expect(virtualServers.flatMap((each) => each.members.map(({ id }) => id))).toEqual(members);
    for (const { isBound, service } of virtualServers)
      expect(isBound).toBe(members.some((id) => id.endsWith(`-IPVS-IPS ${service.address}`)));
  });

  it.each<[string, VirtualServer, readonly VirtualServer[], readonly RealServer[]]>([
    ['the servers for inside on a ClusterIP', { ...CLUSTER_IP, external: REFUSED }, [], [SERVER]],
    ['the servers for outside on others', { ...EXTERNAL_IP, internal: REFUSED }, [], [SERVER]],
    ['none where everybody is refused', { ...EXTERNAL_IP, internal: REFUSED, external: REFUSED }, [], []],
    ['only local ones under policy Local', { ...EXTERNAL_IP, external: LOCAL }, [], LOCAL_SERVERS],
    ["the cluster's where there is no local one", { ...EXTERNAL_IP, external: DROPPED }, [], [SERVER]],
    [
      "the cluster's on a ClusterIP without local ones that clients outside can reach otherwise",
      { ...CLUSTER_IP, internal: DROPPED, external: DROPPED },
      [{ ...EXTERNAL_IP, family: 'IPv6' }, { ...EXTERNAL_IP, portName: 'other' }, EXTERNAL_IP],
      [SERVER],
    ],
    [
      'none on a ClusterIP without local ones that only the inside can reach',
      { ...CLUSTER_IP, internal: DROPPED, external: DROPPED },
      [
        { ...EXTERNAL_IP, protocol: 'UDP' },
        { ...EXTERNAL_IP, portName: 'other' },
      ],
      [],
    ],
  ])('has %s', (_, virtualServer, others, expected) => {
    expect(render([virtualServer, ...others]).virtualServers[0]?.realServers).toEqual(expected);
  });

  it.each<[string, Partial<VirtualServer>, boolean]>([
    ['without source ranges', { allowedSources: null }, false],
    [
      'whose source ranges have the node',
      { allowedSources: { cidrs: ['192.168.0.0/24' as Cidr], ownAddresses: [ip('198.51.100.1')] } },
      false,
    ],
    [
      'whose source ranges do not have the node',
      { allowedSources: { cidrs: ['203.0.113.0/24' as Cidr], ownAddresses: [] } },
      true,
    ],
  ])('closes a load-balancer IP %s to the node itself: %#', (_, more, expected) => {
    expect(render([{ ...LOAD_BALANCER_IP, ...more }]).virtualServers[0]?.isClosedToNode).toBe(expected);
  });

  it.each<[string, readonly VirtualServer[], Partial<NodeOptions>, readonly string[]]>([
    ['in each family of the Service', [CLUSTER_IP], {}, ['KUBE-HEALTH-CHECK-NODE-PORT 31000']],
    [
      'in both',
      [CLUSTER_IP, { ...CLUSTER_IP, family: 'IPv6', address: ip('fd00::41') }],
      {},
      ['KUBE-HEALTH-CHECK-NODE-PORT 31000', 'KUBE-6-HEALTH-CHECK-NODE-PORT 31000'],
    ],
    [
      'nowhere when its node ports are on no address',
      [CLUSTER_IP, NODE_PORT],
      { nodePortAddresses: [ip('fd00::2')] },
      [],
    ],
    [
      'where one port has no node port',
      [CLUSTER_IP, NODE_PORT, { ...CLUSTER_IP, portName: 'other', port: 81 }],
      { nodePortAddresses: [] },
      ['KUBE-HEALTH-CHECK-NODE-PORT 31000'],
    ],
  ])('lets the health-check port in %s', (_, virtualServers, node, expected) => {
    const healthCheck = { nodePort: 31_000, localEndpoints: { IPv4: 0, IPv6: 0 } };
    const plan: ServicePlan = { ...emptyPlan(serviceKey('default', 'web')), virtualServers, healthCheck };
    expect(renderService(plan, { ...NODE, ...node }).members.map(({ id }) => id)).toEqual(expected);
  });

  it.each([
    ['rr', [], 0, { flags: 0, timeoutSeconds: 0, scheduler: 'rr' }],
    ['rr', [], 10_800, { flags: 1, timeoutSeconds: 10_800, scheduler: 'rr' }],
    ['mh', ['flag-2'], 0, { flags: 0x10, timeoutSeconds: 0, scheduler: 'mh' }],
    ['mh', ['flag-2'], 60, { flags: 0x11, timeoutSeconds: 60, scheduler: 'mh' }],
    ['sh', ['flag-1', 'flag-3'], 0, { flags: 0x28, timeoutSeconds: 0, scheduler: 'sh' }],
  ] as const)(
    'with scheduler %s, flags %j and affinity %d',
    (scheduler, schedulerFlags, affinitySeconds, expected) => {
      const virtualServer = { ...CLUSTER_IP, scheduler, schedulerFlags, affinitySeconds };
      expect(render([virtualServer]).virtualServers[0]?.service).toMatchObject(expected);
    },
  );

  it('leaves out the addresses on which a node port belongs to others', () => {
    const { virtualServers } = render([{ ...NODE_PORT, exceptAddresses: [ip('10.0.0.1')] }]);
    expect(virtualServers.map(({ id }) => id)).toEqual(['TCP 192.168.0.2:30080']);
  });

  it('masquerades what local endpoints send to themselves', () => {
    const localEndpoints = [{ family: 'IPv4', protocol: 'UDP', address: ip('10.0.0.9'), port: 53 } as const];
    expect(render([], { localEndpoints }).members.map(({ id }) => id)).toEqual([
      'KUBE-LOOP-BACK 10.0.0.9,udp:53,10.0.0.9',
    ]);
  });
});
