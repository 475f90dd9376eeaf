// Manifests of the cases about draining, kills and rolling restarts: dual-stack Services whose endpoints come, go and terminate while the agent
// runs. Each Service is a file of its own, replaced by a rename, so that the agent never sees half of one.

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Host } from '../topology.ts';
import type { Protocol, ServerOptions } from '../traffic.ts';

/** The port of every Service here. */
export const PORT = 80;

/** A Service by its name and number; its addresses come from the number. */
export interface CaseService {
  readonly name: string;
  /** 1 to 9999. */
  readonly number: number;
  readonly protocols: readonly Protocol[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly sessionAffinity?: 'ClientIP';
}

/** Where a Service leads; a host is ready unless it stands in `terminating`. */
export interface CaseEndpoints {
  readonly ready: readonly Host[];
  /** Still serving, on their way out. */
  readonly terminating?: readonly Host[];
}

/** A Service with where it leads. */
export interface CaseEntry {
  readonly service: CaseService;
  readonly endpoints: CaseEndpoints;
}

/** The cluster IPs of a Service. */
export function addressesOf({ number }: Pick<CaseService, 'number'>): {
  readonly ipv4: string;
  readonly ipv6: string;
} {
  return { ipv4: `10.96.${9 + (number >> 8)}.${number & 255}`, ipv6: `fd96::9:${number.toString(16)}` };
}

/**
 * Where the servers of a Service listen. Each has a port of its own: two connections of a client that differ in the Service's address only would
 * look the same to a server that both Services share.
 */
export function targetPortOf({ number }: Pick<CaseService, 'number'>): number {
  return 8000 + number;
}

/** Servers for all protocols of these Services at each host; they have the host's name. */
export function serversOf(services: readonly CaseService[], hosts: readonly Host[]): ServerOptions[] {
  return services.flatMap((service) =>
    service.protocols.flatMap((protocol) =>
      hosts.map((at) => ({ at, name: at.name, protocol, port: targetPortOf(service) })),
    ),
  );
}

/** Writes or replaces a Service and its endpoints in a folder of manifests. Returns when it was done, in milliseconds since the epoch. */
export function writeService(folder: string, service: CaseService, endpoints: CaseEndpoints): number {
  return writeServices(folder, service.name, [{ service, endpoints }]);
}

/** The same for several Services that share the file of this name: what it had before is replaced. */
export function writeServices(folder: string, name: string, entries: readonly CaseEntry[]): number {
  const items = entries.flatMap(({ service, endpoints }) => [
    serviceObject(service),
    sliceObject(service, endpoints, 'IPv4'),
    sliceObject(service, endpoints, 'IPv6'),
  ]);
  // Beside the folder: in it, the temporary file would be an event of its own.
  const next = join(dirname(folder), `${name}.next`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(next, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  const atMs = performance.timeOrigin + performance.now();
  renameSync(next, join(folder, `${name}.json`));
  return atMs;
}

/** Removes a Service and its endpoints; one that is not there is removed already. */
export function removeService(folder: string, service: CaseService): void {
  rmSync(join(folder, `${service.name}.json`), { force: true });
}

function portName(protocol: Protocol): string {
  return protocol.toLowerCase();
}

function serviceObject(service: CaseService): object {
  const { name, protocols, annotations = {}, sessionAffinity = 'None' } = service;
  const { ipv4, ipv6 } = addressesOf(service);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', annotations },
    spec: {
      clusterIP: ipv4,
      clusterIPs: [ipv4, ipv6],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      sessionAffinity,
      ports: protocols.map((protocol) => ({ name: portName(protocol), port: PORT, protocol })),
    },
  };
}

function sliceObject(
  service: CaseService,
  { ready, terminating = [] }: CaseEndpoints,
  addressType: 'IPv4' | 'IPv6',
): object {
  const endpoint = (host: Host, isReady: boolean): object => ({
    addresses: [addressType === 'IPv4' ? host.ipv4 : host.ipv6],
    nodeName: host.name.startsWith('remote') ? 'node2' : 'node1',
    conditions: { ready: isReady, serving: true, terminating: !isReady },
  });
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service.name}-${addressType.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service.name },
    },
    addressType,
    ports: service.protocols.map((protocol) => ({
      ...{ name: portName(protocol), protocol },
      port: targetPortOf(service),
    })),
    endpoints: [
      ...ready.map((host) => endpoint(host, true)),
      ...terminating.map((host) => endpoint(host, false)),
    ],
  };
}
