// The client of nf_tables on a scripted kernel: the bytes of a transaction, and what refusals mean. The real one: src/daemon/cleanup.kernel.test.ts.

import { expect, it } from 'vitest';
import { ack, ScriptedTransport, seqsOf } from '../../test/kernel/scripted-transport.ts';
import { NftablesClient } from './nftables.ts';

/** A client whose every question gets this errno, 0 = yes. Of a transaction only what `isAcked` names is answered. */
function clientOf(errno: number): { client: NftablesClient; kernel: ScriptedTransport } {
  const kernel = new ScriptedTransport((request) => {
    const seqs = seqsOf(request);
    // As Linux does: neither the beginning nor the end of a transaction is acknowledged.
    const asked = seqs.length === 1 ? seqs[0] : seqs[1];
    return [{ bytes: ack(asked ?? 0, -errno) }];
  });
  return { client: NftablesClient.open(() => kernel), kernel };
}

const typesOf = (request: Uint8Array): string[] => {
  const view = new DataView(request.buffer, request.byteOffset);
  const types: string[] = [];
  for (let at = 0; at < request.length; at += (view.getUint32(at, true) + 3) & ~3) {
    const [type, flags] = [view.getUint16(at + 4, true), view.getUint16(at + 6, true)];
    types.push(
      `${type.toString(16)} flags ${flags} family ${request[at + 16]} of ${view.getUint16(at + 18)}`,
    );
  }
  return types;
};

it('deletes in a transaction of its own, and waits for the answer to the deletion', () => {
  const { client, kernel } = clientOf(0);
  expect(client.deleteTable('IPv6', 'kube-proxy')).toBe(true);
  expect(kernel.sent.map(typesOf)).toEqual([
    ['10 flags 1 family 0 of 10', 'a02 flags 5 family 10 of 0', '11 flags 1 family 0 of 10'],
  ]);
  expect(Buffer.from(kernel.sent[0] ?? []).includes('kube-proxy\0')).toBe(true);
});

it('asks without changing anything', () => {
  const { client, kernel } = clientOf(0);
  expect(client.hasTable('IPv4', 'kube-proxy')).toBe(true);
  expect(kernel.sent.map(typesOf)).toEqual([['a01 flags 5 family 2 of 0']]);
});

it('takes a table that is not there for no failure', () => {
  const { client } = clientOf(2);
  expect([client.hasTable('IPv4', 'x'), client.deleteTable('IPv4', 'x')]).toEqual([false, false]);
});

it.each([
  [95, 'MISSING_MODULE', /^this kernel has no nf_tables; load module nf_tables$/],
  [22, 'MISSING_MODULE', /^this kernel has no nf_tables/],
  [1, 'KERNEL_REFUSED', /^NFT_MSG_(?:GET|DEL)TABLE ip x: EPERM \(errno 1\); run as root/],
  [16, 'KERNEL_REFUSED', /^NFT_MSG_(?:GET|DEL)TABLE ip x: EBUSY \(errno 16\)$/],
])('errno %i is %s', (errno, code, message) => {
  const { client } = clientOf(errno);
  for (const act of [() => client.hasTable('IPv4', 'x'), () => client.deleteTable('IPv4', 'x')])
    expect(act).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});
