import { beforeEach, describe, expect, it } from 'vitest';
import { DrainWorld, OTHER, SERVER, TLS, WEB } from '../../test/drain-world.ts';
import { realServer } from '../../test/fake-ipvs-table.ts';

let world = new DrainWorld();
let { io, table, weights, drain, undrain, events } = world;

beforeEach(() => {
  world = new DrainWorld();
  ({ io, table, weights, drain, undrain, events } = world);
});

describe('undrain', () => {
  beforeEach(() => table.put(WEB, [{ ...SERVER, weight: 0, upperThreshold: 9 }, OTHER]));

  it('gives back the weight that drain remembered, and forgets it', async () => {
    weights.set('TCP 10.96.0.10:80 -> 10.0.0.1:8080', 5);
    expect(await undrain()).toBe(0);
    expect(table.destination(WEB, SERVER)).toEqual({ ...SERVER, weight: 5, upperThreshold: 9 });
    expect(io.stdout).toBe('TCP 10.96.0.10:80 -> 10.0.0.1:8080: weight 0 -> 5\n');
    expect(weights.size).toBe(0);
  });

  it('gives the weight that it is told before the one that is remembered', async () => {
    weights.set('TCP 10.96.0.10:80 -> 10.0.0.1:8080', 5);
    expect(await undrain({ weight: 7, isJson: true })).toBe(0);
    expect(table.destination(WEB, SERVER).weight).toBe(7);
    expect(events()).toEqual([
      { event: 'weight', service: 'TCP 10.96.0.10:80', server: '10.0.0.1:8080', before: 0, weight: 7 },
    ]);
  });

  it('gives weight 1 when nothing is remembered, and says so', async () => {
    world.memoryNote = 'the file is left aside: it is not what drain writes';
    expect(await undrain()).toBe(0);
    expect(table.destination(WEB, SERVER).weight).toBe(1);
    expect(io.errors).toContain('note: the weight before the drain is not remembered; weight 1 is set');
    expect(io.errors).toContain('left aside');
  });

  it('leaves a server alone that has a weight', async () => {
    table.put(WEB, [SERVER, OTHER]);
    weights.set('TCP 10.96.0.10:80 -> 10.0.0.1:8080', 9);
    expect(await undrain()).toBe(0);
    expect(table.writes).toEqual([]);
    expect(io.stdout).toContain('weight is 5 already');
    expect(weights.size).toBe(0);
  });

  it('ends with 1 when the kernel refuses, and keeps what is remembered', async () => {
    weights.set('TCP 10.96.0.10:80 -> 10.0.0.1:8080', 5);
    table.faults.push({ matches: () => true, errno: 'EPERM', times: 1 });
    expect(await undrain()).toBe(1);
    expect(weights.size).toBe(1);
    expect(io.stdout).toBe('');
    expect(io.errors).toMatch(/^ipvsadm undrain: SET_DEST .*EPERM/);
  });

  it('ends with 2 when there is no such server', async () => {
    expect(await undrain({ port: 1 })).toBe(2);
    expect(io.errors).toContain(
      'ipvsadm undrain: TCP 10.96.0.10:80 has no real server 10.0.0.1:1; real servers: ',
    );
  });

  it('undoes a drain of an address in several virtual servers', async () => {
    table.put(WEB, [SERVER, OTHER]);
    table.put(TLS, [realServer('10.0.0.1', 8443, { weight: 2 }), OTHER]);
    await drain({ service: null, port: null });
    expect(await undrain({ service: null, port: null })).toBe(0);
    expect(table.destination(WEB, SERVER).weight).toBe(5);
    expect(table.destination(TLS, realServer('10.0.0.1', 8443)).weight).toBe(2);
  });
});
