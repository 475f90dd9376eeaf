import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vmoduleLevel } from './log-vmodule.ts';

describe('the level of a file', () => {
  it.each([
    ['sync-loop', 'sync-loop', true],
    ['sync-loop.ts', 'sync-loop', true],
    ['sync', 'sync-loop', false],
    ['sync*', 'sync-loop', true],
    ['*loop', 'sync-loop', true],
    ['*', 'x', true],
    ['*', '', true],
    ['s?nc-loop', 'sync-loop', true],
    ['?', '', false],
    ['sync-loop?', 'sync-loop', false],
    ['*o*o*', 'sync-loop', true],
    ['*o*o*o*', 'sync-loop', false],
    ['a*b*c', 'aXbXbXc', true],
    ['.', 'x', false],
    ['[x]', 'x', false],
  ])('by %j of %j', (filePattern, area, isMatch) => {
    expect(vmoduleLevel([{ filePattern, verbosity: 3 }], area)).toBe(isMatch ? 3 : 0);
  });

  it('is that of the first rule that matches', () => {
    const rules = [
      { filePattern: 'a*', verbosity: 1 },
      { filePattern: 'ab', verbosity: 2 },
      { filePattern: 'b', verbosity: 3 },
    ];
    expect(['ab', 'b', 'c'].map((area) => vmoduleLevel(rules, area))).toEqual([1, 3, 0]);
  });

  it('agrees with a regular expression', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 });
    const area = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 });
    fc.assert(
      fc.property(letters, area, (filePattern, name) => {
        const wanted = new RegExp(`^${filePattern.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(name);
        expect(vmoduleLevel([{ filePattern, verbosity: 1 }], name) === 1).toBe(wanted);
      }),
    );
  });
});
