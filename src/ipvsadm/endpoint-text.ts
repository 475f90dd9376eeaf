// ADDRESS[:PORT] as the original reads and writes it: numbers in any form of inet_aton(3), IPv6 in brackets, names of hosts and
// services. Pure but for the name service it is given. Source: ipvsadm(8), measured with ipvsadm 1.31 (test/ipvsadm).

import type { NameService, ServiceTransport } from '../kernel/name-service.ts';
import type { IpAddress } from '../model/ip.ts';
import { PROTOCOL_NUMBER, type ServiceKey } from '../kernel/ipvs-codec.ts';
import { formatAddress, formatIpv4Number, inetAton, inetPton6, parseNumber, plainIpv4End } from './values.ts';

export interface EndpointText {
  readonly address: IpAddress;
  /** Undefined when the text names none. */
  readonly port: number | undefined;
}

/** Text longer than this is cut, as in the original. */
const MAX_NAME_LENGTH = 59;

/** The name of a protocol in /etc/services, or null for one that the original does not know. */
export function transportOf(protocol: number): ServiceTransport | null {
  if (protocol === PROTOCOL_NUMBER.TCP) return 'tcp';
  if (protocol === PROTOCOL_NUMBER.UDP) return 'udp';
  return protocol === PROTOCOL_NUMBER.SCTP ? 'sctp' : null;
}

/** The protocol that names of ports belong to; 0, which has none, behind a firewall mark. */
export function protocolOf(key: ServiceKey): number {
  return key.fwmark === undefined ? key.protocol : 0;
}

/** Reads ADDRESS[:PORT], or gives null. A port's name is looked up for `protocol`. */
export function parseEndpoint(text: string, protocol: number, names: NameService): EndpointText | null {
  const end = plainIpv4End(text);
  if (end === text.length) return { address: text as IpAddress, port: undefined };
  if (end > 0 && text[end] === ':') {
    const port = parseNumber(text.slice(end + 1), 0, 65535);
    if (port !== null) return { address: text.slice(0, end) as IpAddress, port };
  }
  return parseAnyEndpoint(text, protocol, names);
}

function parseAnyEndpoint(text: string, protocol: number, names: NameService): EndpointText | null {
  if (/^[0-9]*$/.test(text)) return null;
  let host = text;
  let portText: string | undefined;
  if (text.startsWith('[')) {
    const end = text.indexOf(']');
    if (end < 0 || text[end + 1] !== ':') return null;
    host = text.slice(1, end);
    portText = text.slice(end + 2);
  }
  let address = inetPton6(host);
  if (address === null) {
    // IPv4 in brackets loses its port, because the port is looked for again in what the brackets held.
    const colon = host.lastIndexOf(':');
    portText = colon < 0 ? undefined : host.slice(colon + 1);
    if (colon >= 0) host = host.slice(0, colon);
    const number = inetAton(host);
    address = number === null ? names.addressOfHost(host) : formatIpv4Number(number);
    if (address === null) return null;
  }
  if (portText === undefined) return { address, port: undefined };
  const port = parseNumber(portText, 0, 65535) ?? portOfName(portText, protocol, names);
  return port === null ? null : { address, port };
}

function portOfName(name: string, protocol: number, names: NameService): number | null {
  const transport = transportOf(protocol);
  return transport === null ? null : names.portOfService(name, transport);
}

/** Writes addresses and ports, as numbers or by name. Names are looked up once per value. */
export class EndpointFormatter {
  private readonly names: NameService | null;
  private readonly hosts = new Map<IpAddress, string>();
  private readonly services = new Map<number, string>();

  /** `names` null = numbers only. */
  constructor(names: NameService | null) {
    this.names = names;
  }

  /** "10.0.0.1:80", "[fd00::1]:80" or "localhost:http". */
  format(address: IpAddress, port: number, protocol: number): string {
    const host = this.names === null ? formatAddress(address) : this.hostOf(address, this.names);
    const service = this.names === null ? String(port) : this.serviceOf(port, protocol, this.names);
    const text = address.includes(':') ? `[${host}]:${service}` : `${host}:${service}`;
    return this.names === null ? text : text.slice(0, MAX_NAME_LENGTH);
  }

  private hostOf(address: IpAddress, names: NameService): string {
    let host = this.hosts.get(address);
    if (host === undefined) {
      host = names.hostOfAddress(address) ?? formatAddress(address);
      this.hosts.set(address, host);
    }
    return host;
  }

  private serviceOf(port: number, protocol: number, names: NameService): string {
    const key = protocol * 0x10000 + port;
    let service = this.services.get(key);
    if (service === undefined) {
      const transport = transportOf(protocol);
      service = (transport === null ? null : names.serviceOfPort(port, transport)) ?? String(port);
      this.services.set(key, service);
    }
    return service;
  }
}
