// Who may use the load-balancer IPs of a Service: spec.loadBalancerSourceRanges for one family. Pure.
// Source: kube-proxy 1.36 (serviceport.go, proxier.go of mode iptables); spec of the service model, 1.2 and 1.7.

import { cidrContains, familyOf, prefixLengthOf, type Family } from '../model/ip.ts';
import type { Problem } from '../model/problem.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { AllowedSources, NodeOptions } from './plan.ts';

/**
 * The sources that are let in to the load-balancer IPs of a family; null = everybody.
 *  - No ranges at all, or one of the family with prefix length 0: everybody.
 *  - Ranges of the family: those, and where the node's own IP is in one, connections that have a load-balancer IP as their source.
 *  - Ranges, but none of the family (or none that can be read): what NodeOptions.otherFamilySourceRanges says.
 */
export function allowedSources(
  record: ServiceRecord,
  family: Family,
  node: Pick<NodeOptions, 'nodeIPs' | 'otherFamilySourceRanges'>,
): AllowedSources | null {
  if (record.loadBalancerSourceRanges === null) return null;
  const cidrs = record.loadBalancerSourceRanges.filter((range) => familyOf(range) === family);
  if (cidrs.some((range) => prefixLengthOf(range) === 0)) return null;
  if (cidrs.length === 0) return node.otherFamilySourceRanges === 'Allow' ? null : NOBODY;
  const isNodeAllowed = node.nodeIPs.some((address) => cidrs.some((range) => cidrContains(range, address)));
  const own = record.loadBalancerIPs.filter((address) => familyOf(address) === family);
  return { cidrs, ownAddresses: isNodeAllowed ? own : [] };
}

const NOBODY: AllowedSources = Object.freeze({ cidrs: Object.freeze([]), ownAddresses: Object.freeze([]) });

/** What to tell the owner of a Service whose ranges say nothing of a family in which it has load-balancer IPs; null when all is well. */
export function otherFamilyProblem(
  record: ServiceRecord,
  family: Family,
  node: Pick<NodeOptions, 'otherFamilySourceRanges'>,
): Problem | null {
  const address = record.loadBalancerIPs.find((one) => familyOf(one) === family);
  const ranges = record.loadBalancerSourceRanges;
  if (address === undefined || ranges === null || ranges.some((range) => familyOf(range) === family))
    return null;
  const isAllowed = node.otherFamilySourceRanges === 'Allow';
  return {
    object: `Service ${record.key}`,
    field: 'spec.loadBalancerSourceRanges',
    reason: 'WrongFamily',
    message: `no range is of family ${family}: ${isAllowed ? 'everybody' : 'nobody'} may use ${address}`,
    remedy: isAllowed
      ? `add an ${family} range; pointsman.otherFamilySourceRanges: Deny in the configuration closes such families`
      : `add an ${family} range`,
  };
}
