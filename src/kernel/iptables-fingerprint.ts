// A text that is another one after any change of iptables' rules, without a child process: for noticing that somebody wrote them. It tells
// nothing about which rules there are. nft: the generation that every commit of a network namespace counts up. legacy: what the kernel
// says of tables nat and filter, and their rules without counters.
// Sources: include/uapi/linux/netfilter/nf_tables.h; include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h and
// netfilter/x_tables.h (layouts of 64-bit kernels).

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { KernelError, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import type { IptablesFlavour } from './iptables.ts';
import * as libc from './libc.ts';
import { kernelError, NetlinkSocket } from './netlink.ts';
import { openTransport, type NetlinkTransport } from './netlink-transport.ts';
import {
  addressFamilyOf,
  AF_UNSPEC,
  NETLINK_NETFILTER,
  NFGENMSG_BYTES,
  nfnetlinkType,
  SUBSYSTEM,
  writeNfgenmsg,
} from './nfnetlink.ts';
import { AttributeTable } from './wire.ts';

const NFT_MSG_NEWGEN = 15;
const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;

/** IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES; IPv6's numbers are the same. */
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
const NAME_BYTES = 32;
const HOOKS = 5;
/** struct ipt_getinfo: name | u32 valid_hooks | u32 hook_entry[5] | u32 underflow[5] | u32 num_entries | u32 size. */
const INFO_BYTES = NAME_BYTES + 4 + HOOKS * 4 * 2 + 8;
/** struct ipt_get_entries: name | u32 size | 4 bytes of padding | the entries. */
const ENTRIES_HEADER_BYTES = NAME_BYTES + 8;
/** Where struct ipt_entry (after struct ipt_ip of 84 bytes) and struct ip6t_entry (after 136 bytes) have what is needed of them. */
const ENTRY = {
  IPv4: { nextOffset: 90, counters: 96, bytes: 112 },
  IPv6: { nextOffset: 142, counters: 152, bytes: 168 },
} as const;
const COUNTERS_BYTES = 16;
/**
 * Larger tables are told apart by their outline alone: the kernel sums up the counters of every rule on every core to hand rules out, and
 * that happens at every check.
 */
const MAX_ENTRIES_BYTES = 256 << 10;
/**
 * Questions are asked again, up to so often, when the table changed between the two, and when a signal cut one short: kernels up to 6.8 with
 * bpfilter pass IPv4's on to a process of theirs, and answer EFAULT when a signal arrives meanwhile (iptables ends with an error then).
 */
const MAX_TRIES = 5;
const TABLES = ['nat', 'filter'] as const;
type TableName = (typeof TABLES)[number];

/** Asks the kernel again and again; in the network namespace in which it was opened. */
export interface RulesFingerprint {
  /** The text, or null when this kernel has none to give. Throws KernelError for any other refusal, KERNEL_PROTOCOL, KERNEL_TIMEOUT. */
  read(): string | null;
  close(): void;
}

/** What a table looks like from outside (struct ipt_getinfo). Offsets are bytes into its rules, so they move with any rule before them. */
export interface TableOutline {
  /** Bit N: the table is in hook N (PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING). */
  readonly validHooks: number;
  /** Offset of the first rule of each hook, and of its policy; of no meaning for hooks that are not valid. */
  readonly hookEntries: readonly number[];
  readonly underflows: readonly number[];
  /** Rules, with the ones that only the kernel sees (chain heads, policies). */
  readonly entries: number;
  /** Bytes of all of them. */
  readonly size: number;
}

/** The kernel's side of the legacy flavour; in tests a scripted one. */
export interface LegacyTables {
  /** Names of the tables that exist in this network namespace, one a line; null when this kernel has no such list. */
  names(): string | null;
  /** getsockopt() of option `name` into `bytes`: 0 or a positive errno. */
  ask(name: number, bytes: Uint8Array): number;
  close(): void;
}

/** The fingerprint of one family for the flavour that its rules are in. Throws KERNEL_REFUSED when no socket is to be had. */
export function openRulesFingerprint(family: Family, flavour: IptablesFlavour): RulesFingerprint {
  return flavour === 'nft' ? openNftFingerprint() : openLegacyFingerprint(family);
}

/**
 * "generation 17": the same for both families, and counted up by every commit of anybody to any nf_tables table of the namespace, those that
 * change nothing included. null when the kernel has no nf_tables (asking makes it try to load the module) or is older than 3.18.
 */
export function openNftFingerprint(
  open: () => NetlinkTransport = () => openTransport(NETLINK_NETFILTER),
): RulesFingerprint {
  const socket = new NetlinkSocket(open());
  return {
    read() {
      writeNfgenmsg(socket.begin(nfnetlinkType(SUBSYSTEM.NFTABLES, NFT_MSG_GETGEN), 0), AF_UNSPEC);
      socket.end();
      let generation: number | null = null;
      const failure = socket.request(({ bytes, header }) => {
        if (header.type === nfnetlinkType(SUBSYSTEM.NFTABLES, NFT_MSG_NEWGEN))
          generation = decodeGeneration(bytes, header.payloadStart, header.payloadEnd);
      });
      if (failure?.errno === libc.EINVAL || failure?.errno === libc.EOPNOTSUPP) return null;
      if (failure !== undefined) throw kernelError('NFT_MSG_GETGEN', '', failure);
      if (generation === null)
        throw new PointsmanError('KERNEL_PROTOCOL', 'NFT_MSG_GETGEN: an answer without data');
      return `generation ${String(generation)}`;
    },
    close: () => socket.close(),
  };
}

const generationTable = new AttributeTable('nf_tables generation', NFTA_GEN_ID);

/** The generation in an NFT_MSG_NEWGEN whose payload is [start, end). Throws KERNEL_PROTOCOL. */
export function decodeGeneration(bytes: Uint8Array, start: number, end: number): number {
  return generationTable.parse(bytes, start + NFGENMSG_BYTES, end).u32Be(NFTA_GEN_ID);
}

/**
 * "nat hooks 1b at 0,..., policies at ..., 12 rules of 1832 bytes, sha1 ...; filter absent". A rule that was replaced by another of the
 * same size changes the digest; counters do not. Of a table whose rules take more than 256 KiB there is no digest: there a rule replaced by
 * one of the same size is not noticed. Tables that do not exist are seen in a list and not asked about, as asking would create them.
 * null when the kernel has no legacy iptables.
 */
export function openLegacyFingerprint(
  family: Family,
  tables: LegacyTables = openLegacyTables(family),
): RulesFingerprint {
  return {
    read() {
      const names = tables.names();
      if (names === null) return null;
      const present = new Set(names.split('\n'));
      return TABLES.map((table) => {
        const text = present.has(table) ? describeTable(tables, family, table) : 'absent';
        return `${table} ${text}`;
      }).join('; ');
    },
    close: () => tables.close(),
  };
}

function describeTable(tables: LegacyTables, family: Family, table: TableName): string {
  let lastErrno: number = libc.EAGAIN;
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const info = new Uint8Array(INFO_BYTES);
    writeName(info, table);
    const errno = tables.ask(SO_GET_INFO, info);
    // Its module was unloaded since the list was read.
    if (errno === libc.ENOENT) return 'absent';
    lastErrno = errno;
    if (errno === libc.EFAULT) continue;
    if (errno !== 0) throw refused('GET_INFO', family, table, errno);
    const outline = decodeOutline(info);
    if (outline.size > MAX_ENTRIES_BYTES) return formatOutline(outline);
    const entries = new Uint8Array(ENTRIES_HEADER_BYTES + outline.size);
    writeName(entries, table);
    new DataView(entries.buffer).setUint32(NAME_BYTES, outline.size, true);
    const refusal = tables.ask(SO_GET_ENTRIES, entries);
    lastErrno = refusal;
    if (refusal === libc.EAGAIN || refusal === libc.ENOENT || refusal === libc.EFAULT) continue;
    if (refusal !== 0) throw refused('GET_ENTRIES', family, table, refusal);
    const rules = entries.subarray(ENTRIES_HEADER_BYTES);
    clearCounters(rules, family);
    return `${formatOutline(outline)}, sha1 ${createHash('sha1').update(rules).digest('hex')}`;
  }
  throw refused('GET_ENTRIES', family, table, lastErrno);
}

/** Decodes struct ipt_getinfo (or ip6t_getinfo) of 84 bytes. */
export function decodeOutline(bytes: Uint8Array): TableOutline {
  const view = new DataView(bytes.buffer, bytes.byteOffset, INFO_BYTES);
  const word = (index: number): number => view.getUint32(NAME_BYTES + index * 4, true);
  const words = (from: number): number[] => Array.from({ length: HOOKS }, (_, hook) => word(from + hook));
  return {
    validHooks: word(0),
    hookEntries: words(1),
    underflows: words(1 + HOOKS),
    entries: word(1 + HOOKS * 2),
    size: word(2 + HOOKS * 2),
  };
}

function formatOutline({ validHooks, hookEntries, underflows, entries, size }: TableOutline): string {
  // The kernel leaves what it likes in the fields of hooks that a table is not in.
  const valid = (offsets: readonly number[]): string =>
    offsets.filter((_, hook) => (validHooks & (1 << hook)) !== 0).join(',');
  const hooks = validHooks.toString(16);
  return `hooks ${hooks} at ${valid(hookEntries)}, policies at ${valid(underflows)}, ${entries} rules of ${size} bytes`;
}

/** Zeroes the packet and byte counters of every rule in `rules`, in place. Throws KERNEL_PROTOCOL when they are not rules end to end. */
export function clearCounters(rules: Uint8Array, family: Family): void {
  const { nextOffset, counters, bytes } = ENTRY[family];
  const view = new DataView(rules.buffer, rules.byteOffset, rules.byteLength);
  for (let at = 0; at < rules.length;) {
    const left = rules.length - at;
    const length = left < bytes ? 0 : view.getUint16(at + nextOffset, true);
    if (length < bytes || length > left)
      throw new PointsmanError(
        'KERNEL_PROTOCOL',
        `cannot decode a table of iptables: a rule of ${length} bytes with ${left} left`,
      );
    rules.fill(0, at + counters, at + counters + COUNTERS_BYTES);
    at += length;
  }
}

/** The kernel's tables through a socket of the family; throws KernelError when there is none to be had. Any kind of socket will do; a datagram socket needs no right of its own. */
export function openLegacyTables(family: Family): LegacyTables {
  const opened = libc.socket(addressFamilyOf(family), libc.SOCK_DGRAM | libc.SOCK_CLOEXEC, 0);
  // A kernel without the family has no rules of it either.
  if (opened.errno === libc.EAFNOSUPPORT) return { names: () => null, ask: () => libc.ENOENT, close() {} };
  if (opened.errno !== 0)
    throw new KernelError('socket', `of ${family}`, opened.errno, libc.errnoName(opened.errno));
  const fd = opened.value;
  const level = family === 'IPv4' ? libc.IPPROTO_IP : libc.IPPROTO_IPV6;
  // Of this thread: Node's workers may be in other network namespaces than its first one.
  const list = `/proc/thread-self/net/${family === 'IPv4' ? 'ip_tables_names' : 'ip6_tables_names'}`;
  return {
    names() {
      try {
        return readFileSync(list, 'latin1');
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
        throw error;
      }
    },
    ask: (name, bytes) => libc.getsockopt(fd, level, name, bytes).errno,
    close: () => void libc.close(fd),
  };
}

function writeName(bytes: Uint8Array, table: TableName): void {
  for (let i = 0; i < table.length; i++) bytes[i] = table.charCodeAt(i);
}

function refused(operation: string, family: Family, table: TableName, errno: number): KernelError {
  const name = family === 'IPv4' ? 'IPT_SO' : 'IP6T_SO';
  const hint = errno === libc.EPERM ? 'run as root with CAP_NET_ADMIN' : '';
  return new KernelError(`${name}_${operation}`, table, errno, libc.errnoName(errno), hint);
}
