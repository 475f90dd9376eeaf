// Arbitrary tables of virtual services and real servers: all that the kernel can hold, also what no option of ipvsadm 1.31 makes.

import fc from 'fast-check';
import {
  fullNetmask,
  type IpvsDestination,
  type IpvsDestinationState,
  type IpvsService,
  type IpvsServiceState,
  type ServiceKey,
} from '../src/kernel/ipvs-codec.ts';
import type { Family, IpAddress } from '../src/model/ip.ts';

const V4 = ['10.0.0.1', '10.96.0.10', '192.168.1.1', '127.0.0.1', '255.255.255.254'] as IpAddress[];
const V6 = [
  'fd00::1',
  'fd96::10',
  '2001:db8:1111:2222:3333:4444:5555:6666',
  '::1',
  '::ffff:10.0.0.1',
] as IpAddress[];
const port = fc.oneof(fc.constantFrom(0, 53, 80, 443, 65535), fc.nat(65535));
const address = (family: Family): fc.Arbitrary<IpAddress> =>
  fc.constantFrom(...(family === 'IPv4' ? V4 : V6));

export const serviceKey: fc.Arbitrary<ServiceKey> = fc.constantFrom<Family>('IPv4', 'IPv6').chain((family) =>
  fc.oneof<fc.Arbitrary<ServiceKey>[]>(
    fc.record({
      family: fc.constant(family),
      protocol: fc.oneof(fc.constantFrom(6, 17, 132), fc.nat(65535)),
      address: address(family),
      port,
    }),
    fc.record({ family: fc.constant(family), fwmark: fc.integer({ min: 1, max: 0xffffffff }) }),
  ),
);

/** A service with any settings; flags without the kernel's own HASHED. */
export const service: fc.Arbitrary<IpvsService> = serviceKey.chain((key) =>
  fc
    .record({
      scheduler: fc.constantFrom('rr', 'wlc', 'sh', 'mh', 'none'),
      flags: fc.oneof(fc.nat(0x3f), fc.nat(0x7fffffff)).map((flags) => (flags & ~2) >>> 0),
      timeoutSeconds: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2678400 })),
      netmask: fc.oneof(
        fc.constant(fullNetmask(key.family)),
        key.family === 'IPv4' ? fc.nat(0xffffffff) : fc.integer({ min: 1, max: 128 }),
      ),
      persistenceEngine: fc.option(fc.constant('sip'), { nil: undefined }),
    })
    .map(({ persistenceEngine, ...settings }) => ({
      ...key,
      ...settings,
      ...(persistenceEngine === undefined ? {} : { persistenceEngine }),
    })),
);

/** A real server for a service of `family`, with any settings. */
export function destination(family: Family): fc.Arbitrary<IpvsDestination> {
  return fc.constantFrom('masquerade', 'localnode', 'tunnel', 'directRoute', 'bypass').chain((forwarding) =>
    fc.record({
      // Only tunnels cross families.
      address: forwarding === 'tunnel' ? fc.constantFrom(...V4, ...V6) : address(family),
      port,
      forwarding: fc.constant(forwarding),
      weight: fc.oneof(fc.constantFrom(0, 1), fc.nat(0x7fffffff)),
      upperThreshold: fc.oneof(fc.constant(0), fc.nat(0x7fffffff)),
      lowerThreshold: fc.oneof(fc.constant(0), fc.nat(0x7fffffff)),
      ...(forwarding === 'tunnel'
        ? {
            tunnel: fc.record({
              type: fc.constantFrom('ipip', 'gue', 'gre'),
              port: fc.oneof(fc.constant(0), fc.nat(65535)),
              flags: fc.oneof(fc.nat(3), fc.nat(0xffff)),
            }),
          }
        : {}),
    }),
  ) as fc.Arbitrary<IpvsDestination>;
}

/** A service as the kernel tells it. */
export function serviceState(configured: IpvsService): IpvsServiceState {
  return { ...configured, stats: null };
}

/** A real server as the kernel tells it, without connections. */
export function destinationState(configured: IpvsDestination): IpvsDestinationState {
  return {
    ...configured,
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    stats: null,
  };
}
