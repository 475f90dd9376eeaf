import { describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../model/ip.ts';
import { serviceKey } from '../../model/names.ts';
import type { NodeOptions, ServicePlan, VirtualServer } from '../../plan/plan.ts';
import { renderService } from './render.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const NODE: NodeOptions = {
  nodeName: 'node1',
  zone: '',
  families: ['IPv4', 'IPv6'],
  nodePortAddresses: ['192.168.0.2', '10.0.0.1', 'fd00::2'].map(ip),
  scheduler: 'rr',
  masqueradeAll: false,
  localDetector: { kind: 'none' },
};
const SERVER = { address: ip('10.0.0.9'), port: 8080, weight: 1, isLocal: false };
const CLUSTER_IP: VirtualServer = {
  kind: 'ClusterIP',
  portName: '',
  family: 'IPv4',
  protocol: 'TCP',
  address: ip('172.30.0.41'),
  port: 80,
  scheduler: 'rr',
  affinitySeconds: 0,
  internal: { verdict: 'forward', realServers: [SERVER] },
  external: { verdict: 'drop' },
  masquerade: 'nonLocal',
  sourceRanges: null,
};
const NODE_PORT: VirtualServer = {
  ...CLUSTER_IP,
  kind: 'NodePort',
  address: null,
  port: 30080,
  external: { verdict: 'forward', realServers: [SERVER] },
  masquerade: 'all',
};

function render(virtualServers: readonly VirtualServer[], more: Partial<ServicePlan> = {}) {
  const plan: ServicePlan = {
    key: serviceKey('default', 'web'),
    createdAtMs: 0,
    isCritical: false,
    virtualServers,
    localEndpoints: [],
    problems: [],
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
      { ...NODE_PORT, family: 'IPv6', masquerade: 'none' },
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
    const forward = { verdict: 'forward', realServers: [SERVER] } as const;
    const serversOf = (virtualServer: VirtualServer): number[] =>
      render([virtualServer]).virtualServers.map(({ realServers }) => realServers.length);
    expect(serversOf({ ...CLUSTER_IP, internal: forward, external: { verdict: 'reject' } })).toEqual([1]);
    expect(serversOf({ ...CLUSTER_IP, internal: { verdict: 'reject' }, external: forward })).toEqual([0]);
    expect(serversOf({ ...NODE_PORT, internal: forward, external: { verdict: 'drop' } })).toEqual([0, 0]);
  });

  it.each([
    ['rr', 0, { flags: 0, timeoutSeconds: 0, scheduler: 'rr' }],
    ['rr', 10_800, { flags: 1, timeoutSeconds: 10_800, scheduler: 'rr' }],
    ['mh', 0, { flags: 0x10, timeoutSeconds: 0, scheduler: 'mh' }],
    ['mh', 60, { flags: 0x11, timeoutSeconds: 60, scheduler: 'mh' }],
  ])('with scheduler %s and affinity %d', (scheduler, affinitySeconds, expected) => {
    expect(render([{ ...CLUSTER_IP, scheduler, affinitySeconds }]).virtualServers[0]?.service).toMatchObject(
      expected,
    );
  });

  it('masquerades what local endpoints send to themselves', () => {
    const localEndpoints = [{ family: 'IPv4', protocol: 'UDP', address: ip('10.0.0.9'), port: 53 } as const];
    expect(render([], { localEndpoints }).members.map(({ id }) => id)).toEqual([
      'KUBE-LOOP-BACK 10.0.0.9,udp:53,10.0.0.9',
    ]);
  });
});
