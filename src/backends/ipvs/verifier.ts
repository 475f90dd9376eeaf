// Verification, apart from the path of a change: compares the whole table with the kernel, a slice at a time, and puts right what somebody
// else changed. The caller sets the pace and calls one method at a time, never beside an apply.
// A listing may be seconds old and may miss what changed meanwhile: before anything is repaired, a single read confirms it.
// Not touched: virtual servers, addresses and rules that are not ours.

import type { Family, IpAddress } from '../../model/ip.ts';
import type { ServiceKey } from '../../model/names.ts';
import { formatServiceKey, isSameSettings, type IpvsService } from '../../kernel/ipvs-codec.ts';
import { realServerId, type AddressService, type DesiredVirtualServer } from './desired.ts';
import { isSameDestination, type AppliedVirtualServer } from './diff.ts';
import { isAddressService } from './observe.ts';
import type { IpvsKernelPort } from './port.ts';
import { Repairs, type Repair } from './repairs.ts';
import type { Rules } from './rules.ts';
import { SET_NAMES } from './sets.ts';
import { SetVerifier } from './set-verifier.ts';
import type { SwitchChange } from './switches.ts';
import type { Table } from './table.ts';
import type { Writer } from './writer.ts';

/** Virtual servers whose real servers one slice reads. */
export const SERVERS_PER_SLICE = 32;
/** About how many virtual servers the kernel lists in one piece, for estimates. */
const SERVICES_PER_PIECE = 90;

/** How far verification has come. */
export interface VerificationStatus {
  /** Complete comparisons of the table so far. */
  readonly cycles: number;
  /** Slices of the cycle that is going on, and about how many it will have. */
  readonly slice: number;
  readonly slices: number;
}

export interface VerifierParts {
  readonly port: IpvsKernelPort;
  readonly table: Table;
  readonly writer: Writer;
  readonly rules: ReadonlyMap<Family, Rules>;
  readonly families: readonly Family[];
  /** Puts right the switches that somebody changed, and returns those. */
  readonly checkSwitches: () => readonly SwitchChange[];
  /** Hears of each repaired object once. */
  readonly onRepair: (repair: Repair) => void;
}

export class Verifier {
  readonly repairs: Repairs;
  private readonly parts: VerifierParts;
  private readonly sets: SetVerifier;
  private readonly suspectAddresses = new Set<IpAddress>();
  private areAllAddressesSuspect = false;
  private running: AsyncGenerator<void> | null = null;
  private cycles = 0;
  private slice = 0;

  constructor(parts: VerifierParts) {
    this.parts = parts;
    this.repairs = new Repairs(parts.onRepair);
    this.sets = new SetVerifier(parts, this.repairs);
  }

  get status(): VerificationStatus {
    const servers = this.parts.table.applied.size;
    const slices =
      Math.ceil(servers / SERVICES_PER_PIECE) +
      Math.ceil(servers / SERVERS_PER_SLICE) +
      this.parts.families.length * (SET_NAMES.length + 1) +
      1;
    return { cycles: this.cycles, slice: this.slice, slices };
  }

  /** Somebody took an address off kube-ipvs0. True when it is one of ours: `repairSuspects` is to be called. */
  suspectAddress(address: IpAddress): boolean {
    if (!this.parts.table.ledger.hasAddress(address)) return false;
    this.suspectAddresses.add(address);
    return true;
  }

  /** kube-ipvs0 went, or nobody knows what happened to its addresses. */
  suspectAllAddresses(): void {
    this.areAllAddressesSuspect = true;
  }

  /** Puts back the addresses that were said to be gone. */
  async repairSuspects(): Promise<void> {
    if (this.areAllAddressesSuspect) {
      await this.checkAddresses();
      this.areAllAddressesSuspect = false;
      this.suspectAddresses.clear();
      return;
    }
    const { ledger } = this.parts.table;
    const wanted = [...this.suspectAddresses].filter(
      (address) => ledger.hasAddress(address) && !this.parts.writer.isUnbound(address),
    );
    this.suspectAddresses.clear();
    await this.bind(wanted);
  }

  /** What can be seen at a small price: switches, the sizes of all sets, and whether anybody wrote rules. */
  async checkContainers(): Promise<void> {
    for (const { path, found, wanted } of this.parts.checkSwitches())
      this.repairs.note({ kind: 'switch', object: path, what: `was ${found}, not ${wanted}` });
    await this.sets.checkSizes();
    for (const [family, rules] of this.parts.rules)
      if (rules.mayHaveChanged()) await this.recheckRules(family, rules);
  }

  /** The next slice of the comparison of the whole table; true when it was the last of a cycle. */
  async checkSlice(): Promise<boolean> {
    this.running ??= this.cycle();
    try {
      this.slice++;
      const { done } = await this.running.next();
      if (done !== true) return false;
    } catch (error) {
      this.endCycle();
      throw error;
    }
    this.cycles++;
    this.endCycle();
    return true;
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
  }

  private async *cycle(): AsyncGenerator<void> {
    yield* this.checkVirtualServers();
    yield* this.checkRealServers();
    for (const family of this.parts.families) {
      for (const set of SET_NAMES) {
        await this.sets.checkMembers(set, family);
        yield;
      }
    }
    await this.checkAddresses();
    yield;
    for (const [family, rules] of this.parts.rules) {
      await this.recheckRules(family, rules);
      yield;
    }
  }

  /** Existence and settings of every virtual server; learns of foreign ones. */
  private async *checkVirtualServers(): AsyncGenerator<void> {
    const { applied, foreign } = this.parts.table;
    const seen = new Set<AppliedVirtualServer>();
    const others = new Set<string>();
    for await (const piece of this.parts.port.servicePieces()) {
      const suspects: AddressService[] = [];
      for (const service of piece) {
        const id = formatServiceKey(service);
        const known = applied.get(id);
        if (known === undefined) others.add(id);
        else seen.add(known);
        if (known === undefined ? !foreign.has(id) : !isSameSettings(known.service, service))
          this.confirm(service, id, suspects);
      }
      await this.repairVirtualServers(suspects);
      yield;
    }
    for (const id of foreign) if (!others.has(id)) foreign.delete(id);
    // A listing may miss what is there; what was changed since is a new object and is asked for singly, too.
    const missing = [...applied.values()].filter((known) => !seen.has(known)).map(({ service }) => service);
    for (let at = 0; at < missing.length; at += SERVERS_PER_SLICE) {
      await this.repairVirtualServers(missing.slice(at, at + SERVERS_PER_SLICE));
      yield;
    }
  }

  /** A listed service is not as we know it: by now it may be gone, ours and right, or foreign. */
  private confirm(listed: IpvsService, id: string, suspects: AddressService[]): void {
    const { applied, foreign } = this.parts.table;
    if (applied.has(id)) {
      if (isAddressService(listed)) suspects.push(listed);
    } else if (this.parts.port.service(listed) !== undefined) {
      foreign.add(id);
    }
  }

  /** Reads each of these alone; those that are really missing or changed are made right, with everything that hangs on them. */
  private async repairVirtualServers(services: readonly AddressService[]): Promise<void> {
    const { applied, ledger } = this.parts.table;
    const owners = new Set<ServiceKey>();
    for (const service of services) {
      const id = formatServiceKey(service);
      const known = applied.get(id);
      const owner = ledger.ownerOf(id);
      if (known === undefined || owner === undefined || this.parts.table.failures.has(owner)) continue;
      const found = this.parts.port.service(service);
      if (found === undefined) {
        applied.delete(id);
        this.repairs.note({ kind: 'virtualServer', object: id, what: 'was missing' });
      } else if (isAddressService(found) && !isSameSettings(found, known.service)) {
        applied.set(id, { service: found, destinations: known.destinations });
        this.repairs.note({ kind: 'virtualServer', object: id, what: settingsText(found) });
      } else {
        continue;
      }
      owners.add(owner);
    }
    if (owners.size > 0) await this.parts.writer.write([...owners]);
  }

  /** Every real server with every field. */
  private async *checkRealServers(): AsyncGenerator<void> {
    const { ledger } = this.parts.table;
    let read = 0;
    for (const key of [...ledger.keys()]) {
      for (const virtualServer of ledger.effectiveOf(key).virtualServers) {
        await this.checkServersOf(key, virtualServer);
        if (++read % SERVERS_PER_SLICE === 0) yield;
      }
    }
  }

  private async checkServersOf(
    key: ServiceKey,
    { id, service, realServers }: DesiredVirtualServer,
  ): Promise<void> {
    const { applied, failures } = this.parts.table;
    const known = applied.get(id);
    if (known === undefined || failures.has(key)) return;
    const read = async (): Promise<string | null> => {
      const found = await this.parts.port.destinations(service);
      const difference = differenceOf(found, realServers);
      if (difference !== null) applied.set(id, { service: known.service, destinations: found });
      return difference;
    };
    if ((await read()) === null) return;
    const difference = await read();
    if (difference === null) {
      applied.set(id, known);
      return;
    }
    if (this.parts.port.service(service) === undefined) {
      applied.set(id, known);
      await this.repairVirtualServers([service]);
      return;
    }
    this.repairs.note({ kind: 'realServers', object: id, what: difference });
    await this.parts.writer.write([key]);
  }

  private async checkAddresses(): Promise<void> {
    const found = await this.parts.port.boundAddresses();
    if (found === null) {
      await this.parts.port.createLink();
      this.repairs.note({ kind: 'link', object: 'kube-ipvs0', what: 'was missing, with all its addresses' });
      await this.parts.writer.bind(this.boundAddresses());
      return;
    }
    const present = new Set(found);
    await this.bind(this.boundAddresses().filter((address) => !present.has(address)));
  }

  /** Those that are wanted and were not left out on purpose or by a refusal, which is the business of the writer. */
  private boundAddresses(): IpAddress[] {
    return [...this.parts.table.ledger.addresses()].filter(
      (address) => !this.parts.writer.isUnbound(address),
    );
  }

  private async bind(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    for (const object of await this.parts.writer.bind(addresses))
      this.repairs.note({ kind: 'address', object, what: 'was missing' });
  }

  private async recheckRules(family: Family, rules: Rules): Promise<void> {
    const object = `rules ${family}`;
    try {
      const text = await rules.recheck();
      this.parts.table.failures.settleNode(object);
      if (text !== '') this.repairs.note({ kind: 'rules', object, what: chainsText(text) });
    } catch (error) {
      this.parts.table.failures.noteNode(object, error);
    }
  }
}

/** What differs between the servers in the kernel and the planned ones, as one phrase; null when nothing does. */
function differenceOf(
  found: AppliedVirtualServer['destinations'],
  planned: DesiredVirtualServer['realServers'],
): string | null {
  const byId = new Map(found.map((each) => [realServerId(each), each]));
  for (const server of planned) {
    const id = realServerId(server);
    const each = byId.get(id);
    if (each === undefined) return `${id.replace(' ', ':')} was missing`;
    if (!isSameDestination(each, server))
      return `${id.replace(' ', ':')} had weight ${each.weight}, ${each.forwarding ?? ''} and thresholds ${each.upperThreshold ?? 0}:${each.lowerThreshold ?? 0}`;
    byId.delete(id);
  }
  const [extra] = byId.keys();
  return extra === undefined ? null : `${extra.replace(' ', ':')} was there and is not planned`;
}

function settingsText({ scheduler, flags, timeoutSeconds, netmask }: AddressService): string {
  return `had scheduler ${scheduler}, flags ${flags}, timeout ${timeoutSeconds} s, netmask ${netmask}`;
}

/** The chains that a restored text declares. */
function chainsText(text: string): string {
  const chains = [...text.matchAll(/^(?::|-I )(\S+)/gm)].map(([, name]) => name);
  return `somebody had changed ${[...new Set(chains)].join(', ')}`;
}
