// The lab's networks and traffic with Debian's ipvsadm alone: what they show is the kernel's doing, and the kernel's rr is exact.

import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../boot.ts';
import { cellName, CELLS, CONNECTIONS, SERVICES } from './masquerading-cells.ts';

interface Seen {
  readonly counts: Readonly<Record<string, number>>;
  readonly sources: Readonly<Record<string, number>>;
  readonly count: number;
  readonly answered: number;
}

const reason = ipvsKernel.probe();

/** Masquerading changes where a connection goes, not where it comes from: the servers see the client's own address. */
const SOURCES: Readonly<Record<string, { readonly ipv4: string; readonly ipv6: string }>> = {
  client1: { ipv4: '192.168.50.100', ipv6: 'fd00:50::100' },
  pod5: { ipv4: '10.244.1.15', ipv6: 'fd00:10:244:1::15' },
  // The service address is one of the node's own, and so what it asks with.
  node1: SERVICES.near,
};

describe.skipIf(reason !== null)(
  `IPVS masquerading in the lab${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let seen: Readonly<Record<string, Seen>> = {};
    let saved = '';

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./masquerading.ts', import.meta.url), []);
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      ({ seen, saved } = JSON.parse(json.toString()) as { seen: Record<string, Seen>; saved: string });
    });

    it.each(CELLS.map((cell) => ({ name: cellName(cell), cell })))(
      'spreads evenly over four servers under rr: $name',
      ({ name, cell }) => {
        expect(seen[name]).toEqual({
          count: CONNECTIONS,
          answered: CONNECTIONS,
          counts: Object.fromEntries(
            SERVICES[cell.service].servers.map((server) => [server, CONNECTIONS / 4]),
          ),
          sources: { [SOURCES[cell.from]?.[cell.family] ?? '']: CONNECTIONS },
        });
      },
    );

    it('is what ipvsadm prints in the end: a virtual server of four for each service, protocol and family', () => {
      const lines = saved.trimEnd().split('\n');
      expect(lines.filter((line) => /^-A \S+ \S+ -s rr$/.test(line))).toHaveLength(12);
      expect(lines.filter((line) => /^-a \S+ \S+:80 -r \S+:8080 -m -w 1$/.test(line))).toHaveLength(48);
      expect(lines).toHaveLength(60);
    });
  },
);
