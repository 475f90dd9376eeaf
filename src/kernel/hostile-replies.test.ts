// Every client of the kernel on replies that were damaged at random: the outcome is a PointsmanError or a value of the right shape, at
// once. No TypeError, no RangeError, no address that is none, no loop.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RECORDINGS, replay } from '../../test/fixtures/netlink/replay.ts';
import { SCENARIOS } from '../../test/fixtures/netlink/scenarios.ts';
import type { Answer } from '../../test/kernel/scripted-transport.ts';
import { PointsmanError } from '../model/errors.ts';
import { parseIp } from '../model/ip.ts';
import { decodeEntry } from './conntrack-codec.ts';
import { decodeFailedLine, decodeListPart } from './ipset-codec.ts';
import { decodeEvent } from './rtnetlink-watch.ts';

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
function expectSoundAddresses(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (ADDRESS_FIELDS.has(key) && typeof inner === 'string')
      expect(parseIp(inner), `${key} ${inner}`).not.toBeNull();
    else if (!(inner instanceof Error)) expectSoundAddresses(inner);
  }
}

describe.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
  '%s with damaged replies',
  (name, scenario) => {
    const from = RECORDINGS.find((one) => one.name === name);

    it('ends in a typed error or a sound value', async () => {
      if (from === undefined) throw new Error(`nothing recorded as ${name}`);
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
        { numRuns: 300 },
      );
    });
  },
);

describe.each([
  ['decodeListPart', (bytes: Uint8Array) => decodeListPart(bytes, 0, bytes.length)],
  ['decodeFailedLine', decodeFailedLine],
  ['decodeEntry', (bytes: Uint8Array) => decodeEntry(bytes, 0, bytes.length)],
  ...[16, 20, 24].map(
    (type) =>
      [
        `decodeEvent of type ${type}`,
        (bytes: Uint8Array) =>
          decodeEvent({
            bytes,
            header: { type, flags: 0, seq: 0, portid: 0, payloadStart: 0, payloadEnd: bytes.length },
          }),
      ] as const,
  ),
] as const)('%s on arbitrary bytes', (_, decode) => {
  const attribute = fc
    .tuple(fc.nat(30), fc.uint8Array({ maxLength: 24 }), fc.boolean())
    .map(([type, payload, isNested]) => {
      const bytes = new Uint8Array(4 + ((payload.length + 3) & ~3));
      new DataView(bytes.buffer).setUint16(0, 4 + payload.length, true);
      new DataView(bytes.buffer).setUint16(2, isNested ? type | 0x8000 : type, true);
      bytes.set(payload, 4);
      return [...bytes];
    });
  const framed = fc
    .tuple(
      fc.constantFrom(
        [2, 0, 0, 0],
        [10, 0, 0, 0],
        [2, 32, 0, 0, 1, 0, 0, 0],
        [10, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      ),
      fc.array(attribute),
    )
    .map(([head, attributes]) => Uint8Array.from([...head, ...attributes.flat()]));

  it('throws KERNEL_PROTOCOL or gives a sound value', () => {
    fc.assert(
      fc.property(fc.oneof(framed, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        try {
          expectSoundAddresses(decode(bytes));
        } catch (error) {
          if (!(error instanceof PointsmanError)) throw error;
          expect(error.code).toBe('KERNEL_PROTOCOL');
        }
      }),
      { numRuns: 500 },
    );
  });
});
