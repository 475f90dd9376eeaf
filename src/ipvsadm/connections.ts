// The kernel's list of connections (/proc/net/ip_vs_conn) as values, and as the text of -L -c. Pure.
// Source: net/netfilter/ipvs/ip_vs_conn.c (ip_vs_conn_seq_show); ipvsadm 1.31's output (test/ipvsadm/transcripts).

import { PROTOCOL_NUMBER } from '../kernel/ipvs-codec.ts';
import { decodeIp, type IpAddress } from '../model/ip.ts';
import type { EndpointFormatter } from './endpoint-text.ts';

/** Where the kernel lists them. */
export const CONNECTIONS_FILE = '/proc/net/ip_vs_conn';

export interface Connection {
  /** As the kernel writes it: "TCP", "UDP", "SCTP". */
  readonly protocol: string;
  readonly clientAddress: IpAddress;
  readonly clientPort: number;
  readonly virtualAddress: IpAddress;
  readonly virtualPort: number;
  readonly serverAddress: IpAddress;
  readonly serverPort: number;
  /** "ESTABLISHED", "ASSURED" (a persistence template in use), ... */
  readonly state: string;
  readonly expiresSeconds: number;
  readonly persistenceEngine: string | undefined;
  readonly persistenceData: string | undefined;
}

/** Every connection of the kernel's text, in its order; lines that are none are left out. */
export function* parseConnections(text: string): Generator<Connection> {
  let start = text.indexOf('\n') + 1;
  while (start > 0 && start < text.length) {
    const end = text.indexOf('\n', start);
    const line = text.slice(start, end < 0 ? undefined : end);
    start = end + 1;
    const connection = parseConnection(line);
    if (connection !== null) yield connection;
  }
}

function parseConnection(line: string): Connection | null {
  const [
    protocol,
    client,
    clientPort,
    virtual,
    virtualPort,
    server,
    serverPort,
    state,
    expires,
    engine,
    data,
  ] = line.split(' ').filter((word) => word !== '');
  if (protocol === undefined || state === undefined || expires === undefined) return null;
  const clientAddress = parseAddress(client);
  const virtualAddress = parseAddress(virtual);
  const serverAddress = parseAddress(server);
  if (clientAddress === null || virtualAddress === null || serverAddress === null) return null;
  return {
    protocol,
    clientAddress,
    clientPort: Number.parseInt(clientPort ?? '', 16),
    virtualAddress,
    virtualPort: Number.parseInt(virtualPort ?? '', 16),
    serverAddress,
    serverPort: Number.parseInt(serverPort ?? '', 16),
    state,
    expiresSeconds: Number.parseInt(expires, 10),
    persistenceEngine: engine,
    persistenceData: data,
  };
}

/** "AC1E0002" or eight groups of four hexadecimal digits. */
function parseAddress(text: string | undefined): IpAddress | null {
  if (text === undefined) return null;
  const digits = text.replaceAll(':', '');
  if (!/^(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{32})$/.test(digits)) return null;
  return decodeIp(Buffer.from(digits, 'hex'), 0, digits.length === 8 ? 'IPv4' : 'IPv6');
}

/** The two lines above the connections. */
export function formatConnectionTitles(hasPersistenceColumns: boolean): string {
  const head = `pro expire ${'state'.padEnd(11)} ${'source'.padEnd(18)} ${'virtual'.padEnd(18)} `;
  const tail = hasPersistenceColumns
    ? `${'destination'.padEnd(18)} ${'pe name'.padEnd(16)} pe_data`
    : 'destination';
  return `IPVS connection entries\n${head}${tail}\n`;
}

/** The line of one connection, with its line feed. */
export function formatConnection(
  connection: Connection,
  hasPersistenceColumns: boolean,
  endpoints: EndpointFormatter,
): string {
  const { protocol, state, expiresSeconds, persistenceEngine, persistenceData } = connection;
  const number = PROTOCOL_NUMBER[protocol as keyof typeof PROTOCOL_NUMBER] ?? 0;
  const minutes = String(Math.floor(expiresSeconds / 60)).padStart(2, '0');
  const expire = `${minutes}:${String(expiresSeconds % 60).padStart(2, '0')}`;
  const client = endpoints.format(connection.clientAddress, connection.clientPort, number);
  const virtual = endpoints.format(connection.virtualAddress, connection.virtualPort, number);
  const server = endpoints.format(connection.serverAddress, connection.serverPort, number);
  const head = `${protocol.padEnd(3)} ${expire.padEnd(6)} ${state.padEnd(11)} ${client.padEnd(18)} ${virtual.padEnd(18)} `;
  if (!hasPersistenceColumns || persistenceEngine === undefined || persistenceData === undefined)
    return `${head}${server}\n`;
  return `${head}${server.padEnd(16)} ${persistenceEngine.padEnd(18)} ${persistenceData}\n`;
}
