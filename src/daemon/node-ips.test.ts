// Which addresses a node is known by, by the rows of spec 5.4.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../config/load.ts';
import {
  familyOf,
  isLoopback,
  isUnspecified,
  parseCidr,
  parseIp,
  type Cidr,
  type IpAddress,
} from '../model/ip.ts';
import type { NodeRecord } from '../model/node.ts';
import { awaits, detectNodeIps, hostIps } from './node-ips.ts';
import { nodeOptionsFrom } from './settings.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const ips = (text: string): IpAddress[] => text.split(' ').filter(Boolean).map(ip);

describe("a Node's host IPs", () => {
  it.each([
    ['', ''],
    ['10.0.0.1', '10.0.0.1'],
    ['10.0.0.1 10.0.0.2 fd00::1 fd00::2', '10.0.0.1 fd00::1'],
    ['fd00::1 203.0.113.1', 'fd00::1 203.0.113.1'],
  ])('of %j are %j', (addresses, expected) => expect(hostIps(ips(addresses)).join(' ')).toBe(expected));
});

const ofNode = fc.constantFrom(...ips('10.0.0.1 10.0.0.2 127.0.0.1 fd00::1 fd00::2 ::1'));
const toBind = fc.oneof(ofNode, fc.constantFrom(...ips('0.0.0.0 ::')));

describe('node IPs', () => {
  it.each([
    ['nothing known', '', '0.0.0.0', 'IPv4', '127.0.0.1', '::1', ''],
    ['one address', '10.0.0.1', '0.0.0.0', 'IPv4', '10.0.0.1', '::1', '10.0.0.1'],
    [
      'the first family is the primary one',
      'fd00::1 10.0.0.1',
      '0.0.0.0',
      'IPv6',
      '10.0.0.1',
      'fd00::1',
      'fd00::1 10.0.0.1',
    ],
    [
      'unspecified IPv6 says nothing',
      '10.0.0.1 fd00::1',
      '::',
      'IPv4',
      '10.0.0.1',
      'fd00::1',
      '10.0.0.1 fd00::1',
    ],
    ['bindAddress alone', '', '192.0.2.7', 'IPv4', '192.0.2.7', '::1', '192.0.2.7'],
    ['bindAddress instead of the Node', '10.0.0.1', '192.0.2.7', 'IPv4', '192.0.2.7', '::1', '192.0.2.7'],
    [
      'bindAddress beside the other family',
      '10.0.0.1 fd00::1',
      '192.0.2.7',
      'IPv4',
      '192.0.2.7',
      'fd00::1',
      '192.0.2.7 fd00::1',
    ],
    [
      'bindAddress makes its family the primary one',
      '10.0.0.1',
      'fd00::9',
      'IPv6',
      '10.0.0.1',
      'fd00::9',
      'fd00::9 10.0.0.1',
    ],
    [
      'bindAddress on loopback: not known',
      '10.0.0.1 fd00::1',
      '127.0.0.1',
      'IPv4',
      '127.0.0.1',
      'fd00::1',
      'fd00::1',
    ],
  ])('%s', (_row, addresses, bindAddress, primaryFamily, ipv4, ipv6, known) => {
    const found = detectNodeIps(ips(addresses), ip(bindAddress));
    expect({ ...found, known: found.known.join(' ') }).toEqual({
      primaryFamily,
      ips: { IPv4: ipv4, IPv6: ipv6 },
      known,
    });
  });

  it('are one of each family at most, the primary one first, and never loopback', () => {
    fc.assert(
      fc.property(fc.array(ofNode, { maxLength: 6 }), toBind, (addresses, bindAddress) => {
        const { primaryFamily, ips: both, known } = detectNodeIps(addresses, bindAddress);
        expect(new Set(known.map(familyOf)).size).toBe(known.length);
        for (const address of known) {
          expect(both[familyOf(address)]).toBe(address);
          expect(isLoopback(address)).toBe(false);
          expect([...addresses, bindAddress]).toContain(address);
        }
        if (!isUnspecified(bindAddress)) expect(primaryFamily).toBe(familyOf(bindAddress));
        else if (addresses[0] !== undefined) expect(primaryFamily).toBe(familyOf(addresses[0]));
      }),
    );
  });
});

describe('what plans take for the node', () => {
  const node = { name: 'n', zone: '', addresses: ips('10.0.0.1 fd00::1'), podCIDRs: [], isLeaving: false };
  const identity = { nodeName: 'n', families: ['IPv4', 'IPv6'] as const, node };
  const localAddresses = ips('10.0.0.1 192.0.2.7 fd00::1 fd00::9');

  it.each([
    ['0.0.0.0', '10.0.0.1 fd00::1'],
    ['192.0.2.7', '192.0.2.7 fd00::1'],
    ['fd00::9', '10.0.0.1 fd00::9'],
  ])('with bindAddress %s: %s', (bindAddress, expected) => {
    const config = {
      ...defaultConfig(),
      bindAddress: ip(bindAddress),
      nodePortAddresses: 'primary',
    } as const;
    const options = nodeOptionsFrom(config, { ...identity, localAddresses });
    expect(options.nodeIPs.join(' ')).toBe(expected);
    expect(options.nodePortAddresses.join(' ')).toBe(expected);
  });
});

describe('what is awaited', () => {
  const record = (...podCIDRs: string[]): NodeRecord => ({
    name: 'n1',
    zone: '',
    addresses: [],
    podCIDRs: podCIDRs.map((text) => parseCidr(text) as Cidr),
    isLeaving: false,
  });

  it.each<[string, 'NodeCIDR' | 'ClusterCIDR', NodeRecord | undefined, string]>([
    ['other modes await nothing', 'ClusterCIDR', undefined, ''],
    ['no Node', 'NodeCIDR', undefined, 'node n1 to exist'],
    ['a Node without pod networks', 'NodeCIDR', record(), 'PodCIDR allocation on node n1'],
    ['a Node with one', 'NodeCIDR', record('10.244.1.0/24'), ''],
  ])('%s', (_row, detectLocalMode, node, expected) =>
    expect(awaits({ detectLocalMode }, 'n1', node)).toBe(expected),
  );
});
