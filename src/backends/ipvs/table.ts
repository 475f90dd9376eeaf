// What the IPVS backend knows and wants at present, shared by its parts: the writer, the first start, the verifier. Values only; each part
// says for itself when it changes them.

import { PROTOCOL_NUMBER, type ServiceKey as IpvsKey } from '../../kernel/ipvs-codec.ts';
import type { IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { DesiredService } from './desired.ts';
import type { AppliedVirtualServer } from './diff.ts';
import { Drains } from './drains.ts';
import { Failures } from './failures.ts';
import { KeptMembers } from './kept-members.ts';
import { Ledger } from './ledger.ts';

/**
 * Virtual servers of ours in the kernel, by id; remembers which of those of UDP came, went or changed until somebody takes them off the list: flows
 * of other protocols end by themselves.
 */
export class AppliedVirtualServers extends Map<string, AppliedVirtualServer> {
  readonly touched = new Map<string, AppliedVirtualServer['service']>();

  override set(id: string, virtualServer: AppliedVirtualServer): this {
    this.touch(id, virtualServer.service);
    return super.set(id, virtualServer);
  }

  override delete(id: string): boolean {
    const known = this.get(id);
    if (known !== undefined) this.touch(id, known.service);
    return super.delete(id);
  }

  /** Nothing changed in the kernel; `virtualServer` says the same of it in objects of the plan, so that memory holds them once. */
  restate(id: string, virtualServer: AppliedVirtualServer): void {
    super.set(id, virtualServer);
  }

  /** As if each of them had changed. */
  touchAll(): void {
    for (const [id, { service }] of this) this.touch(id, service);
  }

  private touch(id: string, service: AppliedVirtualServer['service']): void {
    if (service.protocol === PROTOCOL_NUMBER.UDP) this.touched.set(id, service);
  }
}

export class Table {
  /** What Services share in the kernel, and what each really gets. */
  ledger = new Ledger();
  /** What each Service asks for. */
  readonly desired = new Map<ServiceKey, DesiredService>();
  /** Virtual servers of ours in the kernel, by id. */
  readonly applied = new AppliedVirtualServers();
  /** Virtual servers that others made, by id. */
  readonly foreign = new Map<string, IpvsKey>();
  /** Members of our sets that no Service needs and that stay. */
  readonly kept = new KeptMembers();
  /** Room for members, by the kernel's name of each set that has a limit. */
  readonly capacities = new Map<string, number>();
  /** Servers that are no longer planned and keep their old connections. */
  readonly drains = new Drains();
  /** Virtual servers that nobody wants any more and that stay while servers of theirs drain, by id, with the Service that had them. */
  readonly lingering = new Map<string, ServiceKey>();
  /** Addresses of this machine; those that only carry Services are not among them. */
  localAddresses: ReadonlySet<IpAddress> = new Set();
  readonly failures = new Failures();

  /** The Service that owns a virtual server or, when nobody wants it, the one for which it lingers. */
  holderOf(id: string): ServiceKey | undefined {
    return this.ledger.ownerOf(id) ?? this.lingering.get(id);
  }

  /** Forgets everything. */
  reset(): void {
    this.ledger = new Ledger();
    this.failures.reset();
    this.drains.reset();
    for (const known of [
      this.desired,
      this.applied,
      this.foreign,
      this.kept,
      this.capacities,
      this.lingering,
    ])
      known.clear();
  }
}
