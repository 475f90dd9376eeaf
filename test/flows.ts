// Flows and portals in short words, for tests of what becomes of stale UDP flows: "10.96.0.10 53" is an address and a port.

import type { FlowChange, FlowTarget } from '../src/backends/stale-flows.ts';
import type { ConntrackEntry } from '../src/kernel/conntrack-codec.ts';
import { familyOf } from '../src/model/ip.ts';
import { address } from './addresses.ts';

export const UDP = 17;

export function target(text: string): FlowTarget {
  const [ip = '', port = ''] = text.split(' ');
  return { address: address(ip), port: Number(port) };
}

/** A UDP portal that has these servers now; null: it is gone. */
export function change(portal: string, servers: readonly string[] | null): FlowChange {
  return {
    portal: { protocol: UDP, ...target(portal) },
    realServers: servers === null ? null : servers.map(target),
  };
}

/** A flow of a client to `portal` that `answeredBy` answers. */
export function flow(
  portal: string,
  answeredBy: string,
  more: { readonly protocol?: number; readonly zone?: number; readonly id?: number } = {},
): ConntrackEntry {
  const to = target(portal);
  const from = target(answeredBy);
  const family = familyOf(to.address);
  const client = { address: address(family === 'IPv6' ? '2001:db8::9' : '203.0.113.9'), port: 999 };
  const { protocol = UDP, zone = 0, id = 1 } = more;
  return {
    family,
    original: {
      source: client.address,
      destination: to.address,
      protocol,
      sourcePort: client.port,
      destinationPort: to.port,
    },
    reply: {
      source: from.address,
      destination: client.address,
      protocol,
      sourcePort: from.port,
      destinationPort: client.port,
    },
    zone,
    mark: 0,
    status: 0,
    timeoutSeconds: 30,
    id,
  };
}
