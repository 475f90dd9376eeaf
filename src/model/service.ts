// One Service object projected to what forwarding depends on: compact, validated, defaults filled in. No raw object is kept.
// A bad field is reported and everything else goes on; no JSON value makes this throw. Which endpoints serve it is decided in plan/.
// Source: Kubernetes API v1 and kube-proxy 1.36 (serviceport.go); spec of the service model, 1.2.

import {
  objectOf,
  isAbsent,
  member,
  NO_PROBLEMS,
  ProblemList,
  readChoice,
  readInteger,
  readTimeMs,
} from './fields.ts';
import { readDrainTimeout, readSchedulerWish, type SchedulerWish } from './annotations.ts';
import { packed } from './interner.ts';
import type { Cidr, IpAddress } from './ip.ts';
import { isDnsLabel, LABEL_PROXY_NAME, serviceKey, type ServiceKey } from './names.ts';
import type { Problem } from './problem.ts';
import { readPorts, type ServicePortRecord } from './service-ports.ts';
import {
  primaryClusterIP,
  readClusterIPs,
  readExternalIPs,
  readIngress,
  readSourceRanges,
} from './service-addresses.ts';

/** What forwarding depends on of a Service. Equal records forward equally. */
export interface ServiceRecord {
  readonly key: ServiceKey;
  /** creationTimestamp in ms since the epoch, 0 = unknown. */
  readonly createdAtMs: number;
  /** default/kubernetes and cluster DNS (label k8s-app: kube-dns). */
  readonly isCritical: boolean;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
  /** Never empty; in the order of the spec. */
  readonly ports: readonly ServicePortRecord[];
  /** Never empty, at most one of each family, in the order of the spec. Families without one have no frontends at all. */
  readonly clusterIPs: readonly IpAddress[];
  /** Without repetition and without those in the two other lists, in the order of the spec. */
  readonly externalIPs: readonly IpAddress[];
  /** status.loadBalancer.ingress of ipMode VIP; without repetition and without clusterIPs, in the order of the status. */
  readonly loadBalancerIPs: readonly IpAddress[];
  /**
   * Who may use the load-balancer IPs, both families, without repetition; null when none is given, empty when none that is can be read.
   * What follows for each family is decided in plan/source-ranges.ts.
   */
  readonly loadBalancerSourceRanges: readonly Cidr[] | null;
  /** ClientIP affinity: 1 to 86400, 0 = none. */
  readonly affinitySeconds: number;
  /** externalTrafficPolicy is Local, and the Service can be reached from outside by its type. */
  readonly isExternalLocal: boolean;
  /** internalTrafficPolicy is Local. */
  readonly isInternalLocal: boolean;
  /** 1 to 65535, 0 = none. Only a LoadBalancer with isExternalLocal has one. */
  readonly healthCheckNodePort: number;
  /** What its annotations ask of the scheduler. */
  readonly schedulerWish: SchedulerWish;
  /** How long connections to servers that go are kept: 0 to 86400 seconds, 0 = not at all, null = as the node says. */
  readonly drainTimeoutSeconds: number | null;
}

/** What became of an object: null when it yields nothing, and what was wrong with it. */
export interface Projection<T> {
  readonly record: T | null;
  readonly problems: readonly Problem[];
}

/** Affinity timeout where the API's default is missing (three hours), and the API's upper limit (a day). */
const DEFAULT_AFFINITY_SECONDS = 10_800;
const MAX_AFFINITY_SECONDS = 86_400;

/**
 * Projects a Service. `record` is null, without a problem, for Services that are not ours to serve: headless, ExternalName, or served by
 * another proxy (label). Without a usable name, cluster IP or port it is null with a problem.
 */
export function projectService(object: unknown): Projection<ServiceRecord> {
  const metadata = member(object, 'metadata');
  const name = member(metadata, 'name');
  const namespace = namespaceOf(object);
  if (typeof name !== 'string' || !isDnsLabel(name) || namespace === null) return unnamed(object);
  const key = serviceKey(namespace, name);
  const labels = objectOf(member(metadata, 'labels'));
  const spec = member(object, 'spec');
  if (isNotServed(labels, spec)) return { record: null, problems: NO_PROBLEMS };

  const problems = new ProblemList(`Service ${key}`);
  const clusterIPs = readClusterIPs(spec, problems);
  const ports = readPorts(spec, problems);
  if (clusterIPs.length === 0 || ports.length === 0) return { record: null, problems: problems.list() };

  const type = readChoice(
    member(spec, 'type'),
    'spec.type',
    problems,
    ['ClusterIP', 'NodePort', 'LoadBalancer'],
    'ClusterIP',
  );
  const loadBalancerIPs = packed(
    readIngress(object, problems).filter((address) => !clusterIPs.includes(address)),
  );
  const listedExternalIPs = readExternalIPs(spec, problems);
  const isElsewhere = (one: IpAddress): boolean => clusterIPs.includes(one) || loadBalancerIPs.includes(one);
  const policies = ['Cluster', 'Local'] as const;
  const external = member(spec, 'externalTrafficPolicy');
  const isExternalLocal =
    readChoice(external, 'spec.externalTrafficPolicy', problems, policies, 'Cluster') === 'Local' &&
    (type !== 'ClusterIP' || listedExternalIPs.length > 0);
  const internal = member(spec, 'internalTrafficPolicy');
  return {
    record: {
      key,
      createdAtMs: readTimeMs(member(metadata, 'creationTimestamp')),
      isCritical: key === 'default/kubernetes' || member(labels, 'k8s-app') === 'kube-dns',
      type,
      ports,
      clusterIPs,
      externalIPs: packed(listedExternalIPs.filter((one) => !isElsewhere(one))),
      loadBalancerIPs,
      loadBalancerSourceRanges: readSourceRanges(spec, problems),
      affinitySeconds: readAffinity(spec, problems),
      isExternalLocal,
      isInternalLocal:
        readChoice(internal, 'spec.internalTrafficPolicy', problems, policies, 'Cluster') === 'Local',
      healthCheckNodePort:
        type === 'LoadBalancer' && isExternalLocal ? readHealthCheckNodePort(spec, problems) : 0,
      schedulerWish: readSchedulerWish(member(metadata, 'annotations'), problems),
      drainTimeoutSeconds: readDrainTimeout(member(metadata, 'annotations'), problems),
    },
    problems: problems.list(),
  };
}

/** The namespace of a Service or EndpointSlice, 'default' when absent; null when it is no valid one. */
export function namespaceOf(object: unknown): string | null {
  const namespace = member(member(object, 'metadata'), 'namespace');
  if (isAbsent(namespace)) return 'default';
  return typeof namespace === 'string' && isDnsLabel(namespace) ? namespace : null;
}

function unnamed(object: unknown): Projection<ServiceRecord> {
  const problems = new ProblemList('Service ?');
  const metadata = member(object, 'metadata');
  const field = namespaceOf(object) === null ? 'metadata.namespace' : 'metadata.name';
  const value = member(metadata, field === 'metadata.name' ? 'name' : 'namespace');
  problems.invalid(
    field,
    value,
    'the Service is skipped',
    'use lower-case letters, digits and hyphens, at most 63',
  );
  return { record: null, problems: problems.list() };
}

/** Services that other programs serve, and those that need no proxy. */
function isNotServed(labels: unknown, spec: unknown): boolean {
  const clusterIP = primaryClusterIP(spec);
  return (
    member(labels, LABEL_PROXY_NAME) !== undefined ||
    member(spec, 'type') === 'ExternalName' ||
    clusterIP === 'None'
  );
}

function readAffinity(spec: unknown, problems: ProblemList): number {
  const affinity = readChoice(
    member(spec, 'sessionAffinity'),
    'spec.sessionAffinity',
    problems,
    ['None', 'ClientIP'],
    'None',
  );
  if (affinity === 'None') return 0;
  const timeout = member(member(member(spec, 'sessionAffinityConfig'), 'clientIP'), 'timeoutSeconds');
  return readInteger(timeout, 'spec.sessionAffinityConfig.clientIP.timeoutSeconds', problems, {
    min: 1,
    max: MAX_AFFINITY_SECONDS,
    fallback: DEFAULT_AFFINITY_SECONDS,
  });
}

function readHealthCheckNodePort(spec: unknown, problems: ProblemList): number {
  const range = { min: 0, max: 65_535, fallback: 0 };
  const port = readInteger(member(spec, 'healthCheckNodePort'), 'spec.healthCheckNodePort', problems, range);
  if (port === 0) {
    const remedy = 'a cluster allocates one; give it in a manifest if a load balancer checks this node';
    problems.add(
      'InvalidField',
      'spec.healthCheckNodePort',
      'there is none: load balancers cannot check this Service',
      remedy,
    );
  }
  return port;
}
