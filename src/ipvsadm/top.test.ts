import { beforeEach, describe, expect, it } from 'vitest';
import { realServer, serviceKey, type FakeIpvsTable } from '../../test/fake-ipvs-table.ts';
import { FakeIpvsadmIo } from '../../test/fake-ipvsadm-io.ts';
import { PointsmanError } from '../model/errors.ts';
import { DEFAULT_TOP_OPTIONS, topCommand, type TopOptions } from './top.ts';
import { parsePercpuStats, PERCPU_STATS, RUN_ESTIMATION } from './top-total.ts';

const WEB = serviceKey('10.96.0.10', 80);
const DNS = serviceKey('10.96.0.2', 53, 17);
const FIRST = realServer('10.0.0.1', 8080, { weight: 3 });
const SECOND = realServer('10.0.0.2', 8080);

let io: FakeIpvsadmIo;
let table: FakeIpvsTable;

beforeEach(() => {
  io = new FakeIpvsadmIo();
  ({ table } = io);
  table.put(WEB, [FIRST, SECOND]);
  table.put(DNS, [realServer('10.0.0.9', 53)]);
});

/** Looks every two seconds, as often as the kernel counts. */
const top = (options: Partial<TopOptions> = {}): Promise<number> =>
  topCommand({ ...DEFAULT_TOP_OPTIONS, isNumeric: true, intervalMs: 2000, ...options }, io);

/** Adds the same to a virtual server and to its first server. */
function count(atMs: number, connections: bigint): void {
  io.at(atMs, () => {
    table.count(WEB, null, { connections, inBytes: connections * 100n });
    table.count(WEB, FIRST, { connections, inBytes: connections * 100n });
  });
}

/** Name and CPS of each line of each block. */
function cpsOfBlocks(): string[][] {
  return io.stdout.split('\n\n').map((block) =>
    block
      .trimEnd()
      .split('\n')
      .slice(3)
      .map((line) => line.trim().split(/ +/).slice(1, 3).join(' ')),
  );
}

describe('top under a pipe', () => {
  it('prints one block of rates and ends', async () => {
    table.count(WEB, null, { connections: 1_000_000n });
    count(500, 8n);
    expect(await top()).toBe(0);
    expect(cpsOfBlocks()).toEqual([
      ['10.96.0.10:80 4', '10.0.0.1:8080 4', '10.0.0.2:8080 0', '10.96.0.2:53 0', '10.0.0.9:53 0'],
    ]);
    expect(io.nowMs()).toBe(2000);
    expect(io.errors).toBe('');
    expect(table.isClosed).toBe(true);
  });

  it('divides by the time that was measured, not by the interval', async () => {
    count(500, 16n);
    io.at(1900, () => io.pass(2100));
    await top({ hasServers: false });
    expect(cpsOfBlocks()[0]).toContain('10.96.0.10:80 4');
  });

  it('looks as often as it is told and still measures over the step of the kernel', async () => {
    for (let atMs = 700; atMs < 6000; atMs += 2000) count(atMs, 20n);
    await top({ intervalMs: 1000, iterations: 4, hasServers: false });
    expect(cpsOfBlocks().map(([first]) => first)).toEqual(
      Array.from({ length: 4 }, () => '10.96.0.10:80 10'),
    );
    expect(io.nowMs()).toBe(5000);
  });

  it('prints as many blocks as were asked for, an empty line between them', async () => {
    count(500, 8n);
    count(2500, 12n);
    await top({ iterations: 3, hasServers: false });
    expect(cpsOfBlocks()).toEqual([
      ['10.96.0.10:80 4', '10.96.0.2:53 0'],
      ['10.96.0.10:80 6', '10.96.0.2:53 0'],
      ['10.96.0.10:80 0', '10.96.0.2:53 0'],
    ]);
    expect(io.stdout).not.toContain('\x1b');
    expect(io.stdout.endsWith('\n')).toBe(true);
  });

  it('handles services and servers that come, go, are zeroed or made anew', async () => {
    count(100, 50n);
    io.at(2500, () => void table.apply([{ op: 'ZERO', service: WEB }]));
    count(2600, 8n);
    io.at(4500, () => {
      table.drop(DNS);
      table.drop(WEB, SECOND);
      table.put(WEB, [FIRST, realServer('10.0.0.3', 8080)]);
    });
    count(4600, 4n);
    await top({ iterations: 3 });
    expect(cpsOfBlocks()).toEqual([
      ['10.96.0.10:80 25', '10.0.0.1:8080 25', '10.0.0.2:8080 0', '10.96.0.2:53 0', '10.0.0.9:53 0'],
      ['10.96.0.10:80 4', '10.0.0.1:8080 4', '10.0.0.2:8080 0', '10.96.0.2:53 0', '10.0.0.9:53 0'],
      ['10.96.0.10:80 2', '10.0.0.1:8080 2', '10.0.0.3:8080 0'],
    ]);
  });

  it('writes one JSON object per line with --json, on a terminal too', async () => {
    io.size = { columns: 20, rows: 5 };
    count(500, 8n);
    await top({ iterations: 2, isJson: true });
    const lines = io.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      seconds: 2,
      virtualServers: [{ port: 80, ratesPerSecond: { connections: 4, inBytes: 400 } }, { port: 53 }],
    });
  });

  it('reads the servers of what it shows only', async () => {
    await top({ hasServers: false });
    expect(table.reads).toEqual(['info', 'services', 'services']);
  });

  it('ends with exit code 1 and one line when the table cannot be read', async () => {
    table.beforeRead = (read) => {
      if (read === 'services' && io.nowMs() > 0)
        throw new PointsmanError('KERNEL_OVERRUN', 'the kernel lost replies');
    };
    expect(await top()).toBe(1);
    expect(io.errors).toBe('ipvsadm top: the kernel lost replies\n');
    expect(table.isClosed).toBe(true);
  });

  it('ends with exit code 2 where there is no IPVS', async () => {
    table.beforeRead = () => {
      throw new PointsmanError('MISSING_MODULE', 'no');
    };
    expect(await top()).toBe(2);
    expect(io.errors).toMatch(/^Can't initialize ipvs: Protocol not available\n/);
  });

  it('takes no more than half of the time where reading is slow', async () => {
    const starts: number[] = [];
    table.beforeRead = (read) => {
      if (read !== 'services') return;
      starts.push(io.nowMs());
      io.pass(3000);
    };
    await top({ iterations: 2, hasServers: false });
    expect(starts).toEqual([0, 6000, 12_000]);
  });
});

describe('top on a terminal', () => {
  beforeEach(() => {
    io.size = { columns: 110, rows: 6 };
  });

  it('rewrites the screen from its first reading on until it is ended, and gives the cursor back', async () => {
    count(500, 8n);
    io.at(4500, () => io.interrupt());
    expect(await top()).toBe(0);
    const [start, ...frames] = io.pieces;
    expect(start).toBe('\x1b[?25l\x1b[H\x1b[2J');
    expect(frames.pop()).toBe('\x1b[?25h\r\n');
    expect(frames).toHaveLength(3);
    expect(frames[0]).toContain('no rates yet');
    expect(frames.every((frame) => frame.startsWith('\x1b[H') && frame.endsWith('\x1b[K\x1b[J'))).toBe(true);
    expect(frames[1]).toMatch(/10\.96\.0\.10:80 +4 /);
    expect(frames[2]).toMatch(/10\.96\.0\.10:80 +0 /);
    expect(io.stdout).not.toContain('\x1b[?1049');
  });

  it('adapts to a terminal that changes its size', async () => {
    io.at(500, () => (io.size = { columns: 40, rows: 3 }));
    await top({ iterations: 1 });
    const lines = (io.pieces[2] ?? '').split('\r\n');
    expect(lines).toHaveLength(3);
    expect(io.pieces[1]?.split('\r\n')).toHaveLength(6);
  });

  it('gives the cursor back before it says what went wrong', async () => {
    table.beforeRead = (read) => {
      if (read === 'services') throw new PointsmanError('KERNEL_TIMEOUT', 'no answer');
    };
    expect(await top()).toBe(1);
    expect(io.pieces).toEqual(['\x1b[?25l\x1b[H\x1b[2J', '\x1b[?25h\r\n']);
    expect(io.errors).toBe('ipvsadm top: no answer\n');
  });

  it('ends at once in the middle of a long reading', async () => {
    table.beforeRead = (read) => {
      if (read.startsWith('destinations')) io.interrupt();
    };
    expect(await top()).toBe(0);
    expect(table.reads.filter((read) => read.startsWith('destinations'))).toHaveLength(1);
  });

  it('reads a bounded number of servers however many virtual servers there are', async () => {
    for (let index = 0; index < 2000; index++)
      table.put(serviceKey(`10.97.${index >> 8}.${index & 255}`, 80), [FIRST]);
    await top({ iterations: 1 });
    const reads = table.reads.filter((read) => read.startsWith('destinations'));
    expect(reads.length).toBeLessThan(2 * 300);
    expect(reads.length).toBeGreaterThan(2);
  });
});

describe('top while net.ipv4.vs.run_estimation is 0', () => {
  const percpu = (connections: number): string =>
    `       Total Incoming Outgoing         Incoming         Outgoing
CPU    Conns  Packets  Packets            Bytes            Bytes
  0 ${connections.toString(16).toUpperCase().padStart(8)}        A        B                C                D
  1        5        0        0                0                0
  ~        0        0        0                0                0

     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
          10       4F       32             109E              E7A
`;

  beforeEach(() => {
    io.files.set(RUN_ESTIMATION, '0\n');
    io.files.set(PERCPU_STATS, percpu(1000));
    io.at(500, () => io.files.set(PERCPU_STATS, percpu(1060)));
  });

  it('has the total, says why it has no other rates, and does not print zeros for them', async () => {
    table.setConnections(WEB, FIRST, { activeConnections: 7 });
    expect(await top()).toBe(0);
    const lines = io.stdout.split('\n').map((line) => line.trim().split(/ +/));
    expect(lines[2]).toEqual(['Total', '30', '0', '0', '0', '0']);
    expect(lines[3]).toEqual(['TCP', '10.96.0.10:80', '-', '-', '-', '-', '-', '7', '0']);
    expect(lines[4]).toEqual(['->', '10.0.0.1:8080', '-', '-', '-', '-', '-', '3', '7', '0']);
    expect(io.errors).toMatch(/^ipvsadm top: note: net\.ipv4\.vs\.run_estimation=0 stops [^\n]*\n$/);
  });

  it('ends in time also when there is no total', async () => {
    io.files.delete(PERCPU_STATS);
    expect(await top({ intervalMs: 700 })).toBe(0);
    expect(io.nowMs()).toBe(2100);
  });

  it.each([1000, 2000, 3000])(
    'shows no rate of what gathered before it is switched on again, looking every %i ms',
    async (intervalMs) => {
      io.at(2950, () => void io.files.set(RUN_ESTIMATION, '1\n'));
      count(4900, 1_000_000n);
      for (let atMs = 6900; atMs < 60_000; atMs += 2000) count(atMs, 20n);
      await top({ intervalMs, iterations: 8, isJson: true, hasServers: false });
      const seen = io.stdout
        .trimEnd()
        .split('\n')
        .map((line) => {
          const { virtualServers, countersStandStill } = JSON.parse(line);
          const web = virtualServers.find(({ port }: any) => port === 80);
          return { countersStandStill, cps: web.ratesPerSecond?.connections ?? null };
        });
      const counting = seen.filter(({ countersStandStill }) => !countersStandStill);
      expect(counting.length).toBeGreaterThanOrEqual(6);
      // Three seconds hold one step of twenty or two.
      const possible = intervalMs === 3000 ? [6.667, 13.333] : [10];
      for (const { cps } of counting) expect(possible).toContain(cps);
      for (const { countersStandStill, cps } of seen) if (countersStandStill) expect(cps).toBeNull();
    },
  );
});

describe('the counters per processor', () => {
  it.each([
    ['', null],
    ['CPU    Conns\n', null],
    ['  0 1 2 3 4 5\n  F 10 20 30 40 50\n  ~ 9 9 9 9 9\n', [0x11n, 0x22n, 0x33n, 0x44n, 0x55n]],
    ['  0 FFFFFFFFFFFFFFFF 0 0 0 0\n  1 1 0 0 0 0\n', [2n ** 64n, 0n, 0n, 0n, 0n]],
  ])('of %j are summed up', (text, expected) => {
    const stats = parsePercpuStats(text);
    expect(stats === null ? null : Object.values(stats)).toEqual(expected);
  });
});
