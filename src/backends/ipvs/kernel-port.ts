// The port to this node's kernel: netlink for IPVS, sets, the link and its addresses; iptables' own tools for rules; /proc/sys.

import type { PointsmanError } from '../../model/errors.ts';
import { isLinkLocal, isLoopback, type Family, type IpAddress } from '../../model/ip.ts';
import { IpsetClient } from '../../kernel/ipset.ts';
import { replaceSet } from '../../kernel/ipset-replace.ts';
import type { SetDefinition, SetMember } from '../../kernel/ipset-codec.ts';
import { openRulesFingerprint, type RulesFingerprint } from '../../kernel/iptables-fingerprint.ts';
import { formatRule, parseTables } from '../../kernel/iptables-text.ts';
import { Iptables, openFamilies } from '../../kernel/iptables.ts';
import { IpvsClient, type IpvsFailure, type IpvsOperation } from '../../kernel/ipvs.ts';
import type {
  IpvsDestinationState,
  IpvsService,
  IpvsServiceState,
  ServiceKey,
} from '../../kernel/ipvs-codec.ts';
import type { IpvsTimeouts } from '../../kernel/ipvs-daemon-codec.ts';
import { RtnetlinkClient } from '../../kernel/rtnetlink.ts';
import { readSysctl, writeSysctl } from '../../kernel/sysctl.ts';
import type {
  AddOutcome,
  AddressFailure,
  BindOutcome,
  IpvsKernelPort,
  KernelRules,
  MemberFailure,
  SetChange,
  SetHeader,
} from './port.ts';
import type { Table } from './render-rules.ts';
import { HASH_SIZE, kernelSetName, maxMembersOf, SETS, TEMPORARY_SET, type SetName } from './sets.ts';

/** The dummy link that bears the Services' addresses; its name is kube-proxy's. */
export const SERVICE_LINK = 'kube-ipvs0';

/** How to open one; for benches and tests. */
export interface KernelPortOptions {
  /** Size of an IPVS batch in bytes; default as measured. */
  readonly batchBytes?: number;
  /** Hears all rules of a family in each iptables, where they had to be read to decide for one. */
  readonly onSavedRules?: (family: Family, text: string) => void;
  /**
   * Hears of a family for which there is no iptables that works, and then it is left out, as long as there is another; default: opening
   * fails. What is left is in `families`.
   */
  readonly onMissingFamily?: (family: Family, error: PointsmanError) => void;
}

export class KernelPort implements IpvsKernelPort {
  private readonly ipvs: IpvsClient;
  private readonly sets: IpsetClient;
  private readonly links: RtnetlinkClient;
  private readonly tools: ReadonlyMap<Family, Iptables>;
  private readonly fingerprints = new Map<Family, RulesFingerprint>();

  private constructor(
    ipvs: IpvsClient,
    sets: IpsetClient,
    links: RtnetlinkClient,
    tools: ReadonlyMap<Family, Iptables>,
  ) {
    this.ipvs = ipvs;
    this.sets = sets;
    this.links = links;
    this.tools = tools;
  }

  /**
   * Opens everything that IPVS mode needs and fails early where something is missing: MISSING_MODULE, MISSING_TOOL,
   * MISSING_PRIVILEGE, KERNEL_REFUSED. Changes nothing but the modules that the kernel loads.
   */
  static async open(families: readonly Family[], options: KernelPortOptions = {}): Promise<KernelPort> {
    const opened: { close(): void }[] = [];
    const keep = <Client extends { close(): void }>(client: Client): Client => {
      opened.push(client);
      return client;
    };
    try {
      const ipvs = keep(IpvsClient.open(undefined, options.batchBytes));
      ipvs.info();
      const sets = keep(IpsetClient.open());
      const links = keep(RtnetlinkClient.open());
      const openTool = (family: Family): Promise<Iptables> =>
        Iptables.open(family, { onSaved: (_, text) => options.onSavedRules?.(family, text) });
      const tools = await openFamilies(families, openTool, options.onMissingFamily);
      return new KernelPort(ipvs, sets, links, tools);
    } catch (error) {
      for (const client of opened) client.close();
      throw error;
    }
  }

  close(): void {
    this.ipvs.close();
    this.sets.close();
    this.links.close();
    for (const fingerprint of this.fingerprints.values()) fingerprint.close();
    this.fingerprints.clear();
  }

  /** Those that were opened, in the order asked for. */
  get families(): Family[] {
    return [...this.tools.keys()];
  }

  /** Which iptables is used for a family, and why: for the log. */
  iptablesOf(family: Family): Iptables {
    const tool = this.tools.get(family);
    if (tool === undefined) throw new Error(`family ${family} was not opened`);
    return tool;
  }

  services(): Promise<readonly IpvsService[]> {
    return this.ipvs.services();
  }

  servicePieces(): AsyncGenerator<readonly IpvsService[]> {
    return this.ipvs.servicePieces();
  }

  /** As servicePieces, with the counters of each; on a socket of its own, so that it holds up nothing else. */
  countedServicePieces(): AsyncGenerator<readonly IpvsServiceState[]> {
    return this.ipvs.servicePieces(true);
  }

  service(key: ServiceKey): IpvsService | undefined {
    return this.ipvs.service(key);
  }

  destinations(key: ServiceKey): Promise<readonly IpvsDestinationState[]> {
    return this.ipvs.destinations(key);
  }

  timeouts(): IpvsTimeouts {
    return this.ipvs.timeouts();
  }

  async setMembers(set: SetName, family: Family): Promise<readonly SetMember[] | null> {
    return (await this.sets.list(kernelSetName(set, family)))?.members ?? null;
  }

  async setHeaders(): Promise<ReadonlyMap<string, SetHeader>> {
    const headers = new Map<string, SetHeader>();
    // Only kernels before 4.9 do not count members, and Node runs on none of those.
    for (const { name, type, family, entries, maxElements } of await this.sets.headers())
      headers.set(name, { type, family, members: entries ?? 0, maxMembers: maxElements ?? null });
    return headers;
  }

  async boundAddresses(): Promise<readonly IpAddress[] | null> {
    const link = this.links.link(SERVICE_LINK);
    if (link === null) return null;
    const addresses = await this.links.addresses({ linkIndex: link.index });
    return addresses
      .map(({ address }) => address)
      .filter((address) => !isLoopback(address) && !isIpv6LinkLocal(address));
  }

  async rules(family: Family): Promise<KernelRules> {
    const tables = parseTables(await this.iptablesOf(family).save());
    const rules = new Map<Table, ReadonlyMap<string, readonly string[]>>();
    for (const table of ['nat', 'filter'] as const) {
      const chains = [...(tables.get(table) ?? [])];
      rules.set(table, new Map(chains.map(([name, chain]) => [name, chain.rules.map(formatRule)])));
    }
    return rules;
  }

  rulesFingerprint(family: Family): string | null {
    let fingerprint = this.fingerprints.get(family);
    if (fingerprint === undefined) {
      fingerprint = openRulesFingerprint(family, this.iptablesOf(family).flavour);
      this.fingerprints.set(family, fingerprint);
    }
    return fingerprint.read();
  }

  sysctl(path: string): string | null {
    return readSysctl(path);
  }

  hasRandomFully(family: Family): boolean {
    return this.iptablesOf(family).hasRandomFully;
  }

  applyIpvs(operations: Iterable<IpvsOperation>): Promise<readonly IpvsFailure[]> {
    return this.ipvs.apply(operations);
  }

  async createSet(set: SetName, family: Family): Promise<void> {
    this.sets.create(definitionOf(set, family, maxMembersOf(set)));
  }

  growSet(set: SetName, family: Family, maxMembers: number): Promise<void> {
    return replaceSet(this.sets, definitionOf(set, family, maxMembers), TEMPORARY_SET);
  }

  async addMembers(changes: readonly SetChange[]): Promise<AddOutcome> {
    const failures: MemberFailure[] = [];
    const present: SetChange[] = [];
    for (const { set, family, members } of changes) {
      const outcome = await this.sets.addNew(kernelSetName(set, family), members);
      for (const { member, error } of outcome.failures) failures.push({ set, family, member, error });
      if (outcome.present.length > 0) present.push({ set, family, members: outcome.present });
    }
    return { failures, present };
  }

  async deleteMembers(changes: readonly SetChange[]): Promise<readonly MemberFailure[]> {
    const failures: MemberFailure[] = [];
    for (const { set, family, members } of changes) {
      for (const { member, error } of await this.sets.delete(kernelSetName(set, family), members))
        failures.push({ set, family, member, error });
    }
    return failures;
  }

  async createLink(): Promise<void> {
    this.links.addLink(SERVICE_LINK, 'dummy');
  }

  async bind(addresses: readonly IpAddress[]): Promise<BindOutcome> {
    return this.links.addAddresses(this.serviceLink(), addresses);
  }

  async unbind(addresses: readonly IpAddress[]): Promise<readonly AddressFailure[]> {
    const found = this.links.link(SERVICE_LINK);
    return found === null ? [] : this.links.deleteAddresses(found.index, addresses);
  }

  /** The index of the link, which is made when it is missing; asked for each time: somebody may have deleted it and made it anew. */
  private serviceLink(): number {
    const found = this.links.link(SERVICE_LINK);
    if (found !== null) return found.index;
    this.links.addLink(SERVICE_LINK, 'dummy');
    return this.links.link(SERVICE_LINK)?.index ?? 0;
  }

  restoreRules(family: Family, text: string): Promise<void> {
    return this.iptablesOf(family).restore(text);
  }

  writeSysctl(path: string, value: string): void {
    writeSysctl(path, value);
  }
}

function isIpv6LinkLocal(address: IpAddress): boolean {
  return address.includes(':') && isLinkLocal(address);
}

function definitionOf(set: SetName, family: Family, maxElements: number): SetDefinition {
  return {
    name: kernelSetName(set, family),
    type: SETS[set].type,
    family,
    hashSize: HASH_SIZE,
    maxElements,
  };
}
