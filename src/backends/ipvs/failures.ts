// What failed: by Service, for its problems and for retries; of the node as a whole (rules, sets); and what could not be removed although
// nobody wants it. Pure bookkeeping.

import { errorLine, KernelError, PointsmanError } from '../../model/errors.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { Problem } from '../../model/problem.ts';
import { makeMember } from './desired.ts';
import type { Effective, Ledger } from './ledger.ts';
import { Leftovers } from './leftovers.ts';
import { refusedProblem } from './problems.ts';
import type { StepOutcome } from './step.ts';

/** One operation that was refused and is tried again. */
export interface FailedOperation {
  /** null: it concerns the node, not one Service. */
  readonly service: ServiceKey | null;
  /** True: something that no Service wants could not be removed. */
  readonly isRemoval: boolean;
  /** "TCP 10.96.0.1:443", "KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "rules IPv4". */
  readonly object: string;
  /** "NEW_DEST", "iptables-restore"; '' when it is not known. */
  readonly operation: string;
  /** 0 when it was not the kernel that refused. */
  readonly errno: number;
  /** "ENOMEM", or the code of our own error. */
  readonly errnoName: string;
  readonly message: string;
}

const WITHHELD = new PointsmanError(
  'KERNEL_REFUSED',
  'not sent, because something else at its address or port was refused',
);

interface ServiceFailures {
  readonly problems: readonly Problem[];
  readonly operations: readonly FailedOperation[];
}

export class Failures {
  readonly leftovers = new Leftovers();
  /** Only Services that are not fully programmed. */
  private readonly byService = new Map<ServiceKey, ServiceFailures>();
  private readonly ofNode = new Map<string, FailedOperation>();

  reset(): void {
    this.byService.clear();
    this.ofNode.clear();
    this.leftovers.reset();
  }

  /** The Services that are not fully programmed, sorted. */
  keys(): ServiceKey[] {
    return [...this.byService.keys()].sort();
  }

  has(key: ServiceKey): boolean {
    return this.byService.has(key);
  }

  problems(): ReadonlyMap<ServiceKey, readonly Problem[]> {
    return new Map([...this.byService].map(([key, { problems }]) => [key, problems]));
  }

  /** Everything that is refused at present, sorted by Service, those of the node first. */
  operations(): FailedOperation[] {
    return [
      ...[...this.ofNode.values()].sort((a, b) => (a.object < b.object ? -1 : 1)),
      ...[...this.leftovers.errors].map(([object, error]) => failedOperation(null, object, error, true)),
      ...this.keys().flatMap((key) => this.byService.get(key)?.operations ?? []),
    ];
  }

  /** What is refused at present and concerns no single Service, sorted. */
  nodeObjects(): string[] {
    return [...this.ofNode.keys()].sort();
  }

  /** The Service is tried again, or gone. */
  forget(key: ServiceKey): void {
    this.byService.delete(key);
  }

  /** Adds a problem; the same one twice counts once. */
  note(key: ServiceKey, problem: Problem): void {
    this.add(key, problem, null);
  }

  /** The kernel, or a tool, refused something that a Service needs. */
  noteRefusal(key: ServiceKey, object: string, error: unknown): void {
    this.add(key, refusedProblem(key, object, error), failedOperation(key, object, error));
  }

  private add(key: ServiceKey, problem: Problem, operation: FailedOperation | null): void {
    const { problems, operations } = this.byService.get(key) ?? { problems: [], operations: [] };
    if (problems.some(({ message }) => message === problem.message)) return;
    this.byService.set(key, {
      problems: [...problems, problem],
      operations: operation === null ? operations : [...operations, operation],
    });
  }

  /** Something of the node was refused; it counts until `settleNode`. */
  noteNode(object: string, error: unknown): void {
    this.ofNode.set(object, failedOperation(null, object, error));
  }

  settleNode(object: string): void {
    this.ofNode.delete(object);
  }

  /** Refused members and addresses of a step: what is wanted fails its Services, what is not is left over. */
  noteStep(keys: readonly ServiceKey[], outcome: StepOutcome, ledger: Ledger): void {
    const { failedMembers, failedAddresses, keptMembers } = outcome;
    for (const member of keptMembers) this.leftovers.members.set(member.id, member);
    if (failedMembers.length === 0 && failedAddresses.length === 0) return;
    const refused = new Map<string, KernelError>();
    for (const { set, family, member, error } of failedMembers) {
      const made = makeMember(set, family, member);
      refused.set(made.id, error);
      if (ledger.hasMember(made.id)) continue;
      this.leftovers.members.set(made.id, made);
      this.leftovers.errors.set(made.id, error);
    }
    for (const { address, error } of failedAddresses) {
      refused.set(address, error);
      if (ledger.hasAddress(address)) continue;
      this.leftovers.addresses.add(address);
      this.leftovers.errors.set(address, error);
    }
    for (const key of keys) {
      for (const id of referencedIds(ledger.effectiveOf(key))) {
        const error = refused.get(id);
        if (error !== undefined) this.noteRefusal(key, id, error);
      }
    }
  }

  /** Members that were not sent because of what was refused to other Services of the step fail those that need them, too. */
  noteWithheld(keys: readonly ServiceKey[], { withheldMembers }: StepOutcome, ledger: Ledger): void {
    if (withheldMembers.length === 0) return;
    const withheld = new Set(withheldMembers);
    for (const key of keys) {
      if (this.byService.has(key)) continue;
      for (const id of referencedIds(ledger.effectiveOf(key)))
        if (withheld.has(id)) this.noteRefusal(key, id, WITHHELD);
    }
  }
}

function failedOperation(
  service: ServiceKey | null,
  object: string,
  error: unknown,
  isRemoval = false,
): FailedOperation {
  const message = errorLine(error);
  if (error instanceof KernelError) {
    const { operation, errno, errnoName } = error;
    return { service, isRemoval, object, operation, errno, errnoName, message };
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return { service, isRemoval, object, operation: '', errno: 0, errnoName: code, message };
}

/** Ids of all members and addresses that a state needs. */
function* referencedIds({ members, virtualServers }: Effective): Generator<string> {
  for (const { id } of members) yield id;
  for (const virtualServer of virtualServers) {
    for (const { id } of virtualServer.members) yield id;
    if (virtualServer.isBound) yield virtualServer.service.address;
  }
}
