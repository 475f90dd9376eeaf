// A port that passes everything on to another one and counts: writes by operation, failures by operation and errno. The backend does not
// know of it. It must not change what goes through, nor copy it: a batch may hold some 100,000 operations.

import type { Family, IpAddress } from '../../model/ip.ts';
import { KernelError } from '../../model/errors.ts';
import type { IpvsFailure, IpvsOperation } from '../../kernel/ipvs.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { IpvsService, ServiceKey } from '../../kernel/ipvs-codec.ts';
import type { IpvsTimeouts } from '../../kernel/ipvs-daemon-codec.ts';
import type {
  AddOutcome,
  CountedDestination,
  AddressFailure,
  BindOutcome,
  IpvsKernelPort,
  KernelRules,
  MemberFailure,
  SetChange,
  SetHeader,
} from './port.ts';
import type { SetName } from './sets.ts';

/**
 * What is counted, a closed set: IPVS by the commands of its netlink family, everything else by what it does to what. Members and
 * addresses count one by one, rules by restores.
 */
export const KERNEL_WRITES = [
  'NEW_SERVICE',
  'SET_SERVICE',
  'DEL_SERVICE',
  'NEW_DEST',
  'SET_DEST',
  'DEL_DEST',
  'SET_CONFIG',
  'ipvs_other',
  'set_create',
  'set_grow',
  'member_add',
  'member_delete',
  'link_create',
  'address_add',
  'address_delete',
  'rules_restore',
  'sysctl_write',
] as const;
export type KernelWrite = (typeof KERNEL_WRITES)[number];

/** What can fail: besides writes a read, and a batch of IPVS operations of which nobody knows how far it came. */
export type CountedOperation = KernelWrite | 'ipvs_batch' | 'read';

export interface FailureCount {
  readonly operation: CountedOperation;
  /** "ENOMEM", or the code of our own error ("TOOL_FAILED"), or 'other' beyond MAX_FAILURE_PAIRS. */
  readonly errno: string;
  readonly count: number;
}

/** Pairs of operation and errno that are told apart; further ones of an operation are one, with errno 'other'. */
export const MAX_FAILURE_PAIRS = 64;

/** What is read of the counts. */
export interface KernelCounts {
  /** Since the start, attempts included that failed. */
  writes(operation: KernelWrite): number;
  /** Since the start, in the order of their first time. */
  failures(): readonly FailureCount[];
  /** Since the start, how often iptables-restore failed for a family; each is in `failures` as well. */
  restoreFailures(family: Family): number;
}

export class CountedPort implements IpvsKernelPort, KernelCounts {
  private readonly port: IpvsKernelPort;
  private readonly counts = Object.fromEntries(KERNEL_WRITES.map((write) => [write, 0])) as Record<
    KernelWrite,
    number
  >;
  private readonly failureCounts = new Map<
    string,
    { -readonly [K in keyof FailureCount]: FailureCount[K] }
  >();
  private readonly failedRestores: Record<Family, number> = { IPv4: 0, IPv6: 0 };

  constructor(port: IpvsKernelPort) {
    this.port = port;
  }

  writes(operation: KernelWrite): number {
    return this.counts[operation];
  }

  failures(): readonly FailureCount[] {
    return [...this.failureCounts.values()].map((each) => ({ ...each }));
  }

  restoreFailures(family: Family): number {
    return this.failedRestores[family];
  }

  services(): Promise<readonly IpvsService[]> {
    return this.attempt('read', () => this.port.services());
  }

  async *servicePieces(): AsyncGenerator<readonly IpvsService[]> {
    try {
      yield* this.port.servicePieces();
    } catch (error) {
      this.countFailure('read', error);
      throw error;
    }
  }

  service(key: ServiceKey): IpvsService | undefined {
    return this.attemptNow('read', () => this.port.service(key));
  }

  destinations(key: ServiceKey): Promise<readonly CountedDestination[]> {
    return this.attempt('read', () => this.port.destinations(key));
  }

  timeouts(): IpvsTimeouts {
    return this.attemptNow('read', () => this.port.timeouts());
  }

  setMembers(set: SetName, family: Family): Promise<readonly SetMember[] | null> {
    return this.attempt('read', () => this.port.setMembers(set, family));
  }

  setHeaders(): Promise<ReadonlyMap<string, SetHeader>> {
    return this.attempt('read', () => this.port.setHeaders());
  }

  boundAddresses(): Promise<readonly IpAddress[] | null> {
    return this.attempt('read', () => this.port.boundAddresses());
  }

  rules(family: Family): Promise<KernelRules> {
    return this.attempt('read', () => this.port.rules(family));
  }

  rulesFingerprint(family: Family): string | null {
    return this.attemptNow('read', () => this.port.rulesFingerprint(family));
  }

  sysctl(path: string): string | null {
    return this.attemptNow('read', () => this.port.sysctl(path));
  }

  hasRandomFully(family: Family): boolean {
    return this.attemptNow('read', () => this.port.hasRandomFully(family));
  }

  async applyIpvs(operations: Iterable<IpvsOperation>): Promise<readonly IpvsFailure[]> {
    const failures = await this.attempt('ipvs_batch', () =>
      this.port.applyIpvs(this.countPassing(operations)),
    );
    for (const { operation, error } of failures) this.countFailure(countedAs(operation.op), error);
    return failures;
  }

  createSet(set: SetName, family: Family): Promise<void> {
    return this.writeOne('set_create', () => this.port.createSet(set, family));
  }

  growSet(set: SetName, family: Family, maxMembers: number): Promise<void> {
    return this.writeOne('set_grow', () => this.port.growSet(set, family, maxMembers));
  }

  async addMembers(changes: readonly SetChange[]): Promise<AddOutcome> {
    this.counts.member_add += memberCount(changes);
    const outcome = await this.attempt('member_add', () => this.port.addMembers(changes));
    for (const { error } of outcome.failures) this.countFailure('member_add', error);
    return outcome;
  }

  deleteMembers(changes: readonly SetChange[]): Promise<readonly MemberFailure[]> {
    return this.writeEach('member_delete', memberCount(changes), () => this.port.deleteMembers(changes));
  }

  createLink(): Promise<void> {
    return this.writeOne('link_create', () => this.port.createLink());
  }

  async bind(addresses: readonly IpAddress[]): Promise<BindOutcome> {
    this.counts.address_add += addresses.length;
    const outcome = await this.attempt('address_add', () => this.port.bind(addresses));
    for (const { error } of outcome.failures) this.countFailure('address_add', error);
    return outcome;
  }

  unbind(addresses: readonly IpAddress[]): Promise<readonly AddressFailure[]> {
    return this.writeEach('address_delete', addresses.length, () => this.port.unbind(addresses));
  }

  async restoreRules(family: Family, text: string): Promise<void> {
    try {
      await this.writeOne('rules_restore', () => this.port.restoreRules(family, text));
    } catch (error) {
      this.failedRestores[family]++;
      throw error;
    }
  }

  writeSysctl(path: string, value: string): void {
    this.counts.sysctl_write++;
    this.attemptNow('sysctl_write', () => this.port.writeSysctl(path, value));
  }

  /** An operation counts when the port takes it. */
  private *countPassing(operations: Iterable<IpvsOperation>): Generator<IpvsOperation> {
    for (const operation of operations) {
      this.counts[countedAs(operation.op)]++;
      yield operation;
    }
  }

  private writeOne(operation: KernelWrite, work: () => Promise<void>): Promise<void> {
    this.counts[operation]++;
    return this.attempt(operation, work);
  }

  private async writeEach<Failure extends { readonly error: KernelError }>(
    operation: KernelWrite,
    count: number,
    work: () => Promise<readonly Failure[]>,
  ): Promise<readonly Failure[]> {
    this.counts[operation] += count;
    const failures = await this.attempt(operation, work);
    for (const { error } of failures) this.countFailure(operation, error);
    return failures;
  }

  private async attempt<Value>(operation: CountedOperation, work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      this.countFailure(operation, error);
      throw error;
    }
  }

  private attemptNow<Value>(operation: CountedOperation, work: () => Value): Value {
    try {
      return work();
    } catch (error) {
      this.countFailure(operation, error);
      throw error;
    }
  }

  private countFailure(operation: CountedOperation, error: unknown): void {
    let errno = errnoNameOf(error);
    let id = `${operation} ${errno}`;
    if (this.failureCounts.size >= MAX_FAILURE_PAIRS && !this.failureCounts.has(id)) {
      errno = 'other';
      id = `${operation} ${errno}`;
    }
    const known = this.failureCounts.get(id);
    if (known === undefined) this.failureCounts.set(id, { operation, errno, count: 1 });
    else known.count++;
  }
}

function countedAs(op: IpvsOperation['op']): KernelWrite {
  switch (op) {
    case 'ZERO':
    case 'FLUSH':
    case 'NEW_DAEMON':
    case 'DEL_DAEMON':
      return 'ipvs_other';
    default:
      return op;
  }
}

function memberCount(changes: readonly SetChange[]): number {
  let count = 0;
  for (const { members } of changes) count += members.length;
  return count;
}

/** Of a KernelError its errno, of others their code; what has neither is our own mistake. */
function errnoNameOf(error: unknown): string {
  if (error instanceof KernelError) return error.errnoName;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return 'unexpected';
}
