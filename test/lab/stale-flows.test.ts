// What becomes of the flows of UDP clients with a fixed source port on a real kernel: Linux 6.1, both families, cluster IPs (which keep the
// client's source) and node ports (which are masqueraded).

import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

type ByFlow = Readonly<Record<string, string>>;

const missing = ipvsKernel.probe();
const FLOWS = ['ClusterIP IPv4', 'NodePort IPv4', 'ClusterIP IPv6', 'NodePort IPv6'];
const NODE_PORTS = ['NodePort IPv4', 'NodePort IPv6'];
const FAMILIES = ['IPv4', 'IPv6'];

/** The same for each flow. */
const all = (what: string, flows: readonly string[] = FLOWS): ByFlow =>
  Object.fromEntries(flows.map((flow) => [flow, what]));

describe.skipIf(missing !== null)(
  `flows of UDP clients${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    let seen: Readonly<Record<string, any>> = {};

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./stale-flows-guest.ts', import.meta.url), [], {
        memoryMb: 512,
      });
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      seen = JSON.parse(json.toString()) as Record<string, any>;
    });

    it.each([
      ['client1', NODE_PORTS],
      ['node1', FLOWS],
      ['pod3', NODE_PORTS],
    ])(
      'stand in conntrack with the real server as the one that answers, masqueraded or not, from %s',
      (from, masqueraded) => {
        expect(seen['entries'][from]).toEqual({
          answers: all('pod1'),
          known: all('pod1'),
          masqueraded,
        });
      },
    );

    it('stay when a server comes, and go to another one with the next datagram when theirs goes', () => {
      expect(seen['endpointRemoved']).toEqual({
        before: all('pod1'),
        stayed: 0,
        known: all('pod1'),
        deleted: FLOWS.length,
        after: all('pod2'),
        knownAfter: all('pod2'),
      });
    });

    it('lose a datagram without that: IPVS drops what comes with a known entry for a server that is gone', () => {
      expect(seen['endpointRemovedWithoutPass']).toEqual({ first: all('silence'), second: all('pod2') });
    });

    it('are also ended by this kernel itself, a moment after their server went', () => {
      for (const flow of FLOWS) {
        const answers: readonly string[] = seen['kernelAlone'][flow];
        expect(answers.at(-1), flow).toBe('pod2');
        expect(answers.length, flow).toBeLessThanOrEqual(2);
        expect(answers.slice(0, -1), flow).not.toContain('pod1');
      }
    });

    it('are refused while there is no server, and reach the one that comes next', () => {
      expect(seen['noEndpoints']).toEqual({
        deleted: FLOWS.length,
        between: all('refused'),
        known: all(''),
        after: all('pod2'),
      });
    });

    it('are forgotten with their Service', () => {
      expect(seen['serviceDeleted']).toEqual({
        known: all('pod1'),
        deleted: FLOWS.length,
        knownAfter: all(''),
        nodePort: all('refused', NODE_PORTS),
      });
    });

    it('stay when they only have the number of a node port in common with it', () => {
      const { answers, before, after } = seen['unrelated'];
      expect(answers).toEqual(all('elsewhere', FAMILIES));
      expect(before).not.toContain(0);
      expect(after).toEqual(before);
    });

    it('that raced ahead of their Service are answered once it is there, and are not without a pass', () => {
      expect(seen['racedAhead']).toEqual({
        known: all('itself'),
        before: all('silence', NODE_PORTS),
        deleted: FLOWS.length,
        after: all('remote1', NODE_PORTS),
        knownAfter: { ...all(''), ...all('remote1', NODE_PORTS) },
      });
    });

    it('that a nat rule sent to a pod live on under IPVS, until the pod goes; without a pass they would go there for ever', () => {
      const flows = FAMILIES.map((family) => `ClusterIP ${family}`);
      expect(seen['takenOver']).toEqual({
        before: all('pod1', flows),
        keepsEntries: true,
        withoutPass: all('pod1', flows),
        after: all('pod2', flows),
      });
    });

    it('to live servers keep their very entries when the agent starts anew, and those that raced ahead meanwhile go', () => {
      const { before, after, deleted, deletedAgain, early, isDue } = seen['restart'];
      expect(before).toHaveLength(4 * FLOWS.length);
      expect(before).not.toContain(0);
      expect(after).toEqual(before);
      expect({ deleted, deletedAgain, early, isDue }).toEqual({
        deleted: NODE_PORTS.length,
        deletedAgain: 0,
        early: all('remote1', NODE_PORTS),
        isDue: false,
      });
    });

    it('that never pause all leave a server that goes, with one look', () => {
      const { flows, deleted, left, last } = seen['underTraffic'];
      expect(deleted).toEqual(deleted.map(() => flows));
      expect(left).toEqual(deleted.map(() => 0));
      expect(last).toEqual(FLOWS.map(() => ({ pod1: flows / FLOWS.length })));
    });

    it('cost no failure', () => {
      expect(seen['errors']).toEqual([]);
    });
  },
);
