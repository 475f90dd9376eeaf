import { describe, expect, it } from 'vitest';
import { UNKNOWN_BEHAVIOUR } from '../backends/ipvs/kernel-behaviour.ts';
import type { Config } from '../config/config.ts';
import { defaultConfig } from '../config/load.ts';
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../model/ip.ts';
import type { NodeRecord } from '../model/node.ts';
import { ipvsSettings, nodeNameOf, nodeOptionsFrom, nodeSettings } from './settings.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const cidr = (text: string): Cidr => parseCidr(text) as Cidr;
const CLOCK = { now: () => 0, pace: () => Promise.resolve() };

const config = (change: Partial<Config>): Config => ({ ...defaultConfig(), ...change });
const node = (podCIDRs: readonly string[]): NodeRecord =>
  ({
    name: 'node1',
    zone: 'a',
    addresses: [ip('192.168.0.2')],
    podCIDRs: podCIDRs.map(cidr),
  }) as unknown as NodeRecord;

describe('the local detector', () => {
  it.each<[string, Config['detectLocal'], readonly string[] | null, object]>([
    [
      'a configured CIDR',
      { kind: 'cidr', ipv4: cidr('10.0.0.0/8'), ipv6: null },
      ['10.1.0.0/24'],
      { kind: 'cidr', ipv4: '10.0.0.0/8', ipv6: null },
    ],
    ['a bridge', { kind: 'bridge', interfaceName: 'cbr0' }, null, { kind: 'bridge', interfaceName: 'cbr0' }],
    [
      'the pod CIDRs of the Node',
      { kind: 'nodeCIDR' },
      ['10.1.0.0/24', 'fd00:1::/64'],
      { kind: 'cidr', ipv4: '10.1.0.0/24', ipv6: 'fd00:1::/64' },
    ],
    [
      'a Node with one family',
      { kind: 'nodeCIDR' },
      ['fd00:1::/64'],
      { kind: 'cidr', ipv4: null, ipv6: 'fd00:1::/64' },
    ],
    ['a Node without pod CIDRs', { kind: 'nodeCIDR' }, [], { kind: 'none' }],
    ['no Node', { kind: 'nodeCIDR' }, null, { kind: 'none' }],
  ])('with %s', (_, detectLocal, podCIDRs, expected) => {
    const record = podCIDRs === null ? undefined : node(podCIDRs);
    expect(nodeSettings(config({ detectLocal }), 'node1', ['IPv4'], record).localDetector).toEqual(expected);
  });
});

describe('node options from the configuration', () => {
  const identity = {
    nodeName: 'node1',
    families: ['IPv4'] as const,
    localAddresses: ['192.168.0.2', '10.0.0.1'].map(ip),
  };

  it.each<[string, Partial<Config>, object]>([
    ['by default', {}, { allowsExternalIPs: true, otherFamilySourceRanges: 'Allow' }],
    ['with the gate on', { featureGates: { AllowServiceExternalIPs: true } }, { allowsExternalIPs: true }],
    ['with the gate off', { featureGates: { AllowServiceExternalIPs: false } }, { allowsExternalIPs: false }],
    ['closed', { otherFamilySourceRanges: 'Deny' }, { otherFamilySourceRanges: 'Deny' }],
    ['without localhost node ports, which IPVS cannot do', {}, { nodePortLoopbacks: [] }],
  ])('say who may come from outside: %s', (_name, change, expected) => {
    const made = nodeOptionsFrom(config(change), { ...identity, node: node([]) });
    expect(made).toMatchObject({ ...expected, nodeIPs: ['192.168.0.2'] });
  });

  it('take zone and primary addresses from the Node object', () => {
    const made = nodeOptionsFrom(config({ nodePortAddresses: 'primary' }), { ...identity, node: node([]) });
    expect(made).toMatchObject({ nodeName: 'node1', zone: 'a', nodePortAddresses: ['192.168.0.2'] });
  });

  it('do without a Node object', () => {
    const made = nodeOptionsFrom(config({ nodePortAddresses: 'primary' }), { ...identity, node: undefined });
    expect(made).toMatchObject({ zone: '', nodePortAddresses: ['10.0.0.1', '192.168.0.2'] });
  });
});

describe('settings of the IPVS backend', () => {
  it.each([
    [{ tcpTimeoutSeconds: 0, tcpFinTimeoutSeconds: 0, udpTimeoutSeconds: 0 }, {}],
    [{ tcpTimeoutSeconds: 900, tcpFinTimeoutSeconds: 0, udpTimeoutSeconds: 0 }, { tcpSeconds: 900 }],
    [
      { tcpTimeoutSeconds: 1, tcpFinTimeoutSeconds: 2, udpTimeoutSeconds: 3 },
      { tcpSeconds: 1, tcpFinSeconds: 2, udpSeconds: 3 },
    ],
  ])('say nothing about a timeout of 0: %o', (timeouts, expected) => {
    expect(ipvsSettings(config({ ipvs: { ...defaultConfig().ipvs, ...timeouts } }), CLOCK).timeouts).toEqual(
      expected,
    );
  });

  it('carry what the kernel does, and whether it is to estimate', () => {
    const behaviour = { ...UNKNOWN_BEHAVIOUR, tookMs: 7 };
    expect(ipvsSettings(config({ estimation: 'Off' }), CLOCK, behaviour)).toMatchObject({
      behaviour,
      estimation: 'Off',
    });
    expect(ipvsSettings(config({}), CLOCK)).toMatchObject({
      behaviour: UNKNOWN_BEHAVIOUR,
      estimation: 'Auto',
    });
  });

  it.each([
    [0, 1],
    [14, 0x4000],
    [31, 0x8000_0000],
  ])('masquerade bit %d is mark %d', (masqueradeBit, mark) => {
    expect(ipvsSettings(config({ masqueradeBit }), CLOCK).masqueradeMark).toBe(mark);
  });
});

describe('the name of this node', () => {
  it.each([
    [undefined, '', 'Host-1.Example', 'host-1.example'],
    [undefined, 'configured', 'host', 'configured'],
    [' Node1 ', 'configured', 'host', 'node1'],
  ])(
    'is the override, then the configured one, then the host name: %s, %s, %s',
    (override, hostnameOverride, host, expected) => {
      expect(nodeNameOf(override, config({ hostnameOverride }), host)).toBe(expected);
    },
  );
});
