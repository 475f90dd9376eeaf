// Small plans and started backends on the fake kernel, for tests of the IPVS backend.

import { FakeIpvsKernel } from './fake-ipvs-kernel.ts';
import type { PlanChange } from '../src/backends/backend.ts';
import { IpvsBackend } from '../src/backends/ipvs/backend.ts';
import type { IpvsSettings } from '../src/backends/ipvs/settings.ts';
import type { IpvsService } from '../src/kernel/ipvs-codec.ts';
import { parseIp, type Family, type IpAddress } from '../src/model/ip.ts';
import { serviceKey, type ServiceKey } from '../src/model/names.ts';
import { emptyPlan, PLAIN_NODE } from './nodes.ts';
import type { NodeOptions, RealServer, ServicePlan, VirtualServer } from '../src/plan/plan.ts';

// Addresses: ClusterIPs 172.30.0.0/16, pods 10.0.0.0/8, this node 192.168.0.2.
export const ip = (text: string): IpAddress => parseIp(text) ?? raise(text);
const raise = (text: string): never => {
  throw new Error(text);
};

export const NODE: NodeOptions = {
  ...PLAIN_NODE,
  nodePortAddresses: [ip('192.168.0.2'), ip('fd00::2')],
};

export const SETTINGS: IpvsSettings = {
  strictArp: false,
  timeouts: {},
  masqueradeMark: 0x4000,
  excludeCIDRs: [],
  now: () => 0,
  pace: () => Promise.resolve(),
};

export interface PortSpec {
  readonly address?: string;
  readonly nodePort?: number;
  readonly port?: number;
  readonly protocol?: VirtualServer['protocol'];
  readonly scheduler?: VirtualServer['scheduler'];
  readonly affinitySeconds?: number;
  readonly endpoints?: readonly string[];
}

function virtualServer(spec: PortSpec): VirtualServer {
  const realServers: RealServer[] = (spec.endpoints ?? []).map((text) => ({
    address: ip(text),
    port: 8080,
    weight: 1,
    isLocal: false,
  }));
  const selection =
    realServers.length > 0
      ? ({ policy: 'Cluster', verdict: 'forward', realServers } as const)
      : ({ policy: 'Cluster', verdict: 'reject' } as const);
  const address = spec.address === undefined ? null : ip(spec.address);
  const family: Family = spec.address?.includes(':') ? 'IPv6' : 'IPv4';
  return {
    kind: address === null ? 'NodePort' : 'ClusterIP',
    portName: '',
    family,
    protocol: spec.protocol ?? 'TCP',
    address,
    exceptAddresses: [],
    port: spec.nodePort ?? spec.port ?? 80,
    scheduler: spec.scheduler ?? 'rr',
    schedulerFlags: spec.scheduler === 'mh' ? ['flag-2'] : [],
    affinitySeconds: spec.affinitySeconds ?? 0,
    internal: selection,
    external: selection,
    masquerade: address === null ? 'all' : 'nonPods',
    allowedSources: null,
  };
}

export function plan(name: string, specs: readonly PortSpec[], createdAtMs = 1): ServicePlan {
  return {
    ...emptyPlan(serviceKey('default', name)),
    createdAtMs,
    virtualServers: specs.map(virtualServer),
  };
}

export function change(
  plans: readonly (ServicePlan | ServiceKey)[],
  isComplete = false,
  node = NODE,
): PlanChange {
  const services = new Map(plans.map((each) => (typeof each === 'string' ? [each, null] : [each.key, each])));
  return { node, services, isComplete };
}

export function makeBackend(kernel = new FakeIpvsKernel()) {
  return { kernel, backend: new IpvsBackend(kernel, NODE.families, SETTINGS) };
}

export async function started(...plans: ServicePlan[]) {
  const made = makeBackend();
  await made.backend.apply(change(plans, true));
  made.kernel.writes = [];
  made.kernel.lists = [];
  return made;
}

/** A virtual server as somebody else would make it, with another scheduler than ours. */
export function foreignService(address: string, protocol: number, port: number): IpvsService {
  return {
    family: 'IPv4',
    protocol,
    address: ip(address),
    port,
    scheduler: 'wlc',
    flags: 0,
    timeoutSeconds: 0,
    netmask: 0xffffffff,
  };
}
