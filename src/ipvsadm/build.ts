// The checks that span options, the defaults, and the request that a valid command line makes. Pure. The order of checks is the
// original's (ipvsadm 1.31, by behaviour: test/ipvsadm).

import {
  SERVICE_FLAG,
  type DestinationKey,
  type IpvsDestination,
  type IpvsService,
  type ServiceKey,
} from '../kernel/ipvs-codec.ts';
import type { Entry } from './entry.ts';
import {
  DEFAULT_MULTICAST_INTERFACE,
  DEFAULT_SCHEDULER,
  TUNNEL_COMBINATIONS,
  type OptionName,
} from './grammar.ts';
import { checkCombination } from './combination.ts';
import { fail } from './refusal.ts';
import type { ListFormat, ListStyle, ListTarget, Request } from './request.ts';

const UDP = 17;
const TUNNEL_OPTIONS: readonly OptionName[] = [
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
];

/** Styles by falling precedence, whatever their order on the command line. */
const STYLES: readonly ListStyle[] = ['stats', 'rate', 'thresholds', 'persistent-conn', 'tun-info'];

/** The request of an entry whose options go with its command. Throws Refused. */
export function buildRequest(entry: Entry): Request {
  const { command } = entry;
  switch (command) {
    case 'add-service':
    case 'edit-service':
      checkService(entry);
      return {
        kind: 'operation',
        operation: {
          op: command === 'add-service' ? 'NEW_SERVICE' : 'SET_SERVICE',
          service: serviceOf(entry),
        },
      };
    case 'delete-service':
      return { kind: 'operation', operation: { op: 'DEL_SERVICE', service: keyOf(entry) } };
    case 'add-server':
    case 'edit-server': {
      fixPort(entry);
      checkServer(entry);
      return {
        kind: 'operation',
        operation: {
          op: command === 'add-server' ? 'NEW_DEST' : 'SET_DEST',
          service: keyOf(entry),
          destination: destinationOf(entry),
        },
      };
    }
    case 'delete-server':
      return {
        kind: 'operation',
        operation: { op: 'DEL_DEST', service: keyOf(entry), destination: destinationKeyOf(entry) },
      };
    case 'flush':
      return { kind: 'operation', operation: { op: 'FLUSH' } };
    case 'zero':
      return {
        kind: 'operation',
        operation: { op: 'ZERO', service: entry.options.includes('service-address') ? keyOf(entry) : null },
      };
    case 'set':
      return { kind: 'operation', operation: { op: 'SET_CONFIG', timeouts: entry.timeouts ?? {} } };
    case 'start-daemon': {
      const { interfaceName, ...daemon } = entry.daemon;
      return {
        kind: 'operation',
        operation: {
          op: 'NEW_DAEMON',
          daemon: { ...daemon, interfaceName: interfaceName || DEFAULT_MULTICAST_INTERFACE },
        },
      };
    }
    case 'stop-daemon':
      return { kind: 'operation', operation: { op: 'DEL_DAEMON', role: entry.daemon.role } };
    case 'list':
      return listRequest(entry);
    case 'save':
      return {
        kind: 'save',
        isNumeric: entry.options.includes('numeric'),
        isCompatible: entry.ours.includes('compat'),
      };
    case 'restore':
      return { kind: 'restore' };
  }
}

function checkService({ service, ours }: Entry): void {
  // Whoever names the flags as a number gets what the kernel takes.
  if (ours.includes('flags')) return;
  const isPersistent = (service.flags & SERVICE_FLAG.PERSISTENT) !== 0;
  if (service.fwmark === 0 && service.port === 0 && !isPersistent)
    throw fail('Zero port specified for non-persistent service');
  if ((service.flags & SERVICE_FLAG.ONEPACKET) !== 0 && service.fwmark === 0 && service.protocol !== UDP)
    throw fail('One-Packet Scheduling is only for UDP virtual services');
}

/** Behind direct routing and tunnels a server has the port of its service; the wire never shows another. */
function fixPort({ service, destination, ours }: Entry): void {
  const { forwarding } = destination;
  if (service.fwmark !== 0 || ours.includes('keep-port')) return;
  if (forwarding === 'tunnel' || forwarding === 'directRoute') destination.port = service.port;
}

function checkServer({ service, destination, options, ours }: Entry): void {
  const isTunnel = destination.forwarding === 'tunnel';
  const family = destination.address.includes(':') ? 'IPv6' : 'IPv4';
  if (family !== service.family && !isTunnel)
    throw fail('Different address family is allowed only for tunneling servers');
  const given = TUNNEL_OPTIONS.filter((name) => options.includes(name));
  if ((given.length > 0 || ours.includes('tun-flags')) && !isTunnel)
    throw fail('Tunnel options conflict with forward method');
  if (given.length === 0 || ours.includes('tun-flags')) return;
  const type = destination.tunnelType;
  checkCombination(TUNNEL_COMBINATIONS[type], given, `the '${type}' tunnel type`);
}

/** The identity of the service that the command line names. */
export function keyOf({ service }: Entry): ServiceKey {
  const { family, protocol, address, port, fwmark } = service;
  return fwmark === 0 ? { family, protocol, address, port } : { family, fwmark };
}

function serviceOf(entry: Entry): IpvsService {
  const { scheduler, flags, timeoutSeconds, netmask, persistenceEngine } = entry.service;
  return {
    ...keyOf(entry),
    scheduler: scheduler === '' ? DEFAULT_SCHEDULER : scheduler,
    flags,
    timeoutSeconds,
    netmask,
    ...(persistenceEngine === '' ? {} : { persistenceEngine }),
  };
}

function destinationKeyOf({ destination }: Entry): DestinationKey {
  return { address: destination.address, port: destination.port };
}

function destinationOf(entry: Entry): IpvsDestination {
  const { forwarding, weight, upperThreshold, lowerThreshold, tunnelType, tunnelPort, tunnelFlags } =
    entry.destination;
  return {
    ...destinationKeyOf(entry),
    forwarding,
    weight,
    upperThreshold,
    lowerThreshold,
    ...(forwarding === 'tunnel'
      ? { tunnel: { type: tunnelType, port: tunnelPort, flags: tunnelFlags } }
      : {}),
  };
}

function listRequest(entry: Entry): Request {
  const { options, ours } = entry;
  const has = (...names: OptionName[]): boolean => names.some((name) => options.includes(name));
  if (
    (has('connection', 'timeout', 'daemon') && has('stats', 'rate', 'thresholds')) ||
    (has('timeout', 'daemon') && has('persistent-conn'))
  )
    throw fail('options conflicts in the list command');
  const target: ListTarget = has('connection')
    ? 'connections'
    : has('timeout')
      ? 'timeouts'
      : has('daemon')
        ? 'daemons'
        : 'table';
  const format: ListFormat = {
    style: STYLES.find((style) => options.includes(style as OptionName)) ?? 'default',
    isNumeric: has('numeric'),
    isExact: has('exact'),
    isUnsorted: has('nosort'),
    isJson: ours.includes('json'),
  };
  return {
    kind: 'list',
    target,
    service: has('service-address') ? keyOf(entry) : null,
    format,
  };
}
