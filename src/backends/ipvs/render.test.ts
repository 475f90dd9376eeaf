import { describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../model/ip.ts';
import { serviceKey } from '../../model/names.ts';
import { emptyPlan, PLAIN_NODE } from '../../../test/nodes.ts';
import type { NodeOptions, ServicePlan, VirtualServer } from '../../plan/plan.ts';
import { renderService } from './render.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const NODE: NodeOptions = {
  ...PLAIN_NODE,
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
      ['KUBE-IPVS-IPS 172.30.0.41', 'KUBE-CLUSTER-IP 172.30.0.41,tcp:80', 'POINTSMAN-VS 172.30.0.41,tcp:80'],
    ],
    [
      'an IPv6 ClusterIP over UDP',
      { ...CLUSTER_IP, family: 'IPv6', protocol: 'UDP', address: ip('fd00::41') },
      ['UDP [fd00::41]:80'],
      ['KUBE-6-IPVS-IPS fd00::41', 'KUBE-6-CLUSTER-IP fd00::41,udp:80', 'POINTSMAN-6-VS fd00::41,udp:80'],
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
      'a NodePort that keeps source addresses',
      { ...NODE_PORT, family: 'IPv6', masquerade: 'node' },
      ['TCP [fd00::2]:30080'],
      ['POINTSMAN-6-VS fd00::2,tcp:30080', 'KUBE-6-NODE-PORT-TCP 30080', 'KUBE-6-NODE-PORT-LOCAL-TCP 30080'],
    ],
    [
      'a NodePort over SCTP',
      { ...NODE_PORT, family: 'IPv6', protocol: 'SCTP' },
      ['SCTP [fd00::2]:30080'],
      ['POINTSMAN-6-VS fd00::2,sctp:30080', 'KUBE-6-NODE-PORT-SCTP-HASH fd00::2,sctp:30080'],
    ],
  ])('of %s', (_, virtualServer, ids, members) => {
    const { virtualServers, problems } = render([virtualServer]);
    expect(virtualServers.map(({ id }) => id)).toEqual(ids);
    expect(virtualServers.flatMap((each) => each.members.map(({ id }) => id))).toEqual(members);
    expect(virtualServers.every(({ isBound }) => isBound === (virtualServer.kind === 'ClusterIP'))).toBe(
      true,
    );
    expect(problems).toEqual([]);
  });

  it('has the servers for inside on a ClusterIP and those for outside on a NodePort; none means that connections are refused', () => {
    const forward = { policy: 'Cluster', verdict: 'forward', realServers: [SERVER] } as const;
    const serversOf = (virtualServer: VirtualServer): number[] =>
      render([virtualServer]).virtualServers.map(({ realServers }) => realServers.length);
    expect(
      serversOf({ ...CLUSTER_IP, internal: forward, external: { policy: 'Cluster', verdict: 'reject' } }),
    ).toEqual([1]);
    expect(
      serversOf({ ...CLUSTER_IP, internal: { policy: 'Cluster', verdict: 'reject' }, external: forward }),
    ).toEqual([0]);
    expect(
      serversOf({ ...NODE_PORT, internal: forward, external: { policy: 'Local', verdict: 'drop' } }),
    ).toEqual([0, 0]);
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
