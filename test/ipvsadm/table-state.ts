// The whole state of IPVS in one network namespace as a value that can be compared, and the way back to an empty one.
// Reads with our client, which client-cases.ts proves on its own. It must not touch counters.

import type { IpvsClient } from '../../src/kernel/ipvs.ts';
import { formatServiceKey } from '../../src/kernel/ipvs-codec.ts';

/** Services sorted by key (their order in the kernel depends on the namespace), servers in the kernel's order. */
export interface TableState {
  readonly services: readonly unknown[];
  readonly daemons: readonly unknown[];
  readonly timeouts: unknown;
}

export async function readTableState(client: IpvsClient): Promise<TableState> {
  const services: { name: string; service: unknown; destinations: readonly unknown[] }[] = [];
  for (const service of await client.services()) {
    services.push({
      name: `${service.family} ${formatServiceKey(service)}`,
      service,
      destinations: await client.destinations(service),
    });
  }
  services.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { services, daemons: await client.daemons(), timeouts: client.timeouts() };
}

/** What the kernel starts a namespace with. */
const FIRST_TIMEOUTS = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 } as const;

/** No services, no daemons, the first timeouts. Throws when the kernel refuses. */
export async function clearTable(client: IpvsClient): Promise<void> {
  const failures = await client.apply([
    { op: 'FLUSH' },
    { op: 'SET_CONFIG', timeouts: FIRST_TIMEOUTS },
    ...(await client.daemons()).map(({ role }) => ({ op: 'DEL_DAEMON', role }) as const),
  ]);
  for (const { error } of failures) throw error;
}
