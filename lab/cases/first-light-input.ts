// Input of the first-light cases: Services in both families with all three protocols, four endpoints on two nodes.

import type { Protocol } from '../traffic.ts';

export type Family = 'IPv4' | 'IPv6';
export const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];

/** Ports of every Service here. */
export const PORTS = {
  service: 80,
  target: 8080,
  nodePort: { TCP: 30080, UDP: 30081, SCTP: 30082 } satisfies Record<Protocol, number>,
} as const;

const SERVICE_NUMBERS = { web: 10, sticky: 11, empty: 12, foreign: 13, tuned: 14 } as const;

export function serviceAddress(service: keyof typeof SERVICE_NUMBERS, family: Family): string {
  return family === 'IPv4' ? `10.96.7.${SERVICE_NUMBERS[service]}` : `fd96::7:${SERVICE_NUMBERS[service]}`;
}

const ENDPOINTS = [
  ['10.244.1.11', 'fd00:10:244:1::11', 'node1'],
  ['10.244.1.12', 'fd00:10:244:1::12', 'node1'],
  ['10.244.2.11', 'fd00:10:244:2::11', 'node2'],
  ['10.244.2.12', 'fd00:10:244:2::12', 'node2'],
] as const;

export function config(scheduler: string, drainTimeout = '15m'): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
clusterCIDR: 10.244.0.0/16,fd00:10:244::/48
ipvs: {scheduler: ${scheduler}}
pointsman: {drainTimeout: ${drainTimeout}}
`;
}

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

function service(name: keyof typeof SERVICE_NUMBERS, extra: string, ports: string, annotations = ''): string {
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default, annotations: {${annotations}}}
spec:
  clusterIP: ${serviceAddress(name, 'IPv4')}
  clusterIPs: [${serviceAddress(name, 'IPv4')}, "${serviceAddress(name, 'IPv6')}"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
${extra}  ports:
${ports}`;
}

function slice(
  name: string,
  family: Family,
  which: {
    readonly suffix: string;
    readonly endpoints: typeof ENDPOINTS | readonly (typeof ENDPOINTS)[number][];
    readonly annotations: string;
  } = { suffix: '', endpoints: ENDPOINTS, annotations: '' },
): string {
  const ports = PROTOCOLS.map(
    (protocol) => `- {name: ${protocol.toLowerCase()}, port: ${PORTS.target}, protocol: ${protocol}}`,
  ).join('\n');
  const endpoints = which.endpoints.map(
    ([v4, v6, node]) =>
      `- {addresses: ["${family === 'IPv4' ? v4 : v6}"], nodeName: ${node}, conditions: {ready: true}}`,
  );
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: ${name}-${family.toLowerCase()}${which.suffix}
  labels: {kubernetes.io/service-name: ${name}}
  annotations: {${which.annotations}}
addressType: ${family}
ports:
${ports}
endpoints:
${endpoints.join('\n')}
`;
}

/** All manifests in one file. */
export function manifests(): string {
  const plain = `  - {name: tcp, port: ${PORTS.service}, protocol: TCP}\n`;
  const all = PROTOCOLS.map(
    (protocol) =>
      `  - {name: ${protocol.toLowerCase()}, port: ${PORTS.service}, protocol: ${protocol}, nodePort: ${PORTS.nodePort[protocol]}}\n`,
  ).join('');
  return [
    service('web', '  type: NodePort\n', all),
    slice('web', 'IPv4'),
    slice('web', 'IPv6'),
    service(
      'sticky',
      '  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}\n',
      plain,
    ),
    slice('sticky', 'IPv4'),
    service('empty', '', plain),
    service('foreign', '', plain),
    slice('foreign', 'IPv4'),
    service('tuned', '', plain, 'pointsman.dev/scheduler: wrr, pointsman.dev/scheduler-flags: flag-3'),
    slice('tuned', 'IPv4', {
      suffix: '-heavy',
      endpoints: ENDPOINTS.slice(0, 2),
      annotations: 'pointsman.dev/weight: "3"',
    }),
    slice('tuned', 'IPv4', { suffix: '-light', endpoints: ENDPOINTS.slice(2, 3), annotations: '' }),
  ].join('---\n');
}

/** The manifests without one endpoint of Service web. */
export function withoutEndpoint(text: string, address: string): string {
  let isWeb = false;
  return text
    .split('\n')
    .filter((line) => {
      if (/^ {2}name:|^metadata:/.test(line)) isWeb = line.includes('web-');
      return !(isWeb && line.includes(`"${address}"`));
    })
    .join('\n');
}
