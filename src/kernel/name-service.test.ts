// Names as this machine's C library resolves them.

import { describe, expect, it } from 'vitest';
import { decodeIp } from '../model/ip.ts';
import { systemNames } from './name-service.ts';

const LOOPBACK = decodeIp(Uint8Array.of(127, 0, 0, 1), 0, 'IPv4');

describe("the machine's names", () => {
  it('know the host of every machine, both ways', () => {
    expect(systemNames.addressOfHost('localhost')).toBe(LOOPBACK);
    expect(systemNames.addressOfHost('127.1')).toBe(LOOPBACK);
    expect(systemNames.hostOfAddress(LOOPBACK)).toBe('localhost');
  });

  it.each([
    ['http', 'tcp', 80],
    ['domain', 'udp', 53],
    ['ntp', 'udp', 123],
  ] as const)('know %s over %s as port %d, both ways', (name, transport, port) => {
    expect(systemNames.portOfService(name, transport)).toBe(port);
    expect(systemNames.serviceOfPort(port, transport)).toBe(name);
  });

  it('give null for what has no name, or is none', () => {
    expect(systemNames.portOfService('no-such-service', 'tcp')).toBeNull();
    expect(systemNames.portOfService('http\0', 'tcp')).toBeNull();
    expect(systemNames.serviceOfPort(47, 'sctp')).toBeNull();
    expect(systemNames.addressOfHost('')).toBeNull();
    expect(systemNames.addressOfHost('localhost\0.example')).toBeNull();
  });
});
