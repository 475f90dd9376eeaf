import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recording, RECORDINGS, replay } from '../../test/fixtures/netlink/replay.ts';
import { ip, SCENARIOS } from '../../test/fixtures/netlink/scenarios.ts';
import { ack, message, ScriptedTransport, seqOf, seqsOf } from '../../test/kernel/scripted-transport.ts';
import { IpsetClient, MEMBERS_PER_SLICE } from './ipset.ts';
import {
  decodeMember,
  encodeMember,
  formatMember,
  parseMember,
  SET_TYPES,
  type SetMember,
  type SetType,
} from './ipset-codec.ts';
import { setError } from './ipset-errors.ts';
import { MessageWriter } from './wire.ts';

async function replayed(name: string): Promise<any> {
  return SCENARIOS.find((scenario) => scenario.name === name)?.run(replay(recording(name)));
}

describe('replayed from the kernel', () => {
  const plain = RECORDINGS.filter(({ name }) => /^ipset (hash|bitmap):/.test(name));

  it('has every set type', () => {
    expect(new Set(plain.map(({ name }) => name.split(' ')[1]))).toEqual(new Set(SET_TYPES));
  });

  it.each(plain.map((one) => [one.name, one.command, one.output] as const))(
    '%s reads what "%s" prints',
    async (name, _, output) => {
      const { failures, contents } = await replayed(name);
      expect(failures).toEqual([]);
      const lines = output.trim().split('\n');
      const printed = lines.slice(lines.indexOf('Members:') + 1);
      expect(contents.members.map(formatMember)).toEqual(printed);
      const { set } = contents;
      const header = lines.find((line) => line.startsWith('Header: '));
      expect(header).toBe(
        set.type === 'bitmap:port'
          ? `Header: range ${set.portFrom}-${set.portTo}`
          : `Header: family ${set.family === 'IPv4' ? 'inet' : 'inet6'} hashsize ${set.hashSize} maxelem ${set.maxElements}`,
      );
      expect(lines).toContain(`Type: ${set.type}`);
      expect(lines).toContain(`Revision: ${set.revision}`);
      expect(lines).toContain(`Size in memory: ${set.memoryBytes}`);
      expect(lines).toContain(`Number of entries: ${set.entries}`);
    },
  );

  it('creates again with the same parameters and refuses others', async () => {
    const hint = 'a set of this name exists with another type, family or size; destroy or rename it';
    expect(await replayed('ipset create again with the same and other parameters')).toEqual([
      `ipset create S hash:ip: EEXIST (errno 17); ${hint}`,
      `ipset create S hash:ip,port: EEXIST (errno 17); ${hint}`,
    ]);
  });

  it('reports each refused member of a list and applies all others', async () => {
    const { failures, missing, contents } = await replayed('ipset members refused in the middle of a list');
    expect(failures.map(({ member, error }: any) => [formatMember(member), error.errnoName])).toEqual([
      ['0.0.0.0', 'IPSET_ERR_HASH_ELEM'],
      ['10.0.0.4', 'IPSET_ERR_HASH_FULL'],
    ]);
    expect(missing).toEqual([]);
    expect(contents.members.map(formatMember).toSorted()).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  });

  it('names the port that a bitmap cannot hold', async () => {
    const failures = await replayed('ipset ports outside the range of a bitmap');
    expect(failures.map(({ error }: any) => error.message)).toEqual([
      'ipset add S 80: IPSET_ERR_BITMAP_RANGE (errno 4352); the port is outside the range of the set',
    ]);
  });

  it('says that there is no such set, or counts it as done where nothing was to do', async () => {
    const { list, destroy, flush, add } = await replayed('ipset of no such set');
    expect(list).toBeNull();
    expect(destroy).toBe(false);
    expect(flush).toBe('ipset flush S: ENOENT (errno 2); there is no such set');
    expect(add.map(({ error }: any) => error.message)).toEqual([
      'ipset add S 1: ENOENT (errno 2); there is no such set',
      'ipset add S 2: ENOENT (errno 2); there is no such set',
    ]);
  });

  it('swaps, renames, flushes, destroys, and lists headers of foreign types', async () => {
    const { swapped, outcomes, isDestroyed, headers, foreign } = await replayed(
      'ipset swap, rename, flush and destroy',
    );
    expect(swapped.map(formatMember)).toEqual(['10.0.0.1']);
    expect(outcomes).toEqual([
      expect.stringContaining('ipset swap A C: IPSET_ERR_TYPE_MISMATCH'),
      expect.stringContaining('ipset rename A C: IPSET_ERR_EXIST_SETNAME2'),
    ]);
    expect(isDestroyed).toBe(true);
    expect(headers.map(({ name, type, entries }: any) => [name, type, entries])).toEqual([
      ['B', 'hash:ip', 0],
      ['C', 'hash:net', 0],
    ]);
    expect(foreign).toMatchObject({ set: { type: 'hash:net', family: 'IPv4' }, members: null });
  });
});

describe('opening', () => {
  const answering = (payload: readonly number[], status?: number) => () =>
    new ScriptedTransport((request) =>
      status === undefined
        ? [{ bytes: message(0x601, 0, seqOf(request), payload) }, { bytes: ack(seqOf(request)) }]
        : [{ bytes: ack(seqOf(request), status) }],
    );
  const versions = (max: number, min: number): number[] => [
    2,
    0,
    0,
    0,
    5,
    0,
    1,
    0,
    max,
    0,
    0,
    0,
    5,
    0,
    10,
    0,
    min,
    0,
    0,
    0,
  ];

  it.each([
    ['7 with a kernel of 7 to 6', versions(7, 6), 7],
    ['6 with a kernel of 6', [2, 0, 0, 0, 5, 0, 1, 0, 6, 0, 0, 0], 6],
    ['7 with a kernel of 9 to 7', versions(9, 7), 7],
  ] as const)('speaks protocol %s', (_, payload, protocol) => {
    expect(IpsetClient.open(answering(payload)).protocol).toBe(protocol);
  });

  it.each([
    ['no ipset', [], -22, 'MISSING_MODULE', 'modprobe ip_set'],
    ['a newer ipset only', versions(9, 8), undefined, 'MISSING_MODULE', 'speaks protocols 8 to 9'],
    ['an older ipset only', versions(5, 5), undefined, 'MISSING_MODULE', 'speaks protocols 5 to 5'],
    ['no right to use it', [], -1, 'KERNEL_REFUSED', 'CAP_NET_ADMIN'],
    ['an answer without versions', [2, 0, 0, 0], undefined, 'KERNEL_PROTOCOL', 'lacks attribute 1'],
  ] as const)('says what is wrong with %s', (_, payload, status, code, text) => {
    const open = (): unknown => IpsetClient.open(answering(payload, status));
    expect(open).toThrow(expect.objectContaining({ code }));
    expect(open).toThrow(text);
  });
});

describe('many members', () => {
  function acking(): { sets: IpsetClient; sent: () => number[] } {
    const transports: ScriptedTransport[] = [];
    const sets = IpsetClient.open(() => {
      const transport = new ScriptedTransport((request) => {
        const seq = seqsOf(request).at(-1) ?? 0;
        const versions = message(0x601, 0, seq, [2, 0, 0, 0, 5, 0, 1, 0, 7, 0, 0, 0]);
        return request[4] === 1 ? [{ bytes: versions }, { bytes: ack(seq) }] : [{ bytes: ack(seq) }];
      });
      transports.push(transport);
      return transport;
    });
    return { sets, sent: () => (transports[0]?.sent ?? []).slice(1).map((request) => request.length) };
  }

  it('go in slices whose nests stay under 64 KiB, with a turn of the loop between two', async () => {
    const { sets, sent } = acking();
    const address = ip('2001:db8:ffff:ffff:ffff:ffff:ffff:ffff');
    const members = Array.from({ length: 1000 }, (_, port) => ({
      address,
      protocol: 6,
      port,
      address2: address,
      prefixLength2: 64,
    }));
    let turns = 0;
    const count = (): void => {
      turns++;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    expect(await sets.add('S', members)).toEqual([]);
    clearImmediate(immediate);
    expect(sent()).toHaveLength(Math.ceil(1000 / MEMBERS_PER_SLICE));
    expect(Math.max(...sent())).toBeLessThan(32768);
    expect(turns).toBeGreaterThanOrEqual(3);
  });

  it('may come from an async iterable, and none at all sends nothing', async () => {
    const { sets, sent } = acking();
    async function* ports(): AsyncGenerator<SetMember> {
      for (let port = 1; port <= MEMBERS_PER_SLICE + 1; port++) yield { port };
    }
    expect(await sets.delete('S', ports())).toEqual([]);
    expect(sent()).toHaveLength(2);
    expect(await sets.delete('S', [])).toEqual([]);
    expect(sent()).toHaveLength(2);
  });

  it.each(['', 'x'.repeat(32)])(
    'of a set whose name cannot exist (%j) are a programmer error',
    async (name) => {
      await expect(acking().sets.add(name, [{ port: 1 }])).rejects.toThrow('not a set name');
    },
  );
});

describe('member text', () => {
  it.each<[SetType, 'IPv4' | 'IPv6', string, SetMember]>([
    ['hash:ip', 'IPv4', '10.96.0.1', { address: ip('10.96.0.1') }],
    ['hash:ip,port', 'IPv4', '10.96.0.1,tcp:443', { address: ip('10.96.0.1'), protocol: 6, port: 443 }],
    ['hash:ip,port', 'IPv6', 'fd96::1,udp:53', { address: ip('fd96::1'), protocol: 17, port: 53 }],
    ['hash:ip,port', 'IPv4', '10.96.0.1,99:1', { address: ip('10.96.0.1'), protocol: 99, port: 1 }],
    [
      'hash:ip,port,ip',
      'IPv4',
      '10.0.0.1,sctp:9,10.0.0.2',
      { address: ip('10.0.0.1'), protocol: 132, port: 9, address2: ip('10.0.0.2') },
    ],
    [
      'hash:ip,port,net',
      'IPv6',
      'fd00::1,tcp:80,fd00::/8',
      { address: ip('fd00::1'), protocol: 6, port: 80, address2: ip('fd00::'), prefixLength2: 8 },
    ],
    [
      'hash:ip,port,net',
      'IPv4',
      '10.0.0.1,tcp:80,10.0.0.7',
      { address: ip('10.0.0.1'), protocol: 6, port: 80, address2: ip('10.0.0.7'), prefixLength2: 32 },
    ],
    ['bitmap:port', 'IPv4', '443', { port: 443 }],
  ])('of a %s set of %s reads and prints %s', (type, family, text, member) => {
    expect(parseMember(type, family, text)).toEqual(member);
    expect(formatMember(member)).toBe(text);
  });

  it.each<[SetType, 'IPv4' | 'IPv6', string, string]>([
    ['hash:ip', 'IPv4', 'fd96::1', 'fd96::1 is not IPv4'],
    ['hash:ip', 'IPv4', '10.0.0.256', '"10.0.0.256" is not an address'],
    ['hash:ip', 'IPv4', '', '"" is not an address'],
    ['hash:ip,port', 'IPv4', '10.0.0.1', 'it needs 2 parts'],
    ['hash:ip,port', 'IPv4', '10.0.0.1,tcp:65536', 'port "65536" is not a number from 0 to 65535'],
    ['hash:ip,port', 'IPv4', '10.0.0.1,tcp', 'port "" is not a number'],
    ['hash:ip,port', 'IPv4', '10.0.0.1,nope:1', 'protocol "nope" is not a number'],
    ['hash:ip,port', 'IPv4', '10.0.0.1,constructor:1', 'protocol "constructor" is not a number'],
    ['hash:ip,port,net', 'IPv4', '10.0.0.1,tcp:1,10.0.0.0/33', 'prefix length "33"'],
    ['hash:ip,port,net', 'IPv4', '10.0.0.1,tcp:1,10.0.0.0/8/9', 'more than one prefix length'],
    ['hash:ip,port', 'IPv4', '10.0.0.1,tcp:1:2', 'more than one port'],
    ['hash:ip,port', 'IPv4', '10.0.0.1,tcp:1 nomatch', 'only sets of networks'],
    ['bitmap:port', 'IPv4', '-1', 'port "-1"'],
    ['bitmap:port', 'IPv4', '1e2', 'port "1e2"'],
  ])('of a %s set of %s refuses %j', (type, family, text, why) => {
    expect(() => parseMember(type, family, text)).toThrow(
      expect.objectContaining({ code: 'INVALID_OBJECT' }),
    );
    expect(() => parseMember(type, family, text)).toThrow(why);
  });
});

const number = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
const address = (family: 'IPv4' | 'IPv6') =>
  (family === 'IPv4' ? fc.ipV4() : fc.ipV6())
    .map((text) => ip(text))
    .filter((one) => one.includes(':') === (family === 'IPv6'));

function memberOf(type: SetType, family: 'IPv4' | 'IPv6'): fc.Arbitrary<SetMember> {
  const portal = { address: address(family), protocol: number(255), port: number(65535) };
  switch (type) {
    case 'hash:ip':
      return fc.record({ address: address(family) });
    case 'hash:ip,port':
      return fc.record(portal);
    case 'hash:ip,port,ip':
      return fc.record({ ...portal, address2: address(family) });
    case 'hash:ip,port,net':
      return fc.record(
        {
          ...portal,
          address2: address(family),
          prefixLength2: number(family === 'IPv4' ? 32 : 128),
          isException: fc.constant(true as const),
        },
        { requiredKeys: ['address', 'protocol', 'port', 'address2', 'prefixLength2'] },
      );
    case 'bitmap:port':
      return fc.record({ port: number(65535) });
  }
}

describe.each(SET_TYPES.flatMap((type) => [[type, 'IPv4'] as const, [type, 'IPv6'] as const]))(
  'any member of a %s set of %s',
  (type, family) => {
    it('survives the way to bytes and back, and to text and back', () => {
      fc.assert(
        fc.property(memberOf(type, family), number(1000), (member, line) => {
          const writer = new MessageWriter(512);
          writer.begin(1, 0, 1);
          encodeMember(writer, member, line);
          writer.end();
          expect(decodeMember(writer.bytes, 20, writer.length)).toEqual(member);
          expect(parseMember(type, family, formatMember(member))).toEqual(member);
        }),
      );
    });
  },
);

describe('setError', () => {
  it.each([
    [4352, 'hash', 'IPSET_ERR_HASH_FULL', 'larger maxelem'],
    [4352, 'bitmap', 'IPSET_ERR_BITMAP_RANGE', 'outside the range'],
    [4100, 'hash', 'IPSET_ERR_BUSY', 'refers to the set'],
    [4098, 'hash', 'IPSET_ERR_FIND_TYPE', 'load its module'],
    [2, 'hash', 'ENOENT', 'no such set'],
    [9999, 'hash', 'errno 9999', ''],
  ] as const)('names errno %i of a %s set %s', (errno, kind, name, hint) => {
    const error = setError('ipset add', 'S 1', errno, kind);
    expect(error).toMatchObject({ errno, errnoName: name, operation: 'ipset add', object: 'S 1' });
    expect(error.message).toContain(hint);
  });
});
