// Numbers and addresses as the C library reads them, because that is what administrators' scripts were written against: strtol(3),
// atoi(3), inet_aton(3), inet_ntop(3). Pure. Source: glibc's behaviour.

import { parseIp, type IpAddress } from '../model/ip.ts';

const utf8 = new TextEncoder();

/** Blanks that strtol(3) passes over. */
const INTEGER = /^[ \t\n\v\f\r]*([+-]?[0-9]+)/;

/** The whole text as a decimal integer in the range, or null. Leading blanks and a sign are allowed, as in strtol(3). */
export function parseNumber(text: string, min: number, max: number): number | null {
  const match = INTEGER.exec(text);
  if (match === null || match[0].length !== text.length) return null;
  const value = Number(match[1]);
  return value >= min && value <= max ? value + 0 : null;
}

/** atoi(3) as an unsigned 32-bit number: the leading digits, cut to 32 bits; 0 without any. */
export function atoiUnsigned(text: string): number {
  const match = INTEGER.exec(text);
  if (match === null) return 0;
  const value = BigInt(match[1] ?? '0');
  const limit = 2n ** 63n;
  const saturated = value >= limit ? limit - 1n : value < -limit ? -limit : value;
  return Number(BigInt.asUintN(32, saturated));
}

const ZERO = 48;
const DOT = 46;
const PART = /^(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/;
const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const LAST_PART_MAX = [0xffffffff, 0xffffff, 0xffff, 0xff];

/**
 * Where plain dotted decimal text ends (four octets without leading zeros, from the start of `text`), or -1. It is what nearly every
 * address looks like, and is canonical as it stands.
 */
export function plainIpv4End(text: string): number {
  let at = 0;
  for (let octets = 1; ; octets++) {
    const start = at;
    let value = 0;
    for (; at < start + 3; at++) {
      const digit = text.charCodeAt(at) - ZERO;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    if (at === start || value > 255 || (text.charCodeAt(start) === ZERO && at > start + 1)) return -1;
    if (octets === 4) return at;
    if (text.charCodeAt(at++) !== DOT) return -1;
  }
}

/** inet_aton(3) as a 32-bit number: one to four parts, decimal, octal or hexadecimal, and anything behind a blank; null when it is none. */
export function inetAton(text: string): number | null {
  let rest = text;
  let high = 0;
  for (let index = 0; index < 4; index++) {
    const part = PART.exec(rest)?.[0];
    if (part === undefined) return null;
    // An octal text is "0" and digits; Number reads it as decimal.
    const value = /^0[0-7]/.test(part) ? Number.parseInt(part, 8) : Number(part);
    rest = rest.slice(part.length);
    if (rest.startsWith('.') && index < 3) {
      if (value > 0xff) return null;
      high = (high | (value << (24 - 8 * index))) >>> 0;
      rest = rest.slice(1);
      continue;
    }
    if (rest !== '' && !/^[ \t\n\v\f\r]/.test(rest)) return null;
    if (value > (LAST_PART_MAX[index] ?? 0)) return null;
    return (high | value) >>> 0;
  }
  return null;
}

/** A 32-bit number as dotted decimal text. */
export function formatIpv4Number(value: number): IpAddress {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}` as IpAddress;
}

/**
 * IPv6 text as inet_pton(3) reads it, or null. Unlike `parseIp`, a mapped address stays IPv6, and the IPv4 part may not have
 * leading zeros.
 */
export function inetPton6(text: string): IpAddress | null {
  const tail = text.slice(text.lastIndexOf(':') + 1);
  if (!text.includes(':') || (tail.includes('.') && !tail.split('.').every((octet) => OCTET.test(octet))))
    return null;
  const address = parseIp(text);
  if (address === null) return null;
  return address.includes(':') ? address : (`::ffff:${address}` as IpAddress);
}

/** Dotted decimal text as inet_pton(3) reads it, as a number, or null. */
export function inetPton4(text: string): number | null {
  const octets = text.split('.');
  if (octets.length !== 4 || !octets.every((octet) => OCTET.test(octet))) return null;
  return inetAton(text);
}

/** An address as inet_ntop(3) writes it: ::/96 with an IPv4 tail, as RFC 5952 does only for mapped addresses. */
export function formatAddress(address: IpAddress): string {
  const match = /^::([0-9a-f]{1,4})(?::([0-9a-f]{1,4}))?$/.exec(address);
  // "::x" has a run of seven zeros and stays; a run of six ends before two groups.
  if (match === null || match[2] === undefined) return address;
  const high = Number.parseInt(match[1] ?? '0', 16);
  const low = Number.parseInt(match[2], 16);
  return `::${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
}

/** Flags as one number, decimal or 0x, without blanks and signs, up to `max`; null for other text. */
export function parseFlags(text: string, max: number): number | null {
  if (!/^(?:0x[0-9a-fA-F]{1,8}|[0-9]{1,10})$/.test(text)) return null;
  const value = Number(text);
  return value <= max ? value : null;
}

/** What of a text fits into `maxBytes` of UTF-8, in whole characters: half of one names nothing that the rest does not. */
export function cutToBytes(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  return text.slice(0, utf8.encodeInto(text, new Uint8Array(maxBytes)).read);
}
