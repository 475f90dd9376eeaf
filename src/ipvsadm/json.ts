// Listings for programs: the same facts as the text, under stable names in the field's terms. 64-bit counters are written as plain
// JSON numbers with all their digits. Pure.

import {
  SERVICE_FLAG,
  type IpvsDestinationState,
  type IpvsServiceState,
  type IpvsStats,
} from '../kernel/ipvs-codec.ts';
import type { IpvsInfo } from '../kernel/ipvs-daemon-codec.ts';
import { formatVersion, netmaskText, schedulerFlagNames } from './listing.ts';
import type { TableEntry } from './table.ts';

const PROTOCOL_NAME: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

/** In Node since 22, not yet in TypeScript's own library. */
const { rawJSON: rawJson } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };

/** JSON with two blanks of indentation and a line feed at the end. */
export function formatJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_, each: unknown) => (typeof each === 'bigint' ? rawJson(String(each)) : each),
    2,
  );
  return `${text}\n`;
}

/** JSON on one line, with its line feed: what a program reads while a command goes on. */
export function formatJsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** At most three decimals: more is noise. */
export function roundForJson(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** The whole table, or with `info` null the services that were asked for. */
export function formatTable(info: IpvsInfo | null, entries: readonly TableEntry[]): string {
  const head =
    info === null
      ? {}
      : {
          version: formatVersion(info),
          connectionTableSize: info.connectionTableSize,
        };
  return formatJson({
    ...head,
    virtualServers: entries.map(({ service, destinations }) => virtualServer(service, destinations)),
  });
}

function virtualServer(
  service: IpvsServiceState,
  destinations: readonly IpvsDestinationState[],
): Record<string, unknown> {
  const { family, scheduler, flags, timeoutSeconds, persistenceEngine, stats } = service;
  const isPersistent = (flags & SERVICE_FLAG.PERSISTENT) !== 0;
  return {
    ...(service.fwmark === undefined
      ? {
          protocol: PROTOCOL_NAME[service.protocol] ?? String(service.protocol),
          address: service.address,
          port: service.port,
        }
      : { fwmark: service.fwmark, family }),
    scheduler,
    schedulerFlags: schedulerFlagNames(scheduler, flags),
    persistenceSeconds: isPersistent ? timeoutSeconds : null,
    persistenceNetmask: isPersistent
      ? (netmaskText(service) ?? (family === 'IPv4' ? '255.255.255.255' : '128'))
      : null,
    persistenceEngine: persistenceEngine ?? null,
    onePacket: (flags & SERVICE_FLAG.ONEPACKET) !== 0,
    ...statistics(stats),
    realServers: destinations.map(realServer),
  };
}

function realServer(server: IpvsDestinationState): Record<string, unknown> {
  const { address, port, forwarding, weight, tunnel, stats } = server;
  return {
    address,
    port,
    forwarding,
    weight,
    upperThreshold: server.upperThreshold,
    lowerThreshold: server.lowerThreshold,
    tunnel: tunnel ?? null,
    activeConnections: server.activeConnections,
    inactiveConnections: server.inactiveConnections,
    persistentConnections: server.persistentConnections,
    ...statistics(stats),
  };
}

function statistics(stats: IpvsStats | null): Record<string, unknown> {
  if (stats === null) return {};
  const { connections, inPackets, outPackets, inBytes, outBytes } = stats;
  return {
    counters: { connections, inPackets, outPackets, inBytes, outBytes },
    ratesPerSecond: {
      connections: stats.connectionsPerSecond,
      inPackets: stats.inPacketsPerSecond,
      outPackets: stats.outPacketsPerSecond,
      inBytes: stats.inBytesPerSecond,
      outBytes: stats.outBytesPerSecond,
    },
  };
}
