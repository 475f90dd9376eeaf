// IP addresses and CIDRs as canonical text, and the way between that text and network bytes. Text that came through here is safe to
// compare with ===, to use as a key and to write into a rule. Pure and light on allocation: it runs for every endpoint of a cluster.
// Source: RFC 4291 (forms), RFC 5952 (canonical IPv6); octets with leading zeros are decimal as in Kubernetes (ParseIPSloppy).

/** An IP family in the API's own spelling. */
export type Family = 'IPv4' | 'IPv6';

/** Both, in the order in which things of each are told. */
export const FAMILIES = ['IPv4', 'IPv6'] as const satisfies readonly Family[];

declare const ipAddressBrand: unique symbol;
declare const cidrBrand: unique symbol;

/**
 * Canonical text of an address: dotted decimal IPv4, or RFC 5952 IPv6 in lower case. IPv4-mapped IPv6 text is read as IPv4; only
 * `decodeIp` of 16 mapped bytes keeps the family it was told and gives "::ffff:192.0.2.1".
 */
export type IpAddress = string & { readonly [ipAddressBrand]: true };

/** Canonical text "address/prefix" of a network: no bits beyond the prefix are set. */
export type Cidr = string & { readonly [cidrBrand]: true };

/** Longer texts are refused unread: the longest address with embedded IPv4 has 45 characters. */
const MAX_TEXT_LENGTH = 64;

/** Character codes. */
const DOT = 46;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const LETTER_A = 97;
const LETTER_F = 102;

/** Module scratch: every function fills it and is done with it before it returns. */
const scratch = new Uint8Array(16);
const other = new Uint8Array(16);

/**
 * Reads an address, or returns null when the text is none. Sloppy in one point only: decimal octets may have leading zeros
 * ("172.30.0.041" is 172.30.0.41). Blanks, zone ids, prefixes, missing octets and "1e2" are refused.
 */
export function parseIp(text: string): IpAddress | null {
  if (text.length > MAX_TEXT_LENGTH) return null;
  if (text.includes(':')) {
    if (!readIpv6(text, scratch, 0)) return null;
    return isMapped(scratch, 0) ? formatIpv4(scratch, 12) : formatIpv6(scratch, 0);
  }
  return readIpv4(text, 0, text.length, scratch, 0) ? formatIpv4(scratch, 0) : null;
}

/**
 * Reads "address/prefix" and clears the bits beyond the prefix; null when the text is no CIDR. The address is as sloppy as in
 * `parseIp`, and the prefix may have leading zeros ("203.0.113.000/025"). An IPv4-mapped network counts as IPv4 when its prefix
 * reaches into the IPv4 part, else it is refused.
 */
export function parseCidr(text: string): Cidr | null {
  if (text.length > MAX_TEXT_LENGTH) return null;
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  let prefix = readPrefix(text, slash + 1);
  if (prefix < 0) return null;
  const head = text.slice(0, slash);
  if (!head.includes(':')) {
    if (prefix > 32 || !readIpv4(head, 0, slash, scratch, 0)) return null;
    clearBits(scratch, 0, 4, prefix);
    return `${formatIpv4(scratch, 0)}/${prefix}` as Cidr;
  }
  if (prefix > 128 || !readIpv6(head, scratch, 0)) return null;
  if (isMapped(scratch, 0)) {
    prefix -= 96;
    if (prefix < 0) return null;
    clearBits(scratch, 12, 4, prefix);
    return `${formatIpv4(scratch, 12)}/${prefix}` as Cidr;
  }
  clearBits(scratch, 0, 16, prefix);
  return `${formatIpv6(scratch, 0)}/${prefix}` as Cidr;
}

/** The family of a canonical address or CIDR. */
export function familyOf(address: IpAddress | Cidr): Family {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/**
 * Writes an address in network order at `offset`; returns the bytes written, 4 or 16. Throws RangeError when `target` is too
 * short, plain Error when the text is no address (a value that did not come from this file).
 */
export function encodeIp(address: IpAddress, target: Uint8Array, offset: number): number {
  const size = address.includes(':') ? 16 : 4;
  if (offset < 0 || offset + size > target.length)
    throw new RangeError(`no room for ${size} bytes at ${offset}`);
  const isRead =
    size === 4 ? readIpv4(address, 0, address.length, target, offset) : readIpv6(address, target, offset);
  if (!isRead) throw new Error(`not an IpAddress: ${JSON.stringify(address)}`);
  return size;
}

/** Reads 4 (IPv4) or 16 (IPv6) bytes in network order at `offset`. Throws RangeError when they are not there. */
export function decodeIp(bytes: Uint8Array, offset: number, family: Family): IpAddress {
  const size = family === 'IPv4' ? 4 : 16;
  if (offset < 0 || offset + size > bytes.length) throw new RangeError(`no ${size} bytes at ${offset}`);
  if (family === 'IPv4') return formatIpv4(bytes, offset);
  return isMapped(bytes, offset)
    ? (`::ffff:${formatIpv4(bytes, offset + 12)}` as IpAddress)
    : formatIpv6(bytes, offset);
}

/** Order of addresses: IPv4 before IPv6, then by bytes. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  const sizeA = encodeIp(a, scratch, 0);
  const sizeB = encodeIp(b, other, 0);
  if (sizeA !== sizeB) return sizeA - sizeB;
  for (let i = 0; i < sizeA; i++) {
    const difference = scratch[i]! - other[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True when the address lies in the network; false for an address of the other family. */
export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  const slash = cidr.indexOf('/');
  const sizeNetwork = encodeIp(cidr.slice(0, slash) as IpAddress, scratch, 0);
  if (encodeIp(address, other, 0) !== sizeNetwork) return false;
  clearBits(other, 0, sizeNetwork, prefixLengthOf(cidr));
  for (let i = 0; i < sizeNetwork; i++) if (scratch[i] !== other[i]) return false;
  return true;
}

/** The first address of a network, which is how its text begins. */
export function networkOf(cidr: Cidr): IpAddress {
  return cidr.slice(0, cidr.indexOf('/')) as IpAddress;
}

/** The number behind the slash: 0 to 32 or 0 to 128. */
export function prefixLengthOf(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** True for 127.0.0.0/8 and ::1. */
export function isLoopback(address: IpAddress): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** True for 0.0.0.0 and ::. */
export function isUnspecified(address: IpAddress): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** True for 169.254.0.0/16 and fe80::/10. */
export function isLinkLocal(address: IpAddress): boolean {
  // Canonical text of fe80::/10 always begins with four digits: fe8x to febx.
  return address.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/.test(address);
}

/** True for 224.0.0.0/4, ff00::/8 and the IPv4 broadcast address: addresses that are no single host. */
export function isMulticastOrBroadcast(address: IpAddress): boolean {
  if (familyOf(address) === 'IPv6') return /^ff[0-9a-f]{2}:/.test(address);
  return address === '255.255.255.255' || /^2(?:2[4-9]|3\d)\./.test(address);
}

/** Plain order of code units, the same on every machine (localeCompare is not). */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Reads the digits from `start` to the end as a number; -1 when there are none or anything else. */
function readPrefix(text: string, start: number): number {
  if (start >= text.length) return -1;
  let value = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Reads exactly four decimal octets of text[start, end) into target; false (target then holds rubbish) when they are not there. */
function readIpv4(text: string, start: number, end: number, target: Uint8Array, offset: number): boolean {
  let octet = 0;
  let hasDigits = false;
  let count = 0;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (!hasDigits || count === 3) return false;
      target[offset + count++] = octet;
      octet = 0;
      hasDigits = false;
    } else {
      if (code < ZERO || code > NINE) return false;
      octet = octet * 10 + (code - ZERO);
      if (octet > 255) return false;
      hasDigits = true;
    }
  }
  if (count !== 3 || !hasDigits) return false;
  target[offset + 3] = octet;
  return true;
}

/** Value of a hexadecimal digit's character code, negative for anything else (NaN too, which is read behind the end of a text). */
function hexDigit(code: number): number {
  if (code <= NINE) return code - ZERO;
  const lower = code | 0x20;
  return lower >= LETTER_A && lower <= LETTER_F ? lower - LETTER_A + 10 : -1;
}

/** Reads an IPv6 address into 16 bytes of target; false (target then holds rubbish) when the text is none. */
function readIpv6(text: string, target: Uint8Array, offset: number): boolean {
  const length = text.length;
  let at = 0;
  let written = 0; // bytes written so far
  let gap = -1; // bytes written before "::"
  if (text.startsWith('::')) {
    gap = 0;
    at = 2;
  }
  while (at < length) {
    if (written === 16) return false;
    const start = at;
    let group = 0;
    let digit = 0;
    while ((digit = hexDigit(text.charCodeAt(at))) >= 0) {
      group = (group << 4) | digit;
      at++;
    }
    if (text.charCodeAt(at) === DOT && written <= 12) {
      if (!readIpv4(text, start, length, target, offset + written)) return false;
      written += 4;
      at = length;
      break;
    }
    if (at === start || at - start > 4) return false;
    target[offset + written++] = group >> 8;
    target[offset + written++] = group & 0xff;
    if (at === length) break;
    if (text.charCodeAt(at++) !== COLON) return false;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return false;
      gap = written;
      at++;
    } else if (at === length) {
      return false;
    }
  }
  if (gap < 0) return written === 16;
  if (written > 14) return false; // "::" stands for at least one group
  target.copyWithin(offset + gap + 16 - written, offset + gap, offset + written);
  target.fill(0, offset + gap, offset + gap + 16 - written);
  return true;
}

/** True when 16 bytes hold an IPv4-mapped address (::ffff:0:0/96). */
function isMapped(bytes: Uint8Array, offset: number): boolean {
  if (bytes[offset + 10] !== 0xff || bytes[offset + 11] !== 0xff) return false;
  for (let i = 0; i < 10; i++) if (bytes[offset + i] !== 0) return false;
  return true;
}

/**
 * Texts are built from character codes: a concatenation would stay a tree of parts, twice as large, and a piece of the input would keep
 * the whole input in memory. The longest text here is that of eight full groups.
 */
const codes = new Uint8Array(40);

function textOfCodes(length: number): IpAddress {
  return String.fromCharCode.apply(null, codes.subarray(0, length) as unknown as number[]) as IpAddress;
}

function formatIpv4(bytes: Uint8Array, offset: number): IpAddress {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const octet = bytes[offset + i]!;
    if (i > 0) codes[length++] = DOT;
    if (octet > 99) codes[length++] = ZERO + ((octet / 100) | 0);
    if (octet > 9) codes[length++] = ZERO + (((octet / 10) | 0) % 10);
    codes[length++] = ZERO + (octet % 10);
  }
  return textOfCodes(length);
}

/** RFC 5952: the longest run of at least two zero groups (the first of equals) is "::", no leading zeros, lower case. */
function formatIpv6(bytes: Uint8Array, offset: number): IpAddress {
  const { runStart, runLength } = longestZeroRun(bytes, offset);
  let length = 0;
  for (let group = 0; group < 8; group++) {
    if (group === runStart) {
      codes[length++] = COLON;
      if (group === 0) codes[length++] = COLON;
      group += runLength - 1;
      continue;
    }
    const value = (bytes[offset + 2 * group]! << 8) | bytes[offset + 2 * group + 1]!;
    for (let shift = value > 0xfff ? 12 : value > 0xff ? 8 : value > 0xf ? 4 : 0; shift >= 0; shift -= 4) {
      const digit = (value >> shift) & 0xf;
      codes[length++] = digit < 10 ? ZERO + digit : LETTER_A + digit - 10;
    }
    if (group < 7) codes[length++] = COLON;
  }
  return textOfCodes(length);
}

/** The run of zero groups to shorten; runStart is -1 when there is none of at least two. */
function longestZeroRun(bytes: Uint8Array, offset: number): { runStart: number; runLength: number } {
  let runStart = -1;
  let runLength = 1;
  let zeros = 0; // zero groups up to this one
  for (let group = 0; group < 8; group++) {
    zeros = bytes[offset + 2 * group] === 0 && bytes[offset + 2 * group + 1] === 0 ? zeros + 1 : 0;
    if (zeros > runLength) {
      runStart = group + 1 - zeros;
      runLength = zeros;
    }
  }
  return { runStart, runLength };
}

/** Clears the bits beyond `prefix` of `size` bytes. */
function clearBits(bytes: Uint8Array, offset: number, size: number, prefix: number): void {
  for (let i = 0; i < size; i++) {
    const kept = Math.min(8, Math.max(0, prefix - 8 * i));
    bytes[offset + i] = bytes[offset + i]! & (0xff00 >> kept);
  }
}
