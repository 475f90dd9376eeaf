// What leaves of mode ipvs when its owner goes, and in which order: addresses, what lets packets through, virtual servers, guards; then, behind
// the rules, sets and the link. The reverse of opening (docs/adr/0009). Pure: from an inventory to removals and to what is kept, with reasons.
// Rules, sets and link are one layout that ours and kube-proxy's virtual servers share: it stays as long as any of those that stay needs it.

import { FAMILIES, type Cidr, type Family } from '../../model/ip.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import type { Kept, Removal } from '../removal.ts';
import type { InventoryService, InventorySet, IpvsInventory } from './inventory.ts';
import { Footprint, Ownership, SETS_BY_KERNEL_NAME, type Owner, type Unknown } from './provenance.ts';
import { kernelSetName, SETS, TEMPORARY_SET, type SetName } from './sets.ts';

/** Whose things leave. */
export interface RemovalScope {
  readonly owners: ReadonlySet<Owner>;
  /** Networks whose virtual servers are not kube-proxy's (ipvs.excludeCIDRs). */
  readonly excludeCIDRs: readonly Cidr[];
}

export interface IpvsRemovalPlan {
  /** Before the rules go, in order. */
  readonly removals: readonly Removal[];
  /** After the rules went; a set that other rules match cannot go. */
  readonly sets: readonly (Removal & { readonly kind: 'set' })[];
  /** At the very end. */
  readonly link: readonly Removal[];
  /** Families whose rules and sets stay. */
  readonly layoutStays: ReadonlySet<Family>;
  readonly kept: readonly Kept[];
}

const REASONS: Record<Owner | Unknown, string> = {
  pointsman: 'made by Pointsman; "pointsman cleanup" removes it',
  'kube-proxy': 'not made by Pointsman',
  mark: 'a firewall mark, which neither Pointsman nor kube-proxy uses',
  excluded: 'in excludeCIDRs of the configuration',
  place: 'neither on kube-ipvs0 nor on an address of this node',
  port: 'on an address of this node with a port outside of 30000-32767',
  servers: 'on a NodePort, but with servers that are not masqueraded',
};

/** The plan for everything of the owners in `scope`. */
export function planIpvsRemoval(inventory: IpvsInventory, scope: RemovalScope): IpvsRemovalPlan {
  const kept: Kept[] = [];
  const ownership = new Ownership(inventory, scope.excludeCIDRs);
  const leaving: InventoryService[] = [];
  const staying: InventoryService[] = [];
  for (const each of inventory.services) {
    const owner = ownership.of(each);
    if ((scope.owners as ReadonlySet<string>).has(owner)) {
      leaving.push(each);
      continue;
    }
    staying.push(each);
    const reason = isOnlyOurs(scope) && owner !== 'mark' ? REASONS['kube-proxy'] : REASONS[owner];
    kept.push({ kind: 'virtualServer', object: formatServiceKey(each.service), reason });
  }
  const layoutStays = new Set<Family>();
  for (const family of FAMILIES) {
    const need = layoutNeed(family, inventory, scope, staying);
    if (need === null) continue;
    layoutStays.add(family);
    if (inventory.sets.some(({ name }) => SETS_BY_KERNEL_NAME.get(name)?.family === family))
      kept.push({ kind: 'rules', object: `rules and sets of mode ipvs, ${family}`, reason: need });
  }
  const context: Context = {
    inventory,
    scope,
    // Marks outlive what they are for when a clean-up was cut short: what is left of those leaves, too.
    leaving: new Footprint(scope.owners.has('pointsman') ? [...leaving, ...ownership.marked] : leaving),
    staying: new Footprint(staying),
    layoutStays,
    kept,
  };
  const addresses = planAddresses(context);
  const members = planMembers(context);
  return {
    removals: [
      ...addresses,
      ...members.filter(({ role }) => role === 'pass'),
      ...leaving.map(({ service }): Removal => ({ kind: 'virtualServer', family: service.family, service })),
      ...members.filter(({ role }) => role === 'guard'),
    ],
    sets: planSets(context),
    link: planLink(context, addresses.length),
    layoutStays,
    kept,
  };
}

interface Context {
  readonly inventory: IpvsInventory;
  readonly scope: RemovalScope;
  readonly leaving: Footprint;
  readonly staying: Footprint;
  readonly layoutStays: ReadonlySet<Family>;
  readonly kept: Kept[];
}

function isOnlyOurs({ owners }: RemovalScope): boolean {
  return !owners.has('kube-proxy');
}

/**
 * Why rules and sets of a family must stay, or null. Virtual servers on kube-ipvs0 need them. Without any in a family they are still those of
 * whoever is there: of an agent of ours, whose set exists even when it has no Service; of another proxy where ours does not exist.
 */
function layoutNeed(
  family: Family,
  { sets, link }: IpvsInventory,
  scope: RemovalScope,
  staying: readonly InventoryService[],
): string | null {
  const bound = new Set(link?.addresses.map(({ address }) => address));
  const needing = staying.filter(({ service }) => service.fwmark === undefined && bound.has(service.address));
  const ofFamily = needing.filter(({ service }) => service.family === family);
  if (ofFamily.length > 0) return `virtual servers on kube-ipvs0 that stay need them: ${firstOf(ofFamily)}`;
  const hasMarks = (of: Family): boolean =>
    sets.some(({ name }) => name === kernelSetName('POINTSMAN-VS', of));
  if (!scope.owners.has('pointsman'))
    return FAMILIES.some(hasMarks)
      ? 'an agent of Pointsman has them, too; "pointsman cleanup" removes them'
      : null;
  if (!isOnlyOurs(scope) || hasMarks(family) || needing.length === 0) return null;
  return `they are the proxy's whose virtual servers are on kube-ipvs0: ${firstOf(needing)}`;
}

function firstOf([first, ...others]: readonly InventoryService[]): string {
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return first === undefined ? '' : `${formatServiceKey(first.service)}${more}`;
}

function planAddresses({ inventory, leaving, staying, layoutStays, kept }: Context): Removal[] {
  const { link, sets } = inventory;
  if (link === null) return [];
  const declared = new Set(
    FAMILIES.filter((family) => !layoutStays.has(family)).flatMap((family) =>
      sets
        .filter(({ name }) => name === kernelSetName('KUBE-IPVS-IPS', family))
        .flatMap(({ members }) => members.map(({ address }) => address)),
    ),
  );
  const removals: Removal[] = [];
  for (const { address, prefixLength } of link.addresses) {
    const family: Family = address.includes(':') ? 'IPv6' : 'IPv4';
    const isWhole = prefixLength === (family === 'IPv6' ? 128 : 32);
    if (staying.hasAddress(address))
      kept.push({ kind: 'address', object: address, reason: 'a virtual server that stays has it' });
    else if (isWhole && (leaving.hasAddress(address) || declared.has(address)))
      removals.push({ kind: 'address', family, address });
    else kept.push({ kind: 'address', object: address, reason: 'no virtual server or set of ours has it' });
  }
  return removals;
}

type MemberRemoval = Removal & { readonly kind: 'member' };

/** Where the sets go as a whole, only what lets packets through goes before the virtual servers do. */
function planMembers({ inventory, leaving, staying, layoutStays }: Context): MemberRemoval[] {
  const removals: MemberRemoval[] = [];
  for (const found of inventory.sets) {
    const known = knownSet(found);
    if (known === null || known.set === 'POINTSMAN-VS') continue;
    const { set, family } = known;
    const role = SETS[set].role === 'pass' ? 'pass' : 'guard';
    if (!layoutStays.has(family) && role === 'guard') continue;
    for (const member of found.members) {
      const leaves =
        !layoutStays.has(family) ||
        (leaving.hasMember(set, family, member) && !staying.hasMember(set, family, member));
      if (leaves) removals.push({ kind: 'member', family, set: found.name, member, role });
    }
  }
  return removals;
}

function planSets({ inventory, scope, layoutStays, kept }: Context): (Removal & { kind: 'set' })[] {
  const removals: (Removal & { kind: 'set' })[] = [];
  for (const found of inventory.sets) {
    if (found.name === TEMPORARY_SET) {
      if (scope.owners.has('pointsman')) removals.push({ kind: 'set', family: 'IPv4', name: found.name });
      continue;
    }
    const known = knownSet(found);
    if (known === null) {
      kept.push({ kind: 'set', object: found.name, reason: `a ${found.type}, which no proxy of ours makes` });
      continue;
    }
    const { set, family } = known;
    const leaves = set === 'POINTSMAN-VS' ? scope.owners.has('pointsman') : !layoutStays.has(family);
    if (leaves) removals.push({ kind: 'set', family, name: found.name });
  }
  return removals;
}

/** The set that a name means, or null when it is of another type than ours and kube-proxy's. */
function knownSet({
  name,
  type,
  family,
}: InventorySet): { readonly set: SetName; readonly family: Family } | null {
  const known = SETS_BY_KERNEL_NAME.get(name);
  if (known === undefined || SETS[known.set].type !== type) return null;
  return family === null || family === known.family ? known : null;
}

function planLink({ inventory, layoutStays, kept }: Context, leavingAddresses: number): Removal[] {
  const { link } = inventory;
  if (link === null || layoutStays.size > 0) return [];
  const keep = (reason: string): Removal[] => {
    kept.push({ kind: 'link', object: link.name, reason });
    return [];
  };
  if (link.kind !== 'dummy') return keep(`a link of kind ${link.kind || 'none'}, which no proxy makes`);
  if (link.addresses.length > leavingAddresses) return keep('it bears addresses that stay');
  return [{ kind: 'link', name: link.name }];
}
