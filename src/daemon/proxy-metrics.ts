// The metrics of kube-proxy that IPVS mode has, by its names, labels, buckets and help texts. Our agent syncs both families at once, so what a
// sync is measured by is the same for each family that this node serves; endpoints, conntrack and rules are counted for each by itself.
// Guarantees: hearing of a change costs the size of the change; reading costs the same whatever the cluster's size.
// Source: kube-proxy 1.36 (pkg/proxy/metrics); docs/metrics.md says where a value means more, or is counted better.

import type { KernelCounts } from '../backends/ipvs/counted-port.ts';
import type { FlowCounts, FlowPass } from '../backends/flow-keeper.ts';
import { readTriggerTimeMs } from '../model/endpoint-slice.ts';
import type { Family } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ClusterEvent, ClusterObject, EndpointSliceObject } from '../model/objects.ts';
import type { ServicePlan } from '../plan/plan.ts';
import { counter, gauge, histogram, type MetricFamily, type MetricSample } from './metric-families.ts';
import { CounterVector, HistogramVector, SYNC_BOUNDS } from './metric-recorders.ts';
import { NoLocalEndpoints, type PolicyScope } from './no-local-endpoints.ts';
import type { SyncObserver, SyncOutcome } from './sync-observer.ts';
import { TriggerTimes } from './trigger-times.ts';

/** 0, 0.25, 0.5, each second to 59, each 5 to 115, each 30 to 300: kube-proxy's buckets for network programming, in seconds. */
export const PROGRAMMING_BOUNDS: readonly number[] = [
  ...[0, 0.25, 0.5],
  ...Array.from({ length: 59 }, (_, i) => i + 1),
  ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i),
  ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i),
];

/** What ProxyMetrics is told once. */
export interface ProxyMetricsOptions {
  /** Those that this node serves. */
  readonly families: readonly Family[];
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
}

/** What is counted elsewhere. */
export interface ProxyCounts {
  readonly kernel: KernelCounts;
  /** null where nobody looks after the flows of UDP clients. */
  readonly flows: FlowCounts | null;
}

/** Changes that no sync has brought to the kernel yet. */
class Pending {
  private readonly waiting = new Set<ServiceKey>();
  private readonly taken = new Set<ServiceKey>();
  /** Changed slices, not Services. */
  private waitingSlices = 0;
  private takenSlices = 0;

  noteService(key: ServiceKey): void {
    this.waiting.add(key);
  }

  noteSlice(): void {
    this.waitingSlices++;
  }

  take(): void {
    for (const key of this.waiting) this.taken.add(key);
    this.waiting.clear();
    this.takenSlices += this.waitingSlices;
    this.waitingSlices = 0;
  }

  settle(): void {
    this.taken.clear();
    this.takenSlices = 0;
  }

  get services(): number {
    let both = 0;
    for (const key of this.taken) if (this.waiting.has(key)) both++;
    return this.waiting.size + this.taken.size - both;
  }

  get slices(): number {
    return this.waitingSlices + this.takenSlices;
  }
}

/** See above: an observer of the agent, with what the daemon tells beside. */
export class ProxyMetrics implements SyncObserver {
  private readonly options: ProxyMetricsOptions;
  private readonly families: ReadonlySet<string>;
  private readonly triggers: TriggerTimes;
  private readonly noLocal = new NoLocalEndpoints();
  private readonly pending = new Pending();
  private serviceChanges = 0;
  private endpointChanges = 0;
  private startedAtMs = 0;
  private queuedWallMs: number | null = null;
  private syncedWallMs: number | null = null;
  private isPlanned = false;
  private readonly syncs = new HistogramVector(['ip_family'], SYNC_BOUNDS);
  private readonly programming = new HistogramVector(['ip_family'], PROGRAMMING_BOUNDS);
  private readonly conntrack = new HistogramVector(['ip_family'], SYNC_BOUNDS);
  private readonly healthz = new CounterVector(['code']);
  private readonly livez = new CounterVector(['code']);

  /** Changes of endpoints that happened before this are not measured. */
  constructor(options: ProxyMetricsOptions) {
    this.options = options;
    this.families = new Set(options.families);
    this.triggers = new TriggerTimes(options.wallMs());
  }

  onEvent(event: ClusterEvent, changed: readonly ServiceKey[]): void {
    const kind = event.type === 'apply' ? event.object.kind : event.kind;
    if (kind === 'Service') this.noteService(event.type, changed);
    else if (kind === 'EndpointSlice') this.noteSlice(event.type === 'apply' ? event.object : null, changed);
  }

  onQueued(): void {
    this.queuedWallMs = this.options.wallMs();
  }

  onStarted(): void {
    this.startedAtMs = this.options.now();
  }

  onTaken(): void {
    this.triggers.take();
    this.pending.take();
  }

  onPlanned(plans: ReadonlyMap<ServiceKey, ServicePlan | null>): void {
    this.noLocal.note(plans);
    this.isPlanned = true;
  }

  onSynced({ hadWork, failed, isClean }: SyncOutcome): void {
    if (hadWork) {
      this.observeSync();
      this.pending.settle();
      this.observeProgramming(failed);
    }
    if (isClean) this.syncedWallMs = this.options.wallMs();
  }

  onFailed(): void {
    this.observeSync();
  }

  onMended(failed: readonly ServiceKey[]): void {
    this.observeProgramming(failed);
  }

  /** A pass over the tracked flows of a family ended. */
  onFlowPass({ family, durationMs }: FlowPass): void {
    this.conntrack.observe({ ip_family: family }, durationMs / 1000);
  }

  /** The health server answered /healthz or /livez with this status. */
  onHealthAnswer(path: '/healthz' | '/livez', code: number): void {
    (path === '/healthz' ? this.healthz : this.livez).add({ code: String(code) });
  }

  /** All of them, sorted by name. */
  collect({ kernel, flows }: ProxyCounts): MetricFamily[] {
    const each = (of: (family: Family) => number | null): MetricSample[] =>
      this.options.families.flatMap((family) => {
        const value = of(family);
        return value === null ? [] : [{ labels: { ip_family: family }, value }];
      });
    return [
      counter(
        'kubeproxy_conntrack_reconciler_deleted_entries_total',
        '[ALPHA] Cumulative conntrack flows deleted by conntrack reconciler',
        each((family) => flows?.deleted(family) ?? null),
      ),
      histogram(
        'kubeproxy_conntrack_reconciler_sync_duration_seconds',
        '[ALPHA] ReconcileConntrackFlowsLatency latency in seconds',
        this.conntrack.samples(),
      ),
      histogram(
        'kubeproxy_network_programming_duration_seconds',
        '[ALPHA] In Cluster Network Programming Latency in seconds',
        this.programming.samples(),
      ),
      counter(
        'kubeproxy_proxy_healthz_total',
        '[ALPHA] Cumulative proxy healthz HTTP status',
        this.healthz.samples(),
      ),
      counter(
        'kubeproxy_proxy_livez_total',
        '[ALPHA] Cumulative proxy livez HTTP status',
        this.livez.samples(),
      ),
      histogram(
        'kubeproxy_sync_proxy_rules_duration_seconds',
        '[ALPHA] SyncProxyRules latency in seconds',
        this.syncs.samples(),
      ),
      gauge(
        'kubeproxy_sync_proxy_rules_endpoint_changes_pending',
        '[ALPHA] Pending proxy rules Endpoint changes',
        this.pending.slices,
      ),
      counter(
        'kubeproxy_sync_proxy_rules_endpoint_changes_total',
        '[ALPHA] Cumulative proxy rules Endpoint changes',
        this.endpointChanges,
      ),
      counter(
        'kubeproxy_sync_proxy_rules_iptables_restore_failures_total',
        '[ALPHA] Cumulative proxy iptables restore failures',
        each((family) => kernel.restoreFailures(family)),
      ),
      gauge(
        'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds',
        '[ALPHA] The last time a sync of proxy rules was queued',
        each(() => seconds(this.queuedWallMs)),
      ),
      gauge(
        'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
        '[ALPHA] The last time proxy rules were successfully synced',
        each(() => seconds(this.syncedWallMs)),
      ),
      gauge(
        'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
        '[ALPHA] Number of services with a Local traffic policy and no endpoints',
        this.isPlanned ? this.noLocalSamples() : [],
      ),
      gauge(
        'kubeproxy_sync_proxy_rules_service_changes_pending',
        '[ALPHA] Pending proxy rules Service changes',
        this.pending.services,
      ),
      counter(
        'kubeproxy_sync_proxy_rules_service_changes_total',
        '[ALPHA] Cumulative proxy rules Service changes',
        this.serviceChanges,
      ),
    ];
  }

  /** kube-proxy tracks Services once for each family, and counts each time. */
  private noteService(type: ClusterEvent['type'], changed: readonly ServiceKey[]): void {
    this.serviceChanges += this.options.families.length;
    for (const key of changed) {
      this.pending.noteService(key);
      if (type === 'delete') this.triggers.drop(key);
    }
  }

  /** `slice` is null for one that is gone: of what family it was is not known, and counts for nothing. */
  private noteSlice(slice: ClusterObject | null, changed: readonly ServiceKey[]): void {
    const family = slice === null ? null : (slice as EndpointSliceObject).addressType;
    if (family !== null && !this.isServed(family)) return;
    this.endpointChanges++;
    if (changed.length > 0) this.pending.noteSlice();
    // A slice that moves changes two Services; the one that it came to is the last.
    const key = changed.at(-1);
    if (key === undefined) return;
    if (family === null) this.triggers.drop(key);
    else this.triggers.note(key, { family, triggeredAtMs: readTriggerTimeMs(slice) });
  }

  private isServed(family: unknown): family is Family {
    return typeof family === 'string' && this.families.has(family);
  }

  private observeSync(): void {
    const tookSeconds = (this.options.now() - this.startedAtMs) / 1000;
    for (const family of this.options.families) this.syncs.observe({ ip_family: family }, tookSeconds);
  }

  private observeProgramming(failed: readonly ServiceKey[]): void {
    const done = this.triggers.settle(failed);
    if (done.length === 0) return;
    const nowMs = this.options.wallMs();
    // The clock of another machine may be ahead of ours; nothing is programmed before it happens.
    for (const { family, triggeredAtMs } of done)
      this.programming.observe({ ip_family: family }, Math.max(0, nowMs - triggeredAtMs) / 1000);
  }

  private noLocalSamples(): MetricSample[] {
    const scopes: readonly PolicyScope[] = ['external', 'internal'];
    return this.options.families.flatMap((family) =>
      scopes.map((scope) => ({
        labels: { ip_family: family, traffic_policy: scope },
        value: this.noLocal.count(scope, family),
      })),
    );
  }
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}
