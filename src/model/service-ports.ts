// The ports of a Service, and the rules that its ports share with those of EndpointSlices: protocol, name, number. A bad port is reported
// and left out, the others go on. Never throws on a JSON value. Pure.
// Source: Kubernetes API v1 and kube-proxy 1.36 (serviceport.go); spec of the service model, 1.2.

import { isAbsent, MAX_LIST_LENGTH, member, readInteger, readList, type ProblemList } from './fields.ts';
import { packed } from './interner.ts';
import { isPortName } from './names.ts';

/** Transport protocols in the API's spelling. */
export const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** One port of a Service. */
export interface ServicePortRecord {
  /** DNS label, '' when unnamed. With the protocol it is unique in its Service. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1 to 65535; with the protocol unique in its Service. */
  readonly port: number;
  /** 1 to 65535, 0 = none; otherwise with the protocol unique in its Service. */
  readonly nodePort: number;
}

/** The ports of a spec, in its order, never two with one name, number or node port and the same protocol: of several the last counts. */
export function readPorts(spec: unknown, problems: ProblemList): readonly ServicePortRecord[] {
  const items = readList(member(spec, 'ports'), 'spec.ports', problems, MAX_LIST_LENGTH);
  if (items.length === 0)
    problems.add(
      'InvalidField',
      'spec.ports',
      'it has no ports: the Service is skipped',
      'give it at least one port',
    );
  const ports: ServicePortRecord[] = [];
  const taken = new Set<string>();
  // From the end: of several ports with one name the last counts, as in kube-proxy's table.
  for (let index = items.length - 1; index >= 0; index--) {
    const port = readPort(items[index], `spec.ports[${index}]`, problems, taken);
    if (port !== null) ports.push(port);
  }
  return packed(ports.reverse());
}

/** One port, or null when it must be left out. `taken` holds what later ports use. */
function readPort(
  item: unknown,
  field: string,
  problems: ProblemList,
  taken: Set<string>,
): ServicePortRecord | null {
  const protocol = readProtocol(member(item, 'protocol'), `${field}.protocol`, problems);
  const name = readPortName(member(item, 'name'), `${field}.name`, problems);
  const port = readPortNumber(member(item, 'port'), `${field}.port`, problems);
  if (protocol === null || name === null || port === null) return null;
  const nameId = `name ${name} ${protocol}`;
  const portId = `port ${port} ${protocol}`;
  const what = taken.has(nameId) ? 'name' : taken.has(portId) ? 'port' : null;
  if (what !== null) {
    problems.add(
      'InvalidField',
      `${field}.${what}`,
      `a later port has the same ${what} and protocol: this one is left out`,
      `make each ${what} unique`,
    );
    return null;
  }
  let nodePort = readInteger(member(item, 'nodePort'), `${field}.nodePort`, problems, {
    min: 0,
    max: 65_535,
    fallback: 0,
  });
  if (nodePort !== 0 && taken.has(`nodePort ${nodePort} ${protocol}`)) {
    problems.add(
      'InvalidField',
      `${field}.nodePort`,
      'a later port has the same node port and protocol: this one has none',
      'make each node port unique',
    );
    nodePort = 0;
  }
  taken.add(nameId).add(portId);
  if (nodePort !== 0) taken.add(`nodePort ${nodePort} ${protocol}`);
  return { name, protocol, port, nodePort };
}

/** A protocol, TCP when absent; null, reported, when Pointsman cannot forward it. */
export function readProtocol(value: unknown, field: string, problems: ProblemList): Protocol | null {
  if (isAbsent(value)) return 'TCP';
  const protocol = PROTOCOLS.find((one) => one === value);
  if (protocol === undefined)
    problems.invalid(field, value, 'the port is left out', `use one of ${PROTOCOLS.join(', ')}`);
  return protocol ?? null;
}

/** A port name, '' when absent; null, reported, when it is no DNS label. */
export function readPortName(value: unknown, field: string, problems: ProblemList): string | null {
  if (isAbsent(value)) return '';
  if (typeof value === 'string' && isPortName(value)) return value;
  problems.invalid(
    field,
    value,
    'the port is left out',
    'use lower-case letters, digits and hyphens, at most 63',
  );
  return null;
}

/** A required port number; null, reported, when it is none of 1 to 65535. */
export function readPortNumber(value: unknown, field: string, problems: ProblemList): number | null {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535) return value;
  problems.invalid(field, value, 'the port is left out', 'use a whole number from 1 to 65535');
  return null;
}
