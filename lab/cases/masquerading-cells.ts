// Input of the masquerading cases: which client asks which servers, over what. Each service has four servers, in this order.

import type { Protocol } from '../traffic.ts';

export type Family = 'ipv4' | 'ipv6';

/** Ports of every service here. */
export const PORTS = { service: 80, target: 8080 } as const;

/** Connections of one cell: eight to each of the four servers. */
export const CONNECTIONS = 32;

/**
 * The servers of `near` are pods of this node. Of `spread` two are on node2, whose answers to the LAN or to a service address would pass
 * this node by, so only this node's pods ask them.
 */
export const SERVICES = {
  near: { ipv4: '10.96.8.1', ipv6: 'fd96::8:1', servers: ['pod1', 'pod2', 'pod3', 'pod4'] },
  spread: { ipv4: '10.96.8.2', ipv6: 'fd96::8:2', servers: ['pod1', 'pod2', 'remote1', 'remote2'] },
} as const;

export interface Cell {
  readonly protocol: Protocol;
  readonly family: Family;
  readonly service: keyof typeof SERVICES;
  /** The client's name in the topology. */
  readonly from: string;
}

/** All of them, in the order they run in. */
export const CELLS: readonly Cell[] = (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
  (['ipv4', 'ipv6'] as const).flatMap((family) =>
    (
      [
        ['near', 'client1'],
        ['spread', 'pod5'],
        ['near', 'node1'],
      ] as const
    ).map(([service, from]) => ({ protocol, family, service, from })),
  ),
);

/** "SCTP ipv6 near from client1". */
export function cellName({ protocol, family, service, from }: Cell): string {
  return `${protocol} ${family} ${service} from ${from}`;
}
