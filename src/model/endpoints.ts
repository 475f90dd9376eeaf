// The merge of all slices of a Service into the endpoints of one of its ports: each address and port once, sorted, with its weight.
// Which of them are used is decided in plan/categorize.ts.
// Source: kube-proxy 1.36 (endpointslicecache.go, where duplicates depend on chance; not here); spec of the service model, 1.3.

import { CONDITION, type SliceEndpoint, type SliceRecord } from './endpoint-slice.ts';
import { compareText, familyOf, type Family, type IpAddress } from './ip.ts';
import type { Protocol } from './service-ports.ts';

/** One endpoint of one Service port. */
export interface Endpoint extends SliceEndpoint {
  readonly port: number;
  /** 0 to 65535; 0 takes no new connections. */
  readonly weight: number;
}

/** "10.0.0.1:80" or "[2001:db8::1]:80": the identity of an endpoint, and what endpoints are sorted by. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return familyOf(address) === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
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
  const candidates: Candidate[] = [];
  const usualWeight = slices.some((slice) => slice.weight?.usual === 100) ? 100 : 1;
  for (const slice of slices) {
    if (slice.family !== family) continue;
    const weight = slice.weight?.value ?? usualWeight;
    for (const { name, protocol: slicePortProtocol, port } of slice.ports) {
      if (name !== portName || slicePortProtocol !== protocol) continue;
      for (const { address, conditions, nodeName, zoneHints, nodeHints } of slice.endpoints) {
        const endpoint = { address, conditions, nodeName, zoneHints, nodeHints, port, weight };
        candidates.push({ id: formatEndpoint(address, port), endpoint, sliceName: slice.name });
      }
    }
  }
  candidates.sort(compareCandidates);
  return candidates
    .filter(({ id }, index) => id !== candidates[index - 1]?.id)
    .map(({ endpoint }) => endpoint);
}

interface Candidate {
  readonly id: string;
  readonly endpoint: Endpoint;
  readonly sliceName: string;
}

/** By identity, and of several with the same the preferred one first. Those of one slice keep its order. */
function compareCandidates(a: Candidate, b: Candidate): number {
  return (
    compareText(a.id, b.id) ||
    preference(b.endpoint.conditions) - preference(a.endpoint.conditions) ||
    compareText(a.sliceName, b.sliceName)
  );
}

function preference(conditions: number): number {
  return (
    (conditions & CONDITION.READY ? 4 : 0) +
    (conditions & CONDITION.SERVING ? 2 : 0) +
    (conditions & CONDITION.TERMINATING ? 0 : 1)
  );
}
