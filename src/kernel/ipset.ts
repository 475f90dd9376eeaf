// The ipset client: sets and their members, without a child process. Members go many to a message; nothing is ever flushed to be
// filled again. Re-adding a member and deleting a missing one succeed (as `ipset -exist`).
// Sources: include/uapi/linux/netfilter/ipset/ip_set.h; net/netfilter/ipset/ip_set_core.c (behaviour tried on Linux 6.1 and 6.18).

import { KernelError, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import * as codec from './ipset-codec.ts';
import {
  IPSET_CMD,
  SET_ATTR,
  type SetDefinition,
  type SetMember,
  type SetState,
  type SetType,
} from './ipset-codec.ts';
import { IPSET_ERR_EXIST, OTHER_SET_ERRNO, OTHER_SET_HINT, setError } from './ipset-errors.ts';
import { AF_INET, EAGAIN, EINVAL, ENOENT } from './libc.ts';
import { NetlinkSocket, NLM_F_EXCL, type BatchFailure } from './netlink.ts';
import { openTransport, type DataMessage, type NetlinkTransport } from './netlink-transport.ts';
import { NETLINK_NETFILTER, nfnetlinkType, SUBSYSTEM, writeNfgenmsg } from './nfnetlink.ts';
import { slicesOf } from './slices.ts';
import { NLA_F_NET_BYTEORDER, type MessageWriter } from './wire.ts';

/** The protocols this client speaks; messages carry the newest that the kernel knows too. */
const NEWEST_PROTOCOL = 7;
const OLDEST_PROTOCOL = 6;

/**
 * The oldest revision of each type that has what we use (SCTP in members with ports, networks with nomatch), because an ipset program
 * older than the kernel cannot list sets of a newer revision.
 */
const REVISIONS: Readonly<Record<SetType, number>> = {
  'hash:ip': 0,
  'hash:ip,port': 1,
  'hash:ip,port,ip': 1,
  'hash:ip,port,net': 3,
  'bitmap:port': 0,
};

/**
 * Members per message. Measured with 50,000 members on Linux 6.18: 80 to 100 ms with 64, 256 or 1024, of which 20 ms are the kernel
 * growing the hash; a slice blocks under 1 ms otherwise. A failed message comes back whole, which bounds it from above.
 */
export const MEMBERS_PER_SLICE = 256;

/** A member that the kernel refused. */
export interface SetFailure {
  readonly set: string;
  readonly member: SetMember;
  readonly error: KernelError;
}

/** A set with its members; `members` is null for types whose members are not understood. */
export interface SetContents {
  readonly set: SetState;
  readonly members: readonly SetMember[] | null;
}

/** A client of ipset in this thread's network namespace. */
export class IpsetClient {
  /** The protocol version spoken: 6 or 7. */
  readonly protocol: number;
  private readonly writes: NetlinkSocket;
  private readonly reads: NetlinkSocket;
  private readonly revisions = new Map<string, number>();

  private constructor(writes: NetlinkSocket, reads: NetlinkSocket, protocol: number) {
    this.writes = writes;
    this.reads = reads;
    this.protocol = protocol;
  }

  /**
   * Opens the sockets and agrees on a protocol version (which makes the kernel try to load ip_set).
   * Throws MISSING_MODULE when the kernel has no ipset or only versions unknown here, KERNEL_REFUSED without the right to use it.
   * `open` is for tests that stand in for the kernel.
   */
  static open(open: () => NetlinkTransport = () => openTransport(NETLINK_NETFILTER)): IpsetClient {
    const writes = new NetlinkSocket(open());
    try {
      return new IpsetClient(writes, new NetlinkSocket(open()), agreeOnProtocol(writes));
    } catch (error) {
      writes.close();
      throw error;
    }
  }

  close(): void {
    this.writes.close();
    this.reads.close();
  }

  /**
   * Makes sure that the set exists. A set of the name with the same parameters is fine and keeps its members (the kernel does not
   * compare the hash size, which grows by itself). Throws KernelError: EEXIST for a set that differs, IPSET_ERR_FIND_TYPE for a
   * missing module.
   */
  create(set: SetDefinition): void {
    const revision = this.revisionOf(set.type, set.family);
    const writer = this.begin(IPSET_CMD.CREATE, set.name);
    writer.attrString(SET_ATTR.TYPENAME, set.type);
    writer.attrU8(SET_ATTR.REVISION, revision);
    writer.attrU8(SET_ATTR.FAMILY, codec.setFamilyNumber(set.type, set.family));
    codec.encodeCreateData(writer, set);
    const failure = this.finish();
    if (failure === undefined) return;
    const hint = failure.errno === OTHER_SET_ERRNO ? OTHER_SET_HINT : undefined;
    throw setError('ipset create', `${set.name} ${set.type}`, failure.errno, kindOf(set.type), hint);
  }

  /** Adds members; those that are there already count as added. Every member is tried; the refused ones come back in order. */
  add(set: string, members: Iterable<SetMember> | AsyncIterable<SetMember>): Promise<SetFailure[]> {
    return this.change(IPSET_CMD.ADD, 'ipset add', set, members);
  }

  /**
   * The same, and says which were there already, in order. In a slice with one of those each member behind it is a message of its own: 7 us each
   * where all are there, against 1 us with `add` (50,000 members, Linux 6.18); where none is, both cost the same.
   */
  async addNew(
    set: string,
    members: Iterable<SetMember> | AsyncIterable<SetMember>,
  ): Promise<{ failures: SetFailure[]; present: SetMember[] }> {
    const present: SetMember[] = [];
    const failures = await this.change(IPSET_CMD.ADD, 'ipset add', set, members, present);
    return { failures, present };
  }

  /** Deletes members; those that are not there count as deleted. Every member is tried; the refused ones come back in order. */
  delete(set: string, members: Iterable<SetMember> | AsyncIterable<SetMember>): Promise<SetFailure[]> {
    return this.change(IPSET_CMD.DEL, 'ipset del', set, members);
  }

  /** The set and all its members, or null when there is no such set. */
  async list(name: string): Promise<SetContents | null> {
    let parts: codec.SetListPart[];
    try {
      parts = await this.dump(`ipset ${name}`, (writer) => writer.attrString(SET_ATTR.SETNAME, name));
    } catch (error) {
      if (error instanceof KernelError && error.errno === ENOENT) return null;
      throw error;
    }
    const set = parts.find((part) => part.header !== null)?.header ?? null;
    if (set === null) return null;
    return { set, members: isSetType(set.type) ? parts.flatMap((part) => part.members) : null };
  }

  /** The headers of all sets of this network namespace, whoever made them. */
  async headers(): Promise<SetState[]> {
    const parts = await this.dump('ipset headers', (writer) =>
      writer.attrU32Be(SET_ATTR.FLAGS | NLA_F_NET_BYTEORDER, codec.FLAG_LIST_HEADER),
    );
    return parts.flatMap((part) => part.header ?? []);
  }

  /** Exchanges the contents of two sets of one type at one moment: rules that refer to either see the other's members. */
  swap(first: string, second: string): void {
    this.begin(IPSET_CMD.SWAP, first).attrString(SET_ATTR.SETNAME2, second);
    this.throwIfRefused('ipset swap', `${first} ${second}`);
  }

  /** Throws IPSET_ERR_EXIST_SETNAME2 when `to` exists, IPSET_ERR_REFERENCED while a rule refers to `from`. */
  rename(from: string, to: string): void {
    this.begin(IPSET_CMD.RENAME, from).attrString(SET_ATTR.SETNAME2, to);
    this.throwIfRefused('ipset rename', `${from} ${to}`);
  }

  /** Deletes all members of the set. */
  flush(name: string): void {
    this.begin(IPSET_CMD.FLUSH, name);
    this.throwIfRefused('ipset flush', name);
  }

  /** Deletes the set; false when it was not there. Throws IPSET_ERR_BUSY while a rule or set refers to it. */
  destroy(name: string): boolean {
    // Without NLM_F_EXCL newer kernels call the destruction of a missing set a success.
    this.begin(IPSET_CMD.DESTROY, name, NLM_F_EXCL);
    const failure = this.finish();
    if (failure === undefined) return true;
    if (failure.errno === ENOENT) return false;
    throw setError('ipset destroy', name, failure.errno, 'hash');
  }

  /** With `present`, the kernel is to refuse what is there already, and such members go there. */
  private async change(
    command: number,
    operation: string,
    set: string,
    members: Iterable<SetMember> | AsyncIterable<SetMember>,
    present: SetMember[] | null = null,
  ): Promise<SetFailure[]> {
    const flags = present === null ? 0 : NLM_F_EXCL;
    const failures: SetFailure[] = [];
    const refuse = (member: SetMember | undefined, errno: number): void => {
      if (member === undefined) throw new Error('a failure outside its batch');
      if (present !== null && errno === IPSET_ERR_EXIST) {
        present.push(member);
        return;
      }
      const kind = member.address === undefined ? 'bitmap' : 'hash';
      failures.push({
        set,
        member,
        error: setError(operation, `${set} ${codec.formatMember(member)}`, errno, kind),
      });
    };
    for await (const slice of slicesOf(members, MEMBERS_PER_SLICE)) {
      const failure = this.changeTogether(command, flags, set, slice);
      if (failure === undefined) continue;
      // The kernel stops at the first refused member; the ones before it are done, the ones behind it were not looked at.
      const failed = failedIndex(failure, slice.length);
      if (failed !== undefined) refuse(slice[failed], failure.errno);
      const rest = failed === undefined ? slice : slice.slice(failed + 1);
      for (const { index, errno } of this.changeOneByOne(command, flags, set, rest))
        refuse(rest[index], errno);
    }
    return failures;
  }

  private changeTogether(
    command: number,
    flags: number,
    set: string,
    members: readonly SetMember[],
  ): BatchFailure | undefined {
    const writer = this.begin(command, set, flags);
    // Without a line number of its own the message's error would not say which member it is about.
    writer.attrU32(SET_ATTR.LINENO, 0);
    const list = writer.beginNest(SET_ATTR.ADT);
    members.forEach((member, index) => codec.encodeMember(writer, member, index + 1));
    writer.endNest(list);
    return this.finish();
  }

  private changeOneByOne(
    command: number,
    flags: number,
    set: string,
    members: readonly SetMember[],
  ): BatchFailure[] {
    for (const member of members) {
      codec.encodeMember(this.begin(command, set, flags), member, 0);
      this.writes.end();
    }
    return this.writes.flush();
  }

  private revisionOf(type: SetType, family: Family): number {
    const key = `${type} ${family}`;
    const known = this.revisions.get(key);
    if (known !== undefined) return known;
    const writer = this.writes.begin(nfnetlinkType(SUBSYSTEM.IPSET, IPSET_CMD.TYPE), 0);
    writeNfgenmsg(writer, AF_INET);
    writer.attrU8(SET_ATTR.PROTOCOL, this.protocol);
    writer.attrString(SET_ATTR.TYPENAME, type);
    writer.attrU8(SET_ATTR.FAMILY, codec.setFamilyNumber(type, family));
    let revision: number = REVISIONS[type];
    const failure = this.finish(({ bytes, header }) => {
      const range = codec.decodeVersions(
        bytes,
        header.payloadStart,
        header.payloadEnd,
        SET_ATTR.REVISION,
        SET_ATTR.REVISION_MIN,
      );
      revision = Math.min(Math.max(revision, range.min), range.max);
    });
    if (failure !== undefined) throw setError('ipset type', `${type} ${family}`, failure.errno, kindOf(type));
    this.revisions.set(key, revision);
    return revision;
  }

  private begin(command: number, set: string, flags = 0): MessageWriter {
    if (set === '' || set.length > codec.MAX_SET_NAME_CHARACTERS)
      throw new Error(`not a set name: ${JSON.stringify(set)}`);
    const writer = this.writes.begin(nfnetlinkType(SUBSYSTEM.IPSET, command), flags);
    writeNfgenmsg(writer, AF_INET);
    writer.attrU8(SET_ATTR.PROTOCOL, this.protocol);
    writer.attrString(SET_ATTR.SETNAME, set);
    return writer;
  }

  private finish(onData: (message: DataMessage) => void = () => {}): BatchFailure | undefined {
    this.writes.end();
    return this.writes.request(onData);
  }

  private throwIfRefused(operation: string, object: string): void {
    const failure = this.finish();
    if (failure !== undefined) throw setError(operation, object, failure.errno, 'hash');
  }

  private dump(what: string, build: (writer: MessageWriter) => void): Promise<codec.SetListPart[]> {
    const type = nfnetlinkType(SUBSYSTEM.IPSET, IPSET_CMD.LIST);
    return this.reads.dump(
      type,
      (writer) => {
        writeNfgenmsg(writer, AF_INET);
        writer.attrU8(SET_ATTR.PROTOCOL, this.protocol);
        build(writer);
      },
      ({ bytes, header }) =>
        header.type === type
          ? codec.decodeListPart(bytes, header.payloadStart, header.payloadEnd)
          : undefined,
      what,
    );
  }
}

/** Position of the refused member in its list, if the kernel told. */
function failedIndex(failure: BatchFailure, count: number): number | undefined {
  const line = failure.echo === undefined ? undefined : codec.decodeFailedLine(failure.echo);
  return line === undefined || line < 1 || line > count ? undefined : line - 1;
}

function agreeOnProtocol(socket: NetlinkSocket): number {
  const writer = socket.begin(nfnetlinkType(SUBSYSTEM.IPSET, IPSET_CMD.PROTOCOL), 0);
  writeNfgenmsg(writer, AF_INET);
  writer.attrU8(SET_ATTR.PROTOCOL, NEWEST_PROTOCOL);
  socket.end();
  let range = { max: 0, min: 0 };
  const failure = socket.request(({ bytes, header }) => {
    range = codec.decodeVersions(
      bytes,
      header.payloadStart,
      header.payloadEnd,
      SET_ATTR.PROTOCOL,
      SET_ATTR.PROTOCOL_MIN,
    );
  });
  if (failure !== undefined) {
    // nfnetlink answers EINVAL for a subsystem without a module, EAGAIN while it loads.
    if (failure.errno !== EINVAL && failure.errno !== EAGAIN)
      throw setError('ipset protocol', '', failure.errno, 'hash');
    throw new PointsmanError(
      'MISSING_MODULE',
      'this kernel has no ipset; load it with "modprobe ip_set" on the node, or mount /lib/modules and allow CAP_SYS_MODULE',
      { module: 'ip_set' },
    );
  }
  const protocol = Math.min(range.max, NEWEST_PROTOCOL);
  if (protocol < OLDEST_PROTOCOL || protocol < range.min) {
    throw new PointsmanError(
      'MISSING_MODULE',
      `the kernel's ipset speaks protocols ${range.min} to ${range.max}, this program ${OLDEST_PROTOCOL} to ${NEWEST_PROTOCOL}; use another kernel`,
      { module: 'ip_set', ...range },
    );
  }
  return protocol;
}

function kindOf(type: SetType): 'hash' | 'bitmap' {
  return type === 'bitmap:port' ? 'bitmap' : 'hash';
}

function isSetType(type: string): type is SetType {
  return (codec.SET_TYPES as readonly string[]).includes(type);
}
