// The keeper on a conntrack table that keeps state and can misbehave: what goes, what stays, and what is tried again when.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeConntrack } from '../../test/fake-conntrack.ts';
import { change, flow, UDP } from '../../test/flows.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import { FlowKeeper, LOOK_AGAIN_MS, MAX_FILTERS } from './flow-keeper.ts';

const DNS = '10.96.0.10 53';
const OLD = '10.244.1.5 5353';
const NEW = '10.244.1.6 5353';

function makeKeeper() {
  const table = new FakeConntrack();
  const clock = { ms: 1000 };
  const errors: string[] = [];
  const keeper = new FlowKeeper({ table, now: () => clock.ms, onError: (message) => errors.push(message) });
  /** Passes until nothing is due any more, at the times that the keeper asks for; how many passes that took. */
  const settle = async (): Promise<number> => {
    let passes = 0;
    for (; keeper.dueMs !== null && passes < 100; passes++) {
      clock.ms = Math.max(clock.ms, keeper.dueMs);
      await keeper.pass();
    }
    return passes;
  };
  return { table, clock, errors, keeper, settle };
}

const timeout = (): PointsmanError => new PointsmanError('KERNEL_TIMEOUT', 'the kernel did not answer');

describe('a pass', () => {
  it('deletes the flows of what changed and nothing else', async () => {
    const { table, keeper } = makeKeeper();
    table.entries = [
      flow(DNS, OLD, { id: 1 }),
      flow(DNS, NEW, { id: 2 }),
      flow(DNS, DNS, { id: 3 }),
      flow('10.96.0.11 53', OLD, { id: 4 }),
      flow(DNS, OLD, { id: 5, protocol: 6 }),
      flow('fd00:10:96::10 53', 'fd00:10:244:1::5 5353', { id: 6 }),
    ];
    keeper.note(change(DNS, [NEW]));
    expect(await keeper.pass()).toEqual([{ family: 'IPv4', deleted: 2, durationMs: 0 }]);
    expect(table.entries.map(({ id }) => id)).toEqual([2, 4, 5, 6]);
    expect([keeper.deleted('IPv4'), keeper.deleted('IPv6')]).toEqual([2, 0]);
  });

  it('goes by what was noted last', async () => {
    const { table, keeper } = makeKeeper();
    table.entries = [flow(DNS, OLD)];
    keeper.note(change(DNS, null));
    keeper.note(change(DNS, [OLD]));
    await keeper.pass();
    expect(table.entries).toHaveLength(1);
  });

  it('asks for nothing when nothing was noted, or TCP only', async () => {
    const { table, keeper } = makeKeeper();
    keeper.note({ ...change(DNS, null), portal: { ...change(DNS, null).portal, protocol: 6 } });
    expect(keeper.dueMs).toBeNull();
    expect(await keeper.pass()).toEqual([]);
    expect(table.asked).toEqual([]);
  });

  it.each([
    ['each portal by itself while they are few', MAX_FILTERS, true, MAX_FILTERS],
    ['all of UDP at once when they are many', MAX_FILTERS + 1, true, 1],
    ['all of UDP at once where the kernel does not filter', 2, false, 1],
  ])('asks for %s', async (_, portals, filtersInKernel, questions) => {
    const { table, keeper } = makeKeeper();
    table.filtersInKernel = filtersInKernel;
    for (let i = 1; i <= portals; i++) keeper.note(change(`10.96.0.${i} 53`, null));
    await keeper.pass();
    expect(table.asked).toHaveLength(questions);
    expect(table.asked[0]?.original?.destination === undefined).toBe(questions === 1);
    expect(table.asked.every(({ original }) => original?.protocol === UDP)).toBe(true);
  });
});

describe('a portal that exists', () => {
  it('is looked at again a second later, for entries that were made meanwhile', async () => {
    const { table, keeper, clock } = makeKeeper();
    table.afterList = () => {
      table.entries.push(flow(DNS, DNS));
      table.afterList = () => {};
    };
    keeper.note(change(DNS, [NEW]));
    await keeper.pass();
    expect(keeper.dueMs).toBe(clock.ms + LOOK_AGAIN_MS);
    await keeper.pass();
    expect(table.entries).toHaveLength(1);
    clock.ms += LOOK_AGAIN_MS;
    await keeper.pass();
    expect(table.entries).toEqual([]);
    // That look found something, so there is one more.
    expect(keeper.dueMs).toBe(clock.ms + LOOK_AGAIN_MS);
    clock.ms += LOOK_AGAIN_MS;
    await keeper.pass();
    expect(keeper.dueMs).toBeNull();
  });

  it('is not looked at for ever when somebody makes stale entries for ever', async () => {
    const { table, keeper, settle } = makeKeeper();
    table.afterList = () => table.entries.push(flow(DNS, DNS, { id: table.asked.length }));
    keeper.note(change(DNS, [NEW]));
    expect(await settle()).toBe(5);
  });

  it('is looked at from the beginning when it changes again in between', async () => {
    const { keeper, settle } = makeKeeper();
    keeper.note(change(DNS, [OLD]));
    await keeper.pass();
    keeper.note(change(DNS, [NEW]));
    expect(await settle()).toBe(2);
  });
});

it('a portal that is gone is looked at once: nothing is bound to it, and its address may be somebody else’s soon', async () => {
  const { keeper } = makeKeeper();
  keeper.note(change(DNS, null));
  await keeper.pass();
  expect(keeper.dueMs).toBeNull();
});

describe('a failure', () => {
  it('of a list is told once, counted, and tried again later and later', async () => {
    const { table, keeper, clock, errors } = makeKeeper();
    table.entries = [flow(DNS, OLD)];
    table.listErrors.push(timeout(), timeout(), timeout());
    keeper.note(change(DNS, null));
    const pauses: number[] = [];
    while (keeper.dueMs !== null) {
      pauses.push(Math.max(keeper.dueMs - clock.ms, 0));
      clock.ms = Math.max(clock.ms, keeper.dueMs);
      await keeper.pass();
    }
    expect(pauses).toEqual([0, 1000, 2000, 4000]);
    expect(errors).toEqual(['the kernel did not answer']);
    expect(keeper.failures()).toEqual([{ errno: 'KERNEL_TIMEOUT', count: 3 }]);
    expect(table.entries).toEqual([]);
  });

  it('never makes a pause longer than half a minute, and the next clean pass ends it', async () => {
    const { table, keeper, clock, settle } = makeKeeper();
    table.listErrors.push(...Array.from({ length: 10 }, timeout));
    keeper.note(change(DNS, null));
    const startMs = clock.ms;
    await settle();
    expect(clock.ms - startMs).toBe(1000 + 2000 + 4000 + 8000 + 16_000 + 5 * 30_000);
    table.listErrors.push(timeout());
    keeper.note(change(DNS, null));
    await keeper.pass();
    expect(keeper.dueMs).toBe(clock.ms + 1000);
  });

  it('of one deletion stops no other, and its portal is tried again', async () => {
    const { table, keeper, settle, errors } = makeKeeper();
    table.entries = [
      flow(DNS, OLD, { id: 1 }),
      flow(DNS, DNS, { id: 2 }),
      flow('10.96.0.11 53', OLD, { id: 3 }),
    ];
    table.refusals.set(1, ['EPERM']);
    keeper.note(change(DNS, [NEW]));
    keeper.note(change('10.96.0.11 53', null));
    await keeper.pass();
    expect(table.entries.map(({ id }) => id)).toEqual([1]);
    expect(keeper.dueMs).not.toBeNull();
    await settle();
    expect(table.entries).toEqual([]);
    expect(keeper.failures()).toEqual([{ errno: 'EPERM', count: 1 }]);
    expect(errors).toHaveLength(1);
  });

  it('of a whole deletion is tried again', async () => {
    const { table, keeper, settle } = makeKeeper();
    table.entries = [flow(DNS, OLD)];
    table.deleteErrors.push(timeout());
    keeper.note(change(DNS, [NEW]));
    await settle();
    expect(table.entries).toEqual([]);
  });

  it('of one family does not keep the other waiting', async () => {
    const { table, keeper } = makeKeeper();
    table.entries = [flow('fd00:10:96::10 53', 'fd00:10:244:1::5 5353')];
    table.listErrors.push(timeout());
    keeper.note(change(DNS, null));
    keeper.note(change('fd00:10:96::10 53', null));
    await keeper.pass();
    expect(table.entries).toEqual([]);
  });

  it('that is our own mistake is thrown', async () => {
    const { table, keeper } = makeKeeper();
    table.list = () => Promise.reject(new TypeError('a mistake'));
    keeper.note(change(DNS, null));
    await expect(keeper.pass()).rejects.toThrow('a mistake');
  });
});

it.each(['EINVAL', 'EOPNOTSUPP'])(
  'a kernel without conntrack (%s) is told of once and not asked again until the next change',
  async (errnoName) => {
    const { table, keeper, errors } = makeKeeper();
    const errno = errnoName === 'EINVAL' ? 22 : 95;
    const refusal = (): KernelError =>
      new KernelError('netlink request for', 'IPv4 conntrack entries', errno, errnoName);
    for (let i = 0; i < 2; i++) {
      table.listErrors.push(refusal());
      keeper.note(change(DNS, [NEW]));
      await keeper.pass();
      expect(keeper.dueMs).toBeNull();
    }
    expect(table.asked).toHaveLength(2);
    expect(await keeper.pass()).toEqual([]);
    expect(errors).toEqual([
      `netlink request for IPv4 conntrack entries: ${errnoName} (errno ${errno}); this kernel lists no tracked flows: load nf_conntrack_netlink`,
    ]);
  },
);

it('whatever is refused and whatever packets arrive, in the end no stale flow is left and every good one is', async () => {
  const portals = ['10.96.0.1 53', '10.96.0.2 53', 'fd00:10:96::1 53'];
  const servers = (portal: string): string[] =>
    portal.includes(':')
      ? ['fd00:10:244:1::5 53', 'fd00:10:244:1::6 53']
      : ['10.244.1.5 53', '10.244.1.6 53'];
  const anyFlow = fc
    .constantFrom(...portals)
    .chain((portal) => fc.tuple(fc.constant(portal), fc.constantFrom(...servers(portal), portal)));
  const anyState = fc.constantFrom('first', 'second', 'both', 'none', 'gone');
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyFlow, { maxLength: 12 }),
      fc.array(anyFlow, { maxLength: 3 }),
      fc.tuple(anyState, anyState, anyState),
      fc.array(fc.constantFrom('list', 'delete', 'one'), { maxLength: 6 }),
      async (before, late, states, faults) => {
        const { table, keeper, settle } = makeKeeper();
        table.entries = before.map(([portal, server], id) => flow(portal, server, { id }));
        let arriving = late.map(([portal, server], i) => flow(portal, server, { id: 100 + i }));
        // Packets that were under way when the first list was read.
        table.afterList = () => {
          table.entries.push(...arriving);
          arriving = [];
        };
        for (const fault of faults) {
          if (fault === 'list') table.listErrors.push(timeout());
          else if (fault === 'delete') table.deleteErrors.push(timeout());
          else table.refusals.set(0, [...(table.refusals.get(0) ?? []), 'EBUSY']);
        }
        const now = new Map(
          portals.map((portal, i) => {
            const [first = '', second = ''] = servers(portal);
            const has: Readonly<Record<string, readonly string[] | null>> = {
              first: [first],
              second: [second],
              both: [first, second],
              none: [],
              gone: null,
            };
            return [portal, has[states[i] ?? 'gone'] ?? null] as const;
          }),
        );
        for (const [portal, has] of now) keeper.note(change(portal, has));
        await settle();
        const isGood = ([portal, server]: readonly [string, string]): boolean => {
          const has = now.get(portal);
          return has === null ? portal === server : has?.includes(server) === true;
        };
        const left = new Set(table.entries.map(({ id }) => id));
        for (const [id, each] of before.entries()) expect(left.has(id)).toBe(isGood(each));
        for (const [i, each] of late.entries()) {
          // A packet to a portal that is gone is bound to nothing by then: such entries are of the fake alone.
          if (now.get(each[0]) !== null) expect(left.has(100 + i)).toBe(isGood(each));
        }
      },
    ),
  );
});
