// replaceSet where the kernel refuses a step: ipset itself only answers so while another program lists the set at that moment.

import { describe, expect, it } from 'vitest';
import { ip } from '../../test/fixtures/netlink/scenarios.ts';
import {
  ack,
  done,
  message,
  ScriptedTransport,
  seqsOf,
  type Answer,
} from '../../test/kernel/scripted-transport.ts';
import { IpsetClient } from './ipset.ts';
import { encodeCreateData, encodeMember, IPSET_CMD, SET_ATTR, type SetDefinition } from './ipset-codec.ts';
import { replaceSet } from './ipset-replace.ts';
import { nfnetlinkType, SUBSYSTEM, writeNfgenmsg } from './nfnetlink.ts';
import { MessageWriter } from './wire.ts';

const EBUSY = 16;
const IPSET_ERR_BUSY = 4100;
const ENOBUFS = 105;
const SET: SetDefinition = { name: 'S', type: 'hash:ip', family: 'IPv4', maxElements: 70_000 };
const NAMES = new Map<number, string>(Object.entries(IPSET_CMD).map(([name, number]) => [number, name]));

/** Set S with one member, as the kernel lists it. */
function listed(seq: number): Uint8Array {
  const writer = new MessageWriter(1024);
  writer.begin(nfnetlinkType(SUBSYSTEM.IPSET, IPSET_CMD.LIST), 2, seq);
  writeNfgenmsg(writer, 2);
  writer.attrString(SET_ATTR.SETNAME, 'S');
  writer.attrString(SET_ATTR.TYPENAME, 'hash:ip');
  writer.attrU8(SET_ATTR.REVISION, 0);
  writer.attrU8(SET_ATTR.FAMILY, 2);
  encodeCreateData(writer, { ...SET, maxElements: 65_536 });
  const members = writer.beginNest(SET_ATTR.ADT);
  encodeMember(writer, { address: ip('10.0.0.1') }, 0);
  writer.endNest(members);
  writer.end();
  return writer.bytes.slice(0, writer.length);
}

/** A client whose kernel knows set S; `refuse` gives the errno of a command, by its name and how often it was asked before. */
function clientOf(refuse: (command: string, times: number) => number): {
  sets: IpsetClient;
  commands: string[];
} {
  const commands: string[] = [];
  const sets = IpsetClient.open(
    () =>
      new ScriptedTransport((request): Answer[] => {
        const seq = seqsOf(request).at(-1) ?? 0;
        const command = NAMES.get(request[4] ?? 0) ?? '';
        if (command === 'PROTOCOL')
          return [
            { bytes: message(0x601, 0, seq, [2, 0, 0, 0, 5, 0, 1, 0, 7, 0, 0, 0]) },
            { bytes: ack(seq) },
          ];
        const times = commands.filter((each) => each === command).length;
        commands.push(command);
        const errno = refuse(command, times);
        if (command === 'LIST')
          return errno === 0
            ? [{ bytes: listed(seq) }, { bytes: done(seq) }]
            : [{ bytes: done(seq, -errno) }];
        return errno === ENOBUFS ? [{ errno }] : [{ bytes: ack(seq, -errno) }];
      }),
  );
  return { sets, commands };
}

describe('a set is replaced', () => {
  it('by a copy of its members and one swap, between two sweeps of the temporary name', async () => {
    const { sets, commands } = clientOf(() => 0);
    await replaceSet(sets, SET, 'T');
    expect(commands).toEqual(['LIST', 'DESTROY', 'TYPE', 'CREATE', 'ADD', 'SWAP', 'DESTROY']);
  });

  it('also when somebody lists what it was, which then stays for the next call', async () => {
    const { sets, commands } = clientOf((command, times) =>
      command === 'DESTROY' && times === 1 ? IPSET_ERR_BUSY : 0,
    );
    await replaceSet(sets, SET, 'T');
    expect(commands.at(-1)).toBe('DESTROY');
  });
});

describe('a set stays what it was and the copy goes', () => {
  it.each([
    ['CREATE', 12, 'ipset create T hash:ip: ENOMEM (errno 12)'],
    ['ADD', 12, 'ipset add T 10.0.0.1: ENOMEM (errno 12)'],
    ['SWAP', EBUSY, 'ipset swap S T: EBUSY (errno 16)'],
  ])('when %s is refused', async (refused, errno, text) => {
    const { sets, commands } = clientOf((command) => (command === refused ? errno : 0));
    await expect(replaceSet(sets, SET, 'T')).rejects.toThrow(text);
    expect(commands.filter((command) => command === 'SWAP')).toHaveLength(refused === 'SWAP' ? 1 : 0);
    expect(commands.at(-1)).toBe('DESTROY');
    expect(commands.filter((command) => command === 'DESTROY')).toHaveLength(2);
  });

  it('when the first failure hides that the copy cannot go', async () => {
    const { sets } = clientOf((command, times) => {
      if (command === 'SWAP') return EBUSY;
      return command === 'DESTROY' && times === 1 ? IPSET_ERR_BUSY : 0;
    });
    await expect(replaceSet(sets, SET, 'T')).rejects.toThrow('ipset swap S T: EBUSY');
  });

  it('when the answer to a change is lost', async () => {
    const { sets, commands } = clientOf((command) => (command === 'ADD' ? ENOBUFS : 0));
    await expect(replaceSet(sets, SET, 'T')).rejects.toMatchObject({ code: 'KERNEL_OVERRUN' });
    expect(commands.slice(-2)).toEqual(['ADD', 'DESTROY']);
  });

  it('and nothing is touched when there is none, or the temporary name is in use', async () => {
    const missing = clientOf((command) => (command === 'LIST' ? 2 : 0));
    await expect(replaceSet(missing.sets, SET, 'T')).rejects.toMatchObject({ errno: 2, object: 'S' });
    expect(missing.commands).toEqual(['LIST']);
    const used = clientOf((command) => (command === 'DESTROY' ? IPSET_ERR_BUSY : 0));
    await expect(replaceSet(used.sets, SET, 'T')).rejects.toThrow('ipset destroy T: IPSET_ERR_BUSY');
    expect(used.commands).toEqual(['LIST', 'DESTROY']);
  });

  it('and the next one may follow', async () => {
    const { sets } = clientOf((command, times) => (command === 'SWAP' && times === 0 ? EBUSY : 0));
    await expect(replaceSet(sets, SET, 'T')).rejects.toThrow('EBUSY');
    await replaceSet(sets, SET, 'T');
  });
});
