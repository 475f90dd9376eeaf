// The fingerprints of rules on what kernels gave (recorded beside what iptables-legacy-save printed then) and on what goes wrong.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ack, message, ScriptedTransport, seqOf, type Answer } from '../../test/kernel/scripted-transport.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import {
  clearCounters,
  decodeGeneration,
  decodeOutline,
  openLegacyFingerprint,
  openNftFingerprint,
  type LegacyTables,
} from './iptables-fingerprint.ts';

interface RecordedTable {
  readonly family: Family;
  readonly output: string;
  readonly names: string;
  readonly info: string;
  readonly entries: string;
}

const RECORDED = JSON.parse(
  readFileSync(new URL('../../test/fixtures/iptables-tables.json', import.meta.url), 'utf8'),
) as {
  readonly tables: readonly RecordedTable[];
  readonly generation: { readonly text: string; readonly replies: readonly string[] };
};
const bytesOf = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, 'base64'));
const rulesOf = (recorded: RecordedTable): Uint8Array => bytesOf(recorded.entries).subarray(40);
const ofFamily = (family: Family): RecordedTable[] =>
  RECORDED.tables.filter((recorded) => recorded.family === family);

const GET_INFO = 64;
const GET_ENTRIES = 65;
const EPERM = 1;
const ENOENT = 2;
const EAGAIN = 11;
const EFAULT = 14;

/** The kernel's side: what `info` and `entries` give is an errno or the answer. Everything asked is in `asked`. */
function kernelOf(
  names: string | null,
  info: () => number | Uint8Array,
  entries: () => number | Uint8Array = () => ENOENT,
): { tables: LegacyTables; asked: string[]; isClosed: () => boolean } {
  const asked: string[] = [];
  let isClosed = false;
  const tables: LegacyTables = {
    names: () => names,
    ask(option, bytes) {
      const table = Buffer.from(bytes.subarray(0, 32)).toString('latin1').replace(/\0.*/s, '');
      asked.push(`${option} ${table} ${bytes.length}`);
      const answer = option === GET_INFO ? info() : entries();
      if (typeof answer === 'number') return answer;
      if (answer.length !== bytes.length) return 22;
      bytes.set(answer);
      return 0;
    },
    close() {
      isClosed = true;
    },
  };
  return { tables, asked, isClosed: () => isClosed };
}

const replayed = (recorded: RecordedTable) =>
  kernelOf(
    recorded.names,
    () => bytesOf(recorded.info),
    () => bytesOf(recorded.entries),
  );
const textOf = (recorded: RecordedTable): string | null =>
  openLegacyFingerprint(recorded.family, replayed(recorded).tables).read();

describe.each(['IPv4', 'IPv6'] as const)('a recorded table of %s', (family) => {
  const [first, counted, replaced] = ofFamily(family) as [RecordedTable, RecordedTable, RecordedTable];

  it('holds the rules that iptables-legacy-save prints, a policy for each hook, two heads for each chain and an end', () => {
    for (const recorded of [first, counted, replaced]) {
      const outline = decodeOutline(bytesOf(recorded.info));
      const count = (pattern: RegExp): number => [...recorded.output.matchAll(pattern)].length;
      expect(outline.entries).toBe(count(/ -A /g) + count(/^:\w+ ACCEPT/gm) + 2 * count(/^:\w+ - /gm) + 1);
      // INPUT, FORWARD and OUTPUT: table filter.
      expect(outline.validHooks).toBe(0b01110);
      expect(outline.size).toBe(rulesOf(recorded).length);
      const [, input, forward, output] = outline.hookEntries;
      const [, inputPolicy, forwardPolicy, outputPolicy] = outline.underflows;
      // Only OUTPUT has a rule before its policy.
      expect([inputPolicy, forwardPolicy]).toEqual([input, forward]);
      expect(outputPolicy).toBeGreaterThan(output ?? 0);
    }
  });

  it('has the counters that iptables-legacy-save prints, and nothing else of it is cleared', () => {
    const [, packets = 0n, octets = 0n] = (/^\[(\d+):(\d+)\] -A X/m.exec(counted.output) ?? []).map(
      (text, i) => (i === 0 ? 0n : BigInt(text)),
    );
    const printed = Buffer.from(BigUint64Array.of(packets, octets).buffer);
    const [before, after] = [rulesOf(first), rulesOf(counted)];
    expect([Buffer.from(before).includes(printed), Buffer.from(after).includes(printed)]).toEqual([
      false,
      true,
    ]);
    expect(after).not.toEqual(before);
    clearCounters(after, family);
    // Nothing was counted before the first recording.
    expect(after).toEqual(before);
  });

  it('gives the same text whatever was counted, and another one for a rule of the same size', () => {
    expect(textOf(first)).toMatch(
      /^nat absent; filter hooks e at 0,\d+,\d+, policies at 0,\d+,\d+, 8 rules of \d+ bytes, sha1 [0-9a-f]{40}$/,
    );
    expect(textOf(counted)).toBe(textOf(first));
    expect(textOf(replaced)).not.toBe(textOf(first));
    expect(textOf(replaced)?.replace(/sha1.*/, '')).toBe(textOf(first)?.replace(/sha1.*/, ''));
  });

  it('is asked about by its name and size, and tables that are not there are not asked about', () => {
    const { tables, asked, isClosed } = replayed(first);
    const fingerprint = openLegacyFingerprint(family, tables);
    fingerprint.read();
    const size = bytesOf(first.entries).length;
    expect(asked).toEqual([`${GET_INFO} filter 84`, `${GET_ENTRIES} filter ${size}`]);
    fingerprint.close();
    expect(isClosed()).toBe(true);
  });
});

describe('the fingerprint of legacy tables', () => {
  const [recorded] = RECORDED.tables as [RecordedTable];
  const info = (size?: number): Uint8Array => {
    const bytes = bytesOf(recorded.info);
    if (size !== undefined) new DataView(bytes.buffer).setUint32(80, size, true);
    return bytes;
  };
  const entries = (): Uint8Array => bytesOf(recorded.entries);
  const read = (tables: LegacyTables): string | null => openLegacyFingerprint('IPv4', tables).read();

  it('is null on a kernel without any', () => {
    const { tables, asked } = kernelOf(null, () => info());
    expect(read(tables)).toBeNull();
    expect(asked).toEqual([]);
  });

  it.each(['', 'mangle\n', 'filters\nnat2\n'])('asks nothing where the list of tables is %j', (names) => {
    const { tables, asked } = kernelOf(names, () => info());
    expect(read(tables)).toBe('nat absent; filter absent');
    expect(asked).toEqual([]);
  });

  it('says so when a table went after it was listed', () => {
    expect(read(kernelOf('nat\nfilter\n', () => ENOENT).tables)).toBe('nat absent; filter absent');
  });

  it('leaves out what the kernel says of hooks that a table is not in', () => {
    const other = info();
    new DataView(other.buffer).setUint32(36, 4711, true);
    const text = (bytes: Uint8Array): string | null => read(kernelOf('filter', () => bytes, entries).tables);
    expect(text(other)).toBe(text(info()));
    new DataView(other.buffer).setUint32(40, 4711, true);
    expect(text(other)).not.toBe(text(info()));
  });

  it('of more than 256 KiB of rules is their outline alone', () => {
    const { tables, asked } = kernelOf('filter', () => info((256 << 10) + 1), entries);
    expect(read(tables)).toMatch(/, 8 rules of 262145 bytes$/);
    expect(asked).toEqual([`${GET_INFO} filter 84`]);
    const limit = kernelOf(
      'filter',
      () => info(256 << 10),
      () => EPERM,
    );
    expect(() => read(limit.tables)).toThrow(
      'IPT_SO_GET_ENTRIES filter: EPERM (errno 1); run as root with CAP_NET_ADMIN',
    );
  });

  it.each([
    ['when the table changed between the two', EAGAIN, 'EAGAIN'],
    ['when the table went between the two', ENOENT, 'ENOENT'],
    ['when a signal cut the second short', EFAULT, 'EFAULT'],
  ])('asks both questions again %s, up to a limit', (_, errno, errnoName) => {
    let times = 0;
    const twice = kernelOf(
      'filter',
      () => info(),
      () => (times++ < 2 ? errno : entries()),
    );
    expect(read(twice.tables)).toBe(textOf(recorded));
    expect(twice.asked).toHaveLength(6);
    const always = kernelOf(
      'filter',
      () => info(),
      () => errno,
    );
    expect(() => read(always.tables)).toThrow(
      expect.objectContaining({ code: 'KERNEL_REFUSED', errnoName, object: 'filter' }),
    );
    expect(always.asked).toHaveLength(10);
  });

  it('asks the first question again when a signal cut it short, up to a limit', () => {
    let times = 0;
    const once = kernelOf('filter', () => (times++ < 1 ? EFAULT : info()), entries);
    expect(read(once.tables)).toBe(textOf(recorded));
    expect(once.asked).toHaveLength(3);
    const always = kernelOf('filter', () => EFAULT, entries);
    expect(() => read(always.tables)).toThrow('EFAULT (errno 14)');
    expect(always.asked).toHaveLength(5);
  });

  it('is a typed error where the kernel refuses', () => {
    expect(() => read(kernelOf('nat', () => EPERM).tables)).toThrow(
      'IPT_SO_GET_INFO nat: EPERM (errno 1); run as root with CAP_NET_ADMIN',
    );
    const ipv6 = openLegacyFingerprint('IPv6', kernelOf('nat', () => 12).tables);
    expect(() => ipv6.read()).toThrow('IP6T_SO_GET_INFO nat: ENOMEM (errno 12)');
  });

  it('is a typed error or a text whatever the rules look like', () => {
    const damaged = fc.record({ at: fc.nat(entries().length - 41), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(damaged, { maxLength: 5 }), (damages) => {
        const bytes = entries();
        for (const { at, value } of damages) bytes[40 + at] = value;
        try {
          expect(
            read(
              kernelOf(
                'filter',
                () => info(),
                () => bytes,
              ).tables,
            ),
          ).toMatch(/sha1/);
        } catch (error) {
          if (!(error instanceof PointsmanError)) throw error;
          expect(error.message).toMatch(
            /^cannot decode a table of iptables: a rule of \d+ bytes with \d+ left$/,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['shorter than a rule', (bytes: Uint8Array) => bytes.subarray(0, 100), 'a rule of 0 bytes with 100 left'],
    ['with a length of zero', (bytes: Uint8Array) => bytes.fill(0), 'a rule of 0 bytes with 1312 left'],
    [
      'cut in the last rule',
      (bytes: Uint8Array) => bytes.subarray(0, 1311),
      'a rule of 176 bytes with 175 left',
    ],
  ])('cannot be made of rules %s', (_, damage, text) => {
    expect(() => clearCounters(damage(rulesOf(recorded)), 'IPv4')).toThrow(
      expect.objectContaining({
        code: 'KERNEL_PROTOCOL',
        message: `cannot decode a table of iptables: ${text}`,
      }),
    );
  });
});

describe('the fingerprint of nf_tables', () => {
  const of = (answer: (seq: number) => Answer[]) => {
    const transport = new ScriptedTransport((request) => answer(seqOf(request)));
    return { transport, fingerprint: openNftFingerprint(() => transport) };
  };
  /** A recorded reply with the sequence number of the request. */
  const reply = (base64: string, seq: number): Answer => {
    const bytes = bytesOf(base64);
    new DataView(bytes.buffer).setUint32(8, seq, true);
    return { bytes };
  };

  it('is the generation that the kernel gave after three commands of iptables-nft', () => {
    const { transport, fingerprint } = of((seq) =>
      RECORDED.generation.replies.map((base64) => reply(base64, seq)),
    );
    expect(fingerprint.read()).toBe('generation 4');
    expect(RECORDED.generation.text).toBe('generation 4');
    // NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, of no family.
    expect(transport.sent.map((request) => [request[4], request[5], ...request.slice(16, 20)])).toEqual([
      [16, 10, 0, 0, 0, 0],
    ]);
    fingerprint.close();
    expect(transport.isClosed).toBe(true);
  });

  it.each([
    ['without nf_tables', 22],
    ['that says so otherwise', 95],
  ])('is null on a kernel %s', (_, errno) => {
    expect(of((seq) => [{ bytes: ack(seq, -errno) }]).fingerprint.read()).toBeNull();
  });

  it.each([
    ['refuses', (seq: number) => [{ bytes: ack(seq, -EPERM) }], 'NFT_MSG_GETGEN: EPERM (errno 1)'],
    ['does not tell', (seq: number) => [{ bytes: ack(seq) }], 'NFT_MSG_GETGEN: an answer without data'],
    [
      'tells something else',
      (seq: number) => [
        { bytes: message(0xa01, 0, seq, [0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 4]) },
        { bytes: ack(seq) },
      ],
      'NFT_MSG_GETGEN: an answer without data',
    ],
    [
      'tells too little',
      (seq: number) => [{ bytes: message(0xa0f, 0, seq, [0, 0, 0, 0, 6, 0, 1, 0, 0, 4]) }],
      'attribute 1 has 2 bytes instead of 4',
    ],
  ] as const)('is a typed error when the kernel %s', (_, answer, text) => {
    const { fingerprint } = of(answer);
    expect(() => fingerprint.read()).toThrow(PointsmanError);
    expect(() => fingerprint.read()).toThrow(text);
  });

  it('reads the generation in network order', () => {
    expect(decodeGeneration(Uint8Array.of(9, 9, 0, 0, 1, 2, 8, 0, 1, 0, 0xff, 0, 0, 1), 2, 14)).toBe(
      0xff000001,
    );
  });
});
