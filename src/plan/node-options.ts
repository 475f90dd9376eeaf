// What the plan needs to know of this node, from the configuration, the Node object and the addresses that are on it. Pure.

import {
  cidrContains,
  compareIp,
  familyOf,
  isLinkLocal,
  isLoopback,
  type Cidr,
  type Family,
  type IpAddress,
} from '../model/ip.ts';
import type { Scheduler } from '../model/schedulers.ts';
import type { LocalDetector, NodeOptions } from './plan.ts';

/** The node-related part of the configuration. */
export interface NodeSettings {
  readonly nodeName: string;
  readonly families: readonly Family[];
  readonly scheduler: Scheduler;
  readonly masqueradeAll: boolean;
  /** CIDRs of addresses on which NodePorts answer; 'primary' = the Node's own addresses; [] = all. */
  readonly nodePortAddresses: readonly Cidr[] | 'primary';
  /** NodePorts answer on IPv4 loopback where nodePortAddresses contain it; only mode iptables can do that. */
  readonly localhostNodePorts: boolean;
  readonly allowsExternalIPs: boolean;
  readonly otherFamilySourceRanges: NodeOptions['otherFamilySourceRanges'];
  readonly localDetector: LocalDetector;
}

/** Facts that may change while the agent runs. */
export interface NodeFacts {
  readonly zone: string;
  /** Addresses of the Node object, primary first. */
  readonly nodeIps: readonly IpAddress[];
  /** All addresses on this machine except those on kube-ipvs0. */
  readonly localAddresses: readonly IpAddress[];
  /** Default: none. */
  readonly missingSchedulers?: readonly Scheduler[];
}

const NONE_MISSING: readonly Scheduler[] = Object.freeze([]);

export function makeNodeOptions(settings: NodeSettings, facts: NodeFacts): NodeOptions {
  return {
    nodeName: settings.nodeName,
    zone: facts.zone,
    families: settings.families,
    nodeIPs: primaryAddresses(facts.nodeIps),
    localAddresses: localAddresses(settings, facts),
    nodePortLoopbacks: nodePortLoopbacks(settings, facts),
    allowsExternalIPs: settings.allowsExternalIPs,
    otherFamilySourceRanges: settings.otherFamilySourceRanges,
    nodePortAddresses: nodePortAddresses(settings, facts),
    scheduler: settings.scheduler,
    missingSchedulers: facts.missingSchedulers ?? NONE_MISSING,
    masqueradeAll: settings.masqueradeAll,
    localDetector: settings.localDetector,
  };
}

/**
 * The addresses on which NodePorts answer: per family those inside a CIDR of that family, or all when none is given or a zero
 * CIDR is. Never loopback ones; link-local IPv6 ones only inside a CIDR that names them. Sorted, without duplicates.
 */
export function nodePortAddresses(
  settings: Pick<NodeSettings, 'nodePortAddresses' | 'families'>,
  facts: Pick<NodeFacts, 'nodeIps' | 'localAddresses'>,
): IpAddress[] {
  const chosen = settings.families.flatMap((family) => {
    const local = facts.localAddresses.filter(
      (address) => familyOf(address) === family && !isLoopback(address),
    );
    const cidrs = cidrsOf(family, settings.nodePortAddresses, facts.nodeIps);
    if (cidrs === 'all') return local.filter((address) => family === 'IPv4' || !isLinkLocal(address));
    return local.filter((address) => cidrs.some((cidr) => cidrContains(cidr, address)));
  });
  return [...new Set(chosen)].sort(compareIp);
}

/** True when NodePorts of this family answer on all addresses, whatever the machine has. */
export function isNodePortEverywhere(
  family: Family,
  configured: NodeSettings['nodePortAddresses'],
  nodeIps: readonly IpAddress[],
): boolean {
  return cidrsOf(family, configured, nodeIps) === 'all';
}

/** The machine's own addresses of the families it forwards, as far as others can reach them. */
function localAddresses(
  { families }: Pick<NodeSettings, 'families'>,
  facts: Pick<NodeFacts, 'localAddresses'>,
): IpAddress[] {
  const isReachable = (address: IpAddress): boolean =>
    families.includes(familyOf(address)) &&
    !isLoopback(address) &&
    (familyOf(address) === 'IPv4' || !isLinkLocal(address));
  return [...new Set(facts.localAddresses.filter(isReachable))].sort(compareIp);
}

/** The first address of each family. */
function primaryAddresses(nodeIps: readonly IpAddress[]): IpAddress[] {
  const ofFamily = (family: Family): IpAddress[] =>
    nodeIps.filter((address) => familyOf(address) === family && !isLoopback(address)).slice(0, 1);
  return [...ofFamily('IPv4'), ...ofFamily('IPv6')];
}

/**
 * The IPv4 loopback networks on which NodePorts answer: all of 127.0.0.0/8 where they answer everywhere, else each loopback address of
 * this machine inside a CIDR. IPv6 loopback never answers.
 */
function nodePortLoopbacks(
  settings: Pick<NodeSettings, 'localhostNodePorts' | 'nodePortAddresses' | 'families'>,
  facts: Pick<NodeFacts, 'nodeIps' | 'localAddresses'>,
): Cidr[] {
  if (!settings.localhostNodePorts || !settings.families.includes('IPv4')) return [];
  const cidrs = cidrsOf('IPv4', settings.nodePortAddresses, facts.nodeIps);
  if (cidrs === 'all') return ['127.0.0.0/8' as Cidr];
  const loopbacks = facts.localAddresses.filter(
    (address) => isLoopback(address) && cidrs.some((cidr) => cidrContains(cidr, address)),
  );
  return [...new Set(loopbacks)].sort(compareIp).map((address) => `${address}/32` as Cidr);
}

function cidrsOf(
  family: Family,
  configured: readonly Cidr[] | 'primary',
  nodeIps: readonly IpAddress[],
): readonly Cidr[] | 'all' {
  if (configured === 'primary') {
    const primary = primaryAddresses(nodeIps).find((address) => familyOf(address) === family);
    // As kube-proxy: a family without a node address of its own answers everywhere.
    return primary === undefined ? 'all' : [`${primary}/${family === 'IPv4' ? 32 : 128}` as Cidr];
  }
  const own = configured.filter((cidr) => cidr.includes(':') === (family === 'IPv6'));
  return own.length === 0 || own.some((cidr) => cidr.endsWith('/0')) ? 'all' : own;
}

/** True when nothing differs that the plan of any Service depends on. */
export function sameNodeOptions(a: NodeOptions, b: NodeOptions): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** True when at most the machine's addresses differ: Services that only have cluster IPs do not depend on them. */
export function sameButAddresses(a: NodeOptions, b: NodeOptions): boolean {
  const { localAddresses, nodePortAddresses } = a;
  return sameNodeOptions(a, { ...b, localAddresses, nodePortAddresses });
}

/**
 * Between two that differ in addresses only: those that came or went where just the node's own did, null where NodePorts answer on others (then all
 * who use any may be concerned).
 */
export function ownAddressesChanged(before: NodeOptions, after: NodeOptions): ReadonlySet<IpAddress> | null {
  const { nodePortAddresses } = before;
  if (!sameNodeOptions({ ...after, nodePortAddresses }, after)) return null;
  const [old, now] = [new Set(before.localAddresses), new Set(after.localAddresses)];
  return new Set([
    ...before.localAddresses.filter((each) => !now.has(each)),
    ...after.localAddresses.filter((each) => !old.has(each)),
  ]);
}
