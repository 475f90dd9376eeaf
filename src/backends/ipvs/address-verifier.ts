// Verification of the addresses on kube-ipvs0: at once for those that somebody was seen to take off, and all of them. Addresses of others
// there are left alone. See verifier.ts.

import { PointsmanError } from '../../model/errors.ts';
import { familyOf, type IpAddress } from '../../model/ip.ts';
import { makeMember } from './desired.ts';
import { emptyDelta } from './ledger.ts';
import type { Repairs } from './repairs.ts';
import type { VerifierParts } from './verifier.ts';

/** Addresses that could not be bound and are named among the failures. */
const MAX_NAMED = 20;

const GUARD_REFUSED = new PointsmanError('KERNEL_REFUSED', 'not bound, because what guards it was refused');

type AddressVerifierParts = Pick<VerifierParts, 'port' | 'table' | 'writer'>;

export class AddressVerifier {
  private readonly parts: AddressVerifierParts;
  private readonly repairs: Repairs;
  private readonly isRefused: (id: string) => boolean;
  private readonly suspects = new Set<IpAddress>();
  private areAllSuspect = false;
  /** Objects among the failures that stand for addresses that could not be bound. */
  private readonly refused: string[] = [];

  /** `isRefused` says whether a set member is missing because the kernel refused to take it back. */
  constructor(parts: AddressVerifierParts, repairs: Repairs, isRefused: (id: string) => boolean) {
    this.parts = parts;
    this.repairs = repairs;
    this.isRefused = isRefused;
  }

  /** Somebody took an address off kube-ipvs0; true when it is one of ours. */
  suspect(address: IpAddress): boolean {
    if (!this.parts.table.ledger.hasAddress(address)) return false;
    this.suspects.add(address);
    return true;
  }

  /** kube-ipvs0 went, or nobody knows what happened to its addresses. */
  suspectAll(): void {
    this.areAllSuspect = true;
  }

  /** Puts back what was said to be gone, and what an earlier repair was refused. */
  async repairSuspects(): Promise<void> {
    if (this.areAllSuspect) {
      this.suspects.clear();
      // What happens while they are read makes them suspect again.
      this.areAllSuspect = false;
      try {
        await this.checkAll();
      } catch (error) {
        this.areAllSuspect = true;
        throw error;
      }
      return;
    }
    const { table, writer } = this.parts;
    const wanted = [...this.suspects].filter(
      (address) => table.ledger.hasAddress(address) && !writer.absent.isUnbound(address),
    );
    this.suspects.clear();
    await this.bind(wanted);
  }

  /** Compares all addresses, and makes the link when it is missing. */
  async checkAll(): Promise<void> {
    const found = await this.parts.port.boundAddresses();
    if (found === null) {
      await this.parts.port.createLink();
      this.repairs.note({ kind: 'link', object: 'kube-ipvs0', what: 'was missing, with all its addresses' });
    }
    const present = new Set(found);
    const missing = this.boundAddresses().filter((address) => !present.has(address));
    await this.bind(missing, found !== null);
  }

  /** Those that are wanted and were not left out on purpose or by a refusal, which is the business of the writer. */
  private boundAddresses(): IpAddress[] {
    const { table, writer } = this.parts;
    return [...table.ledger.addresses()].filter((address) => !writer.absent.isUnbound(address));
  }

  /** What is refused counts as a failure of the node, and as suspect, until it is bound or no longer wanted. */
  private async bind(addresses: readonly IpAddress[], isTold = true): Promise<void> {
    const { table, writer } = this.parts;
    for (const object of this.refused.splice(0)) table.failures.settleNode(object);
    const guarded: IpAddress[] = [];
    for (const address of addresses) {
      if (this.isUnguarded(address)) this.refuseAddress(address, address, GUARD_REFUSED);
      else guarded.push(address);
    }
    if (guarded.length === 0) return;
    const delta = emptyDelta();
    for (const address of guarded) delta.addAddresses.add(address);
    try {
      const { failedAddresses, presentAddresses } = await writer.repair(delta);
      for (const { address, error } of failedAddresses) this.refuseAddress(address, address, error);
      const others = new Set([...presentAddresses, ...failedAddresses.map(({ address }) => address)]);
      for (const object of isTold ? guarded : [])
        if (!others.has(object)) this.repairs.note({ kind: 'address', object, what: 'was missing' });
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      for (const address of guarded) this.refuseAddress(address, 'addresses of kube-ipvs0', error);
    }
  }

  /** Its undeclared ports would reach the host. */
  private isUnguarded(address: IpAddress): boolean {
    return this.isRefused(makeMember('KUBE-IPVS-IPS', familyOf(address), { address }).id);
  }

  private refuseAddress(address: IpAddress, object: string, error: unknown): void {
    this.suspects.add(address);
    if (this.refused.length >= MAX_NAMED || this.refused.includes(object)) return;
    this.parts.table.failures.noteNode(object, error);
    this.refused.push(object);
  }
}
