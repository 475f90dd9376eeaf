// Which health-check ports of Services this node must answer on, and with which counts: the part of the plans that load balancers ask for.
// Takes changes of plans and gives changes of checks: the work is that of the change, never of the table. Pure.

import type { PlanChange } from '../backends/backend.ts';
import type { Config } from '../config/config.ts';
import { familyOf, type Family, type IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import { isSameData } from '../model/equal.ts';
import type { NodeOptions, ServicePlan } from '../plan/plan.ts';
import { isNodePortEverywhere } from '../plan/node-options.ts';

/** The health-check port of one Service on this node. */
export interface ServiceHealthCheck {
  /** 1 to 65535. */
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node, for each family that the Service has; others are not listened on. */
  readonly localEndpoints: Readonly<Partial<Record<Family, number>>>;
  /** The older Service that has the port: then nothing is listened on for this one. */
  readonly owner: ServiceKey | null;
}

/** What changed, by Service; null: it has no health-check port any more. */
export type ServiceHealthChanges = ReadonlyMap<ServiceKey, ServiceHealthCheck | null>;

/** The checks of all Services by now. */
export class ServiceHealthTable {
  private readonly checks = new Map<ServiceKey, ServiceHealthCheck>();

  /** The difference that a step of the plan makes; empty for most. */
  take({ services, isComplete }: Pick<PlanChange, 'services' | 'isComplete'>): ServiceHealthChanges {
    const changes = new Map<ServiceKey, ServiceHealthCheck | null>();
    if (isComplete) for (const key of this.checks.keys()) if (!services.has(key)) changes.set(key, null);
    for (const [key, plan] of services) {
      const check = plan === null ? null : healthCheckOf(plan);
      const before = this.checks.get(key) ?? null;
      if (!isSameData(before, check)) changes.set(key, check);
    }
    for (const [key, check] of changes) {
      if (check === null) this.checks.delete(key);
      else this.checks.set(key, check);
    }
    return changes;
  }
}

/** The health-check port of one plan; null when it has none. */
export function healthCheckOf(plan: ServicePlan): ServiceHealthCheck | null {
  if (plan.healthCheck !== null) {
    const { nodePort, localEndpoints } = plan.healthCheck;
    const counts: Partial<Record<Family, number>> = {};
    for (const { family } of plan.virtualServers) counts[family] = localEndpoints[family];
    return { port: nodePort, localEndpoints: counts, owner: null };
  }
  for (const { id, owner } of plan.lost) {
    const port = /^HealthCheckNodePort TCP \*:(\d+)$/.exec(id)?.[1];
    if (port !== undefined) return { port: Number(port), localEndpoints: {}, owner };
  }
  return null;
}

/** Addresses to listen on, by family. An unspecified one stands for all of its family. */
export type HealthCheckAddresses = Readonly<Record<Family, readonly IpAddress[]>>;

const EVERYWHERE: HealthCheckAddresses = { IPv4: ['0.0.0.0' as IpAddress], IPv6: ['::' as IpAddress] };

/** Where health-check ports listen: where NodePorts answer. A family that the node does not forward has none. */
export function healthCheckAddresses(
  { nodePortAddresses }: Pick<Config, 'nodePortAddresses'>,
  node: Pick<NodeOptions, 'families' | 'nodePortAddresses' | 'nodeIPs'>,
): HealthCheckAddresses {
  const ofFamily = (family: Family): readonly IpAddress[] => {
    if (!node.families.includes(family)) return [];
    if (isNodePortEverywhere(family, nodePortAddresses, node.nodeIPs)) return EVERYWHERE[family];
    return node.nodePortAddresses.filter((address) => familyOf(address) === family);
  };
  return { IPv4: ofFamily('IPv4'), IPv6: ofFamily('IPv6') };
}
