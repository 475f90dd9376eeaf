// Verification, apart from the path of a change: compares the whole table with the kernel, a slice at a time, and puts right what somebody
// else changed. The caller sets the pace and calls one method at a time, never beside an apply.
// A listing may be seconds old and may miss what changed meanwhile: before anything is repaired, a single read confirms it.
// Not touched: virtual servers, addresses and rules that are not ours.

import type { Family, IpAddress } from '../../model/ip.ts';
import { FirstError } from './first-error.ts';
import { AddressVerifier } from './address-verifier.ts';
import type { IpvsKernelPort } from './port.ts';
import { Repairs, type Repair } from './repairs.ts';
import { rulesObject, type RuleKeeper } from './rule-keeper.ts';
import { ServerVerifier } from './server-verifier.ts';
import { SetVerifier, setsToVerify } from './set-verifier.ts';
import type { SwitchChange } from './switches.ts';
import type { Table } from './table.ts';
import type { Writer } from './writer.ts';

/** How far verification has come. */
export interface VerificationStatus {
  /** Comparisons of the table so far in which everything could be read. */
  readonly cycles: number;
  /** Slices of the cycle that is going on, and about how many it will have. */
  readonly slice: number;
  readonly slices: number;
}

export interface VerifierParts {
  readonly port: IpvsKernelPort;
  readonly table: Table;
  readonly writer: Writer;
  readonly rules: Pick<RuleKeeper, 'mayHaveChanged' | 'recheck'>;
  readonly families: readonly Family[];
  /** Puts right the switches that somebody changed, and returns those. */
  readonly checkSwitches: () => readonly SwitchChange[];
  /** Gives Node's loop a turn when it has waited long enough. */
  readonly pace: () => Promise<void>;
  /** Hears of each repaired object once. */
  readonly onRepair: (repair: Repair) => void;
}

export class Verifier {
  readonly repairs: Repairs;
  private readonly parts: VerifierParts;
  private readonly sets: SetVerifier;
  private readonly servers: ServerVerifier;
  private readonly addresses: AddressVerifier;
  private running: AsyncGenerator<void> | null = null;
  private readonly sliceErrors = new FirstError();
  /** True when a slice of this cycle could not be compared. */
  private isIncomplete = false;
  private cycles = 0;
  private slice = 0;

  constructor(parts: VerifierParts) {
    this.parts = parts;
    this.repairs = new Repairs(parts.onRepair);
    this.sets = new SetVerifier(parts, this.repairs);
    this.servers = new ServerVerifier(parts, this.repairs);
    this.addresses = new AddressVerifier(parts, this.repairs, (id) => this.sets.isRefused(id));
  }

  get status(): VerificationStatus {
    const slices =
      this.servers.slices + setsToVerify(this.parts.families).length + this.parts.families.length + 1;
    return { cycles: this.cycles, slice: this.slice, slices };
  }

  /** Somebody took an address off kube-ipvs0. True when it is one of ours: `repairSuspects` is to be called. */
  suspectAddress(address: IpAddress): boolean {
    return this.addresses.suspect(address);
  }

  /** kube-ipvs0 went, or nobody knows what happened to its addresses: `repairSuspects` is to be called. */
  suspectAllAddresses(): void {
    this.addresses.suspectAll();
  }

  /** Puts back what was said to be gone, and what an earlier repair was refused. */
  async repairSuspects(): Promise<void> {
    const errors = new FirstError();
    await errors.collect(() => this.sets.repairSuspects());
    await errors.collect(() => this.addresses.repairSuspects());
    errors.throw();
  }

  /**
   * What can be seen at a small price: switches, the sizes of all sets, and whether anybody wrote rules. What cannot be read keeps nothing else from
   * being looked at; the first such error is thrown at the end.
   */
  async checkContainers(): Promise<void> {
    const errors = new FirstError();
    await errors.collect(async () => {
      for (const { path, found, wanted } of this.parts.checkSwitches())
        this.repairs.note({ kind: 'switch', object: path, what: `was ${found}, not ${wanted}` });
    });
    await errors.collect(() => this.sets.checkSizes());
    for (const family of this.parts.families)
      await errors.collect(async () => {
        if (this.parts.rules.mayHaveChanged(family)) await this.recheckRules(family);
      });
    errors.throw();
  }

  /**
   * The next slice of the comparison of the whole table; true when it was the last of a cycle. Throws what could not be read in this slice; the next
   * one goes on behind it.
   */
  async checkSlice(): Promise<boolean> {
    this.running ??= this.cycle();
    this.slice++;
    let isLast = false;
    try {
      isLast = (await this.running.next()).done === true;
    } catch (error) {
      this.endCycle();
      throw error;
    }
    if (isLast) {
      if (!this.isIncomplete) this.cycles++;
      this.endCycle();
    }
    if (this.sliceErrors.isEmpty) return isLast;
    this.isIncomplete = true;
    this.sliceErrors.throw();
    return isLast;
  }

  /** Ends a cycle early and gives back what it holds. */
  async close(): Promise<void> {
    const running = this.running;
    this.endCycle();
    await running?.return(undefined);
  }

  private endCycle(): void {
    this.running = null;
    this.slice = 0;
    this.isIncomplete = false;
  }

  private async *cycle(): AsyncGenerator<void> {
    const errors = this.sliceErrors;
    try {
      yield* this.servers.checkVirtualServers();
    } catch (error) {
      errors.add(error);
      yield;
    }
    yield* this.servers.checkRealServers((error) => errors.add(error));
    for (const id of setsToVerify(this.parts.families)) {
      await errors.collect(() => this.sets.checkMembers([id]));
      yield;
    }
    await errors.collect(() => this.addresses.checkAll());
    yield;
    for (const family of this.parts.families) {
      await this.recheckRules(family);
      yield;
    }
  }

  private async recheckRules(family: Family): Promise<void> {
    const text = await this.parts.rules.recheck(family);
    if (text !== '')
      this.repairs.note({ kind: 'rules', object: rulesObject(family), what: chainsText(text) });
  }
}

/** The chains that a restored text declares. */
function chainsText(text: string): string {
  const chains = [...text.matchAll(/^(?::|-I )(\S+)/gm)].map(([, name]) => name);
  return `somebody had changed ${[...new Set(chains)].join(', ')}`;
}
