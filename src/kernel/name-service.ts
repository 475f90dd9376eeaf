// Names of hosts and services as the machine resolves them: the C library's own functions, so that /etc/hosts, /etc/services,
// nsswitch.conf and its modules count exactly as for every other program. Calls block; they are for commands, not for the agent.
// Sources: gethostbyname(3), gethostbyaddr(3), getservbyname(3), getservbyport(3).

import { decodeIp, encodeIp, type IpAddress } from '../model/ip.ts';
import { gethostbyaddr, gethostbyname, getservbyname, getservbyport } from './libc.ts';

/** The transport names of /etc/services. */
export type ServiceTransport = 'tcp' | 'udp' | 'sctp';

/** Looks names up; null when there is none, or when the name service fails. */
export interface NameService {
  /** The first IPv4 address of a host name. */
  addressOfHost(name: string): IpAddress | null;
  /** The host name of an address of either family. */
  hostOfAddress(address: IpAddress): string | null;
  portOfService(name: string, transport: ServiceTransport): number | null;
  /** For a port from 0 to 65535. */
  serviceOfPort(port: number, transport: ServiceTransport): string | null;
}

/** A C string ends at its first NUL: a name with one inside is none. */
const isCString = (text: string): boolean => !text.includes('\0');

/** The machine's own name service. */
export const systemNames: NameService = {
  addressOfHost(name) {
    const bytes = isCString(name) ? gethostbyname(name) : null;
    return bytes === null ? null : decodeIp(bytes, 0, 'IPv4');
  },
  hostOfAddress(address) {
    const bytes = new Uint8Array(address.includes(':') ? 16 : 4);
    encodeIp(address, bytes, 0);
    return gethostbyaddr(bytes);
  },
  portOfService: (name, transport) => (isCString(name) ? getservbyname(name, transport) : null),
  serviceOfPort: (port, transport) => getservbyport(port, transport),
};
