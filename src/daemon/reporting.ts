// What the agent tells of itself while it works: health, metrics, Events, and the health-check ports of Services. Everything here listens; it
// changes nothing for the agent, and its failures are its own. Faces with ports attach themselves to it.

import type { Config } from '../config/config.ts';
import type { Family } from '../model/ip.ts';
import { splitServiceKey, type ServiceKey } from '../model/names.ts';
import type { NodeRecord } from '../model/node.ts';
import type { Problem } from '../model/problem.ts';
import type { SyncStatus } from './agent.ts';
import { EventRecorder } from './event-recorder.ts';
import type { ChosenSource } from './facts-origin.ts';
import { HealthChecks, type HealthCheckListener } from './health-checks.ts';
import { HealthReport } from './health-report.ts';
import type { Log } from './log.ts';
import type { MetricSources } from './metrics.ts';
import { MetricsCollector } from './metrics-collector.ts';
import type { NodeEvents } from './node-events.ts';
import { NODE_TIMERS } from './node-timers.ts';
import { isNodeEligible, ProxyHealth } from './proxy-health.ts';
import type { HealthCheckAddresses } from './service-health.ts';
import type { ServiceTraffic } from './service-traffic.ts';
import type { SyncObserver } from './sync-observer.ts';

/** The longest that verification leaves between two checks. */
const ROUND_INTERVAL_MS = 15_000;

/** A port that nobody answers on. */
export type ListenFailure =
  | { readonly of: 'health'; readonly address: string; readonly reason: string }
  | { readonly of: 'metrics'; readonly reason: string }
  | {
      readonly of: 'service';
      readonly key: ServiceKey;
      readonly port: number;
      readonly reason: string;
    };

/** Faces with ports: they hear of what changes while the agent runs. */
export interface DaemonFace extends HealthCheckListener {
  onConfig(config: Config): void;
  /** Health-check ports that listen, and those that could not and are tried again. */
  counts(): { readonly open: number; readonly failed: number };
}

/** What it listens to. Functions give what is so at the moment. */
export interface ReportingParts {
  readonly config: () => Config;
  readonly families: readonly Family[];
  readonly source: ChosenSource;
  readonly nodeName: string;
  readonly log: Log;
  /** Of the agent. */
  readonly status: () => SyncStatus;
  /** What the kernel refuses, by Service. */
  readonly problems: () => ReadonlyMap<ServiceKey, readonly Problem[]>;
  /** Why the last check of the kernel failed, '' when it went through. */
  readonly checkError: () => string;
  readonly traffic: ServiceTraffic;
  readonly metricSources: () => Omit<MetricSources, 'counts'>;
  readonly healthCheckAddresses: () => HealthCheckAddresses;
}

/** See above. */
export class Reporting {
  /** What the health ports answer from. */
  readonly health: ProxyHealth;
  readonly collector: MetricsCollector;
  readonly report: HealthReport;
  private readonly parts: ReportingParts;
  private readonly recorder: EventRecorder;
  private readonly healthChecks = new HealthChecks();
  private readonly reloads = { ok: 0, refused: 0 };
  private face: DaemonFace | null = null;

  constructor(parts: ReportingParts) {
    const { config, families, log, nodeName, source } = parts;
    this.parts = parts;
    this.health = new ProxyHealth({
      healthTimeoutMs: healthTimeoutMs(config()),
      roundIntervalMs: ROUND_INTERVAL_MS,
    });
    this.report = new HealthReport({ ...parts, health: this.health, now: () => NODE_TIMERS.now() });
    this.collector = new MetricsCollector({
      ...{ families, now: () => performance.now(), wallMs: () => Date.now(), traffic: parts.traffic },
      sources: () => ({ ...parts.metricSources(), counts: this.counts() }),
      featureGates: () => config().featureGates,
    });
    this.recorder = new EventRecorder(source, nodeName, log, this.collector.restClient);
  }

  get events(): NodeEvents {
    return this.recorder.events;
  }

  /** Of the agent. */
  get observers(): readonly SyncObserver[] {
    return [this.collector.proxy, this.report, this.healthChecks];
  }

  /** A sync has ended, after everything else that follows one. */
  afterSync(): void {
    this.report.afterSync();
    this.healthChecks.handOut();
  }

  /** The Node as it is now, undefined when there is none. */
  onNode(node: NodeRecord | undefined, hasApiServer: boolean): void {
    this.health.setNodeEligible(isNodeEligible(node, hasApiServer));
  }

  /** Where NodePorts answer may have changed. */
  onAddresses(): void {
    this.healthChecks.setAddresses(this.parts.healthCheckAddresses());
  }

  /** Another configuration is in force. */
  onConfig(config: Config): void {
    this.reloads.ok++;
    this.health.setHealthTimeout(healthTimeoutMs(config));
    this.face?.onConfig(config);
  }

  /** A changed configuration was refused. */
  onConfigRefused(error: Error): void {
    this.reloads.refused++;
    this.events.invalidConfiguration(error.message);
  }

  /** From here on `face` hears of what changes, beginning with the health-check ports that there are. */
  attach(face: DaemonFace): void {
    this.face = face;
    this.healthChecks.listen(face, this.parts.healthCheckAddresses());
  }

  /** A port could not be had, and the agent ends or goes on without it: an Event says so. */
  tellListenFailure(failure: ListenFailure): void {
    switch (failure.of) {
      case 'health':
        return this.events.healthServerFailed(failure.address, failure.reason);
      case 'metrics':
        return this.events.metricsServerFailed(failure.reason);
      case 'service': {
        const { namespace, name } = splitServiceKey(failure.key);
        // What is kept of a Service has no uid: nothing else needs it.
        const service = { namespace, name, uid: '' };
        return this.events.serviceHealthServerFailed(service, failure.port, failure.reason);
      }
    }
  }

  /** Writes the Events that wait, for a second at most. */
  close(): Promise<void> {
    return this.recorder.close();
  }

  private counts(): NonNullable<MetricSources['counts']> {
    const events = this.recorder.counts;
    return {
      configReloads: this.reloads,
      ...(this.face === null ? {} : { healthCheckListeners: this.face.counts() }),
      ...(events === null ? {} : { events }),
    };
  }
}

/** As kube-proxy's. */
function healthTimeoutMs({ syncPeriodMs }: Config): number {
  return 2 * syncPeriodMs;
}
