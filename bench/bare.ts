// The bare time: how long this kernel takes for the operations of a first sync when every message is encoded beforehand and sent in
// batches, with nothing of ours between. What the product's own time is held against.

import { encodeMember, SET_ATTR, IPSET_CMD, type SetMember } from '../src/kernel/ipset-codec.ts';
import { KernelPort } from '../src/backends/ipvs/kernel-port.ts';
import { NETLINK_GENERIC, resolveFamily } from '../src/kernel/genetlink.ts';
import { encodeOperation, type IpvsOperation } from '../src/kernel/ipvs.ts';
import { RTM, encodeHostAddress } from '../src/kernel/rtnetlink-codec.ts';
import { NETLINK_ROUTE, RtnetlinkClient } from '../src/kernel/rtnetlink.ts';
import { NETLINK_NETFILTER, SUBSYSTEM, nfnetlinkType, writeNfgenmsg } from '../src/kernel/nfnetlink.ts';
import { NetlinkSocket, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST } from '../src/kernel/netlink.ts';
import { openTransport, type NetlinkTransport } from '../src/kernel/netlink-transport.ts';
import { MessageWriter, NLA_F_NET_BYTEORDER, visitMessages } from '../src/kernel/wire.ts';
import { parseIp, type IpAddress } from '../src/model/ip.ts';
import { benchService, benchSlice } from './objects.ts';
import type { SetName } from '../src/backends/ipvs/sets.ts';

/** As measured in the lab: 64 KiB is where larger batches stop gaining for the bare kernel. */
const BATCH_BYTES = 65536;
const MEMBERS_PER_MESSAGE = 256;
const LOCAL_EVERY = 8;

/** Batches of encoded messages for one socket. */
class Batches {
  private readonly full: Uint8Array[] = [];
  private readonly writer = new MessageWriter(BATCH_BYTES * 2);
  private seq = 1;
  private lastStart = 0;

  add(type: number, flags: number, build: (writer: MessageWriter) => void): void {
    if (this.writer.length >= BATCH_BYTES) this.close();
    this.lastStart = this.writer.length;
    this.writer.begin(type, flags | NLM_F_REQUEST, this.seq++);
    build(this.writer);
    this.writer.end();
  }

  private close(): void {
    if (this.writer.length === 0) return;
    this.writer.orFlags(this.lastStart, NLM_F_ACK);
    this.full.push(this.writer.bytes.slice(0, this.writer.length));
    this.writer.reset();
  }

  take(): readonly Uint8Array[] {
    this.close();
    return this.full;
  }
}

/** Sends each batch and waits for its acknowledgement; the time in milliseconds. */
function sendAll(transport: NetlinkTransport, batches: readonly Uint8Array[]): number {
  const buffer = new Uint8Array(65536);
  const startMs = performance.now();
  for (const batch of batches) {
    const sent = transport.send(batch, batch.length);
    const length = transport.receive(buffer);
    if (sent !== 0 || length <= 0)
      throw new Error(`the bare run got no answer: send ${sent}, receive ${length}`);
    visitMessages(buffer, length, (header) => {
      const errno = new DataView(buffer.buffer).getInt32(header.payloadStart, true);
      if (errno !== 0) throw new Error(`the bare run was refused: errno ${-errno}`);
    });
  }
  return performance.now() - startMs;
}

const ip = (text: string): IpAddress => {
  const address = parseIp(text);
  if (address === null) throw new Error(text);
  return address;
};

export async function measureBare(services: number, endpoints: number): Promise<object> {
  const port = await KernelPort.open(['IPv4']);
  await port.createLink();
  const links = RtnetlinkClient.open();
  const linkIndex = links.link('kube-ipvs0')?.index ?? 0;
  const ipvsTransport = openTransport(NETLINK_GENERIC);
  const familyId = resolveFamily(new NetlinkSocket(ipvsTransport), 'IPVS') ?? 0;
  const ipvs = new Batches();
  const addresses = new Batches();
  const members = new Map<SetName, SetMember[]>([
    ['KUBE-IPVS-IPS', []],
    ['POINTSMAN-VS', []],
    ['KUBE-CLUSTER-IP', []],
    ['KUBE-LOOP-BACK', []],
  ]);
  for (let i = 0; i < services; i++) {
    const address = ip(benchService(i).spec?.clusterIP ?? '');
    const service = {
      family: 'IPv4',
      protocol: 6,
      address,
      port: 80,
      scheduler: 'rr',
      flags: 0,
      timeoutSeconds: 0,
      netmask: 0xffffffff,
    } as const;
    const operations: IpvsOperation[] = [{ op: 'NEW_SERVICE', service }];
    benchSlice(i, endpoints, endpoints + 1).endpoints?.forEach((endpoint, j) => {
      const server = ip(endpoint?.addresses?.[0] ?? '');
      operations.push({
        op: 'NEW_DEST',
        service,
        destination: {
          address: server,
          port: 8080,
          forwarding: 'masquerade',
          weight: 1,
          upperThreshold: 0,
          lowerThreshold: 0,
        },
      });
      if (j % LOCAL_EVERY === 0)
        members.get('KUBE-LOOP-BACK')?.push({ address: server, protocol: 6, port: 8080, address2: server });
    });
    for (const operation of operations) ipvs.add(familyId, 0, (writer) => encodeOperation(writer, operation));
    addresses.add(RTM.NEWADDR, NLM_F_CREATE, (writer) => encodeHostAddress(writer, linkIndex, address));
    members.get('KUBE-IPVS-IPS')?.push({ address });
    members.get('KUBE-CLUSTER-IP')?.push({ address, protocol: 6, port: 80 });
    members.get('POINTSMAN-VS')?.push({ address, protocol: 6, port: 80 });
  }
  const sets = new Batches();
  for (const [set, values] of members) {
    await port.createSet(set, 'IPv4');
    for (let at = 0; at < values.length; at += MEMBERS_PER_MESSAGE) {
      sets.add(nfnetlinkType(SUBSYSTEM.IPSET, IPSET_CMD.ADD), 0, (writer) => {
        writeNfgenmsg(writer, 2);
        writer.attrU8(SET_ATTR.PROTOCOL, 7);
        writer.attrString(SET_ATTR.SETNAME, set);
        writer.attrU32Be(SET_ATTR.LINENO | NLA_F_NET_BYTEORDER, at + 1);
        const nest = writer.beginNest(SET_ATTR.ADT);
        values
          .slice(at, at + MEMBERS_PER_MESSAGE)
          .forEach((member, i) => encodeMember(writer, member, at + i + 1));
        writer.endNest(nest);
      });
    }
  }
  const ipvsMs = sendAll(ipvsTransport, ipvs.take());
  const setsMs = sendAll(openTransport(NETLINK_NETFILTER), sets.take());
  const addressesMs = sendAll(openTransport(NETLINK_ROUTE), addresses.take());
  return { totalMs: ipvsMs + setsMs + addressesMs, ipvsMs, setsMs, addressesMs };
}
