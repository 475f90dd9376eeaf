import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recording, replay } from '../../test/fixtures/netlink/replay.ts';
import { ip, SCENARIOS } from '../../test/fixtures/netlink/scenarios.ts';
import { ack, ScriptedTransport, seqsOf } from '../../test/kernel/scripted-transport.ts';
import { OBJECTS_PER_SLICE, RtnetlinkClient } from './rtnetlink.ts';
import {
  decodeAddress,
  decodeRoute,
  encodeHostAddress,
  encodeRoute,
  formatRoute,
  localRoute,
  type Route,
} from './rtnetlink-codec.ts';
import { decodeEvent } from './rtnetlink-watch.ts';
import { MessageWriter } from './wire.ts';

async function replayed(name: string): Promise<any> {
  return SCENARIOS.find((scenario) => scenario.name === name)?.run(replay(recording(name)));
}

describe('replayed from the kernel', () => {
  it('lists links as "ip link" does, adds, and deletes', async () => {
    const { links, one, none, added, bad, deleted } = await replayed('links');
    expect(links.map(({ index, name, kind, isUp, mtu }: any) => [index, name, kind, isUp, mtu])).toEqual([
      [1, 'lo', '', false, 65536],
      [2, 'br0', 'bridge', false, 1500],
      [3, 'veth1', 'veth', false, 1500],
      [4, 'veth0', 'veth', true, 1500],
    ]);
    expect(one).toEqual(links[3]);
    expect(none).toBeNull();
    expect(added).toEqual(['created', 'exists']);
    expect(bad).toBe(
      'link add x type no-such-kind: EOPNOTSUPP (errno 95); the kernel has no no-such-kind devices; load module no-such-kind',
    );
    expect(deleted).toEqual([true, false]);
  });

  it('adds, lists and deletes addresses; what is there or gone already is no failure', async () => {
    const { added, badLink, all, ofLink, deleted, deletedNowhere } = await replayed('addresses');
    expect(added).toEqual([]);
    expect(badLink.map(({ error }: any) => error.message)).toEqual([
      'address add 10.96.0.1 on link 99: ENODEV (errno 19); ipv4: Device not found',
    ]);
    expect(
      all.map((one: any) => `${one.linkIndex} ${one.address}/${one.prefixLength} scope ${one.scope}`),
    ).toEqual([
      '1 127.0.0.1/8 scope 254',
      '7 192.0.2.1/24 scope 0',
      '7 10.96.0.1/32 scope 0',
      '1 ::1/128 scope 254',
      '7 fd96::1/128 scope 0',
    ]);
    expect(ofLink.map(({ address }: any) => address)).toEqual(['fd96::1']);
    expect(deleted).toEqual([]);
    expect(deletedNowhere).toEqual([]);
  });

  it('adds, lists and deletes routes; the same route again is fine, another one in its place is not', async () => {
    const { added, addedAgain, addedElsewhere, ipv4, ipv6Local, deleted } = await replayed('routes');
    expect([added, addedAgain, deleted]).toEqual([[], [], []]);
    expect(addedElsewhere.map(({ error }: any) => error.message)).toEqual([
      'route add local 10.96.0.0/12 table 255: EEXIST (errno 17)',
    ]);
    expect(ipv4.map(formatRoute)).toEqual(
      expect.arrayContaining([
        'blackhole 203.0.113.0/24 table 1000',
        'unicast 192.0.2.0/24 table 254',
        'unicast 198.51.100.0/24 via 192.0.2.2 table 254',
        'local 10.96.0.0/12 table 255',
        'broadcast 192.0.2.255/32 table 255',
      ]),
    );
    // "ip route" prints one line for each.
    const lines = recording('routes').output.trim().split('\n');
    expect(ipv4).toHaveLength(lines.findIndex((line) => line.startsWith('fe80')));
    expect(ipv4[0]).toMatchObject({ table: 1000, type: 6, linkIndex: null });
    expect(ipv6Local).toContainEqual({ ...localRoute('IPv6', ip('fd96::'), 108, 7), priority: 1024 });
  });
});

describe('many addresses', () => {
  it('go in slices, from any iterable, and a refused one does not stop the others', async () => {
    const transports: ScriptedTransport[] = [];
    const client = RtnetlinkClient.open(() => {
      const transport = new ScriptedTransport((request) => {
        const seqs = seqsOf(request);
        return [
          ...seqs.slice(0, 1).map((seq) => ({ bytes: ack(seq, -12) })),
          { bytes: ack(seqs.at(-1) ?? 0) },
        ];
      });
      transports.push(transport);
      return transport;
    });
    async function* addresses() {
      for (let i = 0; i < OBJECTS_PER_SLICE * 2; i++) yield ip(`10.96.0.${i}`);
    }
    const { failures } = await client.addAddresses(7, addresses());
    expect(failures.map(({ address, error }) => [address, error.errnoName])).toEqual([
      ['10.96.0.0', 'ENOMEM'],
      [`10.96.0.${OBJECTS_PER_SLICE}`, 'ENOMEM'],
    ]);
    expect(transports[0]?.sent).toHaveLength(2);
  });
});

const family = fc.constantFrom('IPv4' as const, 'IPv6' as const);
const addressOf = (of: 'IPv4' | 'IPv6') =>
  (of === 'IPv4' ? fc.ipV4() : fc.ipV6())
    .map((text) => ip(text))
    .filter((one) => one.includes(':') === (of === 'IPv6'));

function encoded(write: (writer: MessageWriter) => void): { bytes: Uint8Array; end: number } {
  const writer = new MessageWriter(512);
  writer.begin(1, 0, 1);
  write(writer);
  writer.end();
  return { bytes: writer.bytes, end: writer.length };
}

describe('codec', () => {
  it('writes "ip addr add 10.96.0.1/32 dev 7" as the kernel header says', () => {
    const { bytes, end } = encoded((writer) => encodeHostAddress(writer, 7, ip('10.96.0.1')));
    expect(Buffer.from(bytes.subarray(16, end)).toString('hex')).toBe(
      ['02', '20', '00', '00', '07000000', '08000200', '0a600001', '08000100', '0a600001'].join(''),
    );
  });

  it('gives back any host address', () => {
    fc.assert(
      fc.property(family.chain(addressOf), fc.integer({ min: 1, max: 0x7fffffff }), (address, linkIndex) => {
        const { bytes, end } = encoded((writer) => encodeHostAddress(writer, linkIndex, address));
        const isIpv6 = address.includes(':');
        expect(decodeAddress(bytes, 16, end)).toEqual({
          linkIndex,
          family: isIpv6 ? 'IPv6' : 'IPv4',
          address,
          peer: null,
          prefixLength: isIpv6 ? 128 : 32,
          scope: 0,
          flags: 0,
        });
      }),
    );
  });

  it('gives back any route', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const route: fc.Arbitrary<Route> = family.chain((of) =>
      fc.record({
        family: fc.constant(of),
        table: fc.integer({ min: 1, max: 0xffffffff }),
        type: byte,
        destination: addressOf(of),
        prefixLength: fc.integer({ min: 0, max: of === 'IPv4' ? 32 : 128 }),
        gateway: fc.option(addressOf(of)),
        linkIndex: fc.option(fc.integer({ min: 1, max: 0x7fffffff })),
        protocol: byte,
        scope: byte,
        priority: fc.integer({ min: 0, max: 0xffffffff }),
        preferredSource: fc.option(addressOf(of)),
      }),
    );
    fc.assert(
      fc.property(route, (one) => {
        const { bytes, end } = encoded((writer) => encodeRoute(writer, one));
        expect(decodeRoute(bytes, 16, end)).toEqual(one);
      }),
    );
  });

  const headerOf = (type: number) => ({
    type,
    flags: 0,
    seq: 0,
    portid: 0,
    payloadStart: 16,
    payloadEnd: 16,
  });

  it.each([16, 17, 20, 21, 24, 25])('refuses a notification of type %i that has no payload', (type) => {
    expect(() => decodeEvent({ bytes: new Uint8Array(64), header: headerOf(type) })).toThrow(
      expect.objectContaining({ code: 'KERNEL_PROTOCOL' }),
    );
  });

  it('passes over notifications of other types', () => {
    expect(decodeEvent({ bytes: new Uint8Array(64), header: headerOf(28) })).toBeUndefined();
  });
});
