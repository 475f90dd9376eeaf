// What kube-proxy's mode nftables has in nf_tables: one table for each family, with everything in it. Pure.
// Source: kube-proxy 1.36, mode nftables.

import type { Family } from '../../model/ip.ts';
import type { Removal } from '../removal.ts';

/** The table's name, in families ip and ip6. */
export const PROXY_TABLE = 'kube-proxy';

/** The removal of the tables that are there. */
export function planTableRemoval(families: readonly Family[]): Removal[] {
  return families.map((family) => ({ kind: 'table', family, name: PROXY_TABLE }));
}
