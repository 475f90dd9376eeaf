// The table as rules for -R. In compatible form exactly what ipvsadm 1.31 prints; else also what that leaves out, so that whatever the
// kernel holds comes back: thresholds, masks without -p, and settings that only other programs make. Pure.

import {
  PROTOCOL_NUMBER,
  SERVICE_FLAG,
  type IpvsDestination,
  type IpvsService,
  type ServiceKey,
} from '../kernel/ipvs-codec.ts';
import { protocolOf, type EndpointFormatter } from './endpoint-text.ts';
import { hasSchedulerFlags, netmaskText, schedulerFlagNames } from './listing.ts';

const SERVICE_OPTION: Readonly<Record<number, string>> = { 6: '-t', 17: '-u', 132: '--sctp-service' };
const EXPRESSIBLE_FLAGS =
  SERVICE_FLAG.PERSISTENT |
  SERVICE_FLAG.ONEPACKET |
  SERVICE_FLAG.SCHED1 |
  SERVICE_FLAG.SCHED2 |
  SERVICE_FLAG.SCHED3;

/** "-t 10.96.0.1:443", "-f 7 -6": the service as an option. */
export function formatServiceOption(
  service: ServiceKey,
  endpoints: EndpointFormatter,
  isCompatible: boolean,
): string {
  if (service.fwmark !== undefined) {
    // The original prints the mark as a signed number, which it does not read back.
    const mark = isCompatible ? service.fwmark | 0 : service.fwmark;
    return `-f ${mark}${service.family === 'IPv6' ? ' -6' : ''}`;
  }
  const endpoint = endpoints.format(service.address, service.port, service.protocol);
  const option = SERVICE_OPTION[service.protocol];
  if (option !== undefined) return `${option} ${endpoint}`;
  return isCompatible ? `--xxx-service ${endpoint}` : `--protocol-service ${service.protocol},${endpoint}`;
}

/** The -A line of a service, with its line feed. */
export function formatAddService(
  service: IpvsService,
  endpoints: EndpointFormatter,
  isCompatible: boolean,
): string {
  const { scheduler, flags, timeoutSeconds, persistenceEngine } = service;
  const isPersistent = (flags & SERVICE_FLAG.PERSISTENT) !== 0;
  const isOnePacket = (flags & SERVICE_FLAG.ONEPACKET) !== 0;
  let line = `-A ${formatServiceOption(service, endpoints, isCompatible)} -s ${scheduler}`;
  const mask = netmaskText(service);
  if (isCompatible ? isPersistent : timeoutSeconds > 0) line += ` -p ${timeoutSeconds}`;
  if (mask !== null && (isPersistent || !isCompatible)) line += ` -M ${mask}`;
  if (persistenceEngine !== undefined) line += ` --pe ${persistenceEngine}`;
  if (isOnePacket) line += ' -o';
  if (hasSchedulerFlags(flags)) {
    const names = schedulerFlagNames(scheduler, flags);
    if (isCompatible || names.length > 0) line += ` -b ${names.join(',')}`;
  }
  if (!isCompatible && !isExpressible(service)) line += ` --flags 0x${flags.toString(16)}`;
  return `${line}\n`;
}

/** True when -p, -o and -b say all flags of the service, and the checks that go with them let it pass. */
function isExpressible(service: IpvsService): boolean {
  const { scheduler, flags, timeoutSeconds } = service;
  const isPersistent = (flags & SERVICE_FLAG.PERSISTENT) !== 0;
  const isOnePacket = (flags & SERVICE_FLAG.ONEPACKET) !== 0;
  if ((flags & ~EXPRESSIBLE_FLAGS) !== 0 || isPersistent !== timeoutSeconds > 0) return false;
  if (service.fwmark === undefined) {
    if (isOnePacket && service.protocol !== PROTOCOL_NUMBER.UDP) return false;
    if (service.port === 0 && !isPersistent) return false;
  }
  return (flags & SERVICE_FLAG.SCHED3) === 0 || schedulerFlagNames(scheduler, flags).includes('flag-3');
}

/** The -a line of a real server, with its line feed. */
export function formatAddServer(
  service: IpvsService,
  server: IpvsDestination,
  endpoints: EndpointFormatter,
  isCompatible: boolean,
): string {
  const name = formatServiceOption(service, endpoints, isCompatible);
  const endpoint = endpoints.format(server.address, server.port, protocolOf(service));
  let line = `-a ${name} -r ${endpoint} ${forwardingOption(server, isCompatible)} -w ${server.weight}`;
  if (!isCompatible) {
    if (server.upperThreshold > 0) line += ` -x ${server.upperThreshold}`;
    if (server.lowerThreshold > 0) line += ` -y ${server.lowerThreshold}`;
  }
  line += tunnelOptions(server, isCompatible);
  const isPortLost =
    service.fwmark === undefined &&
    server.port !== service.port &&
    (server.forwarding === 'tunnel' || server.forwarding === 'directRoute');
  if (isPortLost && !isCompatible) line += ' --keep-port';
  return `${line}\n`;
}

function forwardingOption({ forwarding }: IpvsDestination, isCompatible: boolean): string {
  if (forwarding === 'masquerade') return '-m';
  if (forwarding === 'tunnel') return '-i';
  if (isCompatible || forwarding === 'directRoute') return '-g';
  return `--forward ${forwarding === 'localnode' ? 'local' : 'bypass'}`;
}

const CHECKSUM_OPTION: Readonly<Record<number, string>> = {
  0: ' --tun-nocsum',
  1: ' --tun-csum',
  2: ' --tun-remcsum',
};

function tunnelOptions({ tunnel }: IpvsDestination, isCompatible: boolean): string {
  if (tunnel === undefined) return '';
  const { type, port, flags } = tunnel;
  const isPlain =
    type === 'ipip'
      ? port === 0 && flags === 0
      : type === 'gue'
        ? port > 0 && flags <= 2
        : port === 0 && flags <= 1;
  if (!isPlain && !isCompatible)
    return ` --tun-type ${type}${port > 0 ? ` --tun-port ${port}` : ''} --tun-flags 0x${flags.toString(16)}`;
  if (type === 'ipip') return ' --tun-type ipip';
  const checksum = CHECKSUM_OPTION[flags] ?? '';
  return type === 'gue' ? ` --tun-type gue --tun-port ${port}${checksum}` : ` --tun-type gre${checksum}`;
}
