// What kube-proxy's mode iptables has in iptables, by its names: for removing it. Pure data.
// KUBE-FIREWALL is not among them: kubelet has it too, and its rule guards the node whatever the mode. Source: kube-proxy 1.36, mode iptables.

import type { JumpRule } from '../removal.ts';
import type { RuleLayout } from '../rule-removal.ts';

const NEW_CONNECTIONS = '-m conntrack --ctstate NEW ';

function jump(table: string, from: string, to: string, comment: string, match = ''): JumpRule {
  return { table, from, rule: `${match}-m comment --comment "${comment}" -j ${to}` };
}

/** Twelve jumps, twelve chains in three tables, and five kinds of chains per Service or endpoint. */
export const IPTABLES_RULE_LAYOUT: RuleLayout = {
  chains: [
    { table: 'nat', name: 'KUBE-SERVICES' },
    { table: 'nat', name: 'KUBE-NODEPORTS' },
    { table: 'nat', name: 'KUBE-POSTROUTING' },
    { table: 'nat', name: 'KUBE-MARK-MASQ' },
    { table: 'nat', name: 'KUBE-PROXY-CANARY' },
    { table: 'filter', name: 'KUBE-SERVICES' },
    { table: 'filter', name: 'KUBE-EXTERNAL-SERVICES' },
    { table: 'filter', name: 'KUBE-FORWARD' },
    { table: 'filter', name: 'KUBE-NODEPORTS' },
    { table: 'filter', name: 'KUBE-PROXY-FIREWALL' },
    { table: 'filter', name: 'KUBE-PROXY-CANARY' },
    { table: 'mangle', name: 'KUBE-PROXY-CANARY' },
  ],
  // 16 characters of base32: a chain of somebody else may begin as these do.
  patterns: [{ table: 'nat', name: /^KUBE-(?:SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$/ }],
  jumps: [
    jump(
      'filter',
      'INPUT',
      'KUBE-EXTERNAL-SERVICES',
      'kubernetes externally-visible service portals',
      NEW_CONNECTIONS,
    ),
    jump(
      'filter',
      'FORWARD',
      'KUBE-EXTERNAL-SERVICES',
      'kubernetes externally-visible service portals',
      NEW_CONNECTIONS,
    ),
    jump('filter', 'INPUT', 'KUBE-NODEPORTS', 'kubernetes health check service ports'),
    jump('filter', 'FORWARD', 'KUBE-SERVICES', 'kubernetes service portals', NEW_CONNECTIONS),
    jump('filter', 'OUTPUT', 'KUBE-SERVICES', 'kubernetes service portals', NEW_CONNECTIONS),
    jump('filter', 'FORWARD', 'KUBE-FORWARD', 'kubernetes forwarding rules'),
    jump('filter', 'INPUT', 'KUBE-PROXY-FIREWALL', 'kubernetes load balancer firewall', NEW_CONNECTIONS),
    jump('filter', 'OUTPUT', 'KUBE-PROXY-FIREWALL', 'kubernetes load balancer firewall', NEW_CONNECTIONS),
    jump('filter', 'FORWARD', 'KUBE-PROXY-FIREWALL', 'kubernetes load balancer firewall', NEW_CONNECTIONS),
    jump('nat', 'OUTPUT', 'KUBE-SERVICES', 'kubernetes service portals'),
    jump('nat', 'PREROUTING', 'KUBE-SERVICES', 'kubernetes service portals'),
    jump('nat', 'POSTROUTING', 'KUBE-POSTROUTING', 'kubernetes postrouting rules'),
  ],
  signature: { table: 'nat', chain: 'KUBE-SERVICES', target: 'KUBE-NODEPORTS' },
};
