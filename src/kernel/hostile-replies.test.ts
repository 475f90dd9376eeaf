// Every client of the kernel on replies that were damaged at random: the outcome is a PointsmanError or a value of the right shape, at
// once. No TypeError, no RangeError, no address that is none, no loop.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SCENARIOS } from '../../test/fixtures/netlink/scenarios.ts';
import { assertSurvivesDamage, expectSoundAddresses } from '../../test/kernel/damage.ts';
import { PointsmanError } from '../model/errors.ts';
import { decodeDestination, decodeService } from './ipvs-codec.ts';
import { decodeDaemon, decodeInfo, decodeTimeouts } from './ipvs-daemon-codec.ts';
import { decodeEntry } from './conntrack-codec.ts';
import { decodeFailedLine, decodeListPart } from './ipset-codec.ts';
import { decodeEvent } from './rtnetlink-watch.ts';

describe.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
  '%s with damaged replies',
  (_, scenario) => {
    it('ends in a typed error or a sound value', () => assertSurvivesDamage(scenario, 300));
  },
);

describe.each([
  ['decodeListPart', (bytes: Uint8Array) => decodeListPart(bytes, 0, bytes.length)],
  ['decodeFailedLine', decodeFailedLine],
  ['decodeService', (bytes: Uint8Array) => decodeService(bytes, 0, bytes.length, true)],
  ['decodeDestination', (bytes: Uint8Array) => decodeDestination(bytes, 0, bytes.length, 'IPv4', true)],
  ['decodeDaemon', (bytes: Uint8Array) => decodeDaemon(bytes, 0, bytes.length)],
  ['decodeTimeouts', (bytes: Uint8Array) => decodeTimeouts(bytes, 0, bytes.length)],
  ['decodeInfo', (bytes: Uint8Array) => decodeInfo(bytes, 0, bytes.length)],
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
