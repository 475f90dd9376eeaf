// Input of the frontend cases: one Service for each combination of policies, source ranges and endpoints, in both families and with all
// three protocols, as manifests; and where each frontend of them is. No expectation stands here: those are in frontends-cells.ts.

import type { Protocol } from '../traffic.ts';

export type Family = 'IPv4' | 'IPv6';
export const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
export const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

/** Where a frontend comes from; OwnAddress is an external IP that is this node's own address. */
export type Kind = 'ClusterIP' | 'ExternalIP' | 'OwnAddress' | 'LoadBalancerIP' | 'NodePort';

/** The hosts of the topology that play here, by family. */
export const HOSTS = {
  node1: { IPv4: '192.168.50.11', IPv6: 'fd00:50::11' },
  /** pod1 of this node serves and asks; the others of this node only ask. */
  pod1: { IPv4: '10.244.1.11', IPv6: 'fd00:10:244:1::11' },
  pod3: { IPv4: '10.244.1.13', IPv6: 'fd00:10:244:1::13' },
  pod4: { IPv4: '10.244.1.14', IPv6: 'fd00:10:244:1::14' },
  /** Pods of the other node: the first serves, the second asks, with this node as its router. */
  remote1: { IPv4: '10.244.2.11', IPv6: 'fd00:10:244:2::11' },
  remote2: { IPv4: '10.244.2.12', IPv6: 'fd00:10:244:2::12' },
  client1: { IPv4: '192.168.50.100', IPv6: 'fd00:50::100' },
  client2: { IPv4: '192.168.50.101', IPv6: 'fd00:50::101' },
} as const satisfies Record<string, Record<Family, string>>;
export type HostName = keyof typeof HOSTS;

/** The networks of external and load-balancer IPs. */
export const EXTERNAL_NETWORKS = { IPv4: '198.51.100.0/24', IPv6: '2001:db8:51::/64' } as const;

export const PORTS = {
  /** Of every Service but the ones that name another. */
  service: 80,
  target: 8080,
  /** Health check of Service local; this port and the next are closed by a rule of the host's own. */
  healthCheck: 32_100,
  closed: 32_101,
  /** Something of the host listens here, and no Service declares it. */
  undeclared: 9999,
} as const;

type Server = 'pod1' | 'remote1';

interface ServiceInput {
  readonly number: number;
  readonly servers: readonly Server[];
  readonly kinds: readonly Kind[];
  readonly external?: 'Local';
  readonly internal?: 'Local';
  /** Hosts whose addresses are the source ranges. */
  readonly ranges?: readonly HostName[];
  readonly rangeFamilies?: readonly Family[];
  readonly isSticky?: true;
  readonly port?: number;
}

const BOTH: readonly Server[] = ['pod1', 'remote1'];
const REACHABLE: readonly Kind[] = ['ClusterIP', 'ExternalIP', 'LoadBalancerIP', 'NodePort'];
const BALANCED: readonly Kind[] = ['ClusterIP', 'LoadBalancerIP', 'NodePort'];

export const SERVICES = {
  /** Policy Cluster, a server on each node. */
  both: { number: 10, servers: BOTH, kinds: REACHABLE },
  /** Policy Local for outside, a server on each node. */
  local: { number: 11, servers: BOTH, kinds: REACHABLE, external: 'Local' },
  /** Policy Local for outside, no server on this node. */
  far: { number: 12, servers: ['remote1'], kinds: REACHABLE, external: 'Local' },
  /** Only this node's server, only a ClusterIP. */
  near: { number: 13, servers: ['pod1'], kinds: ['ClusterIP'] },
  /** Policy Local for inside, only a ClusterIP. */
  inner: { number: 14, servers: BOTH, kinds: ['ClusterIP'], internal: 'Local' },
  /** Policy Local for inside, only a ClusterIP, no server on this node. */
  innerfar: { number: 15, servers: ['remote1'], kinds: ['ClusterIP'], internal: 'Local' },
  /** The same, but with a NodePort. */
  openfar: { number: 16, servers: ['remote1'], kinds: ['ClusterIP', 'NodePort'], internal: 'Local' },
  /** Source ranges with clients inside and outside, not with this node. */
  ranged: { number: 17, servers: BOTH, kinds: BALANCED, ranges: ['client1', 'pod3'] },
  /** Source ranges with this node alone. */
  rangednode: { number: 18, servers: BOTH, kinds: ['ClusterIP', 'LoadBalancerIP'], ranges: ['node1'] },
  /** Source ranges and policy Local. */
  rangedlocal: {
    number: 19,
    servers: BOTH,
    kinds: ['ClusterIP', 'LoadBalancerIP'],
    external: 'Local',
    ranges: ['client1'],
  },
  /** Source ranges of one family only. */
  rangedipv4: {
    number: 20,
    servers: BOTH,
    kinds: ['ClusterIP', 'LoadBalancerIP'],
    ranges: ['client1'],
    rangeFamilies: ['IPv4'],
  },
  /** A client stays on its server. */
  sticky: { number: 21, servers: BOTH, kinds: ['ClusterIP', 'NodePort'], isSticky: true },
  /** No server at all. */
  empty: { number: 22, servers: [], kinds: REACHABLE },
  /** On an address of this node itself; its port is nobody else's there. */
  own: { number: 23, servers: BOTH, kinds: ['ClusterIP', 'OwnAddress'], port: 8500 },
  ownlocal: {
    number: 24,
    servers: BOTH,
    kinds: ['ClusterIP', 'OwnAddress'],
    external: 'Local',
    port: 8501,
  },
  /** Its port is the TCP NodePort of Service both. */
  clash: { number: 25, servers: BOTH, kinds: ['ClusterIP'], port: 30_100 },
} as const satisfies Record<string, ServiceInput>;
export type ServiceName = keyof typeof SERVICES;

/** TCP 30100, UDP 30101, SCTP 30102 for Service number 10; ten further for the next. */
function nodePortOf(service: ServiceName, protocol: Protocol): number {
  return 30_100 + (SERVICES[service].number - 10) * 10 + PROTOCOLS.indexOf(protocol);
}

/** The address that clients of a frontend ask. */
export function addressOf(service: ServiceName, kind: Kind, family: Family): string {
  const { number } = SERVICES[service];
  switch (kind) {
    case 'ClusterIP':
      return family === 'IPv4' ? `10.96.9.${number}` : `fd96::9:${number}`;
    case 'ExternalIP':
      return family === 'IPv4' ? `198.51.100.${number}` : `2001:db8:51::${number}`;
    case 'LoadBalancerIP':
      return family === 'IPv4' ? `198.51.100.1${number}` : `2001:db8:51::1${number}`;
    case 'NodePort':
    case 'OwnAddress':
      return HOSTS.node1[family];
  }
}

/** The port that clients of a frontend ask. */
export function portOf(service: ServiceName, kind: Kind, protocol: Protocol): number {
  const input: ServiceInput = SERVICES[service];
  return kind === 'NodePort' ? nodePortOf(service, protocol) : (input.port ?? PORTS.service);
}

/** The configuration file: with the detector by pods' networks, with everything masqueraded, or with no detector. */
export function config(variant: 'detector' | 'masqueradeAll' | 'noDetector'): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
${variant === 'noDetector' ? '' : 'clusterCIDR: 10.244.0.0/16,fd00:10:244::/48\n'}iptables: {masqueradeAll: ${variant === 'masqueradeAll'}}
ipvs: {scheduler: rr}
`;
}

/** All manifests as one file: this node, and each Service with its slices. JSON is YAML. */
export function manifests(): string {
  const names = Object.keys(SERVICES) as ServiceName[];
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node1' },
    status: {
      addresses: FAMILIES.map((family) => ({ type: 'InternalIP', address: HOSTS.node1[family] })),
    },
  };
  const objects = [node, ...names.flatMap((name) => [service(name), ...slices(name)])];
  return objects.map((object) => JSON.stringify(object, null, 1)).join('\n---\n');
}

function service(name: ServiceName): object {
  const input: ServiceInput = SERVICES[name];
  const has = (kind: Kind): boolean => input.kinds.includes(kind);
  const addresses = (kind: Kind): string[] => FAMILIES.map((family) => addressOf(name, kind, family));
  const isBalanced = has('LoadBalancerIP');
  const isOpen = isBalanced || has('NodePort');
  const ranges = (input.rangeFamilies ?? FAMILIES).flatMap((family) =>
    (input.ranges ?? []).map((host) => `${HOSTS[host][family]}/${family === 'IPv4' ? 32 : 128}`),
  );
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      type: isBalanced ? 'LoadBalancer' : has('NodePort') ? 'NodePort' : 'ClusterIP',
      clusterIP: addressOf(name, 'ClusterIP', 'IPv4'),
      clusterIPs: addresses('ClusterIP'),
      ipFamilies: FAMILIES,
      ipFamilyPolicy: 'RequireDualStack',
      externalIPs: [
        ...(has('ExternalIP') ? addresses('ExternalIP') : []),
        ...(has('OwnAddress') ? addresses('OwnAddress') : []),
      ],
      internalTrafficPolicy: input.internal ?? 'Cluster',
      ...(isOpen || has('OwnAddress') || has('ExternalIP')
        ? { externalTrafficPolicy: input.external ?? 'Cluster' }
        : {}),
      ...(isBalanced && input.external === 'Local'
        ? { healthCheckNodePort: PORTS.healthCheck + (name === 'local' ? 0 : input.number) }
        : {}),
      ...(ranges.length > 0 ? { loadBalancerSourceRanges: ranges } : {}),
      ...(input.isSticky === true
        ? { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } }
        : {}),
      ...(isBalanced ? { allocateLoadBalancerNodePorts: has('NodePort') } : {}),
      ports: PROTOCOLS.map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: portOf(name, 'ClusterIP', protocol),
        targetPort: PORTS.target,
        ...(has('NodePort') ? { nodePort: nodePortOf(name, protocol) } : {}),
      })),
    },
    status: isBalanced
      ? { loadBalancer: { ingress: addresses('LoadBalancerIP').map((ip) => ({ ip, ipMode: 'VIP' })) } }
      : {},
  };
}

function slices(name: ServiceName): object[] {
  const servers: readonly Server[] = SERVICES[name].servers;
  return FAMILIES.map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${family.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: family,
    ports: PROTOCOLS.map((protocol) => ({ name: protocol.toLowerCase(), port: PORTS.target, protocol })),
    endpoints: servers.map((server) => ({
      addresses: [HOSTS[server][family]],
      nodeName: server === 'pod1' ? 'node1' : 'node2',
      conditions: { ready: true },
    })),
  }));
}
