// Single steps of the IPVS backend: a few virtual servers of known members, the work that leads from some of them to others, and what the fake
// kernel has of them. IPv4 only.

import { makeMember, type DesiredMember, type DesiredVirtualServer } from '../src/backends/ipvs/desired.ts';
import { diffVirtualServer, isEmptyDiff, type VirtualServerDiff } from '../src/backends/ipvs/diff.ts';
import { emptyDelta, Ledger } from '../src/backends/ipvs/ledger.ts';
import { SET_NAMES, type SetName } from '../src/backends/ipvs/sets.ts';
import { runStep, type Step, type StepOutcome } from '../src/backends/ipvs/step.ts';
import type { SetMember } from '../src/kernel/ipset-codec.ts';
import { serviceKey } from '../src/model/names.ts';
import { FakeIpvsKernel } from './fake-ipvs-kernel.ts';
import { ip } from './ipvs-plans.ts';

export const VIP = ip('198.51.100.9');
const NODE_ADDRESS = ip('192.168.50.11');
const pace = (): Promise<void> => Promise.resolve();

/** A virtual server with its mark and, where it is bound, the guard of its address. */
export function virtualServer(
  address: DesiredVirtualServer['service']['address'],
  port: number,
  sets: readonly SetName[],
  servers: readonly string[] = ['10.244.1.5'],
): DesiredVirtualServer {
  const isBound = address !== NODE_ADDRESS;
  const portal: SetMember = { address, protocol: 6, port };
  const memberOf = (set: SetName): DesiredMember => {
    if (set === 'KUBE-IPVS-IPS') return makeMember(set, 'IPv4', { address });
    if (set.startsWith('KUBE-NODE-PORT')) return makeMember(set, 'IPv4', { port });
    if (set === 'KUBE-LOAD-BALANCER-SOURCE-CIDR')
      return makeMember(set, 'IPv4', { ...portal, address2: ip('203.0.113.0'), prefixLength2: 24 });
    return makeMember(set, 'IPv4', portal);
  };
  return {
    id: `TCP ${address}:${port}`,
    service: {
      family: 'IPv4',
      ...{ protocol: 6, address, port, scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0xffffffff },
    },
    realServers: servers.map((each) => ({ address: ip(each), port: 8080, weight: 1, isLocal: true })),
    isBound,
    isClosedToNode: false,
    members: [...(['POINTSMAN-VS'] as const), ...(isBound ? (['KUBE-IPVS-IPS'] as const) : []), ...sets].map(
      memberOf,
    ),
  };
}

/** A load-balancer IP that is open to its sources only. */
export const LB = virtualServer(VIP, 80, [
  'KUBE-LOAD-BALANCER',
  'KUBE-LOAD-BALANCER-FW',
  'KUBE-LOAD-BALANCER-SOURCE-CIDR',
]);
/** At the same address. */
export const SIBLING = virtualServer(VIP, 81, ['KUBE-LOAD-BALANCER']);
/** On this node's address. */
export const NODE_PORT = virtualServer(NODE_ADDRESS, 30_080, [
  'KUBE-NODE-PORT-TCP',
  'KUBE-NODE-PORT-LOCAL-TCP',
]);
/** At another address. */
export const OTHER = virtualServer(ip('198.51.100.10'), 80, ['KUBE-LOAD-BALANCER']);

/** The work that leads from one list of virtual servers to another. */
export function stepBetween(
  before: readonly DesiredVirtualServer[],
  after: readonly DesiredVirtualServer[],
  shut: Step['shut'] = new Set(),
): Step {
  const key = serviceKey('default', 'web');
  const ledger = new Ledger();
  ledger.settle(key, { virtualServers: before, members: [] }, emptyDelta());
  const delta = emptyDelta();
  ledger.settle(key, { virtualServers: after, members: [] }, delta);
  const changed = new Map<string, VirtualServerDiff>();
  for (const each of after) {
    const old = before.find(({ id }) => id === each.id);
    const diff = diffVirtualServer(
      old === undefined ? undefined : { service: old.service, destinations: old.realServers },
      each,
    );
    if (!isEmptyDiff(diff)) changed.set(each.id, diff);
  }
  const deleted = before
    .filter(({ id }) => !after.some((each) => each.id === id))
    .map(({ service }) => service);
  const addressUsers: Step['addressUsers'] = (address) => ledger.addressUsers(address);
  return {
    delta,
    wanted: after,
    changed,
    deleted,
    shut,
    isRepair: false,
    leftovers: new Map(),
    addressUsers,
  };
}

/** A kernel that holds these virtual servers with everything that belongs to them. */
export async function kernelWith(...present: readonly DesiredVirtualServer[]): Promise<FakeIpvsKernel> {
  const kernel = new FakeIpvsKernel();
  for (const set of SET_NAMES) await kernel.createSet(set, 'IPv4');
  await kernel.createLink();
  await runStep(kernel, stepBetween([], present), pace);
  kernel.writes = [];
  return kernel;
}

/** That write is refused, once. */
export function refuse(kernel: FakeIpvsKernel, write: string, errno: 'ENOMEM' | 'EEXIST' = 'ENOMEM'): void {
  kernel.faults.push({ matches: (each) => each === write, errno, times: 1 });
}

/** Carries out a step. */
export const run = (kernel: FakeIpvsKernel, step: Step): Promise<StepOutcome> => runStep(kernel, step, pace);

/** What the kernel holds of an address and port: "virtual server, server, KUBE-LOAD-BALANCER, ..., address". */
export function stateOf(
  kernel: FakeIpvsKernel,
  { id, service, members, isBound }: DesiredVirtualServer,
): string[] {
  const found = kernel.table.get(id);
  return [
    ...(found === undefined ? [] : ['virtual server']),
    ...(found?.destinations.keys() ?? []),
    ...members
      .filter((member) => kernel.sets.get(member.set)?.has(member.id.split(' ')[1] ?? ''))
      .map(({ set }) => set),
    ...(isBound && kernel.addresses?.has(service.address) ? ['address'] : []),
  ];
}
