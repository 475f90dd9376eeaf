// The lab's traffic on this machine's kernel over TCP and UDP. SCTP needs a guest's kernel, so the guest's tests carry it.

import { beforeAll, describe, expect, it } from 'vitest';
import { whyNoNamespaces } from '../test/kernel/in-namespace.ts';
import { runInLabNamespace } from '../test/lab/in-lab-namespace.ts';

const run = (name: string): Promise<any> =>
  runInLabNamespace(new URL('../test/lab/traffic-cases.ts', import.meta.url), name);
const title = (name: string): string =>
  whyNoNamespaces === null ? name : `${name} (skipped: ${whyNoNamespaces})`;

const NOTHING = {
  answered: 0,
  counts: {},
  sources: {},
  refused: 0,
  reset: 0,
  timedOut: 0,
  notStarted: 0,
  errors: {},
};
const COMBINATIONS = ['TCP ipv4', 'TCP ipv6', 'UDP ipv4', 'UDP ipv6'];

describe.skipIf(whyNoNamespaces !== null)(title('traffic'), () => {
  it('makes many connections and counts servers, sources and latencies', async () => {
    const reports = await run('manyConnections');
    expect(Object.keys(reports)).toEqual(COMBINATIONS);
    for (const [name, report] of Object.entries(reports)) {
      const source = name.endsWith('ipv4') ? '10.244.1.12' : 'fd00:10:244:1::12';
      expect({ name, report }).toEqual({
        name,
        report: {
          ...NOTHING,
          count: 500,
          answered: 500,
          counts: { pod1: 500 },
          sources: { [source]: 500 },
          sequence: ['pod1'],
          ordered: true,
          manyPorts: true,
        },
      });
    }
  });

  it("works from and in the node's own namespace, and moves no other thread", async () => {
    expect(await run('nodeItself')).toEqual({
      sequence: ['node1', 'node1', 'pod1', 'node1'],
      isUnmoved: true,
    });
  });

  it('uses the source address and port that it was given, time after time', async () => {
    const { seen, foreign } = await run('chosenSource');
    expect(seen).toEqual({
      'TCP ipv4': [{ '192.168.50.100': 20 }, [4711]],
      'TCP ipv6': [{ 'fd00:50::100': 20 }, [4711]],
      'UDP ipv4': [{ '192.168.50.100': 20 }, [4711]],
      'UDP ipv6': [{ 'fd00:50::100': 20 }, [4711]],
    });
    expect(foreign).toEqual({ EADDRNOTAVAIL: 1 });
  });

  describe('when there is no answer', () => {
    let seen: any;
    beforeAll(async () => {
      seen = await run('failures');
    });

    it.each(COMBINATIONS)('counts every refusal of a closed port over %s', (combination) => {
      expect(seen.closed[combination]).toEqual({ ...NOTHING, count: 20, refused: 20 });
    });

    it('counts silence as timed out, and waits for several at a time', () => {
      expect(seen.silent).toEqual({ ...NOTHING, count: 4, timedOut: 4 });
      expect(seen.isParallel).toBe(true);
    });

    it('begins nothing after the overall time', () => {
      expect(seen.cut).toEqual({ ...NOTHING, count: 10, timedOut: 2, notStarted: 8 });
    });

    it('names any other error', () => {
      expect(seen.unreachable).toEqual({ ...NOTHING, count: 3, errors: { ENETUNREACH: 3 } });
    });
  });

  describe('on connections that stay open', () => {
    let seen: any;
    beforeAll(async () => {
      seen = await run('keptOpen');
    });

    it.each(['TCP', 'UDP'])('asks again over %s from the same ports', (protocol) => {
      expect(seen[protocol]).toEqual({
        counts: [{ pod1: 5 }, { pod1: 5 }, { pod1: 5 }],
        isSamePorts: true,
        distinctPorts: 5,
      });
      expect(seen[`${protocol} closed`]).toBe('The connections of group N are closed');
    });

    it('tells that the server ended them', () => {
      expect(seen.streamAfterStop).toEqual({ ...NOTHING, count: 3, reset: 3 });
      expect(seen.datagramAfterStop).toEqual({ ...NOTHING, count: 3, refused: 3 });
    });

    it('finds the next server at the same address over UDP', () => {
      expect(seen.datagramAfterReturn).toEqual({ successor: 3 });
    });

    it('asks one question at a time, and goes on after silence', () => {
      expect(seen.meanwhile).toBe('One question at a time: an earlier echo() still waits');
      expect(seen.silent).toEqual({ ...NOTHING, count: 3, timedOut: 3 });
      expect(seen.afterSilence).toEqual({ successor: 3 });
    });
  });

  it('refuses what it cannot do, says why, and goes on', async () => {
    expect(await run('refusals')).toEqual({
      sameAgain: 'bind 0.0.0.0 port 80: EADDRINUSE',
      foreignAddress: 'bind 192.0.2.1 port 80: EADDRNOTAVAIL',
      noNamespace: 'ENOENT:',
      badName: '"" is no name for a server',
      badAddress: 'address "localhost" is not an IP address',
      badPort: 'port is from 1 to 65535, not 0',
      badCount: 'count is from 1 to 100000, not 100001',
      badFamily: 'sourceAddress ::1 is not of the family of 10.244.1.11',
      manyWithOnePort: 'Only one open connection can have a given sourcePort',
      unknownServer: 'There is no server nobody',
      stillWorks: ['pod1'],
    });
  });

  it('ends while connections still wait', async () => {
    const ended = 'The traffic worker has ended';
    expect(await run('closing')).toEqual({ waiting: ended, later: ended });
  });
});
