// What must hold in the kernel after every single write of the IPVS backend, whatever was refused before it: nothing leaks in between.

import { expect } from 'vitest';
import { kernelSetName } from '../src/backends/ipvs/sets.ts';
import { formatMember } from '../src/kernel/ipset-codec.ts';
import { PROTOCOL_NUMBER } from '../src/kernel/ipvs-codec.ts';
import { formatEndpoint } from '../src/model/endpoints.ts';
import type { Family } from '../src/model/ip.ts';
import { addressesOf } from '../src/plan/ownership.ts';
import type { NodeOptions, ServicePlan } from '../src/plan/plan.ts';
import type { FakeIpvsKernel } from './fake-ipvs-kernel.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const PASSES = [
  'KUBE-CLUSTER-IP',
  'KUBE-EXTERNAL-IP',
  'KUBE-EXTERNAL-IP-LOCAL',
  'KUBE-LOAD-BALANCER',
] as const;

/** Portals ("198.51.100.1,tcp:80") with the sources that may use them; null = everybody. */
export type Restrictions = ReadonlyMap<string, ReadonlySet<string> | null>;

export function restrictionsOf(plans: Iterable<ServicePlan>, node: NodeOptions): Restrictions {
  const restrictions = new Map<string, ReadonlySet<string> | null>();
  for (const { virtualServers } of plans) {
    for (const virtualServer of virtualServers) {
      const { kind, port, protocol, allowedSources } = virtualServer;
      const isRestricted = kind === 'LoadBalancerIP' && allowedSources !== null;
      const allowed = isRestricted ? new Set(allowedSources.cidrs.map(withoutFullPrefix)) : null;
      for (const address of addressesOf(virtualServer, node))
        restrictions.set(formatMember({ address, port, protocol: PROTOCOL_NUMBER[protocol] }), allowed);
    }
  }
  return restrictions;
}

function withoutFullPrefix(cidr: string): string {
  return cidr.replace(cidr.includes(':') ? /\/128$/ : /\/32$/, '');
}

/** Who may use each portal while the kernel goes from one plan to the next: whoever may under any of them. */
export function unite(all: readonly Restrictions[]): Restrictions {
  const united = new Map<string, ReadonlySet<string> | null>();
  for (const restrictions of all) {
    for (const [portal, sources] of restrictions) {
      const before = united.get(portal);
      if (before === undefined) united.set(portal, sources);
      else united.set(portal, before === null || sources === null ? null : new Set([...before, ...sources]));
    }
  }
  return united;
}

/** Fails when the state lets anything through that it must not; `permitted` as of `unite`. */
export function expectNoLeak(kernel: FakeIpvsKernel, permitted: Restrictions): void {
  const members = (set: Parameters<typeof kernelSetName>[0], family: Family): readonly string[] => [
    ...(kernel.sets.get(kernelSetName(set, family))?.keys() ?? []),
  ];
  for (const address of kernel.addresses ?? []) {
    const guards = members('KUBE-IPVS-IPS', address.includes(':') ? 'IPv6' : 'IPv4');
    expect(guards, `${address} is bound: its undeclared ports are shut`).toContain(address);
  }
  for (const family of FAMILIES) {
    for (const set of PASSES)
      for (const portal of members(set, family))
        expect([...kernel.table.keys()], `${set} ${portal} leads to a virtual server`).toContain(
          idOf(portal),
        );
    const firewall = new Set(members('KUBE-LOAD-BALANCER-FW', family));
    const sources = members('KUBE-LOAD-BALANCER-SOURCE-CIDR', family);
    for (const portal of members('KUBE-LOAD-BALANCER', family)) {
      const allowed = permitted.get(portal);
      if (allowed === null || allowed === undefined) continue;
      expect([...firewall], `${portal} is open only to its sources`).toContain(portal);
      for (const source of sources)
        if (source.startsWith(`${portal},`)) expect([...allowed]).toContain(source.slice(portal.length + 1));
      expect(kernel.chain(family, 'filter', 'KUBE-PROXY-FIREWALL')).toHaveLength(1);
    }
  }
}

/** "198.51.100.1,tcp:80" -> "TCP 198.51.100.1:80" */
function idOf(portal: string): string {
  const [address = '', rest = ''] = portal.split(',');
  const [protocol = '', port] = rest.split(':');
  return `${protocol.toUpperCase()} ${formatEndpoint(address as never, Number(port))}`;
}
