// Decoders of IPVS on messages as other kernels build them: attributes that are missing, 32-bit statistics, values at the ends of their
// ranges. What this project's reference kernel sends is replayed in ipvs.test.ts.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ip } from '../../test/fixtures/netlink/ipvs-scenarios.ts';
import { decodeIp } from '../model/ip.ts';
import { decodeDestination, decodeService, writeCommand } from './ipvs-codec.ts';
import {
  decodeDaemon,
  decodeInfo,
  decodeTimeouts,
  encodeDaemon,
  encodeTimeouts,
  type IpvsDaemonSettings,
} from './ipvs-daemon-codec.ts';
import { MessageWriter } from './wire.ts';

type Write = (writer: MessageWriter) => void;
type Attributes = Readonly<Record<number, Write>>;

/** A message's payload: generic header, then what `write` adds. */
function payload(write: Write): Uint8Array {
  const writer = new MessageWriter(4096);
  writer.begin(30, 0, 1);
  writeCommand(writer, 1);
  write(writer);
  writer.end();
  return writer.bytes.slice(16, writer.length);
}

const nest =
  (type: number, attributes: Attributes): Write =>
  (writer) => {
    const mark = writer.beginNest(type);
    for (const write of Object.values(attributes)) write(writer);
    writer.endNest(mark);
  };
const u8 = (type: number, value: number): Attributes => ({ [type]: (writer) => writer.attrU8(type, value) });
const u16 = (type: number, value: number): Attributes => ({
  [type]: (writer) => writer.attrU16(type, value),
});
const u16Be = (type: number, value: number): Attributes => ({
  [type]: (writer) => writer.attrU16Be(type, value),
});
const u32 = (type: number, value: number): Attributes => ({
  [type]: (writer) => writer.attrU32(type, value),
});
const raw = (type: number, bytes: readonly number[]): Attributes => ({
  [type]: (writer) => writer.attrBytes(type, Uint8Array.from(bytes)),
});
const u64 = (value: bigint): number[] => [...new Uint8Array(BigUint64Array.of(value).buffer)];
const inner = (type: number, attributes: Attributes): Attributes => ({ [type]: nest(type, attributes) });
const without = (attributes: Attributes, ...types: number[]): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([type]) => !types.includes(Number(type))));

const HIGH = 0xffff_ffff;
/** 32-bit counters n, byte counters (4 and 5, always 64-bit) n << 40. */
const NARROW: Attributes = Object.assign(
  {},
  ...[1, 2, 3, 6, 7, 8, 9, 10].map((type) => u32(type, type === 1 ? HIGH : type)),
  raw(4, u64(4n << 40n)),
  raw(5, u64(5n << 40n)),
  raw(11, []),
);
const WIDE: Attributes = Object.assign(
  {},
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((type) => raw(type, u64(BigInt(type) << 40n))),
);
const narrowStats = {
  connections: BigInt(HIGH),
  inPackets: 2n,
  outPackets: 3n,
  inBytes: 4n << 40n,
  outBytes: 5n << 40n,
  connectionsPerSecond: 6n,
  inPacketsPerSecond: 7n,
  outPacketsPerSecond: 8n,
  inBytesPerSecond: 9n,
  outBytesPerSecond: 10n,
};
const wideStats = Object.fromEntries(Object.keys(narrowStats).map((name, i) => [name, BigInt(i + 1) << 40n]));

const SERVICE: Attributes = {
  ...u16(1, 2),
  ...u16(2, 6),
  ...raw(3, [10, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  ...u16Be(4, 80),
  ...raw(6, [114, 114, 0]),
  ...raw(7, [3, 0, 0, 0, 255, 255, 255, 255]),
  ...u32(8, 60),
  ...raw(9, [255, 255, 255, 0]),
  ...inner(10, NARROW),
  ...inner(12, WIDE),
};
const decodedService = {
  family: 'IPv4',
  protocol: 6,
  address: '10.96.0.1',
  port: 80,
  scheduler: 'rr',
  flags: 1,
  timeoutSeconds: 60,
  netmask: 0xffffff00,
  stats: wideStats,
};
const serviceOf = (attributes: Attributes, withStats = true): unknown => {
  const bytes = payload(nest(1, attributes));
  return decodeService(bytes, 0, bytes.length, withStats);
};

const DESTINATION: Attributes = {
  ...raw(1, [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  ...u16Be(2, 8080),
  ...u32(3, 2),
  ...u32(4, 5),
  ...u32(5, 20),
  ...u32(6, 10),
  ...u32(7, 1),
  ...u32(8, 2),
  ...u32(9, 3),
  ...inner(10, NARROW),
  ...u16(11, 2),
  ...inner(12, WIDE),
  ...u8(13, 1),
  ...u16Be(14, 6080),
  ...u16(15, 1),
};
const decodedDestination = {
  address: '10.0.0.1',
  port: 8080,
  forwarding: 'tunnel',
  weight: 5,
  upperThreshold: 20,
  lowerThreshold: 10,
  tunnel: { type: 'gue', port: 6080, flags: 1 },
  activeConnections: 1,
  inactiveConnections: 2,
  persistentConnections: 3,
  stats: wideStats,
};
const destinationOf = (attributes: Attributes, withStats = true): unknown => {
  const bytes = payload(nest(2, attributes));
  return decodeDestination(bytes, 0, bytes.length, 'IPv4', withStats);
};

describe('a service', () => {
  it('is read from all its attributes', () => {
    expect(serviceOf(SERVICE)).toEqual(decodedService);
    expect(serviceOf(SERVICE, false)).toEqual({ ...decodedService, stats: null });
  });

  it('takes its counters from the 32-bit statistics of kernels without the others', () => {
    expect(serviceOf(without(SERVICE, 12))).toEqual({ ...decodedService, stats: narrowStats });
    expect(serviceOf(without(SERVICE, 10))).toEqual(decodedService);
    expect(() => serviceOf(without(SERVICE, 10, 12))).toThrow('IPVS service lacks attribute 10');
    expect(serviceOf(without(SERVICE, 10, 12), false)).toEqual({ ...decodedService, stats: null });
  });

  it.each([1, 2, 3, 4, 6, 7, 8, 9])('without attribute %i is a protocol error that names it', (type) => {
    expect(() => serviceOf(without(SERVICE, type))).toThrow(
      expect.objectContaining({
        code: 'KERNEL_PROTOCOL',
        message: `cannot decode a netlink reply: IPVS service lacks attribute ${type}`,
      }),
    );
  });

  it('with a firewall mark needs no address', () => {
    const { protocol, address, port, ...rest } = decodedService;
    expect(serviceOf({ ...without(SERVICE, 2, 3, 4), ...u32(5, HIGH) })).toEqual({ ...rest, fwmark: HIGH });
    expect([protocol, address, port]).toEqual([6, '10.96.0.1', 80]);
  });

  it.each([
    ['another address family', { ...SERVICE, ...u16(1, 7) }, 'address family 7'],
    ['an IPv6 address of four bytes', { ...SERVICE, ...u16(1, 10), ...raw(3, [1, 2, 3, 4]) }, 'has 4 bytes'],
    ['a short timeout', { ...SERVICE, ...u16(8, 1) }, 'attribute 8 has 2 bytes instead of 4'],
    ['short counters', { ...SERVICE, ...inner(12, NARROW) }, 'IPVS statistics: attribute 1 has 4 bytes'],
    ['no counters at all', { ...SERVICE, ...inner(12, {}) }, 'IPVS statistics lacks attribute 1'],
  ])('with %s is a protocol error', (_, attributes, text) => {
    expect(() => serviceOf(attributes)).toThrow(expect.objectContaining({ code: 'KERNEL_PROTOCOL' }));
    expect(() => serviceOf(attributes)).toThrow(text);
  });

  it('keeps flag bits that it does not know, as a number above zero', () => {
    const flags = raw(7, [255, 255, 255, 255, 255, 255, 255, 255]);
    expect(serviceOf({ ...SERVICE, ...flags })).toMatchObject({ flags: 0xfffffffd });
  });
});

describe('a real server', () => {
  it('is read from all its attributes', () => {
    expect(destinationOf(DESTINATION)).toEqual(decodedDestination);
    expect(destinationOf(without(DESTINATION, 12))).toEqual({ ...decodedDestination, stats: narrowStats });
    expect(() => destinationOf(without(DESTINATION, 10, 12))).toThrow('IPVS destination lacks attribute 10');
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9])('without attribute %i is a protocol error that names it', (type) => {
    expect(() => destinationOf(without(DESTINATION, type))).toThrow(
      expect.objectContaining({
        code: 'KERNEL_PROTOCOL',
        message: `cannot decode a netlink reply: IPVS destination lacks attribute ${type}`,
      }),
    );
  });

  it('without a family has that of its service, and without tunnel attributes those of older kernels', () => {
    expect(destinationOf(without(DESTINATION, 11))).toEqual(decodedDestination);
    const { tunnel, ...rest } = decodedDestination;
    expect(destinationOf(without(DESTINATION, 13, 14, 15))).toEqual(rest);
    expect(destinationOf(without(DESTINATION, 15))).toEqual({ ...rest, tunnel: { ...tunnel, flags: 0 } });
    expect(destinationOf(without(DESTINATION, 14, 15))).toEqual({
      ...rest,
      tunnel: { ...tunnel, port: 0, flags: 0 },
    });
  });

  it.each([
    [0, 'masquerade'],
    [1, 'localnode'],
    [2, 'tunnel'],
    [3, 'directRoute'],
    [4, 'bypass'],
    // Bits above the lowest three are flags of a connection.
    [0x103, 'directRoute'],
  ])('with forwarding method %i is %s', (number, forwarding) => {
    expect(destinationOf({ ...DESTINATION, ...u32(3, number) })).toMatchObject({ forwarding });
  });

  it('with a method or family that does not exist is a protocol error', () => {
    expect(() => destinationOf({ ...DESTINATION, ...u32(3, 5) })).toThrow('forwarding method 5');
    expect(() => destinationOf({ ...DESTINATION, ...u16(11, 0) })).toThrow('address family 0');
  });
});

const port = fc.integer({ min: 0, max: 0xffff });
const number = fc.integer({ min: 0, max: HIGH });
const group = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => decodeIp(bytes, 0, 'IPv4')),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => decodeIp(bytes, 0, 'IPv6')),
);

describe('the rest of the family', () => {
  it('reads back every sync daemon that it writes', () => {
    const daemon = fc.record({
      role: fc.constantFrom('master' as const, 'backup' as const),
      interfaceName: fc.stringMatching(/^[!-~]{1,15}$/),
      syncId: number,
      maxLengthBytes: port,
      multicastGroup: group,
      multicastPort: port,
      multicastTtl: fc.nat(255),
    });
    fc.assert(
      fc.property(daemon, (value) => {
        const bytes = payload((writer) => encodeDaemon(writer, value));
        expect(decodeDaemon(bytes, 0, bytes.length)).toEqual(value);
      }),
    );
  });

  it('writes no attribute of a daemon that the kernel shall choose', () => {
    const few: IpvsDaemonSettings = { role: 'backup', interfaceName: 'd0', syncId: 0 };
    const bytes = payload((writer) => encodeDaemon(writer, few));
    expect(() => decodeDaemon(bytes, 0, bytes.length)).toThrow('IPVS daemon lacks attribute 5');
    const full = { ...few, multicastGroup: ip('ff02::1'), multicastPort: 1, multicastTtl: 1 };
    const wrong = payload((writer) => encodeDaemon(writer, { ...full, maxLengthBytes: undefined }));
    expect(() => decodeDaemon(wrong, 0, wrong.length)).toThrow('IPVS daemon lacks attribute 4');
  });

  it.each([0, 3])('refuses a daemon in state %i', (state) => {
    const bytes = payload(nest(3, u32(1, state)));
    expect(() => decodeDaemon(bytes, 0, bytes.length)).toThrow(`IPVS daemon state ${state}`);
  });

  it('reads back all timeouts that it writes, and asks for all three', () => {
    const timeouts = fc.record({ tcpSeconds: number, tcpFinSeconds: number, udpSeconds: number });
    fc.assert(
      fc.property(timeouts, (value) => {
        const bytes = payload((writer) => encodeTimeouts(writer, value));
        expect(decodeTimeouts(bytes, 0, bytes.length)).toEqual(value);
      }),
    );
    const two = payload((writer) => encodeTimeouts(writer, { tcpSeconds: 1, udpSeconds: 3 }));
    expect(() => decodeTimeouts(two, 0, two.length)).toThrow('IPVS message lacks attribute 5');
    expect(payload((writer) => encodeTimeouts(writer, {}))).toHaveLength(4);
  });

  it('reads info', () => {
    const bytes = payload((writer) => {
      writer.attrU32(1, 0x010201);
      writer.attrU32(2, 4096);
    });
    expect(decodeInfo(bytes, 0, bytes.length)).toEqual({ version: 0x010201, connectionTableSize: 4096 });
    expect(() => decodeInfo(bytes, 0, 12)).toThrow('IPVS message lacks attribute 2');
    expect(() => decodeInfo(bytes, 0, 4)).toThrow('IPVS message lacks attribute 1');
    expect(() => decodeInfo(bytes, 0, 0)).toThrow('IPVS message lacks attribute 1');
  });
});
