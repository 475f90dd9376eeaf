import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatVmodule, parseVmodule, vmoduleLevel } from './log-vmodule.ts';

describe('--vmodule', () => {
  it.each([
    ['', []],
    ['sync=4', [['sync', 4]]],
    ['sync=4,', [['sync', 4]]],
    [
      'sync*=2147483647,a?b=0',
      [
        ['sync*', 2_147_483_647],
        ['a?b', 0],
      ],
    ],
  ] as const)('%j', (text, expected) => {
    const rules = parseVmodule(text);
    expect(rules).toEqual(expected.map(([filePattern, verbosity]) => ({ filePattern, verbosity })));
    expect(parseVmodule(formatVmodule(rules))).toEqual(rules);
  });

  it.each([
    ['sync', /"sync" does not have the form pattern=N/],
    ['=4', /does not have the form/],
    ['sync=', /does not have the form/],
    ['a=b=4', /does not have the form/],
    ['sync=x', /no whole number/],
    ['sync=-1', /no whole number/],
    ['sync=1.5', /no whole number/],
    ['sync=2147483648', /no whole number/],
    ['sync=99999999999', /no whole number/],
    ['a=1,'.repeat(1001), /at most 1000/],
  ])('%j is refused', (text, expected) => {
    expect(() => parseVmodule(text)).toThrow(expected);
  });
});

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
    const rules = parseVmodule('a*=1,ab=2,b=3');
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
