// Drains as bookkeeping: who drains, until when, and when to look; and which servers drain at all.

import { describe, expect, it } from 'vitest';
import { ip } from '../../../test/ipvs-plans.ts';
import { OTHER } from '../../../test/ipvs-steps.ts';
import { serviceKey } from '../../model/names.ts';
import { Drains, leavingOf, whileDraining } from './drains.ts';

const KEY = serviceKey('default', 'web');
const VS = { id: OTHER.id, key: KEY, service: OTHER.service };
const ONE = { address: ip('10.0.0.1'), port: 80 };
const TWO = { address: ip('10.0.0.2'), port: 80 };
const MINUTE = 60_000;

const of = (drains: Drains): string[] =>
  [...(drains.of(VS.id)?.values() ?? [])].map(
    ({ address, sinceMs, deadlineMs }) => `${address} ${sinceMs} ${deadlineMs}`,
  );
const due = (drains: Drains, nowMs: number): string[] => drains.due(nowMs, 10, new Set()).map(({ id }) => id);

describe('drains of a virtual server', () => {
  it('have their time from when each began', () => {
    const drains = new Drains();
    drains.follow(VS, [ONE], 1000, MINUTE);
    drains.follow(VS, [ONE, TWO], 5000, MINUTE);
    expect(of(drains)).toEqual(['10.0.0.1 1000 61000', '10.0.0.2 5000 65000']);
    expect(drains.size).toBe(2);
  });

  it('end when they are planned again, and begin anew after that', () => {
    const drains = new Drains();
    drains.follow(VS, [ONE, TWO], 0, MINUTE);
    drains.follow(VS, [TWO], 1000, MINUTE);
    drains.follow(VS, [], 2000, MINUTE);
    expect([drains.endedBy('returned'), drains.nextPollMs()]).toEqual([2, null]);
    drains.follow(VS, [ONE], 3000, MINUTE);
    expect(of(drains)).toEqual(['10.0.0.1 3000 63000']);
  });

  it('are looked at at once, then after 100, 200, 400 ms and so on to 5 s; a new one begins that again', () => {
    const drains = new Drains();
    drains.follow(VS, [ONE], 0, MINUTE);
    const looks: number[] = [];
    for (let looked = 0; looked < 9; looked++) {
      const nowMs = drains.nextPollMs() ?? -1;
      expect(due(drains, nowMs - 1)).toEqual([]);
      expect(due(drains, nowMs)).toEqual([VS.id]);
      looks.push(nowMs);
      drains.settle(VS.id, new Map(), nowMs);
    }
    expect(looks.slice(1).map((at, index) => at - (looks[index] ?? 0))).toEqual([
      100, 200, 400, 800, 1600, 3200, 5000, 5000,
    ]);
    drains.follow(VS, [ONE, TWO], 40_000, MINUTE);
    expect(drains.nextPollMs()).toBe(40_000);
  });

  it('that have ended are counted by how', () => {
    const drains = new Drains();
    drains.follow(VS, [ONE, TWO], 0, MINUTE);
    drains.settle(VS.id, new Map([['10.0.0.1 80', 'drained']]), 0);
    drains.settle(VS.id, new Map([['10.0.0.2 80', 'deadline']]), 100);
    drains.follow(VS, [ONE], 200, MINUTE);
    drains.drop(VS.id);
    expect((['drained', 'deadline', 'returned', 'gone'] as const).map((end) => drains.endedBy(end))).toEqual([
      1, 1, 0, 1,
    ]);
    expect([drains.size, drains.nextPollMs()]).toEqual([0, null]);
  });

  it('may be told to end now', () => {
    const drains = new Drains();
    drains.follow(VS, [ONE], 0, MINUTE);
    drains.settle(VS.id, new Map(), 0);
    expect(drains.expire((_, { port }) => port === 81, 50)).toBe(0);
    expect(drains.expire(({ id }, { port }) => id === VS.id && port === 80, 50)).toBe(1);
    expect(of(drains)).toEqual(['10.0.0.1 0 50']);
    expect(due(drains, 50)).toEqual([VS.id]);
  });

  it('that wait longest are looked at first, and those that are urgent at any time', () => {
    const drains = new Drains();
    for (const [id, at] of [
      ['b', 10],
      ['a', 0],
      ['c', 20],
    ] as const)
      drains.follow({ ...VS, id }, [ONE], at, MINUTE);
    expect(drains.due(10, 10, new Set()).map(({ id }) => id)).toEqual(['a', 'b']);
    expect(drains.due(30, 2, new Set()).map(({ id }) => id)).toEqual(['a', 'b']);
    expect(drains.due(-1, 10, new Set(['c'])).map(({ id }) => id)).toEqual(['c']);
  });
});

describe('a server that goes', () => {
  it.each([
    ['TCP', 6, 'rr', MINUTE, 'drain'],
    ['SCTP', 132, 'rr', MINUTE, 'drain'],
    ['UDP: a client with a fixed port would stay', 17, 'rr', MINUTE, 'delete'],
    ['TCP with dh: its clients would be refused', 6, 'dh', MINUTE, 'delete'],
    ['TCP where no time is given', 6, 'rr', 0, 'delete'],
  ] as const)('%s', (_, protocol, scheduler, timeoutMs, leaving) => {
    expect(leavingOf({ ...OTHER, service: { ...OTHER.service, protocol, scheduler } }, timeoutMs)).toBe(
      leaving,
    );
  });

  it('with sh lets its new clients fall back to others, by a flag that is there while it drains', () => {
    const sh = { ...OTHER.service, scheduler: 'sh', flags: 0x10 };
    expect(whileDraining(sh)).toEqual({ ...sh, flags: 0x18 });
    expect(whileDraining({ ...sh, flags: 0x18 })).toEqual({ ...sh, flags: 0x18 });
    expect(whileDraining(OTHER.service)).toBe(OTHER.service);
  });
});
