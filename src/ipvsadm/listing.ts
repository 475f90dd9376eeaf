// The table as text for people: titles, a line per virtual service, a line per real server, in the original's columns to the byte
// (blanks at line ends included). Pure. Source: ipvsadm 1.31's output (test/ipvsadm/transcripts).

import {
  fullNetmask,
  SERVICE_FLAG,
  type ForwardingMethod,
  type IpvsDestinationState,
  type IpvsService,
  type IpvsServiceState,
  type IpvsStats,
} from '../kernel/ipvs-codec.ts';
import type { IpvsInfo } from '../kernel/ipvs-daemon-codec.ts';
import { protocolOf, type EndpointFormatter } from './endpoint-text.ts';
import { SCHEDULER_FLAG_NAMES } from './grammar.ts';
import { formatLargeNumber } from './large-number.ts';
import type { ListFormat, ListStyle } from './request.ts';
import { formatIpv4Number } from './values.ts';

/** Longest name of a service line, and of a server line, of a service over IPv4. */
const SERVICE_NAME_LENGTH = 33;
const SERVER_NAME_LENGTH = 28;

const PROTOCOL_COLUMN: Readonly<Record<number, string>> = { 6: 'TCP ', 17: 'UDP ', 132: 'SCTP' };

const FORWARD_COLUMN: Readonly<Record<ForwardingMethod, string>> = {
  masquerade: 'Masq',
  localnode: 'Local',
  tunnel: 'Tunnel',
  directRoute: 'Route',
  bypass: '(null)',
};

const left = (text: string | number | bigint, width: number): string => String(text).padEnd(width);
const right = (text: string | number | bigint, width: number): string => String(text).padStart(width);

/** "1.2.1". */
export function formatVersion({ version }: IpvsInfo): string {
  return `${version >> 16}.${(version >> 8) & 0xff}.${version & 0xff}`;
}

/** "IP Virtual Server version 1.2.1 (size=4096)\n". */
export function formatHeader(info: IpvsInfo): string {
  return `IP Virtual Server version ${formatVersion(info)} (size=${info.connectionTableSize})\n`;
}

/** The two title lines. */
export function formatTitles(style: ListStyle): string {
  return `${serviceTitle(style)}\n${serverTitle(style)}\n`;
}

function serviceTitle(style: ListStyle): string {
  const name = left('Prot LocalAddress:Port', SERVICE_NAME_LENGTH);
  switch (style) {
    case 'stats':
      return name + titles(['Conns', 'InPkts', 'OutPkts', 'InBytes', 'OutBytes']);
    case 'rate':
      return name + titles(['CPS', 'InPPS', 'OutPPS', 'InBPS', 'OutBPS']);
    case 'thresholds':
      return `${name} ${left('Uthreshold', 10)} ${left('Lthreshold', 10)} ${left('ActiveConn', 10)} ${left('InActConn', 10)}`;
    case 'persistent-conn':
      return `${name} ${left('Weight', 9)} ${left('PersistConn', 11)} ${left('ActiveConn', 10)} ${left('InActConn', 10)}`;
    default:
      return 'Prot LocalAddress:Port Scheduler Flags';
  }
}

const titles = (names: readonly string[]): string => names.map((name) => ` ${right(name, 8)}`).join('');

function serverTitle(style: ListStyle): string {
  if (style === 'default') return '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn';
  if (style === 'tun-info')
    return '  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn';
  return '  -> RemoteAddress:Port';
}

/** The line of a virtual service, with its line feed. */
export function formatService(
  service: IpvsServiceState,
  format: ListFormat,
  endpoints: EndpointFormatter,
): string {
  const name = serviceName(service, endpoints);
  if (format.style === 'stats' || format.style === 'rate') {
    const numbers = format.style === 'stats' ? counters(service.stats) : rates(service.stats);
    return `${left(name, SERVICE_NAME_LENGTH)}${largeNumbers(numbers, format.isExact)}\n`;
  }
  return `${name} ${service.scheduler}${serviceFlags(service)}\n`;
}

function serviceName(service: IpvsServiceState, endpoints: EndpointFormatter): string {
  if (service.fwmark !== undefined)
    return `FWM  ${service.fwmark | 0}${service.family === 'IPv6' ? ' IPv6' : ''}`;
  const endpoint = endpoints.format(service.address, service.port, service.protocol);
  const name = `${PROTOCOL_COLUMN[service.protocol] ?? '?   '} ${endpoint}`;
  return service.family === 'IPv6' ? name : name.slice(0, SERVICE_NAME_LENGTH);
}

function serviceFlags(service: IpvsServiceState): string {
  const { scheduler, flags, timeoutSeconds, persistenceEngine } = service;
  let text = '';
  const names = schedulerFlagNames(scheduler, flags);
  if (hasSchedulerFlags(flags)) text += ` (${names.join(',')})`;
  if ((flags & SERVICE_FLAG.PERSISTENT) !== 0) {
    text += ` persistent ${timeoutSeconds}`;
    const mask = netmaskText(service);
    if (mask !== null) text += ` mask ${mask}`;
    if (persistenceEngine !== undefined) text += ` pe ${persistenceEngine}`;
  }
  if ((flags & SERVICE_FLAG.ONEPACKET) !== 0) text += ' ops';
  return text;
}

/** True when any scheduler flag is set. */
export function hasSchedulerFlags(flags: number): boolean {
  return (flags & (SERVICE_FLAG.SCHED1 | SERVICE_FLAG.SCHED2 | SERVICE_FLAG.SCHED3)) !== 0;
}

/** The scheduler flags by the names that go with the scheduler; sh and mh have none for the third. */
export function schedulerFlagNames(scheduler: string, flags: number): string[] {
  const [first, second, third] = (SCHEDULER_FLAG_NAMES[scheduler] ?? SCHEDULER_FLAG_NAMES['']) as [
    string,
    string,
    string,
  ];
  const isNamed = scheduler in SCHEDULER_FLAG_NAMES && scheduler !== '';
  return [
    ...((flags & SERVICE_FLAG.SCHED1) !== 0 ? [first] : []),
    ...((flags & SERVICE_FLAG.SCHED2) !== 0 ? [second] : []),
    ...((flags & SERVICE_FLAG.SCHED3) !== 0 && !isNamed ? [third] : []),
  ];
}

/** The netmask of a service as -M takes it, or null when it keeps each client apart. */
export function netmaskText({ family, netmask }: IpvsService): string | null {
  if (netmask === fullNetmask(family)) return null;
  return family === 'IPv4' ? formatIpv4Number(netmask) : String(netmask);
}

/** The line of a real server, with its line feed. */
export function formatDestination(
  service: IpvsServiceState,
  server: IpvsDestinationState,
  format: ListFormat,
  endpoints: EndpointFormatter,
): string {
  const endpoint = endpoints.format(server.address, server.port, protocolOf(service));
  const cut = server.address.includes(':') ? endpoint : endpoint.slice(0, SERVER_NAME_LENGTH);
  return `  -> ${left(cut, SERVER_NAME_LENGTH)}${serverColumns(server, format)}\n`;
}

function serverColumns(server: IpvsDestinationState, format: ListFormat): string {
  const { weight, activeConnections: active, inactiveConnections: inactive } = server;
  const forward = left(FORWARD_COLUMN[server.forwarding], 7);
  const tail = ` ${left(active, 10)} ${left(inactive, 10)}`;
  switch (format.style) {
    case 'stats':
      return largeNumbers(counters(server.stats), format.isExact);
    case 'rate': {
      const [cps = 0n, inPps = 0n, outPps = 0n, ...bytes] = rates(server.stats);
      const packets = [cps, inPps, outPps].map((each) => ` ${right(BigInt.asUintN(32, each), 8)}`);
      return packets.join('') + largeNumbers(bytes, format.isExact);
    }
    case 'thresholds':
      return ` ${left(server.upperThreshold, 10)} ${left(server.lowerThreshold, 10)}${tail}`;
    case 'persistent-conn':
      return ` ${left(weight, 9)} ${left(server.persistentConnections, 11)}${tail}`;
    case 'tun-info':
      return ` ${forward} ${left(tunnelText(server), 13)} ${left(weight, 6)}${tail}`;
    case 'default':
      return ` ${forward} ${left(weight, 6)}${tail}`;
  }
}

const TUNNEL_FLAG_TEXT: Readonly<Record<number, string>> = { 0: '-c', 1: '+c', 2: 'r+c' };

function tunnelText({ tunnel }: IpvsDestinationState): string {
  if (tunnel === undefined) return 'n/a';
  const flags = TUNNEL_FLAG_TEXT[tunnel.flags] ?? '';
  if (tunnel.type === 'gue') return `gue:${tunnel.port}:${flags}`;
  return tunnel.type === 'gre' ? `gre:${flags}` : 'ipip';
}

function largeNumbers(numbers: readonly bigint[], isExact: boolean): string {
  return numbers.map((each) => formatLargeNumber(each, isExact)).join('');
}

function counters(stats: IpvsStats | null): bigint[] {
  if (stats === null) return [0n, 0n, 0n, 0n, 0n];
  return [stats.connections, stats.inPackets, stats.outPackets, stats.inBytes, stats.outBytes];
}

function rates(stats: IpvsStats | null): bigint[] {
  if (stats === null) return [0n, 0n, 0n, 0n, 0n];
  return [
    stats.connectionsPerSecond,
    stats.inPacketsPerSecond,
    stats.outPacketsPerSecond,
    stats.inBytesPerSecond,
    stats.outBytesPerSecond,
  ];
}
