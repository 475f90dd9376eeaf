// What the IPVS client asks the kernel, beside what ipvsadm asks for the same: attribute by attribute against the recorded requests of
// ipvsadm, and byte by byte against a table.

import { describe, expect, it } from 'vitest';
import { IPVSADM_COMMANDS, type IpvsadmCommand } from '../../test/fixtures/netlink/ipvsadm-commands.ts';
import { IPVS_REQUEST_BYTES } from '../../test/fixtures/netlink/ipvs-request-bytes.ts';
import { IPVSADM_REQUESTS } from '../../test/fixtures/netlink/ipvsadm-requests.ts';
import { unhex } from '../../test/fixtures/netlink/replay.ts';
import { ack, done, message, ScriptedTransport, seqsOf } from '../../test/kernel/scripted-transport.ts';
import { PointsmanError } from '../model/errors.ts';
import { IpvsClient } from './ipvs.ts';
import { IPVS_CMD } from './ipvs-codec.ts';
import { visitAttributes } from './wire.ts';

const FAMILY_ID = 30;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const FAMILY_REPLY = Uint8Array.of(1, 2, 0, 0, 6, 0, 1, 0, FAMILY_ID, 0, 0, 0);

/** The one message that the client sends for `call`, from its message header on. */
async function requestOf(call: IpvsadmCommand['call']): Promise<Uint8Array> {
  const sent: Uint8Array[] = [];
  const open = (): ScriptedTransport =>
    new ScriptedTransport((request) => {
      const seq = seqsOf(request)[0]!;
      if (request[4] === 0x10)
        return [{ bytes: message(0x10, 0, seq, FAMILY_REPLY) }, { bytes: ack(seq, 0) }];
      sent.push(request);
      return [{ bytes: (request[7]! & 3) === 0 ? ack(seq, 0) : done(seq) }];
    });
  const ipvs = IpvsClient.open(open);
  try {
    await call(ipvs);
  } catch (error) {
    // The answer to a question without data is an error; what was asked is what counts here.
    if (!(error instanceof PointsmanError)) throw error;
  } finally {
    ipvs.close();
  }
  expect(sent).toHaveLength(1);
  return sent[0]!;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Attributes as path and payload: "1.3" = attribute 3 in nest 1. Addresses without the zeros that ipvsadm pads them with. */
function attributesOf(generic: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  const view = new DataView(generic.buffer, generic.byteOffset, generic.byteLength);
  visitAttributes(view, 4, generic.length, 'a request', (outer, start, end) => {
    if (outer > 3) {
      found.set(String(outer), hex(generic.subarray(start, end)));
      return;
    }
    expect(view.getUint16(start - 2, true)).toBe(outer | 0x8000);
    visitAttributes(view, start, end, 'a nest', (type, from, to) =>
      found.set(`${outer}.${type}`, hex(generic.subarray(from, to))),
    );
  });
  for (const [address, family] of [
    ['1.3', '1.1'],
    ['2.1', '2.11'],
  ] as const) {
    const text = found.get(address);
    if (text !== undefined && found.get(family) === '0200')
      found.set(address, text.replace(/^(.{8})0{24}$/, '$1'));
  }
  return found;
}

const SERVICE_SETTINGS = ['1.6', '1.7', '1.8', '1.9'];
const DESTINATION_SETTINGS = ['2.3', '2.4', '2.5', '2.6', '2.13', '2.14', '2.15'];
const TUNNEL = ['2.13', '2.14', '2.15'];

/** What ipvsadm sends besides and the kernel does not read for the command (a tunnel's zeros: their defaults). */
function extrasOf({ request, command }: IpvsadmCommand): readonly string[] {
  switch (request) {
    case 'NEW_DEST':
    case 'SET_DEST':
      return command.includes(' -i') ? SERVICE_SETTINGS : [...SERVICE_SETTINGS, ...TUNNEL];
    case 'DEL_DEST':
      return [...SERVICE_SETTINGS, ...DESTINATION_SETTINGS];
    case 'DEL_SERVICE':
    case 'GET_SERVICE':
    case 'ZERO':
      return SERVICE_SETTINGS;
    case 'DEL_DAEMON':
      return ['3.2', '3.3'];
    default:
      return [];
  }
}

describe('asks the kernel for what ipvsadm asks', () => {
  it('in every command that the kernel takes', () => {
    const asked = new Set(IPVSADM_COMMANDS.map(({ request }) => request));
    const { SET_INFO, ...all } = IPVS_CMD;
    expect(SET_INFO).toBe(14);
    expect(asked).toEqual(new Set(Object.keys(all)));
  });

  it.each(IPVSADM_COMMANDS.map((one, i) => [one.command, one.request, one, i] as const))(
    '%s (%s)',
    async (command, request, one, i) => {
      const theirs = IPVSADM_REQUESTS[i]!;
      expect([theirs.command, theirs.request]).toEqual([command, request]);
      const ours = await requestOf(one.call);
      const view = new DataView(ours.buffer, ours.byteOffset);
      expect(view.getUint32(0, true)).toBe(ours.length);
      expect(view.getUint16(4, true)).toBe(FAMILY_ID);
      // ipvsadm lets libnl ask for an acknowledgement of everything; the kernel gives none for a dump.
      expect(view.getUint16(6, true)).toBe(NLM_F_REQUEST | (theirs.isDump ? NLM_F_DUMP : NLM_F_ACK));
      // Blanks in the table stand between attributes.
      expect([command, request, hex(ours.subarray(16))]).toEqual(
        IPVS_REQUEST_BYTES[i]?.map((text, column) => (column === 2 ? text.replaceAll(' ', '') : text)),
      );
      const bytes = unhex(theirs.hex);
      expect(hex(ours.subarray(16, 20))).toBe(hex(bytes.subarray(0, 4)));
      const expected = attributesOf(bytes);
      const attributes = attributesOf(ours.subarray(16));
      for (const path of extrasOf(one)) if (!attributes.has(path)) expected.delete(path);
      expect(Object.fromEntries(attributes)).toEqual(Object.fromEntries(expected));
    },
  );
});
