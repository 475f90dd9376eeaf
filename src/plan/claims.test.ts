// Ownership of what several Services want, against a table that is recomputed at every step.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareText } from '../model/ip.ts';
import { serviceKey, type ServiceKey } from '../model/names.ts';
import { Claims, ReferenceCounts } from './claims.ts';

const A = serviceKey('default', 'a');
const B = serviceKey('default', 'b');
const C = serviceKey('default', 'c');

describe('Claims', () => {
  test('an uncontested claim is owned, and changes nobody else', () => {
    const claims = new Claims();
    expect(claims.set(A, 5, ['x', 'y'])).toEqual([]);
    expect(claims.ownerOf('x')).toBe(A);
    expect(claims.ownerOf('z')).toBeUndefined();
    expect(claims.claimantsOf('x')).toEqual([A]);
    expect(claims.claimantsOf('z')).toEqual([]);
  });

  test('the older Service wins, whoever came first', () => {
    const claims = new Claims();
    claims.set(B, 5, ['x']);
    expect(claims.set(A, 9, ['x'])).toEqual([]);
    expect(claims.ownerOf('x')).toBe(B);
    // A is concerned, too: it loses to somebody else.
    expect(claims.set(C, 1, ['x'])).toEqual([A, B]);
    expect(claims.ownerOf('x')).toBe(C);
    expect(claims.claimantsOf('x')).toEqual([C, B, A]);
  });

  test('of the same age the smaller key wins', () => {
    const claims = new Claims();
    claims.set(B, 5, ['x']);
    expect(claims.set(A, 5, ['x'])).toEqual([B]);
    expect(claims.ownerOf('x')).toBe(A);
  });

  test('withdrawing gives to the next in line', () => {
    const claims = new Claims();
    claims.set(A, 1, ['x', 'y']);
    claims.set(B, 2, ['x']);
    expect(claims.set(A, 1, [])).toEqual([B]);
    expect(claims.ownerOf('x')).toBe(B);
    expect(claims.ownerOf('y')).toBeUndefined();
    expect(claims.set(B, 2, [])).toEqual([]);
    expect(claims.claimantsOf('x')).toEqual([]);
  });

  test('withdrawing what another owns changes nobody', () => {
    const claims = new Claims();
    claims.set(A, 1, ['x']);
    claims.set(B, 2, ['x']);
    expect(claims.set(B, 2, [])).toEqual([]);
    expect(claims.ownerOf('x')).toBe(A);
  });

  test('keeping a claim changes nobody', () => {
    const claims = new Claims();
    claims.set(A, 1, ['x']);
    claims.set(B, 2, ['x', 'y']);
    expect(claims.set(A, 1, ['x', 'z'])).toEqual([]);
    expect(claims.set(A, 1, ['x', 'x'])).toEqual([]);
    expect(claims.claimantsOf('x')).toEqual([A, B]);
  });

  test('an owner that becomes younger loses', () => {
    const claims = new Claims();
    claims.set(A, 1, ['x']);
    claims.set(B, 2, ['x']);
    expect(claims.set(A, 3, ['x'])).toEqual([B]);
    expect(claims.ownerOf('x')).toBe(B);
  });

  test('agrees with a table of everything after every step', () => {
    const step = fc.record({
      key: fc.constantFrom(A, B, C),
      order: fc.nat(2),
      claims: fc.array(fc.constantFrom('x', 'y', 'z'), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const claims = new Claims();
        const table = new Map<ServiceKey, { order: number; claims: string[] }>();
        const owners = (): (ServiceKey | undefined)[] =>
          ['x', 'y', 'z'].map((claim) => {
            const wanting = [...table].filter(([, one]) => one.claims.includes(claim));
            return wanting.sort(
              ([a, one], [b, other]) => one.order - other.order || compareText(a, b),
            )[0]?.[0];
          });
        for (const { key, order, claims: wanted } of steps) {
          const before = owners();
          table.set(key, { order, claims: wanted });
          const after = owners();
          const affected = new Set<ServiceKey>();
          ['x', 'y', 'z'].forEach((claim, index) => {
            if (before[index] === after[index]) return;
            for (const [other, one] of table)
              if (other !== key && one.claims.includes(claim)) affected.add(other);
          });
          expect(claims.set(key, order, wanted)).toEqual([...affected].sort(compareText));
          expect(['x', 'y', 'z'].map((claim) => claims.ownerOf(claim))).toEqual(after);
        }
      }),
    );
  });
});

describe('ReferenceCounts', () => {
  test('says which user is the first and which the last', () => {
    const counts = new ReferenceCounts();
    expect([counts.acquire('x'), counts.acquire('x'), counts.count('x')]).toEqual([true, false, 2]);
    expect([counts.release('x'), counts.release('x'), counts.count('x')]).toEqual([false, true, 0]);
    expect(counts.acquire('x')).toBe(true);
  });

  test('throws when released more often than acquired', () => {
    expect(() => new ReferenceCounts().release('x')).toThrow('released more often than acquired: x');
  });
});
