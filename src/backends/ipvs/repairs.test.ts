import { expect, it } from 'vitest';
import { REPAIR_KINDS, Repairs, type Repair } from './repairs.ts';

function makeRepairs() {
  const told: string[] = [];
  const repairs = new Repairs(({ kind, object }) => told.push(`${kind} ${object}`));
  return { repairs, told };
}

const repair = (object: string, kind: Repair['kind'] = 'member', what = 'was missing'): Repair => ({
  kind,
  object,
  what,
});

it('counts every repair by its kind', () => {
  const { repairs } = makeRepairs();
  for (const kind of REPAIR_KINDS) expect(repairs.count(kind)).toBe(0);
  repairs.note(repair('a'));
  repairs.note(repair('a'));
  repairs.note(repair('a', 'address'));
  expect([repairs.count('member'), repairs.count('address'), repairs.count('link'), repairs.total]).toEqual([
    ...[2, 1, 0, 3],
  ]);
});

it('tells of each object of a kind once, whatever was wrong with it', () => {
  const { repairs, told } = makeRepairs();
  repairs.note(repair('a'));
  repairs.note(repair('a', 'member', 'was there and is not planned'));
  repairs.note(repair('a', 'set'));
  repairs.note(repair('b'));
  expect(told).toEqual(['member a', 'set a', 'member b']);
});

it('shows the last twenty, the oldest first', () => {
  const { repairs } = makeRepairs();
  expect(repairs.last()).toEqual([]);
  for (let index = 0; index < 25; index++) repairs.note(repair(`m${index}`));
  expect(repairs.last().map(({ object }) => object)).toEqual(
    Array.from({ length: 20 }, (_, index) => `m${index + 5}`),
  );
});

it('remembers a bounded number of objects, and goes on to tell of new ones', () => {
  const { repairs, told } = makeRepairs();
  for (let index = 0; index < 1001; index++) repairs.note(repair(`m${index}`));
  expect(told).toHaveLength(1001);
  repairs.note(repair('m1000'));
  expect(told).toHaveLength(1001);
  repairs.note(repair('m0'));
  expect(told).toHaveLength(1002);
});
