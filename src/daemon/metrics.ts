// What the agent counts, as metrics by the conventions of Prometheus. Pure: facts in, samples out; how they are written and served is not
// known here. No label may hold the name of a Service, and every label has a bounded number of values. docs/metrics.md lists them all.
// Those of kube-proxy are in proxy-metrics.ts, those that name Services in service-traffic.ts.

import { KERNEL_WRITES, type KernelCounts } from '../backends/ipvs/counted-port.ts';
import type { FlowCounts } from '../backends/flow-keeper.ts';
import { DRAIN_ENDS } from '../backends/ipvs/drains.ts';
import type { FailedOperation } from '../backends/ipvs/failures.ts';
import { REPAIR_KINDS } from '../backends/ipvs/repairs.ts';
import type { ReflectorStatus } from '../cluster/reflector.ts';
import { FAMILIES } from '../model/ip.ts';
import type { FactsStatus } from './facts.ts';
import {
  counter as counterOf,
  gauge as gaugeOf,
  type MetricSample,
  type ValueFamily,
} from './metric-families.ts';
import type { AgentFacts } from './status.ts';
import type { VerifyLoopStatus } from './verify-loop.ts';

export type { MetricFamily } from './metric-families.ts';

/** What metrics are made of. */
export interface MetricSources {
  readonly facts: AgentFacts;
  /** null where nothing is verified. */
  readonly verification: VerifyLoopStatus | null;
  readonly kernel: KernelCounts;
  /** null where nobody looks after the flows of UDP clients. */
  readonly flows: FlowCounts | null;
  /** null where nobody follows a source. */
  readonly source: FactsStatus | null;
  /** Absent where nothing of the kind is done. */
  readonly counts?: DaemonCounts;
}

/** Plain numbers of what stands around the agent; absent where nothing of the kind is done. */
export interface DaemonCounts {
  /** Changes of the configuration file since the start. */
  readonly configReloads?: { readonly ok: number; readonly refused: number };
  /** Health-check ports of Services: open at present, and those that could not be opened and are tried again. */
  readonly healthCheckListeners?: { readonly open: number; readonly failed: number };
  /** Kubernetes Events since the start: written, dropped for want of room, and failed: refused, or given up after an outage. */
  readonly events?: { readonly written: number; readonly dropped: number; readonly failed: number };
}

/** Objects that pointsman_failed_operation_info names; all are in the status. */
export const MAX_FAILED_OBJECTS = 50;
/** Pairs of operation and errno of pointsman_failed_operations; further ones are one, with 'other' for both. */
export const MAX_FAILED_PAIRS = 64;

/** All metrics of an agent, in the order in which they are written. */
export function agentMetrics({
  facts,
  verification,
  kernel,
  flows,
  source,
  counts,
}: MetricSources): ValueFamily[] {
  return [
    ...syncMetrics(facts),
    ...sourceMetrics(source),
    ...failureMetrics(facts),
    ...kernelMetrics(kernel),
    counter(
      'repairs_total',
      'Objects that somebody else had changed and that were put right, by kind.',
      REPAIR_KINDS.map((kind) => ({ labels: { kind }, value: facts.repairs.byKind[kind] })),
    ),
    ...drainMetrics(facts),
    ...verificationMetrics(verification),
    ...flowMetrics(flows),
    ...daemonMetrics(counts ?? {}),
  ];
}

function syncMetrics(facts: AgentFacts): ValueFamily[] {
  return [
    gauge('synced', '1 when everything known is programmed, else 0.', facts.isSynced ? 1 : 0),
    counter('syncs_total', 'Syncs that went through, with or without refused operations.', facts.syncs),
    gauge(
      'last_sync_duration_seconds',
      'How long the last sync took that went through.',
      seconds(facts.lastSync?.durationMs),
    ),
    gauge('services', 'Services that are planned.', facts.plannedServices),
    gauge('pending_services', 'Services that changed and wait for a sync.', facts.pendingServices),
    gauge(
      'foreign_virtual_servers',
      'Virtual servers on addresses of ours that others made and that are left alone.',
      facts.foreignVirtualServers.length,
    ),
  ];
}

function sourceMetrics(source: FactsStatus | null): ValueFamily[] {
  if (source === null) return [];
  const kinds = Object.entries(source.kinds ?? {});
  const each = (of: (status: ReflectorStatus) => number): MetricSample[] =>
    kinds.map(([kind, status]) => ({ labels: { kind }, value: of(status) }));
  return [
    gauge('facts_complete', '1 when everything was told once, else 0.', source.isComplete ? 1 : 0),
    gauge(
      'facts_followed',
      '1 when changes are heard of, 0 while they are not.',
      source.trouble === '' ? 1 : 0,
    ),
    gauge(
      'api_objects',
      'Objects of the API server that are known.',
      each(({ objects }) => objects),
    ),
    counter(
      'api_requests_total',
      'Requests to the API server.',
      each(({ requests }) => requests),
    ),
    counter(
      'api_lists_total',
      'Lists that were begun; more than one means that everything had to be read anew.',
      each(({ lists }) => lists),
    ),
    counter(
      'api_backoffs_total',
      'Waits after a failure.',
      each(({ backoffs }) => backoffs),
    ),
  ];
}

function failureMetrics({ lastSync, leftovers, failedOperations }: AgentFacts): ValueFamily[] {
  const distinct = distinctFailures(failedOperations);
  return [
    gauge(
      'failed_services',
      'Services that are not fully programmed and are tried again.',
      lastSync?.failedServices.length ?? 0,
    ),
    gauge(
      'leftover_objects',
      'Objects that no Service wants any more and that could not be removed; tried again.',
      leftovers.length,
    ),
    gauge(
      'failed_operations',
      'Operations that are refused at present and are tried again.',
      countPairs(distinct),
    ),
    gauge(
      'failed_operation_info',
      `1 for each object of which an operation is refused at present, ${MAX_FAILED_OBJECTS} of them at most.`,
      distinct.slice(0, MAX_FAILED_OBJECTS).map((labels) => ({ labels, value: 1 })),
    ),
  ];
}

function kernelMetrics(kernel: KernelCounts): ValueFamily[] {
  return [
    counter(
      'kernel_operations_total',
      'Writes to the kernel that were tried.',
      KERNEL_WRITES.map((operation) => ({ labels: { operation }, value: kernel.writes(operation) })),
    ),
    counter(
      'kernel_failures_total',
      'Operations that the kernel or a tool refused, or that got no answer.',
      kernel
        .failures()
        .map(({ operation, errno, count }) => ({ labels: { operation, errno }, value: count })),
    ),
  ];
}

function drainMetrics({ draining }: AgentFacts): ValueFamily[] {
  return [
    gauge(
      'draining_servers',
      'Real servers that keep old connections and take no new ones.',
      draining.servers.length,
    ),
    counter(
      'drains_total',
      'Drains that ended, by how: drained, deadline (connections were cut), returned, gone.',
      DRAIN_ENDS.map((end) => ({ labels: { end }, value: draining.ended[end] })),
    ),
  ];
}

function verificationMetrics(verification: VerifyLoopStatus | null): ValueFamily[] {
  const lastCycle = verification?.lastCycle;
  return [
    counter(
      'verification_cycles_total',
      'Complete comparisons of the whole table with the kernel.',
      verification?.cycles ?? [],
    ),
    gauge(
      'verification_last_cycle_seconds',
      'From the start to the end of the last complete comparison.',
      seconds(lastCycle?.durationMs),
    ),
    gauge(
      'verification_last_cycle_work_seconds',
      'How long work was done in the last complete comparison.',
      seconds(lastCycle?.workMs),
    ),
  ];
}

/** The first is kube-proxy's conntrack_reconciler_deleted_entries_total, with its label. */
function flowMetrics(flows: FlowCounts | null): ValueFamily[] {
  return [
    counter(
      'conntrack_entries_deleted_total',
      'Tracked UDP flows that were deleted because their server went, or because they were older than their Service.',
      flows === null
        ? []
        : FAMILIES.map((family) => ({ labels: { ip_family: family }, value: flows.deleted(family) })),
    ),
    counter(
      'conntrack_failures_total',
      'Lists and deletions of tracked UDP flows that failed; they are tried again.',
      (flows?.failures() ?? []).map(({ errno, count }) => ({ labels: { errno }, value: count })),
    ),
  ];
}

function daemonMetrics({ configReloads, healthCheckListeners, events }: DaemonCounts): ValueFamily[] {
  return [
    counter(
      'config_reloads_total',
      'Changes of the configuration file, by what became of them: ok, refused (the running one stays).',
      byLabel('result', configReloads, ['ok', 'refused']),
    ),
    gauge(
      'health_check_listeners',
      'Health-check ports of Services, by state: open, failed (tried again).',
      byLabel('state', healthCheckListeners, ['open', 'failed']),
    ),
    counter(
      'events_total',
      'Kubernetes Events, by what became of them: written, dropped (no room), failed (refused or given up).',
      byLabel('result', events, ['written', 'dropped', 'failed']),
    ),
  ];
}

function byLabel<Value extends string>(
  label: string,
  counts: Readonly<Record<Value, number>> | undefined,
  values: readonly Value[],
): MetricSample[] {
  return counts === undefined
    ? []
    : values.map((value) => ({ labels: { [label]: value }, value: counts[value] }));
}

type Labels = Readonly<Record<'object' | 'operation' | 'errno', string>>;

/** An address that several Services share fails for each of them; it is one operation all the same. */
function distinctFailures(operations: readonly FailedOperation[]): Labels[] {
  const distinct = new Map<string, Labels>();
  for (const { object, operation, errnoName } of operations) {
    // An empty label is none at all to Prometheus.
    const labels = { object, operation: operation || 'unknown', errno: errnoName || 'unknown' };
    const id = JSON.stringify([object, labels.operation, labels.errno]);
    if (!distinct.has(id)) distinct.set(id, labels);
  }
  return [...distinct.values()];
}

function countPairs(failures: readonly Labels[]): MetricSample[] {
  const pairs = new Map<string, { labels: MetricSample['labels']; value: number }>();
  for (const failure of failures) {
    let { operation, errno } = failure;
    let id = JSON.stringify([operation, errno]);
    if (pairs.size >= MAX_FAILED_PAIRS && !pairs.has(id)) {
      [operation, errno] = ['other', 'other'];
      id = 'other';
    }
    const known = pairs.get(id);
    if (known === undefined) pairs.set(id, { labels: { operation, errno }, value: 1 });
    else known.value++;
  }
  return [...pairs.values()];
}

/** Samples of one value without labels; none for what is not known yet. */
function seconds(durationMs: number | undefined): number | readonly [] {
  return durationMs === undefined ? [] : durationMs / 1000;
}

function counter(name: string, help: string, value: number | readonly MetricSample[]): ValueFamily {
  return counterOf(`pointsman_${name}`, help, value);
}

function gauge(name: string, help: string, value: number | readonly MetricSample[]): ValueFamily {
  return gaugeOf(`pointsman_${name}`, help, value);
}
