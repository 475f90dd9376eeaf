// One EndpointSlice projected to what forwarding depends on. Compact: clusters have hundreds of thousands of endpoints. A bad field is
// reported and everything else goes on; no JSON value makes this throw. How slices are merged is decided in endpoints.ts.
// Source: discovery.k8s.io/v1 and kube-proxy 1.36 (endpointslicecache.go); spec of the service model, 1.3.

import { isAbsent, member, NO_PROBLEMS, objectOf, ProblemList, readList, readTimeMs } from './fields.ts';
import { readWeight, type SliceWeight } from './annotations.ts';
import { packed, type Interner } from './interner.ts';
import {
  familyOf,
  isLinkLocal,
  isLoopback,
  isMulticastOrBroadcast,
  isUnspecified,
  parseIp,
  type Family,
  type IpAddress,
} from './ip.ts';
import {
  ANNOTATION_TRIGGER_TIME,
  isDnsLabel,
  isDnsSubdomain,
  isLabelValue,
  LABEL_HEADLESS,
  LABEL_SERVICE_NAME,
  serviceKey,
  type ServiceKey,
} from './names.ts';
import { namespaceOf, type Projection } from './service.ts';
import { readPortName, readPortNumber, readProtocol, type Protocol } from './service-ports.ts';

/** Bits of SliceEndpoint.conditions. Absent ready and serving count as true, absent terminating as false. */
export const CONDITION = { READY: 1, SERVING: 2, TERMINATING: 4 } as const;

/** One endpoint of a slice; its ports are those of the slice. */
export interface SliceEndpoint {
  readonly address: IpAddress;
  /** Sum of CONDITION bits. */
  readonly conditions: number;
  /** '' when unknown. */
  readonly nodeName: string;
  /** Zones that should use it; empty = no hint. */
  readonly zoneHints: readonly string[];
  /** Nodes that should use it; empty = no hint. */
  readonly nodeHints: readonly string[];
}

/** One target port of a slice; it serves the Service port of the same name and protocol. */
export interface SlicePortRecord {
  /** DNS label, '' when unnamed. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1 to 65535: the port of the endpoints, not of the Service. */
  readonly port: number;
}

/** What forwarding depends on of an EndpointSlice. */
export interface SliceRecord {
  /** Name of the slice, without namespace. */
  readonly name: string;
  readonly serviceKey: ServiceKey;
  readonly family: Family;
  readonly ports: readonly SlicePortRecord[];
  /** In the order of the slice; may repeat an address. */
  readonly endpoints: readonly SliceEndpoint[];
  /** When the change happened that led to this version, ms since the epoch, 0 = unknown. Changes nothing in forwarding. */
  readonly triggeredAtMs: number;
  /** Weight of all its endpoints; null = the usual one. */
  readonly weight: SliceWeight | null;
}

/** Endpoints read of one slice; the API allows 1,000. */
export const MAX_ENDPOINTS_PER_SLICE = 10_000;
/** Ports read of one slice; the API allows 20,000 where a Service has as many ports. */
export const MAX_PORTS_PER_SLICE = 20_000;
/** Hints read of one endpoint; the API allows 8. */
const MAX_HINTS = 64;

/**
 * Projects an EndpointSlice. `record` is null, without a problem, for slices of headless Services; null with a problem when its name, its
 * Service or its address type cannot be used. Endpoints without a usable address are left out, each with a problem.
 */
export function projectEndpointSlice(object: unknown, interner?: Interner): Projection<SliceRecord> {
  const metadata = member(object, 'metadata');
  const labels = objectOf(member(metadata, 'labels'));
  if (member(labels, LABEL_HEADLESS) !== undefined) return { record: null, problems: NO_PROBLEMS };
  const identity = sliceIdentity(object);
  const problems = new ProblemList(`EndpointSlice ${identity ?? '?'}`);
  const key = identity === null ? refuseIdentity(object, problems) : readServiceKey(object, labels, problems);
  const family = key === null ? null : readAddressType(object, problems);
  if (identity === null || key === null || family === null)
    return { record: null, problems: problems.list() };
  return {
    record: {
      name: String(member(metadata, 'name')),
      serviceKey: key,
      family,
      ports: readPorts(object, problems, interner),
      endpoints: readEndpoints(object, family, problems, interner),
      triggeredAtMs: readTriggerTimeMs(object),
      weight: readWeight(member(metadata, 'annotations'), problems),
    },
    problems: problems.list(),
  };
}

/** When the change happened that led to this version of an EndpointSlice, ms since the epoch; 0 = unknown. */
export function readTriggerTimeMs(object: unknown): number {
  return readTimeMs(member(member(member(object, 'metadata'), 'annotations'), ANNOTATION_TRIGGER_TIME));
}

/** "namespace/name" of an EndpointSlice; null when it has no valid name. */
export function sliceIdentity(object: unknown): string | null {
  const name = member(member(object, 'metadata'), 'name');
  const namespace = namespaceOf(object);
  return typeof name === 'string' && isDnsSubdomain(name) && namespace !== null
    ? `${namespace}/${name}`
    : null;
}

function refuseIdentity(object: unknown, problems: ProblemList): null {
  const isNamespace = namespaceOf(object) === null;
  const field = isNamespace ? 'namespace' : 'name';
  const value = member(member(object, 'metadata'), field);
  problems.invalid(`metadata.${field}`, value, 'the slice is skipped', 'give it a DNS name in lower case');
  return null;
}

function readServiceKey(object: unknown, labels: unknown, problems: ProblemList): ServiceKey | null {
  const name = member(labels, LABEL_SERVICE_NAME);
  const namespace = namespaceOf(object);
  if (typeof name === 'string' && isDnsLabel(name) && namespace !== null) return serviceKey(namespace, name);
  const remedy = 'label it with the name of its Service';
  problems.invalid(`metadata.labels[${LABEL_SERVICE_NAME}]`, name, 'the slice is skipped', remedy);
  return null;
}

function readAddressType(object: unknown, problems: ProblemList): Family | null {
  const type = member(object, 'addressType');
  if (type === 'IPv4' || type === 'IPv6') return type;
  if (type === 'FQDN') {
    const message = 'slices of host names are skipped';
    problems.add('UnsupportedField', 'addressType', message, 'list addresses in slices of type IPv4 or IPv6');
  } else {
    problems.invalid('addressType', type, 'the slice is skipped', 'use IPv4 or IPv6');
  }
  return null;
}

function readPorts(
  object: unknown,
  problems: ProblemList,
  interner: Interner | undefined,
): readonly SlicePortRecord[] {
  const ports: SlicePortRecord[] = [];
  readList(member(object, 'ports'), 'ports', problems, MAX_PORTS_PER_SLICE).forEach((item, index) => {
    const protocol = readProtocol(member(item, 'protocol'), `ports[${index}].protocol`, problems);
    const name = readPortName(member(item, 'name'), `ports[${index}].name`, problems);
    const port = readPortNumber(member(item, 'port'), `ports[${index}].port`, problems);
    if (protocol === null || name === null || port === null) return;
    ports.push({ name: interner?.text(name) ?? name, protocol, port });
  });
  return packed(ports);
}

function readEndpoints(
  object: unknown,
  family: Family,
  problems: ProblemList,
  interner: Interner | undefined,
): readonly SliceEndpoint[] {
  const items = readList(member(object, 'endpoints'), 'endpoints', problems, MAX_ENDPOINTS_PER_SLICE);
  const endpoints: SliceEndpoint[] = [];
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    const address = readAddress(item, index, family, problems);
    if (address === null) continue;
    const hints = member(item, 'hints');
    endpoints.push({
      address,
      conditions: readConditions(member(item, 'conditions'), `endpoints[${index}].conditions`, problems),
      nodeName: readNodeName(member(item, 'nodeName'), `endpoints[${index}].nodeName`, problems, interner),
      zoneHints: readHints(member(hints, 'forZones'), interner),
      nodeHints: readHints(member(hints, 'forNodes'), interner),
    });
  }
  return packed(endpoints);
}

/** The name of the endpoint's node, '' when absent; what is no name is reported and read as absent. */
function readNodeName(
  value: unknown,
  field: string,
  problems: ProblemList,
  interner: Interner | undefined,
): string {
  if (isAbsent(value)) return '';
  if (typeof value === 'string' && isDnsSubdomain(value)) return interner?.text(value) ?? value;
  const consequence = 'the endpoint counts as on no known node';
  problems.invalid(field, value, consequence, 'give the name of its Node');
  return '';
}

/** Only the first address counts: the API leaves it open what further ones mean, and its controllers write one. */
function readAddress(item: unknown, index: number, family: Family, problems: ProblemList): IpAddress | null {
  const addresses = member(item, 'addresses');
  const text: unknown = Array.isArray(addresses) ? addresses[0] : undefined;
  const address = typeof text === 'string' ? parseIp(text) : null;
  const field = `endpoints[${index}].addresses[0]`;
  if (address === null) {
    problems.invalid(field, text, 'the endpoint is left out', `write an ${family} address`);
  } else if (familyOf(address) !== family) {
    const message = `${address} is not of the slice's address type ${family}: the endpoint is left out`;
    problems.add('WrongFamily', field, message, `move it to a slice of type ${familyOf(address)}`);
  } else if (!isUsableAsEndpoint(address)) {
    problems.invalid(field, text, 'the endpoint is left out', 'use the address of a pod or host');
  } else {
    return address;
  }
  return null;
}

/** As the API's validation: an endpoint is a single host that packets can be sent to. */
function isUsableAsEndpoint(address: IpAddress): boolean {
  return !(
    isUnspecified(address) ||
    isLoopback(address) ||
    isLinkLocal(address) ||
    isMulticastOrBroadcast(address)
  );
}

function readConditions(conditions: unknown, field: string, problems: ProblemList): number {
  const isTrue = (name: string, fallback: boolean): boolean => {
    const value = member(conditions, name);
    if (typeof value === 'boolean') return value;
    if (!isAbsent(value))
      problems.invalid(`${field}.${name}`, value, `${fallback} is used`, 'use true or false');
    return fallback;
  };
  return (
    (isTrue('ready', true) ? CONDITION.READY : 0) |
    (isTrue('serving', true) ? CONDITION.SERVING : 0) |
    (isTrue('terminating', false) ? CONDITION.TERMINATING : 0)
  );
}

const NO_HINTS: readonly string[] = Object.freeze([]);

/** Names of hints. An invalid one is passed over: an endpoint without hints turns hints off, which is always safe. */
function readHints(value: unknown, interner: Interner | undefined): readonly string[] {
  if (!Array.isArray(value)) return NO_HINTS;
  const names: string[] = [];
  for (const item of value.slice(0, MAX_HINTS)) {
    const name = member(item, 'name');
    if (typeof name === 'string' && name !== '' && (isLabelValue(name) || isDnsSubdomain(name)))
      names.push(name);
  }
  return names.length === 0 ? NO_HINTS : (interner?.list(names) ?? names);
}
