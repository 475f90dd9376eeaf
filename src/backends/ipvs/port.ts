// What the IPVS backend needs of a kernel, as one interface. Three things stand behind it: this node's kernel (kernel-port.ts), a
// recorder that reads the real kernel and writes down what would be written (recording-port.ts, for `pointsman plan`), and in tests
// a stateful fake. All writes are idempotent where the kernel allows: adding what is there and removing what is gone succeed.

import type { Family, IpAddress } from '../../model/ip.ts';
import type { KernelError } from '../../model/errors.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { IpvsFailure, IpvsOperation } from '../../kernel/ipvs.ts';
import type {
  IpvsDestination,
  IpvsDestinationState,
  IpvsService,
  ServiceKey,
} from '../../kernel/ipvs-codec.ts';
import type { IpvsTimeouts } from '../../kernel/ipvs-daemon-codec.ts';
import type { Table } from './render-rules.ts';
import type { SetName } from './sets.ts';

/** Changes of the members of one set. */
export interface SetChange {
  readonly set: SetName;
  readonly family: Family;
  readonly members: readonly SetMember[];
}

/** A set member or an address that the kernel refused. */
export interface MemberFailure {
  readonly set: SetName;
  readonly family: Family;
  readonly member: SetMember;
  readonly error: KernelError;
}

/** What became of members that were to be added. */
export interface AddOutcome {
  readonly failures: readonly MemberFailure[];
  /** Those that were there already. */
  readonly present: readonly SetChange[];
}

export interface AddressFailure {
  readonly address: IpAddress;
  readonly error: KernelError;
}

/** What became of addresses that were to be bound. */
export interface BindOutcome {
  readonly failures: readonly AddressFailure[];
  /** Those that were there already. */
  readonly present: readonly IpAddress[];
}

/** One of our sets as the kernel describes it, without its members. */
export interface SetHeader {
  /** "hash:ip,port" */
  readonly type: string;
  /** null for types without a family (bitmap:port). */
  readonly family: Family | null;
  /** Members at present. */
  readonly members: number;
  /** How many fit; null for bitmaps, in which all do. */
  readonly maxMembers: number | null;
}

/** Rules of the kernel: table, then chain name, to rules in iptables-save's spelling without "-A CHAIN ". */
export type KernelRules = ReadonlyMap<Table, ReadonlyMap<string, readonly string[]>>;

/** A real server with what the kernel counts of it at present. */
export type CountedDestination = IpvsDestination &
  Pick<IpvsDestinationState, 'activeConnections' | 'inactiveConnections'>;

export interface IpvsKernelPort {
  // Reads.
  services(): Promise<readonly IpvsService[]>;
  /**
   * The same listing in pieces of up to about a hundred: the kernel is asked for the next piece only when it is taken, so the reader sets
   * the pace. A piece shows the table of when the one before it was taken, and what changes meanwhile may be missing or be there twice: what
   * deviates is to be confirmed by `service`. Ending early gives back its socket.
   */
  servicePieces(): AsyncGenerator<readonly IpvsService[]>;
  service(key: ServiceKey): IpvsService | undefined;
  /** Empty when there is no such virtual server. */
  destinations(key: ServiceKey): Promise<readonly CountedDestination[]>;
  timeouts(): IpvsTimeouts;
  /** Members of one of our sets, or null when the set does not exist. */
  setMembers(set: SetName, family: Family): Promise<readonly SetMember[] | null>;
  /** Every set of this network namespace by its name in the kernel; one dump of headers. The kernel counts members, about 15 ns each. */
  setHeaders(): Promise<ReadonlyMap<string, SetHeader>>;
  /** Addresses on kube-ipvs0, or null when there is no such link. Loopback and link-local ones are left out. */
  boundAddresses(): Promise<readonly IpAddress[] | null>;
  /** All rules of a family, whoever made them. */
  rules(family: Family): Promise<KernelRules>;
  /**
   * A text that changes whenever rules of the family were changed by anybody (and sometimes without a change of ours); starts no process
   * and costs tens to hundreds of microseconds, with the size of the tables. null when this kernel gives none: then only `rules` tells.
   * Throws KERNEL_REFUSED.
   */
  rulesFingerprint(family: Family): string | null;
  /** The value of a switch under /proc/sys without its newline, or null when this kernel does not have it. */
  sysctl(path: string): string | null;
  /** True when MASQUERADE knows --random-fully. */
  hasRandomFully(family: Family): boolean;

  // Writes.
  applyIpvs(operations: Iterable<IpvsOperation>): Promise<readonly IpvsFailure[]>;
  createSet(set: SetName, family: Family): Promise<void>;
  /**
   * Replaces the set by one of the same members with room for `maxMembers`, by one swap: rules that match it never see it empty. Nothing
   * changes when it fails (KERNEL_REFUSED).
   */
  growSet(set: SetName, family: Family, maxMembers: number): Promise<void>;
  addMembers(changes: readonly SetChange[]): Promise<AddOutcome>;
  deleteMembers(changes: readonly SetChange[]): Promise<readonly MemberFailure[]>;
  /** Makes kube-ipvs0 (a dummy link) when it is missing; it stays down. */
  createLink(): Promise<void>;
  /** Puts addresses on kube-ipvs0, with /32 or /128. */
  bind(addresses: readonly IpAddress[]): Promise<BindOutcome>;
  /** Takes addresses off kube-ipvs0. What is not there, the link included, counts as taken off. */
  unbind(addresses: readonly IpAddress[]): Promise<readonly AddressFailure[]>;
  /** One atomic iptables-restore --noflush of `text`. */
  restoreRules(family: Family, text: string): Promise<void>;
  writeSysctl(path: string, value: string): void;
}
