// What the guest program of top-drain and its test both need to know: how much traffic is made, and the operations whose refusals the
// stand-in of the unit tests is held to. Data only.

import type { IpvsOperation } from '../../src/kernel/ipvs.ts';
import type { IpvsDestination, IpvsService, ServiceKey } from '../../src/kernel/ipvs-codec.ts';
import { realServer, serviceKey } from '../fake-ipvs-table.ts';

/** Connections that are made between two readings. */
export const TRAFFIC = 40;

const KEY = serviceKey('10.96.9.1', 80);
const KEY6 = serviceKey('fd96::9', 80);
const UNKNOWN = serviceKey('10.96.9.9', 80);
const SERVER = realServer('10.244.1.11', 80);

const service = (key: ServiceKey, settings: Partial<IpvsService> = {}): IpvsService =>
  ({
    ...key,
    scheduler: 'rr',
    flags: 0,
    timeoutSeconds: 0,
    netmask: key.family === 'IPv4' ? 0xffffffff : 128,
    ...settings,
  }) as IpvsService;
const server = (settings: Partial<IpvsDestination>): IpvsDestination => ({ ...SERVER, ...settings });

/** In this order, on one table. */
export const REFUSALS: readonly { readonly name: string; readonly operation: IpvsOperation }[] = [
  { name: 'a service is made', operation: { op: 'NEW_SERVICE', service: service(KEY) } },
  { name: 'a service is made twice', operation: { op: 'NEW_SERVICE', service: service(KEY) } },
  {
    name: 'a known service with an unknown scheduler',
    operation: { op: 'NEW_SERVICE', service: service(KEY, { scheduler: 'nope' }) },
  },
  {
    name: 'an unknown scheduler',
    operation: { op: 'NEW_SERVICE', service: service(UNKNOWN, { scheduler: 'nope' }) },
  },
  {
    name: 'an unknown persistence engine',
    operation: { op: 'NEW_SERVICE', service: service(UNKNOWN, { persistenceEngine: 'nope' }) },
  },
  { name: 'an IPv6 service', operation: { op: 'NEW_SERVICE', service: service(KEY6) } },
  {
    name: 'an IPv6 netmask of 0',
    operation: { op: 'SET_SERVICE', service: service(KEY6, { netmask: 0, flags: 1 }) },
  },
  { name: 'a change of an unknown service', operation: { op: 'SET_SERVICE', service: service(UNKNOWN) } },
  {
    name: 'a change of an unknown service to an unknown scheduler',
    operation: { op: 'SET_SERVICE', service: service(UNKNOWN, { scheduler: 'nope' }) },
  },
  { name: 'a server is made', operation: { op: 'NEW_DEST', service: KEY, destination: SERVER } },
  { name: 'a server is made twice', operation: { op: 'NEW_DEST', service: KEY, destination: SERVER } },
  {
    name: 'a server of an unknown service',
    operation: { op: 'NEW_DEST', service: UNKNOWN, destination: SERVER },
  },
  {
    name: 'a change of an unknown server',
    operation: { op: 'SET_DEST', service: KEY, destination: server({ port: 81 }) },
  },
  {
    name: 'a change in an unknown service',
    operation: { op: 'SET_DEST', service: UNKNOWN, destination: SERVER },
  },
  {
    name: 'a weight beyond 31 bits',
    operation: { op: 'SET_DEST', service: KEY, destination: server({ weight: 2147483648 }) },
  },
  {
    name: 'the largest weight',
    operation: { op: 'SET_DEST', service: KEY, destination: server({ weight: 2147483647 }) },
  },
  {
    name: 'thresholds the wrong way round',
    operation: {
      op: 'SET_DEST',
      service: KEY,
      destination: server({ upperThreshold: 1, lowerThreshold: 2 }),
    },
  },
  {
    name: 'a known server with a weight beyond 31 bits',
    operation: { op: 'NEW_DEST', service: KEY, destination: server({ weight: 2147483648 }) },
  },
  {
    name: 'a multicast server',
    operation: {
      op: 'NEW_DEST',
      service: KEY,
      destination: server({ address: realServer('224.0.0.9', 1).address }),
    },
  },
  {
    name: 'a server of another family without a tunnel',
    operation: {
      op: 'NEW_DEST',
      service: KEY,
      destination: server({ address: realServer('fd00:10:244:1::11', 1).address }),
    },
  },
  {
    name: 'deletion of an unknown server',
    operation: { op: 'DEL_DEST', service: KEY, destination: server({ port: 81 }) },
  },
  { name: 'deletion of a server', operation: { op: 'DEL_DEST', service: KEY, destination: SERVER } },
  { name: 'deletion of a server twice', operation: { op: 'DEL_DEST', service: KEY, destination: SERVER } },
  { name: 'reset of an unknown service', operation: { op: 'ZERO', service: UNKNOWN } },
  { name: 'reset of a service', operation: { op: 'ZERO', service: KEY } },
  { name: 'deletion of a service', operation: { op: 'DEL_SERVICE', service: KEY } },
  { name: 'deletion of a service twice', operation: { op: 'DEL_SERVICE', service: KEY } },
  {
    name: 'timeouts',
    operation: { op: 'SET_CONFIG', timeouts: { tcpSeconds: 800, tcpFinSeconds: 0, udpSeconds: 0 } },
  },
  {
    name: 'a timeout that is too large',
    operation: { op: 'SET_CONFIG', timeouts: { tcpSeconds: 2147483647, tcpFinSeconds: 0, udpSeconds: 0 } },
  },
  { name: 'end of a daemon that does not run', operation: { op: 'DEL_DAEMON', role: 'backup' } },
];
