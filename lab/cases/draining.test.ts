import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../boot.ts';
import type { RollingRestart } from './rolling-restart.ts';

type Sequence = readonly string[];

interface Results {
  readonly services: number;
  readonly web: readonly {
    readonly before: Sequence;
    readonly kept: readonly Sequence[];
    readonly fresh: Readonly<Record<string, number>>;
    readonly answered: number;
  }[];
  readonly beforeDeadline: readonly Sequence[];
  readonly short: readonly { readonly before: Sequence; readonly after: Sequence }[];
  readonly deleted: readonly {
    readonly protocol: string;
    readonly before: Sequence;
    readonly kept: Sequence;
    readonly fresh: Sequence;
  }[];
  readonly flapping: {
    readonly before: readonly Sequence[];
    readonly echoes: readonly Sequence[];
    readonly returned: number;
    readonly afterwards: Readonly<Record<string, number>>;
  };
  readonly hashed: {
    readonly before: Sequence;
    readonly whileDraining: Sequence;
    readonly kept: Sequence;
  };
  readonly sticky: { readonly before: Sequence; readonly kept: Sequence; readonly fresh: Sequence };
  readonly reused: { readonly lastServer: string; readonly next: Sequence };
  readonly udp: readonly Sequence[];
  readonly udpDrains: number;
  readonly ended: Readonly<Record<string, number>>;
  readonly rolling: RollingRestart;
  readonly leftOfDeleted: Sequence;
  readonly tcpServersOfWeb: Sequence;
  readonly stopped: number;
  readonly log: string;
}

const missing = ipvsKernel.probe();
const SERVERS = ['pod1', 'pod2', 'remote1', 'remote2'];
const STAYING = SERVERS.slice(1);
const fill = (count: number, text: string): string[] => Array.from({ length: count }, () => text);

describe.skipIf(missing !== null)(
  `servers and Services that go, with clients connected${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    let results: Results;
    beforeAll(async () => {
      const guest = await runInGuest(new URL('./draining.ts', import.meta.url), []);
      const found = guest.files.get('result.json');
      if (guest.exitCode !== 0 || found === undefined)
        throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr.slice(-6000)}`);
      results = JSON.parse(found.toString()) as Results;
    });

    it('a server that leaves keeps its connections and gets no new one: TCP and SCTP, IPv4 and IPv6', () => {
      expect(results.web).toHaveLength(4);
      for (const { before, kept, fresh, answered } of results.web) {
        expect(new Set(before)).toEqual(new Set(SERVERS));
        expect(kept).toEqual([before, before]);
        expect(answered).toBe(12);
        expect(Object.keys(fresh).sort()).toEqual(STAYING);
      }
    });

    it('is deleted by itself when its connections have ended', () => {
      expect(results.tcpServersOfWeb).toHaveLength(3);
      expect(results.tcpServersOfWeb).not.toContain('10.244.1.11:8001');
    });

    it('is cut when its time is up, which is logged; the connections to others go on', () => {
      for (const [i, { before, after }] of results.short.entries()) {
        expect(results.beforeDeadline[i]).toEqual(before);
        expect(after).toEqual(before.map((server) => (server === 'pod1' ? 'reset' : server)));
      }
      const cuts = results.log
        .split('\n')
        .filter((line) => /Connections were cut.*(96\.9\.2|fd96::9:2\]):80/.test(line));
      expect(cuts.map((line) => /object="(.*?)" connections=1 /.exec(line)?.[1])).toEqual([
        'TCP 10.96.9.2:80 -> 10.244.1.11:8002',
        'TCP [fd96::9:2]:80 -> [fd00:10:244:1::11]:8002',
      ]);
    });

    it('a Service that is deleted keeps its connections and takes no new ones; then nothing of it is left', () => {
      expect(results.deleted.map(({ protocol }) => protocol)).toEqual(['TCP', 'TCP', 'SCTP', 'SCTP']);
      for (const { protocol, before, kept, fresh } of results.deleted) {
        expect(new Set(before)).toEqual(new Set(SERVERS));
        expect(kept).toEqual(before);
        expect(fresh).toEqual(fill(4, protocol === 'TCP' ? 'refused' : 'timedOut'));
      }
      expect(results.leftOfDeleted).toEqual([]);
    });

    it('one that comes and goes ten times keeps its connections and serves again', () => {
      const { before, echoes, returned, afterwards } = results.flapping;
      expect(echoes).toEqual(Array.from({ length: 10 }, () => before).flat());
      expect(returned).toBe(20);
      expect(Object.keys(afterwards).sort()).toEqual(SERVERS);
    });

    it('with scheduler sh its clients go to others, and all others stay', () => {
      const { before, whileDraining, kept } = results.hashed;
      expect(new Set(before)).toEqual(new Set(SERVERS));
      expect(kept).toEqual(before);
      for (const [i, server] of before.entries()) {
        if (server === 'pod1') expect(STAYING).toContain(whileDraining[i]);
        else expect(whileDraining[i]).toBe(server);
      }
    });

    it('with session affinity its clients go to another, all to the same', () => {
      const { before, kept, fresh } = results.sticky;
      const [server = ''] = before;
      const [next = ''] = fresh;
      expect(kept).toEqual(fill(4, server));
      expect(SERVERS.filter((each) => each !== server)).toContain(next);
      expect(fresh).toEqual(fill(8, next));
    });

    it('a client that uses its port again goes to another', () => {
      const { lastServer, next } = results.reused;
      expect(SERVERS.filter((each) => each !== lastServer)).toContain(next[0]);
    });

    it('UDP leaves at once', () => {
      expect(results.udp.map((servers) => servers.length)).toEqual([3, 3]);
      expect(results.udp.flat().filter((server) => !server.endsWith(' 1'))).toEqual([]);
      expect(results.udpDrains).toBe(0);
    });

    it('a rolling restart of all pods fails no connection, and none reaches a pod after its drain', () => {
      const { connections, failures, lastReachedAfterMs } = results.rolling;
      expect(failures).toEqual([]);
      expect(connections).toBeGreaterThanOrEqual(200);
      expect(lastReachedAfterMs).toHaveLength(8);
    });

    it('each drain is counted by its end, and no operation failed', () => {
      expect(results.ended).toMatchObject({ returned: 20, gone: 0 });
      expect(results.log).not.toMatch(/ failed=[1-9]/);
      expect(results.stopped).toBe(0);
    });
  },
);
