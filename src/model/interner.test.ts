// What is shared and what is copied. That texts are shared too shows in nothing but the memory in use.

import { describe, expect, test } from 'vitest';
import { Interner, packed } from './interner.ts';

/** As many distinct values as an interner keeps; documented there. */
const MAX_ENTRIES = 65_536;

describe('an Interner', () => {
  test('gives one frozen copy of equal lists', () => {
    const interner = new Interner();
    const values = ['zone-a', 'zone-b'];
    const list = interner.list(values);
    expect(list).toEqual(values);
    expect(list).not.toBe(values);
    expect(Object.isFrozen(list)).toBe(true);
    expect(interner.list(['zone-a', 'zone-b'])).toBe(list);
  });

  test.each([
    ['another value', ['a'], ['b']],
    ['another order', ['a', 'b'], ['b', 'a']],
    ['more values', ['a'], ['a', 'b']],
    ['the same characters in one value', ['a', 'b'], ['ab']],
    ['no value', ['a'], []],
  ])('tells a list from one with %s', (_case, one, other) => {
    const interner = new Interner();
    interner.list(one);
    expect(interner.list(other)).toEqual(other);
    expect(interner.list(one)).toEqual(one);
  });

  test('gives texts that are equal to those it is given', () => {
    const interner = new Interner();
    expect(['node1', 'node2', 'node1', ''].map((text) => interner.text(text))).toEqual([
      'node1',
      'node2',
      'node1',
      '',
    ]);
  });

  test('keeps a bounded number of lists; what comes beyond is copied each time', () => {
    const interner = new Interner();
    const kept = interner.list(['0']);
    for (let i = 1; i < MAX_ENTRIES - 1; i++) interner.list([`${i}`]);
    const last = interner.list(['last']);
    const beyond = interner.list(['beyond']);
    expect(interner.list(['0'])).toBe(kept);
    expect(interner.list(['last'])).toBe(last);
    expect(interner.list(['beyond'])).toEqual(beyond);
    expect(interner.list(['beyond'])).not.toBe(beyond);
  });
});

describe('a packed list', () => {
  test('is a copy of its own', () => {
    const list = [1, 2];
    expect(packed(list)).toEqual([1, 2]);
    expect(packed(list)).not.toBe(list);
  });

  test('is the same frozen list whenever it is empty', () => {
    expect(packed([])).toEqual([]);
    expect(packed([])).toBe(packed([]));
    expect(Object.isFrozen(packed([]))).toBe(true);
  });
});
