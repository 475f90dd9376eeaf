// How many Services have a Local traffic policy and endpoints on other nodes only: their clients are dropped here. Kept up to date by the
// plans that change; costs the change.
// Source: kube-proxy 1.36 (ipvs/proxier.go), which counts Services in IPVS mode, not their ports.

import type { Family } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ServicePlan } from '../plan/plan.ts';

/** Whom the policy is for: internalTrafficPolicy or externalTrafficPolicy. */
export type PolicyScope = 'internal' | 'external';

type Gap = `${PolicyScope} ${Family}`;

/** See above. */
export class NoLocalEndpoints {
  private readonly counts: Record<Gap, number> = {
    'internal IPv4': 0,
    'internal IPv6': 0,
    'external IPv4': 0,
    'external IPv6': 0,
  };
  /** Only of Services that have some. */
  private readonly gapsOf = new Map<ServiceKey, ReadonlySet<Gap>>();

  /** Plans that changed, null for those that are gone. */
  note(plans: ReadonlyMap<ServiceKey, ServicePlan | null>): void {
    for (const [key, plan] of plans) {
      const before = this.gapsOf.get(key);
      const after = plan === null ? NO_GAPS : gapsOf(plan);
      for (const gap of before ?? NO_GAPS) this.counts[gap]--;
      for (const gap of after) this.counts[gap]++;
      if (after.size > 0) this.gapsOf.set(key, after);
      else if (before !== undefined) this.gapsOf.delete(key);
    }
  }

  /** Services of which a frontend of the family drops these clients for want of an endpoint on this node. */
  count(scope: PolicyScope, family: Family): number {
    return this.counts[`${scope} ${family}`];
  }
}

const NO_GAPS: ReadonlySet<Gap> = new Set();

function gapsOf({ virtualServers }: ServicePlan): ReadonlySet<Gap> {
  let gaps: Set<Gap> | null = null;
  for (const { kind, family, internal, external } of virtualServers) {
    // The policy of a ClusterIP is the internal one, whoever the client is.
    const scope = kind === 'ClusterIP' ? 'internal' : 'external';
    const { policy, verdict } = kind === 'ClusterIP' ? internal : external;
    if (policy === 'Local' && verdict === 'drop') (gaps ??= new Set()).add(`${scope} ${family}`);
  }
  return gaps ?? NO_GAPS;
}
