// What the plan knows of this node, by the rows of the service model 1.6 (NodePort addresses, primary, IPv4 loopback) and scenarios 6.4 (which
// addresses of the machine count).

import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { parseCidr, type Cidr, type Family, type IpAddress } from '../model/ip.ts';
import {
  makeNodeOptions,
  nodePortAddresses,
  sameButAddresses,
  sameNodeOptions,
  type NodeFacts,
  type NodeSettings,
} from './node-options.ts';

const cidr = (text: string): Cidr => parseCidr(text)!;
const ips = (text: string): IpAddress[] => (text === '' ? [] : text.split(' ').map(address));
const BOTH: readonly Family[] = ['IPv4', 'IPv6'];

// Loopback, the node, a pod bridge; link-local ones of both families; a second network.
const LOCAL = ips('127.0.0.1 127.1.2.3 192.168.0.2 10.244.1.1 169.254.7.7 ::1 fd00::2 fe80::1 2001:db8::2');
const ALL_V4 = '10.244.1.1 169.254.7.7 192.168.0.2';
const ALL_V6 = '2001:db8::2 fd00::2';

describe('1.6 addresses on which NodePorts answer', () => {
  test.each<[string, readonly string[], readonly Family[], string]>([
    ['no CIDR: all but loopback and IPv6 link-local', [], BOTH, `${ALL_V4} ${ALL_V6}`],
    ['a family that is off has none', [], ['IPv4'], ALL_V4],
    ['only IPv6', [], ['IPv6'], ALL_V6],
    ['CIDRs of one family: the other has its zero CIDR', ['192.168.0.0/16'], BOTH, `192.168.0.2 ${ALL_V6}`],
    ['the same, IPv6 given', ['fd00::/8'], BOTH, `${ALL_V4} fd00::2`],
    ['a zero CIDR', ['0.0.0.0/0', 'fd00::/8'], BOTH, `${ALL_V4} fd00::2`],
    [
      'a zero CIDR overrides the others before it',
      ['192.168.0.0/16', '0.0.0.0/0', 'fd00::/8'],
      BOTH,
      `${ALL_V4} fd00::2`,
    ],
    [
      'a zero CIDR overrides the others after it',
      ['::/0', 'fd00::/8', '192.168.0.0/16'],
      BOTH,
      `192.168.0.2 ${ALL_V6}`,
    ],
    ['/10 is no zero CIDR', ['10.192.0.0/10', 'fd00::/10'], BOTH, '10.244.1.1 fd00::2'],
    [
      'CIDRs that overlap give each address once',
      ['192.168.0.0/16', '192.168.0.0/24', 'fd00::/8'],
      BOTH,
      '192.168.0.2 fd00::2',
    ],
    [
      'several CIDRs of a family',
      ['192.168.0.0/16', '10.244.1.1/32', '2001:db8::/32', 'fd00::/8'],
      BOTH,
      `10.244.1.1 192.168.0.2 ${ALL_V6}`,
    ],
    ['a CIDR without a local address gives none', ['203.0.113.0/24', 'fd00::/8'], BOTH, 'fd00::2'],
    ['loopback never, even when it is named', ['127.0.0.0/8', '::1/128'], BOTH, ''],
    ['link-local IPv6 when it is named', ['192.168.0.0/16', 'fe80::/10'], BOTH, '192.168.0.2 fe80::1'],
  ])('%s', (_row, cidrs, families, expected) => {
    const settings = { families, nodePortAddresses: cidrs.map(cidr) };
    const facts = { nodeIps: [], localAddresses: [...LOCAL, ...LOCAL] };
    expect(nodePortAddresses(settings, facts).join(' ')).toBe(expected);
  });

  test.each<[string, string, string]>([
    ["the Node's addresses, as /32 and /128", '192.168.0.2 fd00::2', '192.168.0.2 fd00::2'],
    ['the first of each family', '192.168.0.2 10.244.1.1 fd00::2 2001:db8::2', '192.168.0.2 fd00::2'],
    ['IPv6 first', 'fd00::2 192.168.0.2', '192.168.0.2 fd00::2'],
    ['loopback placeholders are omitted', '127.0.0.1 192.168.0.2 ::1 fd00::2', '192.168.0.2 fd00::2'],
    ['one that is not on this machine gives none', '192.0.2.9 fd00::2', 'fd00::2'],
    ['no IPv6 address: match all of IPv6', '192.168.0.2', `192.168.0.2 ${ALL_V6}`],
    ['no IPv4 address: match all of IPv4', 'fd00::2', `${ALL_V4} fd00::2`],
    ['only placeholders: match all', '127.0.0.1 ::1', `${ALL_V4} ${ALL_V6}`],
    ['no Node object: match all', '', `${ALL_V4} ${ALL_V6}`],
  ])('primary: %s', (_row, nodeIps, expected) => {
    const facts = { nodeIps: ips(nodeIps), localAddresses: LOCAL };
    expect(nodePortAddresses({ families: BOTH, nodePortAddresses: 'primary' }, facts).join(' ')).toBe(
      expected,
    );
  });

  test('are sorted by family and then by bytes, whatever the order on the machine', () => {
    const localAddresses = ips('fd00::10 10.0.0.10 fd00::9 10.0.0.9 9.255.0.1');
    for (const order of [localAddresses, localAddresses.toReversed(), localAddresses.toSorted()])
      for (const families of [BOTH, BOTH.toReversed()]) {
        const settings = { families, nodePortAddresses: [] };
        const found = nodePortAddresses(settings, { nodeIps: [], localAddresses: order });
        expect(found.join(' ')).toBe('9.255.0.1 10.0.0.9 10.0.0.10 fd00::9 fd00::10');
      }
  });
});

const SETTINGS: NodeSettings = {
  nodeName: 'node1',
  families: BOTH,
  scheduler: 'rr',
  masqueradeAll: false,
  nodePortAddresses: 'primary',
  localhostNodePorts: true,
  allowsExternalIPs: true,
  otherFamilySourceRanges: 'Allow',
  localDetector: { kind: 'none' },
};
const FACTS: NodeFacts = { zone: 'a', nodeIps: ips('192.168.0.2 fd00::2'), localAddresses: LOCAL };

describe('1.6 containsIPv4Loopback: the loopback networks on which NodePorts answer', () => {
  const ALL = ['127.0.0.0/8'];
  const LISTED = ['127.0.0.1/32', '127.1.2.3/32'];

  test.each<[string, readonly string[], readonly string[]]>([
    ['no CIDR', [], ALL],
    ['no IPv4 CIDR', ['fd00::/8'], ALL],
    ['a zero CIDR', ['0.0.0.0/0'], ALL],
    ['a zero CIDR after another', ['10.0.0.0/8', '0.0.0.0/0'], ALL],
    ['127.0.0.0/8: its addresses on this machine', ['127.0.0.0/8'], LISTED],
    [
      'a part of 127.0.0.0/8 with an address of this machine',
      ['10.0.0.0/8', '127.1.2.0/24'],
      ['127.1.2.3/32'],
    ],
    ['a part of 127.0.0.0/8 without one', ['10.0.0.0/8', '127.9.0.0/16'], []],
    ['a network that contains 127.0.0.0', ['126.0.0.0/7'], LISTED],
    ['the half of all that contains it', ['0.0.0.0/1'], LISTED],
    ['the other half', ['128.0.0.0/1'], []],
    ['none of these', ['10.0.0.0/8', '192.168.0.0/16'], []],
    ['IPv6 loopback never', ['10.0.0.0/8', '::1/128', '::/0'], []],
  ])('%s', (_row, cidrs, expected) => {
    const settings = { ...SETTINGS, nodePortAddresses: cidrs.map(cidr) };
    expect(makeNodeOptions(settings, FACTS).nodePortLoopbacks).toEqual(expected);
    // Never where it is switched off, or the node does not forward IPv4.
    expect(makeNodeOptions({ ...settings, localhostNodePorts: false }, FACTS).nodePortLoopbacks).toEqual([]);
    expect(makeNodeOptions({ ...settings, families: ['IPv6'] }, FACTS).nodePortLoopbacks).toEqual([]);
  });

  test('several, sorted, each once', () => {
    const settings = { ...SETTINGS, nodePortAddresses: ['127.0.0.0/8', '127.0.0.1/32'].map(cidr) };
    const localAddresses = ips('127.0.0.10 127.0.0.9 ::1 127.0.0.9');
    expect(makeNodeOptions(settings, { ...FACTS, localAddresses }).nodePortLoopbacks).toEqual([
      '127.0.0.9/32',
      '127.0.0.10/32',
    ]);
  });

  test.each([
    ['primary: a Node address is not loopback', '192.168.0.2', []],
    ['primary without an IPv4 address: match all', 'fd00::2', ALL],
    ['primary without any address: match all', '', ALL],
  ])('%s', (_row, nodeIps, expected) => {
    const facts = { ...FACTS, nodeIps: ips(nodeIps) };
    expect(makeNodeOptions(SETTINGS, facts).nodePortLoopbacks).toEqual(expected);
  });
});

describe('node options', () => {
  const base = makeNodeOptions(SETTINGS, FACTS);

  test('hold what the plan needs of settings and facts, and nothing else', () => {
    const { localhostNodePorts: _, ...kept } = SETTINGS;
    expect(base).toEqual({
      ...kept,
      zone: 'a',
      nodeIPs: ips('192.168.0.2 fd00::2'),
      localAddresses: ips(`${ALL_V4} ${ALL_V6}`),
      nodePortAddresses: ips('192.168.0.2 fd00::2'),
      nodePortLoopbacks: [],
      missingSchedulers: [],
    });
  });

  test.each([
    [
      'the first of each family, IPv4 first',
      'fd00::2 192.168.0.2 fd00::3 192.168.0.3',
      '192.168.0.2 fd00::2',
    ],
    ['loopback is no address of a node', '127.0.0.1 ::1 192.168.0.2', '192.168.0.2'],
    ['only IPv6', 'fd00::2', 'fd00::2'],
    ['none', '', ''],
  ])('nodeIPs: %s', (_row, nodeIps, expected) => {
    expect(makeNodeOptions(SETTINGS, { ...FACTS, nodeIps: ips(nodeIps) }).nodeIPs.join(' ')).toBe(expected);
  });

  test('are the same when only facts changed that the plan does not use', () => {
    const localAddresses = [...LOCAL, address('127.0.0.9'), address('fe80::9')];
    const nodeIps = [...FACTS.nodeIps, address('192.168.0.3')];
    expect(sameNodeOptions(base, makeNodeOptions(SETTINGS, { ...FACTS, localAddresses, nodeIps }))).toBe(
      true,
    );
  });

  test.each<[string, Partial<NodeSettings>, Partial<NodeFacts>]>([
    ['node name', { nodeName: 'node2' }, {}],
    ['zone', {}, { zone: 'b' }],
    ['families', { families: ['IPv4'] }, {}],
    ['node IPs', {}, { nodeIps: ips('192.168.0.9 fd00::2') }],
    ['addresses of the machine', {}, { localAddresses: [...LOCAL, address('172.16.0.1')] }],
    ['NodePort addresses of the machine', {}, { localAddresses: ips('192.168.0.2') }],
    ['NodePort addresses of the settings', { nodePortAddresses: [cidr('10.0.0.0/8')] }, {}],
    ['localhost NodePorts', { nodePortAddresses: [] }, { localAddresses: ips('192.168.0.2 fd00::2') }],
    ['external IPs', { allowsExternalIPs: false }, {}],
    ['source ranges of other families', { otherFamilySourceRanges: 'Deny' }, {}],
    ['scheduler', { scheduler: 'sh' }, {}],
    ['schedulers that the kernel does not have', {}, { missingSchedulers: ['twos'] }],
    ['masqueradeAll', { masqueradeAll: true }, {}],
    ['local detector', { localDetector: { kind: 'bridge', interfaceName: 'cbr0' } }, {}],
  ])('differ by %s', (_row, settings, facts) => {
    const other = makeNodeOptions({ ...SETTINGS, ...settings }, { ...FACTS, ...facts });
    expect(sameNodeOptions(base, other)).toBe(false);
  });

  test.each<[string, Partial<NodeSettings>, Partial<NodeFacts>, boolean]>([
    ['nothing', {}, {}, true],
    ['an address on which nothing answers', {}, { localAddresses: [...LOCAL, address('172.16.0.1')] }, true],
    ['an address on which NodePorts answer', {}, { localAddresses: ips('192.168.0.2') }, true],
    ['the zone', {}, { zone: 'b' }, false],
    ['the zone, too', {}, { zone: 'b', localAddresses: ips('192.168.0.2') }, false],
    ['the scheduler', { scheduler: 'sh' }, {}, false],
  ])('differ in addresses at most: %s', (_row, settings, facts, expected) => {
    const other = makeNodeOptions({ ...SETTINGS, ...settings }, { ...FACTS, ...facts });
    expect(sameButAddresses(base, other)).toBe(expected);
  });
});
