// What failed: by Service, for its problems and for retries, and what could not be removed although nobody wants it. Pure bookkeeping.

import type { KernelError } from '../../model/errors.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { Problem } from '../../model/problem.ts';
import { makeMember } from './desired.ts';
import type { Effective, Ledger } from './ledger.ts';
import { Leftovers } from './leftovers.ts';
import { refusedProblem } from './problems.ts';
import type { StepOutcome } from './step.ts';

export class Failures {
  readonly leftovers = new Leftovers();
  /** Only Services that are not fully programmed. */
  private readonly byService = new Map<ServiceKey, readonly Problem[]>();

  /** The Services that are not fully programmed, sorted. */
  keys(): ServiceKey[] {
    return [...this.byService.keys()].sort();
  }

  problems(): ReadonlyMap<ServiceKey, readonly Problem[]> {
    return this.byService;
  }

  /** The Service is tried again, or gone. */
  forget(key: ServiceKey): void {
    this.byService.delete(key);
  }

  /** Adds a problem; the same one twice counts once. */
  note(key: ServiceKey, problem: Problem): void {
    const problems = this.byService.get(key) ?? [];
    if (!problems.some(({ message }) => message === problem.message))
      this.byService.set(key, [...problems, problem]);
  }

  /** Refused members and addresses of a step: what is wanted fails its Services, what is not is left over. */
  noteStep(
    keys: readonly ServiceKey[],
    { failedMembers, failedAddresses }: StepOutcome,
    ledger: Ledger,
  ): void {
    if (failedMembers.length === 0 && failedAddresses.length === 0) return;
    const refused = new Map<string, KernelError>();
    for (const { set, family, member, error } of failedMembers) {
      const made = makeMember(set, family, member);
      refused.set(made.id, error);
      if (!ledger.hasMember(made.id)) this.leftovers.members.set(made.id, made);
    }
    for (const { address, error } of failedAddresses) {
      refused.set(address, error);
      if (!ledger.hasAddress(address)) this.leftovers.addresses.add(address);
    }
    for (const key of keys) {
      for (const id of referencedIds(ledger.effectiveOf(key))) {
        const error = refused.get(id);
        if (error !== undefined) this.note(key, refusedProblem(key, id, error));
      }
    }
  }
}

/** Ids of all members and addresses that a state needs. */
function* referencedIds({ members, virtualServers }: Effective): Generator<string> {
  for (const { id } of members) yield id;
  for (const virtualServer of virtualServers) {
    for (const { id } of virtualServer.members) yield id;
    if (virtualServer.isBound) yield virtualServer.service.address;
  }
}
