import { describe, expect, it } from 'vitest';
import { parseCidr, parseIp, type Cidr, type Family, type IpAddress } from '../model/ip.ts';
import {
  makeNodeOptions,
  nodePortAddresses,
  sameNodeOptions,
  type NodeFacts,
  type NodeSettings,
} from './node-options.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const cidr = (text: string): Cidr => parseCidr(text) as Cidr;
const BOTH: readonly Family[] = ['IPv4', 'IPv6'];

// Loopback, the node, a second network, a pod bridge; link-local ones of both families.
const LOCAL = [
  '127.0.0.1',
  '192.168.0.2',
  '10.244.1.1',
  '169.254.7.7',
  '::1',
  'fd00::2',
  'fe80::1',
  '2001:db8::2',
].map(ip);
const NODE_IPS = ['192.168.0.2', 'fd00::2'].map(ip);

describe('the addresses on which NodePorts answer', () => {
  it.each<[string, readonly string[] | 'primary', readonly Family[], readonly string[], string]>([
    [
      'no setting: all but loopback and IPv6 link-local',
      [],
      BOTH,
      [],
      '10.244.1.1 169.254.7.7 192.168.0.2 2001:db8::2 fd00::2',
    ],
    ['a family that is off has none', [], ['IPv4'], [], '10.244.1.1 169.254.7.7 192.168.0.2'],
    ['only IPv6', [], ['IPv6'], [], '2001:db8::2 fd00::2'],
    [
      'a zero CIDR means all of its family',
      ['0.0.0.0/0', 'fd00::/8'],
      BOTH,
      [],
      '10.244.1.1 169.254.7.7 192.168.0.2 fd00::2',
    ],
    [
      'a CIDR of one family restricts only that one',
      ['192.168.0.0/16'],
      BOTH,
      [],
      '192.168.0.2 2001:db8::2 fd00::2',
    ],
    [
      'several CIDRs that overlap give each address once',
      ['192.168.0.0/16', '192.168.0.0/24', 'fd00::/8'],
      BOTH,
      [],
      '192.168.0.2 fd00::2',
    ],
    ['a CIDR without a local address gives none', ['203.0.113.0/24', 'fd00::/8'], BOTH, [], 'fd00::2'],
    ['loopback never, even when it is named', ['127.0.0.0/8', '::1/128'], BOTH, [], ''],
    ['link-local IPv6 when it is named', ['192.168.0.0/16', 'fe80::/10'], BOTH, [], '192.168.0.2 fe80::1'],
    ['primary: the Node addresses', 'primary', BOTH, ['192.168.0.2', 'fd00::2'], '192.168.0.2 fd00::2'],
    [
      'primary: the first of each family',
      'primary',
      BOTH,
      ['192.168.0.2', '10.244.1.1', 'fd00::2'],
      '192.168.0.2 fd00::2',
    ],
    [
      'primary: one that is not on this machine gives none',
      'primary',
      BOTH,
      ['192.0.2.9', 'fd00::2'],
      'fd00::2',
    ],
    [
      'primary: a family without a Node address answers everywhere',
      'primary',
      BOTH,
      ['192.168.0.2'],
      '192.168.0.2 2001:db8::2 fd00::2',
    ],
    [
      'primary without a Node object: everywhere',
      'primary',
      ['IPv4'],
      [],
      '10.244.1.1 169.254.7.7 192.168.0.2',
    ],
  ])('%s', (_, setting, families, nodeIps, expected) => {
    const settings = { families, nodePortAddresses: setting === 'primary' ? setting : setting.map(cidr) };
    const facts = { nodeIps: nodeIps.map(ip), localAddresses: [...LOCAL, ...LOCAL] };
    expect(nodePortAddresses(settings, facts).join(' ')).toBe(expected);
  });

  it('are sorted by family and then by bytes, whatever the order on the machine', () => {
    const localAddresses = ['fd00::10', '10.0.0.10', 'fd00::9', '10.0.0.9', '9.255.0.1'].map(ip);
    const found = nodePortAddresses(
      { families: BOTH, nodePortAddresses: [] },
      { nodeIps: [], localAddresses },
    );
    expect(found).toEqual(['9.255.0.1', '10.0.0.9', '10.0.0.10', 'fd00::9', 'fd00::10']);
  });
});

describe('node options', () => {
  const settings: NodeSettings = {
    nodeName: 'node1',
    families: BOTH,
    scheduler: 'rr',
    masqueradeAll: false,
    nodePortAddresses: 'primary',
    localDetector: { kind: 'none' },
  };
  const facts: NodeFacts = { zone: 'a', nodeIps: NODE_IPS, localAddresses: LOCAL };
  const base = makeNodeOptions(settings, facts);

  it('hold settings and facts', () => {
    expect(base).toEqual({ ...settings, zone: 'a', nodePortAddresses: NODE_IPS });
  });

  it('are the same when only addresses changed that NodePorts do not use', () => {
    const other = makeNodeOptions(settings, { ...facts, localAddresses: [...LOCAL, ip('172.16.0.1')] });
    expect(sameNodeOptions(base, other)).toBe(true);
  });

  it.each<[string, Partial<NodeSettings>, Partial<NodeFacts>]>([
    ['zone', {}, { zone: 'b' }],
    ['scheduler', { scheduler: 'sh' }, {}],
    ['masqueradeAll', { masqueradeAll: true }, {}],
    ['local detector', { localDetector: { kind: 'bridge', interfaceName: 'cbr0' } }, {}],
    ['families', { families: ['IPv4'] }, {}],
    ['addresses', {}, { localAddresses: [ip('192.168.0.2')] }],
  ])('differ by %s', (_, settingsChange, factsChange) => {
    expect(
      sameNodeOptions(
        base,
        makeNodeOptions({ ...settings, ...settingsChange }, { ...facts, ...factsChange }),
      ),
    ).toBe(false);
  });
});
