// The parts of the lab's traffic that need no kernel: addresses, lines and sums.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSocketAddress, encodeSocketAddress } from './socket-address.ts';
import type { Attempt } from './traffic-messages.ts';
import { summarize } from './traffic-report.ts';
import { LineBuffer, MAX_LINE_BYTES, encodeAnswer, parseAnswer, parseRequest } from './traffic-wire.ts';

const answered = (server: string, latencyMs: number): Attempt => ({
  outcome: 'answered',
  server,
  sourceAddress: '10.0.0.1',
  sourcePort: 1,
  startedAtMs: 0,
  latencyMs,
});
const failed = (outcome: string): Attempt => ({
  outcome,
  server: null,
  sourceAddress: null,
  sourcePort: null,
  startedAtMs: 0,
  latencyMs: 9999,
});

const reread = (address: string): string => decodeSocketAddress(encodeSocketAddress(address, 1)).address;

describe('socket addresses', () => {
  it.each([
    ['10.244.1.11', 8080, '02001f900af4010b0000000000000000'],
    ['fd00:10:244:1::11', 53, '0a00003500000000fd00001002440001000000000000001100000000'],
    ['::', 0, '0a000000' + '00'.repeat(24)],
    ['::ffff:1.2.3.4', 1, '0a00000100000000' + '00'.repeat(10) + 'ffff0102030400000000'],
  ])('writes %s port %i as the kernel reads it', (address, port, hex) => {
    expect(Buffer.from(encodeSocketAddress(address, port)).toString('hex')).toBe(hex);
  });

  it('reads back every address in the same words', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 0, max: 65_535 }), (address, port) => {
        const once = decodeSocketAddress(encodeSocketAddress(address, port));
        expect(once.port).toBe(port);
        expect(encodeSocketAddress(once.address, port)).toEqual(encodeSocketAddress(address, port));
      }),
    );
  });

  it('writes IPv6 in the form of RFC 5952', () => {
    expect(['FD00:0:0:0:0:0:0:1', '1:0:0:2:0:0:0:3', '0:0:0:0:0:0:0:0'].map(reread)).toEqual([
      'fd00::1',
      '1:0:0:2::3',
      '::',
    ]);
  });

  it.each(['', 'localhost', '10.0.0', '1::2::3'])('refuses %j', (address) => {
    expect(() => encodeSocketAddress(address, 1)).toThrow(/is not an IP address/);
  });
});

describe('lines', () => {
  it('come whole whatever the pieces they arrive in', () => {
    const answers = ['pod1', 'größe'].map((server, seq) => ({ server, address: '::1', port: 1, seq }));
    const bytes = Buffer.concat(answers.map(encodeAnswer));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 }), (sizes) => {
        const lines = new LineBuffer();
        const seen: string[] = [];
        let at = 0;
        for (const size of [...sizes, bytes.length]) {
          seen.push(...lines.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(seen.map(parseAnswer)).toEqual(answers);
      }),
    );
  });

  it('do not grow without end', () => {
    expect(() => new LineBuffer().push(new Uint8Array(MAX_LINE_BYTES + 1).fill(65))).toThrow(/longer than/);
  });

  it.each([
    ['?0', 0],
    ['?17', 17],
    ['!', 'goodbye'],
    ['?', null],
    ['?1x', null],
    ['', null],
  ])('ask: %j is %j', (line, request) => {
    expect(parseRequest(line)).toBe(request);
  });

  it.each(['', '{}', 'null', '[', '{"server":1,"seq":0}'])('are no answer: %j', (line) => {
    expect(parseAnswer(line)).toBe(null);
  });
});

describe('report', () => {
  it('counts every attempt once and keeps their order', () => {
    const outcomes = ['refused', 'reset', 'timedOut', 'notStarted', 'EHOSTUNREACH', 'EHOSTUNREACH'];
    const report = summarize([answered('a', 1), ...outcomes.map(failed), answered('b', 3), answered('a', 2)]);
    expect(report).toMatchObject({
      count: 9,
      answered: 3,
      counts: { a: 2, b: 1 },
      sequence: ['a', ...outcomes, 'b', 'a'],
      sources: { '10.0.0.1': 3 },
      latencyMs: { p50: 2, p99: 3 },
      refused: 1,
      reset: 1,
      timedOut: 1,
      notStarted: 1,
      errors: { EHOSTUNREACH: 2 },
    });
  });

  it('takes percentiles by nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => answered('a', 100 - index));
    expect(summarize(hundred).latencyMs).toEqual({ p50: 50, p99: 99 });
    expect(summarize([failed('refused')]).latencyMs).toBe(null);
  });
});
