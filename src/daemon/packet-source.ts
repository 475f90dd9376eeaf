// Who sends the packet that `pointsman explain` follows: an address, a pod by its name, or this node; and by which way it comes in. Pure.

import { PointsmanError } from '../model/errors.ts';
import { familyOf, isLoopback, type Family, type IpAddress } from '../model/ip.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { podsOf, type PodAddress } from '../model/pods.ts';
import type { PacketInput } from '../plan/clients.ts';
import type { ForwardingPlan, NodeOptions } from '../plan/plan.ts';

/** Who sends the packet: an address, a pod by name (namespace '' = any), or this node. */
export type PacketSource =
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'node' };

/** The address of this node as a source. Throws USAGE when it has none of the family. */
export function addressOfNode({ nodeIPs, nodeName }: NodeOptions, family: Family): IpAddress {
  const address = nodeIPs.find((one) => familyOf(one) === family);
  if (address !== undefined) return address;
  const message = `the ${family} address of node ${nodeName} is not known; give it with --from ADDRESS --input node`;
  throw new PointsmanError('USAGE', message);
}

/** The pod of that name with its address of a family, from the EndpointSlices. Throws USAGE when there is none, or more than one. */
export function findPod(
  wanted: Extract<PacketSource, { kind: 'pod' }>,
  family: Family,
  events: readonly ClusterEvent[],
): PodAddress {
  const text = wanted.namespace === '' ? wanted.name : `${wanted.namespace}/${wanted.name}`;
  const named = events
    .flatMap((event) =>
      event.type === 'apply' && event.object.kind === 'EndpointSlice' ? podsOf(event.object) : [],
    )
    .filter(
      ({ namespace, name }) =>
        name === wanted.name && (wanted.namespace === '' || namespace === wanted.namespace),
    );
  const namespaces = [...new Set(named.map(({ namespace }) => namespace))].sort();
  if (namespaces.length > 1) {
    const choices = namespaces.map((namespace) => `pod/${namespace}/${wanted.name}`).join(' or ');
    throw new PointsmanError('USAGE', `there are several pods ${wanted.name}; write ${choices}`);
  }
  const [pod] = named.filter(({ address }) => familyOf(address) === family);
  if (pod !== undefined) return pod;
  const what = named.length === 0 ? `no endpoint is a pod ${text}` : `pod ${text} has no ${family} address`;
  throw new PointsmanError(
    'USAGE',
    `${what} (pods are known from targetRef in EndpointSlices); give its address instead`,
  );
}

/**
 * How a packet of this source comes in, as far as one can tell: an address of this node sends from it; an endpoint on it comes by an
 * interface that a detector of interfaces would know.
 */
export function guessInput(
  source: IpAddress,
  localAddresses: readonly IpAddress[],
  { node, services }: ForwardingPlan,
): PacketInput {
  const plans = [...services.values()];
  const isBound = plans.some(({ virtualServers }) =>
    virtualServers.some(({ address }) => address === source),
  );
  if (isLoopback(source) || isBound || localAddresses.includes(source) || node.nodeIPs.includes(source))
    return { from: 'node' };
  const isHere = plans.some(({ localEndpoints }) => localEndpoints.some(({ address }) => address === source));
  return { from: 'interface', interfaceName: isHere ? podInterface(node) : '' };
}

function podInterface({ localDetector }: NodeOptions): string {
  switch (localDetector.kind) {
    case 'bridge':
      return localDetector.interfaceName;
    case 'interfacePrefix':
      return localDetector.prefix;
    case 'none':
    case 'cidr':
      return '';
  }
}
