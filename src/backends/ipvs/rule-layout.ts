// What mode ipvs has in iptables, ours and kube-proxy's: the names are the same. Pure data, from the rules that are rendered.

import type { RuleLayout } from '../rule-removal.ts';
import { renderRules } from './render-rules.ts';

/** Chain names and jumps are the same for every family and every setting. */
const { chains, jumps } = renderRules(
  {
    family: 'IPv4',
    masqueradeMark: 0x4000,
    masqueradeAll: false,
    localDetector: { kind: 'none' },
    hasRandomFully: true,
    closedToNode: [],
  },
  new Set(),
);

/** Eleven chains and nine jumps. */
export const IPVS_RULE_LAYOUT: RuleLayout = {
  chains,
  patterns: [],
  jumps,
  signature: { table: 'nat', chain: 'KUBE-SERVICES', target: 'KUBE-NODE-PORT' },
};
