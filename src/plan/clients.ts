// Who sends a packet, as far as policies care: a pod, this node, or somebody outside; and what each of them gets of a frontend. Pure.
// Source: kube-proxy 1.36 (localdetector.go, order of rules in the chains of external frontends); spec of the service model, 1.4.

import { cidrContains, familyOf, type IpAddress } from '../model/ip.ts';
import type { ClientKind, LocalDetector, Masquerade, Selection, VirtualServer } from './plan.ts';

/** Where a packet comes in: from a process of this node, or from the network by an interface ('' = it is not known which). */
export type PacketInput =
  | { readonly from: 'node' }
  | { readonly from: 'interface'; readonly interfaceName: string };

/**
 * The kind of client. The detector is asked first, as kube-proxy's rules do: with a CIDR detector a process of this node that sends from
 * an address of the pod network is a pod.
 */
export function clientKindOf(source: IpAddress, input: PacketInput, detector: LocalDetector): ClientKind {
  if (isPod(source, input, detector)) return 'pod';
  return input.from === 'node' ? 'node' : 'outside';
}

function isPod(source: IpAddress, input: PacketInput, detector: LocalDetector): boolean {
  const interfaceName = input.from === 'interface' ? input.interfaceName : '';
  switch (detector.kind) {
    case 'none':
      return false;
    case 'cidr': {
      const cidr = familyOf(source) === 'IPv4' ? detector.ipv4 : detector.ipv6;
      return cidr !== null && cidrContains(cidr, source);
    }
    case 'bridge':
      return interfaceName === detector.interfaceName;
    case 'interfacePrefix':
      return interfaceName.startsWith(detector.prefix);
  }
}

/** What a frontend does with the connections of a kind of client. */
export function selectionFor(virtualServer: VirtualServer, client: ClientKind): Selection {
  return client === 'outside' ? virtualServer.external : virtualServer.internal;
}

/** True when the source address of such a client is replaced, apart from hairpin. */
export function isMasqueraded(masquerade: Masquerade, client: ClientKind): boolean {
  switch (masquerade) {
    case 'none':
      return false;
    case 'node':
      return client === 'node';
    case 'nonPods':
      return client !== 'pod';
    case 'all':
      return true;
  }
}
