// What a clean-up reads of this node and how it removes things from it: netlink for IPVS, sets, nf_tables, the link and its addresses,
// iptables' own tools for rules. What this kernel or this system does not have holds nothing; what cannot be read is told and left alone.

import { setTimeout as delay } from 'node:timers/promises';
import type { InventoryService, InventorySet, IpvsInventory } from '../backends/ipvs/inventory.ts';
import { SERVICE_LINK } from '../backends/ipvs/kernel-port.ts';
import { SETS_BY_KERNEL_NAME } from '../backends/ipvs/provenance.ts';
import { TEMPORARY_SET } from '../backends/ipvs/sets.ts';
import { PROXY_TABLE } from '../backends/nftables/table-removal.ts';
import { toolName, type Kept } from '../backends/removal.ts';
import { IpsetClient } from '../kernel/ipset.ts';
import type { SetMember } from '../kernel/ipset-codec.ts';
import { IPSET_ERR_BUSY } from '../kernel/ipset-errors.ts';
import { Iptables, type IptablesFlavour } from '../kernel/iptables.ts';
import { parseTables } from '../kernel/iptables-text.ts';
import { IpvsClient, type IpvsOperation } from '../kernel/ipvs.ts';
import type { ServiceKey } from '../kernel/ipvs-codec.ts';
import { ENOENT, ESRCH } from '../kernel/libc.ts';
import { NftablesClient } from '../kernel/nftables.ts';
import { RtnetlinkClient } from '../kernel/rtnetlink.ts';
import { errorLine, hasCode, KernelError, PointsmanError } from '../model/errors.ts';
import { isLinkLocal, isLoopback, type Family, type IpAddress } from '../model/ip.ts';
import type { NodeInventory, RuleInventory, SavedRules } from './cleanup-plan.ts';
import type { CleanupPort } from './cleanup-run.ts';

/** nf_tables gives back the sets of deleted rules behind the answer, from a worker of the kernel. */
const BUSY_TRIES = 100;
const BUSY_PAUSE_MS = 20;

/** This node's kernel and its tools. */
export class KernelCleanupPort implements CleanupPort {
  private readonly families: readonly Family[];
  private readonly links: RtnetlinkClient;
  /** null where the kernel has none. */
  private readonly ipvs: IpvsClient | null;
  private readonly sets: IpsetClient | null;
  private readonly nftables: NftablesClient;
  private readonly tools: readonly Iptables[];

  private constructor(families: readonly Family[], tools: readonly Iptables[]) {
    this.families = families;
    this.tools = tools;
    this.links = RtnetlinkClient.open();
    this.ipvs = unlessMissing(() => IpvsClient.open());
    this.sets = unlessMissing(() => IpsetClient.open());
    this.nftables = NftablesClient.open();
  }

  /** Opens what is there. Throws KERNEL_REFUSED, MISSING_PRIVILEGE. Changes nothing but the modules that the kernel loads. */
  static async open(families: readonly Family[]): Promise<KernelCleanupPort> {
    const tools: Iptables[] = [];
    for (const family of families) tools.push(...(await Iptables.installed(family)));
    return new KernelCleanupPort(families, tools);
  }

  close(): void {
    this.links.close();
    this.ipvs?.close();
    this.sets?.close();
    this.nftables.close();
  }

  async read(): Promise<NodeInventory> {
    return { ...(await this.readRules()), ipvs: await this.readIpvs() };
  }

  /** The rules alone. */
  async readRules(): Promise<RuleInventory> {
    const unread: Kept[] = [];
    const rules: SavedRules[] = [];
    for (const tool of this.tools) {
      const { family, flavour } = tool;
      try {
        rules.push({ family, flavour, tables: parseTables(await tool.save()) });
      } catch (error) {
        if (!(error instanceof PointsmanError)) throw error;
        unread.push({ kind: 'rules', object: toolName(tool), reason: `cannot be read: ${errorLine(error)}` });
      }
    }
    for (const family of this.families)
      if (!this.tools.some((tool) => tool.family === family))
        unread.push({
          kind: 'rules',
          object: `iptables, ${family}`,
          reason: 'not installed, so its rules stay',
        });
    const tables = proxyTables(this.nftables, this.families);
    return { rules, nftables: tables, unread };
  }

  private async readIpvs(): Promise<IpvsInventory> {
    const services: InventoryService[] = [];
    for (const service of (await this.ipvs?.services()) ?? [])
      services.push({ service, destinations: (await this.ipvs?.destinations(service)) ?? [] });
    const link = this.links.link(SERVICE_LINK);
    const addresses = await this.links.addresses();
    const isBearing = (index: number): boolean => index === link?.index;
    return {
      services,
      sets: await this.readSets(),
      link:
        link === null
          ? null
          : {
              name: link.name,
              kind: link.kind,
              addresses: addresses.filter(
                ({ linkIndex, address }) => isBearing(linkIndex) && !comesByItself(address),
              ),
            },
      nodeAddresses: new Set(
        addresses.filter(({ linkIndex }) => !isBearing(linkIndex)).map(({ address }) => address),
      ),
    };
  }

  private async readSets(): Promise<InventorySet[]> {
    const headers = new Map((await this.sets?.headers())?.map((header) => [header.name, header]));
    const found: InventorySet[] = [];
    for (const name of [...SETS_BY_KERNEL_NAME.keys(), TEMPORARY_SET]) {
      const header = headers.get(name);
      if (header === undefined) continue;
      const members = (await this.sets?.list(name))?.members ?? [];
      found.push({ name, type: header.type, family: header.family, members });
    }
    return found;
  }

  async unbind(addresses: readonly IpAddress[]): Promise<ReadonlyMap<number, PointsmanError>> {
    const link = this.links.link(SERVICE_LINK);
    if (link === null) return new Map();
    const failures = await this.links.deleteAddresses(link.index, addresses);
    return new Map(failures.map(({ address, error }) => [addresses.indexOf(address), error]));
  }

  async deleteMembers(
    set: string,
    members: readonly SetMember[],
  ): Promise<ReadonlyMap<number, PointsmanError>> {
    const failures = (await this.sets?.delete(set, members)) ?? [];
    return new Map(
      failures
        .filter(({ error }) => error.errno !== ENOENT)
        .map(({ member, error }) => [members.indexOf(member), error]),
    );
  }

  async deleteServices(services: readonly ServiceKey[]): Promise<ReadonlyMap<number, PointsmanError>> {
    const operations = services.map((service): IpvsOperation => ({ op: 'DEL_SERVICE', service }));
    const failures = (await this.ipvs?.apply(operations)) ?? [];
    return new Map(
      failures
        .filter(({ error }) => error.errno !== ESRCH)
        .map(({ operation, error }) => [operations.indexOf(operation), error]),
    );
  }

  async restoreRules(family: Family, flavour: IptablesFlavour, text: string): Promise<void> {
    const tool = this.tools.find((each) => each.family === family && each.flavour === flavour);
    if (tool === undefined) throw new Error(`${flavour} iptables of ${family} was not opened`);
    await tool.restore(text);
  }

  async deleteTable(family: Family, name: string): Promise<void> {
    this.nftables.deleteTable(family, name);
  }

  async destroySet(name: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.sets?.destroy(name);
        return;
      } catch (error) {
        const isBusy = error instanceof KernelError && error.errno === IPSET_ERR_BUSY;
        if (!isBusy || attempt === BUSY_TRIES) throw error;
      }
      await delay(BUSY_PAUSE_MS);
    }
  }

  async deleteLink(name: string): Promise<void> {
    this.links.deleteLink(name);
  }
}

/** The families that have kube-proxy's table in nf_tables; starts no program. */
export function findProxyTables(families: readonly Family[]): Family[] {
  const client = NftablesClient.open();
  try {
    return proxyTables(client, families);
  } finally {
    client.close();
  }
}

function proxyTables(client: NftablesClient, families: readonly Family[]): Family[] {
  return families.filter((family) => unlessMissing(() => client.hasTable(family, PROXY_TABLE)) ?? false);
}

/** What a link that is up gets from the kernel; it goes with the link. */
function comesByItself(address: IpAddress): boolean {
  return isLoopback(address) || (address.includes(':') && isLinkLocal(address));
}

/** null where the kernel does not have what is asked for. */
function unlessMissing<T>(act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (hasCode(error, 'MISSING_MODULE')) return null;
    throw error;
  }
}
