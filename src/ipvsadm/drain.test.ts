import { beforeEach, describe, expect, it } from 'vitest';
import { DNS, DrainWorld, MARK, OTHER, SERVER, TLS, WEB } from '../../test/drain-world.ts';
import { realServer } from '../../test/fake-ipvs-table.ts';
import { type IpvsDestination } from '../kernel/ipvs-codec.ts';
import type { DrainOptions } from './drain.ts';

let world = new DrainWorld();
let { io, table, weights, drain, undrain, hold } = world;

beforeEach(() => {
  world = new DrainWorld();
  ({ io, table, weights, drain, undrain, hold } = world);
});

describe('drain', () => {
  it('sets weight 0 and nothing else, remembers the weight, waits for active connections, and ends with 0', async () => {
    hold(2, 9);
    io.at(3500, () => hold(1, 10));
    io.at(5500, () => hold(0, 11));
    expect(await drain()).toBe(0);
    expect(io.stdout).toBe(`TCP 10.96.0.10:80 -> 10.0.0.1:8080: weight 5 -> 0
TCP 10.96.0.10:80 -> 10.0.0.1:8080: 2 active, 9 inactive, 0 persistent left
TCP 10.96.0.10:80 -> 10.0.0.1:8080: 1 active, 10 inactive, 0 persistent left
TCP 10.96.0.10:80 -> 10.0.0.1:8080: 0 active, 11 inactive, 0 persistent left
TCP 10.96.0.10:80 -> 10.0.0.1:8080: drained
to undo: ipvsadm undrain -t 10.96.0.10:80 -r 10.0.0.1:8080
`);
    expect(io.errors).toBe('');
    expect(io.nowMs()).toBe(7000);
    expect(table.writes).toEqual(['SET_DEST TCP 10.96.0.10:80 -> 10.0.0.1:8080']);
    expect(weights).toEqual(new Map([['TCP 10.96.0.10:80 -> 10.0.0.1:8080', 5]]));
    expect(table.isClosed).toBe(true);
  });

  it.each<[string, Partial<IpvsDestination>]>([
    ['forwarding and thresholds', { forwarding: 'directRoute', upperThreshold: 90, lowerThreshold: 40 }],
    ['a tunnel', { forwarding: 'tunnel', tunnel: { type: 'gue', port: 5555, flags: 2 } }],
  ])('keeps %s as they are', async (_, settings) => {
    const server = realServer('10.0.0.1', 8080, { weight: 5, ...settings });
    table.put(WEB, [server, OTHER]);
    expect(await drain()).toBe(0);
    expect(table.destination(WEB, SERVER)).toEqual({ ...server, weight: 0 });
    expect(await undrain()).toBe(0);
    expect(table.destination(WEB, SERVER)).toEqual(server);
  });

  it('is done at once when there are no connections at all', async () => {
    expect(await drain()).toBe(0);
    expect(io.nowMs()).toBe(0);
  });

  it('looks a second time when only inactive connections are left, which may be handshakes', async () => {
    hold(0, 1);
    io.at(500, () => hold(1, 0));
    io.at(4500, () => hold(0, 0));
    expect(await drain()).toBe(0);
    expect(io.nowMs()).toBe(5000);
  });

  it('removes the server after the wait when asked to, and forgets its weight', async () => {
    hold(1);
    io.at(2500, () => hold(0));
    expect(await drain({ removes: true })).toBe(0);
    expect(table.has(WEB, SERVER)).toBe(false);
    expect(table.has(WEB, OTHER)).toBe(true);
    expect(weights.size).toBe(0);
    expect(io.stdout).toMatch(/: drained\n.*: removed\n$/);
  });

  it('ends with 1 at the deadline, and does not remove what still has connections', async () => {
    hold(3);
    expect(await drain({ removes: true, deadlineMs: 2500 })).toBe(1);
    expect(io.nowMs()).toBe(2500);
    expect(table.destination(WEB, SERVER).weight).toBe(0);
    expect(io.stdout).toContain(
      'the deadline has passed with 3 connections to wait for (3 active, 0 inactive, 0 persistent left); weight 0 stays\nto undo: ',
    );
  });

  it('takes a server for drained that has nothing to wait for at the deadline', async () => {
    hold(0, 4);
    expect(await drain({ deadlineMs: 0 })).toBe(0);
  });

  it('does not wait when told so', async () => {
    hold(3);
    expect(await drain({ waits: false })).toBe(0);
    expect(io.nowMs()).toBe(0);
    expect(table.destination(WEB, SERVER).weight).toBe(0);
    expect(io.stdout).toBe(`TCP 10.96.0.10:80 -> 10.0.0.1:8080: weight 5 -> 0
to undo: ipvsadm undrain -t 10.96.0.10:80 -r 10.0.0.1:8080
`);
  });

  it('refuses to remove without a wait', async () => {
    expect(await drain({ waits: false, removes: true })).toBe(2);
    expect(table.writes).toEqual([]);
    expect(io.errors).toContain('--remove does not go with --no-wait');
  });

  it('leaves weight 0 when the user ends it, and says how to undo', async () => {
    hold(3);
    io.at(1500, () => io.interrupt());
    expect(await drain({ service: null })).toBe(1);
    expect(table.destination(WEB, SERVER).weight).toBe(0);
    expect(weights.size).toBe(1);
    expect(io.stdout).toMatch(
      /interrupted, 3 active.*weight 0 stays\nto undo: ipvsadm undrain -r 10\.0\.0\.1:8080\n$/,
    );
  });

  it('waits on for a server that was drained already, and keeps what is remembered of it', async () => {
    weights.set('TCP 10.96.0.10:80 -> 10.0.0.1:8080', 5);
    table.put(WEB, [{ ...SERVER, weight: 0 }, OTHER]);
    hold(1);
    io.at(1500, () => hold(0));
    expect(await drain()).toBe(0);
    expect(table.writes).toEqual([]);
    expect(io.stdout).toContain('weight is 0 already');
    expect(weights.size).toBe(1);
  });

  it('says where the weight could not be remembered, and drains all the same', async () => {
    world.memoryNote = '/run/pointsman/x cannot be written (EROFS)';
    expect(await drain()).toBe(0);
    expect(io.errors).toContain('note: /run/pointsman/x cannot be written (EROFS)\n');
  });
});

describe('drain of a server in several virtual servers', () => {
  beforeEach(() => {
    table.put(TLS, [realServer('10.0.0.1', 8443, { weight: 2 }), OTHER]);
    table.put(DNS, [OTHER]);
  });

  it('drains every port of the address when none is given', async () => {
    hold(1);
    hold(2, 0, 0, TLS, realServer('10.0.0.1', 8443));
    io.at(1500, () => hold(0));
    io.at(2500, () => hold(0, 0, 0, TLS, realServer('10.0.0.1', 8443)));
    expect(await drain({ service: null, port: null, removes: true })).toBe(0);
    expect(io.stdout).toBe(`TCP 10.96.0.10:80 -> 10.0.0.1:8080: weight 5 -> 0
TCP 10.96.0.10:443 -> 10.0.0.1:8443: weight 2 -> 0
0 of 2 servers drained: 3 active, 0 inactive, 0 persistent left
TCP 10.96.0.10:80 -> 10.0.0.1:8080: drained
1 of 2 servers drained: 2 active, 0 inactive, 0 persistent left
TCP 10.96.0.10:443 -> 10.0.0.1:8443: drained
TCP 10.96.0.10:80 -> 10.0.0.1:8080: removed
TCP 10.96.0.10:443 -> 10.0.0.1:8443: removed
`);
    expect(table.has(TLS, OTHER)).toBe(true);
  });

  it('drains one port wherever it is', async () => {
    expect(await drain({ service: null, address: OTHER.address })).toBe(0);
    expect(table.writes.sort()).toEqual([
      'SET_DEST TCP 10.96.0.10:443 -> 10.0.0.2:8080',
      'SET_DEST TCP 10.96.0.10:80 -> 10.0.0.2:8080',
      'SET_DEST UDP 10.96.0.2:53 -> 10.0.0.2:8080',
    ]);
  });

  it('goes on with the others when one is refused, and ends with 1', async () => {
    table.faults.push({ matches: (write) => write.includes(':443'), errno: 'ENOMEM', times: 1 });
    expect(await drain({ service: null, port: null })).toBe(1);
    expect(io.errors).toMatch(/SET_DEST TCP 10\.96\.0\.10:443 -> 10\.0\.0\.1:8443: ENOMEM/);
    expect(table.destination(WEB, SERVER).weight).toBe(0);
    expect(io.stdout).toContain('TCP 10.96.0.10:80 -> 10.0.0.1:8080: drained\n');
  });

  it('reads, while it waits, only what is not drained', async () => {
    hold(1);
    io.at(5500, () => hold(0));
    await drain({ service: null, port: null });
    expect(table.reads.filter((read) => read === 'destinations TCP 10.96.0.10:443')).toHaveLength(2);
  });
});

describe('drain of a server that is not there', () => {
  it.each<[string, Partial<DrainOptions>, string]>([
    [
      'lists the servers',
      { port: 81 },
      'TCP 10.96.0.10:80 has no real server 10.0.0.1:81; real servers: 10.0.0.1:8080, 10.0.0.2:8080',
    ],
    [
      'lists the servers of all',
      { service: null, address: DNS.fwmark === undefined ? DNS.address : SERVER.address, port: null },
      'no virtual server has real server 10.96.0.2; real servers: 10.0.0.1:8080, 10.0.0.2:8080',
    ],
    [
      'lists the virtual servers',
      { service: MARK },
      'there is no virtual server FWM 7; virtual servers: TCP 10.96.0.10:80',
    ],
  ])('%s and ends with 2', async (_, options, text) => {
    expect(await drain(options)).toBe(2);
    expect(io.errors).toBe(`ipvsadm drain: ${text}\n`);
    expect(table.writes).toEqual([]);
  });

  it('does not list thousands', async () => {
    table.put(
      WEB,
      Array.from({ length: 300 }, (_, index) => realServer(`10.1.${index >> 8}.${index & 255}`, 80)),
    );
    expect(await drain()).toBe(2);
    expect(io.errors).toMatch(/10\.1\.0\.9:80 and 290 more\n$/);
  });

  it('says so when there is nothing at all', async () => {
    table.drop(WEB);
    expect(await drain({ service: null })).toBe(2);
    expect(io.errors).toBe('ipvsadm drain: there is no virtual server\n');
  });
});
