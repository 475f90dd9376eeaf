// Settings that fit badly to the families of this node. kube-proxy took them for long, so most are only warned of; those that it refuses
// are refused. Its words are kept, because people search for them. Pure but for the log.
// Source: kube-proxy 1.36, checkBadConfig and checkBadIPConfig; spec 5.4.

import type { Config, SocketAddress } from '../config/config.ts';
import { PointsmanError } from '../model/errors.ts';
import { familyOf, isUnspecified, type Cidr, type Family, type IpAddress } from '../model/ip.ts';
import { LINES } from './log-lines.ts';
import type { Log } from './log.ts';
import { otherFamily, type NodeIps } from './node-ips.ts';

/** What the settings must fit to. */
export interface FamilySurroundings {
  readonly nodeIps: NodeIps;
  /** Of the Node. */
  readonly podCIDRs: readonly Cidr[];
  /** That this machine can forward. */
  readonly families: readonly Family[];
}

/** The settings that matter here. */
export type FamilyConfig = Pick<
  Config,
  | 'clusterCIDRs'
  | 'detectLocalMode'
  | 'healthzBindAddress'
  | 'ipvs'
  | 'metricsBindAddress'
  | 'nodePortAddresses'
>;

/** Every complaint in words; with `mistakes` the agent must not start. */
export interface FamilyFindings {
  readonly warnings: readonly string[];
  readonly mistakes: readonly string[];
}

/** Looks at all of it. */
export function findFamilyMistakes(config: FamilyConfig, surroundings: FamilySurroundings): FamilyFindings {
  const { nodeIps, podCIDRs, families } = surroundings;
  const primary = nodeIps.primaryFamily;
  const wrong = otherFamily(primary);
  const isDual = families.length > 1;
  const cluster = `cluster is ${primary}-${isDual ? 'primary' : 'only'}`;
  const warnings = nodePortWarnings(config, surroundings);
  const mistakes: string[] = [];
  const areWrong = (cidrs: readonly Cidr[]): boolean =>
    cidrs.length > 0 && cidrs.every((cidr) => familyOf(cidr) === wrong);
  const isWrong = (at: SocketAddress | null): boolean =>
    at !== null && familyOf(at.address) === wrong && !isUnspecified(at.address);

  if (areWrong(clusterCIDRs(config)))
    (config.detectLocalMode === 'ClusterCIDR' && !isDual ? mistakes : warnings).push(
      `${cluster} but clusterCIDRs contains only ${wrong} addresses`,
    );
  if (areWrong(podCIDRs))
    (config.detectLocalMode === 'NodeCIDR' ? mistakes : warnings).push(
      `${cluster} but node.spec.podCIDRs contains only ${wrong} addresses`,
    );
  if (isDual) return { warnings, mistakes };
  if (areWrong(config.ipvs.excludeCIDRs))
    warnings.push(`${cluster} but ipvs.excludeCIDRs contains only ${wrong} addresses`);
  if (isWrong(config.healthzBindAddress)) warnings.push(`${cluster} but healthzBindAddress is ${wrong}`);
  if (isWrong(config.metricsBindAddress)) warnings.push(`${cluster} but metricsBindAddress is ${wrong}`);
  return { warnings, mistakes };
}

/** Where NodePorts answer in more places than somebody who reads the configuration would think. */
function nodePortWarnings(
  config: FamilyConfig,
  { nodeIps: { primaryFamily: primary, known }, podCIDRs }: FamilySurroundings,
): string[] {
  // As kube-proxy, which has put the Node's addresses in the place of "primary" by then.
  const chosen: readonly (Cidr | IpAddress)[] =
    config.nodePortAddresses === 'primary' ? known : config.nodePortAddresses;
  const other = otherFamily(primary);
  const ofPrimary = chosen.filter((each) => familyOf(each) === primary).length;
  const lists = [clusterCIDRs(config), chosen, config.ipvs.excludeCIDRs, podCIDRs];
  const looksDual = lists.some((list) => new Set(list.map(familyOf)).size > 1);
  if (chosen.length === 0)
    return [
      'nodePortAddresses is unset; NodePort connections will be accepted on all local IPs. Consider using `--nodeport-addresses primary`',
    ];
  if (looksDual && ofPrimary === chosen.length)
    return [
      `cluster appears to be dual-stack but nodePortAddresses contains only ${primary} addresses; NodePort connections will be accepted on all local ${other} IPs`,
    ];
  if (ofPrimary === 0)
    return [
      `cluster appears to be ${primary}-primary but nodePortAddresses contains only ${other} addresses; NodePort connections will be accepted on all local ${primary} IPs`,
    ];
  return [];
}

function clusterCIDRs({ clusterCIDRs: { ipv4, ipv6 } }: FamilyConfig): Cidr[] {
  return [ipv4, ipv6].filter((cidr) => cidr !== null);
}

/**
 * Says in which families the agent runs and what fits badly. Throws INVALID_CONFIG for what kube-proxy refuses. To be called before the first
 * sync, once the Node is known or given up on.
 */
export function reportFamilies(config: FamilyConfig, surroundings: FamilySurroundings, log: Log): void {
  const { nodeIps, families } = surroundings;
  const { primaryFamily } = nodeIps;
  if (families.length > 1) log.info(LINES.dualStack, { 'primary ipFamily': primaryFamily });
  else log.info(LINES.singleStack, { ipFamily: primaryFamily });
  const { warnings, mistakes } = findFamilyMistakes(config, surroundings);
  for (const err of warnings) log.warn(LINES.configIncomplete, { err });
  if (mistakes.length > 0)
    throw new PointsmanError(
      'INVALID_CONFIG',
      `kube-proxy configuration is incorrect: ${mistakes.join('; ')}`,
      { mistakes },
    );
}
