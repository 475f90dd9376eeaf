// The status of a running agent as one JSON value: Services with virtual and real servers, weights, connections, and problems.
// Keys are an interface (`pointsman status -o json`): they are added to, never renamed.

import {
  formatEndpoint,
  formatProtocol,
  formatServiceKey,
  type IpvsDestinationState,
  type ServiceKey as IpvsKey,
} from '../kernel/ipvs-codec.ts';
import type { IpvsBackend } from '../backends/ipvs/backend.ts';
import { decodeSchedulerFlags } from '../backends/ipvs/scheduler-flags.ts';
import { realServerId } from '../backends/ipvs/desired.ts';
import type { FailedOperation } from '../backends/ipvs/failures.ts';
import { REPAIR_KINDS, type Repair, type RepairKind, type Repairs } from '../backends/ipvs/repairs.ts';
import type { SwitchState } from '../backends/ipvs/switches.ts';
import { PointsmanError } from '../model/errors.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import { hasFailures, type Agent } from './agent.ts';
import { drainStatus, type DrainStatus } from './drain-status.ts';
import type { FactsStatus } from './facts.ts';
import type { TakeOverStatus } from './take-over.ts';
import type { VerifyLoopStatus } from './verify-loop.ts';

export interface RealServerStatus {
  /** "10.244.1.5:8080" */
  readonly address: string;
  readonly weight: number;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  /**
   * serving: as planned; draining: not planned any more, it keeps its old connections; missing: planned and not in the kernel; extra: in the
   * kernel and not planned.
   */
  readonly state: 'serving' | 'draining' | 'missing' | 'extra';
}

export interface VirtualServerStatus {
  readonly protocol: string;
  /** "10.96.0.1:443" */
  readonly address: string;
  readonly scheduler: string;
  /** 'flag-1', 'flag-2', 'flag-3': as ipvsadm -b. */
  readonly schedulerFlags: readonly string[];
  readonly affinitySeconds: number;
  readonly realServers: readonly RealServerStatus[];
}

export interface ServiceStatus {
  /** "namespace/name" */
  readonly service: string;
  readonly virtualServers: readonly VirtualServerStatus[];
}

/** What is known without asking the kernel; cheap at any size, so metrics are made of it too. */
export interface AgentFacts {
  readonly node: string;
  readonly mode: 'ipvs';
  readonly scheduler: string;
  readonly syncs: number;
  /** False before the first sync, and while anything is not programmed. */
  readonly isSynced: boolean;
  readonly lastSync: {
    readonly operations: number;
    readonly durationMs: number;
    readonly failedServices: readonly string[];
  } | null;
  /** The error that stopped the last sync as a whole, '' when it went through. */
  readonly lastError: string;
  /** Services with a plan, whether asked for or not. */
  readonly plannedServices: number;
  readonly pendingServices: number;
  /** Virtual servers that others made: "TCP 192.0.2.1:80". They are left alone. */
  readonly foreignVirtualServers: readonly string[];
  /** Operations that were refused and are tried again. */
  readonly failedOperations: readonly FailedOperation[];
  /** Objects that no Service wants any more and that could not be removed; tried again. */
  readonly leftovers: readonly string[];
  readonly draining: DrainStatus;
  /** What verification put right because somebody else had changed it: numbers by kind, and the last ones. */
  readonly repairs: {
    readonly total: number;
    readonly byKind: Readonly<Record<RepairKind, number>>;
    readonly last: readonly Repair[];
  };
}

/** What is set in the kernel besides Services. */
export interface KernelStatus {
  /** Those that matter for IPVS mode, with what is wanted of each and why. */
  readonly switches: readonly SwitchState[];
  /** Why they could not be read, '' when they were. */
  readonly error: string;
}

export interface AgentStatus extends AgentFacts {
  readonly services: readonly ServiceStatus[];
  /** How far the comparison of the whole table with the kernel has come; null where nothing is verified. */
  readonly verification: VerifyLoopStatus | null;
  /** What a kube-proxy of another mode left, and what became of it; null where nobody looks for it. */
  readonly takeOver: TakeOverStatus | null;
  /** Where Services come from, and how that goes; null where nobody follows them. */
  readonly facts: FactsStatus | null;
  /** What must be known of this node before anything is programmed, '' when all of it is. */
  readonly awaited: string;
  /** Why health is red, one line each; empty while it is not. */
  readonly health: readonly string[];
  readonly kernel: KernelStatus;
  readonly problems: readonly Problem[];
}

/** What status reads from the kernel. */
export interface ConnectionSource {
  destinations(key: IpvsKey): Promise<readonly IpvsDestinationState[]>;
}

/** Collects the facts; nothing is read from the kernel. */
export function collectFacts(agent: Agent, backend: IpvsBackend): AgentFacts {
  const { syncs, lastReport, lastError, pendingServices, isPending } = agent.status;
  let plannedServices = 0;
  for (const _ of agent.serviceKeys()) plannedServices++;
  return {
    node: agent.nodeOptions.nodeName,
    mode: 'ipvs',
    scheduler: agent.nodeOptions.scheduler,
    syncs,
    isSynced: lastReport !== null && !hasFailures(lastReport) && lastError === '' && !isPending,
    lastSync:
      lastReport === null
        ? null
        : {
            operations: lastReport.operations,
            durationMs: lastReport.durationMs,
            failedServices: lastReport.failed,
          },
    lastError,
    plannedServices,
    pendingServices,
    foreignVirtualServers: backend.foreignVirtualServers(),
    failedOperations: backend.failedOperations(),
    leftovers: lastReport?.leftovers ?? [],
    draining: drainStatus(backend.drains, backend.now()),
    repairs: repairStatus(backend.verifier.repairs),
  };
}

/** One thing that could not be done, for a person; '' when all that was tried is done. What is not tried yet does not count. */
export function failureText({ lastError, lastSync, failedOperations, leftovers }: AgentFacts): string {
  const [operation] = failedOperations;
  const [service] = lastSync?.failedServices ?? [];
  if (lastError !== '') return lastError;
  if (lastSync === null) return 'the first sync is not done';
  if (operation !== undefined) return `${operation.object}: ${operation.message}`;
  if (service !== undefined) return `Service ${service} is not in the kernel`;
  return leftovers[0] === undefined ? '' : `${leftovers[0]} could not be removed`;
}

/**
 * Collects the status. With `only`, the Services whose "namespace/name" it accepts; others cost nothing. Each virtual server costs
 * one dump of its real servers. How far verification and take-over are, is for the caller to fill in.
 */
export async function collectStatus(
  agent: Agent,
  backend: IpvsBackend,
  kernel: ConnectionSource,
  only: (key: ServiceKey) => boolean = () => true,
): Promise<AgentStatus> {
  const services: ServiceStatus[] = [];
  for (const key of [...agent.serviceKeys()].filter(only).sort()) {
    const virtualServers: VirtualServerStatus[] = [];
    for (const virtualServer of backend.virtualServersOf(key)) {
      virtualServers.push(await virtualServerStatus(virtualServer, kernel, backend.drains));
    }
    services.push({ service: key, virtualServers });
  }
  return {
    ...collectFacts(agent, backend),
    services,
    verification: null,
    takeOver: null,
    facts: null,
    awaited: '',
    health: [],
    kernel: kernelStatus(backend),
    problems: agent.problems(),
  };
}

/** A switch that cannot be read must not hide the rest of the status. */
function kernelStatus(backend: IpvsBackend): KernelStatus {
  try {
    return { switches: backend.switchStates(), error: '' };
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
    return { switches: [], error: error.message };
  }
}

function repairStatus(repairs: Repairs): AgentStatus['repairs'] {
  const byKind = Object.fromEntries(REPAIR_KINDS.map((kind) => [kind, repairs.count(kind)]));
  return { total: repairs.total, byKind: byKind as Record<RepairKind, number>, last: repairs.last() };
}

async function virtualServerStatus(
  { id, service, realServers }: ReturnType<IpvsBackend['virtualServersOf']>[number],
  kernel: ConnectionSource,
  drains: IpvsBackend['drains'],
): Promise<VirtualServerStatus> {
  const found = new Map((await kernel.destinations(service)).map((each) => [realServerId(each), each]));
  const planned: RealServerStatus[] = realServers.map((server) => {
    const state = found.get(realServerId(server));
    found.delete(realServerId(server));
    return {
      address: formatEndpoint(server.address, server.port),
      weight: state?.weight ?? server.weight,
      activeConnections: state?.activeConnections ?? 0,
      inactiveConnections: state?.inactiveConnections ?? 0,
      state: state === undefined ? 'missing' : 'serving',
    };
  });
  const draining = drains.of(id);
  const extra: RealServerStatus[] = [...found].map(([serverId, state]) => ({
    address: formatEndpoint(state.address, state.port),
    weight: state.weight,
    activeConnections: state.activeConnections,
    inactiveConnections: state.inactiveConnections,
    state: draining?.has(serverId) === true ? 'draining' : 'extra',
  }));
  return {
    protocol: formatProtocol(service.protocol),
    address: formatServiceKey(service).split(' ')[1] ?? '',
    scheduler: service.scheduler,
    schedulerFlags: decodeSchedulerFlags(service.flags),
    affinitySeconds: service.timeoutSeconds,
    realServers: [...planned, ...extra],
  };
}
