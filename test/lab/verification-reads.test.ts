// The reads that verification makes, on a kernel with IPVS and with legacy iptables only: services in pieces, fingerprints of tables.

import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `reads for verification in the lab${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let seen: any;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./verification-reads-guest.ts', import.meta.url), [], {
        memoryMb: 512,
      });
      if (guest.exitCode !== 0)
        throw new Error(`the guest did not finish (exit ${guest.exitCode}):\n${guest.stderr}`);
      seen = JSON.parse(guest.stdout);
    });

    it('gives all services in pieces of at most a datagram, those with firewall marks too', () => {
      expect(seen.pieces).toMatchObject({ ofNone: [], all: [3000, true], marks: [7, 8], sizeOfFirst: true });
      const { pieces, largest, isSomeEmpty } = seen.pieces.sizes;
      expect(isSomeEmpty).toBe(false);
      expect(pieces).toBeGreaterThan(10);
      expect(largest).toBeLessThan(500);
    });

    it('lets every other request through while a listing stands still', () => {
      expect(seen.pieces.others).toEqual([true, true, true, true]);
    });

    it('fills one piece ahead: what was deleted behind the first piece is still in the second', () => {
      expect(seen.pieces.piecesAfterFlush).toBe(2);
    });

    it('leaves no descriptor open, also after an early end', () => {
      expect(seen.pieces.descriptors).toEqual([0, 0]);
    });

    it.each([0, 1])(
      'gives legacy tables another fingerprint after each change, and only then (family %i)',
      (index) => {
        expect(seen.legacy[index]).toMatchObject({
          first: 'nat absent; filter absent',
          isCounted: true,
          changes: ['start', 'chain', 'rule', 'other table', 'rule of the same size', 'policy', 'flushed'],
        });
      },
    );

    it('is what the port to the kernel gives too, and grown sets have their members', () => {
      const cidr = { type: 'hash:ip,port,net', family: 'IPv6', members: 1, maxMembers: 65_536 };
      const bitmap = { type: 'bitmap:port', family: null, members: 1, maxMembers: null };
      expect(seen.port).toEqual({
        isText: true,
        isChanged: [false, true],
        grown: [
          {
            before: [['KUBE-6-LOAD-BALANCER-SOURCE-CID', cidr]],
            after: [['KUBE-6-LOAD-BALANCER-SOURCE-CID', { ...cidr, maxMembers: 131_072 }]],
            isSame: true,
          },
          {
            before: [['KUBE-NODE-PORT-TCP', bitmap]],
            after: [['KUBE-NODE-PORT-TCP', bitmap]],
            isSame: true,
          },
        ],
        pieces: [['UDP [fd96::2]:53']],
        descriptors: 0,
      });
    });

    it('goes with a port that keeps nothing open where iptables is missing, and makes no link to take addresses off it', () => {
      expect(seen.missing).toEqual({
        ...{ refusal: 'MISSING_TOOL', failures: [], boundAddresses: null },
        descriptors: 0,
      });
    });

    it('has a generation of nf_tables too', () => {
      expect(seen.nft).toMatch(/^generation \d+$/);
    });

    it('does not make tables by asking about them', () => {
      expect(seen.legacy.map(({ family, created }: any) => [family, created])).toEqual([
        ['IPv4', ''],
        ['IPv6', ''],
      ]);
    });
  },
);
