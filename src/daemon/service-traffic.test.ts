// Traffic of Services: totals that only grow, and a kernel that is read no more than it may be.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { address } from '../../test/addresses.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import type { IpvsServiceState, IpvsStats } from '../kernel/ipvs-codec.ts';
import { PointsmanError } from '../model/errors.ts';
import { serviceKey, type ServiceKey } from '../model/names.ts';
import { ServiceTraffic, TRAFFIC_READ_INTERVAL_MS } from './service-traffic.ts';
import { TrafficTotals } from './traffic-totals.ts';

const WEB = serviceKey('default', 'web');
const API = serviceKey('kube-system', 'api');

/** Counters that all are this high. */
function stats(value: number): IpvsStats {
  const count = BigInt(value);
  return {
    ...{ connections: count, inPackets: count, outPackets: count, inBytes: count, outBytes: count },
    ...{ connectionsPerSecond: 0n, inPacketsPerSecond: 0n, outPacketsPerSecond: 0n },
    ...{ inBytesPerSecond: 0n, outBytesPerSecond: 0n },
  };
}

describe('totals', () => {
  const follow = (totals: TrafficTotals, ...ids: string[]): void => totals.follow(new Map([[WEB, ids]]));
  const connections = (totals: TrafficTotals): number | undefined => totals.totals().get(WEB)?.connections;

  it('begin with the first reading, not with what was before it', () => {
    const totals = new TrafficTotals();
    follow(totals, 'a');
    expect(connections(totals)).toBe(0);
    totals.add('a', stats(1000));
    expect(connections(totals)).toBe(0);
    totals.add('a', stats(1007));
    expect(connections(totals)).toBe(7);
  });

  it('keep what a virtual server had that goes, and go on with a new one', () => {
    const totals = new TrafficTotals();
    follow(totals, 'a', 'b');
    for (const value of [100, 110]) for (const id of ['a', 'b']) totals.add(id, stats(value));
    expect(connections(totals)).toBe(20);
    follow(totals, 'b', 'c');
    totals.add('b', stats(111));
    totals.add('c', stats(5000));
    totals.add('a', stats(200));
    expect(connections(totals)).toBe(21);
  });

  it('follow counters that begin anew', () => {
    const totals = new TrafficTotals();
    follow(totals, 'a');
    for (const value of [100, 150, 30]) totals.add('a', stats(value));
    expect(connections(totals)).toBe(80);
  });

  it('go on where a listing left a virtual server out, or had it twice', () => {
    const totals = new TrafficTotals();
    follow(totals, 'a');
    totals.add('a', stats(100));
    follow(totals, 'a');
    follow(totals, 'a');
    totals.add('a', stats(120));
    totals.add('a', stats(121));
    expect(connections(totals)).toBe(21);
  });

  it('are exact beyond 32 bits, and never fall whatever is read', () => {
    const reading = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat({ max: 2 ** 40 })));
    fc.assert(
      fc.property(fc.array(reading), (readings) => {
        const totals = new TrafficTotals();
        let before = 0;
        for (const [round, values] of readings.entries()) {
          follow(totals, ...(round % 2 === 0 ? ['a', 'b'] : ['b', 'c']));
          for (const [id, value] of values) totals.add(id, stats(value));
          const now = connections(totals) ?? 0;
          expect(now).toBeGreaterThanOrEqual(before);
          before = now;
        }
      }),
    );
  });
});

function server(text: string, value: number): IpvsServiceState {
  return {
    ...{ family: 'IPv4', protocol: 6, address: address(text), port: 80 },
    ...{ scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0xffffffff },
    stats: stats(value),
  } as IpvsServiceState;
}

function world(services: ReadonlyMap<ServiceKey, readonly string[]>) {
  const timers = new FakeTimers();
  const state = {
    isOn: true,
    maxServices: 10,
    isSyncing: false,
    hasCounters: true,
    reads: 0,
    pieces: [] as IpvsServiceState[][],
    failure: null as Error | null,
    errors: [] as string[],
    onPiece: () => {},
  };
  const traffic = new ServiceTraffic({
    settings: () => state,
    serviceKeys: () => services.keys(),
    virtualServersOf: (key) => (services.get(key) ?? []).map((id) => ({ id })),
    readPieces: async function* () {
      state.reads++;
      if (state.failure !== null) throw state.failure;
      for (const piece of state.pieces) {
        yield piece;
        state.onPiece();
      }
    },
    hasCounters: () => state.hasCounters,
    isSyncing: () => state.isSyncing,
    pace: () => settled(),
    now: () => timers.now(),
    onError: (message) => state.errors.push(message),
  });
  /** Lines of a metric: "default web in 7". */
  const lines = async (name: string): Promise<string[]> => {
    const family = (await traffic.collect()).find((each) => each.name === `pointsman_service_${name}`);
    if (family === undefined || family.type === 'histogram') throw new Error(`no metric ${name}`);
    return family.samples.map(({ labels, value }) => [...Object.values(labels), value].join(' '));
  };
  return { timers, state, traffic, lines };
}

const ONE = new Map([[WEB, ['TCP 10.96.0.1:80']]]);

describe('the traffic of Services', () => {
  it('is summed up by Service and direction', async () => {
    const services = new Map([
      [WEB, ['TCP 10.96.0.1:80', 'TCP 192.0.2.1:80']],
      [API, ['TCP 10.96.0.2:80']],
    ]);
    const { lines, state, timers } = world(services);
    const reading = (more: number): IpvsServiceState[][] => [
      [server('10.96.0.1', 10 + more), server('10.96.0.2', 1)],
      [server('192.0.2.1', 5 + more), server('198.51.100.9', 99 + more)],
    ];
    state.pieces = reading(0);
    expect(await lines('connections_total')).toEqual(['default web 0', 'kube-system api 0']);
    timers.spend(TRAFFIC_READ_INTERVAL_MS);
    state.pieces = reading(4);
    expect(await lines('connections_total')).toEqual(['default web 8', 'kube-system api 0']);
    expect((await lines('packets_total')).slice(0, 2)).toEqual(['default web in 8', 'default web out 8']);
    expect((await lines('bytes_total')).slice(2)).toEqual(['kube-system api in 0', 'kube-system api out 0']);
    expect(await lines('traffic_dropped_services')).toEqual(['0']);
  });

  it('costs nothing and says nothing while nobody asks for it, or while the kernel does not count', async () => {
    const { lines, state, traffic } = world(ONE);
    state.pieces = [[server('10.96.0.1', 1)]];
    for (const off of [{ isOn: false }, { hasCounters: false }]) {
      Object.assign(state, { isOn: true, hasCounters: true }, off);
      const families = await traffic.collect();
      expect(families.map(({ samples }) => samples.length)).toEqual([0, 0, 0, 0, 0]);
    }
    expect(state.reads).toBe(0);
    state.hasCounters = true;
    expect(await lines('connections_total')).toEqual(['default web 0']);
  });

  it('is of as many Services as asked for, always the same, and says how many are left out', async () => {
    const names = ['d', 'b', 'a', 'c'].map((name) => serviceKey('default', name));
    const { lines, state } = world(new Map(names.map((key) => [key, []])));
    state.maxServices = 2;
    expect(await lines('connections_total')).toEqual(['default a 0', 'default b 0']);
    expect(await lines('traffic_dropped_services')).toEqual(['2']);
  });

  it('is read once in a while, and once for all who ask at the same time', async () => {
    const { lines, state, timers, traffic } = world(ONE);
    await Promise.all([traffic.collect(), traffic.collect(), traffic.collect()]);
    expect(state.reads).toBe(1);
    timers.spend(TRAFFIC_READ_INTERVAL_MS - 1);
    expect(await lines('traffic_age_seconds')).toEqual(['9.999']);
    expect(state.reads).toBe(1);
    timers.spend(1);
    expect(await lines('traffic_age_seconds')).toEqual(['0']);
    expect(state.reads).toBe(2);
  });

  it('waits for no sync and holds none up: what was read last is told again', async () => {
    const { lines, state, timers } = world(ONE);
    state.pieces = [[server('10.96.0.1', 1)]];
    await lines('connections_total');
    state.isSyncing = true;
    timers.spend(TRAFFIC_READ_INTERVAL_MS);
    state.pieces = [[server('10.96.0.1', 5)]];
    expect(await lines('connections_total')).toEqual(['default web 0']);
    expect(await lines('traffic_age_seconds')).toEqual(['10']);
    expect(state.reads).toBe(1);
    // A sync that begins while it reads: it stops, what it has counts, and it reads anew as soon as it may.
    state.isSyncing = false;
    state.pieces = [[server('10.96.0.1', 5)], [server('10.96.0.1', 1000)]];
    state.onPiece = () => expect.unreachable('it read on');
    Object.defineProperty(state, 'isSyncing', { get: () => state.reads === 2, configurable: true });
    expect(await lines('connections_total')).toEqual(['default web 4']);
    Object.defineProperty(state, 'isSyncing', { value: false });
    state.onPiece = () => {};
    state.pieces = [[server('10.96.0.1', 6)]];
    expect(await lines('connections_total')).toEqual(['default web 5']);
    expect(state.reads).toBe(3);
  });

  it('tells before the first reading what there is to tell, where a sync goes on', async () => {
    const { state, traffic } = world(ONE);
    state.isSyncing = true;
    expect((await traffic.collect()).every(({ samples }) => samples.length === 0)).toBe(true);
    expect(state.reads).toBe(0);
  });

  it('survives a kernel that refuses, and says why once', async () => {
    const { lines, state, timers } = world(ONE);
    state.pieces = [[server('10.96.0.1', 1)]];
    await lines('connections_total');
    timers.spend(TRAFFIC_READ_INTERVAL_MS);
    state.failure = new PointsmanError('KERNEL_TIMEOUT', 'the kernel did not answer');
    expect(await lines('connections_total')).toEqual(['default web 0']);
    expect(await lines('traffic_age_seconds')).toEqual(['10']);
    expect(state.errors).toEqual(['the kernel did not answer']);
    state.failure = null;
    state.pieces = [[server('10.96.0.1', 3)]];
    expect(await lines('connections_total')).toEqual(['default web 2']);
  });

  it('begins anew when it was switched off in between', async () => {
    const { lines, state, timers } = world(ONE);
    for (const value of [1, 8]) {
      state.pieces = [[server('10.96.0.1', value)]];
      await lines('connections_total');
      timers.spend(TRAFFIC_READ_INTERVAL_MS);
    }
    state.isOn = false;
    expect(await lines('connections_total')).toEqual([]);
    state.isOn = true;
    expect(await lines('connections_total')).toEqual(['default web 0']);
  });
});
