// Addresses and CIDRs as text and bytes. The oracles are Node's own: isIP, BlockList and the URL parser (RFC 5952).

import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cidrContains,
  compareIp,
  compareText,
  decodeIp,
  encodeIp,
  familyOf,
  isLinkLocal,
  isLoopback,
  isMulticastOrBroadcast,
  isUnspecified,
  parseCidr,
  parseIp,
  prefixLengthOf,
  type IpAddress,
} from './ip.ts';

describe('parseIp', () => {
  test.each([
    ['keeps canonical IPv4', '192.0.2.1', '192.0.2.1'],
    ['keeps zero', '0.0.0.0', '0.0.0.0'],
    ['keeps broadcast', '255.255.255.255', '255.255.255.255'],
    ['reads leading zeros as decimal', '172.30.0.041', '172.30.0.41'],
    ['reads many leading zeros', '010.000.0000.09', '10.0.0.9'],
    ['keeps octets of one, two and three digits', '9.10.99.100', '9.10.99.100'],
    ['takes 64 characters', `${'0'.repeat(57)}1.2.3.4`, '1.2.3.4'],
    ['keeps ::', '::', '::'],
    ['keeps ::1', '::1', '::1'],
    ['keeps a trailing run', '2001:db8::', '2001:db8::'],
    ['lowers hexadecimal letters', '2001:DB8::AbCd', '2001:db8::abcd'],
    ['drops leading zeros of groups', '2001:0db8:0000:0001::0010', '2001:db8:0:1::10'],
    ['shortens the longest run', '2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['shortens the first of equal runs', '2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['does not shorten a single zero group', '2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['writes out a single group that was shortened', '2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    [
      'keeps eight full groups',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe',
    ],
    ['reads embedded IPv4 as two groups', '64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['counts mapped text as IPv4', '::ffff:192.0.2.1', '192.0.2.1'],
    ['counts mapped hexadecimal text as IPv4', '::FFFF:c000:0201', '192.0.2.1'],
    ['counts mapped text with leading zeros as IPv4', '0:0:0:0:0:ffff:192.0.2.001', '192.0.2.1'],
    ['does not take ::ffff:0:0 in another place as mapped', '::ffff:0:c000:201', '::ffff:0:c000:201'],
    ['does not take a half of ffff as mapped', '::ff00:c000:201', '::ff00:c000:201'],
    ['does not take the other half of ffff as mapped', '::ff:c000:201', '::ff:c000:201'],
    ['keeps groups of one to four digits', 'f:ff:fff:ffff:1:10:100:1000', 'f:ff:fff:ffff:1:10:100:1000'],
  ])('%s', (_name, text, expected) => {
    expect(parseIp(text)).toBe(expected);
  });

  test.each([
    '',
    ' ',
    '1',
    '1.2',
    '1.2.3',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1.2.3.a',
    '1.2.3.1e2',
    '1.2.3.0x1',
    '1.2.3.-1',
    '1.2.3.+1',
    ' 1.2.3.4',
    '1.2.3.4 ',
    '1.2.3.4\n',
    '1.2.3.4/32',
    '１.2.3.4',
    '999999999999.0.0.1',
    `${'0'.repeat(58)}1.2.3.4`,
    ':',
    ':::',
    '1:::2',
    '1::2::3',
    '::1::2',
    '::@',
    '::`',
    ':1::',
    '1:',
    '1::2:',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '12345::',
    '::00001',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '::1/128',
    '::1.2.3',
    '::1.2.3.4.5',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:6:7:8:1.2.3.4',
    ' ::1',
    '::1 ',
  ])('refuses %j', (text) => {
    expect(parseIp(text)).toBeNull();
  });

  test('agrees with node:net on arbitrary strings, leading zeros and zone ids aside', () => {
    const hexish = fc.string({ unit: fc.constantFrom(...'0123456789abcdefF:.%/ '), maxLength: 24 });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), hexish, fc.string()), (text) => {
        fc.pre(!text.includes('%') && !/(^|[.:])0\d+(\.|$)/.test(text));
        expect(parseIp(text) !== null).toBe(isIP(text) !== 0);
      }),
      { numRuns: 5000 },
    );
  });

  test('gives text that it keeps as it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const parsed = parseIp(text)!;
        expect(parseIp(parsed)).toBe(parsed);
        expect(isIP(parsed)).toBe(familyOf(parsed) === 'IPv4' ? 4 : 6);
      }),
    );
  });
});

describe('encodeIp and decodeIp', () => {
  const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
  // Bytes with many zeros make runs to shorten.
  const bytes16 = fc.array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: 16, maxLength: 16 });

  test('are inverse for every four bytes', () => {
    fc.assert(
      fc.property(bytes4, fc.nat(5), (bytes, offset) => {
        const target = new Uint8Array(12).fill(0xee);
        target.set(bytes, offset);
        const address = decodeIp(target, offset, 'IPv4');
        const copy = new Uint8Array(12).fill(0xee);
        expect(encodeIp(address, copy, offset)).toBe(4);
        expect(copy).toEqual(target);
      }),
    );
  });

  test('are inverse for every sixteen bytes, and the text is canonical', () => {
    fc.assert(
      fc.property(bytes16, fc.nat(5), (bytes, offset) => {
        const target = new Uint8Array(24).fill(0xee);
        target.set(bytes, offset);
        const address = decodeIp(target, offset, 'IPv6');
        const copy = new Uint8Array(24).fill(0xee);
        expect(encodeIp(address, copy, offset)).toBe(16);
        expect(copy).toEqual(target);
        // The URL parser of Node follows RFC 5952 too.
        if (!address.startsWith('::ffff:'))
          expect(new URL(`http://[${address}]/`).hostname).toBe(`[${address}]`);
      }),
      { numRuns: 2000 },
    );
  });

  test('decodeIp keeps sixteen mapped bytes IPv6, as the kernel shows them', () => {
    const bytes = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
    expect(decodeIp(bytes, 0, 'IPv6')).toBe('::ffff:192.0.2.1');
  });

  test('throw a RangeError when there is no room', () => {
    const ipv4 = '192.0.2.1' as IpAddress;
    const ipv6 = '2001:db8::1' as IpAddress;
    expect(() => encodeIp(ipv4, new Uint8Array(7), 4)).toThrow(new RangeError('no room for 4 bytes at 4'));
    expect(() => encodeIp(ipv4, new Uint8Array(7), -1)).toThrow(new RangeError('no room for 4 bytes at -1'));
    expect(() => encodeIp(ipv6, new Uint8Array(15), 0)).toThrow(new RangeError('no room for 16 bytes at 0'));
    expect(() => decodeIp(new Uint8Array(15), 0, 'IPv6')).toThrow(new RangeError('no 16 bytes at 0'));
    expect(() => decodeIp(new Uint8Array(4), 1, 'IPv4')).toThrow(new RangeError('no 4 bytes at 1'));
    expect(() => decodeIp(new Uint8Array(4), -1, 'IPv4')).toThrow(new RangeError('no 4 bytes at -1'));
  });

  test.each(['web', '1.2.3.4.5.6.7.8', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:1.2.3.4'])(
    'encodeIp throws on %j, and leaves the bytes alone that no address would take',
    (text) => {
      const target = new Uint8Array(24).fill(0xee);
      expect(() => encodeIp(text as IpAddress, target, 0)).toThrow(
        new Error(`not an IpAddress: ${JSON.stringify(text)}`),
      );
      const size = text.includes(':') ? 16 : 4;
      expect(target.subarray(size)).toEqual(new Uint8Array(24 - size).fill(0xee));
    },
  );

  test('decodeIp takes zeros behind the address for no part of it', () => {
    const bytes = new Uint8Array(32);
    bytes.set([0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1]);
    expect(decodeIp(bytes, 0, 'IPv6')).toBe('1::1:1:1:0:0');
  });
});

describe('parseCidr', () => {
  test.each([
    ['masks to the network', '10.1.2.3/8', '10.0.0.0/8'],
    ['masks inside an octet', '10.1.255.3/18', '10.1.192.0/18'],
    ['reads leading zeros as decimal', '203.0.113.000/025', '203.0.113.0/25'],
    ['keeps a host', '192.0.2.1/32', '192.0.2.1/32'],
    ['takes a prefix of zero', '192.0.2.1/0', '0.0.0.0/0'],
    ['masks IPv6', '2001:DB8:ffff::1/33', '2001:db8:8000::/33'],
    ['takes all of IPv6', '2001:db8::/0', '::/0'],
    ['keeps an IPv6 host', '::1/128', '::1/128'],
    ['counts a mapped network as IPv4', '::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['counts all of the mapped addresses as all of IPv4', '::ffff:10.1.2.3/96', '0.0.0.0/0'],
    ['takes 64 characters', `${'0'.repeat(54)}10.0.0.0/8`, '10.0.0.0/8'],
  ])('%s', (_name, text, expected) => {
    expect(parseCidr(text)).toBe(expected);
  });

  test.each([
    '10.0.0.0',
    '10.0.0.0/',
    '/8',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/1e1',
    '10.0.0.0/8 ',
    '10.0.0.0/8/8',
    '10.0.0.0/1:',
    '10.0.0.0/256',
    '10.0.0.0/1000',
    '::/8 ',
    '8',
    `${'0'.repeat(55)}10.0.0.0/8`,
    '10.0.0/8',
    '::/129',
    '::ffff:10.0.0.0/95',
    '10.0.0.0/255.0.0.0',
    '',
  ])('refuses %j', (text) => {
    expect(parseCidr(text)).toBeNull();
  });
});

test('cidrContains agrees with node:net BlockList', () => {
  const anyAddress = fc.oneof(
    fc.ipV4(),
    fc.ipV6().filter((text) => !parseIp(text)!.includes('.')),
  );
  fc.assert(
    fc.property(anyAddress, fc.nat(128), anyAddress, fc.boolean(), (base, prefix, text, isNear) => {
      const network = parseIp(base)!;
      const size = familyOf(network) === 'IPv4' ? 32 : 128;
      const cidr = parseCidr(`${base}/${prefix % (size + 1)}`)!;
      const address = isNear ? network : parseIp(text)!;
      const list = new BlockList();
      list.addSubnet(network, prefix % (size + 1), size === 32 ? 'ipv4' : 'ipv6');
      const isInside =
        familyOf(address) === familyOf(network) && list.check(address, size === 32 ? 'ipv4' : 'ipv6');
      expect(cidrContains(cidr, address)).toBe(isInside);
      expect(prefixLengthOf(cidr)).toBe(prefix % (size + 1));
    }),
  );
});

test('compareIp puts IPv4 first and then follows the bytes', () => {
  const sorted = [
    '9.0.0.1',
    '10.0.0.1',
    '10.0.0.9',
    '10.0.0.10',
    '::1',
    '9::',
    '10::',
    '2001:db8::9',
    '2001:db8::10',
  ] as IpAddress[];
  expect(sorted.toReversed().sort(compareIp)).toEqual(sorted);
  // The same address again is equal, whatever was compared before.
  for (const one of sorted) {
    compareIp('2001:db8:100::' as IpAddress, '2001:db8:200::' as IpAddress);
    expect(compareIp(one, one)).toBe(0);
  }
});

test.each([
  ['a', 'a', 0],
  ['', '', 0],
  ['a', 'b', -1],
  ['b', 'a', 1],
  ['a', 'aa', -1],
  ['Z', 'a', -1],
  ['é', 'z', 1],
])('compareText orders %j and %j by their code units: %j', (a, b, expected) => {
  expect(compareText(a, b)).toBe(expected);
});

test.each([
  ['loopback', isLoopback, ['127.0.0.1', '127.255.0.1', '::1'], ['128.0.0.1', '12.7.0.1', '::2', '::']],
  ['unspecified', isUnspecified, ['0.0.0.0', '::'], ['0.0.0.1', '::1']],
  [
    'link-local',
    isLinkLocal,
    ['169.254.0.1', 'fe80::1', 'febf::'],
    ['169.253.0.1', 'fec0::1', 'fe8::1', '::fe80', '2001:db8:fe80::1'],
  ],
  [
    'multicast or broadcast',
    isMulticastOrBroadcast,
    ['224.0.0.1', '239.1.1.1', '255.255.255.255', 'ff02::1', 'ff00::'],
    ['223.0.0.1', '240.0.0.1', '22.4.0.1', '10.224.0.1', 'ff::1', 'fe00::1', '2001:ff02::1'],
  ],
] as const)('%s addresses are told apart', (_name, predicate, inside, outside) => {
  for (const text of inside) expect(predicate(text as IpAddress), text).toBe(true);
  for (const text of outside) expect(predicate(text as IpAddress), text).toBe(false);
});
