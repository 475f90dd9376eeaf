// Replies of the kernel, damaged at random, and what must hold then: the outcome of a scenario is a PointsmanError of one line or a value of
// the right shape, at once. No TypeError, no RangeError, no address that is none, no loop.

import fc from 'fast-check';
import { expect } from 'vitest';
import { PointsmanError } from '../../src/model/errors.ts';
import { parseIp } from '../../src/model/ip.ts';
import { recording, replay } from '../fixtures/netlink/replay.ts';
import type { Scenario } from '../fixtures/netlink/scenarios.ts';
import type { Answer } from './scripted-transport.ts';

/** One kind of damage to one reply. `at` and `value` are cut to what fits the reply. */
type Damage =
  | { kind: 'byte' | 'word'; reply: number; at: number; value: number }
  | { kind: 'cut' | 'grow' | 'claim' | 'insert'; reply: number; at: number }
  | { kind: 'drop' | 'twice' | 'port' | 'errno'; reply: number; at: number };

function damaged(bytes: Uint8Array, damage: Damage): Answer[] {
  const at = bytes.length === 0 ? 0 : damage.at % bytes.length;
  switch (damage.kind) {
    case 'byte':
      return [{ bytes: bytes.with(at, damage.value & 0xff) }];
    case 'word': {
      const copy = bytes.slice();
      new DataView(copy.buffer).setUint16(at & ~1, damage.value, true);
      return [{ bytes: copy }];
    }
    case 'cut':
      return [{ bytes: bytes.subarray(0, at) }];
    case 'grow':
      return [{ bytes: Uint8Array.from([...bytes, ...bytes.subarray(0, at)]) }];
    case 'claim':
      return [{ bytes, size: bytes.length + 65536 }];
    case 'insert':
      return [{ bytes: Uint8Array.from([...bytes.subarray(0, at), 0, ...bytes.subarray(at)]) }];
    case 'drop':
      return [];
    case 'twice':
      return [{ bytes }, { bytes }];
    case 'port':
      return [{ bytes, port: 1 + at }];
    case 'errno':
      return [{ errno: [105, 9, 1, 12][at % 4] ?? 105 }, { bytes }];
  }
}

const position = fc.nat(4000);
const reply = fc.nat(12);
const anyDamage: fc.Arbitrary<Damage> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('byte' as const, 'word' as const),
      reply,
      at: position,
      value: fc.nat(0xffff),
    }),
  },
  // Lengths and types stand in the first bytes, so those are hit more often.
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('word' as const), reply, at: fc.nat(60), value: fc.nat(100) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('cut' as const, 'grow' as const, 'claim' as const, 'insert' as const),
      reply,
      at: position,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('drop' as const, 'twice' as const, 'port' as const, 'errno' as const),
      reply,
      at: position,
    }),
  },
);

const ADDRESS_FIELDS = new Set([
  'address',
  'address2',
  'source',
  'destination',
  'gateway',
  'preferredSource',
]);

/** Fails for an address that is none, anywhere inside a value. */
export function expectSoundAddresses(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (ADDRESS_FIELDS.has(key) && typeof inner === 'string')
      expect(parseIp(inner), `${key} ${inner}`).not.toBeNull();
    else if (!(inner instanceof Error)) expectSoundAddresses(inner);
  }
}

/** Runs the scenario on its recorded replies with up to three damages each time. */
export async function assertSurvivesDamage(scenario: Scenario, numRuns: number): Promise<void> {
  const from = recording(scenario.name);
  await fc.assert(
    fc.asyncProperty(fc.array(anyDamage, { minLength: 1, maxLength: 3 }), async (damages) => {
      const open = replay(from, false, (bytes, ordinal) => {
        const damage = damages.find((one) => one.reply === ordinal);
        return damage === undefined ? [{ bytes }] : damaged(bytes, damage);
      });
      try {
        expectSoundAddresses(await scenario.run(open));
      } catch (error) {
        if (!(error instanceof PointsmanError)) throw error;
        expect(error.message).not.toMatch(/\n/);
      }
    }),
    { numRuns },
  );
}
