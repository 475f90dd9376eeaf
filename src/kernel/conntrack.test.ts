import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recording, replay } from '../../test/fixtures/netlink/replay.ts';
import { ip, SCENARIOS } from '../../test/fixtures/netlink/scenarios.ts';
import {
  ack,
  done,
  message,
  ScriptedTransport,
  seqOf,
  seqsOf,
} from '../../test/kernel/scripted-transport.ts';
import { ConntrackClient } from './conntrack.ts';
import {
  decodeEntry,
  encodeEntryKey,
  encodeFilter,
  encodeTuple,
  kernelFilter,
  matchesFilter,
  TUPLE_ATTR,
  type ConntrackEntry,
  type ConntrackTuple,
} from './conntrack-codec.ts';
import { writeNfgenmsg } from './nfnetlink.ts';
import { MessageWriter } from './wire.ts';

async function replayed(name: string): Promise<any> {
  return SCENARIOS.find((scenario) => scenario.name === name)?.run(replay(recording(name)));
}

/** A line of /proc/net/nf_conntrack without the parts that netlink does not tell, for IPv4. */
function line(entry: ConntrackEntry): string {
  const tuple = ({ source, destination, sourcePort, destinationPort }: ConntrackTuple): string =>
    `src=${source} dst=${destination} sport=${sourcePort} dport=${destinationPort}`;
  const seen = (entry.status & 2) === 0 ? '[UNREPLIED] ' : '';
  return `${tuple(entry.original)} ${seen}${tuple(entry.reply)} mark=${entry.mark} zone=${entry.zone}`;
}

describe('replayed from the kernel', () => {
  it('reads what /proc/net/nf_conntrack prints', async () => {
    const { all } = await replayed('conntrack');
    const printed = recording('conntrack')
      .output.split('\n')
      .filter((text) => text.startsWith('ipv4'))
      .map((text) => text.replace(/^.*? (?=src=)/, '').replace(/ use=.*$/, ''));
    expect(printed.length).toBeGreaterThan(3);
    expect(all.map(line).toSorted()).toEqual(printed.toSorted());
    expect(
      all.every(
        ({ timeoutSeconds, id }: ConntrackEntry) =>
          timeoutSeconds !== null && timeoutSeconds <= 30 && id !== 0,
      ),
    ).toBe(true);
  });

  it('lists by original tuple, by port alone, and by the real server of NAT', async () => {
    const { one, ipv6, natted } = await replayed('conntrack');
    expect(one.map(({ original }: any) => original.destinationPort)).toEqual([5001]);
    expect(ipv6.map(({ original }: any) => `${original.destination} ${original.destinationPort}`)).toEqual([
      '::1 5001',
    ]);
    expect(natted.map(({ original }: any) => `${original.destination} ${original.destinationPort}`)).toEqual([
      '127.0.0.2 53',
    ]);
  });

  it('lets the kernel compare what it can: the answer holds nothing else', () => {
    const replies = recording('conntrack').sockets[1]?.[1]?.replies.map((reply) => reply.length) ?? [];
    const all = recording('conntrack').sockets[1]?.[0]?.replies.map((reply) => reply.length) ?? [];
    expect(Math.max(...replies)).toBeLessThan(Math.max(...all) / 2);
  });

  it('deletes entries, those of a zone too, and counts what is gone as no failure', async () => {
    const { count, first, second } = await replayed('conntrack delete');
    expect(count).toBe(3);
    expect(first).toEqual({ deleted: 3, failures: [] });
    expect(second).toEqual({ deleted: 0, failures: [] });
    expect(recording('conntrack delete').output).toBe('');
  });
});

const tuple = (port: number): ConntrackTuple => ({
  source: ip('10.0.0.1'),
  destination: ip('10.96.0.10'),
  protocol: 17,
  sourcePort: 1024,
  destinationPort: port,
});
const entry = (port: number): ConntrackEntry => ({
  family: 'IPv4',
  original: tuple(port),
  reply: tuple(port),
  zone: 0,
  mark: 0,
  status: 0,
  timeoutSeconds: 1,
  id: 5,
});

/** The payload of an entry's message as the kernel builds it. */
function entryPayload(one: ConntrackEntry): Uint8Array {
  const writer = new MessageWriter(1024);
  writer.begin(0x100, 0, 1);
  writeNfgenmsg(writer, one.family === 'IPv4' ? 2 : 10);
  encodeEntryKey(writer, one);
  encodeTuple(writer, TUPLE_ATTR.REPLY, one.reply);
  writer.attrU32Be(3, one.status);
  if (one.timeoutSeconds !== null) writer.attrU32Be(7, one.timeoutSeconds);
  writer.attrU32Be(8, one.mark);
  writer.end();
  return writer.bytes.slice(16, writer.length);
}

describe('a kernel that does not filter', () => {
  const everything = (seq: number) => [
    ...[53, 80].map((port) => ({ bytes: message(0x100, 2, seq, entryPayload(entry(port))) })),
    { bytes: done(seq) },
  ];
  const filter = { family: 'IPv4', original: { protocol: 17, destinationPort: 53 } } as const;

  it('and passes over the filter gives the same list', async () => {
    const client = ConntrackClient.open(() => new ScriptedTransport((request) => everything(seqOf(request))));
    expect(await client.list(filter)).toEqual([entry(53)]);
  });

  it.each([22, 95])(
    'and refuses it with errno %i is asked without, and without from then on',
    async (errno) => {
      const sizes: number[] = [];
      const client = ConntrackClient.open(
        () =>
          new ScriptedTransport((request) => {
            sizes.push(request.length);
            return request.length > 20
              ? [{ bytes: ack(seqOf(request), -errno) }]
              : everything(seqOf(request));
          }),
      );
      expect(await client.list(filter)).toEqual([entry(53)]);
      expect(await client.list(filter)).toEqual([entry(53)]);
      expect(sizes.map((size) => size > 20)).toEqual([true, false, false]);
    },
  );

  it.each([
    ['passes over filters', everything, false],
    ['compares', (seq: number) => [...everything(seq).slice(0, 1), { bytes: done(seq) }], true],
  ] as const)('and one that %s are told apart by their answers', async (_, answers, filtersInKernel) => {
    const client = ConntrackClient.open(() => new ScriptedTransport((request) => answers(seqOf(request))));
    expect(client.filtersInKernel).toBe(true);
    await client.list(filter);
    expect(client.filtersInKernel).toBe(filtersInKernel);
  });

  it('and is left what no kernel compares, ports without a protocol, is not taken for one that passes over filters', async () => {
    const client = ConntrackClient.open(() => new ScriptedTransport((request) => everything(seqOf(request))));
    expect(await client.list({ family: 'IPv4', original: { destinationPort: 53 } })).toEqual([entry(53)]);
    expect(client.filtersInKernel).toBe(true);
  });

  it('and has no connection tracking at all says so', async () => {
    const client = ConntrackClient.open(
      () => new ScriptedTransport((request) => [{ bytes: ack(seqOf(request), -22) }]),
    );
    await expect(client.list(filter)).rejects.toMatchObject({ name: 'KernelError', errnoName: 'EINVAL' });
  });
});

it('a list holds only what is wanted of what matches', async () => {
  const client = ConntrackClient.open(
    () =>
      new ScriptedTransport((request) => {
        const seq = seqOf(request);
        const entries = [53, 80, 81].map((port) => ({
          bytes: message(0x100, 2, seq, entryPayload(entry(port))),
        }));
        return [...entries, { bytes: done(seq) }];
      }),
  );
  const isWanted = ({ original }: ConntrackEntry): boolean => original.destinationPort > 53;
  expect(await client.list({ family: 'IPv4' }, isWanted)).toEqual([entry(80), entry(81)]);
});

describe('deleting', () => {
  it('reports what was refused and goes on', async () => {
    const client = ConntrackClient.open(
      () =>
        new ScriptedTransport((request) => {
          const seqs = seqsOf(request);
          return [
            { bytes: ack(seqs[0] ?? 0, -1) },
            { bytes: ack(seqs[1] ?? 0, -2) },
            { bytes: ack(seqs.at(-1) ?? 0) },
          ];
        }),
    );
    const { deleted, failures } = await client.delete([entry(1), entry(2), entry(3)]);
    expect(deleted).toBe(1);
    expect(failures.map(({ error }) => error.message)).toEqual([
      'conntrack delete protocol 17 10.0.0.1 port 1024 -> 10.96.0.10 port 1: EPERM (errno 1); run as root (CAP_NET_ADMIN)',
    ]);
  });
});

const anyTuple = (family: 'IPv4' | 'IPv6'): fc.Arbitrary<ConntrackTuple> => {
  const address = (family === 'IPv4' ? fc.ipV4() : fc.ipV6())
    .map((text) => ip(text))
    .filter((one) => one.includes(':') === (family === 'IPv6'));
  const port = fc.integer({ min: 0, max: 65535 });
  const byte = fc.integer({ min: 0, max: 255 });
  const ported = fc.record({
    source: address,
    destination: address,
    protocol: fc.constantFrom(6, 17, 132),
    sourcePort: port,
    destinationPort: port,
  });
  const icmp = fc.record({
    source: address,
    destination: address,
    protocol: fc.constant(family === 'IPv4' ? 1 : 58),
    sourcePort: fc.constant(0),
    destinationPort: fc.constant(0),
    icmp: fc.record({ id: port, type: byte, code: byte }),
  });
  return fc.oneof(ported, icmp);
};

const anyEntry: fc.Arbitrary<ConntrackEntry> = fc
  .constantFrom('IPv4' as const, 'IPv6' as const)
  .chain((family) =>
    fc.record({
      family: fc.constant(family),
      original: anyTuple(family),
      reply: anyTuple(family),
      zone: fc.integer({ min: 0, max: 65535 }),
      mark: fc.integer({ min: 0, max: 0xffffffff }),
      status: fc.integer({ min: 0, max: 0xffffffff }),
      timeoutSeconds: fc.option(fc.integer({ min: 0, max: 0xffffffff })),
      id: fc.integer({ min: 0, max: 0xffffffff }),
    }),
  );

describe('codec', () => {
  it('gives back any entry', () => {
    fc.assert(
      fc.property(anyEntry, (one) => {
        const payload = entryPayload(one);
        expect(decodeEntry(payload, 0, payload.length)).toEqual(one);
      }),
    );
  });

  it('matches an entry by any part of itself and by nothing else', () => {
    fc.assert(
      fc.property(anyEntry, fc.constantFrom('original' as const, 'reply' as const), (one, side) => {
        const { source, destination, protocol, sourcePort, destinationPort } = one[side];
        for (const part of [{ source }, { destination }, { protocol }, { sourcePort }, { destinationPort }]) {
          expect(matchesFilter({ family: one.family, [side]: part }, one)).toBe(true);
        }
        expect(matchesFilter({ family: one.family, [side]: { protocol: protocol ^ 1 } }, one)).toBe(false);
        expect(
          matchesFilter({ family: one.family, [side]: { destinationPort: destinationPort ^ 1 } }, one),
        ).toBe(false);
        expect(matchesFilter({ family: one.family === 'IPv4' ? 'IPv6' : 'IPv4' }, one)).toBe(false);
      }),
    );
  });

  it('writes "conntrack -L -p udp --orig-dst 10.96.0.10 --dport 53" with the bits of the kernel header', () => {
    const writer = new MessageWriter(256);
    writer.begin(0x101, 0, 1);
    encodeFilter(writer, {
      family: 'IPv4',
      original: { destination: ip('10.96.0.10'), protocol: 17, destinationPort: 53 },
    });
    writer.end();
    expect(Buffer.from(writer.bytes.subarray(16, writer.length)).toString('hex')).toBe(
      [
        '24000180',
        '0c000180',
        '08000200',
        '0a60000a',
        '14000280',
        '05000100',
        '11000000',
        '06000300',
        '00350000',
        '14001980',
        '08000100',
        '2a000000',
        '08000200',
        '00000000',
      ].join(''),
    );
  });

  it('leaves to this side what the kernel gets wrong: IPv6 addresses', () => {
    const asked = (original: object): object | undefined =>
      kernelFilter({ family: 'IPv6', original }).original;
    expect(asked({ source: ip('fd00::2'), destination: ip('fd00::1') })).toEqual({});
    const portal = { destination: ip('fd00::1'), protocol: 17, destinationPort: 53 };
    expect(asked(portal)).toEqual({ protocol: 17, destinationPort: 53 });
  });

  it('leaves to this side what the kernel refuses: ports without a protocol', () => {
    const writer = new MessageWriter(256);
    writer.begin(0x101, 0, 1);
    encodeFilter(writer, { family: 'IPv4', original: { destinationPort: 53 } });
    expect(writer.length).toBe(16);
  });
});
