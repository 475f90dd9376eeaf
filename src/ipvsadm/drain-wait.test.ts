import { beforeEach, describe, expect, it } from 'vitest';
import { DNS, DrainWorld, MARK, OTHER, SERVER, TLS, WEB } from '../../test/drain-world.ts';
import { serviceKey } from '../../test/fake-ipvs-table.ts';
import { SERVICE_FLAG, type ServiceKey } from '../kernel/ipvs-codec.ts';
import { PointsmanError } from '../model/errors.ts';
import type { DrainOptions } from './drain.ts';

const EXPIRE_TEMPLATES = '/proc/sys/net/ipv4/vs/expire_quiescent_template';

let world = new DrainWorld();
let { io, table, weights, drain, hold, events } = world;

beforeEach(() => {
  world = new DrainWorld();
  ({ io, table, weights, drain, hold, events } = world);
});

describe('what is waited for', () => {
  it.each<[string, ServiceKey, number, [number, number, number], boolean]>([
    ['TCP: active', WEB, 0, [1, 0, 0], true],
    ['TCP: not inactive', WEB, 0, [0, 1, 0], false],
    ['UDP: inactive, since it has no others', DNS, 0, [0, 1, 0], true],
    ['a mark: inactive, since it may be UDP', MARK, 0, [0, 1, 0], true],
    ['SCTP: not inactive', serviceKey('10.96.0.3', 9, 132), 0, [0, 1, 0], false],
    ['persistence: its clients', TLS, SERVICE_FLAG.PERSISTENT, [0, 0, 1], true],
    ['no persistence: nobody', TLS, 0, [0, 0, 1], false],
  ])('%s', async (_, key, flags, [active, inactive, persistent], isWaitedFor) => {
    table.put(key, [SERVER, OTHER], { flags });
    hold(active, inactive, persistent, key);
    expect(await drain({ service: key, deadlineMs: 5000 })).toBe(isWaitedFor ? 1 : 0);
  });

  it.each<[string, string | undefined, Partial<DrainOptions>, number, RegExp]>([
    ['they come back', '0\n', {}, 1, /keep coming to a server of weight 0 .*=0\), so they are waited for/],
    ['nobody can tell whether they do', undefined, {}, 1, /so they are waited for/],
    ['the kernel sends them elsewhere', '1\n', {}, 0, /go to another server with their next connection/],
    ['they are to be ignored', '0\n', { ignoresPersistent: true }, 0, /and are not waited for, as asked/],
    ['nothing is waited for', '0\n', { waits: false }, 0, /=0\)\n/],
  ])('of persistent clients, when %s', async (_, value, options, exitCode, note) => {
    if (value !== undefined) io.files.set(EXPIRE_TEMPLATES, value);
    table.put(TLS, [SERVER, OTHER], { flags: SERVICE_FLAG.PERSISTENT, timeoutSeconds: 300 });
    hold(0, 0, 2, TLS);
    expect(await drain({ service: TLS, deadlineMs: 5000, ...options })).toBe(exitCode);
    expect(io.errors).toMatch(note);
    expect(io.errors).toMatch(/^ipvsadm drain: note: TCP 10\.96\.0\.10:443: persistent clients [^\n]*\n$/);
  });

  it.each([
    ['dh', 0, true],
    ['sh', 0, true],
    ['sh', SERVICE_FLAG.SCHED1, false],
    ['mh', 0, false],
    ['rr', 0, false],
  ])('notes that %s with flags %i refuses clients: %s', async (scheduler, flags, isNoted) => {
    table.put(WEB, [SERVER, OTHER], { scheduler, flags });
    await drain();
    expect(io.errors.includes('who are refused')).toBe(isNoted);
  });

  it('notes that no other server is left', async () => {
    table.put(WEB, [SERVER, { ...OTHER, weight: 0 }]);
    await drain();
    expect(io.errors).toContain('note: TCP 10.96.0.10:80: no other server has a weight above 0');
  });
});

describe('drain while somebody else changes the table', () => {
  beforeEach(() => hold(4));

  it.each<[string, () => void, RegExp]>([
    [
      'sets a weight',
      () => table.putDestination(WEB, { ...SERVER, weight: 9 }),
      /somebody else has set weight 9: no longer drained, 4 active/,
    ],
    [
      'deletes the server',
      () => table.drop(WEB, SERVER),
      /somebody else has deleted it; when last seen 4 active/,
    ],
    ['deletes the virtual server', () => table.drop(WEB), /somebody else has deleted it/],
    ['flushes the table', () => void table.apply([{ op: 'FLUSH' }]), /somebody else has deleted it/],
  ])('ends with 1 when he %s, and forgets the weight', async (_, change, text) => {
    io.at(1500, change);
    expect(await drain()).toBe(1);
    expect(io.nowMs()).toBe(2000);
    expect(io.stdout).toMatch(text);
    expect(weights.size).toBe(0);
    expect(table.writes.filter((write) => write.startsWith('SET'))).toHaveLength(1);
  });

  it('does not believe one dump that misses the server', async () => {
    let hidden = 0;
    table.beforeRead = (read) => {
      table.hidden.clear();
      if (read.startsWith('destinations') && hidden++ === 2)
        table.hidden.add('TCP 10.96.0.10:80 -> 10.0.0.1:8080');
    };
    io.at(4500, () => hold(0));
    expect(await drain()).toBe(0);
    expect(hidden).toBeGreaterThan(5);
  });

  it('keeps on through replies that are lost, and gives up when they stay lost', async () => {
    const lose = (fromMs: number, toMs: number) => (read: string) => {
      if (read.startsWith('destinations') && io.nowMs() >= fromMs && io.nowMs() < toMs)
        throw new PointsmanError('KERNEL_OVERRUN', 'the kernel lost replies');
    };
    table.beforeRead = lose(1000, 4000);
    io.at(5500, () => hold(0));
    expect(await drain()).toBe(0);

    hold(4);
    table.beforeRead = lose(io.nowMs() + 1000, Infinity);
    expect(await drain()).toBe(1);
    expect(io.stdout).toContain('the table cannot be read (the kernel lost replies); weight 0 stays\n');
  });

  it('is content when another one removes a drained server first', async () => {
    table.faults.push({ matches: (write) => write.startsWith('DEL_DEST'), errno: 'ENOENT', times: 1 });
    hold(0);
    expect(await drain({ removes: true })).toBe(0);
  });

  it('ends with 1 when the kernel will not delete the server', async () => {
    table.faults.push({ matches: (write) => write.startsWith('DEL_DEST'), errno: 'EPERM', times: 1 });
    hold(0);
    expect(await drain({ removes: true })).toBe(1);
    expect(io.errors).toContain('DEL_DEST TCP 10.96.0.10:80 -> 10.0.0.1:8080: EPERM');
  });
});

describe('the progress of drain', () => {
  it('is one line that is rewritten on a terminal, never wider than it', async () => {
    io.size = { columns: 60, rows: 24 };
    hold(2);
    io.at(1500, () => hold(0));
    await drain({ deadlineMs: 90_000 });
    const rewritten = io.pieces.filter((piece) => piece.startsWith('\r'));
    expect(rewritten[0]).toBe('\r\x1b[KTCP 10.96.0.10:80 -> 10.0.0.1:8080: 2 active, 0 inactive, 0');
    expect(rewritten.at(-1)).toBe('\r\x1b[K');
    io.size = { columns: 200, rows: 24 };
    hold(2);
    io.at(io.nowMs() + 1500, () => hold(0));
    await drain({ deadlineMs: 90_000 });
    expect(io.stdout).toContain('2 active, 0 inactive, 0 persistent left; 1m29s until the deadline');
  });

  it('is one JSON object per line with --json', async () => {
    hold(2, 1);
    io.at(1500, () => hold(0));
    expect(await drain({ isJson: true, deadlineMs: 60_000, removes: true })).toBe(0);
    const id = { service: 'TCP 10.96.0.10:80', server: '10.0.0.1:8080' };
    const counts = { activeConnections: 2, inactiveConnections: 1, persistentConnections: 0 };
    const none = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
    expect(events()).toEqual([
      { event: 'weight', ...id, before: 5, weight: 0 },
      { event: 'waiting', seconds: 0, servers: 1, ...counts, deadlineSeconds: 60 },
      { event: 'drained', ...id, ...none },
      { event: 'removed', ...id, ...none },
      { event: 'end', exitCode: 0 },
    ]);
  });
});
