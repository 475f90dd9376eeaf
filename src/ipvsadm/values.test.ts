// Numbers and addresses as the C library reads and writes them.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../model/ip.ts';
import {
  atoiUnsigned,
  cutToBytes,
  formatAddress,
  formatIpv4Number,
  inetAton,
  inetPton4,
  inetPton6,
  parseFlags,
  parseNumber,
} from './values.ts';

describe('a number', () => {
  it.each([
    ['5', 5],
    ['007', 7],
    ['+5', 5],
    [' \t\n5', 5],
    ['-0', 0],
    ['100', 100],
    ['101', null],
    ['-1', null],
    ['', null],
    ['+', null],
    ['5 ', null],
    ['0x5', null],
    ['5x', null],
    ['1.5', null],
    ['٣', null],
    ['99999999999999999999', null],
  ])('%j is %j between 0 and 100', (text, expected) => {
    expect(parseNumber(text, 0, 100)).toBe(expected);
  });

  it.each([
    ['64', 64],
    [' +64abc', 64],
    ['-1', 0xffffffff],
    ['4294967360', 64],
    ['99999999999999999999', 0xffffffff],
    ['-99999999999999999999', 0],
    ['x', 0],
    ['', 0],
  ])('%j is %j for atoi', (text, expected) => {
    expect(atoiUnsigned(text)).toBe(expected);
  });
});

describe('an IPv4 address', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['1.2.3', '1.2.0.3'],
    ['1.2', '1.0.0.2'],
    ['10', '0.0.0.10'],
    ['0x7f.1', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['0x01020304', '1.2.3.4'],
    ['4294967295', '255.255.255.255'],
    ['1.2.3.4 and the rest', '1.2.3.4'],
    ['1.16777215', '1.255.255.255'],
  ])('%j is %s for inet_aton', (text, expected) => {
    expect(formatIpv4Number(inetAton(text) ?? Number.NaN)).toBe(expected);
  });

  it.each([
    '',
    ' 1.2.3.4',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.256',
    '1.16777216',
    '4294967296',
    '08',
    '1..2',
    '1.2.3.',
    '0x',
    'a.b',
    '-1',
    '1.2.3.4x',
  ])('%j is none', (text) => {
    expect(inetAton(text)).toBeNull();
  });

  it('is read back as it is written', () => {
    fc.assert(fc.property(fc.nat(0xffffffff), (value) => inetAton(formatIpv4Number(value)) === value));
  });

  it.each([
    ['224.0.0.81', true],
    ['224.0.81', false],
    ['0224.0.0.81', false],
    ['224.0.0.081', false],
    ['224.0.0.256', false],
  ])('%s is %j for inet_pton', (text, isOne) => {
    expect(inetPton4(text) !== null).toBe(isOne);
  });
});

describe('an IPv6 address', () => {
  it.each([
    ['FD00::1', 'fd00::1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::1.2.3.4', '::1.2.3.4'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['::1:0', '::0.1.0.0'],
    ['::1', '::1'],
    ['::', '::'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ])('%s is written as %s', (text, expected) => {
    expect(formatAddress(inetPton6(text) as IpAddress)).toBe(expected);
  });

  it.each([
    '',
    '1.2.3.4',
    'fe80::1%lo',
    '::1.2.3.04',
    '::1.2.3',
    '1:2',
    ':::',
    '12345::',
    '1:2:3:4:5:6:7:8::',
  ])('%j is none', (text) => {
    expect(inetPton6(text)).toBeNull();
  });
});

describe('text', () => {
  it.each([
    ['averyveryverylongname', 'averyveryverylo'],
    ['short', 'short'],
    ['fünfzehnzeichenä', 'fünfzehnzeiche'],
    ['☃☃☃☃☃☃', '☃☃☃☃☃'],
  ])('%s is cut to %s where 15 bytes fit', (text, expected) => {
    expect(cutToBytes(text, 15)).toBe(expected);
  });

  it.each([
    ['0x1F', 31],
    ['31', 31],
    ['0x20', null],
    ['-1', null],
    [' 1', null],
    ['', null],
  ])('%j is %j as flags up to 31', (text, expected) => {
    expect(parseFlags(text, 31)).toBe(expected);
  });
});
