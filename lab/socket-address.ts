// Turns addresses as text into the kernel's sockaddr bytes and back, for the lab's sockets.
// No name lookups, no zones. Sources: ip(7), ipv6(7) (struct sockaddr_in, sockaddr_in6), RFC 5952 for the text form.

import { isIP, isIPv4 } from 'node:net';
import { AF_INET, AF_INET6 } from '../src/kernel/libc.ts';

/** Bytes that hold any address these functions know. */
export const SOCKADDR_BYTES = 28;

/** An address and port; IPv6 in RFC 5952 form. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** AF_INET or AF_INET6 for an IP address as text; throws for anything else. */
export function addressFamily(address: string): number {
  const version = isIP(address);
  if (version === 0) throw new Error(`${JSON.stringify(address)} is not an IP address`);
  return version === 4 ? AF_INET : AF_INET6;
}

/** The sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes) of an address as text and a port from 0 to 65535. */
export function encodeSocketAddress(address: string, port: number): Uint8Array {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`${port} is not a port`);
  const family = addressFamily(address);
  const bytes = new Uint8Array(family === AF_INET ? 16 : SOCKADDR_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port, false);
  if (family === AF_INET) bytes.set(address.split('.').map(Number), 4);
  else
    for (const [index, group] of ipv6Groups(address).entries()) view.setUint16(8 + 2 * index, group, false);
  return bytes;
}

/** Reads a sockaddr that the kernel wrote; throws for families other than AF_INET and AF_INET6. */
export function decodeSocketAddress(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = view.getUint16(0, true);
  const port = view.getUint16(2, false);
  if (family === AF_INET) return { address: bytes.subarray(4, 8).join('.'), port };
  if (family !== AF_INET6) throw new Error(`Address family ${family} is neither AF_INET nor AF_INET6`);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index, false).toString(16));
  // WHATWG URL writes the shortest form, the one of RFC 5952.
  return { address: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port };
}

function ipv6Groups(address: string): number[] {
  const lastColon = address.lastIndexOf(':');
  const tail = address.slice(lastColon + 1);
  let text = address;
  if (isIPv4(tail)) {
    const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number);
    text = `${address.slice(0, lastColon + 1)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [left = '', right] = text.split('::');
  const head = left === '' ? [] : left.split(':');
  const rest = right === undefined || right === '' ? [] : right.split(':');
  const zeros = Array.from({ length: 8 - head.length - rest.length }, () => '0');
  return [...head, ...zeros, ...rest].map((group) => Number.parseInt(group, 16));
}
