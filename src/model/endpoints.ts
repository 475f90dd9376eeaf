// EndpointSlices projected to what forwarding depends on, and the merge of all slices of a Service into the endpoints of one port.
// Compact: clusters have hundreds of thousands of endpoints. Which of them are used is decided in plan/categorize.ts.
// Source: discovery.k8s.io/v1 and kube-proxy 1.36 (endpointslicecache.go); spec of the service model, 1.3.

import {
  isAbsent,
  member,
  NO_PROBLEMS,
  objectOf,
  ProblemList,
  readList,
  readText,
  readTimeMs,
} from './fields.ts';
import { packed, type Interner } from './interner.ts';
import {
  compareText,
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
import {
  namespaceOf,
  readPortName,
  readPortNumber,
  readProtocol,
  type Projection,
  type Protocol,
} from './service.ts';

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
}

/** One endpoint of one Service port. */
export interface Endpoint extends SliceEndpoint {
  readonly port: number;
}

/** Endpoints read of one slice; the API allows 1,000. */
export const MAX_ENDPOINTS_PER_SLICE = 10_000;
/** Ports read of one slice; the API allows 20,000 where a Service has as many ports. */
export const MAX_PORTS_PER_SLICE = 20_000;
/** Hints read of one endpoint; the API allows 8. */
const MAX_HINTS = 64;

/** "10.0.0.1:80" or "[2001:db8::1]:80": the identity of an endpoint, and what endpoints are sorted by. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return familyOf(address) === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

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
      triggeredAtMs: readTimeMs(member(member(metadata, 'annotations'), ANNOTATION_TRIGGER_TIME)),
    },
    problems: problems.list(),
  };
}

/** "namespace/name" of an EndpointSlice; null when it has no valid name. */
export function sliceIdentity(object: unknown): string | null {
  const name = member(member(object, 'metadata'), 'name');
  const namespace = namespaceOf(object);
  return typeof name === 'string' && isDnsSubdomain(name) && namespace !== null
    ? `${namespace}/${name}`
    : null;
}

/**
 * The endpoints of one Service port: those of every slice of the family, with the ports of that name and protocol. Sorted by
 * `formatEndpoint`, each address and port once: of several, the ready one stays, then the serving one, then the one that is not
 * terminating, then that of the slice whose name sorts first, then the first in it. Does not depend on the order of `slices`.
 */
export function endpointsOf(
  slices: readonly SliceRecord[],
  portName: string,
  protocol: Protocol,
  family: Family,
): Endpoint[] {
  const best = new Map<string, { readonly endpoint: Endpoint; readonly sliceName: string }>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const { name, protocol: slicePortProtocol, port } of slice.ports) {
      if (name !== portName || slicePortProtocol !== protocol) continue;
      for (const { address, conditions, nodeName, zoneHints, nodeHints } of slice.endpoints) {
        const id = formatEndpoint(address, port);
        const other = best.get(id);
        if (other !== undefined && !isPreferred(conditions, slice.name, other)) continue;
        const endpoint = { address, conditions, nodeName, zoneHints, nodeHints, port };
        best.set(id, { endpoint, sliceName: slice.name });
      }
    }
  }
  const sorted = [...best].sort(([a], [b]) => compareText(a, b));
  return sorted.map(([, { endpoint }]) => endpoint);
}

function isPreferred(
  conditions: number,
  sliceName: string,
  over: { readonly endpoint: Endpoint; readonly sliceName: string },
): boolean {
  const difference = preference(conditions) - preference(over.endpoint.conditions);
  return difference > 0 || (difference === 0 && sliceName < over.sliceName);
}

function preference(conditions: number): number {
  return (
    (conditions & CONDITION.READY ? 4 : 0) +
    (conditions & CONDITION.SERVING ? 2 : 0) +
    (conditions & CONDITION.TERMINATING ? 0 : 1)
  );
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
    const nodeName = readText(member(item, 'nodeName'), `endpoints[${index}].nodeName`, problems);
    const hints = member(item, 'hints');
    endpoints.push({
      address,
      conditions: readConditions(member(item, 'conditions'), `endpoints[${index}].conditions`, problems),
      nodeName: isDnsSubdomain(nodeName) ? (interner?.text(nodeName) ?? nodeName) : '',
      zoneHints: readHints(member(hints, 'forZones'), interner),
      nodeHints: readHints(member(hints, 'forNodes'), interner),
    });
  }
  return packed(endpoints);
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
  if (!Array.isArray(value) || value.length === 0) return NO_HINTS;
  const names: string[] = [];
  for (const item of value.slice(0, MAX_HINTS)) {
    const name = member(item, 'name');
    if (typeof name === 'string' && name !== '' && (isLabelValue(name) || isDnsSubdomain(name)))
      names.push(name);
  }
  return names.length === 0 ? NO_HINTS : (interner?.list(names) ?? names);
}
