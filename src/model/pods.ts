// Which pods stand behind the endpoints of an EndpointSlice: asked only by people (`pointsman explain --from pod/NAME`), so nothing of it is
// kept in records. Takes any JSON value; never throws. Pure. Source: discovery.k8s.io/v1 (Endpoint.targetRef).

import { member } from './fields.ts';
import { parseIp, type IpAddress } from './ip.ts';
import { namespaceOf } from './service.ts';

/** A pod as an endpoint refers to it. */
export interface PodAddress {
  readonly namespace: string;
  readonly name: string;
  readonly address: IpAddress;
  /** '' when unknown. */
  readonly nodeName: string;
}

/** The pods of an EndpointSlice, in its order; a pod may come several times. */
export function podsOf(slice: unknown): PodAddress[] {
  const endpoints = member(slice, 'endpoints');
  if (!Array.isArray(endpoints)) return [];
  return endpoints.flatMap((endpoint) => {
    const reference = member(endpoint, 'targetRef');
    const addresses = member(endpoint, 'addresses');
    const name = member(reference, 'name');
    const text: unknown = Array.isArray(addresses) ? addresses[0] : undefined;
    const address = typeof text === 'string' ? parseIp(text) : null;
    if (member(reference, 'kind') !== 'Pod' || typeof name !== 'string' || address === null) return [];
    const namespace = member(reference, 'namespace');
    const nodeName = member(endpoint, 'nodeName');
    return {
      namespace:
        typeof namespace === 'string' && namespace !== '' ? namespace : (namespaceOf(slice) ?? 'default'),
      name,
      address,
      nodeName: typeof nodeName === 'string' ? nodeName : '',
    };
  });
}
